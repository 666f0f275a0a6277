"""Days that everybody knows beforehand: releases of statistics, expiries, half-days, and users' own.

A kind of days has a moment on each: what is before it on that day, the bucket in which it lies, and what comes after
are told apart, as they are of the Fed's decisions (`features.fed_decisions`). What happens before the open lies in the
first bucket, what happens from the close on in the first of the next session. Whatever a model learns of a kind is
shrunk as its other terms are, and not by how rare it is: a day that came once in training hardly moves a forecast.

Kinds are rules of the exchange's calendar, or days of a table (`releases.csv`, which names its sources), which ends;
later days are taken for ordinary ones.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray2D, Int64Array1D
from volcast.errors import ConfigError
from volcast.sessions import SessionCalendar, new_york_clock, session_calendar

__all__ = ["KINDS", "KnownDay", "KnownDays", "KnownKind", "beyond_known_days", "known_days_in", "known_kinds"]

_DAY = 86_400_000_000
_FRIDAY, _THURSDAY = 4, 3
_COLUMNS = ("date", "time", "kind", "symbol")
_MISSING = (None, "", "nan", "None", "NaT", "<NA>")
_PLACES = 3


@dataclass(frozen=True)
class KnownKind:
    """A kind of days that the library knows.

    Attributes
    ----------
    title
        What it is, in words.
    days
        Its days, counted from 1970-01-01, rising, of an exchange's sessions.
    minute
        New York time of what happens, in minutes after midnight.
    """

    title: str
    days: Callable[[SessionCalendar], Int64Array1D]
    minute: int


@dataclass(frozen=True)
class KnownDay:
    """One day of a user's own.

    Attributes
    ----------
    day
        The session in which it makes itself felt, counted from 1970-01-01.
    hour
        New York clock hour of the label of the bucket in which it does; 0 is the session's first.
    kind
        What it is, in the user's word.
    symbol
        Whose it is; empty where it is everybody's.
    """

    day: int
    hour: int
    kind: str
    symbol: str = ""


def _listed(kind: str) -> Callable[[SessionCalendar], Int64Array1D]:
    return lambda calendar: _releases()[kind]


@lru_cache(maxsize=1)
def _releases() -> dict[str, Int64Array1D]:
    text = files("volcast.features").joinpath("releases.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    kinds = sorted({row["kind"] for row in rows})
    return {kind: _numbers(row["date"] for row in rows if row["kind"] == kind) for kind in kinds}


def _numbers(days: Iterable[str]) -> Int64Array1D:
    return np.array(sorted(days), dtype="datetime64[D]").astype(np.int64)


def _months(days: Int64Array1D) -> Int64Array1D:
    months: Int64Array1D = days.view("M8[D]").astype("M8[M]").astype(np.int64)
    return months


def _weekdays(days: Int64Array1D) -> Int64Array1D:
    # 1970 began with a Thursday.
    return np.asarray((days + _THURSDAY) % 7, dtype=np.int64)


def _expiries(calendar: SessionCalendar) -> Int64Array1D:
    """Third Fridays of the month, or where there is no session on one, the session before it."""
    first, last = calendar.session[[0, -1]]
    every = np.arange(first, last + 1)
    in_month = every - every.view("M8[D]").astype("M8[M]").astype("M8[D]").astype(np.int64)
    third = every[(_weekdays(every) == _FRIDAY) & (in_month >= 14) & (in_month < 21)]
    return np.asarray(calendar.session[calendar.session.searchsorted(third, side="right") - 1], dtype=np.int64)


def _quarterly(calendar: SessionCalendar) -> Int64Array1D:
    days = _expiries(calendar)
    return np.asarray(days[_months(days) % 3 == 2])


def _monthly(calendar: SessionCalendar) -> Int64Array1D:
    days = _expiries(calendar)
    return np.asarray(days[_months(days) % 3 != 2])


def _month_ends(calendar: SessionCalendar) -> Int64Array1D:
    months = _months(calendar.session)
    # The month of the last session that is known may go on.
    return np.asarray(calendar.session[:-1][months[1:] != months[:-1]])


def _half_days(calendar: SessionCalendar) -> Int64Array1D:
    return np.asarray(calendar.session[calendar.minutes < calendar.minutes.max()])


KINDS: Mapping[str, KnownKind] = {
    "employment": KnownKind("the Employment Situation, 8:30", _listed("employment"), 510),
    "cpi": KnownKind("the Consumer Price Index, 8:30", _listed("cpi"), 510),
    "option_expiry": KnownKind(
        "third Friday of a month, or the session before where it is a holiday, but of the quarter's last months",
        _monthly,
        570,
    ),
    "quarterly_expiry": KnownKind("the same of March, June, September and December", _quarterly, 570),
    "month_end": KnownKind("last session of a month, its last hour", _month_ends, 959),
    "half_day": KnownKind("sessions that end early, by the exchange's calendar", _half_days, 570),
}
"""The kinds that the library knows, by name; the Fed's decisions are apart, and part of every model."""


def known_kinds(calendar: str = "XNYS") -> pd.DataFrame:
    """What the library knows of each kind of days, and how far.

    Returns
    -------
    DataFrame indexed by kind, columns ``what``, ``days`` (how many), ``first`` and ``last`` (dates).
    """
    every = session_calendar(calendar)
    rows = {}
    for name, kind in KINDS.items():
        days = kind.days(every)
        first, last = days[[0, -1]].view("M8[D]").astype(str)
        rows[name] = {"what": kind.title, "days": len(days), "first": first, "last": last}
    return pd.DataFrame(rows).T.rename_axis("kind")


def beyond_known_days(kinds: Sequence[str], day: date) -> str:
    """A sentence for bars of a `day` after the end of the list of one of the `kinds`; empty before."""
    for name, days in _releases().items():
        last = str(days[-1:].view("M8[D]")[0])
        if name in kinds and last < day.isoformat():
            return (
                f"The bars reach {day}, and the days of {name} are listed until {last}: later ones are taken for "
                "ordinary ones; update the library."
            )
    return ""


@dataclass(frozen=True)
class KnownDays:
    """The days that one model knows.

    Attributes
    ----------
    kinds
        In the order of its columns: names in `KINDS`, and those of its own days.
    own_days
        The days of the kinds that are not in `KINDS`.
    calendar
        Name of the exchange.
    symbol
        Whose volatility is forecast: of days with a symbol, its own alone count.
    """

    kinds: tuple[str, ...] = ()
    own_days: tuple[KnownDay, ...] = ()
    calendar: str = "XNYS"
    symbol: str = ""
    _tables: Mapping[str, tuple[Int64Array1D, Int64Array1D]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tables = {kind: self._table(kind) for kind in self.kinds}
        object.__setattr__(self, "_tables", tables)

    def _table(self, kind: str) -> tuple[Int64Array1D, Int64Array1D]:
        """Days of a kind, rising, and the hour of the label of the bucket in which it makes itself felt."""
        if kind in KINDS:
            days = KINDS[kind].days(session_calendar(self.calendar))
            return days, np.full(len(days), KINDS[kind].minute // 60 + 1)
        hours: dict[int, int] = {}
        for one in self.own_days:
            if one.kind == kind and one.symbol in ("", self.symbol):
                hours[one.day] = min(one.hour, hours.get(one.day, one.hour))
        days = np.array(sorted(hours), dtype=np.int64)
        return days, np.array([hours[day] for day in days.tolist()], dtype=np.int64)

    @property
    def column_count(self) -> int:
        """Columns of `dummies`."""
        return _PLACES * len(self.kinds)

    def dummies(self, days: Int64Array1D, hours: Int64Array1D, first_hour: int) -> BoolArray2D:
        """Which buckets lie before, with and after what is known of each kind, shape (n, column_count).

        Parameters
        ----------
        days
            New York days of the buckets, counted from 1970-01-01, shape (n,).
        hours
            New York clock hours of their labels, shape (n,).
        first_hour
            Of a session's first bucket.
        """
        columns = np.zeros((len(days), self.column_count), dtype=bool)
        for place, kind in enumerate(self.kinds):
            known, of_kind = self._tables[kind]
            if not len(known):
                continue
            row = np.minimum(known.searchsorted(days), len(known) - 1)
            is_known, hour = known[row] == days, np.maximum(of_kind[row], first_hour)
            for column, side in enumerate((hours < hour, hours == hour, hours > hour)):
                columns[:, _PLACES * place + column] = is_known & side
        return columns

    def of_symbol(self, symbol: str) -> "KnownDays":
        """These days as they concern one symbol."""
        return self if symbol == self.symbol else replace(self, symbol=symbol)

    def to_dict(self) -> dict[str, Any]:
        """The days, ready for JSON; those that the library knows are named alone."""
        return {"kinds": list(self.kinds), "own_days": [vars(one) for one in self.own_days], "calendar": self.calendar}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "KnownDays":
        """The days whose `to_dict` gave `numbers`."""
        days = tuple(KnownDay(**one) for one in numbers["own_days"])
        return cls(tuple(numbers["kinds"]), days, str(numbers["calendar"]))


def known_days_in(frame: pd.DataFrame, calendar: str = "XNYS") -> tuple[KnownDay, ...]:
    """A user's own days.

    Parameters
    ----------
    frame
        A row a day. ``date``: as 2024-10-30, or dates. ``kind``: a word. ``time``: New York time as 16:05, empty where
        it is not known, which counts as before the open. ``symbol``: whose day it is; empty where it is everybody's.
        ``time`` and ``symbol`` may be missing.
    calendar
        Name of the exchange.

    Returns
    -------
    The days, each in the session in which it makes itself felt: what happens from the close on, or on a day without a
    session, in the next one.

    Raises
    ------
    ConfigError
        A column is missing, or a cell is none of these.
    """
    if not isinstance(frame, pd.DataFrame) or not {"date", "kind"} <= set(frame.columns):
        raise ConfigError("known days need the columns date and kind, and may have time and symbol; name them so.")
    every, days = session_calendar(calendar), []
    texts = frame[[name for name in _COLUMNS if name in frame]].astype(str)
    for number, row in enumerate(texts.to_dict("records"), start=1):
        cells = {name: "" if row.get(name) in _MISSING else str(row[name]) for name in _COLUMNS}
        days.append(_known_day(number, cells, every))
    return tuple(days)


def _known_day(number: int, cells: Mapping[str, str], calendar: SessionCalendar) -> KnownDay:
    day = pd.to_datetime(cells["date"], format="ISO8601", errors="coerce")
    clock = pd.to_datetime(cells["time"] or "00:00", format="mixed", errors="coerce")
    kind = cells["kind"].strip()
    if pd.isna(day) or pd.isna(clock) or not kind or kind in KINDS:
        raise ConfigError(
            f"row {number} of the known days is {', '.join(map(repr, cells.values()))}; it must be a date such as "
            "2024-10-30, a time such as 16:05 or none, a kind in a word of your own, and a symbol or none; mend it."
        )
    moment = pd.Timestamp(day).tz_localize(None).normalize() + pd.Timedelta(hours=clock.hour, minutes=clock.minute)
    local_close = new_york_clock(calendar.close)
    microseconds = moment.value // 1000
    place = int(local_close.searchsorted(microseconds, "right"))
    if place == len(local_close):
        raise ConfigError(
            f"row {number} of the known days is of {moment:%Y-%m-%d}, after the sessions that are known; leave it out."
        )
    session = int(calendar.session[place])
    same_day = session == microseconds // _DAY
    hour = moment.hour + 1 if same_day and cells["time"] else 0
    return KnownDay(session, hour, kind, cells["symbol"].strip().upper())
