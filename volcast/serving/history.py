"""One symbol's bars as they come, and the hourly measures of them: what comes costs itself, not what came before.

A bucket never changes once a bar that ends at its end or later is there, so only what comes after is measured. A
history that is fed at once is measured by the same code: all of it is new.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from volcast.arrays import Float64Array2D, GrowingArray, Int64Array1D
from volcast.bars.arrays import FrameArrays, Prices
from volcast.bars.evidence import Evidence
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import HourlyMeasurement, Rows
from volcast.measures.nights import NIGHT_NAMES

__all__ = ["HourlyHistory", "history_of"]

_MINUTE, _HOUR = 60_000_000, 3_600_000_000


class HourlyHistory:
    """The bars of one symbol so far, and the table of the measures of their hours.

    Parameters
    ----------
    measurement
        What is measured.
    names
        Of the columns of prices that the bars have.
    """

    def __init__(self, measurement: HourlyMeasurement, names: tuple[str, ...]) -> None:
        self._measurement = measurement
        self.table = HourlyTable(measurement.names, measurement.market)
        self.length = _MINUTE
        self._stamps = GrowingArray(np.int64)
        self._prices = {name: GrowingArray(np.float64) for name in names}
        self._steps: Counter[int] = Counter()
        # Buckets of the market, and rows of the table, that no further bar can change.
        self._final = self._settled = 0
        self._measured = (0, 0)
        self._changed = 0
        # How often bars were put or cut.
        self._edits = 0
        # The moment until which no further bar can change what traded between sessions.
        self._nights_until = 0
        # How many bars of the frame that is followed were in time order when it was last cut.
        self._in_order = 0
        # What the bars tell as a whole, as far as that has been looked at, and what they say of themselves.
        self._evidence = Evidence()
        self._attrs: Mapping[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def edition(self) -> int:
        """A number that is another whenever bars, or rows of the table, are."""
        return self._edits + self.table.edition

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of prices."""
        return tuple(self._prices)

    @property
    def stamps(self) -> Int64Array1D:
        """Start of each bar in microseconds since the epoch, shape (n,)."""
        return self._stamps.values

    @property
    def prices(self) -> Prices:
        """Prices of the bars."""
        return {name: column.values for name, column in self._prices.items()}

    @property
    def last_end(self) -> int:
        """When the last bar ended, in microseconds since the epoch; 0, before any market, where there is none."""
        return int(self.stamps[-1]) + self.length if len(self) else 0

    def follow(
        self, bars: FrameArrays, symbol: str | None, moment: int | None, before: FrameArrays | None, *, is_same: bool
    ) -> None:
        """Be the history of those of a symbol's bars that had ended by `moment`, in microseconds; None is all of them.

        `before` is what was followed last, None where bars were taken in since; `is_same` says that these bars begin
        in the same memory. Where they do not, they are compared, and what was made of others is made anew.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or there are none.
        """
        rows, self._attrs = bars.symbols[symbol], bars.attrs
        if not is_same:
            self._in_order = 0
            self.cut(bars.count_alike(symbol, self.stamps, self.prices, before))
        # With what is new, the length of a bar may be another, and with it which of them had ended.
        for _ in range(2):
            length = self.length if len(self) else bars.length_until(rows, moment)
            count = rows.stop - rows.start if moment is None else bars.count_until(rows, moment - length)
            self.cut(count)
            if count > len(self) or not count:
                stop = rows.start + count
                checked = slice(rows.start + max(len(self) - 1, 0), stop)
                bars.require_usable(checked)
                new = slice(rows.start + len(self), stop)
                self.put(len(self), bars.stamps(new), bars.prices(new))
            else:
                self._evidence = self.require_whole(count, np.empty(0, np.int64), {})
            if self.length == length:
                break
        self._refuse_earlier(bars, rows, len(self))

    def _refuse_earlier(self, bars: FrameArrays, rows: slice, count: int) -> None:
        """Refuse bars of `rows` that come after the first `count` and are not stamped later: these would be missing."""
        total = rows.stop - rows.start
        if count == total or total == self._in_order:
            return
        if bars.are_in_order(slice(rows.start + count - 1, rows.stop)):
            self._in_order = total
        elif bars.stamps(slice(rows.start + count, rows.stop)).min() <= self.stamps[-1]:
            bars.require_usable(rows)

    def merged(self, stamps: Int64Array1D, prices: Prices) -> tuple[int, Int64Array1D, Prices]:
        """How many bars are before those stamped `stamps`, in microseconds, and what comes after with these among them.

        A bar takes the place of one with its stamp.
        """
        begin = int(self.stamps.searchsorted(stamps[0]))
        if begin < len(self):
            others = begin + np.flatnonzero(~np.isin(self.stamps[begin:], stamps))
            stamps = np.concatenate([self.stamps[others], stamps])
            order = np.argsort(stamps)
            prices = {name: np.append(self.prices[name][others], values)[order] for name, values in prices.items()}
            stamps = stamps[order]
        return begin, stamps, prices

    def put(self, begin: int, stamps: Int64Array1D, prices: Prices) -> None:
        """Put bars, each of which can be used, in place of those from `begin` on.

        Raises
        ------
        BarsError
            With them the bars as a whole cannot be used; the history stays as it was.
        """
        evidence = self.require_whole(begin, stamps, prices)
        self.cut(begin)
        self._append(stamps, prices)
        self._evidence = evidence

    def require_whole(self, begin: int, stamps: Int64Array1D, prices: Prices) -> Evidence:
        """What all bars tell with these in place of those from `begin` on.

        Raises
        ------
        BarsError
            They are not of one kind, see `bars.evidence`.
        """
        evidence = self._evidence
        if evidence.count != begin:
            before = {name: values[:begin] for name, values in self.prices.items()}
            evidence = Evidence().followed_by(self.stamps[:begin], before)
        evidence = evidence.followed_by(stamps, prices)
        evidence.require_one_kind(self._attrs)
        return evidence

    def begins_like(self, bars: FrameArrays, symbol: str | None) -> bool:
        """Whether the first of the symbol's `bars` is the first that is here."""
        if bars.names != self.names or not len(self):
            return False
        stamp, prices = bars.first(symbol)
        return stamp == self.stamps[0] and all(price == self._prices[name].values[0] for name, price in prices.items())

    def _append(self, stamps: Int64Array1D, prices: Prices) -> None:
        self._edits += 1
        steps = _counted(_steps_of(np.concatenate([self.stamps[-1:], stamps])))
        for step, count in steps.items():
            self._steps[step] += count
        self._stamps.append(stamps)
        for name, values in prices.items():
            self._prices[name].append(values)
        # One more of the commonest leaves it the commonest.
        if steps.keys() != {self.length}:
            self._note_length()

    def cut(self, count: int) -> None:
        """Keep the first `count` bars alone."""
        if count >= len(self):
            return
        self._edits += 1
        self._steps -= Counter(_counted(_steps_of(self.stamps[max(count - 1, 0) :])))
        self._stamps.cut(count)
        for column in self._prices.values():
            column.cut(count)
        self._measured = (0, 0)
        self._note_length()
        self._settle()

    def measure(self, moment: int) -> None:
        """Bring the table to the buckets that had ended by `moment`, which is not before the end of the last bar."""
        self._measure_buckets(moment)
        if self._measurement.nights:
            self._measure_nights(moment)

    def _measure_buckets(self, moment: int) -> None:
        ended = int(self._measurement.market.buckets.label.searchsorted(moment, side="right"))
        ended = max(ended, self._final)
        if self._measured == (ended, len(self)) or (ended == self._final and self._settled == len(self.table)):
            return
        self._replace(self._settled, *self._unsettled(ended))
        self._final, self._settled, self._measured = ended, len(self.table), (ended, len(self))
        self._settle()

    def _measure_nights(self, moment: int) -> None:
        """Bring what traded in the nights that no bar had ended by the last measuring to a moment."""
        every = self._measurement.market.sessions
        opened = every.open[max(int(every.open.searchsorted(self._nights_until, side="right")) - 1, 0)]
        begin = int(self.table.labels.searchsorted(opened, side="right"))
        labels = self.table.labels[begin:]
        last, nights = self._measurement.night_rows(self.stamps, self.prices, self.length, labels, moment)
        changed = self.table.amend(begin + last, NIGHT_NAMES, nights)
        # What a night says is part of the row before it, and of forecasts for the row after it.
        self._changed = min(self._changed, int(changed[0]) + 1 if len(changed) else self._changed)
        self._nights_until = self.last_end

    def take_changed(self) -> int:
        """The first row of the table that is another than at the call before, or new; their number where none is."""
        changed, self._changed = min(self._changed, len(self.table)), len(self.table)
        return changed

    def _replace(self, begin: int, labels: Int64Array1D, values: Float64Array2D) -> None:
        self._changed = min(self._changed, self.table.replace(begin, labels, values))

    def _unsettled(self, ended: int) -> Rows:
        """Rows of the buckets that may have changed, of the first `ended` of the market."""
        labels = self._measurement.market.buckets.label
        begin = self._first_bar_of(self._final)
        prices = {name: column.values[begin:] for name, column in self._prices.items()}
        rows, values = self._measurement.rows(self.stamps[begin:], prices, self.length, is_tail=begin > 0)
        first, stop = (
            int(rows.searchsorted(labels[row - 1], side="right")) if row else 0 for row in (self._final, ended)
        )
        return rows[first:stop], values[first:stop]

    def _first_bar_of(self, bucket: int) -> int:
        """Position of the first bar that measures of a bucket of the market, and of those after it, look at."""
        buckets = self._measurement.market.buckets
        opened = int(buckets.start[buckets.session.searchsorted(buckets.session[bucket])])
        before = int(self.stamps.searchsorted(opened - self.length, side="right"))
        # The return overnight is since the last bar of a session.
        while before > 0:
            end = int(self.stamps[before - 1]) + self.length
            row = int(buckets.label.searchsorted(end))
            if row == 0 or end > buckets.start[row]:
                return before - 1
            before = int(self.stamps.searchsorted(buckets.label[row - 1] - self.length, side="right"))
        return 0

    def _settle(self) -> None:
        """What lies after the last bar is not final."""
        self._nights_until = min(self._nights_until, self.last_end)
        final = int(self._measurement.market.buckets.label.searchsorted(self.last_end, side="right"))
        self._final = min(self._final, final)
        self._settled = min(self._settled, int(self.table.labels.searchsorted(self.last_end, side="right")))

    def _note_length(self) -> None:
        """The length of a bar is the commonest step; where that changes, everything is measured anew."""
        length = _commonest(self._steps)
        if length != self.length:
            self.length, self._final, self._settled, self._measured = length, 0, 0, (0, 0)
            self._nights_until = 0


class NotebookHistory(HourlyHistory):
    """The bars of one symbol and their hours under `colab`: hours of the clock, with zeros where no bar is.

    A label's hour holds one bar that ends after it, so it is known one bar length later.
    """

    def measure(self, moment: int) -> None:
        """Bring the table to the hours that were known at `moment`."""
        last = (moment - self.length) // _HOUR * _HOUR
        if self._measured == (last, len(self)):
            return
        self._measured = (last, len(self))
        labels, values = self._measurement.rows(self.stamps, self.prices, self.length)
        hours = np.arange(labels[0], last + 1, _HOUR) if len(labels) else labels
        filled = np.zeros((len(hours), 1))
        count = int(labels.searchsorted(last, side="right"))
        filled[:count] = values[:count]
        self._replace(0, hours, filled)


def history_of(measurement: HourlyMeasurement, names: tuple[str, ...]) -> HourlyHistory:
    """A history without bars, of the measurement's preset."""
    return (HourlyHistory if measurement.preset == "session" else NotebookHistory)(measurement, names)


def _steps_of(stamps: Int64Array1D) -> Int64Array1D:
    return stamps[1:] - stamps[:-1]


def _counted(steps: Int64Array1D) -> dict[int, int]:
    if (steps == steps[:1]).all():
        return {step: len(steps) for step in steps[:1].tolist()}
    lengths, counts = np.unique(steps, return_counts=True)
    return dict(zip(lengths.tolist(), counts.tolist(), strict=True))


def _commonest(steps: Counter[int]) -> int:
    """The commonest length of a bar, the shortest of several, as `bars.checks.commonest_step` has it."""
    return min(steps, key=lambda step: (-steps[step], step), default=_MINUTE)
