"""How good a forecast of total volatility is, horizon by horizon, beside the daily baselines.

What came is realized variance plus the squared night, summed over the sessions of a horizon: noisy, but free of bias,
so QLIKE ranks forecasts by it as it would by the true variance (Patton 2011, *Journal of Econometrics* 160). Horizons
that begin one session apart overlap, which the tests allow for.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.errors import NotEnoughDataError
from volcast.evaluation.losses import coverage, qlike_losses
from volcast.evaluation.significance import diebold_mariano_by_day, mincer_zarnowitz
from volcast.evaluation.verdict import MODEL
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.baselines import TOTAL_BASELINES, TotalBaseline
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.session_table import MEASURES_READ
from volcast.forecasters.total.terms import FEWEST_SESSIONS
from volcast.measures.hourly import RV_FLOOR
from volcast.store.bundle import ModelBundle

__all__ = ["FEWEST_SESSIONS_JUDGED", "TOTAL_REFERENCE", "TotalEvaluation", "evaluate_totals"]

TOTAL_REFERENCE = "daily_har"
"""The baseline that the others are compared with."""

FEWEST_SESSIONS_JUDGED = 10
"""Sessions whose outcomes must be known for a horizon to be judged."""


@dataclass(frozen=True)
class TotalEvaluation:
    """Forecasts of total volatility over one horizon, judged on the same sessions.

    Attributes
    ----------
    metrics
        By forecast, means of the symbols': ``qlike``; ``qlike_ratio`` to the daily HAR with nights; ``mz_intercept``,
        ``mz_slope`` and, of one symbol, ``mz_p_value`` of Mincer and Zarnowitz. Of all symbols together: ``p_value`` of
        the Diebold-Mariano test against the daily HAR; ``bias``, the root of mean realized over mean forecast
        variance; of the model ``coverage``. What needs a forecast that is not there is absent.
    by_session
        Indexed by the close as of which a forecast is made (market time), symbol after symbol, columns ``symbol``,
        ``realized``, each forecast, and the model's ``lower`` and ``upper``: volatilities of the horizon, decimal, not
        annualized.
    """

    metrics: Mapping[str, Mapping[str, float]]
    by_session: pd.DataFrame

    @property
    def sessions(self) -> int:
        """How many forecasts were judged."""
        return len(self.by_session)

    def to_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON; a number that does not exist is null."""
        metrics = {
            name: {key: value if math.isfinite(value) else None for key, value in row.items()}
            for name, row in self.metrics.items()
        }
        closes = time_index(self.by_session)
        span = {"first": closes.min().isoformat(), "last": closes.max().isoformat()}
        return {"metrics": metrics, "sessions": self.sessions, **span}


def evaluate_totals(
    bundle: ModelBundle,
    measures: Mapping[str, pd.DataFrame],
    positions: Mapping[str, Int64Array1D],
    baselines: Mapping[str, TotalBaseline] = TOTAL_BASELINES,
) -> dict[str, TotalEvaluation]:
    """Judge a model's forecasts of total volatility, by horizon.

    Parameters
    ----------
    bundle
        The model.
    measures
        By symbol, see `measures.bucketed`.
    positions
        By symbol, the rows whose span is judged, rising: forecasts as of closes from the first row's start on, whose
        outcomes are known with the last.
    baselines
        To judge beside; one that has too little history is left out.

    Returns
    -------
    By name of the horizon, those of which at least `FEWEST_SESSIONS_JUDGED` outcomes are known; none for measures that
    know no nights, as under the preset ``"colab"``.
    """
    parts: dict[str, list[pd.DataFrame]] = {horizon: [] for horizon in TOTAL_HORIZONS}
    for name, frame in measures.items():
        if len(positions[name]) == 0 or not set(MEASURES_READ) <= set(frame.columns):
            continue
        for horizon, part in _judged(bundle, name, frame, positions[name], baselines).items():
            parts[horizon].append(part.assign(symbol=name))
    return {horizon: _evaluated(pd.concat(of, join="inner"), horizon) for horizon, of in parts.items() if of}


def _judged(
    bundle: ModelBundle,
    symbol: str,
    measures: pd.DataFrame,
    positions: Int64Array1D,
    baselines: Mapping[str, TotalBaseline],
) -> dict[str, pd.DataFrame]:
    """By horizon, what came and what was forecast of one symbol."""
    labels = time_index(measures)
    longest = pd.Timedelta(minutes=bundle.config.effective_market.whole_bucket_minutes)
    first, last = labels[positions[0]] - longest, labels[positions[-1]]
    table = HourlyTable.of(measures.iloc[: int(positions[-1]) + 1])
    totals = RunningTotals(bundle.total_state(symbol), table, bundle.config.effective_market)
    totals.follow(last.value // 1000)
    sessions, parts = totals.sessions, {}
    for horizon, count in TOTAL_HORIZONS.items():
        outcomes = sessions.outcomes(count)
        begun = (sessions.close >= first.value // 1000) & (np.arange(len(sessions)) >= FEWEST_SESSIONS - 1)
        rows = np.flatnonzero(begun & (np.nan_to_num(outcomes) > RV_FLOOR))
        if len(rows) < FEWEST_SESSIONS_JUDGED:
            continue
        known = rows + 1
        forecast = totals.forecast(known, horizon)
        columns = {
            "realized": outcomes[rows], MODEL: forecast.volatility, "lower": forecast.lower, "upper": forecast.upper,
        }  # fmt: skip
        for name, baseline in baselines.items():
            with contextlib.suppress(NotEnoughDataError):
                columns[name] = baseline(sessions, known, count)
        closes = sessions.market.clock.times(sessions.close[rows])
        parts[horizon] = pd.DataFrame(columns, index=closes.rename("asof"))
    return parts


def _evaluated(by_session: pd.DataFrame, horizon: str) -> TotalEvaluation:
    overlap = TOTAL_HORIZONS[horizon]
    forecasts = [name for name in by_session.columns if name not in ("symbol", "realized", "lower", "upper")]
    losses = pd.DataFrame(
        {name: qlike_losses(by_session["realized"], by_session[name]) for name in forecasts}, by_session.index
    )
    means = losses.groupby(by_session["symbol"].to_numpy()).mean()
    metrics = {name: _metrics(by_session, name, overlap) for name in forecasts}
    for name, row in metrics.items():
        row["qlike"] = float(means[name].mean())
        if TOTAL_REFERENCE in losses:
            row["qlike_ratio"] = float((means[name] / means[TOTAL_REFERENCE]).mean())
            row["p_value"] = diebold_mariano_by_day(losses[name], losses[TOTAL_REFERENCE], overlap=overlap)
    inside = coverage(by_session["realized"], by_session["lower"], by_session["upper"])
    metrics[MODEL]["coverage"] = inside
    return TotalEvaluation(metrics, by_session)


def _metrics(by_session: pd.DataFrame, name: str, overlap: int) -> dict[str, float]:
    """Bias of a forecast over all symbols, and Mincer's and Zarnowitz's regression: the mean of the symbols'."""
    squares = by_session[["realized", name]].to_numpy(dtype=float) ** 2
    regressions = [
        mincer_zarnowitz(part["realized"], part[name], overlap=overlap) for _, part in by_session.groupby("symbol")
    ]
    row = {
        "bias": float(np.sqrt(squares[:, 0].mean() / squares[:, 1].mean())),
        "mz_intercept": float(np.mean([one.intercept for one in regressions])),
        "mz_slope": float(np.mean([one.slope for one in regressions])),
    }
    return {**row, "mz_p_value": regressions[0].p_value} if len(regressions) == 1 else row
