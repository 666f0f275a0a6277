"""Hourly history of bars that grow: each call costs the bars that are new, not those that came before.

A live loop, or an event-driven backtest, asks for a forecast after every bar, each time with all bars so far. A bucket
never changes once a bar that ends at its end or later is there, so only the running session is computed anew.
"""

import threading
from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import GrowingArray
from volcast.bars.arrays import BarArrays
from volcast.forecasters.tables import HourlyRows
from volcast.measures.quick import QuickMeasure, Rows
from volcast.serving.grid import Measure, NextBucket, forecast_grid
from volcast.sessions import BucketArrays, beyond_the_sessions, bucket_arrays, in_new_york

__all__ = ["GrowingHistory", "HourlyHistories"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MINUTE = 60_000_000
_MOST_HISTORIES = 32
_PRICES = ("open", "high", "low", "close")


class HourlyHistories:
    """The growing histories of a forecaster: one for each symbol's bars, kept apart for each thread.

    Parameters
    ----------
    measure
        Makes hourly history of bars; a bucket's row may depend on the bars of its own session and of the one before.
    calendar
        Name of the exchange in `exchange_calendars`.
    quick
        Does the same as `measure` for one session on plain arrays, where there is such a thing.
    """

    def __init__(self, measure: Measure, calendar: str, quick: QuickMeasure | None = None) -> None:
        self._measure, self._calendar, self._quick = measure, calendar, quick
        self._own = threading.local()

    def next_bucket(self, bars: pd.DataFrame, asof: pd.Timestamp | None) -> NextBucket:
        """The first bucket that ends after `asof`, and what is known: the last row of `serving.grid` under `session`.

        Raises what `serving.grid` raises.
        """
        histories: list[GrowingHistory] = self._own.__dict__.setdefault("histories", [])
        begun = (history.bars for history in histories if history.bars is not None)
        like = next((earlier for earlier in begun if earlier.frame.columns.is_(bars.columns)), None)
        given = BarArrays.of(bars, None if self._quick is None else _PRICES, like)
        own = next((history for history in histories if history.begins_like(given)), None)
        if own is None:
            own = GrowingHistory(self._measure, self._calendar, self._quick)
        else:
            histories.remove(own)
        histories.append(own)
        del histories[:-_MOST_HISTORIES]
        return own.next_bucket(given, asof)


class GrowingHistory:
    """Hourly history of one symbol's bars, carried on from call to call.

    Whether bars carry on those of the call before is seen by their memory (slices of one frame), or else by comparing
    them; bars that do not are computed whole. Bars after the last finished bucket may change: they are read anew.
    """

    def __init__(self, measure: Measure, calendar: str, quick: QuickMeasure | None = None) -> None:
        self._measure, self._calendar, self._quick = measure, calendar, quick
        self.bars: BarArrays | None = None
        self._settled: _Settled | None = None
        self._kept = 0
        self._steps: Counter[int] = Counter()
        self._length = _MINUTE

    def begins_like(self, bars: BarArrays) -> bool:
        """Whether `bars` seem to begin with the bar that this history began with."""
        return self.bars is not None and bars.begins_like(self.bars)

    def next_bucket(self, bars: BarArrays, asof: pd.Timestamp | None) -> NextBucket:
        """See `HourlyHistories.next_bucket`."""
        moment = None if asof is None else asof.value // 1000
        count, settled = self._usable(bars, moment), self._settled
        if count is None or settled is None:
            return self._computed_whole(bars, asof)
        self.bars = bars
        last_end = int(bars.ends(slice(count - 1, count), self._length)[0])
        asof_us = last_end if moment is None else moment
        labels, values = self._tail(bars, settled, count, asof_us)
        begin, end = labels.searchsorted([settled.last, asof_us], side="right").tolist()
        final = int(labels[begin:end].searchsorted(last_end, side="right"))
        history = settled.extended(labels[begin:end], values[begin:end], final)
        self._keep(bars, settled.last)
        now = pd.Timestamp(asof_us, unit="us", tz="UTC") if asof is None else asof
        return self._ahead(history, asof_us, in_new_york(now))

    def _usable(self, bars: BarArrays, moment: int | None) -> int | None:
        """How many bars had ended by `moment`; None where they do not carry on what is kept, or are unusable."""
        if self.bars is None or not bars.carries_on(self.bars, self._kept):
            return None
        count = len(bars.stamps) if moment is None else bars.count_until(moment - self._length)
        if count < max(self._kept, 1):
            return None
        steps = bars.steps(slice(max(self._kept - 1, 0), count))
        if (len(steps) and steps.min() <= 0) or self._another_length(steps):
            return None
        new = [values[self._kept : count] for name, values in bars.columns.items() if name in _PRICES]
        return count if _are_prices(new) else None

    def _another_length(self, steps: IntArray) -> bool:
        """Whether further distances between bars change what the commonest is."""
        others = max((count for step, count in self._steps.items() if step != self._length), default=0)
        if self._steps[self._length] - others > len(steps):
            return False
        return _most_frequent(self._steps + _counted(steps)) != self._length

    def _computed_whole(self, bars: BarArrays, asof: pd.Timestamp | None) -> NextBucket:
        self.bars = self._settled = None
        grid = forecast_grid(bars.frame, "session", asof, measure=self._measure, calendar=self._calendar)
        moment = grid.moment.value // 1000
        self._length = _most_frequent(_counted(bars.steps(slice(0, bars.count_until(moment)))))
        last = bars.count_until(moment - self._length) - 1
        last_end = int(bars.ends(slice(last, last + 1), self._length)[0])
        ahead = NextBucket.of(grid)
        self._settled = _Settled(ahead.history, int(ahead.history.labels.searchsorted(last_end, side="right")))
        self.bars, self._kept, self._steps = bars, 0, Counter()
        self._keep(bars, self._settled.last)
        return ahead

    def _keep(self, bars: BarArrays, through: int) -> None:
        """Bars of finished buckets need not be read again."""
        kept = bars.count_until(through - self._length)
        if kept > self._kept:
            self._steps.update(_counted(bars.steps(slice(max(self._kept - 1, 0), kept))))
            self._kept = kept

    def _tail(self, bars: BarArrays, settled: "_Settled", count: int, asof_us: int) -> Rows:
        """Rows of the running session and after it; finished buckets may be among them."""
        buckets = bucket_arrays(self._calendar)
        ahead = int(buckets.label.searchsorted(settled.last, side="right"))
        if buckets.label[ahead] > asof_us:
            return settled.nothing
        opened = _opening(buckets, max(ahead - 1, 0))
        # A measure may look at the session before: at the return overnight, say.
        before = int(buckets.label.searchsorted(settled.last_until(opened)))
        if self._quick is not None:
            rows = slice(bars.count_until(min(opened, int(buckets.start[before])) - self._length), count)
            return self._quick(bars, rows, self._length, buckets)
        rows = slice(bars.count_until(_opening(buckets, before) - self._length), count)
        measured = self._measure(bars.frame.iloc[rows])
        return measured.index.as_unit("us").asi8, measured.to_numpy(dtype=float)

    def _ahead(self, history: HourlyRows, asof_us: int, moment: pd.Timestamp) -> NextBucket:
        buckets = bucket_arrays(self._calendar)
        row = int(buckets.label.searchsorted(asof_us, side="right"))
        if row == len(buckets.label):
            raise beyond_the_sessions(moment, self._calendar)
        known = int(history.labels.searchsorted(buckets.start[row], side="right"))
        return NextBucket(history, int(buckets.label[row]), int(buckets.minutes[row]), known, moment)


class _Settled:
    """Rows of buckets that will not change: those that are given out stay true."""

    def __init__(self, history: HourlyRows, count: int) -> None:
        self._names = history.names
        self._labels, self._values = GrowingArray(np.int64), GrowingArray(np.float64, history.values.shape[1])
        self.extended(history.labels[:count], history.values[:count], count)

    @property
    def last(self) -> int:
        """Label of the last row, in microseconds; 0, before any market, where there is none."""
        return int(self._labels.values[-1]) if len(self._labels) else 0

    @property
    def nothing(self) -> Rows:
        """No further rows."""
        return self._labels.values[:0], self._values.values[:0]

    def last_until(self, moment: int) -> int:
        """Label of the last row at or before a moment in microseconds; that moment itself where there is none."""
        labels = self._labels.values
        found = int(labels.searchsorted(moment, side="right"))
        return int(labels[found - 1]) if found else moment

    def extended(self, labels: IntArray, values: FloatArray, final: int) -> HourlyRows:
        """The history with further rows, of which the first `final` are kept."""
        self._labels.append(labels)
        self._values.append(values)
        if final == len(labels):
            return HourlyRows(self._labels.values, self._values.values, self._names)
        # Rows that are not final will be written anew, in the same place.
        rows = HourlyRows(self._labels.values.copy(), self._values.values.copy(), self._names)
        for grown in (self._labels, self._values):
            grown.cut(len(grown) - len(labels) + final)
        return rows


def _are_prices(columns: list[npt.NDArray[np.generic]]) -> bool:
    if any(values.dtype.kind not in "fiu" for values in columns):
        return False
    values = np.array(columns)
    # A missing price is neither above nothing nor below infinity.
    return not values.size or bool(values.min() > 0 and values.max() < np.inf)


def _opening(buckets: BucketArrays, row: int) -> int:
    """When the session of a bucket opened, in microseconds."""
    return int(buckets.start[buckets.session.searchsorted(buckets.session[row])])


def _counted(steps: IntArray) -> Counter[int]:
    if (steps == steps[:1]).all():
        return Counter({step: len(steps) for step in steps[:1].tolist()})
    lengths, counts = np.unique(steps, return_counts=True)
    return Counter(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))


def _most_frequent(steps: Counter[int]) -> int:
    """The commonest length of a bar, the shortest of several; as `measures.hourly.bar_length` has it."""
    return min(steps, key=lambda step: (-steps[step], step), default=_MINUTE)
