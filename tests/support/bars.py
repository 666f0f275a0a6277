"""Bars that many tests need, and where the project lies."""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length

ROOT = Path(__file__).resolve().parents[2]


def make_bars(first: str, last: str, *, seed: int = 0, minutes: int = 1, extended: bool = False) -> pd.DataFrame:
    """Bars of a random walk with clustering volatility, stamped at their start, on weekdays in New York."""
    days = pd.bdate_range(first, last)
    begin, end = ("04:00", "20:00") if extended else ("09:30", "16:00")
    index = pd.DatetimeIndex(
        np.concatenate(
            [
                pd.date_range(
                    f"{day:%Y-%m-%d} {begin}", f"{day:%Y-%m-%d} {end}", freq=f"{minutes}min", inclusive="left"
                )
                .tz_localize("America/New_York")
                .tz_convert("UTC")
                .tz_localize(None)
                .to_numpy()
                for day in days
            ]
        ),
        tz="UTC",
        name="timestamp",
    )
    random = np.random.default_rng(seed)
    level = np.exp(0.3 * np.cumsum(random.standard_normal(len(days))) / np.sqrt(1 + np.arange(len(days)) / 20))
    per_day = len(index) // len(days)
    returns = 4e-4 * np.sqrt(minutes) * np.repeat(level, per_day) * random.standard_normal(len(index))
    close = 100 * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(1e-5 * random.standard_normal(len(index)))
    frame = pd.DataFrame(
        {"open": open_, "close": close, "volume": random.integers(100, 10_000, len(index)) * 1.0}, index
    )
    frame.insert(1, "high", frame[["open", "close"]].max(axis=1))
    frame.insert(2, "low", frame[["open", "close"]].min(axis=1))
    return frame


def of_symbol(panel: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """The bars of one of the symbols of a panel, indexed by time stamps alone."""
    return cast(pd.DataFrame, panel.xs(symbol))


def place_of(frame: pd.DataFrame, column: str) -> int:
    """The number of a column whose name is there once."""
    return cast(int, frame.columns.get_loc(column))


def with_noise_after(bars: pd.DataFrame, moment: pd.Timestamp, seed: int = 1) -> pd.DataFrame:
    """The same bars, but those that end after `moment` hold noise."""
    random = np.random.default_rng(seed)
    changed = bars.copy()
    later = time_index(bars) + bar_length(time_index(bars)) > moment
    changed.loc[later] = 50 * np.exp(0.2 * random.standard_normal((int(later.sum()), bars.shape[1])))
    return changed
