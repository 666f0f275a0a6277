"""Forecasters, streams and results are copied, pickled, and sent to workers, and forecast the same there."""

import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast import Forecast, VolatilityForecaster

MODELS = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
BARS = make_bars("2024-10-07", "2024-11-29", minutes=5)
FURTHER = make_bars("2024-12-02", "2024-12-03", minutes=5)


def forecaster_of(name: str) -> VolatilityForecaster:
    return VolatilityForecaster(name, {"model_save_path": str(ROOT / "tests" / "data"), "every": "month"})


def forecast_by(forecaster: VolatilityForecaster) -> Forecast:
    """What a worker does."""
    return forecaster.forecast(BARS, allow_in_sample=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_forecaster_elsewhere_forecasts_the_same(name: str, way: str) -> None:
    forecaster = forecaster_of(name)
    forecaster.swap("schema-2")
    forecaster.rollback()
    twin = WAYS[way](forecaster)
    assert repr(twin) == repr(forecaster)
    assert repr(twin.forecast(BARS, allow_in_sample=True)) == repr(forecaster.forecast(BARS, allow_in_sample=True))
    pd.testing.assert_frame_equal(
        twin.forecast_series(BARS, allow_in_sample=True), forecaster.forecast_series(BARS, allow_in_sample=True)
    )
    # They go their own ways.
    twin.swap("schema-2")
    assert twin.model_info()["version"] == "schema-2"
    assert forecaster.model_info()["version"] == name
    twin.rollback()
    assert twin.model_info()["version"] == name


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_elsewhere_goes_on(name: str, way: str) -> None:
    stream = forecaster_of(name).stream(BARS)
    stream.forecast(allow_in_sample=True)
    twin = WAYS[way](stream)
    for one in (stream, twin):
        one.update(FURTHER)
    assert repr(twin.forecast(allow_in_sample=True)) == repr(stream.forecast(allow_in_sample=True))
    twin.update(FURTHER.tail(1).assign(close=FURTHER["high"].iloc[-1] * 1.01, high=FURTHER["high"].iloc[-1] * 1.01))
    assert twin.forecast(allow_in_sample=True).volatility != stream.forecast(allow_in_sample=True).volatility


@pytest.mark.parametrize("name", ["ewma", "schema-2-pooled-har-lstm"])
def test_a_spawned_worker_forecasts_the_same(name: str) -> None:
    forecaster = forecaster_of(name)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(forecast_by, (forecaster,))
    assert repr(there) == repr(forecast_by(forecaster))


def test_joblib_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forecaster = forecaster_of("schema-2")
    there = joblib.Parallel(n_jobs=2)(joblib.delayed(forecast_by)(forecaster) for _ in range(2))
    assert [repr(forecast) for forecast in there] == 2 * [repr(forecast_by(forecaster))]


def test_a_forecast_is_a_row_of_plain_values() -> None:
    forecast = forecaster_of("ewma").forecast(BARS)
    row = forecast.to_dict()
    assert json.loads(json.dumps(row)) == row
    assert row["volatility"] == forecast.volatility
    assert row["lower"] is None
    assert pd.Timestamp(str(row["asof"])) == forecast.asof
    assert list(row) == [*Forecast.__dataclass_fields__]
