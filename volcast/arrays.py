"""The types of arrays and of time stamps, and an array that rows are added to, at the cost of these rows.

An array's type says what it holds and along how many axes. Mypy checks both, the number of axes as far as numpy's
functions say how many they leave.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BoolArray1D",
    "BoolArray2D",
    "Float32Array1D",
    "Float32Array2D",
    "Float32Array3D",
    "Float64Array1D",
    "Float64Array2D",
    "Float64Array3D",
    "FloatArray",
    "GrowingArray",
    "Int64Array1D",
    "Int64Array2D",
    "begins_run",
    "columns_of",
    "joined",
    "parts_of",
    "running_sums",
    "runs_within",
    "time_index",
]

Float64Array1D = np.ndarray[tuple[int], np.dtype[np.float64]]
Float64Array2D = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Float64Array3D = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]
Float32Array1D = np.ndarray[tuple[int], np.dtype[np.float32]]
Float32Array2D = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Float32Array3D = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
Int64Array1D = np.ndarray[tuple[int], np.dtype[np.int64]]
Int64Array2D = np.ndarray[tuple[int, int], np.dtype[np.int64]]
BoolArray1D = np.ndarray[tuple[int], np.dtype[np.bool_]]
BoolArray2D = np.ndarray[tuple[int, int], np.dtype[np.bool_]]

FloatArray = npt.NDArray[np.float64]
"""Of any number of axes, for functions that work on each number alone."""

Value = TypeVar("Value", bound=np.generic)

_FEWEST = 64
_LARGEST_TABLE = 2**22


def time_index(frame: "pd.DataFrame | pd.Series") -> "pd.DatetimeIndex":
    """The time stamps that the rows of `frame` carry, where it has been validated: a type that frames cannot state."""
    return cast("pd.DatetimeIndex", frame.index)


def columns_of(frame: "pd.DataFrame", names: Iterable[str]) -> Float64Array2D:
    """The columns `names` of a frame of numbers, shape (n, len(names)), one after the other in memory as in the frame.

    To choose them by a list, as pandas does, takes ten times as long: it makes an index of the names, and a frame.
    """
    places = np.array([frame.columns.get_loc(name) for name in names])
    return np.asarray(frame.to_numpy(dtype=float).T[places].T)


def parts_of(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, each so few that a table of them, `width` values a row, takes 32 MB at the most.

    Of buckets of five minutes a month has thousands: a table of the month before each bucket of years fits nowhere.
    """
    some = max(_LARGEST_TABLE // width, 1)
    return (slice(first, min(first + some, count)) for first in range(0, count, some))


def runs_within(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Slices of things that follow each other, whose `sizes` come to `most` at the most; a larger one is alone."""
    begin = total = 0
    for place, size in enumerate(sizes):
        if place > begin and total + size > most:
            yield slice(begin, place)
            begin, total = place, 0
        total += size
    if sizes:
        yield slice(begin, len(sizes))


def joined(arrays: Sequence[np.ndarray[tuple[int], np.dtype[Value]]]) -> np.ndarray[tuple[int], np.dtype[Value]]:
    """Arrays, shape (n,) each, one behind the other; one alone is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def running_sums(rows: Float64Array2D, counts: Int64Array1D) -> Float64Array2D:
    """Sums of the first so many of the `rows`, shape (L, n), for each of `counts`, which never fall: (len(counts), n).

    Row after row, so a sum is the same to the last bit however many columns there are. It overwrites `rows`.
    """
    if rows.shape[1] == 1:
        # A single column numpy adds up in pairs.
        return np.asarray(np.cumsum(rows, axis=0)[counts - 1])
    sums, first = np.empty((len(counts), rows.shape[1])), 0
    for total, count in zip(sums, counts.tolist(), strict=True):
        np.add.reduce(rows[first:count], axis=0, out=total)
        # What comes is added to the sum so far, which stands where its last row did.
        first = count - 1
        rows[first] = total
    return sums


def begins_run(values: Int64Array1D) -> BoolArray1D:
    """Whether each of `values` is another than the one before it; the first begins a run. Shape (n,)."""
    begins = np.empty(len(values), dtype=bool)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins


class GrowingArray(Generic[Value]):
    """Rows in memory with room for more.

    Parameters
    ----------
    kind
        Type of a value.
    width
        Values in a row; None makes the array one-dimensional.
    """

    def __init__(self, kind: type[Value], width: int | None = None) -> None:
        self._memory: npt.NDArray[Value] = np.empty((_FEWEST,) if width is None else (_FEWEST, width), dtype=kind)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> npt.NDArray[Value]:
        """All rows, shape (n,) or (n, width): a view, true until rows are cut."""
        return self._memory[: self._count]

    def append(self, rows: npt.NDArray[Value]) -> None:
        """Add `rows` behind the others."""
        stop = self._count + len(rows)
        if stop > len(self._memory):
            shape = max(stop, 2 * len(self._memory)), *self._memory.shape[1:]
            more = np.empty(shape, dtype=self._memory.dtype)
            more[: self._count] = self.values
            self._memory = more
        self._memory[self._count : stop] = rows
        self._count = stop

    def cut(self, count: int) -> None:
        """Keep the first `count` rows alone."""
        self._count = min(count, self._count)
