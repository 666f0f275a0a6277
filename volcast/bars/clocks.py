"""What the hours of stamps tell of their zone, and of whether they are starts or ends of bars."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Int64Array1D
from volcast.errors import BarsError
from volcast.markets.fit import some_weeks
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named

__all__ = [
    "LIKELY_ZONES",
    "DayEdges",
    "fitting_zones",
    "look_like_ends",
    "require_starts",
    "whole_ends",
    "zone_sentence",
]


LIKELY_ZONES = (
    DEFAULT_ZONE, "UTC", "America/Chicago", "America/Denver", "America/Los_Angeles", "Europe/London",
    "Europe/Berlin", "Europe/Athens", "Europe/Moscow", "Asia/Dubai", "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo",
    "Australia/Sydney", "America/Sao_Paulo", "Etc/GMT+5", "Etc/GMT+6", "Etc/GMT-1", "Etc/GMT-2",
)  # fmt: skip
"""In some of them clocks show one time all year, as those of some brokers do."""

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_EXTENDED_HOURS = (4 * 60 * _MINUTE, 20 * 60 * _MINUTE)
_MOST_INSIDE = 0.95
_FEWEST_THAT_FIT = 0.5
_AS_WELL = 0.05
_NEAR = 15 * _MINUTE
_MOST_DAYS = 0.8
_FEWEST_DAYS = 3


@dataclass(frozen=True)
class _Days:
    """First and last stamp of each day that has stamps, in microseconds since its begin, its hours the same.

    Where sessions follow each other without a night, a day is as long as they do: a week of currencies.
    """

    begins: Int64Array1D
    stops: Int64Array1D
    first: Int64Array1D
    last: Int64Array1D
    opens: Int64Array1D
    closes: Int64Array1D
    inside: float

    def end_at(self, closes: Int64Array1D | int) -> BoolArray1D:
        """Whether the last stamp of each day lies at such a close, or, as all do before whole minutes, just before."""
        left = closes - self.last
        return np.asarray((left == 0) | (_is_just_before(left) & _is_just_before(-self.first % _MINUTE)))


def fitting_zones(
    stamps: pd.DatetimeIndex,
    length: pd.Timedelta,
    market: TradingMarket | None = None,
    likely: Sequence[str] | None = None,
) -> list[str]:
    """Zones of `likely` in which naive `stamps` of bars of `length` keep a market's hours, its own first.

    None are the market's own zone and `LIKELY_ZONES`.

    Stamps do where nearly all lie in sessions, which most days begin with, or in New York's extended hours, which most
    days begin and end with. Where one session follows the other without a night, weeks must begin and end with them.
    Dates without a time of day fit every zone, and of a market that never closes hours tell none.
    """
    market = market or market_named(DEFAULT_MARKET)
    zones = dict.fromkeys((market.zone, *LIKELY_ZONES)) if likely is None else likely
    likely = sorted(zones, key=lambda zone: zone != market.zone)
    stamps = stamps[stamps.notna()].as_unit("us")
    if market.never_closes:
        return []
    if (stamps.asi8 % _DAY == 0).all():
        return list(likely)
    # Both halves of a year are among them.
    sample = pd.DatetimeIndex(some_weeks(stamps.asi8).view("M8[us]"))
    near = max(_NEAR, int(length // pd.Timedelta(microseconds=1)))
    shares = {zone: _days_that_fit(sample, zone, near, market) for zone in likely}
    # A zone whose summer time is another, or is none, fits half of a year.
    fewest = max(_FEWEST_THAT_FIT, max(shares.values()) - _AS_WELL)
    return [zone for zone, share in shares.items() if share >= fewest]


def _days_that_fit(stamps: pd.DatetimeIndex, zone: str, near: int, market: TradingMarket) -> float:
    """Share of days that begin as sessions, or begin and end as New York's extended hours; 0 where they go beyond."""
    there = stamps.tz_localize(zone, ambiguous=np.ones(len(stamps), dtype=bool), nonexistent="shift_forward")
    days = _days(_microseconds(there.sort_values()), market)
    if days is None:
        return 0.0
    begins_near = np.abs(days.first - days.opens) <= near
    if (days.closes > _DAY).any():
        begins_near &= np.abs(days.closes - days.last) <= near
    share = float(np.mean(begins_near))
    if days.inside >= _MOST_INSIDE and share >= _FEWEST_THAT_FIT:
        return share
    if not _has_extended_hours(market):
        return 0.0
    begin, end = _EXTENDED_HOURS
    within = (days.first >= begin) & (days.last <= end)
    full = within & (days.first - begin <= near) & (end - days.last <= near)
    return float(full.mean()) if within.mean() >= _MOST_INSIDE else 0.0


def _has_extended_hours(market: TradingMarket) -> bool:
    """Whether stocks trade before and after its sessions, as they do in New York."""
    return market.zone == DEFAULT_ZONE and not market.day_turns


def _days(clock: Int64Array1D, market: TradingMarket) -> _Days | None:
    """The days of ordered stamps in microseconds since the epoch; None where they have none."""
    all_begins, all_stops, all_opens, all_closes = _all_days(market)
    here = slice(*np.searchsorted(all_stops, [clock[0], clock[-1] + 1]) + np.array([0, 1]))
    begins, stops, opens, closes = (moments[here] for moments in (all_begins, all_stops, all_opens, all_closes))
    begin, end = clock.searchsorted(begins), clock.searchsorted(stops)
    traded = begin < end
    if not traded.any():
        return None
    inside = (clock.searchsorted(closes, side="right") - clock.searchsorted(opens))[traded].sum() / len(clock)
    first, last = clock[begin[traded]], clock[end[traded] - 1]
    first, last, opens, closes = (moments - begins[traded] for moments in (first, last, opens[traded], closes[traded]))
    return _Days(begins[traded], stops[traded], first, last, opens, closes, float(inside))


def zone_sentence(stamps: pd.DatetimeIndex, zones: Sequence[str], market: TradingMarket) -> str:
    """What is wrong with `stamps` that carry no zone and fit `zones`, to stand between a name and a way out."""
    fit = f"fit {' or '.join(zones[:2])}" if zones else f"fit no session of {market.name} in any likely one"
    last = market.clock.time(int(market.sessions.close[-1])).tz_localize(None)
    if not zones and stamps.min() > last:
        fit = f"fit none, since the sessions of {market.name} are known until {last:%Y-%m-%d}"
    if market.never_closes:
        fit = f"tell none, since {market.name} never closes"
    return (
        f"time stamps without a time zone (the first is {stamps[0]}), whose hours {fit}; they must say which zone it is"
    )


@dataclass(frozen=True)
class DayEdges:
    """When stamps begin and end from session to session: at the open and before the close, or, where they are the ends
    of bars, after the open and at the close; carried on as stamps come.

    Where sessions follow each other without a night, several are one here: those of a week. Where nothing ever closes,
    nothing is told.

    Attributes
    ----------
    market
        Whose sessions.
    past, past_ends
        How many sessions there are before the last one, and in how many of them stamps seem to be ends.
    edges
        First and last stamp of the last session, in microseconds since the epoch, shape (2,); none before any session.
    is_end
        Whether its stamps seem to be ends.
    quiet_until
        Stamps before this moment change nothing of it, in microseconds since the epoch.
    """

    market: TradingMarket = field(default_factory=lambda: market_named(DEFAULT_MARKET))
    past: int = 0
    past_ends: int = 0
    edges: tuple[int, ...] = ()
    is_end: bool = False
    quiet_until: int = 0

    def followed_by(self, stamps: Int64Array1D) -> "DayEdges":
        """With `stamps` in microseconds since the epoch, in time order, behind the others."""
        if not len(stamps) or stamps[-1] < self.quiet_until or self.market.never_closes:
            return self
        clock = np.concatenate([np.array(self.edges, dtype=np.int64), stamps])
        days = _days(clock, self.market)
        if days is None:
            return self
        ends = (days.first > days.opens) & days.end_at(days.closes)
        begin, end = _EXTENDED_HOURS
        if _has_extended_hours(self.market):
            ends |= (days.first > begin) & days.end_at(end)
        # One bar a day tells nothing: it has no other beside it.
        ends &= days.first < days.last
        past, is_end = self.past + len(ends) - 1, bool(ends[-1])
        day_begin, last = int(days.begins[-1]), int(days.begins[-1] + days.last[-1])
        closes = int(days.closes[-1]), end
        changes = *(day_begin + close - early for close in closes for early in (_SECOND, 0)), int(days.stops[-1])
        quiet_until = last if is_end else min((moment for moment in changes if moment > last), default=last)
        edges = (day_begin + int(days.first[-1]), last)
        return DayEdges(self.market, past, self.past_ends + int(ends[:-1].sum()), edges, is_end, quiet_until)

    @property
    def look_like_ends(self) -> bool:
        """Whether the stamps seem to be the ends of bars.

        They do where most days have none at the open of the session, or of extended hours, and end with one at its
        close.
        """
        days = self.past + 1
        return days >= _FEWEST_DAYS and (self.past_ends + self.is_end) / days > _MOST_DAYS


def _is_just_before(left: Int64Array1D) -> BoolArray1D:
    """Whether what is left to a moment is a second or less: 9:34:59, or 9:34:59.999, as some write an end."""
    return (left > 0) & (left <= _SECOND)


def whole_ends(ends: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The ends of bars; where all that are in no whole minute lie just before one, the whole minutes."""
    left = -_microseconds(ends) % _MINUTE
    if not ((left == 0) | _is_just_before(left)).all():
        return ends
    return ends + pd.to_timedelta(left, unit="us")


def look_like_ends(stamps: pd.DatetimeIndex, market: TradingMarket | None = None) -> bool:
    """Whether tz-aware stamps in time order seem to be ends of bars, see `DayEdges`; no market is New York's."""
    days = DayEdges() if market is None else DayEdges(market)
    return days.followed_by(_microseconds(stamps)).look_like_ends


def require_starts(days: DayEdges, name: str) -> None:
    """Refuse bars whose stamps seem to be ends.

    Raises
    ------
    BarsError
        The evidence, and the ways out.
    """
    if days.look_like_ends:
        raise BarsError(
            f"{name} have stamps at the close of most sessions and none at their open, as if they were the end of each "
            "bar; they must be its start; take one bar's length from bars.index, or say that they are starts with "
            "bars.attrs['stamps'] = 'start'."
        )


@lru_cache(maxsize=8)
def _all_days(market: TradingMarket) -> tuple[Int64Array1D, Int64Array1D, Int64Array1D, Int64Array1D]:
    """When all days of a market that have sessions begin and stop, open and close, in microseconds, see `_Days`."""
    sessions = market.sessions
    first = np.flatnonzero(np.append(True, sessions.open[1:] != sessions.close[:-1]))
    last = np.append(first[1:], len(sessions.open)) - 1
    begins, stops = (_begins(sessions.session[rows] + later, market) for rows, later in ((first, 0), (last, 1)))
    # What is stamped at a close is of the day that closes, also where this is the end of the day.
    return begins, np.maximum(stops, sessions.close[last] + 1), sessions.open[first], sessions.close[last]


def _begins(days: Int64Array1D, market: TradingMarket) -> Int64Array1D:
    """When days begin, counted from 1970-01-01."""
    turned = days * _DAY - (_DAY - market.day_turns * _HOUR if market.day_turns else 0)
    local = pd.DatetimeIndex(turned.view("M8[us]"))
    # Some zones set their clocks at midnight.
    return _microseconds(
        local.tz_localize(market.zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward")
    )


def _microseconds(index: pd.DatetimeIndex) -> Int64Array1D:
    moments: Int64Array1D = index.as_unit("us").asi8
    return moments
