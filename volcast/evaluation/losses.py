"""Losses of volatility forecasts and of their intervals; all of hourly volatilities, decimals, arrays of one shape."""

import math

import numpy as np
import numpy.typing as npt

from volcast.arrays import Float64Array1D
from volcast.measures.hourly import RV_FLOOR

__all__ = [
    "coverage",
    "interval_scores",
    "mae",
    "mse",
    "mse_log",
    "mse_variance",
    "pinball_losses",
    "qlike",
    "qlike_losses",
    "r2",
    "r2_against",
]


def qlike_losses(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> Float64Array1D:
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


def mse_variance(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean squared error of variance: consistent as QLIKE is, but ruled by the few largest buckets (Patton 2011)."""
    return mse(np.square(np.asarray(realized, dtype=float)), np.square(np.asarray(forecast, dtype=float)))


def mse_log(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean squared error of log volatility, both floored at `RV_FLOOR`."""
    logs = [np.log(np.maximum(np.asarray(values, dtype=float), RV_FLOOR)) for values in (realized, forecast)]
    return mse(*logs)


def mae(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Mean absolute error of volatility."""
    return float(np.mean(np.abs(np.asarray(realized, dtype=float) - np.asarray(forecast, dtype=float))))


def r2(realized: npt.ArrayLike, forecast: npt.ArrayLike) -> float:
    """Share of the variance of `realized` around its own mean that the forecast explains; NaN when it is constant."""
    realized = np.asarray(realized, dtype=float)
    return r2_against(realized, forecast, np.full_like(realized, realized.mean()))


def r2_against(realized: npt.ArrayLike, forecast: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Share of the squared error of `benchmark` that the forecast saves; NaN where the benchmark makes none.

    Against the mean of each hour of day it says what is known beyond the day's pattern (Campbell and Thompson 2008,
    *Review of Financial Studies* 21).
    """
    error = mse(realized, benchmark)
    return 1.0 - mse(realized, forecast) / error if error > 0 else math.nan


def coverage(realized: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> float:
    """Share of buckets whose realized volatility lies in [lower, upper]."""
    realized = np.asarray(realized, dtype=float)
    return float(np.mean((realized >= np.asarray(lower)) & (realized <= np.asarray(upper))))


def interval_scores(
    realized: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike, level: float = 0.9
) -> Float64Array1D:
    r"""Width of each interval, and :math:`2 / (1 - level)` times how far outside the realized volatility lies.

    The score whose expectation is smallest for the central interval of that `level` (Winkler 1972, *JASA* 67; Gneiting
    and Raftery 2007, *JASA* 102).
    """
    realized, lower, upper = (np.asarray(values, dtype=float) for values in (realized, lower, upper))
    outside = np.maximum(lower - realized, 0.0) + np.maximum(realized - upper, 0.0)
    return np.asarray(upper - lower + 2.0 / (1.0 - level) * outside)


def pinball_losses(realized: npt.ArrayLike, quantile: npt.ArrayLike, probability: float) -> Float64Array1D:
    """Loss whose expectation is smallest for the quantile of that `probability` (Koenker and Bassett 1978)."""
    short = np.asarray(realized, dtype=float) - np.asarray(quantile, dtype=float)
    return np.asarray(np.maximum(probability * short, (probability - 1.0) * short))
