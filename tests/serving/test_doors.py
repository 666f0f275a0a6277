"""Every door gives the same answer for the same frame: one that measures, one that forecasts, and one that streams."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars
from tests.support.edits import scale
from volcast.arrays import time_index
from volcast.errors import BarsError, ConfigError, VolatilityError
from volcast.forecaster import VolatilityForecaster
from volcast.measures.hourly import get_hourly_rv

BARS = make_bars("2024-11-18", "2024-12-06")
MINUTE = pd.Timedelta(minutes=1)
PRICES = ["open", "high", "low", "close"]


def ewma() -> VolatilityForecaster:
    return VolatilityForecaster("ewma")


def streamed(bars: Any) -> float:
    return ewma().stream(bars).forecast().volatility


FORECASTS: dict[str, Callable[[Any], float]] = {
    "forecast": lambda bars: ewma().forecast(bars).volatility,
    "forecast of its time": lambda bars: ewma().forecast(bars, models="as-of").volatility,
    "forecast_series": lambda bars: float(ewma().forecast_series(bars)["volatility"].iloc[-1]),
    "stream": streamed,
}
READ: dict[str, Any] = {
    "yfinance": pd.concat({"SPY": BARS.rename(columns=str.title)}, axis=1, names=["Ticker", "Price"]),
    "categories": BARS.astype(dict.fromkeys(PRICES, "category")),
    "categories of text": BARS.astype(dict.fromkeys(PRICES, str)).astype(dict.fromkeys(PRICES, "category")),
    "nullable": BARS.convert_dtypes(),
    "text": BARS.map(str),
    "stamps in a column": BARS.reset_index(),
    "one symbol": BARS.assign(symbol="SPY"),
}
REFUSED: dict[str, Any] = {
    "None": None,
    "a list": [1.0, 2.0],
    "numpy": BARS.to_numpy(),
    "a series": BARS["close"],
    "columns twice": pd.concat([BARS, BARS[["close"]]], axis=1),
    "no zone": BARS.tz_localize(None),
    "periods": BARS.tz_localize(None).to_period("min"),
    "no stamp": BARS.set_axis(BARS.index.where(np.arange(len(BARS)) != 7)),
    "ends": BARS.set_axis(BARS.index + MINUTE),
    "adjusted in part": BARS.assign(close=BARS["close"] * 0.9),
    "truth": BARS.assign(close=True),
    "none": BARS.iloc[:0],
    "nothing": pd.DataFrame(),
}


def sentence(door: Callable[[Any], Any], bars: Any) -> str:
    with pytest.raises(VolatilityError) as caught:
        door(bars)
    return str(caught.value)


def outcome(door: Callable[[Any], float], bars: Any) -> float | str:
    """What a door gives, or says."""
    try:
        return door(bars)
    except BarsError as error:
        return str(error)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("door", FORECASTS)
def test_what_is_read_is_forecast(door: str, name: str) -> None:
    # Text has fewer digits than a number here and there.
    assert FORECASTS[door](READ[name]) == pytest.approx(FORECASTS["forecast"](BARS), rel=1e-9)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("door", FORECASTS)
def test_what_is_refused_is_forecast_by_no_door(door: str, name: str) -> None:
    assert sentence(FORECASTS[door], REFUSED[name]) == sentence(get_hourly_rv, REFUSED[name])


@pytest.mark.parametrize("name", [*READ, *REFUSED])
def test_a_frame_of_another_kind_in_a_live_loop(name: str) -> None:
    """After bars that were read, and before them again."""
    forecaster, bars = ewma(), (READ | REFUSED)[name]
    before = forecaster.forecast(BARS).volatility
    if name in READ:
        assert forecaster.forecast(bars).volatility == pytest.approx(before, rel=1e-9)
    else:
        assert sentence(forecaster.forecast, bars) == sentence(get_hourly_rv, bars)
    assert forecaster.forecast(BARS).volatility == before


def test_a_column_of_categories_set_in_place_is_not_taken_by_its_codes() -> None:
    forecaster, bars = ewma(), BARS.copy()
    before = forecaster.forecast(bars).volatility
    bars["close"] = bars["close"].astype("category")
    assert forecaster.forecast(bars).volatility == before


def test_retraining_reads_the_same_frames(tmp_path: Path) -> None:
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path), "every": "month"})
    for name in ("None", "ends", "no zone"):
        for door in (forecaster.retrain_if_due, lambda bars: forecaster.retrain_async(bars=bars)):
            if REFUSED[name] is not None or door == forecaster.retrain_if_due:
                assert sentence(door, REFUSED[name]) == sentence(get_hourly_rv, REFUSED[name])


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_bars_that_turn_to_ends_or_to_another_scale_are_noticed_when_a_fresh_forecaster_would(
    data: st.DataObject,
) -> None:
    """Bars grow, minute by minute or by hours, whole and then not; each answer is that of fresh eyes."""
    sound = data.draw(st.integers(0, 2)) * 390
    bars = BARS.copy()
    if data.draw(st.booleans()):
        bars.index = time_index(bars)[:sound].append(time_index(bars)[sound:] + MINUTE)
    else:
        scale(bars, slice(sound, None), "close", 0.9)
    live, stream, count = ewma(), None, 400
    while count < 5 * 390:
        frame = bars.iloc[:count]
        expected = outcome(FORECASTS["forecast"], frame)
        assert outcome(lambda bars: live.forecast(bars).volatility, frame) == expected
        if isinstance(expected, str):
            assert stream is None or sentence(stream.update, frame) == expected
            return
        if stream is None:
            stream = ewma().stream(frame)
        else:
            stream.update(frame)
        assert stream.forecast().volatility == expected
        count += data.draw(st.sampled_from([1, 60, 389, 390, 391]))


def test_attrs_say_that_stamps_are_starts() -> None:
    bars, live = BARS.set_axis(BARS.index + MINUTE), ewma()
    bars.attrs["stamps"] = "start"
    forecast = live.forecast(bars).volatility
    assert streamed(bars) == forecast
    del bars.attrs["stamps"]
    assert "bars.attrs['stamps']" in sentence(live.forecast, bars)


def test_a_symbol_without_a_stamp_is_left_out_of_the_market_or_refused() -> None:
    stacked = pd.concat({"QQQ": BARS, "SPY": REFUSED["no stamp"]}, names=["symbol", "timestamp"])
    assert ewma().forecast(stacked, symbol="QQQ").volatility == ewma().forecast(BARS).volatility
    with pytest.raises(BarsError, match="missing time stamp"):
        ewma().forecast(stacked, symbol="SPY")


@pytest.mark.parametrize("door", ["forecast", "forecast_series"])
def test_models_are_serving_or_of_their_time(door: str) -> None:
    with pytest.raises(ConfigError, match="models is 'asof'; the rule is 'serving' or 'as-of'"):
        getattr(ewma(), door)(BARS, models="asof")


@pytest.mark.parametrize("tz", ["Mars", "", "../etc", 5])
def test_an_unknown_zone_is_said(tz: Any) -> None:
    with pytest.raises(ConfigError, match=r"tz is .* time zone"):
        get_hourly_rv(BARS, tz=tz)
