"""One symbol's bars as they come: what comes costs itself, not what came before."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from volcast.arrays import GrowingArray, Int64Array1D
from volcast.bars.arrays import FrameArrays, Prices
from volcast.bars.evidence import Evidence
from volcast.markets.market import TradingMarket

__all__ = ["BarHistory"]

_MINUTE = 60_000_000


class BarHistory:
    """The bars of one symbol so far.

    Parameters
    ----------
    market
        Whose hours tell whether stamps are starts.
    names
        Of the columns of prices that the bars have.
    """

    def __init__(self, market: TradingMarket, names: tuple[str, ...]) -> None:
        self._market = market
        self.length = _MINUTE
        self._stamps = GrowingArray(np.int64)
        self._prices = {name: GrowingArray(np.float64) for name in names}
        self._steps: Counter[int] = Counter()
        # How often bars were put or cut.
        self._edits = 0
        # How many bars of the frame that is followed were in time order when it was last cut.
        self._in_order = 0
        # What the bars tell as a whole, as far as that has been looked at, and what they say of themselves.
        self._evidence = Evidence.of_market(market)
        self._attrs: Mapping[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def edition(self) -> int:
        """A number that is another whenever bars are."""
        return self._edits

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
                added = len(self), bars.stamps(new), bars.prices(new)
                self.put(*added, self.require_whole(*added))
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

    def put(self, begin: int, stamps: Int64Array1D, prices: Prices, evidence: Evidence) -> None:
        """Put usable bars in place of those from `begin` on; `evidence` is what `require_whole` gives of them."""
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
            evidence = Evidence.of_market(self._market).followed_by(self.stamps[:begin], before)
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
        self._note_length()

    def _note_length(self) -> None:
        """The length of a bar is the commonest step."""
        self.length = _commonest(self._steps)


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
