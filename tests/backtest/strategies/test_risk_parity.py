"""Risk parity over a panel of symbols."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import make_bars
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
    held = RiskParity(0.5, 1.5, 20).plan(panel, Costs(0.0)).decisions
    assert held[list("ABC")].sum(axis=1).to_numpy() == pytest.approx(1.5)


def test_one_symbol_is_refused(some_market: Market) -> None:
    with pytest.raises(ConfigError, match="bars of one symbol"):
        RiskParity().plan(some_market, Costs())
