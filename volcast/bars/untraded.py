"""Minutes in which nobody traded: no missing observations, where whoever made the bars leaves them out.

Exchanges of coins make bars of trades. Binance has one for each minute, without volume where nothing was traded; Kraken
(as it says of its files) and Coinbase leave such minutes out. In a minute without a trade the price is the one before,
and its return zero: previous-tick sampling (Hansen and Lunde 2006, *Journal of Business & Economic Statistics* 24).

A price stands for a quarter of an hour at most, whatever comes after it. What is silent for longer, as in an outage of
the exchange, stays a hole, and a minute depends on nothing later than itself.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, time_index
from volcast.bars.checks import commonest_step
from volcast.bars.columns import PRICES
from volcast.markets.market import TradingMarket

__all__ = ["LEFT_OUT", "LONGEST_STAND", "UNTRADED", "are_left_out", "standing_bars", "tells_untraded", "untraded"]

LEFT_OUT, FLAT = "left out", "flat"

UNTRADED: Mapping[str, str] = MappingProxyType(
    {"kraken": LEFT_OUT, "coinbase": LEFT_OUT, "ccxt": LEFT_OUT, "binance": FLAT}
)
"""What exchanges do with minutes without a trade; bars carry it in ``attrs["untraded"]``."""

LONGEST_STAND = pd.Timedelta(minutes=15)
"""How long a price stands without a trade."""

_LONGEST = LONGEST_STAND // pd.Timedelta(microseconds=1)


def are_left_out(attrs: Mapping[Any, Any]) -> bool:
    """Whether whoever made bars with these `attrs` leaves minutes without a trade out, put back since or not."""
    return attrs.get("untraded") == LEFT_OUT


def tells_untraded(attrs: Mapping[Any, Any]) -> bool:
    """Whether bars with these `attrs` tell minutes without a trade from minutes that are missing."""
    return "untraded" in attrs


def untraded(bars: pd.DataFrame) -> BoolArray1D:
    """Which of one symbol's `bars`, in time order, only repeat the close before them and have no volume."""
    closes = bars["close"].to_numpy(dtype=float)
    silent = np.append(False, closes[1:] == closes[:-1])[: len(closes)]
    for name in bars.columns.intersection(list(PRICES)):
        silent &= bars[name].to_numpy(dtype=float) == closes
    if "volume" in bars.columns:
        silent &= bars["volume"].to_numpy(dtype=float) == 0
    return silent


def standing_bars(bars: pd.DataFrame, market: TradingMarket) -> pd.DataFrame:
    """Bars of the minutes without a trade that one symbol's `bars` leave out, at the close before them, without volume.

    They lie between two bars, `LONGEST_STAND` behind a trade at most, in one stretch of the market's trading with the
    bar before.

    Parameters
    ----------
    bars
        Columns ``close`` at least, on a tz-aware index of starts. Of bars that are not in time order, or have a stamp
        twice, nothing is known.
    market
        Whose hours they are.

    Returns
    -------
    DataFrame with the columns and the index of `bars`, in time order; other columns than prices and volume are NaN.
    """
    index = time_index(bars)
    stamps = index.as_unit("us").asi8
    if len(bars) < 2 or index.hasnans or not (np.diff(stamps) > 0).all():
        return bars.iloc[:0]
    steps = np.diff(stamps)
    # The commonest step may be several minutes where trades are rare.
    length = int(steps.min()) if not (steps % steps.min()).any() else commonest_step(stamps)
    last_trade = np.maximum.accumulate(np.where(untraded(bars), 0, np.arange(len(bars))))[:-1]
    silent = np.minimum(steps // length - 1, (_LONGEST - stamps[:-1] + stamps[last_trade]) // length)
    before = np.repeat(np.arange(len(silent)), np.maximum(silent, 0))
    first = np.append(True, before[1:] != before[:-1])[: len(before)]
    place = np.arange(len(before)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    starts = stamps[before] + (place + 1) * length
    stretch = market.stretch_of(starts + length)
    close = bars["close"].to_numpy(dtype=float)[before]
    stands = (stretch >= 0) & (stretch == market.stretch_of(stamps[before] + length)) & (close > 0) & (close < np.inf)
    columns = dict.fromkeys(bars.columns.intersection(list(PRICES)), close[stands])
    if "volume" in bars.columns:
        columns["volume"] = np.zeros(int(stands.sum()))
    moments = pd.DatetimeIndex(starts[stands].view("M8[us]"), tz="UTC").tz_convert(index.tz).as_unit(index.unit)
    return pd.DataFrame(columns, moments.rename(index.name)).reindex(columns=bars.columns)
