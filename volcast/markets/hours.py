"""When markets trade: stretches of trading without a break, and the session that each belongs to."""

import reprlib
from dataclasses import dataclass
from datetime import date, time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D
from volcast.errors import ConfigError
from volcast.markets.clocks import clock_of

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

__all__ = ["FIRST_SESSION", "TradingHours", "calendar_of", "currency_hours", "exchange_hours", "with_daily_close"]

FIRST_SESSION = "1995-01-03"
"""Day from which sessions are known, or a later one where an exchange's calendar begins later."""

_CLOSED = {(12, 25), (1, 1)}


@dataclass(frozen=True)
class TradingHours:
    """Stretches of trading without a break, in time order, arrays of shape (n,).

    Attributes
    ----------
    session
        The day whose session each belongs to, counted from 1970-01-01, never falling.
    start, end
        When each begins and ends, in whole minutes since the epoch.
    """

    session: Int64Array1D
    start: Int64Array1D
    end: Int64Array1D


def calendar_of(name: str) -> "ExchangeCalendar":
    """The calendar of an exchange by its name in `exchange_calendars`.

    Raises
    ------
    ConfigError
        There is none.
    """
    from exchange_calendars import errors, get_calendar

    try:
        return get_calendar(name, start=FIRST_SESSION)
    except (errors.InvalidCalendarName, TypeError):
        raise ConfigError(
            f"{reprlib.repr(name)} is no exchange; it must be a name in exchange_calendars; XNYS is New York's."
        ) from None
    except (ValueError, NotImplementedError):
        pass
    try:
        # Some are known from later on alone.
        return get_calendar(name, start=get_calendar(name).bound_min())
    except (ValueError, NotImplementedError):
        raise ConfigError(
            f"exchange_calendars has {name}, and cannot make its sessions; it must be able to; name an exchange of the "
            "same hours."
        ) from None


def exchange_hours(name: str) -> TradingHours:
    """The hours of an exchange by its calendar, its breaks left out.

    Raises
    ------
    ConfigError
        There is no such exchange.
    """
    schedule = calendar_of(name).schedule
    sessions = pd.DatetimeIndex(schedule.index).to_numpy("datetime64[D]").astype(np.int64)
    opens, breaks, resumes, closes = (
        schedule[column].dt.tz_convert(None).to_numpy("datetime64[m]")
        for column in ("open", "break_start", "break_end", "close")
    )
    has_break = ~np.isnat(breaks)
    starts = np.column_stack([opens, resumes]).ravel()
    ends = np.column_stack([np.where(has_break, breaks, closes), closes]).ravel()
    chosen = np.column_stack([np.ones(len(sessions), dtype=bool), has_break]).ravel()
    return TradingHours(np.repeat(sessions, 2)[chosen], starts[chosen].astype(np.int64), ends[chosen].astype(np.int64))


def with_daily_close(hours: TradingHours, zone: str, close: time, usual: time) -> TradingHours:
    """Hours whose sessions end at `close` and no longer at `usual`, zone time: a calendar may leave out a break."""
    shown = clock_of(zone).shown(hours.end * 60_000_000) // 60_000_000 % (24 * 60)
    usual_minute, minute = (moment.hour * 60 + moment.minute for moment in (usual, close))
    return TradingHours(
        hours.session, hours.start, np.where(shown == usual_minute, hours.end - (usual_minute - minute), hours.end)
    )


def currency_hours(zone: str, turn: time, last: date) -> TradingHours:
    """Monday to Friday until `last`, each from `turn` o'clock of the day before to `turn`, zone time.

    Closed on the 25th of December and the 1st of January.
    """
    days = pd.bdate_range(FIRST_SESSION, last)
    days = days[[(day.month, day.day) not in _CLOSED for day in days]]
    turned = pd.Timedelta(hours=turn.hour, minutes=turn.minute)
    start, end = (
        (shifted + turned).tz_localize(zone).tz_convert(None).to_numpy("datetime64[m]").astype(np.int64)
        for shifted in (days - pd.Timedelta(days=1), days)
    )
    return TradingHours(days.to_numpy("datetime64[D]").astype(np.int64), start, end)
