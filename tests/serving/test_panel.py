"""A universe in one call: each symbol's forecast is what a call for it alone gives, to the last bit."""

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast import Forecast, VolatilityForecaster
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import BarsError, BarsWarning, VolatilityError

FRAMES = {name: make_bars("2024-10-01", "2024-11-29", seed=seed, minutes=5) for seed, name in enumerate("ABCD")}
BARS = pd.concat(FRAMES, names=["symbol", "timestamp"])
MODELS = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")


def forecaster_of(name: str) -> VolatilityForecaster:
    return VolatilityForecaster(name, {"model_save_path": str(ROOT / "tests" / "data")})


@pytest.mark.parametrize("asof", [None, "2024-11-27 11:30"])
@pytest.mark.parametrize("model", MODELS)
def test_it_is_what_single_calls_give(model: str, asof: str | None) -> None:
    forecaster = forecaster_of(model)
    panel = forecaster.forecast_panel(BARS, asof, allow_in_sample=True)
    assert list(panel.index) == list(FRAMES)
    for symbol in FRAMES:
        alone = forecaster.forecast(BARS, asof, symbol=symbol, allow_in_sample=True)
        for name in Forecast.__dataclass_fields__:
            value, expected = panel.at[symbol, name], getattr(alone, name)
            np.testing.assert_equal(value, expected)


def test_total_volatility_too() -> None:
    forecaster = forecaster_of("ewma")
    panel = forecaster.forecast_panel(BARS, horizon="5 sessions", kind="total")
    for symbol, frame in FRAMES.items():
        assert (
            panel.loc[symbol, "volatility"] == forecaster.forecast(frame, horizon="5 sessions", kind="total").volatility
        )


def test_a_symbol_that_cannot_be_forecast_is_named_and_the_others_are() -> None:
    holed = pd.concat(
        {**FRAMES, "E": FRAMES["A"].tail(30), "F": FRAMES["B"].assign(close=-1.0)}, names=BARS.index.names
    )
    panel = forecaster_of("ewma").forecast_panel(holed)
    assert list(panel.index) == list(FRAMES)
    assert set(panel.attrs["failed"]) == {"E", "F"}
    assert "zero or less" in panel.attrs["failed"]["F"]
    with pytest.raises(VolatilityError, match="needs 7"):
        forecaster_of("ewma").forecast_panel(holed.loc[["E"]])
    with pytest.raises(BarsError, match="without a name"):
        forecaster_of("ewma").forecast_panel(FRAMES["A"])


@pytest.mark.parametrize("model", MODELS)
def test_holes_other_ends_and_symbols_that_fail_change_nothing_of_the_others(model: str) -> None:
    holes = np.random.default_rng(5).random(len(FRAMES["B"])) < 0.8
    frames = {
        "wrong": FRAMES["A"].assign(close=-1.0), "A": FRAMES["A"], "B": FRAMES["B"][holes],
        "C": FRAMES["C"].iloc[500:-200], "few": FRAMES["D"].tail(20), "D": FRAMES["D"],
    }  # fmt: skip
    bars, forecaster = pd.concat(frames, names=BARS.index.names), forecaster_of(model)
    panel = forecaster.forecast_panel(bars, allow_in_sample=True)
    assert list(panel.index) == list("ABCD")
    assert set(panel.attrs["failed"]) == {"wrong", "few"}
    for symbol, row in panel.iterrows():
        alone = forecaster.forecast(bars, row["asof"], symbol=str(symbol), allow_in_sample=True)
        np.testing.assert_equal(row.to_dict(), {name: getattr(alone, name) for name in panel.columns})


def test_a_symbol_that_lags_is_forecast_as_of_the_same_moment() -> None:
    late = pd.concat({"A": FRAMES["A"], "B": FRAMES["B"].iloc[:-100]}, names=BARS.index.names)
    panel = forecaster_of("ewma").forecast_panel(late)
    assert panel["asof"].nunique() == 1
    asof = panel["asof"].iloc[0]
    assert panel.loc["B", "volatility"] == forecaster_of("ewma").forecast(FRAMES["B"].iloc[:-100], asof).volatility


def test_a_long_panel_comes_back_long() -> None:
    long = BARS.reset_index().rename(columns={"symbol": "unique_id", "timestamp": "ds"})
    panel = forecaster_of("ewma").forecast_panel(long)
    assert list(panel.columns)[:2] == ["unique_id", "ds"]
    np.testing.assert_array_equal(panel["volatility"], forecaster_of("ewma").forecast_panel(BARS)["volatility"])


def test_a_symbol_that_trades_no_more_is_warned_of() -> None:
    market = simulate_bars("ETH/USD", "2024-02-01", "2024-03-10", minutes=5, market="24/7")
    gone = market[market.index < pd.Timestamp("2024-03-08 12:00", tz="UTC")]
    panel = pd.concat({"ETH/USD": market, "LUNA/USD": gone}, names=["symbol", "timestamp"])
    forecaster = VolatilityForecaster("ewma", {"market": "24/7"})
    with pytest.warns(BarsWarning, match="last bar of LUNA/USD ended 2024-03-08 12:00.*, 2 whole sessions of 24/7"):
        forecaster.forecast_panel(panel)
    with pytest.warns(BarsWarning, match="1 whole session of 24/7"):
        forecaster.stream(gone).forecast(pd.Timestamp("2024-03-10 03:00", tz="UTC"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarsWarning)
        # A day that is not whole may come yet.
        forecaster.forecast(gone, pd.Timestamp("2024-03-09 23:59", tz="UTC"))


def test_a_night_and_a_weekend_make_no_bars_old() -> None:
    bars = make_bars("2024-06-03", "2024-06-21", minutes=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarsWarning)
        VolatilityForecaster("ewma").forecast(bars, pd.Timestamp("2024-06-24 15:59", tz="America/New_York"))
