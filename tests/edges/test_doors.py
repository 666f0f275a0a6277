"""The live doors with bars of every kind, and that no public door is left out of these tests."""

import importlib
import inspect
import json
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import volcast.cli
from tests.support.bars import ROOT, make_bars
from tests.support.counted import CountingNetwork, counted_recipe
from tests.support.outcomes import COUNTS, Refusal, outcome
from tests.support.strategies import (
    JSON,
    MOMENTS,
    SCALARS,
    SYMBOLS,
    TEXT,
    bars_frames,
    damaged_frames,
    examples,
    mostly,
    strange_frames,
)
from volcast import (
    LocalLSTMTrainer,
    VolatilityForecaster,
    build_lstm_model_fast,
    train_with_hyperparameter_tuning,
)
from volcast.backtest.joins import align_to, positions_for
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import TrainingError
from volcast.measures.hourly import get_hourly_measures
from volcast.retraining.background import RetrainingJob
from volcast.serving.stream import ForecastStream
from volcast.store.bundle import ModelBundle
from volcast.store.store import ModelStore

SAMPLES = ROOT / "tests" / "data"
MODELS = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
BARS = bars_frames(months=True) | damaged_frames(months=True) | strange_frames() | SCALARS
HISTORY = make_bars("2024-10-07", "2024-11-29", minutes=5)
HISTORY_OF_NIGHTS = simulate_bars("SPY", "2024-06-03", "2024-11-29", minutes=5, nights=True)
FURTHER = make_bars("2024-12-02", "2024-12-04", minutes=5)

DOORS = ("data_handler", "local_training", "training_config", "volatility_forecaster")
RETURNED = (ForecastStream, RetrainingJob, ModelStore)
NOT_TRIED = {
    "TrainingConfig.sentence_of", "TrainingConfig.names_of", "TrainingConfig.identity", "TrainingConfig.flags",
    "TrainingConfig.for_forecasting",  # What documents and names are made of; they take no input of a user's.
    "ForecastStream.follow", "ForecastStream.begins_like", "ForecastStream.grid", "ForecastStream.series",
    "ForecastStream.rows", "ForecastStream.of", "ForecastStream.forecasts",  # What the forecaster's doors stand on.
    "show_versions", "Forecast.to_dict",  # They take no input.
}  # fmt: skip


@pytest.fixture(scope="module")
def forecasters() -> dict[str, VolatilityForecaster]:
    """A forecaster of each kind, on models that were saved."""
    return {name: VolatilityForecaster(name, {"model_save_path": str(SAMPLES)}) for name in MODELS}


@examples(60)
@given(
    st.sampled_from(MODELS),
    BARS,
    mostly(st.none(), MOMENTS),
    mostly(st.none(), SYMBOLS | SCALARS),
    mostly(st.just(1), SCALARS),
)
def test_a_live_loop_with_whatever_it_is(
    forecasters: dict[str, VolatilityForecaster], name: str, bars: Any, asof: Any, symbol: Any, horizon: Any
) -> None:
    forecaster = forecasters[name]
    options = {"symbol": symbol, "allow_in_sample": True}
    one = outcome("VolatilityForecaster.forecast", lambda: forecaster.forecast(bars, asof, horizon, **options))
    number = outcome(
        "VolatilityForecaster.forecast_volatility",
        lambda: forecaster.forecast_volatility(bars, asof, allow_in_sample=True),
    )
    panel = outcome(
        "VolatilityForecaster.forecast_panel",
        lambda: forecaster.forecast_panel(bars, asof, horizon, allow_in_sample=True),
    )
    series = outcome(
        "VolatilityForecaster.forecast_series", lambda: forecaster.forecast_series(bars, horizon, **options)
    )
    stream = outcome("VolatilityForecaster.stream", lambda: forecaster.stream(bars, symbol))
    assert isinstance(one, Refusal) or 0 < one.volatility < 10
    assert isinstance(number, Refusal) or 0 < number < 1_000
    assert isinstance(panel, Refusal) or len(panel)
    assert isinstance(series, Refusal) or ((series["volatility"] > 0) & (series["volatility"] < 10)).all()
    if asof is None and not isinstance(stream, Refusal) and not isinstance(one, Refusal) and one.horizon == 1:
        assert repr(stream.forecast(allow_in_sample=True)) == repr(one)


@examples(25)
@given(st.sampled_from(MODELS), BARS | st.integers(1, 200).map(FURTHER.head))
def test_a_stream_is_handed_whatever_it_is(forecasters: dict[str, VolatilityForecaster], name: str, bars: Any) -> None:
    stream = forecasters[name].stream(HISTORY)
    before = repr(stream.forecast(allow_in_sample=True))
    updated = outcome("ForecastStream.update", lambda: stream.update(bars))
    after = outcome("ForecastStream.forecast", lambda: stream.forecast(allow_in_sample=True))
    # What is refused is not taken in, not even a part of it.
    assert not isinstance(updated, Refusal) or repr(after) == before


@pytest.fixture(scope="module")
def night_watcher() -> VolatilityForecaster:
    """A forecaster whose model looks at the nights of another symbol."""
    recipe = counted_recipe(get_hourly_measures(HISTORY_OF_NIGHTS, nights=True))
    config = TrainingConfig.from_mapping({"symbol": "SPY", "overnight_symbol": "NQ"})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    forecaster = VolatilityForecaster("ewma")
    forecaster.swap(ModelBundle("counted", (CountingNetwork(),), recipe, config, seen))
    return forecaster


@examples(40)
@given(
    mostly(st.just(HISTORY), BARS),
    mostly(st.just(HISTORY_OF_NIGHTS), BARS),
    mostly(st.none(), MOMENTS),
    BARS | st.integers(1, 200).map(FURTHER.head),
)
def test_nights_of_another_symbol_are_whatever_they_are(
    night_watcher: VolatilityForecaster, bars: Any, nights: Any, asof: Any, further: Any
) -> None:
    options = {"allow_in_sample": True, "overnight_bars": nights}
    one = outcome("VolatilityForecaster.forecast at night", lambda: night_watcher.forecast(bars, asof, **options))
    fresh = outcome("fresh", lambda: ForecastStream.of(night_watcher._serving, bars, None, nights))
    series = outcome(
        "VolatilityForecaster.forecast_series at night", lambda: night_watcher.forecast_series(bars, **options)
    )
    panel = outcome(
        "VolatilityForecaster.forecast_panel at night", lambda: night_watcher.forecast_panel(bars, **options)
    )
    assert isinstance(one, Refusal) or 0 < one.volatility < 10
    assert isinstance(series, Refusal) or ((series["volatility"] > 0) & (series["volatility"] < 10)).all()
    assert isinstance(panel, Refusal) or len(panel)
    if isinstance(fresh, Refusal):
        return
    before = outcome("ForecastStream.forecast at night", lambda: fresh.forecast(allow_in_sample=True))
    if asof is None:
        assert isinstance(one, Refusal) == isinstance(before, Refusal)
        assert isinstance(one, Refusal) or repr(before) == repr(one)
    updated = outcome("ForecastStream.update at night", lambda: fresh.update(overnight_bars=further))
    after = outcome("ForecastStream.forecast at night", lambda: fresh.forecast(allow_in_sample=True))
    assert not isinstance(updated, Refusal) or repr(after) == repr(before)


@pytest.fixture
def no_training() -> Iterator[None]:
    """Trainings that end where they would begin to compute."""
    error = TrainingError("everything is ready, and the training is left out; run it in a test that may take long.")
    with mock.patch("volcast.training.trainer.compute_device", side_effect=error):
        yield


@examples(30)
@pytest.mark.usefixtures("no_training")
@given(
    BARS,
    mostly(st.none(), SYMBOLS | SCALARS),
    mostly(st.none(), MOMENTS),
    mostly(st.none(), MOMENTS),
    mostly(st.none(), BARS),
)
def test_trainings_of_whatever_it_is_leave_what_served(
    bars: Any, symbol: Any, start: Any, end: Any, nights: Any
) -> None:
    if bars is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model_save_path": folder, "every": "week", "memory": 5}
        forecaster = VolatilityForecaster("ewma", settings)
        place = Path(folder)
        trained = outcome(
            "VolatilityForecaster.train_locally",
            lambda: forecaster.train_locally(symbol, start, end, bars, overnight_bars=nights),
            place,
        )
        assert isinstance(trained, Refusal)
        due = outcome(
            "VolatilityForecaster.retrain_if_due",
            lambda: forecaster.retrain_if_due(bars, start, background=False, overnight_bars=nights),
            place,
        )
        assert not getattr(due, "promoted", False)
        for call in (
            lambda: forecaster.forecast(bars, start, models="as-of", overnight_bars=nights),
            lambda: forecaster.forecast_series(bars, models="as-of", overnight_bars=nights),
        ):
            outcome("VolatilityForecaster models of their time", call, place)
        trainer = LocalLSTMTrainer({"model_save_path": folder})
        run = lambda: trainer.run_training_pipeline(symbol, start, end, bars, overnight_bars=nights)  # noqa: E731
        assert isinstance(outcome("LocalLSTMTrainer.run_training_pipeline", run, place), Refusal)
        assert forecaster.model_info()["is_fallback"]
        assert outcome("VolatilityForecaster.model_info", forecaster.model_info)
        assert ModelStore(folder).list() == []


LINES = st.one_of(
    JSON.map(json.dumps),
    TEXT.filter(lambda text: "\ud800" not in text),
    st.sampled_from(['{"event": "saved", "name": "schema-2"}', '{"event": "saved", "name": "none"}', '{"event": "x"}']),
    st.sampled_from(['{"event": "failed", "kind": "BarsError", "sentence": "the bars are bad; they must be good."}']),
    st.sampled_from(['{"event": "failed", "kind": "object", "sentence": "no kind of error."}', '{"event": "failed"}']),
)


@examples(12)
@given(BARS | st.just(HISTORY), mostly(st.none(), SYMBOLS), st.lists(LINES, max_size=3), st.sampled_from([0, 1, 9]))
def test_a_training_process_that_says_whatever_it_says(bars: Any, symbol: Any, lines: list[str], status: int) -> None:
    said = "\n".join(lines)
    code = f"import os, sys; os.write(1, {said.encode()!r}); sys.exit({status})"
    command = [sys.executable, "-ISc", code]
    if bars is None:
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("volcast.retraining.background.module_command", return_value=command),
    ):
        forecaster = VolatilityForecaster("ewma", {"model_save_path": folder})
        job = outcome("VolatilityForecaster.retrain_async", lambda: forecaster.retrain_async(symbol, bars))
        if isinstance(job, Refusal):
            return
        ended = outcome("RetrainingJob.wait", lambda: job.wait(30), Path(folder))
        assert isinstance(ended, Refusal) or not ended.promoted
        outcome("RetrainingJob.cancel", job.cancel)
        assert forecaster.model_info()["is_fallback"]


@examples(30)
@given(mostly(st.sampled_from(MODELS), TEXT | SCALARS), mostly(st.sampled_from(MODELS[1:]), TEXT | SCALARS))
def test_whatever_a_model_is_called(model: Any, other: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = {"model_save_path": str(SAMPLES)}
        forecaster = outcome("VolatilityForecaster", lambda: VolatilityForecaster(model, settings), place)
        if not isinstance(forecaster, Refusal):
            before = forecaster.model_info()["version"]
            swapped = outcome("VolatilityForecaster.swap", lambda: forecaster.swap(other), place)
            back = outcome("VolatilityForecaster.rollback", forecaster.rollback)
            assert isinstance(back, Refusal) == isinstance(swapped, Refusal)
            assert forecaster.model_info()["version"] == before
        store = ModelStore(SAMPLES)
        outcome("ModelStore.load", lambda: store.load(other), place)
        outcome("ModelStore.verify", lambda: store.verify(other), place)
        outcome("ModelStore.export_colab", lambda: store.export_colab(other, place / "pair"), place)


@examples(25)
@given(st.binary(max_size=200), st.none() | st.binary(max_size=80), mostly(st.none(), TEXT))
def test_whatever_a_pair_of_files_holds(network: bytes, scaler: bytes | None, name: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "network.h5").write_bytes(network)
        if scaler is not None:
            (place / "scaler.pkl").write_bytes(scaler)
        store = ModelStore(place / "models")
        imported = outcome(
            "ModelStore.import_colab", lambda: store.import_colab(place / "network.h5", None, name), place
        )
        assert isinstance(imported, Refusal)
        made = outcome("VolatilityForecaster", lambda: VolatilityForecaster(place / "network.h5"), place)
        assert isinstance(made, Refusal)
        assert not (place / "models").exists()


@examples(25)
@given(BARS, mostly(st.just("asof"), st.sampled_from(["x", "volatility"])), st.data())
def test_joins_of_whatever_it_is(bars: Any, column: str, data: st.DataObject) -> None:
    forecasts = VolatilityForecaster("ewma").forecast_series(HISTORY).rename(columns={"asof": column})
    stamps: Any = bars.index if isinstance(bars, pd.DataFrame) else bars
    outcome("align_to", lambda: align_to(forecasts.iloc[: data.draw(st.integers(0, 40))], stamps))
    outcome("positions_for", lambda: positions_for(pd.Series(1.0, pd.Index(forecasts[column])), bars))


NO_WINDOWS = st.one_of(
    st.tuples(SCALARS, SCALARS),
    st.tuples(*(st.lists(st.integers(0, 6), max_size=4).map(lambda shape: np.zeros(shape)) for _ in range(2))),
    st.sampled_from(["U1", "O", "M8[s]"]).map(lambda kind: (np.empty((9, 5, 1), kind), np.empty(9, kind))),
).filter(lambda pair: not (np.ndim(pair[0]) == 3 and len(pair[0]) and np.shape(pair[0])[:1] == np.shape(pair[1])))
VALUES = mostly(
    st.fixed_dictionaries(
        {}, optional={"n_layers": st.integers(-1, 2), "units_0": st.integers(-1, 40), "lr": st.floats(), "x": SCALARS}
    ),
    SCALARS,
)


@pytest.mark.train
@examples(12)
@given(VALUES, NO_WINDOWS, mostly(st.none(), TEXT))
def test_the_steps_of_a_training_with_whatever_it_is(values: Any, arrays: Any, name: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "models"
        trainer = LocalLSTMTrainer({"model_save_path": str(place), "network": "roadmap", "memory": 5, "epochs": 1})
        for prepared in (False, True):
            if prepared:
                trainer.prepare_data("SPY", bars=HISTORY)
            saved = outcome("LocalLSTMTrainer.save_model", lambda: trainer.save_model(name), place)
            assert isinstance(saved, Refusal)
            evaluated = outcome("LocalLSTMTrainer.evaluate_model", lambda: trainer.evaluate_model(*arrays))
            assert isinstance(evaluated, Refusal)
        outcome("LocalLSTMTrainer.build_model", lambda: trainer.build_model(values))
        data = trainer.prepare_data("SPY", bars=HISTORY)
        right: Any = (data.X_val, data.y_val)
        trained = outcome("LocalLSTMTrainer.train_model", lambda: trainer.train_model(*arrays, *right))
        assert isinstance(trained, Refusal)
        trained = outcome("LocalLSTMTrainer.train_model", lambda: trainer.train_model(*right, *arrays))
        assert isinstance(trained, Refusal)
        searched = outcome(
            "train_with_hyperparameter_tuning", lambda: train_with_hyperparameter_tuning(arrays[0], arrays[1])
        )
        assert isinstance(searched, Refusal)
        outcome("build_lstm_model_fast", lambda: build_lstm_model_fast(values, name))


def public_doors() -> Iterator[str]:
    """Public functions, and public methods of the classes that the doors hand on and return, by their names."""
    modules = [volcast, *(importlib.import_module(name) for name in DOORS)]
    members = {getattr(module, name) for module in modules for name in module.__all__ if name != "TRAINING_CONFIG"}
    for member in {*filter(callable, members), *RETURNED}:
        if inspect.isclass(member):
            for name, method in vars(member).items():
                function = getattr(method, "__func__", method)
                if not name.startswith("_") and inspect.isfunction(function):
                    yield f"{member.__name__}.{name}"
        else:
            yield member.__name__


def commands() -> Iterator[str]:
    """Each command, and each of its subcommands."""
    for module in pkgutil.iter_modules(volcast.cli.__path__):
        command = importlib.import_module(f"volcast.cli.{module.name}")
        if not hasattr(command, "run_command") or not hasattr(command, "main"):
            continue
        with mock.patch.object(command, "run_command") as run:
            command.main([])
        parser = run.call_args.args[0]
        groups = parser._subparsers._group_actions if parser._subparsers else []
        names = [name for group in groups for name in group.choices]
        yield from (f"volcast {module.name} {name}" for name in names)
        if not names:
            yield f"volcast {module.name}"


def test_no_public_door_is_left_out(request: pytest.FixtureRequest) -> None:
    """The last of the tests at the edges: by now each door was tried."""
    here = Path(__file__).parent
    if {item.path for item in request.session.items} < {*here.glob("test_*.py")} or request.config.option.keyword:
        pytest.skip("not all tests at the edges ran")
    tried = {" ".join(door.split()[:3]) if door.startswith("volcast ") else door.split()[0] for door, _ in COUNTS}
    doors = {*public_doors(), *commands()}
    assert len(doors) > 60
    assert sorted(doors - tried) == sorted(NOT_TRIED)
