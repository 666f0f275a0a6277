"""Straddles: accounts held to a plain loop, hedges within their band, and a rule that does not trade on nothing."""

import math

import numpy as np
import pandas as pd
import pytest

from volcast.arrays import time_index
from volcast.backtest.accounts import Costs
from volcast.backtest.engine import run_backtest, run_strategy
from volcast.backtest.forecasts import baseline_forecasts, model_forecasts
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.strategies.straddle import StraddleTiming, life_volatility, steps_of
from volcast.errors import ConfigError
from volcast.forecaster import VolatilityForecaster
from volcast.testing import assert_no_lookahead

pytest.importorskip("QuantLib", reason="options need QuantLib")


@pytest.fixture(scope="module")
def rule() -> StraddleTiming:
    return StraddleTiming(sessions_to_expiry=10, roll_sessions=3, enter=0.05, leave=0.02)


@pytest.fixture(scope="module")
def plan(rule: StraddleTiming, some_market: Market) -> Plan:
    return rule.plan(some_market, Costs())


def plain_values(plan: Plan, costs: Costs) -> list[float]:
    """Capital at each step: cash after every trade at its price and spread, and what is held at its mark."""
    held = dict.fromkeys(plan.prices.columns, 0.0)
    cash, values = 1.0, []
    for moment, (_, prices) in zip(time_index(plan.prices), plan.prices.iterrows(), strict=True):
        if moment in plan.orders.index:
            for name, units in zip(plan.orders.columns, plan.orders.loc[moment], strict=True):
                if not math.isnan(units):
                    spread = costs.option_share if name in plan.options else costs.trade_bps / 1e4
                    change = units - held[name]
                    cash -= change * prices[name] * (1 + np.sign(change) * spread) if change else 0.0
                    held[name] = units
        values.append(cash + math.fsum(units * prices[name] for name, units in held.items() if units))
    return values


@pytest.mark.parametrize("costs", [Costs(0.0, 0.0), Costs(2.0, 0.02)])
def test_what_is_won_and_lost_is_that_of_a_plain_loop(rule: StraddleTiming, some_market: Market, costs: Costs) -> None:
    run = run_strategy(rule, some_market, costs)
    assert run.account.values.to_numpy() == pytest.approx(plain_values(run.plan, costs), rel=1e-9)
    assert run.account.costs == pytest.approx(float((run.trades["cost"]).sum()))
    assert len(run.plan.options) > 4


def test_every_pair_of_prices_keeps_parity(plan: Plan) -> None:
    spot = plan.prices["XYZ"]
    calls = [name for name in plan.options if " call " in name]
    for call in calls:
        alive = plan.prices[call].dropna()
        put = plan.prices[call.replace("call", "put")].reindex(alive.index)
        strike = spot[alive.index[0]]
        assert (alive - put).to_numpy() == pytest.approx((spot[alive.index] - strike).to_numpy(), abs=1e-9)


def test_a_straddle_opens_at_the_money_by_its_vega_under_its_cap(rule: StraddleTiming, plan: Plan) -> None:
    for call in (name for name in plan.options if " call " in name):
        opened = plan.prices[call].dropna().index[0]
        price, price_of_put = plan.prices[call][opened], plan.prices[call.replace("call", "put")][opened]
        premium = abs(plan.orders[call][opened]) * (price + price_of_put)
        assert premium <= rule.max_premium + 1e-12
        assert price == pytest.approx(price_of_put)
        # At the money a straddle's vega is all but its price over its volatility.
        points = premium / plan.decisions["implied"][opened] * 0.01
        assert points == pytest.approx(rule.vega, rel=1e-3)


@pytest.mark.parametrize("band", [0.05, 0.2])
def test_delta_after_each_step_is_within_its_band(some_market: Market, band: float) -> None:
    rule = StraddleTiming(10, 3, 0.05, 0.02, hedge="band", delta_band=band)
    plan = rule.plan(some_market, Costs())
    units = plan.orders[sorted(plan.options)].reindex(plan.prices.index).ffill().abs().max(axis=1).fillna(0.0)
    net = plan.decisions["net_delta"].abs()
    assert (net <= band * units + 1e-12).all()
    assert (net[plan.decisions["hedged"]] == 0).all()
    assert net.max() > 0


def test_a_daily_hedge_is_made_at_the_last_hour(plan: Plan, some_market: Market) -> None:
    ends = steps_of(some_market)["ends_session"].reindex(plan.decisions.index)
    assert plan.decisions.loc[ends, "hedged"].all()
    assert (plan.decisions.loc[ends, "net_delta"] == 0).all()


def test_nothing_is_traded_where_the_forecast_is_what_is_implied(some_bars: pd.DataFrame) -> None:
    tables = baseline_forecasts("ewma", some_bars)
    market = Market.of(some_bars, tables)
    rule = StraddleTiming()
    life = life_volatility(market, rule.sessions_to_expiry, rule.persistence)
    implied = pd.Series(life.to_numpy(), index=pd.DatetimeIndex(market.outlook["XYZ"]["asof"]))
    run = run_strategy(rule, Market.of(some_bars, tables, implied=implied))
    assert run.account.trades.empty
    assert (run.sessions["equity"] == 1.0).all()
    assert len(run.plan.remarks) == 1


def test_the_life_of_an_option_is_forecast_by_a_model_that_does(some_bars: pd.DataFrame) -> None:
    market = Market.of(some_bars, model_forecasts(VolatilityForecaster("ewma"), some_bars))
    outlook = market.outlook["XYZ"].dropna()
    life = life_volatility(market, 22, 0.94).reindex(outlook.index)
    scale = outlook["volatility"] / outlook["1 session"]
    assert life.to_numpy() == pytest.approx((outlook["22 sessions"] * scale * math.sqrt(252 / 22)).to_numpy())


def test_it_buys_what_is_cheap_sells_what_is_dear_and_does_not_flutter(some_bars: pd.DataFrame) -> None:
    tables = baseline_forecasts("ewma", some_bars)
    market = Market.of(some_bars, tables)
    rule = StraddleTiming(enter=0.1, leave=0.03)
    life = life_volatility(market, rule.sessions_to_expiry, rule.persistence)
    asof = pd.DatetimeIndex(market.outlook["XYZ"]["asof"])
    gaps = np.resize([0.2, 0.05, 0.02, 0.08, -0.2, -0.05, -0.02], len(asof))
    implied = pd.Series(life.to_numpy() / np.exp(gaps), index=asof)
    plan = rule.plan(Market.of(some_bars, tables, implied=implied), Costs())
    sides = plan.decisions.groupby(time_index(plan.decisions).date)["side"].first().to_numpy()
    assert sides[:14].tolist() == [1, 1, 0, 0, -1, -1, 0] * 2


def test_one_that_is_held_to_expiry_ends_at_its_worth(some_market: Market) -> None:
    plan = StraddleTiming(5, 0, 0.05, 0.02).plan(some_market, Costs())
    sessions, intrinsic = list(time_index(some_market.prices["XYZ"]).date), 0
    ends = steps_of(some_market)["ends_session"]
    for call in (name for name in plan.options if " call " in name):
        alive = plan.prices[call].dropna()
        strike, last = plan.prices.loc[alive.index[0], "XYZ"], alive.index[-1]
        if sessions.index(last.date()) - sessions.index(alive.index[0].date()) == 5 and ends[last]:
            assert alive.iloc[-1] == pytest.approx(max(plan.prices.loc[last, "XYZ"] - strike, 0.0))
            intrinsic += 1
    assert intrinsic > 2


def test_an_assumed_implied_volatility_is_said(plan: Plan) -> None:
    assert any(remark.startswith("ASSUMED implied volatility: 1.1 times") for remark in plan.remarks)


def test_it_does_not_look_ahead(rule: StraddleTiming, some_bars: pd.DataFrame) -> None:
    assert_no_lookahead(rule, some_bars)


@pytest.mark.parametrize(
    ("name", "value"), [("enter", 0.0), ("leave", 0.2), ("roll_sessions", 30), ("hedge", "never"), ("vega", -1.0)]
)
def test_a_setting_that_breaks_its_rule_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name} is"):
        StraddleTiming(**{name: value})  # type: ignore[arg-type]


def test_options_count_by_what_they_earn(rule: StraddleTiming, some_bars: pd.DataFrame) -> None:
    tables = baseline_forecasts("ewma", some_bars)
    louder = {"XYZ": tables["XYZ"].assign(volatility=1.3 * tables["XYZ"]["volatility"])}
    backtest = run_backtest(rule, Market.of(some_bars, louder), None, tables)
    gain, _ = backtest.gain_over_twin
    assert backtest.twin is not None
    returns = [run.sessions["return"].mean() * 252 for run in (backtest.strategy, backtest.twin)]
    assert gain == pytest.approx(returns[0] - returns[1])
    assert backtest.to_dict()["gain_over_twin"]["of"] == "return"
