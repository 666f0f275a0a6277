"""The doors that take bars: right, as a slow version has it, or one sentence."""

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import ROOT
from tests.support.outcomes import Refusal, outcome
from tests.support.plain_measures import plain_colab_rv, plain_session_rv
from tests.support.strategies import (
    MOMENTS,
    SCALARS,
    SYMBOLS,
    bars_frames,
    damaged_frames,
    examples,
    mostly,
    strange_frames,
)
from volcast import DataHandler, LocalLSTMTrainer, VolatilityForecaster, get_hourly_rv, prepare_lstm_sequences
from volcast.arrays import time_index
from volcast.bars.checks import bar_length
from volcast.bars.cleaning import clean_bars
from volcast.bars.quality import assess_quality
from volcast.measures.estimators import ESTIMATORS
from volcast.measures.hourly import panel

SAMPLES = ROOT / "tests" / "data"
MODELS = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
BARS_OF_ANY_KIND = mostly(bars_frames() | damaged_frames(), strange_frames() | SCALARS)
MONTHS = mostly(bars_frames(months=True), damaged_frames(months=True))
HORIZONS = mostly(st.sampled_from([1, "session_end", 7, 35, 5, "22 sessions"]), SCALARS)
KINDS = mostly(st.sampled_from(["hourly", "total"]), SCALARS)
NO_SYMBOL = mostly(st.none(), SYMBOLS)


@pytest.fixture(scope="module")
def forecasters() -> dict[str, VolatilityForecaster]:
    """A forecaster of each kind, on models that were saved."""
    return {name: VolatilityForecaster(name, {"model_save_path": str(SAMPLES)}) for name in MODELS}


@examples(25)
@given(bars_frames())
def test_session_volatility_is_the_plain_ones(bars: pd.DataFrame) -> None:
    rv = outcome("get_hourly_rv", lambda: get_hourly_rv(bars))
    if isinstance(rv, Refusal):
        return
    plain = plain_session_rv(bars)
    assert rv.index.equals(pd.DatetimeIndex(plain.index)) or (len(plain) == len(rv) == 0)
    np.testing.assert_allclose(rv, plain.astype(float), rtol=1e-9, atol=1e-15)


@examples(15)
@given(bars_frames())
def test_the_notebooks_volatility_is_the_plain_ones(bars: pd.DataFrame) -> None:
    rv = outcome("get_hourly_rv colab", lambda: get_hourly_rv(bars, preset="colab"))
    assert not isinstance(rv, Refusal)
    plain = plain_colab_rv(bars)
    assert (rv.index == plain.index).all()
    np.testing.assert_allclose(rv, plain, rtol=1e-12, atol=1e-15)


@examples(60)
@given(
    BARS_OF_ANY_KIND,
    NO_SYMBOL,
    mostly(st.just("close"), st.sampled_from(["open", "price", "", 7])),
    mostly(st.sampled_from(["session", "colab"]), SCALARS),
    mostly(st.sampled_from(sorted(ESTIMATORS)), SCALARS),
    mostly(st.just("XNYS"), st.sampled_from(["XLON", "MARS", "", None])),
)
def test_volatility_of_whatever_it_is(
    bars: Any, symbol: Any, price: Any, preset: Any, estimator: Any, calendar: Any
) -> None:
    rv = outcome(
        "get_hourly_rv",
        lambda: get_hourly_rv(bars, symbol, price, preset=preset, estimator=estimator, market=calendar),
    )
    if isinstance(rv, Refusal):
        return
    assert rv.index.is_monotonic_increasing
    assert time_index(rv).tz is not None
    assert ((rv >= 0) & np.isfinite(rv)).all()


@examples(25)
@given(damaged_frames())
def test_quality_and_cleaning_of_damaged_bars(bars: pd.DataFrame) -> None:
    found = outcome("assess_quality", lambda: assess_quality(bars, "SPY"))
    if not isinstance(found, Refusal):
        assert isinstance(found.to_dict(), dict)
    cleaned = outcome("clean_bars", lambda: clean_bars(bars, "all"))
    if isinstance(cleaned, Refusal):
        return
    rv = outcome("get_hourly_rv of cleaned bars", lambda: get_hourly_rv(cleaned[0]))
    assert isinstance(rv, Refusal) or ((rv >= 0) & np.isfinite(rv)).all()


@examples(40)
@given(
    mostly(st.lists(st.floats(0, 1), min_size=8, max_size=30), st.lists(st.floats(), max_size=30) | SCALARS),
    mostly(st.integers(-2, 12), SCALARS),
)
def test_windows_of_whatever_it_is(values: Any, memory: Any) -> None:
    series = (
        pd.Series(values, pd.date_range("2024-12-02", periods=len(values), tz="UTC", freq="h"))
        if isinstance(values, list)
        else values
    )
    found = outcome("prepare_lstm_sequences", lambda: prepare_lstm_sequences(series, memory, dtype=np.float64))
    if isinstance(found, Refusal):
        return
    windows, targets, scaler = found
    scaled = scaler.scale(series)
    for row in range(len(series) - memory):
        assert (windows[row, :, 0] == scaled[row : row + memory]).all()
        assert targets[row] == scaled[row + memory]


@examples(40)
@given(
    st.sampled_from(MODELS),
    MONTHS,
    st.none() | MOMENTS,
    HORIZONS,
    KINDS,
    NO_SYMBOL,
    st.booleans(),
)
def test_a_forecast_does_not_know_what_came_after_it(
    forecasters: dict[str, VolatilityForecaster],
    name: str, bars: pd.DataFrame, asof: Any, horizon: Any, kind: Any, symbol: Any, allow: bool,
) -> None:  # fmt: skip
    def forecast(frame: pd.DataFrame) -> Any:
        return forecasters[name].forecast(frame, asof, horizon, kind=kind, symbol=symbol, allow_in_sample=allow)

    made = outcome(f"VolatilityForecaster.forecast {name}", lambda: forecast(bars))
    if isinstance(made, Refusal):
        return
    assert 0 < made.volatility < math.inf
    assert made.bucket > made.asof
    # What has ended by then is all that it may use.
    past = bars[time_index(bars) + bar_length(time_index(bars)) <= made.asof]
    again = forecast(past) if len(past) else made
    assert repr(again.volatility) == repr(made.volatility)


@examples(12)
@given(st.sampled_from(MODELS), MONTHS, HORIZONS, KINDS, st.booleans(), st.data())
def test_a_series_is_made_of_forecasts(
    forecasters: dict[str, VolatilityForecaster],
    name: str, bars: pd.DataFrame, horizon: Any, kind: Any, allow: bool, data: st.DataObject,
) -> None:  # fmt: skip
    forecaster = forecasters[name]
    series = outcome(
        f"VolatilityForecaster.forecast_series {name}",
        lambda: forecaster.forecast_series(bars, horizon, kind=kind, allow_in_sample=allow),
    )
    if isinstance(series, Refusal) or series.empty:
        return
    row = series.iloc[data.draw(st.integers(0, len(series) - 1))]
    if "pooled" in name and row.get("in_sample", False):
        # A stranger's hours are learnt from its bars until the model's training ended, of which `forecast` sees fewer.
        return
    one = VolatilityForecaster(name, {"model_save_path": str(SAMPLES)}).forecast(
        bars, row["asof"], horizon, kind=kind, allow_in_sample=True
    )
    assert one.volatility == row["volatility"]


@examples(15)
@given(damaged_frames() | MONTHS, MOMENTS)
def test_a_float_a_stream_and_a_schedule_of_damaged_bars(
    forecasters: dict[str, VolatilityForecaster], bars: pd.DataFrame, moment: Any
) -> None:
    forecaster = forecasters["ewma"]
    value = outcome("VolatilityForecaster.forecast_volatility", lambda: forecaster.forecast_volatility(bars, moment))
    assert isinstance(value, Refusal) or 0 < value < math.inf
    stream = outcome("VolatilityForecaster.stream", lambda: forecaster.stream(bars.iloc[:-5]))
    if not isinstance(stream, Refusal):
        updated = outcome("ForecastStream.update", lambda: stream.update(bars.iloc[-5:]))
        if not isinstance(updated, Refusal):
            one = outcome("ForecastStream.forecast", stream.forecast)
            fresh = outcome("forecast ewma", lambda: VolatilityForecaster("ewma").forecast(bars))
            assert repr(one) == repr(fresh)
    due = outcome("VolatilityForecaster.retrain_if_due", lambda: forecaster.retrain_if_due(bars, moment))
    assert isinstance(due, Refusal) or due is None


@examples(25)
@given(
    mostly(MONTHS, BARS_OF_ANY_KIND),
    NO_SYMBOL,
    mostly(st.none(), MOMENTS),
    mostly(st.none(), MOMENTS),
    st.sampled_from(["har_lstm", "roadmap"]),
)
def test_what_a_training_begins_with(
    bars: Any, symbol: Any, start: Any, end: Any, network: Literal["har_lstm", "roadmap"]
) -> None:
    trainer = LocalLSTMTrainer({"network": network, "memory": 5})
    # None would be fetched.
    bars = 0 if bars is None else bars
    data = outcome("LocalLSTMTrainer.prepare_data", lambda: trainer.prepare_data(symbol, start, end, bars))
    if isinstance(data, Refusal):
        return
    assert np.isfinite(data.X_train).all()
    assert data.trained_through <= bars.index.max() + pd.Timedelta(minutes=1)


@examples(25)
@given(
    mostly(st.just("simulator"), st.sampled_from(["file", "x", ""])),
    mostly(st.lists(SYMBOLS, min_size=1, max_size=2) | SYMBOLS, SCALARS),
    mostly(st.sampled_from(["2024-12-02", "2024-12-31", "2024-11-28"]), MOMENTS),
    mostly(st.sampled_from(["2024-12-03", "2025-01-03"]), MOMENTS),
    mostly(st.sampled_from(["30Min", "1Min"]), st.sampled_from(["7Min", "1Day", "", "x", None, 5])),
)
def test_bars_of_whatever_is_asked_for(source: str, symbols: Any, start: Any, end: Any, timeframe: str) -> None:
    def get() -> pd.DataFrame:
        return DataHandler(source).get_stock_bars(symbols, start, end, timeframe)

    if _is_long(start, end):
        return
    bars = outcome("DataHandler.get_stock_bars", get)
    if isinstance(bars, Refusal):
        return
    assert len(bars)
    pd.testing.assert_frame_equal(bars, get())
    unchecked = outcome(
        "DataHandler.unchecked_bars", lambda: DataHandler(source).unchecked_bars(symbols, start, end, timeframe)
    )
    assert not isinstance(symbols, str) or not isinstance(unchecked, Refusal)
    if isinstance(symbols, list):
        side_by_side = outcome("panel", lambda: panel(DataHandler(source), symbols, start, end, timeframe))
        assert isinstance(side_by_side, Refusal) or set(side_by_side) <= set(symbols)


def _is_long(start: Any, end: Any) -> bool:
    """Whether a simulation would take its time."""
    try:
        days = pd.Timestamp(end).tz_localize(None) - pd.Timestamp(start).tz_localize(None)
    except (TypeError, ValueError, OverflowError):
        return False
    return bool(days > pd.Timedelta(days=60))
