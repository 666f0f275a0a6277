r"""Forecasts without the day's U-shape, so that those of different hours can be compared.

A bucket's typical volatility :math:`\tau_h` depends on its clock hour: at the open it is more than twice that of noon.
A forecast :math:`\hat\sigma` relative to it, times what is typical of a whole session, per year,

.. math:: \hat\sigma_{session} = \frac{\hat\sigma}{\tau_h} \sqrt{\frac{\sum_k \tau_k^2}{T_{session} / T_{year}}},

is the annualized volatility of the whole session that the forecast implies (Andersen and Bollerslev 1997, *Journal of
Empirical Finance* 4, take the pattern out of returns in the same way). For longer horizons the typical variance is that
of all of their buckets.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, Int64Array2D
from volcast.forecasters.horizons import Horizon, over_horizon
from volcast.markets.market import TradingMarket
from volcast.measures.hourly import annualize

__all__ = ["TypicalDays", "deseasonalized_volatility"]


@dataclass(frozen=True)
class TypicalDays:
    """What is typical of a day as each of n forecasts knows it, or as all of them do: then n is 1.

    Attributes
    ----------
    volatility
        Of the bucket of each clock hour, shape (n, 24); NaN where it is unknown.
    session
        Of the whole session, annualized, shape (n, p): as regular sessions are in each of the p periods of
        `TradingMarket.regular_sessions`.
    """

    volatility: Float64Array2D
    session: Float64Array2D

    @classmethod
    def of(cls, volatility: Float64Array2D, market: TradingMarket) -> "TypicalDays":
        """The days with these volatilities of clock hours, shape (n, 24), of a market."""
        sessions = []
        for minutes, year in zip(*_regular_days(market), strict=True):
            in_session = ~np.isnan(volatility) & (minutes > 0)
            variance = np.where(in_session, volatility, 0.0) ** 2
            length = np.where(in_session, minutes, 0).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                sessions.append(annualize(np.sqrt(variance.sum(axis=1)), length, float(year)))
        return cls(volatility, np.array(sessions).T)

    def of_buckets(self, rows: Int64Array1D, hours: Int64Array1D) -> Float64Array1D:
        """Volatility of buckets in clock hours `hours` as the forecasts numbered `rows` know it, shape (n,) each."""
        return np.asarray(self.volatility[np.minimum(rows, len(self.volatility) - 1), hours])

    def of_sessions(self, rows: Int64Array1D, periods: Int64Array1D) -> Float64Array1D:
        """Annualized volatility of sessions of these periods as the forecasts numbered `rows` know it, shape (n,)."""
        return np.asarray(self.session[np.minimum(rows, len(self.session) - 1), periods])


def deseasonalized_volatility(
    volatility: Float64Array1D, labels: Int64Array1D, typical: TypicalDays, horizon: Horizon, market: TradingMarket
) -> Float64Array1D:
    """Annualized volatility (decimal) of the whole session that each forecast implies, shape (n,).

    Parameters
    ----------
    volatility
        Forecasts of the horizons, not annualized, shape (n,).
    labels
        Ends of the first bucket of each horizon, in microseconds since the epoch, in time order, shape (n,).
    typical
        What is typical of their days; the answer is NaN where the bucket's volatility is unknown.
    horizon
        What is forecast, see `forecasters.horizons`.
    market
        Name of the exchange, whose buckets they are.
    """
    session = typical.of_sessions(np.arange(len(labels)), market.regular_sessions.periods_of(labels))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(volatility / _typical_of(labels, typical, horizon, market) * session)


def _typical_of(labels: Int64Array1D, typical: TypicalDays, horizon: Horizon, market: TradingMarket) -> Float64Array1D:
    rows = np.arange(len(labels))
    if horizon == 1:
        return typical.of_buckets(rows, market.hours_and_days(labels)[0])

    def of_buckets(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        return typical.of_buckets(known, market.hours_of_labels(targets))

    index = market.clock.times(labels)
    return over_horizon(of_buckets, pd.DataFrame(), index, rows, horizon, market)


@lru_cache(maxsize=4)
def _regular_days(market: TradingMarket) -> tuple[Int64Array2D, Int64Array1D]:
    """Length of the bucket of each clock hour in a regular session of each period, shape (p, 24); of a year, (p,).

    0 where there is no such bucket.
    """
    buckets, regular = market.buckets, market.regular_sessions
    minutes = np.zeros((len(regular.begin), market.slots), dtype=np.int64)
    hours, _ = market.hours_and_days(buckets.label)
    np.maximum.at(minutes, (regular.periods_of(buckets.label), hours), buckets.minutes)
    return minutes, market.sessions_per_year * regular.minutes
