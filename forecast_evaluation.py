"""How good a forecast is: losses, the comparison with the baselines, and a verdict in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from errors import NotEnoughDataError
from trading_sessions import EXCHANGE_TIMEZONE
from volatility_baselines import BASELINES, Baseline
from volatility_features import RV_FLOOR

__all__ = [
    "Evaluation",
    "compare_with_baselines",
    "diebold_mariano_by_day",
    "evaluate_forecasts",
    "mae",
    "mse",
    "qlike",
    "qlike_losses",
    "r2",
]

FloatArray = npt.NDArray[np.float64]

REFERENCE = "diurnal_log_har"
"""The baseline that others are compared with."""

_TITLES = {
    "network": "trained network",
    "diurnal_log_har": "diurnal log-HAR",
    "diurnal_ewma": "diurnal EWMA",
    "persistence": "persistence",
}


def qlike_losses(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> FloatArray:
    r"""QLIKE of each bucket, :math:`h - \ln h - 1` with :math:`h = RV^2 / forecast^2`; 0 for a perfect forecast.

    The loss that ranks variance forecasts consistently although variance is only observed with noise
    (Patton 2011, *Journal of Econometrics* 160). Forecasts below `RV_FLOOR` count as `RV_FLOOR`. Realized
    volatilities must be above it: `evaluate_forecasts` leaves the others out for every forecast alike.
    """
    ratio = (np.asarray(realized, dtype=float) / np.maximum(np.asarray(forecast, dtype=float), RV_FLOOR)) ** 2
    return np.asarray(ratio - np.log(ratio) - 1.0)


def qlike(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean of `qlike_losses`."""
    return float(np.mean(qlike_losses(realized, forecast)))


def mse(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean squared error of volatility."""
    return float(np.mean((np.asarray(realized, dtype=float) - np.asarray(forecast, dtype=float)) ** 2))


def mae(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean absolute error of volatility."""
    return float(np.mean(np.abs(np.asarray(realized, dtype=float) - np.asarray(forecast, dtype=float))))


def r2(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Share of the variance of `realized` around its own mean that the forecast explains; NaN when it is constant."""
    realized = np.asarray(realized, dtype=float)
    spread = float(np.mean((realized - realized.mean()) ** 2))
    return 1.0 - mse(realized, forecast) / spread if spread > 0 else math.nan


def diebold_mariano_by_day(loss: pd.Series, reference_loss: pd.Series) -> float:
    """Two-sided p-value of equal mean loss, the differences clustered by New York day.

    Diebold and Mariano 1995, *JBES* 13, with the daily mean difference as the observation; NaN under three days.
    """
    difference = (loss - reference_loss).groupby(loss.index.tz_convert(EXCHANGE_TIMEZONE).date).mean()
    if len(difference) < 3 or (spread := float(difference.std(ddof=1))) == 0:
        return math.nan
    statistic = float(difference.mean()) / (spread / math.sqrt(len(difference)))
    return math.erfc(abs(statistic) / math.sqrt(2))


@dataclass(frozen=True)
class Evaluation:
    """Losses of several forecasts on the same buckets.

    Attributes
    ----------
    metrics
        By forecast: ``qlike``, ``qlike_ratio`` (to the diurnal log-HAR), ``mse``, ``mae``, ``r2``; plus ``p_value`` of
        the Diebold-Mariano test against the diurnal log-HAR.
    first, last
        Labels of the first and last bucket judged, New York time.
    buckets
        How many buckets were judged.
    left_out
        How many were left out because next to nothing moved in them (RV under `RV_FLOOR`).
    """

    metrics: dict[str, dict[str, float]]
    first: pd.Timestamp
    last: pd.Timestamp
    buckets: int
    left_out: int

    @property
    def verdict(self) -> str:
        """One sentence: whether the network is worth using."""
        if "network" not in self.metrics:
            return "No network was judged."
        own = self.metrics["network"]
        if not math.isfinite(own.get("qlike_ratio", math.nan)):
            return (
                "Too little history for the log-HAR, so nothing can be said about whether the network is worth using."
            )
        percent = 100 * abs(own["qlike_ratio"] - 1)
        sure = own["p_value"] < 0.05
        if own["qlike_ratio"] <= 1:
            how_sure = "beyond what chance explains" if sure else "which may be chance"
            return f"The network's QLIKE is {percent:.1f} % lower than the diurnal log-HAR's, {how_sure}: use it."
        if own["qlike_ratio"] <= 1.01:
            return f"The network is as good as the diurnal log-HAR (QLIKE {percent:.1f} % higher): either will do."
        how_sure = "beyond what chance explains" if sure else "though this may be chance"
        return (
            f"Do not use this network: its QLIKE is {percent:.1f} % higher than that of a diurnal log-HAR, {how_sure}; "
            "a search with more trials, more data or another seed may do better."
        )

    def table(self) -> pd.DataFrame:
        """Losses with one row a forecast, best QLIKE first."""
        frame = pd.DataFrame(self.metrics).T.sort_values("qlike")
        return frame.rename(index=_TITLES)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; a number that does not exist is null."""
        metrics = {
            name: {key: value if math.isfinite(value) else None for key, value in row.items()}
            for name, row in self.metrics.items()
        }
        return {
            "metrics": metrics,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "buckets": self.buckets,
            "left_out": self.left_out,
            "verdict": self.verdict,
        }


def evaluate_forecasts(realized: pd.Series, forecasts: Mapping[str, npt.ArrayLike]) -> Evaluation:
    """Judge `forecasts` (hourly volatilities aligned with `realized`) on the buckets in which prices moved."""
    moved = realized.to_numpy() > RV_FLOOR
    judged = realized[moved]
    kept = {name: np.asarray(forecast, dtype=float)[moved] for name, forecast in forecasts.items()}
    losses = {name: pd.Series(qlike_losses(judged, forecast), index=judged.index) for name, forecast in kept.items()}
    metrics = {}
    for name, forecast in kept.items():
        metrics[name] = {
            "qlike": float(losses[name].mean()),
            "mse": mse(judged, forecast),
            "mae": mae(judged, forecast),
            "r2": r2(judged, forecast),
        }
        if REFERENCE in kept:
            metrics[name]["qlike_ratio"] = float(np.divide(losses[name].mean(), losses[REFERENCE].mean() or math.nan))
            metrics[name]["p_value"] = (
                math.nan if name == REFERENCE else diebold_mariano_by_day(losses[name], losses[REFERENCE])
            )
    return Evaluation(metrics, judged.index[0], judged.index[-1], len(judged), int((~moved).sum()))


def compare_with_baselines(
    measures: pd.DataFrame, positions: npt.NDArray[np.int64], network: Baseline | None = None
) -> Evaluation:
    """Judge a network beside the baselines on the buckets at `positions` of `measures`, each from all before it.

    Buckets in which next to nothing moved (nights, under the `colab` preset) are neither forecast by the baselines nor
    part of what they learn from. A baseline that has too little history is left out.
    """
    rv = measures["rv_hourly"]
    moved = rv.to_numpy() > RV_FLOOR
    traded = measures[moved]
    judged = positions[moved[positions]]
    labels = measures.index[judged]
    known = (np.cumsum(moved) - 1)[judged]
    forecasts = {} if network is None else {"network": network(measures, labels, judged)}
    for name, baseline in BASELINES.items():
        try:
            forecasts[name] = baseline(traded, labels, known)
        except NotEnoughDataError:
            continue
    return replace(evaluate_forecasts(rv.iloc[judged], forecasts), left_out=len(positions) - len(judged))
