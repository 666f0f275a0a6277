"""The forecaster inside a backtest: as of a moment, swapped while it runs, trained in place."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.errors import (
    BarsError,
    ConfigError,
    LookAheadError,
    ModelKeptOutWarning,
    ModelMismatchWarning,
    ModelNotFoundError,
    NotEnoughDataError,
    VolatilityError,
)
from volcast.features.scaling import make_scaler
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import Preset, annualize, get_hourly_rv
from volcast.networks.architectures import build_lstm_from_values
from volcast.networks.keras_files import KerasNetwork
from volcast.store.store import ModelBundle, ModelStore

pytestmark = pytest.mark.train

NEW_YORK = "America/New_York"
SMALL = {
    "network": "roadmap",
    "memory": 20,
    "max_trials": 1,
    "epochs": 1,
    "n_layers_range": (1, 1),
    "units_range": (16, 16),
}


def untrained(name: str, bars: pd.DataFrame, preset: Preset = "session", through: str | None = None) -> ModelBundle:
    """A network as it was initialized: good enough for everything but accuracy."""
    config = TrainingConfig.from_mapping({"memory": 20, "preset": preset})
    values = {"n_layers": 1, "units_0": 16 + 16 * (len(name) % 3), "dropout_0": 0.0, "lr": 0.005}
    scaler = make_scaler("minmax" if preset == "colab" else "diurnal_log").fit(get_hourly_rv(bars, preset=preset))
    manifest = {"symbol": None, "trained_through": through}
    network = KerasNetwork(build_lstm_from_values(values, 20))
    return ModelBundle(name, (network,), ScaledWindows(scaler, 20, (0.5, 2.0)), config, manifest)


@pytest.fixture(scope="module")
def month() -> pd.DataFrame:
    return make_bars("2024-11-01", "2024-12-06")


@pytest.fixture
def forecaster(month: pd.DataFrame, tmp_path: Path) -> VolatilityForecaster:
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path / "models"), **SMALL})
    forecaster.swap(untrained("one", month))
    return forecaster


def test_an_empty_store_serves_the_marked_fallback(tmp_path: Path, month: pd.DataFrame) -> None:
    forecaster = VolatilityForecaster(retraining_config={"model_save_path": str(tmp_path)})
    forecast = forecaster.forecast(month)
    assert forecast.is_fallback
    assert forecast.model_version == "ewma"
    assert forecaster.model_info()["is_fallback"]
    assert 0.001 < forecast.volatility < 0.1


def test_models_are_found_by_name_by_path_and_as_the_newest(tmp_path: Path, month: pd.DataFrame) -> None:
    store = ModelStore(tmp_path)
    store.save(untrained("one", month))
    store.save(untrained("two", month))
    settings = {"model_save_path": str(tmp_path)}
    assert VolatilityForecaster(None, settings).model_info()["version"] == "two"
    assert VolatilityForecaster("one", settings).model_info()["version"] == "one"
    assert VolatilityForecaster(tmp_path / "one").model_info()["version"] == "one"
    with pytest.raises(ModelNotFoundError, match="three"):
        VolatilityForecaster("three", settings)


def test_a_forecast_names_its_bucket_and_units(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    forecast = forecaster.forecast(month, pd.Timestamp("2024-11-27 09:30", tz=NEW_YORK))
    assert forecast.bucket == pd.Timestamp("2024-11-27 10:00", tz=NEW_YORK)
    assert forecast.annualized_volatility == pytest.approx(annualize(forecast.volatility, 30, 252 * 390))
    assert (forecast.lower, forecast.upper) == (forecast.volatility * 0.5, forecast.volatility * 2)
    assert forecast.model_version == "one"
    assert not forecast.is_fallback


def test_without_a_moment_the_last_bar_is_the_moment(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    forecast = forecaster.forecast(month)
    assert forecast.asof == pd.Timestamp("2024-12-06 16:00", tz=NEW_YORK)
    assert forecast.bucket == pd.Timestamp("2024-12-09 10:00", tz=NEW_YORK)


def test_a_date_alone_is_its_midnight_in_new_york(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    by_date = forecaster.forecast_volatility(month, "2024-11-27")
    assert by_date == forecaster.forecast(month, pd.Timestamp("2024-11-27", tz=NEW_YORK)).annualized_volatility
    assert forecaster.forecast(month, "2024-11-27").bucket == pd.Timestamp("2024-11-27 10:00", tz=NEW_YORK)


@pytest.mark.parametrize("kind", ["session", "colab", "ewma"])
def test_the_series_equals_asking_bar_by_bar(month: pd.DataFrame, kind: str) -> None:
    forecaster = VolatilityForecaster("ewma")
    if kind != "ewma":
        forecaster.swap(untrained("one", month, preset="colab" if kind == "colab" else "session"))
    series = forecaster.forecast_series(month)
    for label, row in series.iloc[[0, 1, 7, 30, -2, -1]].iterrows():
        alone = forecaster.forecast(month[time_index(month) + pd.Timedelta(minutes=1) <= row["asof"]], row["asof"])
        assert alone.bucket == label
        assert alone.volatility == pytest.approx(row["volatility"], rel=1e-6)


@pytest.mark.parametrize("kind", ["session", "colab", "ewma"])
def test_bars_of_ten_minutes_are_too_few_in_one_sentence(month: pd.DataFrame, kind: str) -> None:
    forecaster = VolatilityForecaster("ewma")
    if kind != "ewma":
        forecaster.swap(untrained("one", month, preset="colab" if kind == "colab" else "session"))
    with pytest.raises(NotEnoughDataError, match="hourly buckets had ended by"):
        forecaster.forecast(month.iloc[:10])


@pytest.mark.parametrize("kind", ["session", "colab", "ewma"])
def test_the_future_changes_no_forecast(month: pd.DataFrame, kind: str) -> None:
    forecaster = VolatilityForecaster("ewma")
    if kind != "ewma":
        forecaster.swap(untrained("one", month, preset="colab" if kind == "colab" else "session"))
    random = np.random.default_rng(0)
    for moment in month.index[random.integers(20 * 390, len(month), 50)]:
        changed = with_noise_after(month, moment)
        # By their text: NaN, where a model gives no interval, equals nothing.
        assert repr(forecaster.forecast(changed, moment)) == repr(forecaster.forecast(month, moment))


def test_the_future_changes_no_earlier_row_of_the_series(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    series = forecaster.forecast_series(month)
    moment = pd.Timestamp("2024-11-27 12:34", tz=NEW_YORK)
    changed = forecaster.forecast_series(with_noise_after(month, moment))
    known = series["asof"] <= moment
    pd.testing.assert_frame_equal(changed[known.to_numpy()], series[known], check_exact=True)
    assert (changed["volatility"] != series["volatility"]).any()


def test_what_the_model_has_seen_is_not_forecast(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    through = pd.Timestamp("2024-11-27 12:00", tz=NEW_YORK)
    forecaster.swap(untrained("seen", month, through=through.isoformat()))
    with pytest.raises(LookAheadError, match=r"2024-11-27 11:59:59.*2024-11-27 12:00:00"):
        forecaster.forecast(month, through - pd.Timedelta(seconds=1))
    assert forecaster.forecast(month, through).bucket == through + pd.Timedelta(hours=1)
    allowed = forecaster.forecast(month, through - pd.Timedelta(seconds=1), allow_in_sample=True)
    assert allowed.bucket == through
    series, whole = forecaster.forecast_series(month), forecaster.forecast_series(month, allow_in_sample=True)
    assert series.index[0] == through + pd.Timedelta(hours=1)
    assert series.attrs["in_sample_left_out"] == len(whole) - len(series) == whole["in_sample"].sum() > 0


def test_the_series_has_the_documented_columns(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    series = forecaster.forecast_series(month)
    columns = "asof volatility annualized_volatility lower upper model_version is_fallback deseasonalized_volatility"
    assert list(series.columns) == columns.split()
    assert str(time_index(series).tz) == NEW_YORK
    assert (series["asof"] < series.index).all()


def test_too_little_history_and_other_horizons_are_refused(
    forecaster: VolatilityForecaster, month: pd.DataFrame
) -> None:
    with pytest.raises(NotEnoughDataError, match=r"7 hourly buckets .* needs 20"):
        forecaster.forecast(month, "2024-11-02")
    with pytest.raises(BarsError):
        forecaster.forecast(month, "2024-10-01")
    with pytest.raises(ConfigError, match="horizon is 5"):
        forecaster.forecast(month, horizon=5)


def test_swap_and_roll_back(forecaster: VolatilityForecaster, month: pd.DataFrame) -> None:
    one = forecaster.forecast(month)
    forecaster.swap(untrained("other", month))
    other = forecaster.forecast(month)
    assert (one.model_version, other.model_version) == ("one", "other")
    assert one.volatility != other.volatility
    forecaster.rollback()
    assert forecaster.forecast(month) == one
    forecaster.rollback()
    assert forecaster.model_info()["is_fallback"]
    with pytest.raises(ModelNotFoundError, match="roll back"):
        forecaster.rollback()


def test_a_forecast_comes_wholly_from_one_model_while_others_swap(
    forecaster: VolatilityForecaster, month: pd.DataFrame
) -> None:
    first, second = untrained("one", month), untrained("other", month)
    expected = {}
    for bundle in (first, second):
        forecaster.swap(bundle)
        expected[bundle.name] = forecaster.forecast(month).volatility
    seen, stop = [], threading.Event()

    def forecast() -> None:
        while not stop.is_set():
            seen.append(forecaster.forecast(month))

    threads = [threading.Thread(target=forecast) for _ in range(8)]
    for thread in threads:
        thread.start()
    for i in range(200):
        forecaster.swap(first if i % 2 else second)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen
    assert all(forecast.volatility == expected[forecast.model_version] for forecast in seen)


def test_a_model_of_another_symbol_or_of_simulated_bars_warns(month: pd.DataFrame) -> None:
    forecaster = VolatilityForecaster("ewma")
    bundle = untrained("one", month)
    marked = month.copy()
    marked.attrs = {"symbol": "SPY", "simulated": False}
    forecaster.swap(replace(bundle, manifest={**bundle.manifest, "symbol": "TSLA"}))
    with pytest.warns(ModelMismatchWarning, match="trained on TSLA and is asked about SPY"):
        forecaster.forecast(marked)
    forecaster.swap(replace(bundle, manifest={**bundle.manifest, "symbol": "SPY", "simulated": True}))
    with pytest.warns(ModelMismatchWarning, match="SIMULATED"):
        forecaster.forecast(marked)


def test_out_of_several_symbols_the_models_own_is_taken(month: pd.DataFrame) -> None:
    stacked = pd.concat(
        {"SPY": month, "QQQ": make_bars("2024-11-01", "2024-12-06", seed=9)}, names=["symbol", "timestamp"]
    )
    forecaster = VolatilityForecaster("ewma")
    with pytest.raises(BarsError, match="SPY, QQQ"):
        forecaster.forecast(stacked)
    bundle = untrained("one", month)
    forecaster.swap(replace(bundle, manifest={**bundle.manifest, "symbol": "SPY"}))
    assert forecaster.forecast(stacked).volatility == forecaster.forecast(month).volatility


@pytest.mark.parametrize("symbol", [True, 5.0, Decimal("sNaN"), b"SPY", ["SPY"]])
def test_a_symbol_that_is_no_text_is_refused(month: pd.DataFrame, symbol: object) -> None:
    forecaster = VolatilityForecaster("ewma")
    marked = month.copy()
    marked.attrs = {"symbol": symbol}
    doors: list[Callable[[], object]] = [
        lambda: forecaster.forecast(month, symbol=cast(str, symbol)),
        lambda: forecaster.forecast_series(month, symbol=cast(str, symbol)),
        lambda: forecaster.stream(month, cast(str, symbol)),
        lambda: forecaster.stream(month).forecast(symbol=cast(str, symbol)),
        lambda: forecaster.forecast(marked),
        lambda: get_hourly_rv(marked),
        lambda: get_hourly_rv(month, cast(str, symbol)),
    ]
    for door in doors:
        with pytest.raises(BarsError, match=r"the symbol is .* no text"):
            door()
    forecaster.forecast(month)


def test_training_in_place_swaps_model_and_scaler_twice_in_one_process(tmp_path: Path, bars: pd.DataFrame) -> None:
    # One epoch makes no model that its verdict would let serve.
    settings = {**SMALL, "model_save_path": str(tmp_path / "models"), "symbol": "SPY", "accept_verdict": True}
    forecaster = VolatilityForecaster(retraining_config=settings)
    before = forecaster.forecast(bars)
    first = forecaster.train_locally("SPY", bars=bars)
    assert forecaster.model_info()["version"] == first.bundle.name
    after = forecaster.forecast(bars)
    assert after.model_version == first.bundle.name
    assert after.volatility != before.volatility
    second = forecaster.train_locally("SPY", bars=bars)
    assert forecaster.model_info()["version"] == second.bundle.name != first.bundle.name
    # The same seed and bars: another version with the same forecasts.
    assert forecaster.forecast(bars).volatility == after.volatility
    assert VolatilityForecaster(retraining_config=settings).model_info()["version"] == second.bundle.name


@pytest.mark.parametrize("served_before", [False, True])
def test_a_model_whose_verdict_is_not_to_use_it_is_saved_and_does_not_serve(
    forecaster: VolatilityForecaster, bars: pd.DataFrame, served_before: bool, tmp_path: Path
) -> None:
    settings = {**SMALL, "model_save_path": str(tmp_path / "models"), "symbol": "SPY"}
    forecaster = forecaster if served_before else VolatilityForecaster(retraining_config=settings)
    before = forecaster.forecast(bars, allow_in_sample=True)
    with pytest.warns(ModelKeptOutWarning, match="is saved and does not serve, since its verdict is not to use it"):
        result = forecaster.train_locally("SPY", bars=bars)
    assert result.evaluation.judgment == "do not use"
    assert not result.serves
    assert repr(forecaster.forecast(bars, allow_in_sample=True)) == repr(before)
    store, name = ModelStore(tmp_path / "models"), result.bundle.name
    assert [manifest["name"] for manifest in store.list()] == [name]
    assert store.serving() is None
    assert [(entry.name, entry.event, entry.reason) for entry in store.history()] == [
        (name, "kept out", "its verdict is not to use it")
    ]
    assert VolatilityForecaster(retraining_config=settings).model_info()["is_fallback"]
    # Asked for in so many words, it serves.
    forecaster.swap(result.bundle)
    assert forecaster.model_info()["version"] == name
    store.promote(name, "by hand")
    assert store.serving() == name


def test_a_training_that_fails_leaves_the_old_model_serving(
    forecaster: VolatilityForecaster, month: pd.DataFrame, tmp_path: Path
) -> None:
    before = forecaster.forecast(month)
    with pytest.raises(VolatilityError, match="training windows"):
        forecaster.train_locally("SPY", bars=month.iloc[: 3 * 390])
    assert forecaster.forecast(month) == before
    assert ModelStore(tmp_path / "models").list() == []


def bars_with_hourly_rv(values: list[float]) -> pd.DataFrame:
    """One bar an hour whose `colab` RV is `values`."""
    index = pd.date_range("2025-06-02 00:00", periods=len(values) + 1, freq="h", tz=NEW_YORK, name="timestamp")
    return pd.DataFrame({"close": 100 * np.cumprod([1.0, *(1 + np.array(values))])}, index=index)


def test_the_notebooks_pair_gives_its_reference_forecasts(colab_dir: Path) -> None:
    reference = json.loads((colab_dir / "reference_forecasts.json").read_text())
    forecaster = VolatilityForecaster(colab_dir / "volatility_lstm_model.h5")
    assert forecaster.model_info()["preset"] == "colab"
    assert len(reference["windows"]) == 8
    for window, expected in zip(reference["windows"], reference["forecast"], strict=True):
        forecast = forecaster.forecast(bars_with_hourly_rv(window))
        assert forecast.volatility == pytest.approx(expected, abs=1e-6)
        assert not forecast.is_fallback


@pytest.mark.parametrize("model", ["x" * 5000, "x" * 5000 + ".h5", "a\0b", "\ud800"])
def test_what_can_name_no_model_is_none(model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        VolatilityForecaster(model, {"model_save_path": str(tmp_path)})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("asof", "said"),
    [
        ("garbage", "is no moment"),
        ([], "is no moment"),
        (pd.NaT, "is no moment"),
        ("1600-01-03", "is no moment"),
        ("2024-03-10 02:30", "never show it"),
        ("2024-11-03 01:30", "show it twice"),
        ("2150-01-01", "ask for an earlier moment"),
    ],
)
def test_a_moment_that_is_none_is_said(month: pd.DataFrame, asof: Any, said: str, tmp_path: Path) -> None:
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path)})
    forecaster.forecast(month)
    for ask in (forecaster.forecast, forecaster.forecast_volatility):
        with pytest.raises(ConfigError, match=said):
            ask(month, asof)
