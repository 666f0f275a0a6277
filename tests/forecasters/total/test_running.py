"""The forecast of total volatility, carried on, is the one that is made from scratch at each close."""

import json

import numpy as np
import pytest

from volcast.arrays import Float64Array1D, Float64Array2D
from volcast.bars.sources.simulator import simulate_bars
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.intervals import MISS
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.session_table import SessionTable
from volcast.forecasters.total.state import TotalState, typical_state
from volcast.forecasters.total.terms import FEWEST_SESSIONS, TERMS, PastLevel, SessionTerms
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures

LATER = 4_102_444_800_000_000
"""A moment after all bars."""


def table_of(power: float = 1.0) -> HourlyTable:
    bars = simulate_bars("CHECK", "2023-06-01", "2024-03-28", minutes=5)
    prices = ["open", "high", "low", "close"]
    bars[prices] = bars[prices] ** power
    return HourlyTable.of(get_hourly_measures(bars))


@pytest.fixture(scope="module")
def table() -> HourlyTable:
    return table_of()


def followed(table: HourlyTable, moment: int = LATER, state: TotalState | None = None) -> RunningTotals:
    totals = RunningTotals(state or typical_state(), table, market_named("XNYS"))
    totals.follow(moment)
    return totals


def plain_terms(sessions: SessionTable, row: int) -> Float64Array1D:
    """The terms as of a close, each written down as the module says it."""

    def mean(values: Float64Array1D, count: int) -> float:
        return float(np.nanmean(values[row - count + 1 : row + 1]))

    squares = sessions.night**2
    month = mean(sessions.variance, 22)
    total = month + mean(squares, 22)
    level = np.where(np.isnan(squares), 0.0, squares) + sessions.variance
    returns = np.nan_to_num(sessions.night) + sessions.day_return
    logs = [
        np.log(sessions.variance[row] / total),
        np.log(sessions.parkinson[row] / total),
        np.log(sessions.ending[row] / total),
        np.log(mean(sessions.variance, 5) / total),
        np.log(month / total),
        np.log((mean(squares, 5) + 0.05 * month) / total),
        np.log(level[: row + 1].mean() / total) * (row + 1) / (row + 61),
    ]
    falls = [min(mean(returns, count) * count**0.5 / month**0.5, 0.0) for count in (1, 5, 22)]
    return np.concatenate([[1.0], np.clip(logs, -3, 3), np.maximum(falls, -4)])


def test_terms_are_what_is_said_of_them(table: HourlyTable) -> None:
    sessions = followed(table).sessions
    terms = SessionTerms.of(sessions, PastLevel())
    assert np.isnan(terms.design[: FEWEST_SESSIONS - 1]).all()
    assert terms.design.shape == (len(sessions), len(TERMS))
    for row in range(FEWEST_SESSIONS - 1, len(sessions), 7):
        np.testing.assert_allclose(terms.design[row], plain_terms(sessions, row), rtol=1e-8, atol=1e-8)


def made_anew(sessions: SessionTable, horizon: str) -> Float64Array2D:
    """Volatility and bounds as of each close, from loops that keep nothing but what was forecast before."""
    count, begun = TOTAL_HORIZONS[horizon], typical_state().horizons[horizon]
    terms, outcome = SessionTerms.of(sessions, PastLevel()), sessions.outcomes(count)
    plain, forecasts = {}, np.full((len(sessions), 3), np.nan)
    lower, upper = [begun.tracker.lower], [begun.tracker.upper]
    seen_with: dict[int, int] = {}
    for row in range(FEWEST_SESSIONS - 1, len(sessions)):
        ended = [r for r in range(FEWEST_SESSIONS - 1, row - count + 1) if not np.isnan(outcome[r])]
        for r in ended[len(lower) - 1 :]:
            score = np.log(outcome[r] / forecasts[r, 0])
            step, place = begun.tracker.rate * begun.tracker.spread, seen_with[r]
            lower.append(lower[-1] - step * ((score < lower[place]) - MISS))
            upper.append(upper[-1] + step * ((score > upper[place]) - MISS))
        design = terms.design[ended]
        relative = np.log(outcome[ended]) - terms.log_level[ended]
        gram = begun.regression.gram + design.T @ design
        beta = np.linalg.solve(gram, begun.regression.moment + design.T @ relative)
        errors = np.exp(2 * (relative - design @ beta))
        smearing = (begun.regression.smearing_sum + errors.sum()) / (begun.regression.count + len(ended))
        plain[row] = np.exp(terms.design[row] @ beta + terms.log_level[row]) * np.sqrt(smearing)
        ratios = sum((outcome[r] / plain[r]) ** 2 / count for r in ended)
        correction = (begun.ratio_sum + ratios) / (begun.ratio_count + len(ended) / count)
        volatility = plain[row] * np.sqrt(correction)
        seen_with[row] = len(ended)
        forecasts[row] = volatility, volatility * np.exp(lower[-1]), volatility * np.exp(upper[-1])
    return forecasts


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_it_is_the_one_made_from_scratch_at_each_close(table: HourlyTable, horizon: str) -> None:
    totals = followed(table)
    known = np.arange(FEWEST_SESSIONS, len(totals.sessions) + 1)
    forecast = totals.forecast(known, horizon)
    expected = made_anew(totals.sessions, horizon)[known - 1]
    np.testing.assert_allclose(forecast.volatility, expected[:, 0], rtol=1e-8)
    np.testing.assert_allclose(forecast.lower, expected[:, 1], rtol=1e-8)
    np.testing.assert_allclose(forecast.upper, expected[:, 2], rtol=1e-8)


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_sessions_that_come_one_by_one_give_the_same_bits(table: HourlyTable, horizon: str) -> None:
    whole = followed(table)
    closes = whole.sessions.close
    live = followed(table, int(closes[FEWEST_SESSIONS - 1]))
    for count in range(FEWEST_SESSIONS, len(closes) + 1):
        live.follow(int(closes[count - 1]))
        one, among_all = (totals.forecast(np.array([count]), horizon) for totals in (live, whole))
        assert (one.volatility, one.lower, one.upper) == (among_all.volatility, among_all.lower, among_all.upper)


def test_an_earlier_moment_again_gives_what_it_gave(table: HourlyTable) -> None:
    totals = followed(table)
    known = np.arange(FEWEST_SESSIONS, len(totals.sessions) + 1)
    before = totals.forecast(known, "5 sessions").volatility
    middle = int(totals.sessions.close[100])
    totals.follow(middle)
    assert totals.forecast(known[:79], "5 sessions").volatility.tolist() == before[:79].tolist()
    totals.follow(LATER)
    assert totals.forecast(known, "5 sessions").volatility.tolist() == before.tolist()


def test_twice_the_volatility_gives_twice_the_forecast(table: HourlyTable) -> None:
    once, doubled = followed(table), followed(table_of(power=2.0))
    known = np.arange(FEWEST_SESSIONS, len(once.sessions) + 1)
    for horizon in TOTAL_HORIZONS:
        expected = 2 * once.forecast(known, horizon).volatility
        np.testing.assert_allclose(doubled.forecast(known, horizon).volatility, expected, rtol=1e-6)


def test_the_state_goes_through_json(table: HourlyTable) -> None:
    state = typical_state()
    again = TotalState.from_dict(json.loads(json.dumps(state.to_dict())))
    known = np.arange(FEWEST_SESSIONS, 60)
    first, second = (followed(table, state=one).forecast(known, "22 sessions") for one in (state, again))
    assert first.volatility.tolist() == second.volatility.tolist()
    assert first.upper.tolist() == second.upper.tolist()
