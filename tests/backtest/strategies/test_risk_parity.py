"""Risk parity over a panel of symbols."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.accounts import Costs
from volcast.backtest.engine import run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.risk_parity import RiskParity, equal_risk_weights, realized_correlations
from volcast.errors import ConfigError


@pytest.fixture(scope="module")
def panel() -> Market:
    frames = {name: make_bars("2024-09-03", "2024-12-20", minutes=5, seed=seed) for seed, name in enumerate("ABC")}
    bars = pd.concat(frames, names=["symbol", "timestamp"])
    return Market.of(bars, baseline_forecasts("ewma", bars))


@given(st.lists(st.floats(0.005, 0.08), min_size=2, max_size=8), st.floats(0.0, 0.9))
def test_each_symbol_contributes_the_same_risk(volatilities: list[float], correlation: float) -> None:
    count = len(volatilities)
    correlations = np.full((count, count), correlation) + (1 - correlation) * np.eye(count)
    covariance = correlations * np.outer(volatilities, volatilities)
    weights = equal_risk_weights(covariance)
    contributions = weights * (covariance @ weights)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights > 0).all()
    assert contributions == pytest.approx(np.full(count, contributions.mean()), rel=1e-6)


def test_two_symbols_are_weighted_by_inverse_volatility_whatever_their_correlation() -> None:
    for correlation in (-0.5, 0.0, 0.8):
        covariance = np.array([[0.01**2, correlation * 2e-4], [correlation * 2e-4, 0.02**2]])
        assert equal_risk_weights(covariance) == pytest.approx([2 / 3, 1 / 3], rel=1e-9)


def test_correlations_are_those_of_half_hours_of_the_sessions_before(panel: Market) -> None:
    correlations = realized_correlations(panel, 20)
    day = list(correlations)[15]
    sessions = list(panel.prices["A"].index)
    before = sessions[sessions.index(day) - 20 : sessions.index(day)]
    returns = []
    for session in before:
        closes = {name: bars.loc[bars["session"] == session, "close"].to_numpy() for name, bars in panel.bars.items()}
        opens = [panel.prices[name].loc[session, "open"] for name in "ABC"]
        steps = [opens] + [[closes[name][5 + 6 * step] for name in "ABC"] for step in range(len(closes["A"]) // 6)]
        returns.append(np.diff(np.log(steps), axis=0))
    moves = np.vstack(returns)
    products = moves.T @ moves
    expected = products / np.sqrt(np.outer(np.diag(products), np.diag(products)))
    assert correlations[day] == pytest.approx(expected, rel=1e-9)


def test_the_portfolio_aims_at_its_target_and_each_weight_is_capped_together(panel: Market) -> None:
    run = run_strategy(RiskParity(0.05, correlation_sessions=20), panel, Costs(1.0))
    assert set(run.plan.orders.columns) == set("ABC")
    assert run.statistics["volatility_to_target"] == pytest.approx(1.0, abs=0.35)
    assert math.isfinite(run.statistics["sharpe"])
    assert set(run.trades["model_version"]) == {"ewma"}
    held = RiskParity(0.5, 1.5, 20).plan(panel, Costs(0.0)).decisions
    assert held[list("ABC")].sum(axis=1).to_numpy() == pytest.approx(1.5)


def test_weights_stray_together_no_further_than_the_band(panel: Market) -> None:
    rule = RiskParity(0.05, correlation_sessions=20)
    wanted, free = (rule.plan(panel, Costs(bps)).decisions[list("ABC")] for bps in (0.0, 20.0))
    correlations = realized_correlations(panel, 20)
    distances = []
    for row, moment in enumerate(time_index(wanted)):
        day = pd.Timestamp(moment.date())
        spread = np.array([panel.outlook[name]["volatility"][day] for name in "ABC"])
        covariance = correlations[day] * np.outer(spread, spread)
        weights = wanted.to_numpy()[row]
        astray = free.to_numpy()[row] - weights
        distances.append(math.sqrt(astray @ covariance @ astray / (weights @ covariance @ weights)))
    moved = free.diff().abs().sum(axis=1).to_numpy() > 0
    assert 0 < moved[1:].sum() < len(moved) - 1
    # Those that are moved end at the edge of the band, those that are not lie inside: the band is never far from it.
    assert max(distances) <= 2 * np.median(np.array(distances)[1:][moved[1:]])
    assert (
        run_strategy(rule, panel, Costs(20.0)).statistics["turnover_a_year"]
        < 0.5 * (run_strategy(rule, panel, Costs(0.0)).statistics["turnover_a_year"])
    )


def test_one_symbol_is_refused(some_market: Market) -> None:
    with pytest.raises(ConfigError, match="bars of one symbol"):
        RiskParity().plan(some_market, Costs())
