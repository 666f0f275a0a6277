"""One symbol's bars as they come, and the hourly measures of them: what comes costs itself, not what came before.

A bucket never changes once a bar that ends at its end or later is there, so only what comes after is measured. A
history that is fed at once is measured by the same code: all of it is new.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from volcast.arrays import Float64Array2D, Int64Array1D, runs_within
from volcast.bars.arrays import Prices
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import HourlyMeasurement, Rows
from volcast.measures.nights import NIGHT_NAMES
from volcast.serving.bar_history import BarHistory
from volcast.serving.overnight import OvernightHistory

__all__ = ["HourlyHistory", "Unmeasured", "history_of", "measure"]

_HOUR = 3_600_000_000
# Those of the day of some hundred symbols; more would leave the processor's own cache.
_BARS_AT_ONCE = 2**14


class HourlyHistory(BarHistory):
    """The bars of one symbol so far, and the table of the measures of their hours.

    Parameters
    ----------
    measurement
        What is measured.
    names
        Of the columns of prices that the bars have.
    overnight
        The bars of another symbol, of which nights are measured; None measures the bars' own. Whoever changes them
        says so to `forget_nights`.
    """

    def __init__(
        self, measurement: HourlyMeasurement, names: tuple[str, ...], overnight: OvernightHistory | None = None
    ) -> None:
        super().__init__(measurement.market, names)
        self.measurement, self._overnight = measurement, overnight
        self.table = HourlyTable(measurement.names, measurement.market)
        # Buckets of the market, and rows of the table, that no further bar can change.
        self._final = self._settled = 0
        self._measured = (0, 0)
        self._changed = 0
        # The moment until which no further bar can change what traded between sessions.
        self._nights_until = 0

    @property
    def edition(self) -> int:
        """A number that is another whenever bars, or rows of the table, are."""
        overnight = 0 if self._overnight is None else self._overnight.edition
        return super().edition + self.table.edition + overnight

    def cut(self, count: int) -> None:
        """Keep the first `count` bars alone."""
        if count < len(self):
            super().cut(count)
            self._measured = (0, 0)
            self._settle()

    def unmeasured(self, moment: int) -> "Unmeasured | None":
        """What must be measured to bring the table to the buckets that had ended by `moment`; None is nothing."""
        ended = int(self.measurement.market.buckets.label.searchsorted(moment, side="right"))
        ended = max(ended, self._final)
        if self._measured == (ended, len(self)) or (ended == self._final and self._settled == len(self.table)):
            return None
        return Unmeasured(self, ended, self._first_bar_of(self._final))

    def take_in(self, rows: Rows, ended: int) -> None:
        """Put measured `rows` into the table, in place of those that may have changed, to the first `ended` buckets."""
        labels, values = rows
        every = self.measurement.market.buckets.label
        first, stop = (
            int(labels.searchsorted(every[row - 1], side="right")) if row else 0 for row in (self._final, ended)
        )
        self._replace(self._settled, labels[first:stop], values[first:stop])
        self._final, self._settled, self._measured = ended, len(self.table), (ended, len(self))
        self._settle()

    def measure_nights(self, moment: int) -> None:
        """Bring nights that no bar had ended by the last measuring to a moment, where they are measured."""
        if not self.measurement.nights:
            return
        every = self.measurement.market.sessions
        opened = every.open[max(int(every.open.searchsorted(self._nights_until, side="right")) - 1, 0)]
        begin = int(self.table.labels.searchsorted(opened, side="right"))
        labels = self.table.labels[begin:]
        bars: BarHistory = self if self._overnight is None else self._overnight
        # Of the next session's first bucket, what had traded by the last bar of the night is known.
        moment = max(moment, bars.last_end)
        last, nights = self.measurement.night_rows(bars.stamps, bars.prices, bars.length, labels, moment)
        changed = self.table.amend(begin + last, NIGHT_NAMES, nights)
        # What a night says is part of the row before it, and of forecasts for the row after it.
        self._changed = min(self._changed, int(changed[0]) + 1 if len(changed) else self._changed)
        self._nights_until = min(self.last_end, bars.last_end)

    def forget_nights(self, moment: int) -> None:
        """Bars of nights that end after a moment, in microseconds, have changed."""
        self._nights_until = min(self._nights_until, moment)

    def take_changed(self) -> int:
        """The first row of the table that is another than at the call before, or new; their number where none is."""
        changed, self._changed = min(self._changed, len(self.table)), len(self.table)
        return changed

    def _replace(self, begin: int, labels: Int64Array1D, values: Float64Array2D) -> None:
        self._changed = min(self._changed, self.table.replace(begin, labels, values))

    def _first_bar_of(self, bucket: int) -> int:
        """Position of the first bar that measures of a bucket of the market, and of those after it, look at."""
        buckets = self.measurement.market.buckets
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
        last_end = self.last_end
        self._nights_until = min(self._nights_until, last_end)
        final = int(self.measurement.market.buckets.label.searchsorted(last_end, side="right"))
        self._final = min(self._final, final)
        self._settled = min(self._settled, int(self.table.labels.searchsorted(last_end, side="right")))

    def _note_length(self) -> None:
        """Where the length of a bar changes, everything is measured anew."""
        length = self.length
        super()._note_length()
        if self.length != length:
            self._final, self._settled, self._measured, self._nights_until = 0, 0, (0, 0), 0


class NotebookHistory(HourlyHistory):
    """The bars of one symbol and their hours under `colab`: hours of the clock, with zeros where no bar is.

    A label's hour holds one bar that ends after it, so it is known one bar length later.
    """

    def unmeasured(self, moment: int) -> "Unmeasured | None":
        """All bars, where the hours that were known at `moment` are not in the table yet."""
        last = (moment - self.length) // _HOUR * _HOUR
        return None if self._measured == (last, len(self)) else Unmeasured(self, last, 0)

    def take_in(self, rows: Rows, ended: int) -> None:
        """Put measured `rows` into the table: the hours up to `ended`, in microseconds since the epoch."""
        self._measured = (ended, len(self))
        labels, values = rows
        hours = np.arange(labels[0], ended + 1, _HOUR) if len(labels) else labels
        filled = np.zeros((len(hours), 1))
        count = int(labels.searchsorted(ended, side="right"))
        filled[:count] = values[:count]
        self._replace(0, hours, filled)


@dataclass(frozen=True)
class Unmeasured:
    """Bars of a history that must be measured.

    Attributes
    ----------
    history
        Whose.
    ended
        To where it is to be measured, as `HourlyHistory.take_in` has it.
    begin
        Position of the first of the bars.
    """

    history: HourlyHistory
    ended: int
    begin: int

    def __len__(self) -> int:
        return len(self.history) - self.begin

    @property
    def is_tail(self) -> bool:
        """Whether there are others before them."""
        return self.begin > 0

    @property
    def bars(self) -> tuple[Int64Array1D, Prices]:
        """Stamps and prices of the bars."""
        prices = {name: values[self.begin :] for name, values in self.history.prices.items()}
        return self.history.stamps[self.begin :], prices


def measure(histories: Iterable[HourlyHistory], moment: int) -> None:
    """Bring the tables of symbols with one measurement to the buckets that had ended by a moment.

    It is not before the end of the last bar of any. New bars of all of them are measured at once: what takes the time
    of a bucket's end is less the bars than the calls.
    """
    every = list(histories)
    behind = [part for history in every if (part := history.unmeasured(moment)) is not None]
    for parts in _at_once(behind):
        first = parts[0]
        rows = first.history.measurement.rows(
            [part.bars for part in parts], first.history.length, are_tails=first.is_tail
        )
        for part, of_part in zip(parts, rows, strict=True):
            part.history.take_in(of_part, part.ended)
    for history in every:
        history.measure_nights(moment)


def _at_once(parts: Iterable[Unmeasured]) -> Iterator[list[Unmeasured]]:
    """Parts that are measured together: of bars of one length, but each alone that begins a history.

    There may be too few of its bars for the estimator.
    """
    for (_, are_tails), group in itertools.groupby(parts, lambda part: (part.history.length, part.is_tail)):
        alike = [*group]
        for some in runs_within([len(part) for part in alike], _BARS_AT_ONCE if are_tails else 0):
            yield alike[some]


def history_of(
    measurement: HourlyMeasurement, names: tuple[str, ...], overnight: OvernightHistory | None = None
) -> HourlyHistory:
    """A history without bars, of the measurement's preset."""
    return (HourlyHistory if measurement.preset == "session" else NotebookHistory)(measurement, names, overnight)
