"""Hourly RV the slow and obvious way: loops over bars and buckets."""

import math

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.markets.registry import market_named

NEW_YORK = "America/New_York"


def plain_session_rv(bars: pd.DataFrame, min_coverage: float = 0.8, market: str = "XNYS") -> pd.Series:
    """Minute by minute, bucket by bucket; one-minute bars."""
    trading = market_named(market)
    ends = (time_index(bars) + pd.Timedelta(minutes=1)).tz_convert(trading.zone)
    found = {}
    trading_since = closed = ends[0] - pd.Timedelta(days=30)
    for label, start, minutes, _ in trading.bucket_table(ends[0], ends[-1]).itertuples():
        trading_since, closed = (start if start > closed else trading_since), label
        total, returns, bars_found = 0.0, 0, 0
        for i in np.flatnonzero((ends > start) & (ends <= label)).tolist():
            bars_found += 1
            same_stretch = i > 0 and ends[i - 1] > trading_since
            if same_stretch and ends[i] - ends[i - 1] > pd.Timedelta(hours=1):
                continue
            before = bars["close"].iloc[i - 1] if same_stretch else bars["open"].iloc[i]
            total += math.log(bars["close"].iloc[i] / before) ** 2
            returns += 1
        if returns and bars_found >= min_coverage * minutes:
            found[label] = math.sqrt(total)
    return pd.Series(found)


def plain_colab_rv(bars: pd.DataFrame) -> pd.Series:
    """The notebook's steps, in loops."""
    prices = bars["close"].tz_convert(NEW_YORK).sort_index()
    sums: dict[pd.Timestamp, float] = {}
    stamps, values = prices.index, prices.to_numpy()
    for before, after, stamp in zip(values[:-1], values[1:], stamps[1:], strict=True):
        label = stamp.tz_convert("UTC").ceil("h")
        sums[label] = math.fsum([sums.get(label, 0.0), (after / before - 1) ** 2])
    hours = pd.date_range(min(sums), max(sums), freq="h")
    return pd.Series([math.sqrt(sums.get(hour, 0.0)) for hour in hours], index=hours)
