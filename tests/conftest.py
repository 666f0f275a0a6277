"""Bars and folders that many tests need."""

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars


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
