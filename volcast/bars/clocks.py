"""What the hours of stamps tell of their zone, and of whether they are starts or ends of bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.errors import BarsError
from volcast.sessions import EXCHANGE_TIMEZONE, new_york_clock, session_schedule

__all__ = [
    "LIKELY_ZONES",
    "fitting_zones",
    "look_like_ends",
    "may_turn_to_ends",
    "require_starts",
    "say_starts",
    "zone_sentence",
]


LIKELY_ZONES = (
    EXCHANGE_TIMEZONE, "UTC", "America/Chicago", "America/Denver", "America/Los_Angeles", "Europe/London",
    "Europe/Berlin", "Europe/Athens", "Europe/Moscow", "Asia/Dubai", "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo",
    "Australia/Sydney", "America/Sao_Paulo",
)  # fmt: skip
_MINUTE = 60_000_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_CALENDAR = "XNYS"
_EXTENDED_HOURS = (4 * 60 * _MINUTE, 20 * 60 * _MINUTE)
_MOST_INSIDE = 0.95
_NEAR = 15 * _MINUTE
_MOST_DAYS = 0.8
_FEWEST_DAYS = 3
_SAMPLE = 50_000


@dataclass(frozen=True)
class _Days:
    """First and last stamp of each session that has stamps, in microseconds since its midnight."""

    first: Int64Array1D
    last: Int64Array1D
    opens: Int64Array1D
    closes: Int64Array1D
    inside: float


def fitting_zones(
    stamps: pd.DatetimeIndex, length: pd.Timedelta, calendar: str = "XNYS", likely: Sequence[str] = LIKELY_ZONES
) -> list[str]:
    """Zones of `likely`, in their order, in which naive `stamps` of bars of `length` keep an exchange's hours.

    Stamps do where nearly all lie in regular sessions, which most days begin with, or in extended hours, which most
    days begin and end with. Dates without a time of day fit every zone.
    """
    stamps = stamps[stamps.notna()].as_unit("us")
    if (stamps.asi8 % _DAY == 0).all():
        return list(likely)
    days = np.unique(stamps.asi8 // _DAY)
    # Whole days, evenly over the span, so that both halves of a year are among them.
    few = max(_SAMPLE * len(days) // len(stamps), 1)
    chosen = days[np.unique(np.linspace(0, len(days) - 1, few).astype(int))] if few < len(days) else days
    sample = stamps[np.isin(stamps.asi8 // _DAY, chosen)]
    near = max(_NEAR, int(length // pd.Timedelta(microseconds=1)))
    return [zone for zone in likely if _keeps_hours(sample, zone, near, calendar)]


def _keeps_hours(stamps: pd.DatetimeIndex, zone: str, near: int, calendar: str) -> bool:
    there = stamps.tz_localize(zone, ambiguous=np.ones(len(stamps), dtype=bool), nonexistent="shift_forward")
    days = _days(there.sort_values(), calendar)
    if days is None:
        return False
    if days.inside >= _MOST_INSIDE and np.mean(np.abs(days.first - days.opens) <= near) >= 0.5:
        return True
    begin, end = _EXTENDED_HOURS
    within = (days.first >= begin) & (days.last <= end)
    full = within & (days.first - begin <= near) & (end - days.last <= near)
    return bool(within.mean() >= _MOST_INSIDE and full.mean() >= 0.5)


def _days(stamps: pd.DatetimeIndex, calendar: str) -> _Days | None:
    """The sessions of ordered, tz-aware `stamps`; None where they have none."""
    clock = _microseconds(stamps)
    sessions = _sessions(calendar)
    here = slice(*np.searchsorted(sessions[0], [clock[0] - 2 * _DAY, clock[-1] + 1]))
    midnights, next_midnights, opens, closes = (moments[here] for moments in sessions)
    begin, end = clock.searchsorted(midnights), clock.searchsorted(next_midnights)
    traded = begin < end
    if not traded.any():
        return None
    inside = (clock.searchsorted(closes, side="right") - clock.searchsorted(opens))[traded].sum() / len(clock)
    first, last = clock[begin[traded]], clock[end[traded] - 1]
    first, last, opens, closes = (
        moments - midnights[traded] for moments in (first, last, opens[traded], closes[traded])
    )
    return _Days(first, last, opens, closes, float(inside))


def zone_sentence(stamps: pd.DatetimeIndex, zones: Sequence[str]) -> str:
    """What is wrong with `stamps` that carry no zone and fit `zones`, to stand between a name and a way out."""
    fit = f"fit {' or '.join(zones[:2])}" if zones else "fit no session in any likely one"
    return (
        f"time stamps without a time zone (the first is {stamps[0]}), whose hours {fit}; they must say which zone it is"
    )


def look_like_ends(stamps: pd.DatetimeIndex, calendar: str = _CALENDAR) -> bool:
    """Whether tz-aware stamps in time order seem to be the ends of bars.

    They do where most days have none at the open of the session, or of extended hours, and end with one at its close.
    """
    days = _days(stamps, calendar) if len(stamps) > 1 else None
    if days is None or len(days.first) < _FEWEST_DAYS:
        return False
    begin, end = _EXTENDED_HOURS
    ends = (days.first > days.opens) & (days.last == days.closes)
    ends |= (days.first > begin) & (days.last == end)
    # One bar a day tells nothing: it has no other beside it.
    return bool((ends & (days.first < days.last)).mean() > _MOST_DAYS)


def may_turn_to_ends(before: int, last: int) -> bool:
    """Whether bars that did not look like ends may, now that those after `before` until `last`, two stamps, are there.

    Stamps are in microseconds since the epoch. Only a day that begins, or a bar at the close, can make them.
    """
    if before // _HOUR == last // _HOUR:
        return False
    clocks = new_york_clock(np.array([before, last]))
    if clocks[0] // _DAY != clocks[1] // _DAY or clocks[1] % _DAY == _EXTENDED_HOURS[1]:
        return True
    closes = _sessions(_CALENDAR)[3]
    return bool(closes[min(int(np.searchsorted(closes, last)), len(closes) - 1)] == last)


def say_starts(attrs: Mapping[Any, Any]) -> bool:
    """Whether bars with these ``attrs`` say that their stamps are starts."""
    return bool(attrs.get("stamps") == "start")


def require_starts(stamps: pd.DatetimeIndex, name: str) -> None:
    """Refuse tz-aware stamps in time order that seem to be the ends of bars.

    Raises
    ------
    BarsError
        The evidence, and the ways out.
    """
    if look_like_ends(stamps):
        raise BarsError(
            f"{name} have stamps at the close of most sessions and none at their open, as if they were the end of each "
            "bar; they must be its start; take one bar's length from bars.index, or say that they are starts with "
            "bars.attrs['stamps'] = 'start'."
        )


@lru_cache(maxsize=4)
def _sessions(calendar: str) -> tuple[Int64Array1D, Int64Array1D, Int64Array1D, Int64Array1D]:
    """Of all sessions of an exchange the day's begin and end in New York, the open and the close, in microseconds."""
    schedule = session_schedule(pd.Timestamp("1990-01-01"), pd.Timestamp("2100-01-01"), calendar)
    days = time_index(schedule).tz_localize(EXCHANGE_TIMEZONE)
    opens, closes = (_microseconds(pd.DatetimeIndex(schedule[side])) for side in ("open", "close"))
    return _microseconds(days), _microseconds(days + pd.DateOffset(days=1)), opens, closes


def _microseconds(index: pd.DatetimeIndex) -> Int64Array1D:
    moments: Int64Array1D = index.as_unit("us").asi8
    return moments
