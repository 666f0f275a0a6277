"""From a session's volatility to a day's, held to a plain loop."""

import math

import numpy as np
import pandas as pd
import pytest

from volcast.backtest.market import Market
from volcast.backtest.total_volatility import day_volatility


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    random = np.random.default_rng(5)
    sessions = pd.bdate_range("2024-01-02", periods=80, name="session")
    night = 0.006 * random.standard_normal(80)
    hours = 0.01 * random.standard_normal(80)
    close = 100 * np.exp(np.cumsum(night + hours))
    night[[0, 37]] = np.nan  # The first session, and one after a hole.
    return pd.DataFrame(
        {"variance": 1e-4 * random.chisquare(5, 80) / 5, "night": night, "close": close}, index=sessions
    )


def plain_scale(prices: pd.DataFrame, forecasts: pd.Series, today: int) -> float:
    """What the variance forecast of session number `today` is multiplied by, from the sessions before it alone."""
    nights, hours, of_nights, days, squares, past = 0.0, 0.0, 0, 0.0, 0.0, 0
    outcomes: list[float] = []
    variances = {day: float(value) ** 2 for day, value in forecasts.items()}
    for row in range(1, today):
        before, now = (float(prices["variance"].iloc[place]) for place in (row - 1, row))
        night = float(prices["night"].iloc[row])
        if math.isnan(night):
            continue
        of_nights += 1
        hours, nights = hours + before, nights + before + night**2
        if prices.index[row - 1] in variances:
            outcomes.append((before + night**2) / variances[prices.index[row - 1]])
        if prices.index[row] in variances:
            variance = variances[prices.index[row]]
            days, past = days + (now + night**2) / variance, past + 1
            squares += math.log(prices["close"].iloc[row] / prices["close"].iloc[row - 1]) ** 2 / variance
    if of_nights < 22:
        return math.nan
    weights = [0.5 ** (age / 63) for age in reversed(range(len(outcomes)))]
    weighted = math.fsum(weight * outcome for weight, outcome in zip(weights, outcomes, strict=True))
    held = (22 * nights / hours + weighted) / (22 + math.fsum(weights))
    return held * (63 + past * (squares / days if past else 1.0)) / (63 + past)


def test_a_day_is_that_of_a_plain_loop(prices: pd.DataFrame) -> None:
    forecasts = pd.Series(0.01 + 0.001 * np.arange(70) / 70, index=prices.index[10:])
    days = day_volatility(forecasts, prices)
    for row, value in enumerate(days, start=10):
        expected = forecasts.iloc[row - 10] * math.sqrt(plain_scale(prices, forecasts, row))
        assert value == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert 10 < days.isna().sum() < 20


def test_what_is_aimed_at_is_the_volatility_from_close_to_close(prices: pd.DataFrame) -> None:
    # The same variance of bars and nights, but days that always go on in the direction of their night.
    night = prices["night"].fillna(0.0)
    trending = night + np.sign(night) * np.sqrt(prices["variance"])
    trended = prices.assign(close=100 * np.exp(trending.cumsum()))
    forecasts = pd.Series(0.01, index=prices.index)
    last = [day_volatility(forecasts, table).iloc[-1] for table in (prices, trended)]
    assert last[1] > 1.01 * last[0]


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
