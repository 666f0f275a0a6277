"""Time stamps as people write them: epochs, ISO 8601, days and months in either order, AM and PM, zones by name."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Int64Array1D, Int64Array2D
from volcast.bars.columns import plain_name, text_of
from volcast.errors import BarsError
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named

__all__ = [
    "_UNITS",
    "DateOrder",
    "EpochUnit",
    "StampFlags",
    "StampSide",
    "is_stamp",
    "is_stamp_name",
    "localized",
    "read_stamps",
]

StampSide = Literal["start", "end"]
EpochUnit = Literal["s", "ms", "us", "ns"]
DateOrder = Literal["mdy", "dmy"]

_NAMES = (
    "timestamp", "datetime", "date time", "ts event", "window start", "epoch", "unix", "unix time", "unix timestamp",
    "epoch time", "open time", "start time", "time start", "bar time", "gmt time", "time utc", "time gmt",
    "datetime utc", "timestamp utc", "date utc", "utc", "begins at", "ts", "ds", "dt", "t", "time stamp",
    "date", "day", "time", "unnamed 0", "index",
)  # fmt: skip
"""What columns of stamps are called, as `plain_name` writes it; the first that is there is taken."""

_DATES, _TIMES = ("date", "day"), ("time", "hour", "time of day")
_UTC_NAME = re.compile(r"\b(?:utc|gmt)\b")

# Seconds from 1990 to 2100, and the same in smaller units: they do not overlap.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_FIRST, _END = "1990-01-01", "2100-01-01"
_UNITS: dict[EpochUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MOST_UNREADABLE = 0.1
_SAMPLE = 1000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?")
_ZONED = r"(?:Z|[+-]\d\d:?\d\d)$"
_STAMP = re.compile(
    r"(?P<date>\d{8}|\d{1,4}(?P<sign>[-/.])\d{1,2}(?P=sign)\d{1,4}"
    r"|\d{1,2}[- ][a-z]{3,9}[- ]\d{4}|[a-z]{3,9} \d{1,2} \d{4})"
    r"(?:[ t]?(?P<time>\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?|(?:\d\d){2,3}))?"
    r"(?: ?(?P<half>am|pm))?"
    r"(?: ?(?P<offset>z|[+-]\d\d(?::?\d\d)?)(?:\[.*\])?| ?(?P<zone>[a-z][a-z_]*(?:/[a-z_+\-0-9]+)*))?",
    re.IGNORECASE,
)
_WRITTEN = r"(?:19|20)\d{6}(?:\d{4}|\d{6})?"
_SERIAL = r"[3-7]\d{4}\.\d{2,}"
_COUNTED = r"\d{7,}(?:\.\d*)?"
_OFFSETS = {
    "est": "-0500", "edt": "-0400", "cst": "-0600", "cdt": "-0500", "mst": "-0700", "mdt": "-0600", "pst": "-0800",
    "pdt": "-0700", "utc": "+0000", "gmt": "+0000", "z": "+0000",
}  # fmt: skip
_ABBREVIATED = {"et": DEFAULT_ZONE, "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles"}


@dataclass(frozen=True)
class StampFlags:
    """What the user says of the stamps.

    Attributes
    ----------
    timezone
        Zone of stamps that carry none.
    side
        Whether they are the ``"start"`` or the ``"end"`` of a bar.
    epoch
        Unit of stamps that are numbers.
    dates
        Whether dates with slashes have the month (``"mdy"``) or the day (``"dmy"``) first.
    """

    timezone: str | None = None
    side: StampSide | None = None
    epoch: EpochUnit | None = None
    dates: DateOrder | None = None


class _NoStampsError(Exception):
    """What is wrong with the stamps, the rule, and the way out, to follow the names of the table and the column."""


def is_stamp_name(name: object) -> bool:
    """Whether a column of this name is one of stamps."""
    return plain_name(name) in (*_NAMES, *_TIMES)


def is_stamp(text: str) -> bool:
    """Whether text is a date, with or without a time of day, that `read_stamps` reads."""
    return _STAMP.fullmatch(re.sub(r"[\s,]+", " ", text)) is not None


def read_stamps(table: pd.DataFrame, name: str, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    """The stamps of a table's rows.

    Parameters
    ----------
    table
        Its columns as in the file.
    name
        What to call it in an error.
    flags
        What the user says; it goes before what is recognized.

    Returns
    -------
    Index of times, with a zone where the stamps carry one, NaT where one cannot be read or lies outside 1990 to 2099;
    and what says the zone, in words, empty where nothing does.

    Raises
    ------
    BarsError
        There are no stamps, hardly any can be read, or what they mean is ambiguous.
    """
    column = _stamp_column(table, name)
    spelt = str(table.columns[column])
    stamps = table.iloc[:, column]
    if plain_name(spelt) in _DATES:
        stamps = _with_times(stamps, table)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            index, clock = _as_times(stamps, flags)
    except _NoStampsError as error:
        raise BarsError(f"{name} has in '{spelt}' {error}") from None
    first, end = (pd.Timestamp(day, tz=index.tz) for day in (_FIRST, _END))
    if index.min() < first or index.max() >= end:
        index = pd.DatetimeIndex(index.where((index >= first) & (index < end)))
    unreadable = np.flatnonzero(index.isna())
    if len(unreadable) > max(_MOST_UNREADABLE * len(index), 1) or len(unreadable) == len(index):
        raise BarsError(
            f"{name} has stamps in '{spelt}' that are no times ({len(unreadable):,} of {len(index):,}, the first is "
            f"{str(stamps.iloc[unreadable[0]])[:60]!r}); write them as 2024-12-31 09:30:00-05:00."
        )
    if index.tz is None and _UTC_NAME.search(plain_name(spelt)):
        return index.tz_localize("UTC"), f"zone UTC by the name '{spelt}'"
    return index, clock


def localized(index: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Local times as moments; the hour that clocks repeat is told apart by its order, else taken as summer time."""
    try:
        return index.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    except ValueError:
        return index.tz_localize(zone, ambiguous=np.ones(len(index), dtype=bool), nonexistent="shift_forward")


def _stamp_column(table: pd.DataFrame, name: str) -> int:
    plain = [plain_name(column) for column in table.columns]
    for candidate in _NAMES:
        if candidate in plain:
            return plain.index(candidate)
    columns = ", ".join(map(str, table.columns[:8]))
    raise BarsError(
        f"{name} has no time stamps that can be read among its columns ({columns}); bars need them as an index or in a "
        "column named timestamp, datetime, date, time; rename the column."
    )


def _with_times(dates: pd.Series, table: pd.DataFrame) -> pd.Series:
    """Dates with the times of day that stand in a column of their own, where there is one."""
    plain = [plain_name(column) for column in table.columns]
    place = next((plain.index(candidate) for candidate in _TIMES if candidate in plain), None)
    if place is None:
        return dates
    times = _text(table.iloc[:, place])
    if times.str.fullmatch(r"\d{1,6}", na=False).all():
        # 930 is half past nine, 93000 the same with seconds.
        times = times.str.zfill(4 if times.str.len().max() <= 4 else 6)
    elif times.str.contains(r"\d[-/.]\d+[-/.]\d", regex=True, na=False).any():
        return times
    days = _text(dates)
    if pd.api.types.is_datetime64_any_dtype(dates):
        days = days.str.slice(0, 10)
    return days + " " + times


def _text(stamps: pd.Series) -> "pd.Series[str]":
    return text_of(stamps).str.strip()


def _as_times(stamps: pd.Series, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    """Stamps as times, and what says their zone, in words."""
    if isinstance(stamps.dtype, pd.CategoricalDtype):
        stamps = stamps.astype(stamps.cat.categories.dtype)
    if isinstance(stamps.dtype, pd.PeriodDtype):
        stamps = stamps.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(stamps):
        index = pd.DatetimeIndex(stamps)
        return index, "" if index.tz is None else "with their zone"
    if pd.api.types.is_bool_dtype(stamps) or pd.api.types.is_timedelta64_dtype(stamps):
        raise _NoStampsError(f"{stamps.dtype}, where times are needed; write them as 2024-12-31 09:30:00-05:00.")
    text = _text(stamps)
    if _mostly(text, _SERIAL):
        # Spreadsheets count days from the end of 1899.
        seconds = (pd.to_numeric(text, errors="coerce") * 86_400).round()
        return pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", origin="1899-12-30", errors="coerce")), ""
    if pd.api.types.is_numeric_dtype(stamps):
        text = text.str.replace(r"\.0$", "", regex=True)
        if not _mostly(text, _WRITTEN):
            return _from_epoch(stamps, flags)
    elif flags.epoch is not None or (_mostly(text, _COUNTED) and not _mostly(text, _WRITTEN)):
        return _from_epoch(text.str.replace(r"\.0*$", "", regex=True), flags)
    return _from_text(text, flags)


def _mostly(text: "pd.Series[str]", pattern: str) -> bool:
    """Whether most of the first stamps are of a pattern."""
    present = text.iloc[:_SAMPLE].dropna()
    return bool(len(present) and present.str.fullmatch(pattern).mean() > 0.5)


def _from_epoch(stamps: pd.Series, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    """Moments counted from 1970; those of whole numbers are exact."""
    numbers = pd.to_numeric(stamps, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    exact = np.full(len(numbers), np.iinfo(np.int64).min)
    units: list[EpochUnit] = []
    # Each number has one unit by its size: exchanges changed theirs, and what was joined has both.
    for unit, scale in _UNITS.items() if flags.epoch is None else [(flags.epoch, _UNITS[flags.epoch])]:
        readable = (numbers >= _EARLIEST * scale) & (numbers <= _LATEST * scale)
        if not readable.any():
            continue
        units.append(unit)
        whole = readable & (numbers % 1 == 0)
        exact[whole] = stamps[whole].astype("int64") * (10**9 // scale)
        parts = readable & ~whole
        # A float of seconds is good for microseconds.
        exact[parts] = np.round(numbers[parts] * (10**6 / scale)).astype(np.int64) * 1000
    index = pd.DatetimeIndex(exact.view("M8[ns]"), tz="UTC")
    if flags.epoch is None and np.mean(index.isna()) > _MOST_UNREADABLE:
        raise _NoStampsError(
            f"the number {stamps.iloc[0]} for a stamp, which is no time from 1990 to 2100 in s, ms, us or "
            "ns; the unit must be known; give --bars-epoch."
        )
    return index, f"epoch in {' and '.join(units)}, UTC"


def _from_text(text: "pd.Series[str]", flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    if _mostly(text, _ISO.pattern):
        # A year of New York stamps carries two offsets, which pandas reads only by way of UTC.
        endings = text.str.slice(-6)
        zoned = {ending: re.search(_ZONED, ending) is not None for ending in endings.dropna().unique()}
        is_zoned = bool(text.iloc[:_SAMPLE].dropna().str.contains(_ZONED, regex=True).mean() > 0.5)
        # Of those with a zone and those without, the fewer are no stamps: pandas reads no mixture.
        alike = text.where(endings.map(zoned) == is_zoned) if len(set(zoned.values())) > 1 else text
        index = pd.DatetimeIndex(pd.to_datetime(alike, utc=is_zoned, format="ISO8601", errors="coerce"))
        if np.mean(index.isna()) <= _MOST_UNREADABLE:
            return index, "zone in the text" if is_zoned else ""
    plain = text.str.replace(r"[\s,]+", " ", regex=True).str.replace(r"\b([ap])\.m\.", r"\1m", regex=True)
    parts = plain.str.extract(re.compile(f"^(?:{_STAMP.pattern})$", _STAMP.flags))
    zone, offsets, clock = _zone_of(parts)
    clocks = parts["time"].fillna("0:00") + " " + parts["half"].fillna("")
    local = _each(parts["date"], _Days(parts["date"], flags), "M8[us]") + _each(clocks, _time_of_day, "m8[us]")
    if zone is not None:
        return localized(pd.DatetimeIndex(local), zone), clock
    if offsets is None:
        return pd.DatetimeIndex(local), clock
    return pd.DatetimeIndex(local - offsets, tz="UTC"), clock


def _each(column: "pd.Series[str]", value_of: Callable[[str], Any], kind: str) -> npt.NDArray[Any]:
    """A time of each entry, worked out once for each that differs; NaT where there is none."""
    codes, distinct = pd.factorize(column)
    values: npt.NDArray[Any] = np.array([*(value_of(text) for text in distinct), "NaT"], dtype=kind)
    return np.asarray(values[codes])


def _zone_of(parts: pd.DataFrame) -> tuple[str | None, npt.NDArray[Any] | None, str]:
    """The zone that all stamps name, or the offset of each, or neither; and which it is, in words."""
    offsets = parts["offset"].str.lower().replace({"z": "+0000"})
    names = parts["zone"].dropna().unique()
    short = {name: _OFFSETS[name.lower()] for name in names if name.lower() in _OFFSETS}
    offsets = offsets.fillna(parts["zone"].map(short))
    named = [name for name in names if name not in short]
    if len(named) > 1:
        raise _NoStampsError(f"stamps that name several zones ({', '.join(named[:3])}); it must be one.")
    if named and len(parts["zone"].dropna()) > len(parts) / 2:
        zone = _ABBREVIATED.get(named[0].lower(), named[0])
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _NoStampsError(
                f"stamps whose zone {zone!r} is none that is known; it must be one such as {DEFAULT_ZONE}; "
                "name that, or write offsets as -05:00."
            ) from None
        return zone, None, f"zone {zone} in the text"
    has_offset = offsets.notna().to_numpy()
    if has_offset.mean() <= 0.5:
        parts.loc[has_offset, "date"] = None
        return None, None, ""
    return None, _each(offsets, _offset, "m8[us]"), "zone in the text"


def _offset(text: str) -> np.timedelta64:
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return np.timedelta64(-minutes if text[0] == "-" else minutes, "m")


def _time_of_day(text: str) -> np.timedelta64:
    """What a clock shows, as 9:30, 093000 or 09:30:00.5, with am or pm behind it or a space alone."""
    clock, _, half = text.partition(" ")
    clock = clock if ":" in clock else ":".join(re.findall(r"\d\d", clock))
    hour, minute, second = (*map(float, clock.split(":")), 0.0)[:3]
    if half:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    if hour > 24 or minute > 59 or second >= 61:
        return np.timedelta64("NaT")
    return np.timedelta64(round((hour * 3600 + minute * 60 + second) * 1e6), "us")


class _Days:
    """Reads dates of one column, whose days tell whether the month or the day comes first."""

    def __init__(self, dates: "pd.Series[str]", flags: StampFlags) -> None:
        numbers = dates.dropna().drop_duplicates().str.extract(r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d\d)$").dropna()
        self._month_first = flags.dates != "dmy"
        if len(numbers) and flags.dates is None:
            sign = re.sub(r"\d", "", str(dates.dropna().iloc[0]))[:1]
            self._month_first = _month_comes_first(numbers.astype(int).to_numpy(), sign, str(dates.dropna().iloc[0]))

    def __call__(self, text: str) -> np.datetime64:
        parts = re.split(r"[-/. ]", text) if not text.isdigit() else [text[:4], text[4:6], text[6:]]
        try:
            return np.datetime64(self._iso(parts))
        except ValueError:
            return np.datetime64("NaT")

    def _iso(self, parts: list[str]) -> str:
        if parts[0].isalpha() or parts[1].isalpha():
            day, word = (parts[1], parts[0]) if parts[0].isalpha() else (parts[0], parts[1])
            return f"{parts[2]}-{_MONTHS.index(word[:3].lower()) + 1:02}-{int(day):02}"
        if len(parts[0]) == 4:
            year, month, day = parts
        else:
            (month, day), year = (parts[:2] if self._month_first else parts[1::-1]), parts[2]
        return f"{year if len(year) == 4 else '20' + year}-{int(month):02}-{int(day):02}"


def _month_comes_first(numbers: Int64Array2D, sign: str, example: str) -> bool:
    """Whether the first of two numbers is the month: by what is no month, else by which days are an exchange's."""
    month_first, day_first = bool((numbers[:, 0] <= 12).all()), bool((numbers[:, 1] <= 12).all())
    if month_first != day_first:
        return month_first
    likely = [_density(numbers[:, order]) if month_first else 0.0 for order in ([2, 0, 1], [2, 1, 0])]
    if max(likely) >= 0.5 and min(likely) <= max(likely) / 2:
        return likely[0] > likely[1]
    if sign == "." and day_first:
        return False
    raise _NoStampsError(
        f"the date {example}, whose month cannot be told from its day; it must be known which comes first; "
        "give --bars-dates mdy (or dmy)."
    )


def _density(dates: Int64Array1D) -> float:
    """Share of the exchange's sessions between the first and the last of these dates that are among them."""
    years = np.where(dates[:, 0] < 100, dates[:, 0] + 2000, dates[:, 0])
    days = pd.to_datetime({"year": years, "month": dates[:, 1], "day": dates[:, 2]}, errors="coerce").dropna()
    sessions = market_named(DEFAULT_MARKET).schedule(days.min(), days.max()).index if len(days) else days
    return float(sessions.isin(days).mean()) if len(sessions) else 0.0
