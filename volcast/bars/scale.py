"""Steps of the price inside sessions that are no returns: splits applied too late, and ticks off the scale."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, begins_run, time_index
from volcast.bars.columns import PRICES
from volcast.markets.market import TradingMarket

__all__ = ["ScaleStep", "scale_steps"]


_RATIOS = np.log([6 / 5, 5 / 4, 4 / 3, 7 / 5, 3 / 2, 8 / 5, 5 / 3, 7 / 4, 9 / 5])
_ANY_RATIO = np.log(1.9)
"""Nothing trades through so much in a bar of a session; a step of less must be a split's ratio, and stand alone."""
_NOISE, _ALONE = 4.0, 15.0
_FARTHEST = float(np.log(1e15))
_WINDOW = 50
_ROUNDING = 0.012
_LONGEST_EPISODE = 60


@dataclass(frozen=True)
class ScaleStep:
    """One step of a price from one scale to another, as a split makes it.

    Attributes
    ----------
    moment
        Start of the first bar that has a price on the new scale.
    factor
        New over old price.
    bars
        How many bars later prices are back; None where they stay.
    """

    moment: pd.Timestamp
    factor: float
    bars: int | None

    @property
    def ratio(self) -> str:
        """The factor as splits are written, larger number first: ``20:1``, ``3:2``."""
        factor = max(self.factor, 1 / self.factor)
        # The fewest digits that are near: a return came with the step, and 993 is 1000.
        for digits in (1, 2, 3):
            whole = round(factor, min(digits - 1 - int(np.log10(factor)), 0))
            if abs(factor / whole - 1) < 0.03:
                return f"{whole:.0f}:1"
        part = Fraction(factor).limit_denominator(5)
        near = abs(factor / float(part) - 1) < 0.02
        return f"{part.numerator}:{part.denominator}" if near else f"{factor:.3g}:1"


def scale_steps(bars: pd.DataFrame, market: TradingMarket) -> list[ScaleStep]:
    """Steps between neighbouring bars of a day, or inside one bar, that are no returns.

    A step is one where a price is 1.9 times the close before, or a 1.9th of it, or more; or where a bar opens (without
    an open: closes) away from the close before by the ratio of a split (6:5 to 9:5), to within the noise of the fifty
    bars before, of which it is many times the usual return. Steps between days are for `cleaning.split_steps`.

    Parameters
    ----------
    bars
        ``close`` and, as far as there are, open, high and low, positive, on a tz-aware index in time order.
    market
        Whose days they are.
    """
    if len(bars) < 2:
        return []
    logs = np.log(bars[[field for field in PRICES if field in bars]].to_numpy(dtype=float))
    # A price beyond all prices is off the scale by however much can be counted.
    logs = np.clip(logs, -_FARTHEST, _FARTHEST)
    fields = [field for field in PRICES if field in bars]
    close = logs[:, fields.index("close")]
    first = fields.index("open") if "open" in fields else fields.index("close")
    opens_day = begins_run(market.dates(time_index(bars)).asi8)
    # The first bar of a day has no neighbour before it but its own open.
    before = np.where(opens_day, logs[:, first], np.concatenate([close[:1], close[:-1]]))
    away = logs - before[:, None]
    largest = away[np.arange(len(away)), np.abs(away).argmax(axis=1)]
    step = np.where(np.abs(largest) >= _ANY_RATIO, largest, 0.0)
    gap = np.where(opens_day, 0.0, away[:, first])
    is_ratio = _is_ratio(gap, close, np.exp(before))
    step = np.where((step == 0) & is_ratio, gap, step)
    return _episodes(np.flatnonzero(step), step, close, time_index(bars))


def _is_ratio(gap: Float64Array1D, close: Float64Array1D, price: Float64Array1D) -> BoolArray1D:
    """Whether a gap is the ratio of a split and no return."""
    candidates = np.flatnonzero(np.abs(gap) >= _RATIOS[0] / 1.05)
    is_ratio = np.zeros(len(gap), dtype=bool)
    for place in candidates:
        returns = np.abs(np.diff(close[max(place - _WINDOW - 1, 0) : place]))
        usual = float(np.median(returns)) if len(returns) else 0.0
        tolerance = _NOISE * usual + _ROUNDING / price[place] + 1e-3
        distance = np.abs(np.abs(gap[place]) - _RATIOS).min()
        is_ratio[place] = distance <= tolerance and abs(gap[place]) > _ALONE * usual
    return is_ratio


def _episodes(
    places: Int64Array1D, step: Float64Array1D, close: Float64Array1D, index: pd.DatetimeIndex
) -> list[ScaleStep]:
    """Steps, of which one there and one back are one."""
    steps: list[ScaleStep] = []
    done = -1
    for number, place in enumerate(places):
        if place <= done:
            continue
        size = float(step[place])
        done = int(place)
        if place == 0 or abs(close[place] - close[place - 1] - size) < 0.5 * abs(size):
            back = _back_at(places[number + 1 :], step, done)
            done = done if back is None else back
        else:
            # One price of the bar was off, and its close was not.
            back = done + 1
        steps.append(ScaleStep(index[int(place)], float(np.exp(size)), None if back is None else back - int(place)))
    return steps


def _back_at(later: Int64Array1D, step: Float64Array1D, place: int) -> int | None:
    """Where the step at `place` is taken back, soon; None where it is not."""
    soon = later[later - place <= _LONGEST_EPISODE]
    back = soon[np.abs(step[soon] + step[place]) < 0.1 * abs(step[place])]
    return int(back[0]) if len(back) else None
