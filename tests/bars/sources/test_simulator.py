"""Simulated bars have what real bars have, and are the same for the same seed."""

from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.arrays import time_index
from volcast.bars.checks import validate_bars
from volcast.bars.handler import DataHandler
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import ConfigError, DataSourceError, NotEnoughDataError
from volcast.measures.hourly import annualize, get_hourly_rv

NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return simulate_bars("TSLA", "2024-01-02", "2024-12-31", seed=42)


@pytest.fixture(scope="module")
def rv(year: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(year)


def daily_returns_per_minute(bars: pd.DataFrame) -> pd.Series:
    """Log returns inside sessions, indexed by the end of the minute in New York."""
    local = bars.tz_convert(NEW_YORK)
    logs = pd.Series(np.log(local["close"].to_numpy()), local.index)
    returns = logs.groupby(time_index(local).date).diff().dropna()
    return returns.set_axis(returns.index + pd.Timedelta(minutes=1))


def test_the_same_arguments_give_the_same_bars_and_others_give_others(year: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(simulate_bars("TSLA", "2024-01-02", "2024-12-31", seed=42), year)
    span = ("2024-01-02", "2024-01-31")
    first = np.sign(daily_returns_per_minute(simulate_bars("TSLA", *span, seed=1)))
    for other in (simulate_bars("TSLA", *span, seed=2), simulate_bars("SPY", *span, seed=1)):
        assert abs(first.corr(np.sign(daily_returns_per_minute(other)))) < 0.05


def test_they_are_bars_that_anything_can_use(year: pd.DataFrame) -> None:
    assert validate_bars(year) is year
    assert list(year.columns) == ["open", "high", "low", "close", "volume"]
    assert (year["high"] >= year[["open", "close"]].max(axis=1)).all()
    assert (year["low"] <= year[["open", "close"]].min(axis=1)).all()
    assert (year["volume"] > 0).all()
    assert str(time_index(year).tz) == "UTC"


def test_they_say_that_they_are_simulated(year: pd.DataFrame) -> None:
    assert year.attrs == {"symbol": "TSLA", "source": "simulator", "simulated": True, "detail": "seed 42"}
    through_handler = DataHandler("simulator", seed=7).get_stock_bars("SPY", "2024-01-02", "2024-01-05")
    assert through_handler.attrs["simulated"] is True
    pd.testing.assert_frame_equal(through_handler, simulate_bars("SPY", "2024-01-02", "2024-01-05", seed=7))


def test_volatility_clusters(rv: pd.Series) -> None:
    level = np.log(rv) - np.log(rv).groupby(time_index(rv).hour).transform("mean")
    by_lag = [level.autocorr(lag) for lag in (1, 7, 35)]
    assert by_lag[0] > 0.5
    assert by_lag[1] > 0.25
    shuffled = pd.Series(np.random.default_rng(0).permutation(level.to_numpy()))
    assert abs(shuffled.autocorr(1)) < 0.1


def test_returns_have_fat_tails_and_no_direction(year: pd.DataFrame) -> None:
    returns = daily_returns_per_minute(year)
    assert cast(float, returns.kurt()) > 3
    assert abs(returns.autocorr(1)) < 0.02


def test_a_day_is_u_shaped(year: pd.DataFrame) -> None:
    returns = daily_returns_per_minute(year)
    deviation = returns.groupby(time_index(returns).hour * 60 + time_index(returns).minute).std()
    opening, noon, closing = (deviation.loc[low:high].mean() for low, high in ((571, 600), (720, 780), (931, 960)))
    assert opening > 1.5 * noon
    assert noon < 0.85 * closing < opening


def test_nights_have_gaps_that_are_larger_than_minutes(year: pd.DataFrame) -> None:
    local = year.tz_convert(NEW_YORK)
    opens, closes = (local[column].groupby(time_index(local).date) for column in ("open", "close"))
    gaps = np.log(opens.first().iloc[1:].to_numpy() / closes.last().iloc[:-1].to_numpy())
    assert np.std(gaps) > 5 * daily_returns_per_minute(year).std()


def test_some_minutes_are_missing_and_none_outside_the_sessions(year: pd.DataFrame) -> None:
    full, half = 249, 3  # sessions of 2024
    expected = full * 390 + half * 210
    assert 0.002 < 1 - len(year) / expected < 0.01
    assert get_hourly_rv(year).attrs["left_out"]["bars_outside_sessions"] == 0


@pytest.mark.parametrize(
    ("day", "last_minute"), [("2024-07-03", "12:59"), ("2024-11-29", "12:59"), ("2024-12-24", "12:59")]
)
def test_half_days_end_early(year: pd.DataFrame, day: str, last_minute: str) -> None:
    local = year.tz_convert(NEW_YORK).loc[day]
    assert f"{local.index[-1]:%H:%M}" <= last_minute
    assert f"{local.index[-1]:%H:%M}" > "12:50"
    assert f"{local.index[0]:%H:%M}" < "09:40"


def test_days_without_a_session_have_no_bars(year: pd.DataFrame) -> None:
    days = set(time_index(year).tz_convert(NEW_YORK).strftime("%Y-%m-%d"))
    assert len(days) == 252
    assert not days & {"2024-07-04", "2024-11-28", "2024-12-25", "2024-11-30"}
    assert set(time_index(simulate_bars("X", "2025-01-08", "2025-01-10")).tz_convert(NEW_YORK).day) == {8, 10}
    with pytest.raises(NotEnoughDataError, match="no session from 2025-01-09 to 2025-01-09"):
        simulate_bars("X", "2025-01-09", "2025-01-09")


def test_the_level_is_that_of_a_stock(rv: pd.Series) -> None:
    per_year = annualize(float((rv**2).groupby(time_index(rv).date).sum().mean()) ** 0.5, 390, 252 * 390)
    assert 0.15 < per_year < 0.8


@settings(max_examples=10, deadline=None)
@given(minutes=st.sampled_from([2, 5, 15, 30]), seed=st.integers(0, 5))
def test_longer_bars_are_made_of_the_minutes(minutes: int, seed: int) -> None:
    span = ("2024-07-02", "2024-07-05")
    short = simulate_bars("X", *span, seed=seed)
    long = simulate_bars("X", *span, seed=seed, minutes=minutes)
    assert long["volume"].sum() == short["volume"].sum()
    assert long["high"].max() == short["high"].max()
    assert long["close"].iloc[-1] == short["close"].iloc[-1]
    assert (time_index(long).minute % minutes == 0).all()


def test_no_bounds_are_refused() -> None:
    with pytest.raises(DataSourceError, match="start_date and end_date"):
        DataHandler("simulator").get_stock_bars("SPY")


def test_a_market_that_trades_at_night_has_no_bars_around_its_sessions() -> None:
    with pytest.raises(ConfigError, match="nights are asked of CMES, whose sessions are not within"):
        simulate_bars("NQ", "2024-06-03", "2024-06-14", nights=True)
