"""MLflow with names of every kind, and logged models with bars and questions of every kind."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import ROOT
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import (
    MOMENTS,
    SCALARS,
    TEXT,
    bars_frames,
    damaged_frames,
    examples,
    mostly,
    strange_frames,
)
from tests.support.tracking import runs_in
from tests.support.trainings import training_result
from volcast import VolatilityForecaster
from volcast.adapters.mlflow import LoggedForecaster, log_model, log_training
from volcast.store.store import ModelStore

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")

SAMPLES = ModelStore(ROOT / "tests" / "data")
MODELS = ("schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
BARS = mostly(bars_frames(months=True), damaged_frames(months=True) | strange_frames() | SCALARS)
NAMES = mostly(st.sampled_from(["model", "spy", "SPY hourly"]), TEXT | SCALARS)
HORIZONS = mostly(st.sampled_from(["1", "7", 1, "session_end", "1 session"]), TEXT | SCALARS)
KINDS = mostly(st.sampled_from(["hourly", "total"]), TEXT | SCALARS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a store of runs of this test alone."""
    with tempfile.TemporaryDirectory() as path, runs_in(Path(path) / "runs"):
        yield Path(path)


@examples(15)
@given(name=NAMES, registered=mostly(st.none(), NAMES), saved=mostly(st.just(True), st.just(False)))
def test_a_model_is_logged_under_whatever_it_is_called(folder: Path, name: Any, registered: Any, saved: bool) -> None:
    bundle = SAMPLES.load("schema-2")
    bundle = bundle if saved else replace(bundle, path=None)
    info = outcome("log_model", lambda: log_model(bundle, name, registered_model_name=registered), folder)
    if not isinstance(info, Refusal):
        loaded = mlflow.pyfunc.load_model(info.model_uri).get_raw_model()
        assert loaded.model_info()["version"] == "schema-2"
    assert saved or isinstance(info, Refusal)


@examples(10)
@given(
    symbol=st.sampled_from(["SPY", "BTC/USD", "^VIX", "ES=F", "A$B"]),
    figures=st.dictionaries(TEXT, st.floats(), max_size=3),
    losses=st.lists(st.floats(), max_size=3),
    registered=mostly(st.none(), NAMES),
)
def test_a_training_is_logged_whatever_its_figures(
    folder: Path, symbol: str, figures: dict[str, float], losses: list[float], registered: Any
) -> None:
    result = training_result(symbol, {"qlike": 0.1, **figures}, [losses] if losses else [])
    info = outcome("log_training", lambda: log_training(result, registered_model_name=registered), folder)
    if not isinstance(info, Refusal):
        run = mlflow.get_run(info.run_id)
        assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == [symbol]
        assert run.data.metrics["diurnal_log_har/qlike"] == 0.1
    assert mlflow.active_run() is None


@examples(60)
@given(
    st.sampled_from(MODELS),
    BARS,
    mostly(st.none(), MOMENTS.map(str) | SCALARS),
    HORIZONS,
    KINDS,
)
def test_a_logged_model_is_asked_whatever_it_is(name: str, bars: Any, asof: Any, horizon: Any, kind: Any) -> None:
    logged = LoggedForecaster(VolatilityForecaster(SAMPLES.path / name))
    params = {"asof": asof, "horizon": horizon, "kind": kind, "allow_in_sample": True}
    table = outcome("LoggedForecaster.predict", lambda: logged.predict(bars, params))
    assert isinstance(table, Refusal) or ((table["volatility"] > 0) & (table["volatility"] < 10)).all()
