"""Bars and folders that many tests need; what is left out of a run, and what a run may load."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings

from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market

# For `make fuzz`: see `tests.support.strategies.examples`.
settings.register_profile("fuzz", deadline=None, print_blob=True)
# No test of speed: a busy machine must not fail one.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")

_HAD_TENSORFLOW = pytest.StashKey[bool]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take minutes, unless the expression of markers speaks of them."""
    # An expression in `addopts` would do the same only until somebody asks for -m "not train".
    if "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_collection_finish() -> None:
    """Hold the modules of tests to import TensorFlow in their tests alone, which the quick loop may leave out."""
    assert "tensorflow" not in sys.modules, "a module of tests imports TensorFlow: import it in the test that needs it"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember whether TensorFlow was there before the test and its fixtures."""
    item.stash[_HAD_TENSORFLOW] = "tensorflow" in sys.modules


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test without the marker `train` that loads TensorFlow: the quick loop would take its seconds."""
    yield
    loaded = "tensorflow" in sys.modules and not item.stash[_HAD_TENSORFLOW]
    if loaded and item.get_closest_marker("train") is None:
        pytest.fail("this test loads TensorFlow: mark it with pytest.mark.train", pytrace=False)


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


@pytest.fixture(scope="session")
def some_bars() -> pd.DataFrame:
    bars = make_bars("2024-09-03", "2024-12-31", minutes=5)
    bars.attrs = {"symbol": "XYZ", "simulated": True}
    return bars


@pytest.fixture(scope="session")
def some_market(some_bars: pd.DataFrame) -> Market:
    return Market.of(some_bars, baseline_forecasts("ewma", some_bars))


@pytest.fixture(scope="session")
def holed_bars(some_bars: pd.DataFrame) -> pd.DataFrame:
    """The same without two weeks, over which the price doubles."""
    local = time_index(some_bars).tz_convert("America/New_York")
    before, after = local < pd.Timestamp("2024-11-08", tz=local.tz), local >= pd.Timestamp("2024-11-22", tz=local.tz)
    doubled = some_bars[after].assign(
        **{name: 2 * some_bars.loc[after, name] for name in ("open", "high", "low", "close")}
    )
    bars: pd.DataFrame = pd.concat([some_bars[before], doubled])
    bars.attrs = some_bars.attrs
    return bars
