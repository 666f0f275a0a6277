"""One symbol's bars as they come, and the hourly measures of them: what comes costs itself, not what came before.

A bucket never changes once a bar that ends at its end or later is there, so only what comes after is measured. A
history that is fed at once is measured by the same code: all of it is new.
"""

import numpy as np

from volcast.arrays import Float64Array2D, Int64Array1D
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import HourlyMeasurement, Rows
from volcast.measures.nights import NIGHT_NAMES
from volcast.serving.bar_history import BarHistory
from volcast.serving.overnight import OvernightHistory

__all__ = ["HourlyHistory", "history_of"]

_HOUR = 3_600_000_000


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
        self._measurement, self._overnight = measurement, overnight
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
        bars: BarHistory = self if self._overnight is None else self._overnight
        # Of the next session's first bucket, what had traded by the last bar of the night is known.
        moment = max(moment, bars.last_end)
        last, nights = self._measurement.night_rows(bars.stamps, bars.prices, bars.length, labels, moment)
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
        """Where the length of a bar changes, everything is measured anew."""
        length = self.length
        super()._note_length()
        if self.length != length:
            self._final, self._settled, self._measured, self._nights_until = 0, 0, (0, 0), 0


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


def history_of(
    measurement: HourlyMeasurement, names: tuple[str, ...], overnight: OvernightHistory | None = None
) -> HourlyHistory:
    """A history without bars, of the measurement's preset."""
    return (HourlyHistory if measurement.preset == "session" else NotebookHistory)(measurement, names, overnight)
