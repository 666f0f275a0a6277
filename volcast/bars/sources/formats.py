"""Tables of bars as their vendors write them: whose columns these are, and what their time stamps mean.

| vendor | recognized by | stamps |
| --- | --- | --- |
| Alpaca | `trade_count`; or `t, o, h, l, c, v` with `t` as text | start, zone in the text |
| Yahoo (yfinance) | `Adj Close`, `Dividends`, or the header of three rows | start, zone in the text |
| Stooq | `<TICKER>`, `<DATE>`, `<TIME>` | not said in the file: both flags are needed |
| Polygon | `window_start`; or `t, o, h, l, c, v` with `t` as number | start, epoch in ns or ms |
| Databento | `ts_event` | start, epoch in ns or text; whole-number prices are in units of 1e-9 |
| Interactive Brokers | `average` and `barCount`, or `wap` and `count` | start; zone in the text or by flag; epoch |
| Kibot | no header: date, time, open, high, low, close, volume | start, New York |
| any other | a column of stamps and `close` | start, unless told otherwise; zone in the text or by flag |
"""

import re
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from volcast.errors import BarsError

__all__ = ["SYMBOL_COLUMNS", "StampFlags", "StampedTable", "stamped_table"]

StampSide = Literal["start", "end"]
EpochUnit = Literal["s", "ms", "us", "ns"]
DateOrder = Literal["mdy", "dmy"]

_STAMP_COLUMNS = ("timestamp", "datetime", "date", "time", "t", "ts_event", "window_start", "unnamed: 0")
SYMBOL_COLUMNS = ("symbol", "ticker", "<ticker>")
"""What a column of symbols is called, in lower case."""

_SHORT_NAMES = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
_KEPT = ("open", "high", "low", "close", "volume")
_KIBOT = ["date", "time", *_KEPT]
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_ZONED = r"(?:Z|[+-]\d\d:?\d\d)$"
_NAMED_ZONE = re.compile(r"^(.*\d) ([A-Z][A-Za-z]+(?:/[A-Za-z_]+)?)$")
# Seconds from 1990 to 2100, and the same in smaller units: they do not overlap.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_UNITS: dict[EpochUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NANO_PRICE = 1e-9


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


@dataclass(frozen=True)
class StampedTable:
    """A table with its stamps read.

    Attributes
    ----------
    frame
        Indexed by stamp as it is in the file, columns open, high, low, close, volume, symbol as far as there are.
    vendor
        Whose columns it has; ``"plain"`` where they are nobody's in particular.
    side
        What the stamps are; None where neither the vendor nor the user says it.
    clock
        Where the zone comes from, in words.
    """

    frame: pd.DataFrame
    vendor: str
    side: StampSide | None
    clock: str


def stamped_table(table: pd.DataFrame, name: str, flags: StampFlags) -> StampedTable:
    """Recognize whose columns `table` has, and read its stamps.

    Parameters
    ----------
    table
        As it was read: columns and index as in the file.
    name
        What to call it in an error.
    flags
        What the user says; it goes before what is recognized.

    Raises
    ------
    BarsError
        There are no stamps that can be read, or what they mean is ambiguous; the message names the flag to give.
    """
    table = _without_levels(table)
    vendor = _vendor(table)
    table = _headed(table, vendor)
    table = table.rename(columns=_SHORT_NAMES if "close" not in table.columns else {})
    known = replace(
        flags,
        timezone=flags.timezone or ("America/New_York" if vendor == "Kibot" else None),
        side=flags.side or (None if vendor in ("Stooq", "plain") else "start"),
        dates=flags.dates or ("mdy" if vendor == "Kibot" else None),
    )
    if vendor == "Stooq" and (flags.timezone is None or flags.side is None):
        raise BarsError(
            f"{name} has Stooq's columns, which say neither the zone of their stamps nor whether these are a bar's "
            "start or end; both must be known; give --bars-timezone (Stooq's own is Europe/Warsaw) and --bars-stamps."
        )
    index, clock = _stamps(table, name, known)
    frame = pd.DataFrame(table[[column for column in _KEPT if column in table.columns]]).set_axis(index)
    if vendor == "Databento":
        whole = [column for column in _KEPT[:4] if column in frame and pd.api.types.is_integer_dtype(frame[column])]
        frame[whole] = frame[whole] * _NANO_PRICE
    symbols = next((column for column in SYMBOL_COLUMNS if column in table.columns), None)
    if symbols is not None:
        frame["symbol"] = table[symbols].astype(str).to_numpy()
    return StampedTable(frame, vendor, known.side, clock)


def _without_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Everything as columns of lower-case names: an index that says something, both rows of yfinance's header."""
    if isinstance(table.columns, pd.MultiIndex):
        # yfinance: (Price, Ticker) of one symbol.
        tickers = table.columns.get_level_values(-1).unique()
        if len(tickers) > 1:
            table = table.stack(level=-1, future_stack=True).rename_axis(index=["datetime", "symbol"])
        else:
            table = table.droplevel(-1, axis=1).assign(symbol=tickers[0])
            table.columns.name = None
    if isinstance(table.index, pd.MultiIndex):
        names = [str(name).lower() if name is not None else None for name in table.index.names]
        stamps = [isinstance(level, pd.DatetimeIndex) for level in table.index.levels]
        table = table.rename_axis(
            index=[name or ("timestamp" if stamp else "symbol") for name, stamp in zip(names, stamps, strict=True)]
        ).reset_index()
    elif isinstance(table.index, pd.DatetimeIndex) or str(table.index.name).lower() in _STAMP_COLUMNS:
        table = table.rename_axis(index=str(table.index.name or "timestamp")).reset_index()
    return table.set_axis([str(column).strip().lower() for column in table.columns], axis=1)


def _vendor(table: pd.DataFrame) -> str:
    columns = set(table.columns)
    if {"<date>", "<time>"} <= columns:
        return "Stooq"
    if "ts_event" in columns:
        return "Databento"
    if "window_start" in columns:
        return "Polygon"
    if {"t", "o", "h", "l", "c"} <= columns:
        return "Polygon" if pd.api.types.is_numeric_dtype(table["t"]) else "Alpaca"
    if "trade_count" in columns:
        return "Alpaca"
    if {"average", "barcount"} <= columns or {"wap", "count"} <= columns:
        return "Interactive Brokers"
    if columns & {"adj close", "dividends", "stock splits"} or table.columns[0] == "price":
        return "Yahoo"
    if list(table.columns) == [str(number) for number in range(len(_KIBOT))]:
        return "Kibot"
    return "plain"


def _headed(table: pd.DataFrame, vendor: str) -> pd.DataFrame:
    """The table under its own column names."""
    if vendor == "Kibot":
        return table.set_axis(_KIBOT, axis=1)
    if vendor == "Yahoo" and table.columns[0] == "price":
        # Rows under the header: Ticker, and the name of the index.
        symbol = str(table.iloc[0, 1])
        rows = table.iloc[2:].rename(columns={"price": "datetime"}).assign(symbol=symbol)
        return rows.astype({column: float for column in _KEPT if column in rows})
    if vendor == "Stooq":
        names = {f"<{name}>": name for name in ("open", "high", "low", "close", "date", "time")}
        return table.rename(columns={**names, "<vol>": "volume"})
    return table


def _stamps(table: pd.DataFrame, name: str, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    column = next((column for column in _STAMP_COLUMNS if column in table.columns), None)
    if column is None:
        raise BarsError(
            f"{name} has no time stamps that can be read; bars need them as an index or in a column named "
            f"{', '.join(_STAMP_COLUMNS[:5])}; rename the column."
        )
    stamps = table[column]
    if column == "date" and "time" in table.columns:
        time = table["time"].astype(str)
        time = time.str.zfill(6) if time.str.fullmatch(r"\d{1,6}").all() else time
        stamps = stamps.astype(str) + " " + time
    try:
        with warnings.catch_warnings():
            # Mixed formats are a reason to refuse below, not to warn.
            warnings.simplefilter("ignore")
            return _zoned(*_as_times(stamps, flags), flags)
    except _AmbiguousError as error:
        raise BarsError(f"{name} has {error}.") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise BarsError(
            f"{name} has stamps in '{column}' that are no times ({str(error).splitlines()[0]}); "
            "write them as 2024-12-31 09:30:00-05:00."
        ) from None


class _AmbiguousError(Exception):
    """What is ambiguous, and the flag that says what it is."""


def _as_times(stamps: pd.Series, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    """Stamps as times, and what they carry of a zone, in words."""
    if pd.api.types.is_datetime64_any_dtype(stamps):
        index = pd.DatetimeIndex(stamps)
        return index, "" if index.tz is None else "with their zone"
    if pd.api.types.is_numeric_dtype(stamps):
        return _from_epoch(stamps.to_numpy(), flags)
    text = stamps.astype(str).str.strip().str.replace(r"\s+", " ", regex=True)
    first = text.iloc[0]
    named = _NAMED_ZONE.fullmatch(first)
    if named is not None:
        # Interactive Brokers: 20240102 09:30:00 US/Eastern
        zones = text.str.extract(_NAMED_ZONE)[1].unique()
        if len(zones) != 1:
            raise ValueError(f"they name several zones: {', '.join(map(str, zones[:3]))}")
        local = pd.DatetimeIndex(pd.to_datetime(text.str.replace(f" {zones[0]}", ""), format="%Y%m%d %H:%M:%S"))
        return _localized(local, str(zones[0])), f"zone {zones[0]} in the text"
    if _SLASHED.match(first):
        return pd.DatetimeIndex(pd.to_datetime(_from_slashes(text, flags))), ""
    if re.fullmatch(r"\d{8} \d{6}", first):
        return pd.DatetimeIndex(pd.to_datetime(text, format="%Y%m%d %H%M%S")), ""
    # A year of New York stamps carries two offsets, which pandas reads only by way of UTC.
    zoned = bool(text.str.contains(_ZONED, regex=True).all())
    form = "%Y%m%d %H:%M:%S" if re.fullmatch(r"\d{8} [\d:]{8}", first) else "ISO8601"
    return pd.DatetimeIndex(pd.to_datetime(text, utc=zoned, format=form)), "zone in the text" if zoned else ""


def _from_epoch(numbers: np.ndarray, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    fitting = [
        unit for unit, scale in _UNITS.items() if ((numbers >= _EARLIEST * scale) & (numbers <= _LATEST * scale)).all()
    ]
    unit = flags.epoch or (fitting[0] if fitting else None)
    if unit is None:
        raise _AmbiguousError(
            f"the number {numbers[0]} for a stamp, which is no time from 1990 to 2100 in s, ms, us or ns; the "
            "unit must be known; give --bars-epoch"
        )
    return pd.DatetimeIndex(pd.to_datetime(numbers, unit=unit, utc=True)), f"epoch in {unit}, UTC"


def _from_slashes(text: "pd.Series[str]", flags: StampFlags) -> "pd.Series[str]":
    """Dates such as 01/31/2024 as 2024-01-31, where the days tell which number is the month."""
    parts = text.str.extract(r"^(\d{1,2})/(\d{1,2})/(\d{4})(.*)$")
    first, second = parts[0].astype(int), parts[1].astype(int)
    month_first, day_first = bool((first <= 12).all()), bool((second <= 12).all())
    if month_first == day_first and flags.dates is None:
        raise _AmbiguousError(
            f"the date {text.iloc[0].split()[0]}, whose month cannot be told from its day; it must be known which "
            "comes first; give --bars-dates mdy (or dmy)"
        )
    leads = month_first if flags.dates is None else flags.dates == "mdy"
    month, day = (parts[0], parts[1]) if leads else (parts[1], parts[0])
    return parts[2] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + parts[3]


def _zoned(index: pd.DatetimeIndex, clock: str, flags: StampFlags) -> tuple[pd.DatetimeIndex, str]:
    if index.tz is not None or flags.timezone is None:
        return index, clock or "no zone"
    return _localized(index, flags.timezone), f"zone {flags.timezone}"


def _localized(index: pd.DatetimeIndex, zone: str) -> pd.DatetimeIndex:
    """Local times as moments; the hour that clocks repeat is told apart by its order, else taken as summer time."""
    try:
        return index.tz_localize(zone, ambiguous="infer", nonexistent="shift_forward")
    except ValueError:
        return index.tz_localize(zone, ambiguous=np.ones(len(index), dtype=bool), nonexistent="shift_forward")
