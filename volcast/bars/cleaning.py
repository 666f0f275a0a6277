r"""Rules that take wrong bars out, each counted, each switchable.

They follow Barndorff-Nielsen, Hansen, Lunde and Shephard (2009), *Realized kernels in practice: trades and quotes*,
Econometrics Journal 12, as far as their rules for ticks have a meaning for bars; the names in brackets are theirs.

========== =========================================================================================================
rule       what it does
========== =========================================================================================================
missing    drops bars without a stamp, or without one of their prices
zero       drops bars with a price of zero or less, or an infinite one (P2)
order      sorts bars by time; counts those that came after a later one
duplicates of bars with one stamp keeps one: the median of each price, the largest volume (T3)
crossed    drops bars whose high is under their low, or whose open or close lies outside of both (Q2)
outside    drops bars outside the exchange's regular session, half-days included (P1); only where it is named, for what
           is measured of sessions leaves them out anyway, and what is measured of nights needs them
splits     rescales the bars before an overnight step by 3:2 or a whole ratio from 2 up: a split not adjusted for
rolls      of futures, rescales the bars before a step from one contract to the next, see `bars.rolls`
stale      of ten and more bars of one hour that repeat one price without volume of their own, keeps the first; none of
           bars that tell minutes without a trade, see `bars.untraded`
ticks      drops a single wrong close: a return that the next bar within a minute takes back by three quarters or more,
           both beyond ten times the mean absolute return of the fifty bars before (Q4, looking back only), and at
           least half of the way back between the bars where they have an open: a true move comes back inside one
wicks      cuts a single wrong high or low back to the bar's open and close: it lies beyond them by ten times the mean
           range of the fifty bars before, and the next bar within a minute comes nowhere near it (as ticks)
untraded   adds bars of minutes without a trade, at the price before, see `bars.untraded`; only where it is named, or
           where whoever made the bars is known to leave them out
========== =========================================================================================================

No rule looks beyond the end of a bar's own clock hour, so hourly measures of cleaned bars contain no look-ahead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array2D, Int64Array1D, time_index
from volcast.bars.checks import bar_length, market_of_bars, require_close
from volcast.bars.frames import as_bars_frame
from volcast.bars.rolls import roll_steps
from volcast.bars.untraded import LEFT_OUT, standing_bars, tells_untraded
from volcast.errors import BarsError, ConfigError
from volcast.markets.market import TradingMarket

__all__ = ["CLEANING_RULES", "Cleaning", "clean_bars", "split_steps", "wrong_ticks"]


_PRICES = ("open", "high", "low", "close")
_STALE_RUN = 10
_BAND, _WINDOW, _FEWEST, _TAKEN_BACK = 10.0, 50, 10, 0.75
_USUAL_RATIOS = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100])
_RATIO_TOLERANCE, _HALF_TOLERANCE = 0.06, 0.03
_LARGEST_RETURN = 8.5
"""No night's return is as large; such a step is a split of whatever whole number."""
_LONGEST_NIGHT = pd.Timedelta(days=5)
_HOUR_US, _MINUTE_US = 3_600_000_000, 60_000_000
_ONE_TICK = 0.0101
_TO_BE_NAMED = ("outside", "untraded")


@dataclass(frozen=True)
class Cleaning:
    """What the rules of cleaning did to bars.

    Attributes
    ----------
    counts
        Bars that each rule touched: dropped, moved (``order``), rescaled (``splits``, ``rolls``), cut (``wicks``) or
        added (``untraded``).
    dropped
        The rule of each dropped bar, indexed by its stamp.
    """

    counts: dict[str, int]
    dropped: "pd.Series[str]"

    def sentence(self) -> str:
        """What was done, in words; empty where nothing was."""
        return ", ".join(f"{rule} {count:,}" for rule, count in self.counts.items() if count)


def clean_bars(
    bars: pd.DataFrame, rules: Sequence[str] | None = None, *, market: str | TradingMarket | None = None
) -> tuple[pd.DataFrame, Cleaning]:
    """Apply `rules` to one symbol's bars.

    Parameters
    ----------
    bars
        Columns ``close`` at least, on a tz-aware index of starts, in any order.
    rules
        Names out of `CLEANING_RULES`, applied in the order of that; None, or ``"all"`` among them, applies
        all but ``outside`` and ``untraded``, which have to be named.
    market
        Whose hours they are, by name or itself: see `markets.registry`. None is the symbol's, see `markets.names`.

    Returns
    -------
    The cleaned bars, and what was done to them.

    Raises
    ------
    ConfigError
        A rule is unknown.
    BarsError
        The index is no tz-aware times, or there is no column ``close``.
    """
    bars = as_bars_frame(bars, market=market)
    trading = market_of_bars(bars, market=market)
    chosen = () if rules is None else tuple(rule for rule in rules if rule != "all")
    if rules is None or "all" in rules:
        chosen += tuple(rule for rule in CLEANING_RULES if rule not in _TO_BE_NAMED)
    unknown = [rule for rule in chosen if rule not in _RULES]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no rule of cleaning; they are {', '.join(CLEANING_RULES)}; name some.")
    if chosen and (not isinstance(bars.index, pd.DatetimeIndex) or bars.index.tz is None):
        raise BarsError(
            f"bars to clean are indexed by {bars.index.dtype}; times with a zone are needed; "
            f"use bars.tz_localize('{trading.zone}'), or --bars-timezone on the command line."
        )
    if chosen and len(bars):
        require_close(bars)
    counts: dict[str, int] = {}
    dropped: list[pd.Series[str]] = []
    for rule in CLEANING_RULES:
        if rule not in chosen or bars.empty:
            continue
        bars, count, stamps = _RULES[rule](bars, trading)
        counts[rule] = count
        dropped.append(pd.Series(rule, index=stamps, dtype=object))
    return bars, Cleaning(counts, pd.concat(dropped) if dropped else pd.Series(dtype=object))


Applied = tuple[pd.DataFrame, int, pd.DatetimeIndex]


def _without(bars: pd.DataFrame, wrong: BoolArray1D) -> Applied:
    return (bars[~wrong] if wrong.any() else bars), int(wrong.sum()), time_index(bars)[wrong]


def _prices(bars: pd.DataFrame) -> Float64Array2D:
    present = [name for name in _PRICES if name in bars.columns]
    values: Float64Array2D = bars[present].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    return values


def _missing(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    return _without(bars, np.isnan(_prices(bars)).any(axis=1) | np.asarray(bars.index.isna()))


def _zero(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    values = _prices(bars)
    return _without(bars, np.asarray(((values <= 0) | np.isinf(values)).any(axis=1)))


def _order(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    stamps = time_index(bars).asi8
    late = stamps < np.maximum.accumulate(stamps)
    return (bars.sort_index(kind="stable") if late.any() else bars), int(late.sum()), time_index(bars)[:0]


def _duplicates(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    again = np.asarray(bars.index.duplicated(keep=False))
    if not again.any():
        return bars, 0, time_index(bars)[:0]
    how = {name: "median" if name in _PRICES else "max" if name == "volume" else "last" for name in bars.columns}
    # Copies of one bar are one bar, so that they do not outvote another version of it.
    distinct = bars[again][~bars[again].reset_index().duplicated().to_numpy()]
    single = distinct.groupby(level=0, sort=True).agg(how)
    cleaned = pd.concat([bars[~again], single[bars.columns]]).sort_index(kind="stable")
    extra = time_index(bars)[np.asarray(bars.index.duplicated())]
    return cleaned.rename_axis(cast(str | None, bars.index.name)), len(extra), extra


def _crossed(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    if not {"open", "high", "low"} <= set(bars.columns):
        return bars, 0, time_index(bars)[:0]
    opens, highs, lows, closes = (bars[name].to_numpy(dtype=float) for name in _PRICES)
    # Adjusted prices are rounded one by one.
    slack = np.minimum(_ONE_TICK, 1e-3 * closes)
    over = np.maximum(opens, closes) > highs + slack
    return _without(bars, (highs < lows) | over | (np.minimum(opens, closes) < lows - slack))


def _outside(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    starts = _microseconds(time_index(bars))
    ends = starts + bar_length(time_index(bars)) // pd.Timedelta(microseconds=1)
    opens, closes = market.stretches
    stretch = np.searchsorted(opens, ends, side="left") - 1
    outside: BoolArray1D = (stretch < 0) | (starts >= closes[stretch])
    return _without(bars, outside)


def _splits(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    return _rescaled(bars, split_steps(bars, market), with_volume=True)


def _rolls(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    steps = roll_steps(bars, market)
    rescaled, count, dropped = _rescaled(bars, steps, with_volume=False)
    if len(steps) and "rolls" in bars.attrs:
        # They are none any more.
        rescaled.attrs["rolls"] = ()
    return rescaled, count, dropped


def _rescaled(bars: pd.DataFrame, steps: "pd.Series[float]", *, with_volume: bool) -> Applied:
    """The bars without the steps: what was before each is on the scale of what came after."""
    if steps.empty:
        return bars, 0, time_index(bars)[:0]
    bars = bars.copy()
    prices = [name for name in _PRICES if name in bars.columns]
    before_any = np.zeros(len(bars), dtype=bool)
    for moment, ratio in steps.items():
        before = np.asarray(bars.index < moment)
        before_any |= before
        bars.loc[before, prices] *= ratio
        if with_volume and "volume" in bars.columns:
            bars.loc[before, "volume"] /= ratio
    return bars, int(before_any.sum()), time_index(bars)[:0]


def split_steps(bars: pd.DataFrame, market: TradingMarket) -> "pd.Series[float]":
    """Overnight steps of the price by 3:2 or a whole ratio, up or down; `bars` in time order.

    Returns
    -------
    Series of new over old price, rounded to the ratio, indexed by the first bar after the step.
    """
    closes = bars["close"].to_numpy(dtype=float)
    opens = bars["open"].to_numpy(dtype=float) if "open" in bars.columns else closes
    index = time_index(bars)
    day = market.dates(index).asi8
    first = np.flatnonzero(np.diff(day) > 0) + 1
    near = np.diff(index.asi8)[first - 1] <= _LONGEST_NIGHT // pd.Timedelta(1, index.unit)
    first = first[near]
    step = np.log(opens[first] / closes[first - 1])
    distance = np.abs(np.abs(step)[:, None] - np.log(_USUAL_RATIOS))
    nearest = _USUAL_RATIOS[distance.argmin(axis=1)]
    is_usual = distance.min(axis=1) < np.where(nearest < 2, _HALF_TOLERANCE, _RATIO_TOLERANCE)
    size = np.where(is_usual, nearest, np.round(np.exp(np.abs(step))))
    is_split = is_usual | (size > _LARGEST_RETURN)
    ratio = np.where(step > 0, size, 1 / size)
    return pd.Series(ratio[is_split], index=index[first[is_split]], dtype=float)


def _stale(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    if tells_untraded(bars.attrs):
        return bars, 0, time_index(bars)[:0]
    values = _prices(bars)
    volume = bars["volume"].to_numpy(dtype=float) if "volume" in bars.columns else np.full(len(bars), np.nan)
    same = np.zeros(len(bars), dtype=bool)
    same[1:] = (values[1:] == values[:-1]).all(axis=1) & (values[1:] == values[1:, :1]).all(axis=1)
    same[1:] &= np.isnan(volume[1:]) | (volume[1:] == 0) | (volume[1:] == volume[:-1])
    same[1:] &= np.diff(_hours(time_index(bars))) == 0
    run = np.cumsum(~same)
    long = np.bincount(run, minlength=int(run[-1]) + 1) >= _STALE_RUN
    return _without(bars, same & long[run])


def _ticks(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    return _without(bars, wrong_ticks(bars))


def wrong_ticks(bars: pd.DataFrame) -> BoolArray1D:
    """Which bars the rule ``ticks`` takes for wrong; `bars` in time order, prices positive."""
    wrong = np.zeros(len(bars), dtype=bool)
    if len(bars) < _FEWEST + 3:
        return wrong
    stamps = _microseconds(time_index(bars))
    closes = _logs(bars, "close")[0]
    returns = np.diff(closes)
    near = np.diff(stamps) <= _MINUTE_US
    hours = _hours(time_index(bars))
    there, back = returns[:-1], returns[1:]
    size = np.minimum(np.abs(there), np.abs(back))
    undone = (there * back < 0) & (np.abs(there + back) <= (1 - _TAKEN_BACK) * np.abs(there)) & near[:-1] & near[1:]
    undone &= hours[1:-1] == hours[2:]
    if "open" in bars.columns:
        opens = _logs(bars, "open")[0]
        undone &= (opens[2:] - closes[1:-1]) * np.sign(back) >= 0.5 * np.abs(back)
    # Sums over the returns before each, of which only those between neighbouring bars count.
    sums, counts = (np.concatenate([[0.0], np.cumsum(x)]) for x in (np.nan_to_num(np.abs(returns)) * near, near))
    last = np.arange(len(there))
    first = np.maximum(last - _WINDOW, 0)
    usual, neighbours = sums[last] - sums[first], counts[last] - counts[first]
    wrong[1:-1] = undone & (neighbours >= _FEWEST) & (size * neighbours > _BAND * usual)
    return wrong


def _logs(bars: pd.DataFrame, *names: str) -> Float64Array2D:
    """Log prices, a row for each name; prices of zero or less, which another rule is for, compare as neither."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs: Float64Array2D = np.log(bars[list(names)].to_numpy(dtype=float).T)
    logs[~np.isfinite(logs)] = np.nan
    return logs


def _wicks(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    above, below = _wrong_wicks(bars)
    if not (above | below).any():
        return bars, 0, time_index(bars)[:0]
    bars = bars.copy()
    bars.loc[above, "high"] = bars.loc[above, ["open", "close"]].max(axis=1)
    bars.loc[below, "low"] = bars.loc[below, ["open", "close"]].min(axis=1)
    return bars, int((above | below).sum()), time_index(bars)[:0]


def _wrong_wicks(bars: pd.DataFrame) -> tuple[BoolArray1D, BoolArray1D]:
    """Which bars have a wrong high, and which a wrong low; `bars` in time order, prices positive."""
    nothing = np.zeros(len(bars), dtype=bool)
    if not set(_PRICES) <= set(bars.columns) or len(bars) < _FEWEST + 2:
        return nothing, nothing
    opens, highs, lows, closes = _logs(bars, *_PRICES)
    stamps, hours = _microseconds(time_index(bars)), _hours(time_index(bars))
    followed = np.append((np.diff(stamps) <= _MINUTE_US) & (np.diff(hours) == 0), False)
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(highs - lows))])
    last = np.arange(len(bars))
    first = np.maximum(last - _WINDOW, 0)
    usual = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    top, bottom = np.maximum(opens, closes), np.minimum(opens, closes)
    wrong = []
    for reach, following in ((highs - top, np.roll(highs, -1) - top), (bottom - lows, bottom - np.roll(lows, -1))):
        far = followed & (last >= _FEWEST) & (reach > _BAND * usual)
        wrong.append(far & (following <= (1 - _TAKEN_BACK) * reach))
    return wrong[0], wrong[1]


def _untraded(bars: pd.DataFrame, market: TradingMarket) -> Applied:
    standing = standing_bars(bars, market)
    if standing.empty:
        return bars, 0, time_index(bars)[:0]
    whole = pd.concat([bars, standing]).sort_index(kind="stable")
    whole.attrs = {**bars.attrs, "untraded": LEFT_OUT}
    return whole, len(standing), time_index(bars)[:0]


_RULES: dict[str, Callable[[pd.DataFrame, TradingMarket], Applied]] = {
    "missing": _missing,
    "zero": _zero,
    "order": _order,
    "duplicates": _duplicates,
    "crossed": _crossed,
    "outside": _outside,
    "splits": _splits,
    "rolls": _rolls,
    "stale": _stale,
    "ticks": _ticks,
    "wicks": _wicks,
    "untraded": _untraded,
}
CLEANING_RULES = tuple(_RULES)
"""All rules, in the order in which they are applied."""


def _hours(index: pd.DatetimeIndex) -> Int64Array1D:
    """Number of the clock hour in which each bar ends, right-closed as buckets are."""
    length = bar_length(index) // pd.Timedelta(microseconds=1)
    hours: Int64Array1D = -(-(_microseconds(index) + length) // _HOUR_US)
    return hours


def _microseconds(index: pd.DatetimeIndex) -> Int64Array1D:
    stamps: Int64Array1D = index.as_unit("us").asi8
    return stamps
