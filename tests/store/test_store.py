"""Saved models come back whole or not at all; the Colab pair comes in and goes out."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, CorruptModelError, ModelNotFoundError, UnsafeModelError
from volcast.features.scaling import DiurnalLogScaler, RangeScaler
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import get_hourly_rv
from volcast.networks.architectures import build_lstm_from_values
from volcast.networks.keras_files import KerasNetwork, load_network
from volcast.store.serving_log import Event, HistoryEntry
from volcast.store.store import ModelBundle, ModelStore

pytestmark = pytest.mark.train

FILES = (
    "network_0.keras", "network_0.onnx", "recipe.json", "config.json", "metrics.json", "manifest.json",
    "manifest.sha256",
)  # fmt: skip


@pytest.fixture(scope="module")
def rv(bars: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(bars)


def bundle_named(name: str, rv: pd.Series, preset: str = "session") -> ModelBundle:
    config = TrainingConfig.from_mapping({"memory": 10, "preset": preset})
    network = build_lstm_from_values({"n_layers": 1, "units_0": 16, "dropout_0": 0.0, "lr": 0.005}, 10)
    scaler = (RangeScaler() if preset == "colab" else DiurnalLogScaler()).fit(rv)
    manifest = {"symbol": "SPY", "trained_through": "2024-12-01T16:00:00-05:00"}
    return ModelBundle(name, (KerasNetwork(network),), ScaledWindows(scaler, 10), config, manifest)


def scaler_of(bundle: ModelBundle) -> RangeScaler:
    assert isinstance(bundle.recipe, ScaledWindows)
    assert isinstance(bundle.recipe.scaler, RangeScaler)
    return bundle.recipe.scaler


def forecasts(bundle: ModelBundle, rv: pd.Series) -> np.ndarray:
    positions = np.arange(100, 200)
    return bundle.forecast(rv.to_frame(), time_index(rv)[positions], positions).volatility


def test_a_saved_model_comes_back_with_the_same_forecasts(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path / "models")
    saved = store.save(bundle_named("one", rv), {"metrics.json": b"{}"})
    loaded = store.load("one")
    assert (forecasts(loaded, rv) == forecasts(saved, rv)).all()
    assert loaded.config == saved.config
    assert loaded.trained_through == pd.Timestamp("2024-12-01 16:00", tz="America/New_York")
    assert store.load(tmp_path / "models" / "one").name == "one"


def test_the_manifest_names_every_file(tmp_path: Path, rv: pd.Series) -> None:
    saved = ModelStore(tmp_path).save(bundle_named("one", rv), {"metrics.json": b"{}"})
    assert saved.path is not None
    manifest = json.loads((saved.path / "manifest.json").read_text())
    assert set(manifest["files"]) == {"network_0.keras", "network_0.onnx", "recipe.json", "config.json", "metrics.json"}
    assert manifest["packages"]["keras"]
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["one"]


def test_a_model_of_hundreds_of_symbols_comes_back(tmp_path: Path, rv: pd.Series) -> None:
    bundle = bundle_named("many", rv)
    about = {"source": {"name": "file", "detail": "bars"}, "notes": ["Read as they are. " * 1_500]}
    symbols = {f"S{number:03d}": {"symbol": f"S{number:03d}", **about} for number in range(500)}
    saved = ModelStore(tmp_path).save(replace(bundle, manifest={**bundle.manifest, "symbols": symbols}))
    assert saved.path is not None
    assert (saved.path / "manifest.json").stat().st_size > 10 * 2**20
    assert ModelStore(tmp_path).load("many").manifest["symbols"] == symbols


def test_models_never_change(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("one", rv))
    with pytest.raises(ConfigError, match="one is already saved"):
        store.save(bundle_named("one", rv))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found_and_named(tmp_path: Path, rv: pd.Series, name: str) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("one", rv), {"metrics.json": b"{}"})
    file = tmp_path / "one" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptModelError, match=name):
        store.load("one")


def test_a_missing_and_an_additional_file_are_found(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("one", rv), {"metrics.json": b"{}"})
    (tmp_path / "one" / "extra.pkl").write_bytes(b"")
    with pytest.raises(CorruptModelError, match=r"extra\.pkl .* not in its manifest"):
        store.load("one")
    (tmp_path / "one" / "extra.pkl").unlink()
    (tmp_path / "one" / "metrics.json").unlink()
    with pytest.raises(CorruptModelError, match=r"metrics\.json .* is missing"):
        store.load("one")


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, rv: pd.Series) -> None:
    with pytest.raises(ConfigError, match="no-such-folder"):
        ModelStore(tmp_path).save(bundle_named("one", rv), {"no-such-folder/x": b""})
    # Some releases of filelock take their file away when they let go.
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}
    assert ModelStore(tmp_path).list() == []


def test_the_newest_serves_until_another_is_promoted(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    assert store.serving() is None
    for name in ("one", "two", "three"):
        store.save(bundle_named(name, rv))
    assert [manifest["name"] for manifest in store.list()] == ["three", "two", "one"]
    assert store.serving() == "three"
    store.promote("one", "known to be good")
    store.promote("two", "better")
    assert store.serving() == "two"
    assert store.rollback() == "one"
    assert store.serving() == "one"
    with pytest.raises(ModelNotFoundError, match="roll back"):
        store.rollback()


@pytest.mark.parametrize(("event", "asof"), [("promoted", "2025-06-02T09:30:00-04:00"), ("kept out", None)])
def test_what_a_backtest_or_a_gate_decided_does_not_make_a_model_serve(
    event: Event, asof: str | None, tmp_path: Path, rv: pd.Series
) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("free", rv))
    store.save(bundle_named("newer", rv))
    assert store.serving() == "newer"
    store.record(HistoryEntry.now("newer", event, "decided", asof))
    assert store.serving() == "free"


def test_an_unknown_model_is_refused_with_those_that_exist(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("one", rv))
    with pytest.raises(ModelNotFoundError, match=r"'two'.* holds one"):
        store.load("two")


def test_a_pair_that_was_exported_and_imported_forecasts_the_same(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path / "models")
    saved = store.save(bundle_named("one", rv, "colab"))
    network_path, scaler_path = store.export_colab("one", tmp_path / "pair")
    assert (network_path.name, scaler_path.name) == ("volatility_lstm_model.h5", "volatility_scaler.pkl")
    imported = store.import_colab(network_path, name="again")
    np.testing.assert_allclose(forecasts(imported, rv), forecasts(saved, rv), rtol=0, atol=1e-7)
    assert imported.preset == "colab"
    assert imported.trained_through is None
    reloaded = store.load("again")
    assert (forecasts(reloaded, rv) == forecasts(imported, rv)).all()


def test_the_exported_scaler_is_scikit_learns(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    saved = store.save(bundle_named("one", rv, "colab"))
    _, scaler_path = store.export_colab("one", tmp_path / "pair")
    theirs = pickle.loads(scaler_path.read_bytes())
    values = rv.to_numpy().reshape(-1, 1)
    np.testing.assert_allclose(theirs.transform(values).ravel(), scaler_of(saved).scale(rv), rtol=0, atol=1e-15)
    assert theirs.n_samples_seen_ == len(rv)


def test_only_the_colab_preset_can_be_exported(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(tmp_path)
    store.save(bundle_named("one", rv))
    with pytest.raises(ConfigError, match="colab"):
        store.export_colab("one", tmp_path / "pair")


def test_the_notebooks_pair_is_imported(tmp_path: Path, colab_dir: Path) -> None:
    imported = ModelStore(tmp_path).import_colab(colab_dir / "volatility_lstm_model.h5")
    assert scaler_of(imported).n_samples_seen_ == 16599
    assert (imported.preset, imported.memory) == ("colab", 60)
    network = load_network(tmp_path / imported.name / "network_0.keras")
    assert [layer.__class__.__name__ for layer in network.layers] == ["LSTM", "Dropout", "Dense"]


class RunsACommand:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


def pair_with(tmp_path: Path, rv: pd.Series, pickled: bytes) -> Path:
    store = ModelStore(tmp_path / "models")
    store.save(bundle_named("one", rv, "colab"))
    network_path, scaler_path = store.export_colab("one", tmp_path / "pair")
    scaler_path.write_bytes(pickled)
    return network_path


def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path: Path, rv: pd.Series) -> None:
    witness = tmp_path / "it-ran"
    network_path = pair_with(tmp_path, rv, pickle.dumps(RunsACommand(witness)))
    with pytest.raises(UnsafeModelError, match="mkdir"):
        ModelStore(tmp_path / "models").import_colab(network_path)
    assert not witness.exists()


@pytest.mark.parametrize("pickled", [b"", b"no pickle", pickle.dumps({"a": 1}), pickle.dumps(np.zeros(3))])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, rv: pd.Series, pickled: bytes) -> None:
    network_path = pair_with(tmp_path, rv, pickled)
    with pytest.raises(CorruptModelError, match=r"volatility_scaler\.pkl"):
        ModelStore(tmp_path / "models").import_colab(network_path)


def test_a_pair_without_its_scaler_is_refused(tmp_path: Path, rv: pd.Series) -> None:
    network_path = pair_with(tmp_path, rv, b"")
    (network_path.parent / "volatility_scaler.pkl").unlink()
    with pytest.raises(ModelNotFoundError, match=r"0 \.pkl files"):
        ModelStore(tmp_path / "models").import_colab(network_path)


def test_a_network_with_a_lambda_is_refused(tmp_path: Path) -> None:
    import keras

    network = keras.Sequential([keras.Input((10, 1)), keras.layers.Lambda(lambda x: x[:, 0])])
    path = tmp_path / "lambda.keras"
    network.save(path)
    with pytest.raises(UnsafeModelError, match="Lambda"):
        load_network(path)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    for name in ("torn.keras", "torn.h5"):
        (tmp_path / name).write_bytes(b"PK torn")
        with pytest.raises(CorruptModelError, match=name):
            load_network(tmp_path / name)


def test_an_lstm_file_of_keras_2_is_read(tmp_path: Path, rv: pd.Series) -> None:
    import h5py

    store = ModelStore(tmp_path / "models")
    saved = store.save(bundle_named("one", rv, "colab"))
    network_path, _ = store.export_colab("one", tmp_path / "pair")
    with h5py.File(network_path, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        for layer in description["config"]["layers"]:
            if layer["class_name"] == "LSTM":
                layer["config"]["time_major"] = False
        file.attrs["model_config"] = json.dumps(description)
    imported = store.import_colab(network_path, name="from-keras-2")
    np.testing.assert_allclose(forecasts(imported, rv), forecasts(saved, rv), rtol=0, atol=1e-7)


@pytest.mark.parametrize("schema", [1, 2])
def test_directories_of_older_releases_go_on_loading(schema: int) -> None:
    """``tests/data`` keeps one directory as each release wrote it; the forecasts are those of its day."""
    rv = get_hourly_rv(make_bars("2024-11-01", "2024-11-29"))
    bundle = ModelStore(ROOT / "tests" / "data").load(f"schema-{schema}")
    assert bundle.manifest["schema_version"] == schema
    assert bundle.trained_through == pd.Timestamp("2024-11-08 16:00", tz="America/New_York")
    found = bundle.forecast(rv.to_frame(), time_index(rv)[100:103], np.arange(100, 103)).volatility
    np.testing.assert_allclose(found, [0.0018152201, 0.0017551717, 0.0018803086], rtol=1e-6)


def test_a_model_of_many_symbols_of_an_older_release_goes_on_as_it_did() -> None:
    """``tests/data`` keeps one as that release wrote it; asked with the market, without it, and of a stranger."""
    names = ("AAA", "BBB", "CCC")
    bars = {name: make_bars("2024-06-03", "2024-12-31", seed=seed, minutes=5) for seed, name in enumerate(names)}
    market = pd.concat(bars, names=["symbol", "timestamp"])
    path = ROOT / "tests" / "data" / "schema-2-pooled-har-lstm"
    assert ModelStore(path.parent).load(path.name).symbols == names
    for frame, symbol, expected in (
        (market, "BBB", [0.0006482384533311147, 0.0009547716897575052, 0.0007539469947194167]),
        (bars["BBB"], "BBB", [0.0007490544414955759, 0.0009194852600687017, 0.0008186589745218543]),
        (bars["AAA"], "NEW", [0.004866022610019969, 0.011616891038784435, 0.005307133849331003]),
    ):
        series = VolatilityForecaster(path).forecast_series(frame, symbol=symbol)
        np.testing.assert_allclose(series["volatility"].iloc[[0, 20, -1]], expected, rtol=1e-9)
    with pytest.raises(ConfigError, match="train it anew"):
        VolatilityForecaster(path).forecast(market, horizon=7, symbol="BBB")


def test_manifests_of_older_releases_say_what_is_said_by_symbol(tmp_path: Path, rv: pd.Series) -> None:
    store = ModelStore(ROOT / "tests" / "data")
    for name in ("schema-1", "schema-2", "schema-2-har-lstm"):
        bundle = store.load(name)
        assert bundle.symbols == (bundle.manifest["symbol"],)
        about = bundle.manifest["symbols"][bundle.manifest["symbol"]]
        assert about.get("sha256") == bundle.manifest.get("sha256")


def test_a_history_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "serving.json").symlink_to("serving.json")
    with pytest.raises(CorruptModelError, match=r"serving.json cannot be read .*promote a model anew"):
        ModelStore(tmp_path).history()
