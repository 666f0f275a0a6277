"""What bars must be before anything is computed from them."""

import reprlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.bars.evidence import Evidence
from volcast.counts import counted
from volcast.errors import BarsError, BarsWarning, NotEnoughDataError
from volcast.markets.fit import MOST_CLOSED, MarketFit, better_fit
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE, default_market
from volcast.markets.registry import market_named

__all__ = [
    "are_usable",
    "bar_length",
    "commonest_step",
    "cut_to_days",
    "market_by_hours",
    "market_of_bars",
    "other_hours",
    "require_close",
    "select_symbol",
    "symbol_among",
    "symbol_named",
    "validate_bars",
]

_PRICES = ("open", "high", "low", "close")
_MINUTE = 60_000_000
_FEWEST_TO_TELL = 1000
_MISSING = np.iinfo(np.int64).min


def validate_bars(bars: pd.DataFrame, name: str = "the bars", market: TradingMarket | None = None) -> pd.DataFrame:
    """Return `bars` unchanged if they can be used.

    Parameters
    ----------
    bars
        One symbol's bars: a ``close`` at least, on a tz-aware, increasing index without duplicates.
    name
        What to call them in an error.
    market
        Whose hours tell whether stamps are starts; None is New York's.

    Raises
    ------
    NotEnoughDataError
        There are none.
    BarsError
        What is wrong with them, where it begins, and how to mend it.
    """
    if len(bars) == 0:
        raise NotEnoughDataError(f"{name} are empty; at least one bar is needed; check symbol, dates and file.")
    require_close(bars, name)
    _check_index(bars.index, name)
    for column in bars.columns.intersection(list(_PRICES)):
        _check_prices(bars[column], name)
    prices = {column: bars[column].to_numpy(dtype=float) for column in _PRICES if column in bars.columns}
    stamps = time_index(bars).as_unit("us").asi8
    Evidence.of_market(market).followed_by(stamps, prices).require_one_kind(bars.attrs, name)
    return bars


def require_close(bars: pd.DataFrame, name: str = "the bars") -> None:
    """Refuse bars without a column ``close``; `name` is what to call them in an error."""
    if "close" not in bars.columns:
        columns = ", ".join(map(str, bars.columns)) or "none"
        raise BarsError(
            f"{name} have no 'close' among their columns ({columns}); it is needed; rename the column of prices."
        )


def are_usable(stamps: Int64Array1D, prices: Iterable[npt.NDArray[Any]]) -> bool:
    """Whether bars with these `stamps` and columns of `prices`, shape (n,) each, pass `validate_bars`; it says why not.

    Whether stamps are starts and prices of one kind is not asked: that takes all bars of a symbol. Stamps are in
    whatever unit pandas counts them.
    """
    if not len(stamps) or stamps[0] == _MISSING or not (stamps[1:] > stamps[:-1]).all():
        return False
    values = np.array([*prices])
    # A missing price is neither above nothing nor below infinity.
    return not values.size or bool(values.min() > 0 and values.max() < np.inf)


def bar_length(index: pd.DatetimeIndex) -> pd.Timedelta:
    """Length of the bars: the most frequent distance between consecutive stamps, one minute for a single bar."""
    return pd.Timedelta(commonest_step(index.as_unit("us").asi8), unit="us")


def commonest_step(stamps: Int64Array1D) -> int:
    """The most frequent distance between consecutive `stamps` in microseconds; a minute where there is none."""
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    if len(steps) == 0:
        return _MINUTE
    lengths, counts = np.unique(steps, return_counts=True)
    return int(lengths[counts.argmax()])


def _check_index(index: pd.Index, name: str) -> None:
    if not isinstance(index, pd.DatetimeIndex):
        raise BarsError(
            f"{name} are indexed by {index.dtype}; the start of each bar as a time is needed; "
            "set it with bars.set_index('timestamp')."
        )
    if index.tz is None:
        raise BarsError(
            f"{name} have time stamps without a time zone (the first is {index[0]}); they must say which; "
            f"use bars.tz_localize('{DEFAULT_ZONE}'), or --bars-timezone on the command line."
        )
    stamps = index.asi8
    if index.hasnans:
        raise BarsError(
            f"{name} have {counted(int(np.sum(index.isna())), 'missing time stamp')}; each bar needs one; drop those "
            "rows."
        )
    steps = np.diff(stamps)
    if (steps < 0).any():
        first = int(np.argmax(steps < 0)) + 1
        raise BarsError(
            f"{name} are not in time order ({index[first]} comes after {index[first - 1]}); they must be; "
            "sort them with bars.sort_index(), or let cleaning do it (--clean)."
        )
    if (steps == 0).any():
        first = int(np.argmax(steps == 0)) + 1
        raise BarsError(
            f"{name} have {counted(int((steps == 0).sum()), 'duplicated time stamp')} (the first is {index[first]}); "
            "each may occur once; drop them with bars[~bars.index.duplicated()], or let cleaning do it (--clean)."
        )


def _check_prices(prices: pd.Series, name: str) -> None:
    if not pd.api.types.is_numeric_dtype(prices):
        raise BarsError(f"{name} hold {prices.dtype} in '{prices.name}'; prices must be numbers; convert the column.")
    values = prices.to_numpy(dtype=float)
    for wrong, what, mend in (
        (np.isnan(values), "no price", "drop those rows, or let cleaning do it (--clean)"),
        (
            values <= 0,
            "a price of zero or less",
            "correct or drop those rows (--clean does; back-adjusted futures need an offset)",
        ),
        (np.isinf(values), "an infinite price", "correct or drop those rows"),
    ):
        if wrong.any():
            raise BarsError(
                f"{name} have {what} in '{prices.name}' at {counted(int(wrong.sum()), 'stamp')} (the first is "
                f"{prices.index[int(wrong.argmax())]}); each bar needs a positive one; {mend}."
            )


def cut_to_days(
    bars: pd.DataFrame,
    start_date: str | date | None,
    end_date: str | date | None,
    name: str = "the bars",
    market: TradingMarket | None = None,
) -> pd.DataFrame:
    """One symbol's `bars` from `start_date` to `end_date`, the market's days, both included; None sets no bound.

    Parameters
    ----------
    bars
        What `validate_bars` takes and leaves.
    name
        What to call them in an error.
    market
        Whose days; None is New York's.

    Raises
    ------
    NotEnoughDataError
        None of them lies there.
    """
    market = market or market_named(DEFAULT_MARKET)
    first, last = bars.index[0], bars.index[-1]
    if start_date is not None:
        bars = bars[bars.index >= market.day_begin(start_date)]
    if end_date is not None:
        bars = bars[bars.index < market.day_end(end_date)]
    if bars.empty:
        raise NotEnoughDataError(
            f"{name} are from {first:%Y-%m-%d} to {last:%Y-%m-%d} and none from {start_date or 'their start'} to "
            f"{end_date or 'their end'}; the dates must overlap; change or leave out start_date and end_date "
            "(--start-date, --end-date)."
        )
    return bars


def select_symbol(bars: pd.DataFrame, symbol: str | None = None) -> pd.DataFrame:
    """One symbol's bars out of a single-symbol frame or alpaca-py's (symbol, timestamp) layout.

    Raises
    ------
    BarsError
        The frame holds several symbols and none was named, or not the one that was; or what was named is no text.
    """
    symbol = symbol_named(symbol)
    if not isinstance(bars.index, pd.MultiIndex):
        return bars
    symbol = symbol_among(list(bars.index.get_level_values(0).unique()), symbol)
    selected = cast(pd.DataFrame, bars.xs(symbol, level=0))
    selected.attrs = dict(bars.attrs)
    return selected


def symbol_named(symbol: object, attrs: Mapping[Any, Any] = MappingProxyType({})) -> str | None:
    """The symbol that was named, or else the one that the `attrs` of bars name; None where neither does.

    Raises
    ------
    BarsError
        What was named is no text.
    """
    for name in (symbol, attrs.get("symbol")):
        if isinstance(name, str) and name:
            return name
        if name is not None and not isinstance(name, str):
            shown = " ".join(reprlib.repr(name).split())
            raise BarsError(f"the symbol is {shown}, which is no text; symbols are named as in 'SPY'; name it so.")
    return None


def market_of_bars(bars: object, symbol: object = None, market: str | TradingMarket | None = None) -> TradingMarket:
    """The market that was named, or else the one that the symbol and the source of `bars` tell, see `markets.names`.

    Where these tell New York's, hours are looked at, see `market_by_hours`; those of another are warned of.
    Of bars of several symbols the first one tells; what is no frame of pandas tells nothing but by `symbol`.

    Raises
    ------
    BarsError
        The symbol is no text.
    ConfigError
        There is no such market.
    """
    if market is not None:
        return market_named(market)
    attrs = getattr(bars, "attrs", None) or {}
    if symbol is None and isinstance(bars, pd.DataFrame) and isinstance(bars.index, pd.MultiIndex) and len(bars):
        symbol = str(bars.index[0][0])
    name = default_market(symbol_named(symbol, attrs) or "", str(attrs.get("source", "auto")))
    if name == DEFAULT_MARKET and isinstance(bars, pd.DataFrame) and (fits := _better_fit(bars)) is not None:
        name = _named_by(fits)
        warnings.warn(f"{_sentence_of(fits)}; these are taken for {name}'s.", BarsWarning, stacklevel=3)
    return market_named(name)


def market_by_hours(bars: pd.DataFrame) -> str:
    """The name of the market of bars that nobody names: another than New York's only where they cannot be of that."""
    fits = _better_fit(bars)
    return DEFAULT_MARKET if fits is None else _named_by(fits)


def other_hours(bars: pd.DataFrame) -> str | None:
    """How far bars that nobody names lie outside of New York's sessions, whose they fit, and what to say of it.

    None where they lie in New York's, before and after these alone, or fit no other market well.
    """
    fits = _better_fit(bars)
    return None if fits is None else _sentence_of(fits)


def _named_by(fits: tuple[MarketFit, MarketFit]) -> str:
    of_default, best = fits
    return best.market.name if of_default.closed > MOST_CLOSED else DEFAULT_MARKET


def _sentence_of(fits: tuple[MarketFit, MarketFit]) -> str:
    of_default, best = fits
    return (
        f"{1 - of_default.inside:.0%} of the bars lie outside the sessions of {DEFAULT_MARKET}, and they fit those of "
        f"{best.market.name}; say so by market={best.market.name!r}, or market={DEFAULT_MARKET!r} where that is meant"
    )


def _better_fit(bars: pd.DataFrame) -> tuple[MarketFit, MarketFit] | None:
    index = bars.index.get_level_values(-1)
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None or index.hasnans or len(index) < _FEWEST_TO_TELL:
        return None
    stamps = index if index.is_monotonic_increasing and index.is_unique else index.unique().sort_values()
    starts, length = stamps.as_unit("us").asi8, bar_length(stamps) // pd.Timedelta(microseconds=1)
    return better_fit(market_named(DEFAULT_MARKET), starts, length)


def symbol_among(present: Sequence[str], symbol: str | None = None) -> str:
    """The one of the symbols that are `present` that is meant by `symbol`; None means the only one.

    Raises
    ------
    BarsError
        There are several and none was named, or not the one that was.
    """
    if symbol is None and len(present) == 1:
        return present[0]
    if symbol is None or symbol not in present:
        raise BarsError(
            f"the bars hold {', '.join(map(str, present)) or 'no symbol'} and {symbol or 'no symbol'} was asked for; "
            "one symbol that is present is needed; name it with symbol=..."
        )
    return symbol
