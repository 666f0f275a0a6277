"""The suite for strategies: it passes the project's own and fails those that cheat."""

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.strategies.base import Strategy
from volcast.backtest.strategies.risk_parity import RiskParity
from volcast.backtest.strategies.volatility_managed import VolatilityManaged
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.testing import assert_no_lookahead, check_strategy


def inverse(signal: pd.Series, market: Market) -> Plan:
    """A position that falls with a signal, indexed by the moment of its decision."""
    positions = (0.01 / signal.dropna()).clip(0.1, 3.0)
    return market.plan_for(positions.to_frame(market.symbol))


def daily(market: Market) -> pd.Series:
    return market.outlook[market.symbol].set_index("asof")["volatility"]


class Cheat:
    """A strategy that is all wrong in one way."""

    title: ClassVar[str] = "cheat"
    target_volatility: ClassVar[float | None] = None


class ShiftedSignal(Cheat):
    def plan(self, market: Market, costs: Costs) -> Plan:
        return inverse(daily(market).shift(-1), market)


class ScalerFittedOnAll(Cheat):
    def plan(self, market: Market, costs: Costs) -> Plan:
        signal = daily(market)
        return inverse(0.01 * np.exp((signal - signal.mean()) / signal.std()), market)


class CentredMean(Cheat):
    def plan(self, market: Market, costs: Costs) -> Plan:
        return inverse(daily(market).rolling(5, center=True, min_periods=1).mean(), market)


class LabelJoinedByFfill(Cheat):
    def plan(self, market: Market, costs: Costs) -> Plan:
        table = market.forecasts[market.symbol]
        opens = pd.DatetimeIndex(market.prices[market.symbol]["opens_at"])[30:]
        return inverse(table["volatility"].reindex(opens, method="ffill"), market)


class DaysMeanJoinedToThatDay(Cheat):
    def plan(self, market: Market, costs: Costs) -> Plan:
        bars = market.bars[market.symbol]
        moves = cast(pd.Series, np.log(bars["close"] / bars["open"])).abs().groupby(bars["session"]).mean()
        opens = pd.DatetimeIndex(market.prices[market.symbol]["opens_at"])
        return inverse(pd.Series(moves.to_numpy() * 10, index=opens).iloc[30:], market)


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    frames = {name: make_bars("2024-09-03", "2024-12-20", minutes=5, seed=seed) for seed, name in enumerate("AB")}
    return pd.concat(frames, names=["symbol", "timestamp"])


@pytest.mark.parametrize("strategy", [VolatilityTarget(0.08), VolatilityManaged()], ids=lambda each: each.title)
def test_the_projects_strategies_keep_the_contract(strategy: Strategy, some_bars: pd.DataFrame) -> None:
    check_strategy(strategy, some_bars)


def test_risk_parity_keeps_the_contract(panel: pd.DataFrame) -> None:
    check_strategy(RiskParity(0.08, correlation_sessions=20), panel)


@pytest.mark.parametrize(
    "cheat",
    [ShiftedSignal(), ScalerFittedOnAll(), CentredMean(), LabelJoinedByFfill(), DaysMeanJoinedToThatDay()],
    ids=lambda cheat: type(cheat).__name__,
)
def test_strategies_that_cheat_fail(cheat: Strategy, some_bars: pd.DataFrame) -> None:
    said = "stale forecasts" if isinstance(cheat, LabelJoinedByFfill) else "looks ahead"
    with pytest.raises(AssertionError, match=said):
        assert_no_lookahead(cheat, some_bars)


def test_the_honest_form_of_the_cheats_passes(some_bars: pd.DataFrame) -> None:
    class Honest(Cheat):
        def plan(self, market: Market, costs: Costs) -> Plan:
            return inverse(daily(market).rolling(5, min_periods=1).mean(), market)

    assert_no_lookahead(Honest(), some_bars)


def test_a_strategy_that_is_random_or_changes_its_market_fails(some_bars: pd.DataFrame) -> None:
    class Random(Cheat):
        def plan(self, market: Market, costs: Costs) -> Plan:
            return inverse(daily(market) * np.random.default_rng().uniform(0.5, 2.0), market)

    @dataclass(frozen=True)
    class Greedy(Cheat):
        def plan(self, market: Market, costs: Costs) -> Plan:
            market.forecasts[market.symbol]["volatility"] *= 1.0001
            return inverse(daily(market), market)

    with pytest.raises(AssertionError, match="gave two plans"):
        check_strategy(Random(), some_bars)
    with pytest.raises(AssertionError, match="which the strategy changed"):
        check_strategy(Greedy(), some_bars)


def test_what_is_no_strategy_is_named(some_bars: pd.DataFrame) -> None:
    with pytest.raises(AssertionError, match="a strategy has title"):
        check_strategy(object(), some_bars)  # type: ignore[arg-type]
