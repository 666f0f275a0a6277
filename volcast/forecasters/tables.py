"""Hourly measures as arrays that grow, for work on a bucket at a time: a frame takes longer to make than a forecast."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array2D, GrowingArray, Int64Array1D, begins_run, time_index
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_of

__all__ = ["HourlyTable"]


class HourlyTable:
    """Hourly measures (see `measures.bucketed`) in time order, a row a bucket, and when the buckets are.

    Parameters
    ----------
    names
        Of the measures, k of them.
    market
        Whose buckets they are.

    Attributes
    ----------
    edition
        A number that is another whenever rows are.
    """

    def __init__(self, names: Sequence[str], market: TradingMarket) -> None:
        self.names, self.market = tuple(names), market
        self.edition = 0
        self._labels, self._hours, self._days = (GrowingArray(np.int64) for _ in range(3))
        self._values = GrowingArray(np.float64, len(self.names))

    @classmethod
    def of(cls, measures: pd.DataFrame) -> "HourlyTable":
        """The rows of a frame, indexed by label."""
        table = cls(list(map(str, measures.columns)), market_of(measures))
        table.append(time_index(measures).as_unit("us").asi8, measures.to_numpy(dtype=float))
        return table

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> Int64Array1D:
        """When each bucket ends, in microseconds since the epoch, shape (n,)."""
        return self._labels.values

    @property
    def hours(self) -> Int64Array1D:
        """Clock hour of each label, shape (n,)."""
        self._look_up()
        return self._hours.values

    @property
    def days(self) -> Int64Array1D:
        """A number for the market's day of each label, rising with time, shape (n,)."""
        self._look_up()
        return self._days.values

    def _look_up(self) -> None:
        """Add hour and day of the labels that are new: not every table is asked for them."""
        if len(self._days) < len(self):
            hours, days = self.market.hours_and_days(self.labels[len(self._days) :])
            self._hours.append(hours)
            self._days.append(days)

    @property
    def values(self) -> Float64Array2D:
        """The measures, shape (n, k)."""
        return self._values.values

    @property
    def frame(self) -> pd.DataFrame:
        """A copy as a frame, indexed by label, the market's time."""
        index = self.market.clock.times(self.labels)
        frame = pd.DataFrame(self.values.copy(), index=index.copy(deep=True), columns=_columns(self.names).copy())
        frame.attrs["market"] = self.market.key
        return frame

    def opens(self, begin: int = 0) -> BoolArray1D:
        """Whether each row from `begin` on is of another session than the one before it; the first counts as one."""
        return begins_run(self.days[begin:])

    def append(self, labels: Int64Array1D, values: Float64Array2D) -> None:
        """Add rows behind the others."""
        self.edition += bool(len(labels))
        self._labels.append(labels)
        self._values.append(values)

    def cut(self, count: int) -> None:
        """Keep the first `count` rows alone."""
        if count >= len(self):
            return
        self.edition += 1
        for column in (self._labels, self._hours, self._days):
            column.cut(count)
        self._values.cut(count)

    def replace(self, begin: int, labels: Int64Array1D, values: Float64Array2D) -> int:
        """Put these rows in place of those from `begin` on; returns the first that is another than before, or new."""
        same = self._count_alike(begin, labels, values) if begin < len(self) else 0
        self.cut(begin + same)
        self.append(labels[same:], values[same:])
        return begin + same

    def _count_alike(self, begin: int, labels: Int64Array1D, values: Float64Array2D) -> int:
        """How many of these rows are those from `begin` on."""
        both = min(len(self) - begin, len(labels))
        old_labels, old_values = self.labels[begin : begin + both], self.values[begin : begin + both]
        alike = (values[:both] == old_values) | np.isnan(values[:both]) & np.isnan(old_values)
        equal = (labels[:both] == old_labels) & alike.all(axis=1)
        return both if equal.all() else int(np.argmin(equal))

    def amend(self, rows: Int64Array1D, names: Sequence[str], values: Float64Array2D) -> Int64Array1D:
        """Put `values` in place of the measures `names` of these rows; returns the rows in which they are others."""
        places = rows[:, None], np.array([self.names.index(name) for name in names])
        old = self.values[places]
        changed: Int64Array1D = rows[~((old == values) | (np.isnan(old) & np.isnan(values))).all(axis=1)]
        self.values[places] = values
        self.edition += bool(len(changed))
        return changed


@lru_cache(maxsize=32)
def _columns(names: tuple[str, ...]) -> pd.Index:
    """The columns of frames of these measures, whose places in it copies have looked up once."""
    return pd.Index(names)
