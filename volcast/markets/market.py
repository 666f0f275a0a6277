"""A market: all that is said of when it trades, in one object.

A bucket is an hour of the market's clock inside a stretch of trading, right-closed and named by its end: the minutes
that end in (09:00, 10:00] are bucket 10:00. A session of New York's stock exchange has seven, the first of 30 minutes;
a half-day has four. Where trading ends or pauses inside an hour, the bucket ends with it.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.errors import ConfigError
from volcast.markets.clocks import HOUR, Clock, clock_of
from volcast.markets.hours import TradingHours

__all__ = ["BUCKETS", "DEFAULT_BUCKET", "BucketCalendar", "RegularSessions", "SessionCalendar", "TradingMarket"]

BUCKETS: Mapping[str, int] = MappingProxyType(
    {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "2h": 120, "session": 1440}
)
"""Lengths of buckets by name, in minutes; a whole session counts as a day."""

DEFAULT_BUCKET = "1h"
"""The length where none is said."""

_ADJECTIVES = {5: "5-minute", 15: "15-minute", 30: "30-minute", 60: "hourly", 120: "2-hour", 1440: "session"}
_MINUTE = HOUR // 60
_HOURS = 24
_DAY = _HOURS * HOUR
_LONGEST_CLOSURE_DAYS = 12
# Years whose sessions are counted for a year's length.
_COUNTED_YEARS = range(2015, 2025)
_WEEKS_PER_YEAR = 365.25 / 7
_REGULAR = 250


@dataclass(frozen=True)
class BucketCalendar:
    """All hourly buckets of a market, one value each, in time order; times in microseconds since the epoch.

    Attributes
    ----------
    index, label
        When each ends.
    starts, start
        When each begins.
    minutes
        Length.
    session
        A number for its session, rising with time: that of its day.
    """

    index: pd.DatetimeIndex
    starts: pd.DatetimeIndex
    label: Int64Array1D
    start: Int64Array1D
    minutes: Int64Array1D
    session: Int64Array1D


@dataclass(frozen=True)
class SessionCalendar:
    """All sessions of a market, one value each, in time order; times in microseconds since the epoch.

    Attributes
    ----------
    session
        A number for each, as in `BucketCalendar`, rising with time: that of its day.
    first_label, close
        When its first and its last bucket end.
    open
        When it begins.
    minutes
        Length, without breaks.
    """

    session: Int64Array1D
    first_label: Int64Array1D
    close: Int64Array1D
    open: Int64Array1D
    minutes: Int64Array1D


@dataclass(frozen=True)
class RegularSessions:
    """How long regular sessions are: Tokyo's had 300 minutes, and have 330 since 2024-11-05.

    Attributes
    ----------
    begin
        When each period of equal regular sessions begins, in time order: its first session's opening, in microseconds
        since the epoch, shape (p,).
    minutes
        Length of a regular session of each period, shape (p,).
    """

    begin: Int64Array1D
    minutes: Int64Array1D

    def periods_of(self, labels: Int64Array1D) -> Int64Array1D:
        """Number of the period, from 0, of buckets that end at `labels`, in microseconds, shape (n,)."""
        return self.begin[1:].searchsorted(labels)

    def minutes_at(self, labels: Int64Array1D) -> Int64Array1D:
        """Length of a regular session at the time of buckets that end at `labels`, in microseconds, shape (n,)."""
        return self.minutes[self.periods_of(labels)]


@dataclass(frozen=True)
class TradingMarket:
    """A market by its name; one object each, which `market_named` gives.

    Attributes
    ----------
    name
        Of the exchange in `exchange_calendars`, or another that is settled, such as ``"24/5"``.
    title
        What it is called in sentences.
    zone
        The time zone of its clock: buckets are hours of it.
    day_turns
        Hour of its clock at which a day begins that is named by the date on which it ends; 0 is midnight.
    night
        What lies between its sessions.
    hours_of
        Gives its hours; called once, when they are needed.
    bucket
        Length of its buckets, one of `BUCKETS`.
    rolls
        Whether contracts are traded on it that end: what is called by one name goes over from one to the next.
    """

    name: str
    title: str
    zone: str
    day_turns: int
    night: str
    hours_of: Callable[[], TradingHours] = field(repr=False, compare=False)
    bucket: str = DEFAULT_BUCKET
    rolls: bool = False

    def with_buckets(self, bucket: str) -> "TradingMarket":
        """This market in buckets of another length; `market_named` gives one object each.

        Raises
        ------
        ConfigError
            `bucket` is none of `BUCKETS`.
        """
        if bucket not in BUCKETS:
            raise ConfigError(f"bucket is {bucket!r}; the rule is one of {', '.join(BUCKETS)}; use '{DEFAULT_BUCKET}'.")
        return replace(self, bucket=bucket)

    @property
    def key(self) -> str:
        """What it is found by: its name, and behind it the length of its buckets where that is no hour."""
        return self.name if self.bucket == DEFAULT_BUCKET else f"{self.name} {self.bucket}"

    @cached_property
    def bucket_minutes(self) -> int:
        """Length of a bucket that neither an opening nor a close cuts; of a session, a day's."""
        return BUCKETS[self.bucket]

    @property
    def bucket_adjective(self) -> str:
        """What its buckets and their values are called: ``"hourly"``, ``"15-minute"``, ``"session"``."""
        return _ADJECTIVES[self.bucket_minutes]

    def time_of_slot(self, slot: int) -> str:
        """What its clock shows as a bucket of that number in the day ends, such as 9:45; of sessions their name."""
        hour, minute = divmod(slot * self.bucket_minutes, 60)
        return self.bucket if self.slots == 1 else f"{hour}:{minute:02}"

    @cached_property
    def slots(self) -> int:
        """How many buckets a day of the clock has: those of equal number have one profile."""
        return _HOURS * 60 // self.bucket_minutes

    def __getstate__(self) -> dict[str, object]:
        # What is made of its hours is made anew where it is needed.
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def clock(self) -> Clock:
        """The clock of its zone."""
        return clock_of(self.zone)

    @cached_property
    def hours(self) -> TradingHours:
        """When it trades.

        Raises
        ------
        ConfigError
            There is no such exchange.
        """
        return self.hours_of()

    @cached_property
    def buckets(self) -> BucketCalendar:
        """All of its buckets, for work on a bar or a session, where a table of pandas is slow."""
        if self.bucket == "session":
            return self._whole_sessions
        hours = self.hours
        # On a scale on which its clock's hours are whole hours: some zones differ from UTC by half an hour.
        shown = self.clock.shown(hours.start * _MINUTE) // _MINUTE
        long = self.bucket_minutes
        shift = (shown - hours.start) % long
        opens, closes = hours.start + shift, hours.end + shift
        first_hour, counts = opens // long, -(-closes // long) - opens // long
        row = np.repeat(np.arange(len(counts)), counts)
        hour = first_hour[row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        start = np.maximum(hour * long, opens[row]) - shift[row]
        end = np.minimum(hour * long + long, closes[row]) - shift[row]
        label, begin = end * _MINUTE, start * _MINUTE
        index, starts = self.clock.times(label).rename("bucket"), self.clock.times(begin)
        return BucketCalendar(index, starts, label, begin, end - start, hours.session[row])

    @property
    def _whole_sessions(self) -> BucketCalendar:
        """A bucket a session, from its opening to its close; its length is without breaks."""
        hours = self.hours
        begins = np.flatnonzero(np.append(True, hours.session[1:] != hours.session[:-1]))
        start, end = hours.start[begins], hours.end[np.append(begins[1:], len(hours.session)) - 1]
        minutes = np.add.reduceat(hours.end - hours.start, begins)
        label, begin = end * _MINUTE, start * _MINUTE
        index, starts = self.clock.times(label).rename("bucket"), self.clock.times(begin)
        return BucketCalendar(index, starts, label, begin, minutes, hours.session[begins])

    @cached_property
    def sessions(self) -> SessionCalendar:
        """All of its sessions."""
        buckets = self.buckets
        session, first = np.unique(buckets.session, return_index=True)
        last = np.append(first[1:], len(buckets.session)) - 1
        minutes = np.add.reduceat(buckets.minutes, first)
        return SessionCalendar(session, buckets.label[first], buckets.label[last], buckets.start[first], minutes)

    @cached_property
    def stretches(self) -> tuple[Int64Array1D, Int64Array1D]:
        """When each stretch of trading without a break begins and ends, in microseconds since the epoch."""
        hours = self.hours
        return hours.start * _MINUTE, hours.end * _MINUTE

    def stretch_of(self, ends: Int64Array1D) -> Int64Array1D:
        """A number, rising with time, for the stretch of trading in which bars end at `ends`, in microseconds.

        A break at noon divides a session; where one session begins as another ends, nothing divides them. -1 in no
        stretch.
        """
        begins, closes = self.stretches
        row = np.minimum(closes.searchsorted(ends), len(closes) - 1)
        return np.where((ends > begins[row]) & (ends <= closes[row]), self._stretch[row], -1)

    @cached_property
    def _stretch(self) -> Int64Array1D:
        begins, ends = self.stretches
        return np.cumsum(np.append(True, begins[1:] != ends[:-1]))

    @cached_property
    def regular_sessions(self) -> RegularSessions:
        """How long its regular sessions are and were: the commonest length of a year's, which may change on a day."""
        minutes = self.sessions.minutes
        begins = [0, *range(len(minutes) - _REGULAR, _REGULAR - 1, -_REGULAR)[::-1]]
        years = np.split(minutes, begins[1:])
        lengths = [_commonest(year) for year in years]
        changes, regular = [0], lengths[:1]
        for number, (before, after) in enumerate(itertools.pairwise(lengths)):
            if before != after:
                both = np.append(years[number], years[number + 1])
                changes.append(begins[number] + _change(both, before, after))
                regular.append(after)
        return RegularSessions(self.sessions.open[changes], np.array(regular))

    @property
    def minutes_per_session(self) -> int:
        """Minutes of a regular session, as they are today."""
        return int(self.regular_sessions.minutes[-1])

    @property
    def whole_bucket_minutes(self) -> int:
        """Minutes of a bucket that neither an opening nor a close cuts: of a session, a regular one's."""
        return min(self.bucket_minutes, self.minutes_per_session)

    @cached_property
    def buckets_per_session(self) -> int:
        """Buckets of a regular session."""
        _, counts = np.unique(self.buckets.session, return_counts=True)
        return _commonest(counts[-_REGULAR:])

    @cached_property
    def sessions_per_year(self) -> int:
        """Sessions of a year: their mean number in 2015 to 2024, or in those of them that are known, rounded."""
        years = self.sessions.session.astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
        # The first that is known may be known in part.
        whole = [year for year in _COUNTED_YEARS if year > years[0]] or list(range(years[0] + 1, years[-1]))
        return round(int(np.isin(years, whole).sum()) / len(whole))

    @cached_property
    def sessions_per_week(self) -> int:
        """Sessions of a week without a holiday: five, or seven where no day is without one."""
        return round(self.sessions_per_year / _WEEKS_PER_YEAR)

    @property
    def buckets_per_week(self) -> int:
        """Buckets of a week of regular sessions."""
        return self.sessions_per_week * self.buckets_per_session

    def minutes_per_year(self, labels: Int64Array1D) -> Int64Array1D:
        """Minutes of a trading year, in which variance accrues, shape (n,): those of so many regular sessions.

        As long as these are at the time of buckets that end at `labels`, in microseconds since the epoch.
        """
        return self.sessions_per_year * self.regular_sessions.minutes_at(labels)

    @cached_property
    def never_closes(self) -> bool:
        """Whether each session begins as the one before it ends."""
        return bool((self.sessions.open[1:] == self.sessions.close[:-1]).all())

    def openings(self, days: Int64Array1D) -> Int64Array1D:
        """How often it has opened by the sessions of these days, counted from 1970-01-01, shape (n,).

        Two sessions of equal number have nothing between them in which it is closed: one begins as another ends.
        """
        return self._openings[np.maximum(self.sessions.session.searchsorted(days, side="right") - 1, 0)]

    @cached_property
    def _openings(self) -> Int64Array1D:
        return np.append(0, np.cumsum(self.sessions.open[1:] > self.sessions.close[:-1]))

    def hours_and_days(self, ends: Int64Array1D) -> tuple[Int64Array1D, Int64Array1D]:
        """Clock hour and day of what ends at `ends`, in microseconds since the epoch, shape (n,) each.

        The hour is named by its end, from 0, which is midnight, to 23; days are counted from 1970-01-01. Of buckets of
        another length it is their number in the day of the clock, below `slots`, that which ends at midnight being 0.
        """
        shown = self.clock.shown(ends) - 1
        return (shown // (self.bucket_minutes * _MINUTE) + 1) % self.slots, (shown + self._day_shift) // _DAY

    def hours_of_labels(self, labels: pd.DatetimeIndex) -> Int64Array1D:
        """Clock hour of each bucket label, shape (n,), as `hours_and_days` has it."""
        return self.hours_and_days(labels.as_unit("us").asi8)[0]

    def days_of_labels(self, labels: pd.DatetimeIndex) -> Int64Array1D:
        """Day of each bucket label, shape (n,), as `hours_and_days` has it."""
        return self.hours_and_days(labels.as_unit("us").asi8)[1]

    def dates(self, starts: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """The day, naive midnight, of what begins at each of `starts`, tz-aware."""
        days = (self.clock.shown(starts.as_unit("us").asi8) + self._day_shift) // _DAY
        return pd.DatetimeIndex(days.astype("M8[D]").astype("M8[us]"))

    def day_begin(self, day: str | date) -> pd.Timestamp:
        """When a day begins; of a moment, the day that its own clock shows. Raises what `Clock.moment` raises."""
        midnight = self.clock.midnight(day)
        if not self.day_turns:
            return midnight
        turned = midnight.tz_localize(None) - pd.Timedelta(hours=_HOURS - self.day_turns)
        return turned.tz_localize(self.zone)

    def day_of(self, end: int) -> pd.Timestamp:
        """When the day begins that has what ends at `end`, in microseconds since the epoch."""
        (day,) = self.hours_and_days(np.array([end]))[1].tolist()
        return self.day_begin(np.datetime64(day, "D").astype(date))

    def day_end(self, day: str | date) -> pd.Timestamp:
        """When a day ends and the next begins, as `day_begin`."""
        return self.day_begin(self.clock.midnight(day).tz_localize(None) + pd.Timedelta(days=1))

    @cached_property
    def _day_shift(self) -> int:
        return (_HOURS - self.day_turns) % _HOURS * HOUR

    def schedule(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        """Sessions from the day of `first` to the day of `last`, both included; a naive moment is a date.

        Returns
        -------
        DataFrame indexed by session (naive midnight), columns `open` and `close` (zone time).
        """
        return self._schedule.loc[self._date(first) : self._date(last)]

    def bucket_table(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        """Buckets of every session from the day of `first` to the day of `last`, both included.

        Returns
        -------
        DataFrame indexed by label (the bucket's end, zone time), columns `start` (zone time), `minutes` (int, how many
        minutes of trading the bucket has) and `session` (naive date).
        """
        sessions = self._bucket_table["session"].to_numpy()
        low = np.searchsorted(sessions, self._date(first).to_datetime64(), side="left")
        high = np.searchsorted(sessions, self._date(last).to_datetime64(), side="right")
        return self._bucket_table.iloc[low:high]

    def next_bucket(self, asof: pd.Timestamp) -> pd.Series:
        """The first bucket that ends after `asof` (tz-aware): the one running, or the next to open.

        Returns
        -------
        Series named by the bucket's label, with `start`, `minutes` and `session`.

        Raises
        ------
        ConfigError
            The market's sessions are not known so far ahead.
        """
        ahead = self.bucket_table(asof, asof + pd.Timedelta(days=_LONGEST_CLOSURE_DAYS))
        position = int(time_index(ahead).searchsorted(asof, side="right"))
        if position == len(ahead):
            raise self.beyond_the_sessions(asof)
        return ahead.iloc[position]

    def beyond_the_sessions(self, asof: pd.Timestamp) -> ConfigError:
        """What to raise where no known session follows `asof`."""
        first, last = self._schedule.index[[0, -1]]
        return ConfigError(
            f"the sessions of {self.name} are known from {first:%Y-%m-%d} to {last:%Y-%m-%d} and none follows "
            f"{asof:%Y-%m-%d} soon; ask for an earlier moment."
        )

    @cached_property
    def _schedule(self) -> pd.DataFrame:
        sessions = self.sessions
        opens, closes = self.clock.times(sessions.open), self.clock.times(sessions.close)
        return pd.DataFrame({"open": opens, "close": closes}, index=_naive(sessions.session))

    @cached_property
    def _bucket_table(self) -> pd.DataFrame:
        buckets = self.buckets
        columns = {"start": buckets.starts, "minutes": buckets.minutes, "session": _naive(buckets.session)}
        return pd.DataFrame(columns, index=buckets.index)

    def _date(self, moment: pd.Timestamp) -> pd.Timestamp:
        moment = pd.Timestamp(moment)
        if moment.tzinfo is None:
            return moment.normalize()
        return self.dates(pd.DatetimeIndex([moment]))[0]


def _naive(days: Int64Array1D) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(days.astype("M8[D]").astype("M8[us]"))


def _change(values: Int64Array1D, before: int, after: int) -> int:
    """Where values that are mostly `before` begin to be mostly `after`: the position with the fewest exceptions."""
    return int(np.cumsum(np.equal(values, before).astype(int) - (values == after)).argmax()) + 1


def _commonest(values: Int64Array1D) -> int:
    """The commonest of the values, the largest of several."""
    distinct, counts = np.unique(values, return_counts=True)
    return int(distinct[counts == counts.max()][-1])
