"""The arrays in a frame of bars, and whether one frame carries on another."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.bars.checks import validate_bars

__all__ = ["BarArrays", "same_beginning"]

IntArray = npt.NDArray[np.int64]

_MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}


@dataclass(frozen=True)
class BarArrays:
    """A frame of bars and the arrays in it. Holding the frame keeps its memory from being changed or reused."""

    frame: pd.DataFrame
    stamps: IntArray
    unit: str
    columns: dict[str, npt.NDArray[np.generic]]
    block: npt.NDArray[np.generic] | None

    @classmethod
    def of(
        cls, frame: pd.DataFrame, names: Collection[str] | None = None, like: "BarArrays | None" = None
    ) -> "BarArrays":
        """The arrays of one symbol's bars, of the columns among `names` alone where these are given.

        Those of a further slice of the frame that `like` was made of, with the same `names`, are found faster.

        Raises what `validate_bars` raises where the bars have no usable index.
        """
        index, columns = frame.index, frame.columns
        if not isinstance(index, pd.DatetimeIndex) or index.tz is None or not columns.is_unique:
            validate_bars(frame)
        kin = like if like is not None and columns.is_(like.frame.columns) else None
        if kin is not None and kin.block is not None:
            # All columns lie in one piece of memory, from which numpy takes them sooner than pandas does.
            block = frame.to_numpy()
            arrays = {name: block[:, columns.get_loc(name)] for name in kin.columns}
            return cls(frame, index.asi8, index.unit, arrays, block)
        chosen = [name for name in columns if names is None or name in names]
        arrays = {str(name): frame[name].to_numpy() for name in chosen}
        return cls(frame, index.asi8, index.unit, arrays, _block(frame, arrays) if kin is None else None)

    def ends(self, rows: slice, length: int) -> IntArray:
        """When bars of `length` microseconds end, in microseconds since the epoch."""
        return self._microseconds(self.stamps[rows]) + length

    def steps(self, rows: slice) -> IntArray:
        """Microseconds from each bar to the next."""
        stamps = self._microseconds(self.stamps[rows])
        return stamps[1:] - stamps[:-1]

    def count_until(self, moment: int) -> int:
        """How many bars are stamped at or before a moment in microseconds."""
        latest = moment * 1000 if self.unit == "ns" else moment // _MICROSECONDS[self.unit]
        return int(self.stamps.searchsorted(latest, side="right"))

    def begins_like(self, other: "BarArrays") -> bool:
        """Whether the first bar seems to be the same."""
        return (
            min(len(self.stamps), len(other.stamps)) > 0
            and self.stamps[0] == other.stamps[0]
            and self.unit == other.unit
            and self.columns.keys() == other.columns.keys()
            and ("close" not in self.columns or self.columns["close"][0] == other.columns["close"][0])
        )

    def carries_on(self, earlier: "BarArrays", count: int) -> bool:
        """Whether the first `count` bars are those of `earlier`, which begins like these."""
        if len(self.stamps) < count:
            return False
        return self._is_of_one_frame_with(earlier) or (
            self.begins_like(earlier)
            and same_beginning(self.stamps, earlier.stamps, count)
            and all(same_beginning(values, earlier.columns[name], count) for name, values in self.columns.items())
        )

    def _is_of_one_frame_with(self, other: "BarArrays") -> bool:
        return (
            self.block is not None
            and other.block is not None
            and self.unit == other.unit
            and self.columns.keys() == other.columns.keys()
            and _begin_in_one_place(self.block, other.block)
            and _begin_in_one_place(self.stamps, other.stamps)
        )

    def _microseconds(self, stamps: IntArray) -> IntArray:
        return stamps // 1000 if self.unit == "ns" else stamps * _MICROSECONDS[self.unit]


def same_beginning(values: npt.NDArray[np.generic], earlier: npt.NDArray[np.generic], count: int) -> bool:
    """Whether the first `count` values are equal, missing ones included; at no cost where they are the same memory."""
    if values.dtype != earlier.dtype:
        return False
    if _begin_in_one_place(values, earlier):
        return True
    return bool(np.array_equal(values[:count], earlier[:count], equal_nan=values.dtype.kind == "f"))


def _begin_in_one_place(values: npt.NDArray[np.generic], earlier: npt.NDArray[np.generic]) -> bool:
    first = (slice(1),) * values.ndim
    return (
        values.strides == earlier.strides
        and values.shape[1:] == earlier.shape[1:]
        and np.may_share_memory(values[first], earlier[first])
    )


def _block(frame: pd.DataFrame, arrays: dict[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.generic] | None:
    """The memory that all columns lie in, shape (n, k); None where they lie apart, and a table of them is a copy."""
    first = frame.iloc[:1].to_numpy()
    together = arrays and all(np.shares_memory(first, array[:1]) for array in arrays.values())
    return frame.to_numpy() if together else None
