"""From a session's volatility to a day's, held to a plain loop."""

import math

import numpy as np
import pandas as pd
import pytest

from volcast.backtest.forecasts import model_forecasts
from volcast.backtest.market import Market
from volcast.backtest.total_volatility import day_volatility, variance_over
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.horizons import TOTAL_HORIZONS


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


def test_a_total_volatility_takes_the_place_of_what_the_hours_say(prices: pd.DataFrame) -> None:
    hours = pd.Series(0.01, index=prices.index)
    totals = pd.Series(0.011 + 0.002 * np.arange(80) / 80, index=prices.index).where(prices.index > prices.index[50])
    days, of_hours = day_volatility(hours, prices, totals), day_volatility(hours, prices)
    assert days.iloc[:51].equals(of_hours.iloc[:51])
    ratio, squares = 0.0, 0.0
    for count, row in enumerate(range(51, 80)):
        scale = (63 + count * (squares / ratio if count else 1.0)) / (63 + count)
        assert days.iloc[row] == pytest.approx(totals.iloc[row] * math.sqrt(scale), rel=1e-9)
        variance = totals.iloc[row] ** 2
        ratio += (prices["variance"].iloc[row] + prices["night"].iloc[row] ** 2) / variance
        squares += math.log(prices["close"].iloc[row] / prices["close"].iloc[row - 1]) ** 2 / variance


def test_variance_between_horizons_lies_on_straight_lines() -> None:
    volatilities = dict(zip(TOTAL_HORIZONS, (0.01, 0.02, 0.03, 0.05), strict=True))
    totals = pd.DataFrame([volatilities, {name: 2 * value for name, value in volatilities.items()}])
    for sessions, expected in ((1, 1e-4), (5, 4e-4), (3, 2.5e-4), (7, 6e-4), (16, 17e-4), (22, 25e-4), (44, 50e-4)):
        assert variance_over(totals, sessions).to_numpy() == pytest.approx([expected, 4 * expected])


def test_a_model_looks_at_the_session_ahead_of_each_open(some_bars: pd.DataFrame) -> None:
    forecaster = VolatilityForecaster("ewma")
    table = model_forecasts(forecaster, some_bars)["XYZ"]
    for horizon in TOTAL_HORIZONS:
        totals = forecaster.forecast_series(some_bars, horizon, kind="total")
        by_day = dict(zip([label.date() for label in totals.index], totals["volatility"], strict=True))
        for asof, volatility in zip(table["asof"], table[horizon], strict=True):
            expected = by_day.get(asof.date(), math.nan)
            assert volatility == expected or (math.isnan(volatility) and math.isnan(expected))
    outlook = Market.of(some_bars, {"XYZ": table}).outlook["XYZ"]
    assert outlook[list(TOTAL_HORIZONS)].notna().any(axis=None)
    assert (outlook["volatility"] / outlook["1 session"]).dropna().between(0.8, 1.25).all()


def test_of_too_few_sessions_there_is_no_total_volatility(some_bars: pd.DataFrame) -> None:
    table = model_forecasts(VolatilityForecaster("ewma"), some_bars.iloc[:780])["XYZ"]
    assert len(table) > 1
    assert table[list(TOTAL_HORIZONS)].isna().all(axis=None)


def test_an_outlook_is_as_of_the_open(some_market: Market) -> None:
    outlook = some_market.outlook["XYZ"]
    assert (outlook["asof"].dt.strftime("%H:%M") == "09:30").all()
    assert (outlook["asof"].dt.tz_localize(None).dt.normalize() == outlook.index).all()
    assert outlook["annualized_volatility"].to_numpy() == pytest.approx(outlook["volatility"] * math.sqrt(252))
