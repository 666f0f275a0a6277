"""Bars as arrays: those of one symbol, checked once at the edge, and those in a frame as they lie in memory."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.bars.checks import are_usable, commonest_step, select_symbol, symbol_named, validate_bars
from volcast.bars.columns import FIELDS, PRICES
from volcast.bars.evidence import Evidence
from volcast.bars.frames import as_bars_frame, has_plain_index
from volcast.markets.market import TradingMarket

__all__ = ["FrameArrays", "Prices", "SymbolBars"]

Prices = Mapping[str, Float64Array1D]
"""Prices of bars, and their volume, by the name of their column, of `FIELDS` those that there are, shape (n,) each."""

_NUMBERS = "fiu"
_MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}
_WRITES_IN_PLACE = int(pd.__version__.partition(".")[0]) < 3
_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SymbolBars:
    """Bars of one symbol that have been checked, and what is known of them.

    Attributes
    ----------
    frame
        The bars as they were given, indexed by the start of each; its ``attrs`` say where they come from.
    stamps
        Start of each bar in microseconds since the epoch, shape (n,), rising.
    prices
        Positive and finite; the volume beside them is as it was given.
    length
        Of a bar, in microseconds: the commonest distance from one to the next.
    symbol
        Whose they are; None where nobody says so.
    """

    frame: pd.DataFrame
    stamps: Int64Array1D
    prices: Prices
    length: int
    symbol: str | None

    @classmethod
    def of(
        cls, bars: "pd.DataFrame | SymbolBars", symbol: str | None = None, market: TradingMarket | None = None
    ) -> "SymbolBars":
        """The bars of `symbol` in a frame of one symbol, or of many, indexed by (symbol, timestamp).

        A market's hours tell whether stamps are starts, and in an error of whose zone they may be; None is New York's.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or of several symbols, of which `symbol` names none.
        """
        if isinstance(bars, SymbolBars):
            return bars
        bars = as_bars_frame(bars, market=market)
        frame = select_symbol(bars, symbol)
        if symbol is None and frame is not bars:
            symbol = str(bars.index[0][0])
        arrays, rows = FrameArrays.of(frame), slice(0, len(frame))
        arrays.require_usable(rows)
        stamps, prices = arrays.stamps(rows), arrays.prices(rows)
        Evidence.of_market(market).followed_by(stamps, prices).require_one_kind(frame.attrs)
        return cls(frame, stamps, prices, commonest_step(stamps), symbol_named(symbol, frame.attrs))


@dataclass(frozen=True)
class FrameArrays:
    """The arrays in a frame of bars, unchecked, which rows are whose, and whether they lie where others did.

    pandas 3 writes to no memory that two frames refer to, it copies first. So this keeps a frame of its own: as long as
    it is there, bars that lie in the same memory are the same bars. Of an earlier pandas, which writes there, it is a
    copy, whose bars are compared.

    Attributes
    ----------
    frame
        The bars, those of each symbol together.
    symbols
        Rows of each symbol; of the only one, named None, where the index does not say whose bars they are.
    """

    frame: pd.DataFrame
    symbols: Mapping[str | None, slice]
    _index: pd.Index
    # Stamps as pandas counts them, or, where there is a level, their places in it.
    _stamps: _Array
    _level: Int64Array1D | None
    _unit: str
    _columns: Mapping[str, _Array]
    _places: Mapping[str, int] | None

    @classmethod
    def of(cls, bars: pd.DataFrame, like: "FrameArrays | None" = None) -> "FrameArrays":
        """The arrays of `bars`, which are read as `as_bars_frame` reads them.

        They are found faster where columns and index, or these alone, are those of `like`.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are no frame of bars, or empty.
        """
        if like is None or not like._has_layout_of(bars):
            bars, like = as_bars_frame(bars), None
        if not len(bars):
            validate_bars(bars)
        frame, index = bars.copy(deep=_WRITES_IN_PLACE), bars.index
        if like is not None and index.is_(like._index):
            symbols, stamps, level, unit = like.symbols, like._stamps, like._level, like._unit
        elif isinstance(index, pd.MultiIndex):
            frame, symbols = _by_symbol(frame)
            stamps, level, unit = _stacked_stamps(frame)
        else:
            started = time_index(frame)
            symbols, stamps, level, unit = {None: slice(0, len(started))}, started.asi8, None, started.unit
        columns, places = _columns(frame, like)
        if like is not None and any(values.dtype.kind not in _NUMBERS for values in columns.values()):
            # The columns have their names still, and hold something else.
            return cls.of(bars)
        return cls(frame, symbols, frame.index, stamps, level, unit, columns, places)

    @property
    def attrs(self) -> Mapping[Any, Any]:
        """What the frame says of itself."""
        attrs: Mapping[Any, Any] = self.frame.attrs
        return attrs

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of prices, and of volume."""
        return tuple(self._columns)

    def stamps(self, rows: slice) -> Int64Array1D:
        """Start of each bar of `rows` in microseconds since the epoch."""
        stamps = self._counted(rows)
        return stamps // 1000 if self._unit == "ns" else stamps * _MICROSECONDS[self._unit]

    def prices(self, rows: slice) -> Prices:
        """Prices, and volume, of the bars of `rows`."""
        return {name: values[rows].astype(float, copy=False) for name, values in self._columns.items()}

    def first(self, symbol: str | None) -> tuple[int, Mapping[str, float]]:
        """Start in microseconds since the epoch, and prices, of a symbol's first bar."""
        row = self.symbols[symbol].start
        prices = {name: values[row] for name, values in self._columns.items() if name in PRICES}
        return int(self.stamps(slice(row, row + 1))[0]), prices

    def count_until(self, rows: slice, moment: int) -> int:
        """How many of the bars of `rows` are stamped at or before a moment in microseconds."""
        latest = moment * 1000 if self._unit == "ns" else moment // _MICROSECONDS[self._unit]
        if self._level is not None:
            latest = int(self._level.searchsorted(latest, side="right")) - 1
        return int(self._stamps[rows].searchsorted(latest, side="right"))

    def require_usable(self, rows: slice) -> None:
        """Refuse those bars of `rows`, all of one symbol, that `checks.validate_bars` refuses, each for itself.

        What only all bars of a symbol tell is for `bars.evidence`.

        Raises
        ------
        BarsError
            What is wrong with them.
        """
        prices = (values[rows] for name, values in self._columns.items() if name in PRICES)
        if "close" not in self._columns or not are_usable(self._counted(rows), prices):
            validate_bars(self.of_rows(rows))

    def are_in_order(self, rows: slice) -> bool:
        """Whether each of the bars of `rows` is stamped later than the one before."""
        stamps = self._stamps[rows]
        return bool((stamps[1:] > stamps[:-1]).all())

    def of_rows(self, rows: slice) -> pd.DataFrame:
        """The bars of `rows`, all of one symbol, as a frame."""
        frame = self.frame.iloc[rows]
        return frame.droplevel(0) if isinstance(frame.index, pd.MultiIndex) else frame

    def length_until(self, rows: slice, moment: int | None) -> int:
        """Length in microseconds of the bars of `rows` that are stamped at or before `moment`; None is all of them."""
        count = rows.stop - rows.start if moment is None else self.count_until(rows, moment)
        return commonest_step(self.stamps(slice(rows.start, rows.start + count)))

    def count_alike(
        self, symbol: str | None, stamps: Int64Array1D, prices: Prices, of: "FrameArrays | None" = None
    ) -> int:
        """How many leading bars of a symbol have these `stamps`, in microseconds, and `prices`.

        `of` is where they come from, if that is known: stamps of many symbols need not be looked up then.
        """
        rows = self.symbols[symbol]
        rows = slice(rows.start, min(rows.stop, rows.start + len(stamps)))
        columns: list[tuple[_Array, _Array]] = [(values[rows], prices[name]) for name, values in self._columns.items()]
        if of is not None and symbol in of.symbols and self._counts_like(of):
            columns.append((self._stamps[rows], of._stamps[of.symbols[symbol]]))
        else:
            columns.append((self.stamps(rows), stamps))
        return min(_count_alike(values, others[: len(values)]) for values, others in columns)

    def has_columns_of(self, bars: object) -> bool:
        """Whether `bars` are a frame whose columns are those of this one, and not only like them."""
        return isinstance(bars, pd.DataFrame) and bool(bars.columns.is_(self.frame.columns))

    def begins_with(self, other: "FrameArrays", counts: Mapping[str | None, int]) -> bool:
        """Whether the first bars of each symbol, as many as `counts` says, are those of the other."""
        if self.names != other.names or not counts.keys() <= self.symbols.keys():
            return False
        if self.lies_where(other):
            return all(self.symbols[name].stop - self.symbols[name].start >= count for name, count in counts.items())
        for name, count in counts.items():
            rows = slice(other.symbols[name].start, other.symbols[name].start + count)
            if self.count_alike(name, other.stamps(rows), other.prices(rows)) != count:
                return False
        return True

    def lies_where(self, other: "FrameArrays") -> bool:
        """Whether these bars begin in the memory in which the others begin, symbol for symbol."""
        return (
            self.names == other.names
            and (self.symbols is other.symbols or self.symbols.keys() == other.symbols.keys() == {None})
            and self._counts_like(other)
            and _begin_in_one_place(self._stamps, other._stamps)
            and all(_begin_in_one_place(values, other._columns[name]) for name, values in self._columns.items())
        )

    def _has_layout_of(self, bars: pd.DataFrame) -> bool:
        """Whether names and index of `bars` are those of bars because those of this frame are."""
        return self.has_columns_of(bars) and (bool(bars.index.is_(self._index)) or has_plain_index(bars))

    def _counted(self, rows: slice) -> Int64Array1D:
        stamps: Int64Array1D = self._stamps[rows] if self._level is None else self._level.take(self._stamps[rows])
        return stamps

    def _counts_like(self, other: "FrameArrays") -> bool:
        """Whether the same numbers stand for the same stamps."""
        if self._level is None or other._level is None:
            return self._level is other._level and self._unit == other._unit
        both = min(len(self._level), len(other._level))
        return self._unit == other._unit and (
            _begin_in_one_place(self._level, other._level) or np.array_equal(self._level[:both], other._level[:both])
        )


def _count_alike(values: _Array, others: _Array) -> int:
    is_same = values == others
    if is_same.all():
        return len(values)
    # Where there is no volume, it is no number, which equals nothing.
    is_same |= (values != values) & (others != others)
    return len(values) if is_same.all() else int(is_same.argmin())


def _by_symbol(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str | None, slice]]:
    """A frame of many symbols with the bars of each together, and their rows."""
    index = cast(pd.MultiIndex, frame.index)
    codes = index.codes[0]
    edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
    if len(edges) - 1 > len(set(codes[edges[:-1]].tolist())):
        return _by_symbol(frame.iloc[np.argsort(codes, kind="stable")])
    names = index.levels[0].tolist()
    return frame, {
        str(names[codes[begin]]): slice(begin, end) for begin, end in itertools.pairwise(edges) if end > begin
    }


def _stacked_stamps(frame: pd.DataFrame) -> tuple[_Array, Int64Array1D | None, str]:
    index = cast(pd.MultiIndex, frame.index)
    level, codes = cast(pd.DatetimeIndex, index.levels[1]), index.codes[1]
    if codes.min() < 0:
        # A stamp that is missing is the smallest number, which no bar that can be used has.
        return pd.DatetimeIndex(index.get_level_values(1)).asi8, None, level.unit
    return (codes, level.asi8, level.unit) if level.is_monotonic_increasing else (level.asi8[codes], None, level.unit)


def _columns(frame: pd.DataFrame, like: FrameArrays | None) -> tuple[dict[str, _Array], Mapping[str, int] | None]:
    """The columns of prices and volume, and where each is in one piece of memory, if all columns lie in one."""
    is_alike = like is not None and like.has_columns_of(frame)
    if like is not None and is_alike and like._places is not None:
        # numpy takes columns from one piece of memory sooner than pandas does.
        block = frame.to_numpy()
        if block.dtype.kind in _NUMBERS:
            return {name: block[:, place] for name, place in like._places.items()}, like._places
    columns = {name: _values(frame[name]) for name in FIELDS if name in frame.columns}
    return columns, None if is_alike else _places(frame, columns)


def _values(column: pd.Series) -> _Array:
    # As objects where pandas has a type of its own, of which numpy would make numbers: categories, for one.
    values: _Array = column.to_numpy(None if isinstance(column.dtype, np.dtype) else object)
    return values


def _places(frame: pd.DataFrame, columns: Mapping[str, _Array]) -> dict[str, int] | None:
    """Where each column is in the one piece of memory of all; None where they lie apart, and a table is a copy."""
    first = frame.iloc[:1].to_numpy()
    if columns and all(np.shares_memory(first, values[:1]) for values in columns.values()):
        return {name: cast(int, frame.columns.get_loc(name)) for name in columns}
    return None


def _begin_in_one_place(values: _Array, earlier: _Array) -> bool:
    return (
        values.strides == earlier.strides
        and values.dtype == earlier.dtype
        and np.may_share_memory(values[:1], earlier[:1])
    )
