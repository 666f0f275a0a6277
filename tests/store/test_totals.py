"""What a model remembers of total volatility is saved with it, and checked before it is believed."""

import copy
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.bars import ROOT
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import CorruptModelError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.total.state import typical_state
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.store.bundle import ModelBundle
from volcast.store.store import ModelStore
from volcast.training.totals import learnt_totals

SAMPLE = ROOT / "tests" / "data" / "schema-2-har-lstm"


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return simulate_bars("SPY", "2024-01-02", "2025-03-28", minutes=5)


@pytest.fixture
def old(tmp_path: Path) -> ModelBundle:
    """A model that an earlier release saved."""
    (name,) = (json.loads((SAMPLE / "manifest.json").read_text())["name"],)
    shutil.copytree(SAMPLE, tmp_path / "old" / name)
    return ModelStore(tmp_path / "old").load(name)


@pytest.fixture
def saved(old: ModelBundle, bars: pd.DataFrame, tmp_path: Path) -> ModelBundle:
    assert old.trained_through is not None
    totals = learnt_totals({"SPY": get_hourly_measures(bars)}, old.trained_through, market_named("XNYS"))
    store = ModelStore(tmp_path / "new")
    return store.load(store.save(replace(old, path=None, totals=totals)).name)


def test_a_model_of_an_earlier_release_forecasts_from_the_bars_alone(old: ModelBundle, bars: pd.DataFrame) -> None:
    assert old.totals == {}
    assert old.total_state("SPY") is typical_state()
    assert old.path is not None
    forecast = VolatilityForecaster(old.path).forecast(bars, horizon="22 sessions", kind="total")
    alone = VolatilityForecaster("ewma").forecast(bars, horizon="22 sessions", kind="total")
    assert (forecast.volatility, forecast.lower) == (alone.volatility, alone.lower)
    assert forecast.model_version == old.name


def test_it_comes_back_as_it_was_saved(saved: ModelBundle, bars: pd.DataFrame) -> None:
    measures = get_hourly_measures(bars)
    assert saved.trained_through is not None
    expected = learnt_totals({"SPY": measures}, saved.trained_through, market_named("XNYS"))["SPY"]
    assert saved.totals["SPY"].to_dict() == expected.to_dict()
    assert saved.total_state("SPY") is saved.total_state(None) is saved.totals["SPY"]
    assert saved.total_state("TSLA") is typical_state()
    assert saved.path is not None
    forecaster = VolatilityForecaster(saved.path)
    month = bars[bars.index > bars.index[-1] - pd.Timedelta(days=40)]
    assert forecaster.forecast(month, horizon="5 sessions", kind="total").volatility > 0
    assert forecaster.forecast(bars, horizon="5 sessions", kind="total").volatility > 0


def with_changes(directory: Path, content: Any) -> None:
    """Write totals as somebody would who knows how a model's hashes are made."""
    encoded = json.dumps(content).encode()
    (directory / "totals.json").write_bytes(encoded)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["totals.json"] = {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    encoded = json.dumps(manifest).encode()
    (directory / "manifest.json").write_bytes(encoded)
    (directory / "manifest.sha256").write_text(f"{hashlib.sha256(encoded).hexdigest()}  manifest.json\n")


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("past", "count"), -1.0, r"SPY\.past\.count = -1\.0"),
        (("past", "last_close"), 4_000_000_000_000_000, "has seen sessions of SPY after"),
        (("horizons", "1 session", "ratio_sum"), 0.0, "ratio_sum = 0.0"),
        (("horizons", "1 session", "regression", "moment"), [1.0], "of one width"),
        (("horizons", "5 sessions", "tracker", "rate"), 2.0, "rate = 2.0"),
        (("horizons", "22 sessions"), None, "22 sessions"),
    ],
)
def test_numbers_that_are_no_models_are_named(
    saved: ModelBundle, place: tuple[str, ...], value: Any, sentence: str
) -> None:
    assert saved.path is not None
    content = json.loads((saved.path / "totals.json").read_text())
    changed = copy.deepcopy(content)
    inner = changed["SPY"]
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with_changes(saved.path, changed)
    with pytest.raises(CorruptModelError, match=sentence):
        ModelStore(saved.path.parent).load(saved.name)


def test_a_horizon_that_is_missing_is_said(saved: ModelBundle) -> None:
    assert saved.path is not None
    content = json.loads((saved.path / "totals.json").read_text())
    del content["SPY"]["horizons"]["10 sessions"]
    with_changes(saved.path, content)
    with pytest.raises(CorruptModelError, match="the horizons 1 session, 5 sessions, 10 sessions, 22 sessions"):
        ModelStore(saved.path.parent).load(saved.name)
