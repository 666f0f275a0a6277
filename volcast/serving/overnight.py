"""Bars of another symbol, such as the future on an index, that tell a stream of the nights of those it forecasts."""

import numpy as np
import pandas as pd

from volcast.arrays import GrowingArray, Int64Array1D
from volcast.bars.arrays import FrameArrays, Prices
from volcast.bars.checks import symbol_among
from volcast.bars.evidence import Evidence
from volcast.bars.overnight import market_of_nights, said_of_overnight_bars
from volcast.errors import BarsError
from volcast.serving.bar_history import BarHistory
from volcast.serving.served_model import ServedModel

__all__ = ["OvernightHistory", "overnight_arrays"]


class OvernightHistory(BarHistory):
    """The bars so far of a symbol that trades in the nights of others.

    Parameters
    ----------
    symbol
        Its name.

    Attributes
    ----------
    followed
        What was followed last; None where bars were taken in since.
    """

    def __init__(self, symbol: str) -> None:
        super().__init__(market_of_nights(symbol), ())
        self._symbol = symbol
        self.followed: FrameArrays | None = None
        self._unchanged_until = 0

    def follow_overnight(self, bars: FrameArrays, moment: int | None) -> None:
        """Be the history of those of `bars` that had ended by `moment`, in microseconds; None is all of them.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or there are none.
        """
        before, self.followed = self.followed, None
        if bars.names != self.names:
            self.cut(0)
            self._prices = {name: GrowingArray(np.float64) for name in bars.names}
        is_same = before is not None and bars.lies_where(before)
        with said_of_overnight_bars():
            self.follow(bars, self._key(bars), moment, before, is_same=is_same)
        self.followed = bars

    def merged_overnight(self, bars: FrameArrays) -> tuple[int, Int64Array1D, Prices, Evidence]:
        """What `put` takes, so that new `bars` are among those so far; see `merged`.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or not such as those so far; nothing of them is taken in.
        """
        with said_of_overnight_bars():
            rows = bars.symbols[self._key(bars)]
            if bars.names != self.names:
                raise BarsError(
                    f"they have {', '.join(bars.names) or 'no prices'}, and the stream began with "
                    f"{', '.join(self.names)}; they must be alike; begin another stream."
                )
            bars.require_usable(rows)
            merged = self.merged(bars.stamps(rows), bars.prices(rows))
            return *merged, self.require_whole(*merged)

    def put(self, begin: int, stamps: Int64Array1D, prices: Prices, evidence: Evidence) -> None:
        """Put bars in place of those from `begin` on; see `BarHistory.put`."""
        self.followed = None
        super().put(begin, stamps, prices, evidence)

    def cut(self, count: int) -> None:
        """Keep the first `count` bars alone."""
        super().cut(count)
        self._unchanged_until = min(self._unchanged_until, self.last_end)

    def take_unchanged(self) -> int:
        """The moment, in microseconds, until which the bars are those that they were at the call before."""
        moment, self._unchanged_until = self._unchanged_until, self.last_end
        return moment

    def _key(self, bars: FrameArrays) -> str | None:
        """Which of the symbols in `bars` is meant: the only one, whatever its name."""
        if None in bars.symbols:
            return None
        names = [str(name) for name in bars.symbols]
        return symbol_among(names, self._symbol if self._symbol in names else None)

    def _note_length(self) -> None:
        length = self.length
        super()._note_length()
        if self.length != length:
            self._unchanged_until = 0


def overnight_arrays(
    model: ServedModel, bars: pd.DataFrame | None, like: FrameArrays | None = None
) -> FrameArrays | None:
    """The arrays in the overnight bars that a model is asked with; None of one that looks at no other symbol's nights.

    Raises
    ------
    BarsError, NotEnoughDataError
        There are none, or none that can be read, and the model was trained with such.
    ConfigError
        There are some, and it was not.
    """
    model.require_overnight(is_given=bars is not None)
    if bars is None:
        return None
    with said_of_overnight_bars():
        arrays = FrameArrays.of(bars, like)
    model.warn_of_other_nights(arrays.attrs)
    return arrays
