"""MLflow, by a local file store: what a training leaves there, and models that forecast the same from there."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from tests.support.counted import CountingNetwork, counted_recipe
from tests.support.tracking import runs_in
from volcast import VolatilityForecaster
from volcast.adapters.mlflow import LoggedForecaster, log_model, log_training
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, CorruptModelError, LookAheadError, MissingPackageError, StoreError
from volcast.measures.hourly import get_hourly_measures
from volcast.store.bundle import ModelBundle
from volcast.store.store import ModelStore
from volcast.training.trainer import LocalLSTMTrainer

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")

SAMPLES = ModelStore(ROOT / "tests" / "data")
MODELS = ("schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
BARS = make_bars("2024-10-07", "2024-11-29", minutes=5)
MANY = pd.concat({"SPY": BARS, "QQQ": make_bars("2024-10-07", "2024-11-29", minutes=5, seed=5)})
IN_SAMPLE = {"allow_in_sample": True}


@pytest.fixture(autouse=True)
def runs(tmp_path: Path) -> Iterator[Any]:
    """A client of a store of this test alone."""
    with runs_in(tmp_path / "runs") as client:
        yield client


def of_store(name: str) -> VolatilityForecaster:
    return VolatilityForecaster(name, {"model_save_path": str(SAMPLES.path)})


def bundle_with_nights(measures: pd.DataFrame, symbol: str) -> ModelBundle:
    """Of a model that was trained on these measures, whose nights are those of another symbol."""
    recipe = counted_recipe(measures)
    config = TrainingConfig.from_mapping({"symbol": "QQQ", "overnight_symbol": symbol})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ModelBundle("with nights", (CountingNetwork(),), recipe, config, seen)


@pytest.mark.parametrize("name", MODELS)
def test_a_logged_model_forecasts_what_the_stores_does(name: str) -> None:
    info = log_model(SAMPLES.load(name))
    loaded, forecaster = mlflow.pyfunc.load_model(info.model_uri), of_store(name)
    table = loaded.predict(BARS, IN_SAMPLE)
    expected = forecaster.forecast(BARS, allow_in_sample=True)
    pd.testing.assert_frame_equal(
        table.drop(columns="symbol"), pd.DataFrame([vars(expected)]), check_exact=True, check_dtype=False
    )
    pd.testing.assert_frame_equal(
        loaded.get_raw_model().forecast_series(BARS, allow_in_sample=True),
        forecaster.forecast_series(BARS, allow_in_sample=True),
        check_exact=True,
    )
    panel = loaded.predict(MANY, {"asof": "2024-11-26 11:00", **IN_SAMPLE})
    expected_panel = forecaster.forecast_panel(MANY, "2024-11-26 11:00", allow_in_sample=True)
    pd.testing.assert_frame_equal(panel, expected_panel.reset_index(), check_exact=True)


def test_what_a_caller_knows_of_bars_reaches_the_model() -> None:
    """Whose bars they are decides what a model of many forecasts; volumes may be whole numbers."""
    name = "schema-2-pooled-har-lstm"
    bars = BARS.astype({"volume": int})
    bars.attrs["symbol"] = "BBB"
    loaded = mlflow.pyfunc.load_model(log_model(SAMPLES.load(name)).model_uri)
    table = loaded.predict(bars, IN_SAMPLE)
    assert table["symbol"].tolist() == ["BBB"]
    named = of_store(name).forecast(bars, allow_in_sample=True)
    assert table["volatility"].tolist() == [named.volatility]
    assert named.volatility != of_store(name).forecast(BARS, allow_in_sample=True).volatility


def test_bars_as_json_are_answered() -> None:
    """As `mlflow models serve` reads and writes them."""
    loaded = mlflow.pyfunc.load_model(log_model(SAMPLES.load("schema-2")).model_uri)
    columns = BARS.reset_index().assign(symbol="SPY")
    columns["timestamp"] = [stamp.isoformat() for stamp in columns["timestamp"]]
    table = loaded.predict(columns, {"horizon": "7", **IN_SAMPLE})
    expected = of_store("schema-2").forecast(BARS, horizon=7, allow_in_sample=True)
    assert table["volatility"].tolist() == [expected.volatility]
    assert table["symbol"].tolist() == ["SPY"]


def test_bars_that_tell_of_nights_stand_among_the_others_under_their_symbol() -> None:
    whole_days = simulate_bars("QQQ", "2024-06-03", "2024-12-13", minutes=5, nights=True)
    regular = whole_days.tz_convert("America/New_York").between_time("09:30", "15:59").tz_convert("UTC")
    future = whole_days * 40
    future.attrs = {"symbol": "NQ"}
    forecaster = VolatilityForecaster("ewma")
    forecaster.swap(bundle_with_nights(get_hourly_measures(regular, nights=True, overnight_bars=future), "NQ"))
    logged = LoggedForecaster(forecaster)
    asked = {"asof": "2024-12-13 08:00", **IN_SAMPLE}
    expected = forecaster.forecast(regular, "2024-12-13 08:00", allow_in_sample=True, overnight_bars=future)
    other = regular * np.exp(0.01 * np.sin(np.arange(len(regular))))[:, None]

    for name in ("NQ", "nq"):
        together = pd.concat({"QQQ": regular, name: future, "OTHER": other}, names=["symbol", "timestamp"])
        table = logged.predict(together, asked)
        assert table["symbol"].tolist() == ["QQQ", "OTHER"]
        assert table["volatility"].tolist()[0] == expected.volatility
    as_json = together.drop("OTHER").reset_index()
    as_json["timestamp"] = [stamp.isoformat() for stamp in as_json["timestamp"]]
    assert logged.predict(as_json, asked)["upper"].tolist() == [expected.upper]

    with pytest.raises(BarsError, match="QQQ, OTHER, and the model was trained with the nights of NQ"):
        logged.predict(together.drop("nq"), asked)
    with pytest.raises(BarsError, match="one symbol without a name"):
        logged.predict(regular, asked)
    with pytest.raises(BarsError, match="of NQ alone"):
        logged.predict(together.loc[["nq"]], asked)


def test_a_model_still_refuses_what_it_has_seen() -> None:
    loaded = mlflow.pyfunc.load_model(log_model(SAMPLES.load("schema-2-har-lstm")).model_uri)
    with pytest.raises(LookAheadError):
        loaded.predict(BARS, {"asof": "2024-11-08 11:00"})


def test_an_environment_is_pinned_and_versions_are_counted(runs: Any) -> None:
    first = log_model(SAMPLES.load("schema-2"), registered_model_name="spy")
    second = log_model(SAMPLES.load("schema-2-har-lstm"), "other", registered_model_name="spy")
    assert [version.version for version in runs.search_model_versions("name = 'spy'")] == [2, 1]
    requirements = mlflow.pyfunc.get_model_dependencies(first.model_uri)
    text = Path(requirements).read_text()
    assert all(f"{package}==" in text for package in ("local-volatility-training", "numpy", "pandas", "onnxruntime"))
    assert second.metadata == {"model": "schema-2-har-lstm", "trained_through": "2024-11-11 13:00:00-05:00"}
    named = mlflow.pyfunc.load_model("models:/spy/2").get_raw_model()
    assert named.model_info()["version"] == "schema-2-har-lstm"


def test_a_model_that_was_tampered_with_does_not_load(tmp_path: Path) -> None:
    info = log_model(SAMPLES.load("schema-2"))
    recipe = next((tmp_path / "runs").rglob("recipe.json"))
    recipe.write_bytes(recipe.read_bytes() + b" ")
    with pytest.raises(CorruptModelError, match=r"recipe\.json"):
        mlflow.pyfunc.load_model(info.model_uri)


def test_what_cannot_be_logged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = SAMPLES.load("schema-2")
    with pytest.raises(ConfigError, match="not saved"):
        log_model(replace(bundle, path=None))
    with pytest.raises(StoreError, match="MLflow does not take it"):
        log_model(bundle, registered_model_name="")
    with pytest.raises(ConfigError, match="a name is text"):
        log_model(bundle, registered_model_name=False)  # type: ignore[arg-type]
    saved = ModelStore(tmp_path).save(bundle)
    assert saved.path is not None
    (saved.path / "recipe.json").write_text("{}")
    with pytest.raises(CorruptModelError, match=r"recipe\.json"):
        log_model(saved)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingPackageError, match=r"'local-volatility-training\[mlflow\]'"):
        log_model(bundle)


@pytest.mark.train
@pytest.mark.parametrize("network", ["har_lstm", "roadmap"])
def test_a_training_is_a_run(network: str, runs: Any, tmp_path: Path) -> None:
    settings = {"network": network, "networks": 2, "memory": 20, "max_trials": 2, "epochs": 2, "accept_verdict": True}
    trainer = LocalLSTMTrainer(
        {**settings, "symbol": "ES=F", "market": "XNYS", "model_save_path": str(tmp_path / "models")}
    )
    result = trainer.run_training_pipeline(bars=make_bars("2024-06-03", "2024-12-31", minutes=5))
    with mlflow.start_run() as parent:
        info = log_training(result, registered_model_name="es")
    run = runs.get_run(info.run_id)
    assert run.info.run_name == result.bundle.name
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.tags["volcast.judgment"] == result.evaluation.judgment
    assert run.data.tags["mlflow.note.content"] == result.evaluation.verdict
    assert run.data.params["network"] == network
    assert run.data.params.keys() >= result.bundle.config.as_dict().keys()
    model = result.evaluation.metrics["model"]
    assert run.data.metrics["test/qlike"] == model["qlike"]
    assert run.data.metrics["diurnal_log_har/qlike"] == result.evaluation.metrics["diurnal_log_har"]["qlike"]
    losses = [point.value for point in runs.get_metric_history(info.run_id, "network_0/val_loss")]
    assert losses == result.histories[0]["val_loss"]
    (entry,) = run.inputs.dataset_inputs
    digest = result.data.provenance["ES=F"]["sha256"]
    assert (entry.dataset.name, entry.dataset.digest) == ("ES=F", digest[:36])
    assert digest in entry.dataset.source
    artifacts = {file.path for file in runs.list_artifacts(info.run_id)}
    assert {"evaluation.html", "forecasts.png", "losses.png"} <= artifacts
    assert ("trials.csv" in artifacts) == ("best/lr" in run.data.params) == (network == "roadmap")
    later = make_bars("2024-11-04", "2025-01-31", minutes=5, seed=3)
    expected = VolatilityForecaster(result.bundle.path).forecast(later)
    table = mlflow.pyfunc.load_model(info.model_uri).predict(later)
    assert table["volatility"].tolist() == [expected.volatility]
    assert table["lower"].tolist() == [expected.lower]


@pytest.mark.train
def test_a_model_of_many_symbols_has_their_figures(runs: Any, tmp_path: Path) -> None:
    bars = pd.concat(
        {name: make_bars("2024-08-01", "2024-12-31", minutes=5, seed=seed) for seed, name in enumerate(("^A", "BB"))},
        names=["symbol", "timestamp"],
    )
    settings = {"symbols": ("^A", "BB"), "networks": 1, "epochs": 1, "model_save_path": str(tmp_path / "models")}
    result = LocalLSTMTrainer(settings).run_training_pipeline(bars=bars)
    run = runs.get_run(log_training(result).run_id)
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics["symbols/_A"] == result.evaluation.ratios["^A"]
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"^A", "BB"}
