"""Which sessions' total volatility can be forecast from given bars, and the moment each forecast is made."""

import numpy as np
import pandas as pd

from volcast.forecasters.tables import hours_and_days
from volcast.forecasters.total.session_table import SessionTable
from volcast.serving.grid import ForecastGrid, NextBucket
from volcast.serving.history import HourlyHistory
from volcast.sessions import EXCHANGE_TIMEZONE, beyond_the_sessions, new_york_times, session_calendar

__all__ = ["session_to_forecast", "total_grid"]


def session_to_forecast(sessions: SessionTable, moment: int, calendar: str) -> NextBucket:
    """The session whose close is the first after a moment in microseconds, as a bucket from the close before it.

    Raises
    ------
    ConfigError
        The exchange's sessions are not known so far ahead.
    """
    every = session_calendar(calendar)
    row = int(every.close.searchsorted(moment, side="right"))
    if row in (0, len(every.close)):
        raise beyond_the_sessions(pd.Timestamp(moment, unit="us", tz=EXCHANGE_TIMEZONE), calendar)
    before = int(every.close[row - 1])
    known = int(sessions.close.searchsorted(before, side="right"))
    return NextBucket(int(every.close[row]), before, int(every.minutes[row]), known)


def total_grid(history: HourlyHistory, sessions: SessionTable, calendar: str) -> ForecastGrid:
    """The sessions that have a bar, and the next one, each with the close before it as its `asof`."""
    every = session_calendar(calendar)
    ahead = int(every.close.searchsorted(history.last_end, side="right"))
    _, days = hours_and_days(history.stamps + history.length)
    rows = np.append(np.flatnonzero(np.isin(every.session[:ahead], np.unique(days))), ahead)
    asof = every.close[rows - 1]
    known = np.asarray(sessions.close.searchsorted(asof, side="right"), dtype=np.int64)
    totals = pd.DataFrame({"total_variance": sessions.total}, index=new_york_times(sessions.close))
    return ForecastGrid(totals, new_york_times(every.close[rows]), new_york_times(asof), every.minutes[rows], known)
