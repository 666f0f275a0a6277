"""Bars of a coin."""

import numpy as np
import pandas as pd


def coin_bars(first: str, *, days: int, price: float = 60_000.0, seed: int = 0) -> pd.DataFrame:
    """One-minute bars of a random walk round the clock, stamped at their start; a tenth of them without a trade."""
    index = pd.date_range(first, periods=days * 1440, freq="min", tz="UTC", name="timestamp", unit="us")
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(5e-4 * random.standard_normal(len(index))))
    opens = np.concatenate([[price], close[:-1]])
    bars = pd.DataFrame({"open": opens, "high": np.maximum(opens, close), "low": np.minimum(opens, close)}, index)
    volume = np.round(random.exponential(2.0, len(index)), 6) * (random.random(len(index)) > 0.1)
    return bars.assign(close=close, volume=volume)
