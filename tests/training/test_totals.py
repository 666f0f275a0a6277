"""What a training remembers of total volatility: later forecasts need a month of bars, and go on where it ended."""

import numpy as np
import pandas as pd
import pytest

from volcast.bars.sources.simulator import simulate_bars
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.state import TotalState, typical_state
from volcast.forecasters.total.terms import FEWEST_SESSIONS
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.training.totals import learnt_totals

LATER = 4_102_444_800_000_000
THROUGH = pd.Timestamp("2024-01-31 16:00", tz="America/New_York")


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    return get_hourly_measures(simulate_bars("CHECK", "2023-03-01", "2024-03-28", minutes=5))


@pytest.fixture(scope="module")
def learnt(measures: pd.DataFrame) -> TotalState:
    return learnt_totals({"CHECK": measures}, THROUGH, market_named("XNYS"))["CHECK"]


def followed(state: TotalState, measures: pd.DataFrame) -> RunningTotals:
    totals = RunningTotals(state, HourlyTable.of(measures), market_named("XNYS"))
    totals.follow(LATER)
    return totals


def test_nothing_after_the_training_is_in_it(measures: pd.DataFrame, learnt: TotalState) -> None:
    before = learnt_totals({"CHECK": measures[measures.index <= THROUGH]}, THROUGH, market_named("XNYS"))["CHECK"]
    assert before.to_dict() == learnt.to_dict()
    assert learnt.past.last_close == THROUGH.value // 1000


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_at_the_end_of_the_training_it_forecasts_as_the_whole_history_does(
    measures: pd.DataFrame, learnt: TotalState, horizon: str
) -> None:
    past = measures[measures.index <= THROUGH]
    whole, month = followed(typical_state(), past), followed(learnt, past.iloc[-25 * 7 :])
    expected = whole.forecast(np.array([len(whole.sessions)]), horizon)
    forecast = month.forecast(np.array([len(month.sessions)]), horizon)
    np.testing.assert_allclose(forecast.volatility, expected.volatility, rtol=1e-9)
    np.testing.assert_allclose(forecast.lower, expected.lower, rtol=1e-9)
    np.testing.assert_allclose(forecast.upper, expected.upper, rtol=1e-9)


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_bars_of_the_training_are_not_counted_twice(measures: pd.DataFrame, learnt: TotalState, horizon: str) -> None:
    first = int((measures.index <= THROUGH).sum())
    whole, since = followed(learnt, measures), followed(learnt, measures.iloc[first - FEWEST_SESSIONS * 7 :])
    counts = np.arange(len(since.sessions) - 20, len(since.sessions) + 1)
    ahead = len(whole.sessions) - len(since.sessions)
    expected = whole.forecast(counts + ahead, horizon)
    forecast = since.forecast(counts, horizon)
    np.testing.assert_allclose(forecast.volatility, expected.volatility, rtol=1e-9)
    np.testing.assert_allclose(forecast.upper, expected.upper, rtol=1e-9)


def test_a_symbol_with_too_few_sessions_or_without_nights_has_none(measures: pd.DataFrame) -> None:
    frames = {"SHORT": measures.iloc[-100:], "HOURS": measures[["rv_hourly"]]}
    assert learnt_totals(frames, measures.index[-1], market_named("XNYS")) == {}
