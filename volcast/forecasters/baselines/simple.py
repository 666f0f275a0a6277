r"""Forecasts that a model has to beat, each made from the past alone.

Every baseline is a `Forecaster`: ``baseline(measures, targets, known) -> forecasts``. `measures` has a row a bucket
(see `measures.bucketed`), its column ``rv_hourly`` at least, `targets` are the labels of the buckets to forecast, and
``known[i]`` is how many leading rows of `measures` the forecast for ``targets[i]`` may use. Forecasts are hourly
volatilities, shape (len(targets),). Here are those that need no fit; `forecasters.baselines.har` has the regressions,
refitted daily, and `forecasters.baselines.garch` the GARCH family, refitted weekly; `forecasters.baselines.registry`
has all of them by name.
"""

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, time_index
from volcast.forecasters.baselines.running_ewma import DECAY, RunningEwma, exponential_mean
from volcast.forecasters.tables import HourlyTable
from volcast.markets.registry import market_of
from volcast.measures.hourly import RV_FLOOR

__all__ = [
    "diurnal_ewma",
    "ewma",
    "hour_of_day_mean",
    "long_run_mean",
    "persistence",
    "same_hour_yesterday",
]


def persistence(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """The last bucket's volatility again."""
    return np.asarray(measures["rv_hourly"].to_numpy(dtype=float)[known - 1])


def same_hour_yesterday(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """The volatility of the newest known bucket with the target's hour of day; of the newest of all if none has it."""
    rows = np.arange(len(measures))[:, None]
    newest = np.maximum.accumulate(np.where(_hour_seen(measures), rows, -1), axis=0)[
        known - 1, market_of(measures).hours_of_labels(targets)
    ]
    return np.asarray(measures["rv_hourly"].to_numpy(dtype=float)[np.where(newest < 0, known - 1, newest)])


def long_run_mean(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """The root of the mean variance of all buckets so far: what one says who knows nothing of the day."""
    variance = _variance(measures)
    return np.asarray(np.sqrt((np.cumsum(variance) / np.arange(1, len(variance) + 1))[known - 1]))


def hour_of_day_mean(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """The root of the mean variance of all buckets so far with the target's hour of day; of all if none has it."""
    profile = _expanding_hourly_mean(_variance(measures), _hour_seen(measures))
    return np.asarray(np.sqrt(profile[known - 1, market_of(measures).hours_of_labels(targets)]))


def ewma(
    measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D, decay: float = DECAY
) -> Float64Array1D:
    r"""Exponentially weighted variance: :math:`\ell_i = \lambda \ell_{i-1} + (1 - \lambda) RV_i^2` (RiskMetrics)."""
    return np.asarray(np.sqrt(exponential_mean(_variance(measures).tolist(), decay)[known - 1]))


def diurnal_ewma(
    measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D, decay: float = DECAY
) -> Float64Array1D:
    """Exponentially weighted variance without its hour-of-day pattern, see `forecasters.baselines.running_ewma`."""
    table = HourlyTable.of(measures[["rv_hourly"]])
    return RunningEwma(table, decay).forecast(targets.as_unit("us").asi8, known)


def _variance(measures: pd.DataFrame) -> Float64Array1D:
    variance: Float64Array1D = np.maximum(measures["rv_hourly"].to_numpy(dtype=float), RV_FLOOR) ** 2
    return variance


def _hour_seen(measures: pd.DataFrame) -> BoolArray1D:
    """Whether each row's bucket has each hour of day: shape (n, 24)."""
    market = market_of(measures)
    return np.asarray(market.hours_of_labels(time_index(measures))[:, None] == np.arange(market.slots))


def _expanding_hourly_mean(values: Float64Array1D, seen: BoolArray1D) -> Float64Array1D:
    counts = np.cumsum(seen, axis=0)
    sums = np.cumsum(np.where(seen, values[:, None], 0.0), axis=0)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    overall = (np.cumsum(values) / np.arange(1, len(values) + 1))[:, None]
    return np.where(counts > 0, means, overall)
