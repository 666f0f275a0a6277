"""From a session's volatility to a day's, held to a plain loop."""

import math

import numpy as np
import pandas as pd
import pytest

from volcast.arrays import time_index
from volcast.backtest.market import Market
from volcast.backtest.total_volatility import day_volatility


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    random = np.random.default_rng(5)
    sessions = pd.bdate_range("2024-01-02", periods=80, name="session")
    night = 0.006 * random.standard_normal(80)
    night[[0, 37]] = np.nan  # The first session, and one after a hole.
    return pd.DataFrame({"variance": 1e-4 * random.chisquare(5, 80) / 5, "night": night}, index=sessions)


def plain_scale(prices: pd.DataFrame, forecasts: pd.Series, day: pd.Timestamp) -> float:
    """k of one day, from the sessions before it alone."""
    totals, hours, ratios = [], [], []
    before = prices[prices.index < day]
    for session, (_, row) in zip(time_index(before), before.iterrows(), strict=True):
        if math.isnan(row["night"]):
            continue
        total = row["variance"] + row["night"] ** 2
        totals.append(total)
        hours.append(row["variance"])
        if session in forecasts.index:
            ratios.append(total / forecasts[session] ** 2)
    if len(totals) < 22:
        return math.nan
    return (22 * math.fsum(totals) / math.fsum(hours) + math.fsum(ratios)) / (22 + len(ratios))


def test_a_day_is_that_of_a_plain_loop(prices: pd.DataFrame) -> None:
    forecasts = pd.Series(0.01 + 0.001 * np.arange(70) / 70, index=prices.index[10:])
    days = day_volatility(forecasts, prices)
    for day, value in zip(time_index(days), days, strict=True):
        expected = forecasts[day] * math.sqrt(plain_scale(prices, forecasts, day))
        assert value == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert 10 < days.isna().sum() < 20


def test_a_day_rests_on_nothing_that_comes_with_it(prices: pd.DataFrame) -> None:
    forecasts = pd.Series(0.01, index=prices.index)
    changed = prices.copy()
    changed.iloc[60:] *= 50
    days, after = day_volatility(forecasts, prices), day_volatility(forecasts, changed)
    assert days.iloc[:61].equals(after.iloc[:61])
    assert days.iloc[61] != after.iloc[61]


def test_an_outlook_is_as_of_the_open(some_market: Market) -> None:
    outlook = some_market.outlook["XYZ"]
    assert (outlook["asof"].dt.strftime("%H:%M") == "09:30").all()
    assert (outlook["asof"].dt.tz_localize(None).dt.normalize() == outlook.index).all()
    assert outlook["annualized_volatility"].to_numpy() == pytest.approx(outlook["volatility"] * math.sqrt(252))
