"""The whole product on markets that are not New York's, on simulated bars."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from local_training import LocalLSTMTrainer
from tests.support.bars import make_bars, with_noise_after
from tests.support.markets import OTHERS
from volatility_forecaster import VolatilityForecaster
from volcast.arrays import time_index
from volcast.backtest.accounts import Costs
from volcast.backtest.engine import run_strategy
from volcast.backtest.forecasts import baseline_forecasts, perfect_foresight
from volcast.backtest.market import Market
from volcast.backtest.prices import regular_bars, session_prices
from volcast.backtest.strategies.buy_and_hold import BuyAndHold
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.bars.cleaning import clean_bars
from volcast.bars.quality import assess_quality
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError, BarsWarning, ModelMismatchWarning
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv
from volcast.serving.stream import ForecastStream

HOUR = pd.Timedelta(hours=1)


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
def test_figures_of_a_backtest_are_of_the_markets_year(market: str) -> None:
    bars = bars_of(market, "2024-03-29")
    run = run_strategy(VolatilityTarget(0.2), Market.of(bars, baseline_forecasts("ewma", bars, market), market=market))
    spread = float(run.sessions["return"].std())
    year = market_named(market).sessions_per_year
    assert run.statistics["annual_volatility"] == pytest.approx(spread * year**0.5)
    assert 0.4 < run.statistics["volatility_to_target"] < 2.5


@pytest.mark.parametrize("market", OTHERS)
def test_a_session_is_one_also_where_it_begins_on_the_evening_before(market: str) -> None:
    bars = bars_of(market, "2024-03-29")
    traded = Market.of(bars, baseline_forecasts("ewma", bars, market), market=market)
    held = run_strategy(BuyAndHold(), traded, Costs(0.0)).sessions
    prices, days = traded.prices["CHECK"], traded.sessions_of(time_index(held))
    assert list(days) == list(prices.index[prices.index.searchsorted(days[0]) :])
    np.testing.assert_allclose(held["return"].iloc[1:], prices["close"].pct_change()[days[1:]], rtol=1e-9)
    variance = (prices["variance"] + prices["night"] ** 2)[days[1:]]
    np.testing.assert_allclose(held["variance"].iloc[1:], variance, rtol=0.05)
    by_forecast = run_strategy(VolatilityTarget(0.2, band=0.0), traded)
    assert list(traded.sessions_of(time_index(by_forecast.sessions))) == list(days)


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


def test_the_fallback_says_whose_hours_it_forecasts_where_the_symbol_tells_others() -> None:
    coins = simulate_bars("BTC/USD", "2024-03-01", "2024-03-21", minutes=5)
    with pytest.warns(
        ModelMismatchWarning, match=r"hours of XNYS .* BTC/USD, which is traded on 24/7; .*market='24/7'"
    ):
        VolatilityForecaster("ewma").forecast(coins)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VolatilityForecaster("ewma", {"market": "24/7"}).forecast(coins)
        VolatilityForecaster("ewma", {"market": "XNYS"}).forecast(coins)


def test_three_weeks_of_a_coin_leave_out_horizons_that_no_part_holds() -> None:
    coins = simulate_bars("BTC/USD", "2024-03-01", "2024-03-21", minutes=5)
    for share, has_week in ((0.2, False), (0.3, True), (0.45, False)):
        data = LocalLSTMTrainer({"symbol": "BTC/USD", "validation_split": share}).prepare_data(bars=coins)
        assert isinstance(data.recipe, HarLstm)
        assert np.isfinite(data.y_train).all()
        assert 1 in data.recipe.horizons
        assert (120 in data.recipe.horizons) == has_week


def test_an_old_configuration_names_its_calendar() -> None:
    assert TrainingConfig.from_mapping({"calendar": "XLON"}).market == "XLON"
    assert TrainingConfig.from_mapping({"symbol": "BTC/USD"}).market_name == "24/7"
    assert TrainingConfig.from_mapping({"symbol": "BTC/USD", "market": "XNYS"}).market_name == "XNYS"


@pytest.mark.parametrize("market", OTHERS)
def test_companions_are_looked_at_as_far_as_the_symbol_and_no_further(market: str) -> None:
    bars = bars_of(market, "2024-06-28")
    # An hour into the market's day, which for some begins on the evening before.
    bars = bars[bars.index < market_named(market).schedule(bars.index[0], bars.index[-1])["open"].iloc[-20] + 2 * HOUR]
    settings = {"market": market, "companions": "BBB", "bars_source": "simulator", "data_frequency": "5Min"}
    trainer = LocalLSTMTrainer({**settings, "symbol": "CHECK", "start_date": "2024-01-03"})
    data = trainer.prepare_data("CHECK", bars=bars)
    assert data.measures["BBB"].index[-1] == data.measures["CHECK"].index[-1]
    assert data.subject == "CHECK"


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
    # Models of their time, those among them that are trained on the way, know nothing of what comes later.
    asof = series["asof"].iloc[-30]
    noisy = with_noise_after(bars, asof)
    assert loaded.forecast(noisy, asof=asof).volatility == series["volatility"].iloc[-30]
    assert forecaster.forecast(noisy, asof, models="as-of") == forecaster.forecast(bars, asof, models="as-of")
    assert loaded.forecast(bars, horizon=1, kind="total").volatility > 0
    assert forecaster.retrain_if_due(bars) is not None


def test_forecasts_before_a_market_traded_longer_are_annualized_by_the_sessions_of_that_time() -> None:
    bars = simulate_bars("7203.T", "2024-10-01", "2024-11-15", minutes=5, market="XTKS")
    stream = VolatilityForecaster("ewma", {"market": "XTKS"}).stream(bars[:1])
    changed = pd.Timestamp("2024-11-05", tz="Asia/Tokyo")
    series = VolatilityForecaster("ewma", {"market": "XTKS"}).forecast_series(bars)
    table = market_named("XTKS").bucket_table(series.index[0], series.index[-1]).loc[series.index]
    year = 244 * np.where(series.index < changed, 300, 330)
    expected = series["volatility"] * np.sqrt(year / table["minutes"])
    np.testing.assert_allclose(series["annualized_volatility"], expected, rtol=1e-12)
    assert (series.index < changed).sum() > 50
    last = series.index[series.index < changed][-1]
    stream.update(bars[bars.index < series.loc[last, "asof"]])
    assert stream.forecast().annualized_volatility == pytest.approx(
        series.loc[last, "annualized_volatility"], rel=1e-15
    )


def unnamed(market: str) -> pd.DataFrame:
    bars = bars_of(market, "2024-02-02")
    bars.attrs.clear()
    return bars


def test_bars_that_nobody_names_and_that_trade_on_weekends_are_of_what_never_closes_and_it_is_said() -> None:
    bars = unnamed("24/7")
    with pytest.warns(BarsWarning, match="fit those of 24/7; say so by market='24/7', .* taken for 24/7's"):
        told = get_hourly_rv(bars)
    pd.testing.assert_series_equal(told, get_hourly_rv(bars, market="24/7"))


def test_bars_that_nobody_names_and_that_trade_all_night_are_cut_to_new_yorks_hours_and_it_is_said() -> None:
    bars = unnamed("24/5")
    with pytest.warns(BarsWarning, match="7.% of the bars lie outside .* fit those of 24/5; .* taken for XNYS's"):
        told = get_hourly_rv(bars)
    pd.testing.assert_series_equal(told, get_hourly_rv(bars, market="XNYS"))


@pytest.mark.parametrize("market", ["24/7", "24/5", "CMES", "XTKS"])
def test_a_forecast_without_a_model_says_whose_hours_the_bars_fit(market: str) -> None:
    bars = unnamed(market)
    with pytest.warns(
        ModelMismatchWarning, match=f"ewma forecasts hours of XNYS, where nobody says .* market='{market}'"
    ):
        VolatilityForecaster("ewma").stream(bars)


def test_nothing_is_said_of_hours_that_somebody_has_named_or_that_surround_new_yorks() -> None:
    bars = unnamed("24/7")
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarsWarning)
        warnings.simplefilter("error", ModelMismatchWarning)
        get_hourly_rv(bars, market="XNYS")
        get_hourly_rv(bars, "BTC/USD")
        VolatilityForecaster("ewma", {"market": "XNYS"}).forecast(bars)
        extended = make_bars("2024-01-03", "2024-02-02", minutes=5, extended=True)
        get_hourly_rv(extended)
        VolatilityForecaster("ewma").forecast(extended)


def polars_frame(bars: pd.DataFrame) -> object:
    return pytest.importorskip("polars").from_pandas(bars.reset_index(names="timestamp"))


SHAPES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "plain": lambda bars: bars,
    "capitals": lambda bars: bars.rename(columns=str.upper),
    "stamps in a column": lambda bars: bars.reset_index(names="timestamp"),
    "polars": polars_frame,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "door",
    [
        get_hourly_rv,
        get_hourly_measures,
        assess_quality,
        clean_bars,
        regular_bars,
        session_prices,
        Market.of,
        lambda bars: baseline_forecasts("ewma", bars),
        perfect_foresight,
    ],
)
def test_frames_of_any_shape_are_told_of_their_hours_once(door: Callable[[Any], Any], shape: str) -> None:
    frame = SHAPES[shape](unnamed("24/7"))
    with pytest.warns(BarsWarning, match="fit those of 24/7; .* taken for 24/7's") as warned:
        door(frame)
    assert len(warned) == 1
    assert warned[0].filename == __file__


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_of_any_shape_are_measured_trained_and_forecast_in_their_hours(shape: str) -> None:
    bars = unnamed("24/7")
    frame = SHAPES[shape](bars)
    told = get_hourly_rv(bars, market="24/7")
    with pytest.warns(BarsWarning):
        assert len(get_hourly_rv(frame)) == len(told)
    with pytest.warns(ModelMismatchWarning, match="they fit those of 24/7"):
        VolatilityForecaster("ewma").forecast(frame)
    trainer = LocalLSTMTrainer({"memory": 24})
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarsWarning)
        data = trainer.prepare_data(bars=frame)
    assert trainer.config.market == "24/7"
    assert [len(measures) for measures in data.measures.values()] == [len(told)]
