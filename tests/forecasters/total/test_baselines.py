"""The baselines of total volatility: made of the past alone, and what a plain loop makes of it."""

import numpy as np
import pytest

from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import NotEnoughDataError
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES, FEWEST_FOR_BASELINES
from volcast.forecasters.total.session_table import SessionTable
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures

LATER = 4_102_444_800_000_000


@pytest.fixture(scope="module")
def table() -> HourlyTable:
    return HourlyTable.of(get_hourly_measures(simulate_bars("CHECK", "2023-06-01", "2024-03-28", minutes=5)))


@pytest.fixture(scope="module")
def sessions(table: HourlyTable) -> SessionTable:
    return SessionTable.of(table, LATER, market_named("XNYS"))


@pytest.mark.parametrize("name", ALL_TOTAL_BASELINES)
@pytest.mark.parametrize("count", [1, 22])
def test_none_looks_ahead(table: HourlyTable, sessions: SessionTable, name: str, count: int) -> None:
    known = np.arange(FEWEST_FOR_BASELINES, len(sessions) + 1)
    forecasts = ALL_TOTAL_BASELINES[name](sessions, known, count)
    assert forecasts.shape == known.shape
    assert (forecasts > 0).all()
    for stop in (80, 120, len(sessions) - 1):
        until = SessionTable.of(table, int(sessions.close[stop - 1]), market_named("XNYS"))
        asked = known[known <= stop]
        again = ALL_TOTAL_BASELINES[name](until, asked, count)
        assert again.tolist() == forecasts[: len(asked)].tolist()


@pytest.mark.parametrize("name", ALL_TOTAL_BASELINES)
def test_they_are_volatilities_of_the_whole_horizon(sessions: SessionTable, name: str) -> None:
    known = np.arange(FEWEST_FOR_BASELINES, len(sessions) - 21)
    forecasts, outcomes = ALL_TOTAL_BASELINES[name](sessions, known, 22), sessions.outcomes(22)[known - 1]
    assert 0.5 < np.median(forecasts / outcomes) < 2


def test_the_ewma_is_a_recursion_over_returns_from_close_to_close(sessions: SessionTable) -> None:
    returns, level = (sessions.night + sessions.day_return)[1:], None
    for value in returns:
        level = value**2 if level is None else 0.94 * level + 0.06 * value**2
    expected = np.sqrt(5 * np.array([level]))
    np.testing.assert_allclose(ALL_TOTAL_BASELINES["daily_ewma"](sessions, np.array([len(sessions)]), 5), expected)


def test_the_har_is_least_squares_on_outcomes_that_have_ended(sessions: SessionTable) -> None:
    stop, count = len(sessions), 5
    squares = sessions.night**2
    rows: list[list[float]] = [
        [1.0]
        + [sessions.variance[row - lag + 1 : row + 1].mean() for lag in (1, 5, 22)]
        + [np.nanmean(squares[row - lag + 1 : row + 1]) for lag in (5, 22)]
        for row in range(21, stop)
    ]
    design = np.array(rows)
    outcome = np.array([sessions.total[row + 1 : row + 1 + count].mean() for row in range(21, stop - count)])
    forecast = design[-1] @ np.linalg.lstsq(design[: len(outcome)], outcome, rcond=None)[0]
    if not outcome.min() <= forecast <= outcome.max():
        forecast = outcome.mean()
    made = ALL_TOTAL_BASELINES["daily_har"](sessions, np.array([stop]), count)
    np.testing.assert_allclose(made, np.sqrt(count * forecast), rtol=1e-6)


@pytest.mark.parametrize("name", ["daily_har", "daily_garch", "daily_gjr_garch"])
def test_too_few_sessions_are_said(sessions: SessionTable, name: str) -> None:
    with pytest.raises(NotEnoughDataError, match="has 40 sessions before its first forecast"):
        ALL_TOTAL_BASELINES[name](sessions, np.array([40]), 1)
