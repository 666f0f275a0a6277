"""Which sessions' total volatility can be forecast from given bars, and the moment each forecast is made."""

import numpy as np
import pandas as pd

from volcast.forecasters.total.session_table import SessionTable
from volcast.markets.market import TradingMarket
from volcast.serving.grid import ForecastGrid, NextBucket
from volcast.serving.history import HourlyHistory

__all__ = ["session_to_forecast", "total_grid"]


def session_to_forecast(sessions: SessionTable, moment: int, market: TradingMarket) -> NextBucket:
    """The session whose close is the first after a moment in microseconds, as a bucket from the close before it.

    Raises
    ------
    ConfigError
        The exchange's sessions are not known so far ahead.
    """
    every = market.sessions
    row = int(every.close.searchsorted(moment, side="right"))
    if row in (0, len(every.close)):
        raise market.beyond_the_sessions(market.clock.time(moment))
    before = int(every.close[row - 1])
    known = int(sessions.close.searchsorted(before, side="right"))
    return NextBucket(int(every.close[row]), before, int(every.minutes[row]), known)


def total_grid(history: HourlyHistory, sessions: SessionTable, market: TradingMarket) -> ForecastGrid:
    """The sessions that have a bar, and the next one, each with the close before it as its `asof`."""
    every = market.sessions
    ahead = int(every.close.searchsorted(history.last_end, side="right"))
    _, days = market.hours_and_days(history.stamps + history.length)
    rows = np.append(np.flatnonzero(np.isin(every.session[:ahead], np.unique(days))), ahead)
    asof = every.close[rows - 1]
    known = np.asarray(sessions.close.searchsorted(asof, side="right"), dtype=np.int64)
    totals = pd.DataFrame({"total_variance": sessions.total}, index=market.clock.times(sessions.close))
    return ForecastGrid(
        totals, market.clock.times(every.close[rows]), market.clock.times(asof), every.minutes[rows], known
    )
