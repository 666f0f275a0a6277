"""Tables of bars as their vendors write them: whose columns these are, and what their time stamps mean.

| vendor | recognized by | stamps |
| --- | --- | --- |
| Alpaca | `trade_count`; or `t, o, h, l, c, v` with `t` as text | start, zone in the text |
| Yahoo (yfinance) | `Adj Close`, `Dividends`, or the header of three rows | start, zone in the text |
| Stooq | `<TICKER>`, `<DATE>`, `<TIME>` | not said in the file: both flags are needed |
| Polygon | `window_start`; or `t, o, h, l, c, v` with `t` as number | start, epoch in ns or ms |
| Databento | `ts_event` | start, epoch in ns or text; whole-number prices are in units of 1e-9 |
| Interactive Brokers | `average` and `barCount`, or `wap` and `count` | start; zone in the text or by flag; epoch |
| Kibot | no header: date as 12/31/2024, time, open, high, low, close, volume | start, New York |
| MetaTrader | `<DATE>`, `<TIME>` and no ticker | start; zone by flag or by the hours |
| Binance | `open_time`; or no header and twelve fields | start, epoch in ms or us |
| Coinbase | `time, low, high, open, close, volume`; or no header and these six | start, epoch in s, newest first |
| Kraken | no header: epoch, open, high, low, close, perhaps the mean price, volume, trades | start, epoch in s |
| ccxt | no header: epoch, open, high, low, close, volume | start, epoch in ms |
| any other | a column of stamps and `close` | start, unless told; zone in the text, by flag, or by the hours |
| any other | no header: date and time in one field or two, open, high, low, close, perhaps volume | the same |
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.bars.columns import (
    FIELDS,
    PRICES,
    SYMBOL,
    DecimalMark,
    count_out_of_range,
    named_columns,
    numbers_of,
    plain_name,
    require_prices_in_range,
    text_of,
)
from volcast.bars.sources.headless import headless_columns, is_headless
from volcast.bars.sources.stamps import StampFlags, StampSide, is_stamp_name, read_stamps
from volcast.counts import counted
from volcast.errors import BarsError, NotEnoughDataError
from volcast.markets.names import DEFAULT_ZONE

__all__ = ["StampedTable", "stamped_table"]

_COINBASE = ["time", "low", "high", "open", "close", "volume"]
_NANO_PRICE = 1e-9


@dataclass(frozen=True)
class StampedTable:
    """A table with its stamps and numbers read.

    Attributes
    ----------
    frame
        Indexed by stamp as it is in the file, columns open, high, low, close, volume, symbol as far as there are; rows
        without a stamp or one of their prices are left out.
    vendor
        Whose columns it has; ``"plain"`` where they are nobody's in particular.
    is_headless
        Whether the vendor was told by the order and the values of columns that have no names.
    side
        What the stamps are; None where neither the vendor nor the user says it.
    clock
        Where the zone comes from, in words; empty where nothing says it.
    zone
        Of stamps that carry none, as the user or the vendor's habit has it.
    left_out
        Rows left out: ``row``, counted from 0 as in the table, ``what`` is wrong with it, and ``symbol`` (or None).
    """

    frame: pd.DataFrame
    vendor: str
    is_headless: bool
    side: StampSide | None
    clock: str
    zone: str | None
    left_out: pd.DataFrame


def stamped_table(table: pd.DataFrame, name: str, flags: StampFlags, mark: DecimalMark | None = None) -> StampedTable:
    """Recognize whose columns `table` has, and read its stamps and numbers.

    Parameters
    ----------
    table
        As it was read: columns and index as in the file.
    name
        What to call it in an error.
    flags
        What the user says; it goes before what is recognized.
    mark
        What parts whole from decimals in text; None tells it by the text.

    Raises
    ------
    BarsError
        There are no stamps or prices that can be read, two columns of one name, rows without a symbol, closes outside
        high and low, or what the stamps mean is ambiguous; then the message names the flag to give.
    NotEnoughDataError
        There is no row.
    """
    table = _flat(table, name)
    vendor, table, headless = _vendor_and_columns(table, name)
    if table.empty:
        raise NotEnoughDataError(f"{name} holds no bars; at least one is needed; check how it was written.")
    if vendor == "Stooq" and (flags.timezone is None or flags.side is None):
        raise BarsError(
            f"{name} has Stooq's columns, which say neither the zone of their stamps nor whether these are a bar's "
            "start or end; both must be known; give --bars-timezone (Stooq's own is Europe/Warsaw) and --bars-stamps."
        )
    vendor_flags = _with_vendors_habits(flags, vendor)
    places = named_columns(table.columns, name)
    index, clock = read_stamps(table, name, vendor_flags)
    frame = _numbers(table, places, mark, name)
    if vendor == "Databento":
        whole = [column for column in PRICES if column in frame and pd.api.types.is_integer_dtype(frame[column])]
        frame[whole] = frame[whole] * _NANO_PRICE
    if SYMBOL in places:
        symbols = text_of(table.iloc[:, places[SYMBOL]]).str.strip()
        frame[SYMBOL] = symbols.mask(symbols == "", None)
    wrong = _wrong_rows(frame, index)
    left_out = _listed(wrong, table, frame)
    frame.index = index
    usable = np.asarray(wrong == "")
    frame = frame if usable.all() else frame[usable]
    _require_rows(frame, len(table), name)
    return StampedTable(frame, vendor, headless, vendor_flags.side, clock, vendor_flags.timezone, left_out)


def _with_vendors_habits(flags: StampFlags, vendor: str) -> StampFlags:
    return replace(
        flags,
        timezone=flags.timezone or (DEFAULT_ZONE if vendor == "Kibot" else None),
        side=flags.side or (None if vendor in ("Stooq", "MetaTrader", "plain") else "start"),
        dates=flags.dates or ("mdy" if vendor == "Kibot" else None),
    )


def _flat(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Everything as columns under single names: an index that says something, both rows of yfinance's header."""
    if isinstance(table.columns, pd.MultiIndex):
        table = _without_tickers(table, name)
    index = table.index
    if isinstance(index, pd.MultiIndex):
        names = [
            cast(str | None, level.name) or ("timestamp" if isinstance(level, pd.DatetimeIndex) else SYMBOL)
            for level in index.levels
        ]
        return table.rename_axis(index=names).reset_index()
    if isinstance(index, pd.RangeIndex) and not is_stamp_name(index.name or ""):
        return table
    if _has_stamps(table) and not isinstance(index, pd.DatetimeIndex):
        return table.reset_index(drop=True)
    index = index.rename("timestamp")
    return table.drop(columns=table.columns.intersection(["timestamp"])).set_axis(index).reset_index()


def _has_stamps(table: pd.DataFrame) -> bool:
    return any(is_stamp_name(column) for column in table.columns)


def _without_tickers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """yfinance's columns, which have two levels: one of prices and one of tickers, in either order."""
    levels = [table.columns.get_level_values(number) for number in range(table.columns.nlevels)]
    fields = [len(named_columns(level.unique(), name)) for level in levels]
    if len(levels) != 2 or max(fields) < 1:
        raise BarsError(
            f"{name} has {len(levels)} levels of columns, none of them of prices; one level with 'close' is needed; "
            "flatten them."
        )
    of_tickers = 1 - int(np.argmax(fields))
    tickers = levels[of_tickers].unique()
    if len(tickers) == 1:
        flat = table.droplevel(of_tickers, axis=1).assign(**{SYMBOL: str(tickers[0])})
        return flat.rename_axis(columns=None)
    rows = cast(pd.DataFrame, table.stack(level=of_tickers, future_stack=True))
    return rows.rename_axis(index=["timestamp", SYMBOL], columns=None)


def _vendor(table: pd.DataFrame) -> str:
    columns = [str(column).strip().lower() for column in table.columns]
    present = set(columns)
    if {"<date>", "<time>"} <= present:
        return "Stooq" if present & {"<ticker>", "<per>"} else "MetaTrader"
    if "ts_event" in present:
        return "Databento"
    if "window_start" in present:
        return "Polygon"
    if {"t", "o", "h", "l", "c"} <= present:
        # Polygon counts, Alpaca writes.
        written = text_of(table.iloc[:, columns.index("t")]).str.contains(r"\D\d", regex=True, na=False)
        return "Alpaca" if written.any() else "Polygon"
    if "trade_count" in present:
        return "Alpaca"
    if {"average", "barcount"} <= present or {"wap", "count"} <= present:
        return "Interactive Brokers"
    if present & {"adj close", "dividends", "stock splits"} or columns[:1] == ["price"]:
        return "Yahoo"
    if plain_name(columns[0]) == "open time":
        return "Binance"
    return "Coinbase" if columns == _COINBASE else "plain"


def _vendor_and_columns(table: pd.DataFrame, name: str) -> tuple[str, pd.DataFrame, bool]:
    """Whose columns a table has, the table under their names, and whether it had none."""
    if is_headless(table) and len(table):
        vendor, columns = headless_columns(table, name)
        return vendor, table.set_axis(list(columns), axis=1), True
    vendor = _vendor(table)
    return vendor, _headed(table, vendor), False


def _headed(table: pd.DataFrame, vendor: str) -> pd.DataFrame:
    """The table under its own column names."""
    named = vendor == "Yahoo" and table.shape[1] > 1 and str(table.columns[0]).lower() == "price"
    if named and not _has_stamps(table):
        # Rows under the header: Ticker, and the name of the index.
        rows = table.iloc[2:]
        return rows.set_axis(["datetime", *rows.columns[1:]], axis=1).assign(**{SYMBOL: table.iloc[:1, 1].sum()})
    return table


def _numbers(table: pd.DataFrame, places: Mapping[str, int], mark: DecimalMark | None, name: str) -> pd.DataFrame:
    """Prices and volume as numbers; a column that is empty throughout is left out."""
    if "close" not in places:
        present = ", ".join(map(str, table.columns[:12])) or "none"
        raise BarsError(f"{name} has no 'close' among its columns ({present}); it is needed; rename the column.")
    columns = {}
    for field in FIELDS:
        if field not in places:
            continue
        raw = table.iloc[:, places[field]]
        numbers = numbers_of(raw, mark, name)
        if numbers.notna().any():
            columns[field] = numbers
        elif field in PRICES and raw.notna().any():
            raise BarsError(
                f"{name} holds no number in '{raw.name}' (the first is {str(raw.dropna().iloc[0])[:40]!r}); prices "
                "must be numbers; check the column."
            )
        elif field in ("close", "volume"):
            columns[field] = numbers
    return pd.DataFrame(columns)


def _wrong_rows(frame: pd.DataFrame, index: pd.DatetimeIndex) -> npt.NDArray[np.object_]:
    """What is wrong with each row, shape (n,); empty text where nothing is."""
    wrong = np.full(len(frame), "", dtype=object)
    for field in reversed([field for field in PRICES if field in frame]):
        if frame[field].hasnans:
            wrong[frame[field].isna().to_numpy()] = f"no price in '{field}'"
    if index.hasnans:
        wrong[np.asarray(index.isna())] = "no time stamp from 1990 to 2099"
    return wrong


def _listed(wrong: npt.NDArray[np.object_], table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The wrong rows; those that are empty or a comment are left out of the list as well."""
    rows = np.flatnonzero(wrong != "")
    raw = table.iloc[rows]
    means_a_bar = ~raw.isna().all(axis=1) & ~text_of(raw.iloc[:, 0]).str.startswith("#", na=False).astype(bool)
    symbols = frame[SYMBOL].iloc[rows].to_numpy() if SYMBOL in frame else np.full(len(rows), None)
    listed = pd.DataFrame({"row": table.index[rows], "what": wrong[rows], SYMBOL: symbols})
    return listed[means_a_bar.to_numpy()]


def _require_rows(frame: pd.DataFrame, total: int, name: str) -> None:
    if frame.empty:
        raise NotEnoughDataError(
            f"{name} holds {counted(total, 'row')} and none with a stamp and prices; at least one is needed; check "
            "the file."
        )
    if SYMBOL in frame and frame[SYMBOL].isna().any():
        missing = int(frame[SYMBOL].isna().sum())
        raise BarsError(
            f"{name} has {missing:,} of {len(frame):,} rows without a symbol; each row needs one where there is such a "
            "column; fill it in, or remove the column."
        )
    require_prices_in_range(count_out_of_range(frame), len(frame), name)
