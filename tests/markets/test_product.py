"""The whole product on markets that are not New York's, on simulated bars."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from local_training import LocalLSTMTrainer
from volatility_forecaster import VolatilityForecaster
from volcast.arrays import time_index
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.prices import session_prices
from volcast.bars.quality import assess_quality
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError
from volcast.markets.registry import market_named
from volcast.serving.stream import ForecastStream

OTHERS = ["24/7", "24/5", "CMES", "XLON", "XTKS", "XASX"]


def bars_of(market: str, last: str = "2024-04-30") -> pd.DataFrame:
    return simulate_bars("CHECK", "2024-01-03", last, minutes=5, market=market)


@pytest.mark.parametrize("market", OTHERS)
def test_a_stream_is_its_series_and_sees_nothing_ahead(market: str) -> None:
    bars = bars_of(market, "2024-02-02")
    forecaster = VolatilityForecaster("ewma", {"market": market})
    series = forecaster.forecast_series(bars)
    random = np.random.default_rng(4)
    for row in random.choice(np.arange(30, len(series)), 6, replace=False):
        asof = series["asof"].iloc[row]
        noisy = bars.copy()
        noisy[noisy.index >= asof] *= random.lognormal(0, 0.2)
        for frame in (bars, noisy):
            forecast = forecaster.forecast(frame, asof=asof)
            assert forecast.volatility == series["volatility"].iloc[row]
            assert forecast.bucket == series.index[row]
    stream: ForecastStream = forecaster.stream(bars.iloc[:2000])
    for begin in range(2000, len(bars), 311):
        stream.update(bars.iloc[begin : begin + 311])
    assert stream.forecast().volatility == series["volatility"].iloc[-1]


@pytest.mark.parametrize("market", OTHERS)
def test_a_longer_horizon_is_a_session_of_the_market(market: str) -> None:
    count = market_named(market).buckets_per_session
    forecaster = VolatilityForecaster("ewma", {"market": market})
    bars = bars_of(market, "2024-02-02")
    for horizon in ("session_end", count, 5 * count):
        forecast = forecaster.forecast(bars, horizon=horizon)
        assert 0.02 < forecast.annualized_volatility < 2


@pytest.mark.parametrize("market", OTHERS)
def test_a_backtest_trades_its_sessions(market: str) -> None:
    bars = bars_of(market, "2024-03-29")
    traded = Market.of(bars, baseline_forecasts("ewma", bars, market), market=market)
    sessions = market_named(market).schedule(bars.index[0], bars.index[-1])
    prices = session_prices(bars, market)
    assert list(prices.index) == list(sessions.index)
    assert len(traded.outlook["CHECK"]) > 20
    assert (prices["closes_at"] <= pd.DatetimeIndex(sessions["close"])).all()


@pytest.mark.parametrize("market", OTHERS)
def test_the_quality_of_its_own_bars_is_good(market: str) -> None:
    quality = assess_quality(bars_of(market), market=market)
    assert not quality.is_bad
    assert {finding.kind for finding in quality.findings} <= {"half-day"}


def test_bars_round_the_clock_on_new_york_are_asked_about() -> None:
    coins = simulate_bars("CHECK", "2024-01-03", "2024-04-30", minutes=5, market="24/7")
    (finding,) = [one for one in assess_quality(coins, market="XNYS").findings if one.kind == "market"]
    assert finding.level == "bad"
    assert "they fit 24/7 (coins)" in finding.sentence
    with pytest.raises(BarsError, match="say --market 24/7"):
        LocalLSTMTrainer({"market": "XNYS"}).prepare_data(bars=coins)


def test_an_old_configuration_names_its_calendar() -> None:
    assert TrainingConfig.from_mapping({"calendar": "XLON"}).market == "XLON"
    assert TrainingConfig.from_mapping({"symbol": "BTC/USD"}).market_name == "24/7"
    assert TrainingConfig.from_mapping({"symbol": "BTC/USD", "market": "XNYS"}).market_name == "XNYS"


@pytest.mark.train
@pytest.mark.parametrize("market", OTHERS)
def test_a_model_is_trained_saved_loaded_and_retrained(market: str, tmp_path: Path) -> None:
    bars = bars_of(market, "2024-06-28")
    settings = {"symbol": "CHECK", "market": market, "model_save_path": str(tmp_path), "networks": 1, "epochs": 1}
    forecaster = VolatilityForecaster(None, {**settings, "accept_verdict": True, "every": "month"})
    days = pd.Timestamp("2024-05-31", tz="UTC")
    result = forecaster.train_locally("CHECK", bars=bars[bars.index < days])
    loaded = VolatilityForecaster(result.bundle.path, settings)
    series = loaded.forecast_series(bars)
    assert len(series) > 50
    assert str(time_index(series).tz) == market_named(market).zone
    forecast = loaded.forecast(bars, asof=series["asof"].iloc[-3])
    assert forecast.volatility == series["volatility"].iloc[-3]
    assert forecast.lower < forecast.volatility < forecast.upper
    assert forecaster.forecast(bars, models="as-of").bucket == series.index[-1]
    assert loaded.forecast(bars, horizon=1, kind="total").volatility > 0
    assert forecaster.retrain_if_due(bars) is not None
