"""The trainer: the notebook's architecture and arithmetic, honest parts, the same result for the same seed."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.errors import BarsError, ConfigError, NotEnoughDataError, TrainingError
from volcast.files import file_name_of
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.measures.hourly import get_hourly_rv
from volcast.networks.keras_files import load_network
from volcast.progress import SilentProgress
from volcast.search import tuner as trial_tuner
from volcast.store.store import ModelStore
from volcast.training.artifacts import describe_data
from volcast.training.result import TrainingResult
from volcast.training.trainer import (
    LocalLSTMTrainer,
    SearchResult,
    build_lstm_model_fast,
    prepare_lstm_sequences,
    train_with_hyperparameter_tuning,
)

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.train

SMALL = {"network": "roadmap", "symbol": "SPY", "memory": 20, "max_trials": 2, "epochs": 2, "units_range": (16, 32)}


@pytest.fixture(scope="module")
def small_bars() -> pd.DataFrame:
    return make_bars("2024-08-01", "2024-12-31")


def searched(result: TrainingResult) -> SearchResult:
    assert result.search is not None
    return result.search


def trainer(path: Path, **settings: Any) -> LocalLSTMTrainer:
    return LocalLSTMTrainer({**SMALL, "model_save_path": str(path), **settings})


@pytest.mark.parametrize("network", ["roadmap", "har_lstm"])
def test_networks_are_of_the_cell_that_is_asked_for(network: str, small_bars: pd.DataFrame, tmp_path: Path) -> None:
    """Trained by the compiled engine, saved, and served from the files."""
    settings = {"network": network, "networks": 1, "max_trials": 1, "accept_quality": True, "accept_verdict": True}
    training = trainer(tmp_path, **settings, cell="gru", engine="fast")
    result = training.run_training_pipeline(bars=small_bars)
    assert {type(layer).__name__ for layer in training.models[0].layers} >= {"GRU", "Dense"}
    forecaster = VolatilityForecaster(result.bundle.path)
    assert ModelStore(tmp_path).load(result.bundle.name).config.cell == "gru"
    series = forecaster.forecast_series(small_bars)
    judged = result.evaluation.by_bucket
    np.testing.assert_allclose(series["volatility"].reindex(judged.index), judged["model"], rtol=1e-5)


class AskedInOrder:
    """Hyperparameters that remember the questions and answer each with its highest value."""

    def __init__(self) -> None:
        self.questions: list[tuple[Any, ...]] = []

    def Int(self, name: str, low: int, high: int, step: int = 1, **rest: Any) -> int:
        self.questions.append((name, low, high, step))
        return high

    def Float(self, name: str, low: float, high: float, step: float | None = None, **rest: Any) -> float:
        self.questions.append((name, low, high, step, rest.get("sampling")))
        return high


def test_hyperparameters_are_asked_in_the_notebooks_order() -> None:
    hp = AskedInOrder()
    build_lstm_model_fast(hp)
    assert hp.questions == [
        ("n_layers", 1, 2, 1),
        ("units_0", 16, 64, 16),
        ("dropout_0", 0.0, 0.3, 0.1, None),
        ("units_1", 16, 64, 16),
        ("dropout_1", 0.0, 0.3, 0.1, None),
        ("lr", 1e-3, 1e-2, None, "log"),
    ]


def described(model: "keras.Model") -> list[tuple[Any, ...]]:
    layers = []
    for layer in model.layers:
        config = layer.get_config()
        facts = {name: config[name] for name in ("units", "rate", "return_sequences", "activation") if name in config}
        layers.append((type(layer).__name__, facts, layer.count_params()))
    return layers


def test_a_search_of_one_architecture_gives_the_notebooks_network(colab_dir: Path, tmp_path: Path) -> None:
    import keras

    path = colab_dir / "volatility_lstm_model.h5"
    theirs = keras.models.load_model(path, compile=False)
    with h5py.File(path) as file:
        compiled = json.loads(file.attrs["training_config"])
    learning_rate = compiled["optimizer_config"]["config"]["learning_rate"]
    fixed = {
        "preset": "colab",
        "memory": 60,
        "max_trials": 1,
        "epochs": 1,
        "n_layers_range": (1, 1),
        "units_range": (48, 48),
        "dropout_range": (0.0, 0.0),
        "learning_rate_range": (learning_rate, learning_rate),
    }
    ours = trainer(tmp_path, **fixed)
    data = ours.prepare_data(bars=make_bars("2024-11-01", "2024-12-06", extended=True))
    found = train_with_hyperparameter_tuning(data.X_train, data.y_train, data.X_val, data.y_val, ours.config)
    assert described(found.best_model) == described(theirs)
    assert found.best_model.count_params() == theirs.count_params() == 9649
    assert found.best_model.input_shape == theirs.input_shape == (None, 60, 1)
    assert found.best_model.optimizer.get_config()["name"] == compiled["optimizer_config"]["config"]["name"] == "adam"
    assert float(found.best_model.optimizer.learning_rate.numpy()) == pytest.approx(learning_rate, rel=1e-6)
    assert found.best_model.loss == compiled["loss"] == "mean_squared_error"


def test_what_is_trained_on_is_said_by_the_length_of_the_buckets(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    for bucket, said in (("1h", "hourly values;"), ("30min", "30-minute values;")):
        ours = trainer(tmp_path, bucket=bucket)
        assert said in describe_data(ours.prepare_data(bars=small_bars), ours.config)


@pytest.mark.parametrize("layout", ["one symbol", "symbol and timestamp"])
def test_colab_data_are_the_notebooks(layout: str, tmp_path: Path) -> None:
    bars = make_bars("2024-10-28", "2024-12-06", extended=True)
    # The notebook's steps, as NOTEBOOK.md lists them.
    closes = bars["close"].tz_convert("America/New_York").sort_index()
    rv = (closes.pct_change().dropna() ** 2).resample("1h", label="right", closed="right").sum() ** 0.5
    series = rv[rv.index <= rv.index[-1] - pd.Timedelta(days=7)]
    target = series.shift(-1).dropna()
    scaler = MinMaxScaler((0, 1)).fit(target.to_numpy().reshape(-1, 1))
    scaled = scaler.transform(target.to_numpy().reshape(-1, 1)).ravel()
    X = np.array([scaled[i : i + 60] for i in range(len(scaled) - 60)])[..., None]
    y = np.array([scaled[i + 60] for i in range(len(scaled) - 60)])
    first_validation = math.floor(len(X) * (1 - 0.2))

    if layout == "symbol and timestamp":
        bars = pd.concat({"SPY": bars}, names=["symbol", "timestamp"])
    data = trainer(tmp_path, preset="colab", memory=60).prepare_data("SPY", bars=bars)
    np.testing.assert_allclose(data.X_train, X[:first_validation], rtol=0, atol=1e-7)
    np.testing.assert_allclose(data.y_train, y[:first_validation], rtol=0, atol=1e-7)
    np.testing.assert_allclose(data.X_val, X[first_validation:], rtol=0, atol=1e-7)
    np.testing.assert_allclose(data.y_val, y[first_validation:], rtol=0, atol=1e-7)
    numbers = data.scaler.to_dict()
    assert numbers["data_min"] == pytest.approx(scaler.data_min_[0], abs=1e-7)
    assert numbers["data_max"] == pytest.approx(scaler.data_max_[0], abs=1e-7)
    assert numbers["n_samples_seen"] == scaler.n_samples_seen_ == len(target)
    # The test part: the 60 hours before each of the last seven days' hours.
    assert len(data.X_test) == 7 * 24
    before = scaler.transform(rv.to_numpy()[len(series) - 60 : len(series)].reshape(-1, 1)).ravel()
    np.testing.assert_allclose(data.X_test[0, :, 0], before, rtol=0, atol=1e-7)


def test_the_best_network_of_a_colab_search_is_taken_as_it_is(tmp_path: Path) -> None:
    result = trainer(tmp_path, preset="colab", max_trials=1).run_training_pipeline(
        bars=make_bars("2024-11-01", "2024-12-06", extended=True)
    )
    best = searched(result).best_model.get_weights()
    network_path, _ = ModelStore(tmp_path).export_colab(result.bundle.name, tmp_path / "pair")
    kept = load_network(network_path).get_weights()
    assert all((a == b).all() for a, b in zip(kept, best, strict=True))


def test_parts_are_in_time_order_and_scaled_by_the_training_part_alone(
    small_bars: pd.DataFrame, tmp_path: Path
) -> None:
    data = trainer(tmp_path).prepare_data(bars=small_bars)
    rv = get_hourly_rv(small_bars)
    split = data.splits["SPY"]
    train, validation, test = split.train, split.validation, split.test
    assert (validation.start - train.stop, test.start - validation.stop) == (1, 1)
    assert len(data.X_train) == train.stop - 20
    assert len(data.X_val) == validation.stop - validation.start
    assert len(data.X_test) == int(len(rv) * 0.15)
    assert data.trained_through == rv.index[validation.stop - 1]
    assert data.X_test[0, -1, 0] == np.float32(data.scaler.scale(rv)[test.start - 1])

    noise = small_bars.copy()
    later = noise.index >= rv.index[train.stop - 1]
    noise.loc[later] *= np.exp(0.1 * np.random.default_rng(0).standard_normal((int(later.sum()), 1)))
    changed = trainer(tmp_path).prepare_data(bars=noise)
    assert changed.scaler == data.scaler
    assert (changed.X_train == data.X_train).all()
    assert not (changed.X_val == data.X_val).all()


def test_windows_are_views(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    data = trainer(tmp_path).prepare_data(bars=small_bars)
    for part in (data.X_train, data.X_val, data.X_test, data.y_train, data.y_val, data.y_test):
        assert np.shares_memory(part, data.windows["SPY"])


def test_each_step_can_be_used_alone(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    alone = trainer(tmp_path)
    with pytest.raises(TrainingError, match="prepare_data"):
        alone.evaluate_model()
    data = alone.prepare_data(bars=small_bars)
    with pytest.raises(TrainingError, match="build_model"):
        alone.train_model(data.X_train, data.y_train, data.X_val, data.y_val)
    model = alone.build_model({"n_layers": 1, "units_0": 16, "dropout_0": 0.1, "lr": 0.005})
    assert model.input_shape == (None, 20, 1)
    history = alone.train_model(data.X_train, data.y_train, data.X_val, data.y_val)
    assert set(history) == {"loss", "val_loss"}
    on_validation = alone.evaluate_model(data.X_val, data.y_val)
    assert on_validation.buckets == len(data.X_val)
    assert alone.evaluate_model(data.X_test, data.y_test).to_dict() == alone.evaluate_model().to_dict()
    with pytest.raises(ConfigError, match="no part of the prepared data"):
        alone.evaluate_model(data.X_val, data.y_val + 1)
    assert alone.save_model("by-hand").path == tmp_path / "by-hand"


def test_a_model_directory_explains_itself(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    marked = small_bars.copy()
    marked.attrs = {"symbol": "SPY", "source": "simulator", "simulated": True, "detail": "seed 1"}
    result = trainer(tmp_path).run_training_pipeline(bars=marked)
    assert result.bundle.path is not None
    names = {path.name for path in result.bundle.path.iterdir()}
    assert names == {
        "network_0.keras", "network_0.onnx", "recipe.json", "config.json", "history.json", "metrics.json", "trials.csv",
        "forecasts.png", "losses.png", "evaluation.html", "totals.json", "manifest.json", "manifest.sha256",
    }  # fmt: skip
    manifest = json.loads((result.bundle.path / "manifest.json").read_text())
    assert manifest["simulated"] is True
    assert result.bundle.name.startswith("SIMULATED-SPY-")
    assert manifest["symbol"] == "SPY"
    assert manifest["symbols"]["SPY"]["bars"] == len(small_bars)
    assert manifest["seed"] == 42
    assert pd.Timestamp(manifest["trained_through"]) < pd.Timestamp(manifest["evaluation"]["first"])
    assert set(manifest["files"]) == names - {"manifest.json", "manifest.sha256"}
    # Some releases of filelock take their file away when they let go.
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {result.bundle.name, "serving.json"}
    assert list(pd.read_csv(result.bundle.path / "trials.csv")["trial"]) == [1, 2]
    assert {"model", *BASELINES} == set(result.evaluation.metrics)


def test_one_seed_gives_one_result_and_another_another(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    results = [
        trainer(tmp_path / str(i), seed=seed).run_training_pipeline(bars=small_bars) for i, seed in enumerate((1, 1, 2))
    ]
    first, again, other = results
    pd.testing.assert_frame_equal(searched(first).trials, searched(again).trials)
    assert first.evaluation.to_dict() == again.evaluation.to_dict()
    assert not searched(first).trials.equals(searched(other).trials)
    assert first.evaluation.to_dict() != other.evaluation.to_dict()


class InterruptedIn(SilentProgress):
    """Ctrl-C in the middle of a trial."""

    def __init__(self, trial: int) -> None:
        self.trial, self.running = trial, 0
        self.began: list[int] = []

    def trial_began(self, number: int) -> None:
        self.running = number
        self.began.append(number)

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        if self.running == self.trial:
            raise KeyboardInterrupt


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_search_goes_on_as_if_unbroken(
    small_bars: pd.DataFrame, tmp_path: Path, tuner: str, torn: bool
) -> None:
    settings = {"max_trials": 3, "epochs": 1, "tuner": tuner}
    whole = trainer(tmp_path / "whole", **settings).run_training_pipeline(bars=small_bars)
    broken = trainer(tmp_path / "broken", **settings)
    broken.progress = InterruptedIn(trial=2)
    with pytest.raises(KeyboardInterrupt):
        broken.run_training_pipeline(bars=small_bars)
    assert ModelStore(tmp_path / "broken").list() == []
    if torn:  # what a kill in the middle of a write leaves
        (oracle,) = (tmp_path / "broken").glob(".searches/*/oracle.json")
        oracle.write_text(oracle.read_text()[:100])
    resumed = trainer(tmp_path / "broken", **settings)
    resumed.progress = InterruptedIn(trial=-1)
    result = resumed.run_training_pipeline(bars=small_bars)
    assert searched(result).resumed_trials == 1
    assert resumed.progress.began == [2, 3]
    pd.testing.assert_frame_equal(searched(result).trials, searched(whole).trials)
    assert result.evaluation.to_dict() == whole.evaluation.to_dict()
    assert not (tmp_path / "broken" / ".searches").exists()


def test_a_search_of_other_settings_or_data_does_not_resume(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    broken = trainer(tmp_path, max_trials=2)
    broken.progress = InterruptedIn(trial=2)
    with pytest.raises(KeyboardInterrupt):
        broken.run_training_pipeline(bars=small_bars)
    other_space = trainer(tmp_path, max_trials=2, units_range=(16, 16), epochs=1)
    assert searched(other_space.run_training_pipeline(bars=small_bars)).resumed_trials == 0
    other_data = trainer(tmp_path, max_trials=2)
    assert searched(other_data.run_training_pipeline(bars=small_bars.iloc[390:])).resumed_trials == 0
    fresh = trainer(tmp_path, max_trials=2, resume=False)
    assert searched(fresh.run_training_pipeline(bars=small_bars)).resumed_trials == 0


def test_hyperband_searches_too(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    result = trainer(tmp_path, tuner="hyperband", epochs=3).run_training_pipeline(bars=small_bars)
    assert len(searched(result).trials) > 2
    assert np.isfinite(searched(result).best_val_loss)


def test_a_search_stops_after_its_minutes(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    result = trainer(tmp_path, max_trials=20, epochs=1, max_search_minutes=1e-6).run_training_pipeline(bars=small_bars)
    assert len(searched(result).trials) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("the network caught fire"), r"\(ValueError: the network caught fire\)"),
        (TrainingError("the loss grew"), r"\(the loss grew\)"),
    ],
)
def test_a_search_in_which_every_trial_fails_says_why(
    small_bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*args: Any, **rest: Any) -> None:
        raise error

    monkeypatch.setattr(trial_tuner, "fit_network", fail)
    with pytest.raises(TrainingError, match=reason):
        trainer(tmp_path).run_training_pipeline(bars=small_bars)
    assert ModelStore(tmp_path).list() == []


def test_without_validation_windows_the_last_part_is_taken(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    X, y, _ = prepare_lstm_sequences(get_hourly_rv(small_bars), 20)
    settings = {**SMALL, "model_save_path": str(tmp_path), "max_trials": 1, "epochs": 1}
    found = train_with_hyperparameter_tuning(X, y, config=settings)
    first = math.floor(len(X) * (1 - 0.2))
    split = train_with_hyperparameter_tuning(X[:first], y[:first], X[first:], y[first:], settings)
    assert found.best_val_loss == split.best_val_loss


def test_arrays_that_do_not_fit_are_refused(small_bars: pd.DataFrame) -> None:
    X, y, _ = prepare_lstm_sequences(get_hourly_rv(small_bars), 20)
    with pytest.raises(ConfigError, match="X_train has shape"):
        train_with_hyperparameter_tuning(X, y[:-1])
    with pytest.raises(ConfigError, match="only one of X_val and y_val"):
        train_with_hyperparameter_tuning(X, y, X)


def test_memory_longer_than_the_data_is_refused(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match="looks back 2000 of them"):
        trainer(tmp_path, memory=2000).prepare_data(bars=small_bars)


@pytest.mark.parametrize(
    ("start", "end"), [("2024-09-03", "2024-11-29"), (None, "2024-11-29"), ("2024-09-03", None), (None, "2024-12-31")]
)
def test_a_span_cuts_bars_that_are_handed_over(
    small_bars: pd.DataFrame, tmp_path: Path, start: str | None, end: str | None
) -> None:
    first, last = (pd.Timestamp(day or other) for day, other in ((start, "2024-08-01"), (end, "2024-12-31")))
    days = time_index(small_bars).tz_convert("America/New_York").tz_localize(None).normalize()
    inside = small_bars[(days >= first) & (days <= last)]
    expected = trainer(tmp_path).prepare_data(bars=inside)
    cut = trainer(tmp_path).prepare_data("SPY", start, end, bars=small_bars)
    pd.testing.assert_frame_equal(cut.measures["SPY"], expected.measures["SPY"])
    assert cut.provenance["SPY"]["sha256"] == expected.provenance["SPY"]["sha256"]
    stacked = pd.concat({"SPY": small_bars, "QQQ": small_bars * 2}, names=["symbol", "timestamp"])
    many = LocalLSTMTrainer({"symbols": ["SPY", "QQQ"], "model_save_path": str(tmp_path)})
    for measures in many.prepare_data(None, start, end, bars=stacked).measures.values():
        np.testing.assert_array_equal(measures.index, expected.measures["SPY"].index)


@pytest.mark.parametrize(("start", "end"), [("2025-01-06", None), (None, "2024-07-31"), ("2023-01-01", "2023-12-31")])
def test_a_span_without_a_bar_is_refused_with_both(
    small_bars: pd.DataFrame, tmp_path: Path, start: str | None, end: str | None
) -> None:
    span = f"{start or 'their start'} to {end or 'their end'}"
    with pytest.raises(NotEnoughDataError, match=f"from 2024-08-01 to 2024-12-31 and none from {span}"):
        trainer(tmp_path).prepare_data("SPY", start, end, bars=small_bars)


def test_a_span_that_is_none_is_refused(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    for start, end, said in (("2024-11-29", "2024-09-03", "before start_date"), ("yesterday", None, "must be a date")):
        with pytest.raises(ConfigError, match=said):
            trainer(tmp_path).prepare_data("SPY", start, end, bars=small_bars)


def test_the_configured_span_says_what_to_fetch_and_cuts_nothing_else(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    later = small_bars.copy()
    later.index += pd.Timedelta(weeks=104)
    data = trainer(tmp_path).prepare_data("SPY", bars=later)
    assert data.provenance["SPY"]["bars"] == len(small_bars)
    assert trainer(tmp_path).prepare_data("SPY", "2026-09-01", bars=later).measures["SPY"].index[0].year == 2026


def searched_with(bars: pd.DataFrame, place: Path, **settings: Any) -> float:
    ours = trainer(place, **settings)
    data = ours.prepare_data(bars=bars)
    return train_with_hyperparameter_tuning(
        data.X_train, data.y_train, data.X_val, data.y_val, ours.config
    ).best_val_loss


@pytest.mark.slow
def test_validation_losses_over_seeds_are_those_of_plain_keras(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    """Dropout draws other masks than Keras does, so no seed gives the same loss; the distribution must be the same."""
    fixed = {"n_layers_range": (1, 1), "units_range": (16, 16), "dropout_range": (0.2, 0.2), "max_trials": 1}
    losses = {}
    for engine in ("keras", "fast"):
        losses[engine] = [
            searched_with(small_bars, tmp_path / f"{engine}{seed}", engine=engine, seed=seed, epochs=4, **fixed)
            for seed in range(1, 7)
        ]
    ours, theirs = np.array(losses["fast"]), np.array(losses["keras"])
    error = math.hypot(ours.std(ddof=1), theirs.std(ddof=1)) / math.sqrt(len(ours))
    assert ours.mean() <= theirs.mean() + 2 * error
    assert 0.3 < ours.std() / theirs.std() < 3


def test_a_symbol_with_any_sign_is_trained_saved_and_drawn(small_bars: pd.DataFrame, tmp_path: Path) -> None:
    # To matplotlib's mathematics "$^$" is an error; the file's own name of a symbol may hold it.
    bars = small_bars.copy()
    bars.attrs["symbol"] = "BTC/$^$"
    result = trainer(tmp_path, max_trials=1, epochs=1).run_training_pipeline(bars=bars)
    assert result.bundle.name.startswith(f"{file_name_of('BTC/$^$')}-")
    assert result.bundle.manifest["symbol"] == "BTC/$^$"
    assert ModelStore(tmp_path).load(result.bundle.name).manifest["symbol"] == "BTC/$^$"


@pytest.mark.parametrize("symbol", ["A B", "\ud800", "A" * 200, "../A"])
def test_a_symbol_that_can_name_no_file_is_refused_before_any_work(
    small_bars: pd.DataFrame, symbol: str, tmp_path: Path
) -> None:
    bars = small_bars.copy()
    bars.attrs["symbol"] = symbol
    with pytest.raises(BarsError, match="must be a ticker"):
        trainer(tmp_path).prepare_data(bars=bars)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_a_horizon_of_which_too_little_is_known_is_left_out_and_refused(share: float, tmp_path: Path) -> None:
    settings = {"network": "har_lstm", "validation_split": share, "test_split": 0.1}
    data = trainer(tmp_path, **settings).prepare_data(bars=make_bars("2024-01-02", "2024-12-31", minutes=5))
    assert isinstance(data.recipe, HarLstm)
    assert set(data.recipe.horizons) == {1, "session_end", 7}
    with pytest.raises(ConfigError, match=r"horizon is 35; this model was trained for 1, 'session_end', 7, by"):
        data.recipe.of_horizon(35)


def test_bars_that_make_no_hour_are_refused(tmp_path: Path) -> None:
    for preset in ("session", "colab"):
        with pytest.raises(NotEnoughDataError):
            trainer(tmp_path, preset=preset, accept_quality=True).prepare_data(
                bars=make_bars("2024-12-02", "2024-12-02").iloc[:3]
            )
