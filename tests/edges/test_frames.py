"""The doors that take bars: right, as a slow version has it, or one sentence."""

import math
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tests.support.markets import OTHERS, SAVED, forecaster_of
from tests.support.outcomes import Refusal, outcome
from tests.support.plain_measures import plain_colab_rv, plain_session_rv
from tests.support.strategies import (
    MARKETS,
    MOMENTS,
    SCALARS,
    SYMBOLS,
    bars_frames,
    damaged_frames,
    examples,
    mostly,
    strange_frames,
    with_its_bars,
)
from volcast import DataHandler, LocalLSTMTrainer, VolatilityForecaster, get_hourly_rv, prepare_lstm_sequences
from volcast.arrays import time_index
from volcast.backtest.engine import Run, run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.bars.checks import bar_length
from volcast.bars.cleaning import clean_bars
from volcast.bars.quality import assess_quality
from volcast.markets.registry import market_named
from volcast.measures.estimators import ESTIMATORS
from volcast.measures.hourly import panel

BARS_OF_ANY_KIND = mostly(bars_frames() | damaged_frames(), strange_frames() | SCALARS)
MONTHS = mostly(bars_frames(months=True), damaged_frames(months=True))
OTHER = st.sampled_from(OTHERS)
MODELS_AND_MONTHS = mostly(
    st.tuples(st.sampled_from(SAVED), MONTHS),
    with_its_bars(
        lambda market: mostly(bars_frames(months=True, market=market), damaged_frames(market=market)), OTHER
    ).flatmap(lambda drawn: st.tuples(st.sampled_from([f"ewma {drawn[0]}", f"default {drawn[0]}"]), st.just(drawn[1]))),
)
"""A model by its name, most of them New York's, and bars of its market."""
HORIZONS = mostly(st.sampled_from([1, 1, "session_end", 7, 35, 24, 5, "22 sessions"]), SCALARS)
KINDS = mostly(st.sampled_from(["hourly", "total"]), SCALARS)
NO_SYMBOL = mostly(st.none(), SYMBOLS)


@cache
def forecasting(name: str) -> VolatilityForecaster:
    """The forecaster of a name in `MODELS_AND_MONTHS`."""
    return forecaster_of(*name.split())


@examples(30)
@given(with_its_bars(lambda market: bars_frames(market=market)))
def test_session_volatility_is_the_plain_ones(drawn: tuple[str, pd.DataFrame]) -> None:
    market, bars = drawn
    rv = outcome(f"get_hourly_rv {market}", lambda: get_hourly_rv(bars, market=market))
    if isinstance(rv, Refusal):
        return
    plain = plain_session_rv(bars, market=market)
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
    mostly(MARKETS, st.sampled_from(["MARS", "", None])),
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
@given(with_its_bars(lambda market: damaged_frames(market=market)))
def test_quality_and_cleaning_of_damaged_bars(drawn: tuple[str, pd.DataFrame]) -> None:
    market, bars = drawn
    found = outcome("assess_quality", lambda: assess_quality(bars, "CHECK", market=market))
    if not isinstance(found, Refusal):
        assert isinstance(found.to_dict(), dict)
        assert "market" not in {finding.kind for finding in found.findings}
    cleaned = outcome("clean_bars", lambda: clean_bars(bars, market=market))
    if isinstance(cleaned, Refusal):
        return
    rv = outcome("get_hourly_rv of cleaned bars", lambda: get_hourly_rv(cleaned[0], market=market))
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


@examples(50)
@given(MODELS_AND_MONTHS, st.none() | MOMENTS, HORIZONS, KINDS, NO_SYMBOL, st.booleans())
def test_a_forecast_does_not_know_what_came_after_it(
    drawn: tuple[str, pd.DataFrame], asof: Any, horizon: Any, kind: Any, symbol: Any, allow: bool
) -> None:
    name, bars = drawn

    def forecast(frame: pd.DataFrame) -> Any:
        return forecasting(name).forecast(frame, asof, horizon, kind=kind, symbol=symbol, allow_in_sample=allow)

    made = outcome(f"VolatilityForecaster.forecast {name}", lambda: forecast(bars))
    if isinstance(made, Refusal):
        return
    assert 0 < made.volatility < math.inf
    assert made.bucket > made.asof
    # What has ended by then is all that it may use.
    past = bars[time_index(bars) + bar_length(time_index(bars)) <= made.asof]
    again = forecast(past) if len(past) else made
    assert repr(again.volatility) == repr(made.volatility)


@examples(16)
@given(MODELS_AND_MONTHS, HORIZONS, KINDS, st.booleans(), st.data())
def test_a_series_is_made_of_forecasts(
    drawn: tuple[str, pd.DataFrame], horizon: Any, kind: Any, allow: bool, data: st.DataObject
) -> None:
    name, bars = drawn
    forecaster = forecasting(name)
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
    one = forecaster_of(*name.split()).forecast(bars, row["asof"], horizon, kind=kind, allow_in_sample=True)
    assert one.volatility == row["volatility"]


@examples(20)
@given(with_its_bars(lambda market: damaged_frames(market=market) | bars_frames(months=True, market=market)), MOMENTS)
def test_a_float_a_stream_and_a_schedule_of_damaged_bars(drawn: tuple[str, pd.DataFrame], moment: Any) -> None:
    market, bars = drawn
    forecaster = forecasting(f"ewma {market}")
    value = outcome("VolatilityForecaster.forecast_volatility", lambda: forecaster.forecast_volatility(bars, moment))
    assert isinstance(value, Refusal) or 0 < value < math.inf
    stream = outcome("VolatilityForecaster.stream", lambda: forecaster.stream(bars.iloc[:-5]))
    if not isinstance(stream, Refusal):
        updated = outcome("ForecastStream.update", lambda: stream.update(bars.iloc[-5:]))
        if not isinstance(updated, Refusal):
            one = outcome("ForecastStream.forecast", stream.forecast)
            # What comes late is put where it belongs, and what comes again in place of what was there.
            in_order = bars[~bars.index.duplicated(keep="last")].sort_index()
            fresh = outcome("forecast ewma", lambda: forecaster_of("ewma", market).forecast(in_order))
            assert repr(one) == repr(fresh)
    due = outcome("VolatilityForecaster.retrain_if_due", lambda: forecaster.retrain_if_due(bars, moment))
    assert isinstance(due, Refusal) or due is None


@examples(25)
@given(
    mostly(with_its_bars(lambda market: bars_frames(months=True, market=market)), st.tuples(MARKETS, BARS_OF_ANY_KIND)),
    NO_SYMBOL,
    mostly(st.none(), MOMENTS),
    mostly(st.none(), MOMENTS),
    st.sampled_from(["har_lstm", "roadmap"]),
)
def test_what_a_training_begins_with(
    drawn: tuple[str, Any], symbol: Any, start: Any, end: Any, network: Literal["har_lstm", "roadmap"]
) -> None:
    market, bars = drawn
    trainer = LocalLSTMTrainer({"network": network, "memory": 5, "market": market})
    if bars is None:
        # They would be fetched.
        return
    data = outcome("LocalLSTMTrainer.prepare_data", lambda: trainer.prepare_data(symbol, start, end, bars))
    if isinstance(data, Refusal):
        return
    assert np.isfinite(data.X_train).all()
    assert data.trained_through <= bars.index.max() + pd.Timedelta(minutes=1)


@examples(8)
@given(
    with_its_bars(lambda market: mostly(bars_frames(months=True, market=market), damaged_frames(market=market))),
    st.sampled_from(["ewma", "har"]),
)
def test_a_backtest_on_bars_of_any_market(drawn: tuple[str, pd.DataFrame], baseline: str) -> None:
    name, bars = drawn

    def traded() -> Run:
        market = Market.of(bars, baseline_forecasts(baseline, bars, name), market=name)
        return run_strategy(VolatilityTarget(0.2), market)

    run = outcome(f"backtest {name}", traded)
    if isinstance(run, Refusal):
        return
    assert np.isfinite(run.sessions.to_numpy()).all()
    sessions = market_named(name).schedule(bars.index[0], bars.index[-1])
    assert len(run.sessions) <= len(sessions)


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
