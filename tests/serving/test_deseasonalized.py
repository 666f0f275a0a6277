"""Forecasts without the day's U-shape: of all hours alike, as large as a session's, from the past alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from tests.support.counted import CountingNetwork, counted_recipe
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.features.scaling import make_scaler
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import Horizon
from volcast.forecasters.recipe import ScaledWindows
from volcast.forecasters.seasonality import TypicalDays, deseasonalized_volatility
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv
from volcast.serving.served_model import ServedModel
from volcast.serving.stream import ForecastStream
from volcast.store.bundle import ModelBundle

NEW_YORK = "America/New_York"
COLUMNS = ["asof", "volatility", "annualized_volatility", "lower", "upper", "model_version", "is_fallback"]
SHAPE = {10: 2.2, 11: 1.4, 12: 0.9, 13: 0.7, 14: 0.7, 15: 1.0, 16: 1.6}
"""What each hour's returns are multiplied by."""


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Bars whose days have a U-shape."""
    flat = make_bars("2024-03-01", "2024-12-31", seed=3)
    ends = (time_index(flat) + pd.Timedelta(minutes=1)).tz_convert(NEW_YORK)
    factor = pd.Series(ends.ceil("h").hour, flat.index).map(SHAPE).to_numpy()
    within = np.log(flat["close"] / flat["open"]) * factor
    close = 100 * np.exp(within.cumsum())
    first = close / np.exp(within)
    columns = {"open": first, "high": np.maximum(first, close), "low": np.minimum(first, close), "close": close}
    return pd.DataFrame(columns, flat.index)


@pytest.fixture(scope="module")
def models(bars: pd.DataFrame) -> Mapping[str, ServedModel]:
    config = TrainingConfig.from_mapping({"memory": 20})
    notebook = TrainingConfig.from_mapping({"memory": 20, "preset": "colab"})
    recipe = counted_recipe(get_hourly_measures(bars))
    assert isinstance(recipe, HarLstm)
    windows = ScaledWindows(make_scaler("diurnal_log").fit(get_hourly_rv(bars)), 20, (0.5, 2.0))
    scaled = ScaledWindows(make_scaler("minmax").fit(get_hourly_rv(bars, preset="colab")), 20, (0.5, 2.0))
    bundles = {
        "default": ModelBundle("default", (CountingNetwork(),), recipe, config),
        "roadmap": ModelBundle("roadmap", (CountingNetwork(),), windows, config),
        "colab": ModelBundle("colab", (CountingNetwork(),), scaled, notebook),
    }
    served = {name: ServedModel(bundle, bundle.config) for name, bundle in bundles.items()}
    return {**served, "ewma": ServedModel.of(None, TrainingConfig())}


def series_of(model: ServedModel, bars: pd.DataFrame, horizon: Horizon = 1) -> pd.DataFrame:
    stream = ForecastStream.of(model, bars)
    return stream.series(stream.grid(), horizon, allow_in_sample=True)


def spread_by_hour(series: pd.Series) -> float:
    """How far the hours' mean logarithms lie apart."""
    means = np.log(series).groupby(market_named("XNYS").hours_of_labels(time_index(series))).mean()
    return float(means.max() - means.min())


@pytest.mark.parametrize(("kind", "horizon"), [("default", 1), ("default", "session_end"), ("roadmap", 1), ("ewma", 1)])
def test_there_is_no_pattern_of_the_day_in_it(
    models: Mapping[str, ServedModel], bars: pd.DataFrame, kind: str, horizon: Horizon
) -> None:
    series = series_of(models[kind], bars, horizon).iloc[300:-1]
    assert spread_by_hour(series["annualized_volatility"]) > 0.4
    assert spread_by_hour(series["deseasonalized_volatility"]) < 0.15


def test_it_is_the_volatility_of_whole_sessions(models: Mapping[str, ServedModel], bars: pd.DataFrame) -> None:
    series = series_of(models["ewma"], bars).iloc[200:-1]
    rv = get_hourly_rv(bars)
    sessions = np.sqrt((rv**2).groupby(time_index(rv).date).sum().mean() * 252)
    assert np.sqrt((series["deseasonalized_volatility"] ** 2).mean()) == pytest.approx(sessions, rel=0.1)


@pytest.mark.parametrize("kind", ["default", "roadmap", "ewma", "colab"])
def test_it_is_a_column_more_at_the_end(models: Mapping[str, ServedModel], bars: pd.DataFrame, kind: str) -> None:
    """The others are what the model forecasts, to the last bit."""
    model = models[kind]
    stream = ForecastStream.of(model, bars)
    grid = stream.grid()
    grid = grid.where(grid.known >= model.memory)
    series = stream.rows(grid)
    assert list(series.columns) == [*COLUMNS, "deseasonalized_volatility"]
    if model.bundle is None:
        plain = diurnal_ewma(grid.measures, grid.labels, grid.known)
        np.testing.assert_array_equal(series["volatility"], plain)
    else:
        forecast = model.bundle.forecast(grid.measures, grid.labels, grid.known)
        np.testing.assert_array_equal(series["volatility"], forecast.volatility)
        np.testing.assert_array_equal(series["lower"], forecast.lower)
    assert series["deseasonalized_volatility"].isna().all() == (kind == "colab")
    last = stream.forecast(allow_in_sample=True)
    np.testing.assert_array_equal(last.deseasonalized_volatility, series["deseasonalized_volatility"].iloc[-1])


@pytest.mark.parametrize("kind", ["default", "roadmap", "ewma"])
def test_the_future_changes_none_of_them(models: Mapping[str, ServedModel], bars: pd.DataFrame, kind: str) -> None:
    moment = pd.Timestamp("2024-11-14 12:00", tz=NEW_YORK)
    column = series_of(models[kind], bars)["deseasonalized_volatility"]
    changed = series_of(models[kind], with_noise_after(bars, moment))["deseasonalized_volatility"]
    pd.testing.assert_series_equal(changed[:moment], column[:moment], check_exact=True)


@pytest.mark.parametrize("horizon", [1, "session_end", 7, 35])
def test_it_is_the_sum_over_the_buckets_of_each_horizon(horizon: Horizon) -> None:
    """A half-day and a day on which clocks are set are among them; 13 has not been seen by the first of the two."""
    buckets = market_named("XNYS").bucket_table(pd.Timestamp("2024-10-28"), pd.Timestamp("2024-12-31"))
    hours = market_named("XNYS").hours_of_labels(time_index(buckets))
    labels, random = time_index(buckets)[:170], np.random.default_rng(2)
    typical = np.full((len(labels), 24), np.nan)
    typical[:, 10:17] = random.uniform(0.001, 0.01, (len(labels), 7))
    typical[0, 13] = np.nan
    volatility = random.uniform(0.001, 0.01, len(labels))
    days = TypicalDays.of(typical, market_named("XNYS"))
    made = deseasonalized_volatility(volatility, labels.as_unit("us").asi8, days, horizon, market_named("XNYS"))
    for row in range(len(labels)):
        if horizon == "session_end":
            inside = [
                place for place in range(row, row + 7) if buckets["session"].iloc[place] == buckets["session"].iloc[row]
            ]
        else:
            inside = list(range(row, row + int(horizon)))
        own = sum(typical[row, hours[place]] ** 2 for place in inside) ** 0.5
        seen = [hour for hour in range(10, 17) if not np.isnan(typical[row, hour])]
        minutes = sum(30 if hour == 10 else 60 for hour in seen)
        session = (sum(typical[row, hour] ** 2 for hour in seen) * 252 * 390 / minutes) ** 0.5
        np.testing.assert_allclose(made[row], volatility[row] / own * session, rtol=1e-12)


def test_each_day_is_a_session_of_its_time() -> None:
    """Tokyo's are of 330 minutes since 2024-11-05, before of 300: each day is of 20 % a year."""
    market = market_named("XTKS")
    table = market.bucket_table(pd.Timestamp("2024-11-01"), pd.Timestamp("2024-11-05"))
    labels, minutes = time_index(table), table["minutes"].to_numpy()
    hours = market.hours_of_labels(labels)
    typical = np.full((1, 24), np.nan)
    typical[0, hours] = 0.001 * np.sqrt(minutes)
    of_day = np.where(labels < pd.Timestamp("2024-11-05", tz=market.zone), 300, 330)
    volatility = 0.20 * np.sqrt(minutes / of_day / market.sessions_per_year)
    days = TypicalDays.of(typical, market)
    made = deseasonalized_volatility(volatility, labels.as_unit("us").asi8, days, 1, market)
    np.testing.assert_allclose(made, 0.20, rtol=1e-12)
