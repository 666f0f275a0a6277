"""Bars and folders that many tests need."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent


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


def with_noise_after(bars: pd.DataFrame, moment: pd.Timestamp, seed: int = 1) -> pd.DataFrame:
    """The same bars, but those that end after `moment` hold noise. One-minute bars."""
    random = np.random.default_rng(seed)
    changed = bars.copy()
    later = bars.index + pd.Timedelta(minutes=1) > moment
    changed.loc[later] = 50 * np.exp(0.2 * random.standard_normal((int(later.sum()), bars.shape[1])))
    return changed


@pytest.fixture(scope="session")
def bars() -> pd.DataFrame:
    """Seven months of one-minute bars."""
    return make_bars("2024-06-03", "2024-12-31")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with real bars and the Colab pair, which are not part of the project."""
    path = Path(os.environ.get("VOLATILITY_SHARED_DATA", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no folder of real bars at {path}: set VOLATILITY_SHARED_DATA to test with them")
    return path


@pytest.fixture(scope="session")
def colab_dir(shared_dir: Path) -> Path:
    """Folder with the pair of files that the notebook left."""
    if not (shared_dir / "colab").is_dir():
        pytest.skip(f"no Colab pair in {shared_dir}: set VOLATILITY_SHARED_DATA to test with it")
    return shared_dir / "colab"


@pytest.fixture(scope="session")
def spy_bars(shared_dir: Path) -> pd.DataFrame:
    """Real one-minute bars of SPY."""
    path = shared_dir / "data" / "SPY_1min.parquet"
    if not path.is_file():
        pytest.skip(f"no real bars at {path}: set VOLATILITY_SHARED_DATA to test with them")
    return pd.read_parquet(path)
