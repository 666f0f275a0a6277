r"""Whether the default's regression forecasts better where it is fitted on QLIKE, which it is judged by.

``python studies/qlike_regression.py panel|single|files --data FOLDER`` prints QLIKE relative to the regression as it
is, of log errors with Duan's smearing; both are refitted daily, and without networks:

- ``panel``: one model of all symbols of FOLDER/panel_5min, in each window that choices are made on
- ``single``: one of each symbol there
- ``files``: one of each file, on the last part of what `development.py` looks at

With :math:`h_i = \exp(2 (y_i - x_i'\beta))` the fit minimizes :math:`\sum_i (h_i - \ln h_i - 1) / 2 +
\beta'\Lambda\beta` by Newton; where errors are small that is squared log errors, with the same penalty. Of the training
data it keeps the quadratic at the minimum, sums of the size that the regression keeps; rows since are fitted as they
are. ``mean`` is of the logs of both; ``chosen`` is whichever of the three has the lowest QLIKE on the validation part.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from development import development_parts
from network_worth import WINDOWS, window_bars

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, time_index
from volcast.evaluation.losses import qlike_losses
from volcast.features.intraday import opens_market
from volcast.features.windows import TimeSplit
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import RIDGE, fit_state
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.markets.registry import market_of
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets, with_networks

_WAYS = ("log", "qlike", "mean")
_VALIDATION = 0.2
_FEWEST_BUCKETS = 50
_STEPS, _STEPS_A_DAY = 12, 2
_LARGEST_STEP = 1.0

Measures = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Rows:
    """Rows of one symbol's regression, n of them, and the logs that it forecasts, without their hour's mean."""

    design: Float64Array2D
    outcome: Float64Array1D
    days: Int64Array1D

    @classmethod
    def of(cls, state: HarLstmState, measures: pd.DataFrame) -> "Rows":
        """Those of all buckets but the first, which know too little; see `HarLstmState.memory`."""
        features, labels = state.features, time_index(measures).as_unit("us").asi8
        hours, days = market_of(measures).hours_and_days(labels)
        rows = np.arange(features.history, len(measures))
        opens, nights = opens_market(measures)[rows], features.nights_before(measures)[rows]
        design = features.design(features.states(measures), rows - 1, labels[rows], hours[rows], opens, nights)
        logs = np.log(np.maximum(measures["rv_hourly"].to_numpy()[rows], RV_FLOOR))
        return cls(design, logs - state.horizons[1].profile[hours[rows]], days[rows])

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(self.design[rows], self.outcome[rows], self.days[rows])

    def ratios(self, coefficients: Float64Array1D) -> Float64Array1D:
        """Realized over forecast variance, shape (n,)."""
        return np.asarray(np.exp(2 * (self.outcome - self.design @ coefficients)))


@dataclass(frozen=True)
class Quadratic:
    """What rows say of the coefficients near some of them: curvature, shape (p, p), and curvature times the minimum."""

    curvature: Float64Array2D
    moment: Float64Array1D

    @classmethod
    def of(cls, rows: Rows, coefficients: Float64Array1D) -> "Quadratic":
        """Half the QLIKE of `rows` near `coefficients`, up to a constant."""
        ratios = rows.ratios(coefficients)
        curvature = (rows.design * ratios[:, None]).T @ rows.design
        return cls(curvature, curvature @ coefficients + rows.design.T @ (ratios - 1) / 2)

    @classmethod
    def of_penalty(cls, penalty: Float64Array1D, centre: Float64Array1D) -> "Quadratic":
        """A penalty on how far coefficients are from `centre`, shapes (p,)."""
        return cls(np.diag(penalty), penalty * centre)

    def __add__(self, other: "Quadratic") -> "Quadratic":
        return Quadratic(self.curvature + other.curvature, self.moment + other.moment)


def fitted(start: Float64Array1D, rows: Rows, past: Quadratic, steps: int) -> Float64Array1D:
    """Coefficients of the lowest QLIKE on `rows`, with what `past` says, by Newton from `start`."""
    coefficients = start
    for _ in range(steps):
        whole = past + Quadratic.of(rows, coefficients)
        step = np.linalg.solve(whole.curvature, whole.moment) - coefficients
        moved = np.abs(rows.design @ step).max(initial=0.0)
        coefficients = coefficients + step * min(1.0, _LARGEST_STEP / max(moved, _LARGEST_STEP))
    return np.asarray(coefficients)


class QlikeRegression:
    """The fit on QLIKE, of all that is known when each day begins.

    Parameters
    ----------
    training
        Rows of the training data.
    start, penalty
        Coefficients to begin from, and its weight on how far they are from `centre`, shapes (p,).
    """

    def __init__(self, training: Rows, start: Float64Array1D, penalty: Float64Array1D, centre: Float64Array1D) -> None:
        self._penalty = Quadratic.of_penalty(penalty, centre)
        self.coefficients = fitted(start, training, self._penalty, _STEPS)
        self._past = self._penalty + Quadratic.of(training, self.coefficients)

    def forecasts(self, trained_on: Rows, rows: Rows) -> Float64Array1D:
        """Logs of `rows`, of the days after training; the level is that of the symbol's past, `trained_on` included."""
        coefficients, forecasts = self.coefficients, np.empty(len(rows.outcome))
        ratio_sum = trained_on.ratios(coefficients).sum()
        for day in np.unique(rows.days):
            today = slice(*rows.days.searchsorted([day, day + 1]))
            before = rows[: today.start]
            coefficients = fitted(coefficients, before, self._past, _STEPS_A_DAY)
            level = (ratio_sum + before.ratios(coefficients).sum()) / (len(trained_on.outcome) + today.start)
            forecasts[today] = rows.design[today] @ coefficients + 0.5 * np.log(level)
        return forecasts


def qlike_forecasts(recipe: HarLstm, measures: Measures, part: Mapping[str, slice]) -> dict[str, Float64Array1D]:
    """Logs, without their hour's mean, of the buckets `part` of each symbol, from a fit on QLIKE of those before it."""
    rows = {name: Rows.of(recipe.for_symbol(name, measures[name]), measures[name]) for name in recipe.symbols}
    history, terms = recipe.features.history, recipe.features.term_count
    past = {name: one[: part[name].start - history] for name, one in rows.items()}
    every = Rows(*(np.concatenate([getattr(one, name) for one in past.values()]) for name in Rows.__dataclass_fields__))
    by_logs = fit_state(every.design, every.outcome, terms)
    shared = QlikeRegression(every, by_logs.coefficients, by_logs.penalty, np.zeros(every.design.shape[1]))
    forecasts = {}
    for name, one in rows.items():
        asked = one[part[name].start - history : part[name].stop - history]
        forecasts[name] = shared.forecasts(past[name], asked)
        if len(rows) > 1:
            penalty = np.full(every.design.shape[1], RIDGE)
            of_symbol = QlikeRegression(past[name], shared.coefficients, penalty, shared.coefficients)
            forecasts[name] = (forecasts[name] + of_symbol.forecasts(past[name], asked)) / 2
    return forecasts


def losses(recipe: HarLstm, measures: Measures, part: Mapping[str, slice]) -> dict[str, pd.DataFrame]:
    """QLIKE of each bucket of `part` that moved, by symbol: a column for each of the `_WAYS`."""
    by_qlike = qlike_forecasts(recipe, measures, part)
    tables = {}
    for name in recipe.symbols:
        frame = measures[name]
        positions = np.arange(part[name].start, part[name].stop)
        labels, realized = time_index(frame)[positions], frame["rv_hourly"].to_numpy()[positions]
        profile = recipe.for_symbol(name, frame).horizons[1].profile[market_of(frame).hours_of_labels(labels)]
        log = np.log(recipe.forecast([], frame, labels, positions).volatility)
        qlike = by_qlike[name] + profile
        moved = realized > RV_FLOOR
        ways = dict(zip(_WAYS, (log, qlike, (log + qlike) / 2), strict=True))
        tables[name] = pd.DataFrame(
            {way: qlike_losses(realized[moved], np.exp(logs[moved])) for way, logs in ways.items()}
        )
    return tables


def ratios(measures: Measures, stops: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """QLIKE relative to the fit of log errors, a row a symbol; `stops` are where training and validation end."""
    splits = {
        name: TimeSplit(slice(0, train), slice(train, validation), slice(validation, len(measures[name])))
        for name, (train, validation) in stops.items()
    }
    of_training = har_lstm_targets(measures, splits, with_market=len(measures) > 1).regression
    judged = losses(
        of_training, of_training.with_market(measures), {name: split.validation for name, split in splits.items()}
    )
    chosen = str(pd.concat(judged.values()).mean().idxmin())
    recipe = with_networks(of_training, [], measures, splits)
    tables = losses(recipe, recipe.with_market(measures), {name: split.test for name, split in splits.items()})
    means = pd.DataFrame({name: one.mean() for name, one in tables.items() if len(one) >= _FEWEST_BUCKETS}).T
    table = means.div(means["log"], axis=0)
    return table[["qlike", "mean"]].assign(chosen=table[chosen], choice=chosen)


def of_windows(data: Path, *, pooled: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each window that choices are made on, and its `ratios`."""
    for window in list(WINDOWS)[:3]:
        midnight = pd.Timestamp(WINDOWS[window][0], tz="America/New_York")
        bars = window_bars(data / "panel_5min", window)
        measures = {name: get_hourly_measures(frame) for name, frame in bars.items()}
        labels = np.sort(np.concatenate([frame.index[frame.index < midnight] for frame in measures.values()]))
        cut = labels[int(len(labels) * (1 - _VALIDATION))]
        stops = {}
        for name, frame in measures.items():
            stop = int(frame.index.searchsorted(midnight))
            train = int(frame.index.searchsorted(cut)) if pooled else int(stop * (1 - _VALIDATION))
            stops[name] = train, stop
        if pooled:
            yield window, ratios(measures, stops)
        else:
            tables = [ratios({name: frame}, {name: stops[name]}) for name, frame in measures.items()]
            yield window, pd.concat(tables)


def of_files(data: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """The development parts of the files, and their `ratios`."""
    tables = {
        name: ratios({name: measures}, {name: (int(first * (1 - _VALIDATION)), first)})
        for name, measures, first in development_parts(data)
    }
    yield "files", pd.concat(tables.values())


def main() -> None:
    """Run one part, and print its table and means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("panel", "single", "files"))
    parser.add_argument("--data", type=Path, required=True, help="folder of bars, with panel_5min in it")
    options = parser.parse_args()
    parts = (
        of_files(options.data) if options.part == "files" else of_windows(options.data, pooled=options.part == "panel")
    )
    means = {}
    for name, table in parts:
        print(f"{name}\n{table.round(4).to_string()}", flush=True)
        means[name] = table.mean(numeric_only=True)
    print(f"means\n{pd.DataFrame(means).T.round(4).to_string()}")


if __name__ == "__main__":
    main()
