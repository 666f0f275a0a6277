"""The default forecast, carried on from call to call: each costs the buckets that are new, not those since training.

A series of forecasts and a single one are the same code: all buckets are new to a series, one is to the next call of a
live loop. What a bucket adds is the same to the last bit however many come at a time.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volcast.arrays import GrowingArray
from volcast.bars.arrays import same_beginning
from volcast.features.intraday import IntradayFeatures
from volcast.forecasters.har_lstm.regression import RefittedRegression
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.horizons import HORIZONS, Horizon, IntervalForecast
from volcast.forecasters.tables import HourlyRows
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network
from volcast.sessions import new_york_clock

__all__ = ["RunningForecast", "RunningForecasts"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_HOUR, _HOURS = 3_600_000_000, 24
_MOST_TABLES = 32


class RunningForecasts:
    """The running forecasts of one recipe, kept apart for each thread, horizon and table of measures.

    Parameters
    ----------
    recipe, networks
        Those of a bundle.
    """

    def __init__(self, recipe: HarLstmState, networks: Sequence[Network]) -> None:
        self._recipe, self._networks = recipe, networks
        self._own = threading.local()

    def forecast(self, history: HourlyRows, label: int, known: int, horizon: Horizon) -> IntervalForecast:
        """As `HarLstm.forecast_horizon` of one bucket, whose `label` is in microseconds since the epoch."""
        running: dict[tuple[Horizon, int, bytes], RunningForecast] = self._own.__dict__.setdefault("running", {})
        # Tables that begin with the same bucket are taken for one that grows; `RunningForecast` sees whether it did.
        key = horizon, int(history.labels[0]), history.values[0].tobytes()
        own = running.pop(key, None) or RunningForecast(self._recipe, self._networks, horizon)
        running[key] = own
        if len(running) > _MOST_TABLES:
            del running[next(iter(running))]
        return own.forecast(history, np.array([label]), np.array([known]))


class RunningForecast:
    """Forecasts of one horizon for one table of measures that grows.

    Rows that are no longer what they were, and all after them, are computed anew.

    Parameters
    ----------
    recipe, networks
        Those of a bundle.
    horizon
        One of `forecasters.horizons.HORIZONS`.
    """

    def __init__(self, recipe: HarLstmState, networks: Sequence[Network], horizon: Horizon) -> None:
        self._recipe, self._horizon = recipe, horizon
        self._state = recipe.horizons[horizon]
        self._networks = networks if horizon == 1 and recipe.weight else ()
        self._table = _Table(recipe.features, recipe.window)
        self._regression = RefittedRegression(self._state.regression)
        # Of the buckets since training: rows of the regression, and forecasts of the log, `_first` being the first.
        self._first = 0
        terms = len(self._state.regression.moment)
        self._design, self._forecasts = GrowingArray(np.float64, terms), GrowingArray(np.float64)
        # Of those whose outcome is known: its log, the same without the hour's mean, and the row it was known with.
        self._outcomes, self._centred = GrowingArray(np.float64), GrowingArray(np.float64)
        self._known_with = GrowingArray(np.int64)
        # The tracked bounds before each of these, and after the last.
        self._lowers, self._uppers = GrowingArray(np.float64), GrowingArray(np.float64)
        self._lowers.append(np.array([self._state.tracker.lower]))
        self._uppers.append(np.array([self._state.tracker.upper]))
        self._asked: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}

    def forecast(self, history: HourlyRows, labels: IntArray, known: IntArray) -> IntervalForecast:
        """As `HarLstm.forecast_horizon`, whose result it is; `labels`, shape (n,), in microseconds since the epoch.

        All rows of `history` are taken in.
        """
        before = len(self._table)
        kept = self._table.carry_on(history)
        if kept < before:
            self._forget(kept)
        self._take_in()
        hours, days = _hours_and_days(labels)
        own = self._own_row(labels, known)
        others = own < 0
        log_forecast = self._forecasts.values[own] if len(self._forecasts) else np.empty(len(labels))
        if others.any():
            asked = known[others], hours[others], days[others]
            design = self._design_of(*asked)
            log_forecast[others] = made = self._log_forecasts(design, *asked)
            # The next bucket to end is the one that was asked last.
            self._asked = {(int(labels[others][-1]), int(known[others][-1])): (design[-1:], made[-1:])}
        scored = self._known_with.values.searchsorted(known)
        low, high = self._state.tracker.bounds(hours, self._lowers.values[scored], self._uppers.values[scored])
        volatility = np.exp(log_forecast)
        return IntervalForecast(volatility, volatility * low, volatility * high)

    def _own_row(self, labels: IntArray, known: IntArray) -> IntArray:
        """Which bucket since training each asked one is; -1 where it is not, or has no row yet."""
        inside = known < len(self._table)
        same = np.zeros(len(labels), dtype=bool)
        same[inside] = self._table.labels.values[known[inside]] == labels[inside]
        return np.where(same & (known >= self._first), known - self._first, -1)

    def _forget(self, rows: int) -> None:
        """Forget what was made of rows of the table from `rows` on."""
        known = int(np.searchsorted(self._known_with.values, rows, side="left"))
        for made in (self._design, self._forecasts):
            made.cut(max(rows - self._first, 0))
        for noted in (self._outcomes, self._centred):
            noted.cut(known)
        self._known_with.cut(known)
        for bound in (self._lowers, self._uppers):
            bound.cut(known + 1)
        self._regression.forget(known)
        self._asked = {}

    def _take_in(self) -> None:
        """Add the rows of the table that are new."""
        table, recipe = self._table, self._recipe
        if not len(self._forecasts):
            trained = np.searchsorted(table.labels.values, recipe.trained_through.value // 1000, side="right")
            self._first = max(int(trained), recipe.memory)
        rows = np.arange(self._first + len(self._forecasts), len(table))
        if not len(rows):
            return
        self._note_outcomes()
        asked = int(table.labels.values[rows[0]]), int(rows[0])
        if len(rows) > 1 or asked not in self._asked:
            hours, days = table.hours.values[rows], table.days.values[rows]
            design = self._design_of(rows, hours, days)
            self._design.append(design)
            self._forecasts.append(self._log_forecasts(design, rows, hours, days))
        else:
            design, made = self._asked[asked]
            self._design.append(design)
            self._forecasts.append(made)
        self._track()

    def _note_outcomes(self) -> None:
        """Add the outcomes that are known by now."""
        table = self._table
        first = self._first + len(self._outcomes)
        begin = int(np.searchsorted(table.days.values, table.days.values[first]))
        variance = table.variance.values[begin:]
        outcomes = HORIZONS[self._horizon].outcomes(variance, table.opens(begin))
        known = outcomes.known_with < len(variance)
        known[: first - begin] = False
        logs = np.log(np.maximum(outcomes.volatility[known], RV_FLOOR))
        hours = table.hours.values[begin:][known]
        self._outcomes.append(logs)
        self._centred.append(logs - self._state.profile[hours])
        self._known_with.append(outcomes.known_with[known] + begin)

    def _design_of(self, known: IntArray, hours: IntArray, days: IntArray) -> FloatArray:
        opens = days != self._table.days.values[known - 1]
        return self._recipe.features.design(self._table.states.values, known - 1, hours, days, opens)

    def _log_forecasts(self, design: FloatArray, known: IntArray, hours: IntArray, days: IntArray) -> FloatArray:
        """Forecasts of the log for buckets at these hours and days, each from the rows before `known`."""
        # A day's regression is fitted before its first bucket, on the buckets of the days before.
        begins = np.minimum(self._table.days.values.searchsorted(days), known)
        counts = self._known_with.values.searchsorted(begins)
        for count in sorted(set(counts.tolist())):
            self._regression.refit(self._design.values, self._centred.values, count)
        forecast, smearing = self._regression.forecasts(design, counts)
        log_forecast = forecast + self._state.profile[hours] + smearing
        if self._networks:
            opens = days != self._table.days.values[known - 1]
            windows = self._table.windows(known - 1, hours, opens)
            correction = sum(network(windows) for network in self._networks) / len(self._networks)
            log_forecast += self._recipe.weight * correction * self._recipe.correction_spread
            log_forecast += self._recipe.smearing_shift
        return log_forecast

    def _track(self) -> None:
        """Carry the bounds on over the outcomes that are new."""
        tracked = slice(len(self._lowers) - 1, len(self._outcomes))
        errors = self._outcomes.values[tracked] - self._forecasts.values[tracked]
        hours = self._table.hours.values[self._first :][tracked]
        given = self._known_with.values.searchsorted(np.arange(tracked.start, tracked.stop) + self._first)
        lowers, uppers = self._lowers.values, self._uppers.values
        lowers, uppers = self._state.tracker.carried_on(errors, hours, lowers, uppers, given)
        self._lowers.append(lowers)
        self._uppers.append(uppers)


class _Table:
    """Rows of measures as arrays, and what the networks and the regression see of each."""

    def __init__(self, features: IntradayFeatures, window: int) -> None:
        self._features, self._window = features, window
        self._given: HourlyRows | None = None
        self._places: list[int] = []
        self.labels, self.hours, self.days = (GrowingArray(np.int64) for _ in range(3))
        states = len(features.state_mean)
        self.variance, self.states = GrowingArray(np.float64), GrowingArray(np.float64, states)
        # Of each row but the last: a step tells when the next bucket is.
        self._steps = GrowingArray(np.float32, states + 3)

    def __len__(self) -> int:
        return len(self.labels)

    def carry_on(self, history: HourlyRows) -> int:
        """Take in the rows of `history`; returns how many leading rows are what they were."""
        kept = self._kept(history)
        if kept < len(history) or kept < len(self):
            self._cut(kept)
            self._add(history.values[kept:, self._places], history.labels[kept:])
        self._given = history
        return kept

    def opens(self, begin: int) -> BoolArray:
        """Whether each row from `begin` on is of another session than the one before it; the first counts as one."""
        days = self.days.values[begin:]
        return np.append(True, days[1:] != days[:-1])[: len(days)]

    def windows(self, last: IntArray, next_hours: IntArray, next_opens: BoolArray) -> npt.NDArray[np.float32]:
        """What a network takes, shape (n, window, F), to forecast buckets in `next_hours` from rows up to `last`."""
        final = self._features.steps(self.states.values[last], next_hours, next_opens)
        earlier = self._steps.values[(last - self._window + 1)[:, None] + np.arange(self._window - 1)]
        return np.concatenate([earlier, final[:, None]], axis=1)

    def _kept(self, history: HourlyRows) -> int:
        earlier, names = self._given, history.names
        if earlier is None or not (names is earlier.names or names.equals(earlier.names)):
            self._places = [names.get_loc(name) for name in self._features.columns_read(names)]
            return 0
        both = min(len(history), len(earlier))
        if same_beginning(history.values, earlier.values, both) and same_beginning(
            history.labels, earlier.labels, both
        ):
            return both
        values, before = history.values[:both], earlier.values[:both]
        alike = (values == before) | np.isnan(values) & np.isnan(before)
        equal = (history.labels[:both] == earlier.labels[:both]) & alike.all(axis=1)
        return both if equal.all() else int(np.argmin(equal))

    def _cut(self, rows: int) -> None:
        for stamps in (self.labels, self.hours, self.days):
            stamps.cut(rows)
        self.variance.cut(rows)
        self.states.cut(rows)
        self._steps.cut(max(rows - 1, 0))

    def _add(self, columns: FloatArray, labels: IntArray) -> None:
        hours, days = _hours_and_days(labels)
        self.labels.append(labels)
        self.hours.append(hours)
        self.days.append(days)
        self.variance.append(columns[:, 0] ** 2)
        self.states.append(self._features.states_of_columns(columns, hours))
        # The last row's step waits for the row behind it.
        done, stop = len(self._steps), max(len(self) - 1, 0)
        hours, days = self.hours.values[done + 1 :], self.days.values[done:]
        self._steps.append(self._features.steps(self.states.values[done:stop], hours, days[1:] != days[:-1]))


def _hours_and_days(labels: IntArray) -> tuple[IntArray, IntArray]:
    """Clock hour and day in New York of buckets labelled in microseconds since the epoch."""
    hours = new_york_clock(labels) // _HOUR
    return hours % _HOURS, hours // _HOURS
