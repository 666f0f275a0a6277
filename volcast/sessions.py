"""The exchange's sessions, cut into hourly buckets.

A bucket is a clock hour of New York time inside a regular session, right-closed and right-labelled: the minutes that
end in (09:00, 10:00] are bucket 10:00. A full XNYS session has seven, the first of 30 minutes; a half-day has four.
"""

import re
import reprlib
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.errors import ConfigError

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

__all__ = [
    "EXCHANGE_TIMEZONE",
    "BucketCalendar",
    "SessionCalendar",
    "beyond_the_sessions",
    "bucket_calendar",
    "in_new_york",
    "new_york_clock",
    "new_york_midnight",
    "new_york_times",
    "next_bucket",
    "session_buckets",
    "session_calendar",
    "session_hours",
    "session_schedule",
]


EXCHANGE_TIMEZONE = "America/New_York"
_NEW_YORK = ZoneInfo(EXCHANGE_TIMEZONE)
_FIRST_SESSION = "1995-01-03"
_LONGEST_CLOSURE_DAYS = 12
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_WRITTEN = re.compile(r"\d{4}-?\d{2}-?\d{2}($|[T ])")
_HOUR = 3_600_000_000


def new_york_midnight(day: str | date) -> pd.Timestamp:
    """When a New York day begins; of a moment, the day that it is there. Raises what `in_new_york` raises."""
    return _stamp(day).tz_localize(None).normalize().tz_localize(EXCHANGE_TIMEZONE)


def in_new_york(moment: str | date | pd.Timestamp) -> pd.Timestamp:
    """A moment in New York time, which one without a time zone is taken to be; to the microsecond, later ones cut.

    Raises
    ------
    ConfigError
        It is no moment from 1970 to 2199, or the clocks of New York never show it, or show it twice.
    """
    stamp = _stamp(moment)
    if stamp.nanosecond:
        stamp -= pd.Timedelta(stamp.nanosecond, unit="ns")
    if stamp.tzinfo is not None:
        return stamp if stamp.tzinfo is _NEW_YORK else stamp.tz_convert(EXCHANGE_TIMEZONE)
    try:
        return stamp.tz_localize(EXCHANGE_TIMEZONE, ambiguous="raise", nonexistent="raise")
    except ValueError:
        forward = stamp.month < 7
        behaviour = "never show it, for they are set forward" if forward else "show it twice, for they are set back"
        raise ConfigError(f"{stamp} is no moment in New York: its clocks {behaviour}; give it with its zone.") from None


def _stamp(moment: object) -> pd.Timestamp:
    # Pandas also reads "now", "5" and 5, each as a moment of its own choice.
    if isinstance(moment, date | np.datetime64) or (isinstance(moment, str) and _WRITTEN.match(moment.strip())):
        try:
            stamp: pd.Timestamp | None = pd.Timestamp(moment)
        except (ValueError, OverflowError):
            stamp = None
        if isinstance(stamp, pd.Timestamp) and _FIRST_YEAR <= stamp.year <= _LAST_YEAR:
            return stamp
    shown = " ".join(reprlib.repr(moment).split())
    raise ConfigError(
        f"{shown} is no moment; it must be a date or time of {_FIRST_YEAR} to {_LAST_YEAR}; write it as 2024-06-03 "
        "10:30, or give a datetime or a Timestamp."
    )


@lru_cache(maxsize=4)
def _calendar(name: str) -> "ExchangeCalendar":
    from exchange_calendars import errors, get_calendar

    try:
        return get_calendar(name, start=_FIRST_SESSION)
    except (errors.InvalidCalendarName, TypeError):
        raise ConfigError(
            f"{reprlib.repr(name)} is no exchange; it must be a name in exchange_calendars; XNYS is New York's."
        ) from None


@lru_cache(maxsize=4)
def _whole_schedule(name: str) -> pd.DataFrame:
    schedule = _calendar(name).schedule
    return pd.DataFrame(
        {
            "open": schedule["open"].dt.tz_convert(EXCHANGE_TIMEZONE),
            "close": schedule["close"].dt.tz_convert(EXCHANGE_TIMEZONE),
        }
    )


def session_schedule(first: pd.Timestamp, last: pd.Timestamp, calendar: str = "XNYS") -> pd.DataFrame:
    """Sessions from the date of `first` to the date of `last`, both New York dates, both included.

    Returns
    -------
    DataFrame indexed by session (naive midnight), columns `open` and `close` (New York time).
    """
    return _whole_schedule(calendar).loc[_new_york_date(first) : _new_york_date(last)]


@lru_cache(maxsize=4)
def _whole_bucket_grid(calendar: str) -> pd.DataFrame:
    # Whole minutes since the epoch: New York's offset is a whole number of hours, so clock hours fall on hours in UTC.
    schedule = _whole_schedule(calendar)
    opens, closes = (_whole_minutes(schedule[side]) for side in ("open", "close"))
    hours_before_open, hours_to_close = opens // 60, -(-closes // 60)
    counts = hours_to_close - hours_before_open
    row = np.repeat(np.arange(len(schedule)), counts)
    hour = hours_before_open[row] + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    start, end = np.maximum(hour * 60, opens[row]), np.minimum(hour * 60 + 60, closes[row])
    columns = {"start": _from_minutes(start), "minutes": end - start, "session": schedule.index[row]}
    return pd.DataFrame(columns, index=_from_minutes(hour * 60 + 60).rename("bucket"))


def _whole_minutes(moments: pd.Series) -> np.ndarray:
    minutes: np.ndarray = moments.dt.tz_convert(None).to_numpy("datetime64[m]").astype(np.int64)
    return minutes


def _from_minutes(minutes: np.ndarray) -> pd.DatetimeIndex:
    utc = pd.DatetimeIndex(minutes.astype("datetime64[m]").astype("datetime64[us]"), tz="UTC")
    return utc.tz_convert(EXCHANGE_TIMEZONE)


def session_buckets(first: pd.Timestamp, last: pd.Timestamp, calendar: str = "XNYS") -> pd.DataFrame:
    """Hourly buckets of every session from the date of `first` to the date of `last`, both included.

    Returns
    -------
    DataFrame indexed by label (the bucket's end, New York time), columns `start` (New York time), `minutes`
    (int, how many regular-session minutes the bucket has) and `session` (naive date).
    """
    grid = _whole_bucket_grid(calendar)
    sessions = grid["session"].to_numpy()
    low = np.searchsorted(sessions, _new_york_date(first).to_datetime64(), side="left")
    high = np.searchsorted(sessions, _new_york_date(last).to_datetime64(), side="right")
    return grid.iloc[low:high]


def next_bucket(asof: pd.Timestamp, calendar: str = "XNYS") -> pd.Series:
    """The first bucket that ends after `asof` (tz-aware): the one running, or the next to open.

    Returns
    -------
    Series named by the bucket's label, with `start`, `minutes` and `session`.

    Raises
    ------
    ConfigError
        The exchange's sessions are not known so far ahead.
    """
    ahead = session_buckets(asof, asof + pd.Timedelta(days=_LONGEST_CLOSURE_DAYS), calendar)
    position = int(ahead.index.searchsorted(asof, side="right"))
    if position == len(ahead):
        raise beyond_the_sessions(asof, calendar)
    return ahead.iloc[position]


def beyond_the_sessions(asof: pd.Timestamp, calendar: str) -> ConfigError:
    """What to raise where no known session follows `asof`."""
    last = _whole_schedule(calendar).index[-1]
    return ConfigError(
        f"the sessions of {calendar} are known from {_FIRST_SESSION} to {last:%Y-%m-%d} and none follows "
        f"{asof:%Y-%m-%d} soon; ask for an earlier moment."
    )


@dataclass(frozen=True)
class BucketCalendar:
    """All hourly buckets of an exchange, one value each, in time order; times in microseconds since the epoch.

    Attributes
    ----------
    index, label
        When each ends.
    starts, start
        When each begins.
    minutes
        Length.
    session
        A number for its session, rising with time.
    """

    index: pd.DatetimeIndex
    starts: pd.DatetimeIndex
    label: Int64Array1D
    start: Int64Array1D
    minutes: Int64Array1D
    session: Int64Array1D


@lru_cache(maxsize=4)
def bucket_calendar(calendar: str) -> BucketCalendar:
    """Every bucket that `session_buckets` knows, for work on a bar or a session, where a table of pandas is slow."""
    table = _whole_bucket_grid(calendar)
    labels = time_index(table)
    starts = pd.DatetimeIndex(table["start"])
    sessions = table["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
    minutes = table["minutes"].to_numpy(dtype=np.int64)
    return BucketCalendar(labels, starts, labels.as_unit("us").asi8, starts.as_unit("us").asi8, minutes, sessions)


@dataclass(frozen=True)
class SessionCalendar:
    """All sessions of an exchange, one value each, in time order; times in microseconds since the epoch.

    Attributes
    ----------
    session
        A number for each, as in `BucketCalendar`, rising with time: that of its day.
    first_label, close
        When its first and its last bucket end.
    open
        When it begins.
    minutes
        Length.
    """

    session: Int64Array1D
    first_label: Int64Array1D
    close: Int64Array1D
    open: Int64Array1D
    minutes: Int64Array1D


@lru_cache(maxsize=4)
def session_calendar(calendar: str) -> SessionCalendar:
    """Every session that `session_buckets` knows."""
    buckets = bucket_calendar(calendar)
    session, first = np.unique(buckets.session, return_index=True)
    last = np.append(first[1:], len(buckets.session)) - 1
    minutes = np.add.reduceat(buckets.minutes, first)
    return SessionCalendar(session, buckets.label[first], buckets.label[last], buckets.start[first], minutes)


def new_york_times(moments: Int64Array1D) -> pd.DatetimeIndex:
    """Moments in microseconds since the epoch as times of New York."""
    return pd.DatetimeIndex(moments.view("M8[us]"), tz="UTC").tz_convert(EXCHANGE_TIMEZONE)


def new_york_clock(moments: Int64Array1D) -> Int64Array1D:
    """What clocks in New York show, in microseconds since 1970 there, at `moments` in microseconds since the epoch."""
    changes, offsets = _clock_changes()
    return np.asarray(moments + offsets[np.searchsorted(changes, moments, side="right")])


@lru_cache(maxsize=1)
def _clock_changes() -> tuple[Int64Array1D, Int64Array1D]:
    """Moments at which New York's clocks are set, whole hours, and its offset before, between and after them."""
    days = np.arange(np.datetime64("1969-12-01"), np.datetime64("2200-01-01"), dtype="datetime64[D]")
    changing = np.flatnonzero(np.diff(_offsets(days.astype("datetime64[us]").astype(np.int64))))
    hours = (days[changing].astype("datetime64[us]").astype(np.int64)[:, None] + np.arange(25) * _HOUR).ravel()
    offsets = _offsets(hours)
    changes = np.flatnonzero(np.diff(offsets)) + 1
    return hours[changes], np.append(offsets[:1], offsets[changes])


def _offsets(moments: Int64Array1D) -> Int64Array1D:
    local = new_york_times(moments).tz_localize(None)
    return np.asarray(local.as_unit("us").asi8 - moments)


def _new_york_date(moment: pd.Timestamp) -> pd.Timestamp:
    moment = pd.Timestamp(moment)
    if moment.tzinfo is not None:
        moment = moment.tz_convert(EXCHANGE_TIMEZONE).tz_localize(None)
    return moment.normalize()


_TICKS_AN_HOUR = {"s": 3600, "ms": 3_600_000, "us": 3_600_000_000, "ns": 3_600_000_000_000}


def session_hours(labels: pd.DatetimeIndex) -> Int64Array1D:
    """New York clock hour of each bucket label: 10 for the first bucket of a session, 16 for the last."""
    # Most labels are in New York time already, and a forecast of one bucket feels a conversion.
    if getattr(labels.tz, "key", None) != EXCHANGE_TIMEZONE:
        labels = labels.tz_convert(EXCHANGE_TIMEZONE)
    local = labels.tz_localize(None)
    return np.asarray(local.asi8 // _TICKS_AN_HOUR[local.unit] % 24, dtype=np.int64)
