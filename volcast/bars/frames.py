"""Frames of bars, of whatever library and shape, as the frames of pandas that everything else works on."""

from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.clocks import fitting_zones, zone_sentence
from volcast.bars.columns import FIELDS, SYMBOL, named_columns, plain_name
from volcast.bars.layouts import pandas_frame
from volcast.bars.sources.formats import stamped_table
from volcast.bars.sources.stamps import StampFlags
from volcast.errors import BarsError, MissingPackageError
from volcast.markets.market import TradingMarket
from volcast.packages import required_module

__all__ = ["as_bars_frame"]


def as_bars_frame(
    bars: object, name: str = "the bars", symbol: str | None = None, market: str | TradingMarket | None = None
) -> pd.DataFrame:
    """`bars` as a frame of pandas with the columns and the index of bars; itself where it is one already.

    Read are frames of pandas, of Polars and others that narwhals knows, and of every library that hands its tables over
    as Arrow does (PyArrow, DuckDB ...): names of columns in any case and of any vendor, yfinance's two levels of
    columns, long frames of Nixtla's libraries (``unique_id``, ``ds``), prices as decimals, categories or text, stamps
    in the index or in a column, as times, text or epochs.

    Parameters
    ----------
    bars
        What a caller handed over.
    name
        What to call it in an error.
    symbol, market
        By whose hours an error guesses the zone of stamps that carry none, as `market_of_bars` takes them. Whose hours
        the bars are tells the frame that is returned: stamps in a column tell none.

    Returns
    -------
    DataFrame indexed by ``timestamp`` (tz-aware), or by (symbol, timestamp) where rows name several symbols, with
    columns open, high, low, close, volume as far as there are. Values and order are not checked.

    Raises
    ------
    BarsError
        It is no frame, or its columns or stamps are none of bars; one sentence.
    """
    frame = bars if isinstance(bars, pd.DataFrame) else _from_other(bars, name)
    if frame.empty or _is_plain(frame):
        return frame
    table = stamped_table(_quiet(frame), f"the frame of {name}", StampFlags())
    if len(table.left_out):
        first = table.left_out.iloc[0]
        raise BarsError(
            f"{name} have rows that are no bars, {len(table.left_out):,} of them (row {first['row']}: "
            f"{first['what']}); each needs a stamp and its prices; drop those rows."
        )
    stamped = table.frame.rename_axis(index="timestamp")
    if time_index(stamped).tz is None:
        raise _without_zone(time_index(stamped), name, market_of_bars(frame, symbol, market))
    plain = _by_symbol(stamped)
    plain.attrs = {**plain.attrs, **frame.attrs}
    return plain


def _is_plain(frame: pd.DataFrame) -> bool:
    """Whether columns and index are those of bars, or are none that could be read as such."""
    columns = frame.columns
    if columns.nlevels > 1 or not _are_plain(tuple(columns)):
        return False
    if not has_plain_index(frame):
        return False
    kinds = (kind for name, kind in zip(columns, frame.dtypes, strict=True) if name in FIELDS)
    return all(isinstance(kind, np.dtype) and kind.kind in "fiu" for kind in kinds)


def has_plain_index(frame: pd.DataFrame) -> bool:
    """Whether rows are indexed by stamps with a time zone, or by a symbol and these; no row of a `frame` is none."""
    index = stamps = frame.index
    if isinstance(index, pd.MultiIndex) and index.nlevels == 2 and (index.codes[0] >= 0).all():
        stamps = index.levels[1]
    return isinstance(stamps, pd.DatetimeIndex) and stamps.tz is not None


@lru_cache(maxsize=64)
def _are_plain(columns: tuple[Hashable, ...]) -> bool:
    """Whether the names of columns are those of one symbol's bars, or none that could be read as such."""
    if len({str(column).lower() for column in columns}) < len(columns):
        return False
    if any(plain_name(column) == SYMBOL for column in columns):
        return False
    return "close" in columns or "close" not in named_columns(columns, "")


def _from_other(bars: object, name: str) -> pd.DataFrame:
    """A table of another library: one that narwhals knows, or by way of Arrow."""
    kind = type(bars).__name__
    if hasattr(bars, "collect") and not hasattr(bars, "__arrow_c_stream__"):
        raise BarsError(f"{name} are a {kind}, which holds no rows yet; a frame is needed; hand over bars.collect().")
    if isinstance(bars, pd.Series) or not hasattr(bars, "__arrow_c_stream__"):
        raise BarsError(
            f"{name} are a {kind}; a DataFrame with 'close' among its columns, indexed by the start of each bar, is "
            "needed; make one with pandas."
        )
    return _from_table(bars, name)


def _from_table(bars: Any, name: str) -> pd.DataFrame:
    try:
        frame = pandas_frame(bars)
        if frame is None:
            frame = required_module("pyarrow", f"tables such as this {type(bars).__name__}").table(bars).to_pandas()
    except MissingPackageError:
        raise
    # Each library has errors of its own.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise BarsError(
            f"{name} are a {type(bars).__name__} that no table can be made of ({reason}); numbers and times are "
            "needed; hand over one of pandas."
        ) from None
    return frame


def _quiet(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without what pandas cannot even ask about: decimals that signal, bytes that are no text."""
    if pd.api.types.is_object_dtype(frame.index.dtype) and not isinstance(frame.index, pd.MultiIndex):
        unreadable_stamps = np.array([_is_unreadable(stamp) for stamp in frame.index], dtype=bool)
        if unreadable_stamps.any():
            frame = frame.set_axis(frame.index.where(~unreadable_stamps, None))
    if not any(pd.api.types.is_object_dtype(kind) for kind in frame.dtypes):
        return frame
    unreadable = frame.map(_is_unreadable).to_numpy(dtype=bool)
    return frame.mask(unreadable, None) if unreadable.any() else frame


def _is_unreadable(value: object) -> bool:
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return True
    return isinstance(value, Decimal) and value.is_snan()


def _without_zone(stamps: pd.DatetimeIndex, name: str, market: TradingMarket) -> BarsError:
    zones = fitting_zones(stamps, bar_length(stamps.sort_values()), market)
    zone = zones[0] if zones else market.zone
    return BarsError(f"{name} have {zone_sentence(stamps, zones, market)}; use bars.tz_localize('{zone}').")


def _by_symbol(frame: pd.DataFrame) -> pd.DataFrame:
    if SYMBOL not in frame:
        return frame
    if frame[SYMBOL].nunique() == 1:
        alone = frame.drop(columns=SYMBOL)
        alone.attrs["symbol"] = str(frame[SYMBOL].iloc[0])
        return alone
    return frame.set_index(SYMBOL, append=True).swaplevel().sort_index(level=0, sort_remaining=False, kind="stable")
