r"""Forecasts without the day's U-shape, so that those of different hours can be compared.

A bucket's typical volatility :math:`\tau_h` depends on its clock hour: at the open it is more than twice that of noon.
A forecast :math:`\hat\sigma` relative to it, times what is typical of a whole session, per year,

.. math:: \hat\sigma_{session} = \frac{\hat\sigma}{\tau_h} \sqrt{\frac{\sum_k \tau_k^2}{T_{session} / T_{year}}},

is the annualized volatility of the whole session that the forecast implies (Andersen and Bollerslev 1997, *Journal of
Empirical Finance* 4, take the pattern out of returns in the same way). For longer horizons the typical variance is that
of all of their buckets.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.forecasters.horizons import Horizon, over_horizon
from volcast.forecasters.tables import hours_and_days
from volcast.measures.hourly import annualize
from volcast.sessions import EXCHANGE_TIMEZONE, bucket_calendar, session_hours

__all__ = ["deseasonalized_volatility"]

_HOURS = 24


def deseasonalized_volatility(
    volatility: Float64Array1D, labels: Int64Array1D, typical: Float64Array1D, horizon: Horizon, calendar: str
) -> Float64Array1D:
    """Annualized volatility (decimal) of the whole session that each forecast implies, shape (n,).

    Parameters
    ----------
    volatility
        Forecasts of the horizons, not annualized, shape (n,).
    labels
        Ends of the first bucket of each horizon, in microseconds since the epoch, in time order, shape (n,).
    typical
        Volatility that is typical of the bucket of each clock hour in New York, as it is known to each forecast, shape
        (n, 24); NaN where it is unknown, as the answer is then.
    horizon
        What is forecast, see `forecasters.horizons`.
    calendar
        Name of the exchange, whose buckets they are.
    """
    minutes = _minutes_of_hours(calendar)
    in_session = ~np.isnan(typical) & (minutes > 0)
    variance = np.where(in_session, typical, 0.0) ** 2
    length = np.where(in_session, minutes, 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        session = annualize(np.sqrt(variance.sum(axis=1)), length)
        return np.asarray(volatility / _typical_of(labels, typical, horizon, calendar) * session)


def _typical_of(labels: Int64Array1D, typical: Float64Array1D, horizon: Horizon, calendar: str) -> Float64Array1D:
    rows = np.arange(len(labels))
    if horizon == 1:
        hours, _ = hours_and_days(labels)
        return np.asarray(typical[rows, hours])

    def of_buckets(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        return np.asarray(typical[known, session_hours(targets)])

    index = pd.DatetimeIndex(labels.view("M8[us]"), tz="UTC").tz_convert(EXCHANGE_TIMEZONE)
    return over_horizon(of_buckets, pd.DataFrame(), index, rows, horizon, calendar)


@lru_cache(maxsize=4)
def _minutes_of_hours(calendar: str) -> Int64Array1D:
    """Length of the bucket of each clock hour in a whole session, shape (24,); 0 where there is none."""
    buckets, minutes = bucket_calendar(calendar), np.zeros(_HOURS, dtype=np.int64)
    hours, _ = hours_and_days(buckets.label)
    np.maximum.at(minutes, hours, buckets.minutes)
    return minutes
