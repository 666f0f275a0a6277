"""The runner: accounts held to plain ones, returns by session, holes, and what each trade rests on."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

from tests.backtest.test_statistics import plain_performance
from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.accounts import Costs
from volcast.backtest.engine import BENCHMARK, Run, best_volatility, run_backtest, run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.page import backtest_page
from volcast.backtest.prices import close_to_close_returns, session_prices
from volcast.backtest.strategies.buy_and_hold import BuyAndHold
from volcast.backtest.strategies.volatility_managed import VolatilityManaged
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import ConfigError, LookAheadError, NotEnoughDataError


def plain_account(run: Run, bps: float) -> tuple[list[float], float]:
    """Capital at every moment of the plan's prices, and costs in all, one trade after the other.

    A trade's cost is part of what it moves: cash changes by exactly what the position lacks or has too much.
    """
    (name,) = run.plan.prices
    cash, units, costs, capital = 1.0, 0.0, 0.0, []
    orders = run.plan.orders[name]
    prices = run.plan.prices[name]
    for moment, price in zip(time_index(prices), prices, strict=True):
        if moment in orders.index:
            lacking = orders[moment] * (cash + units * price) - units * price
            traded = lacking / (1 + np.sign(lacking) * bps / 1e4)
            cash, units, costs = cash - lacking, units + traded / price, costs + abs(lacking - traded)
        capital.append(cash + units * price)
    return capital, costs


@pytest.fixture(scope="module")
def run(some_market: Market) -> Run:
    return run_strategy(VolatilityTarget(target_volatility=0.1), some_market, Costs(trade_bps=5.0))


def test_the_account_is_that_of_a_plain_loop(run: Run) -> None:
    capital, costs = plain_account(run, 5.0)
    assert len(run.account.trades) > 5
    assert run.account.values.to_numpy() == pytest.approx(capital, rel=1e-9)
    assert run.account.costs == pytest.approx(costs, rel=1e-6)


def test_statistics_are_those_of_a_plain_loop_over_the_closes(run: Run, some_market: Market) -> None:
    capital, _ = plain_account(run, 5.0)
    at_close = dict(zip(run.plan.prices.index, capital, strict=True))
    values = [1.0] + [at_close[moment] for moment in run.sessions.index]
    plain = plain_performance([now / before - 1 for before, now in itertools.pairwise(values)])
    for name, value in plain.items():
        assert run.statistics[name] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name
    closes = some_market.prices["XYZ"]["closes_at"]
    assert list(run.sessions.index) == list(closes[closes > run.plan.orders.index[0]])


def test_turnover_and_costs_are_those_of_the_trades(run: Run) -> None:
    trades, years = run.account.trades, len(run.sessions) / 252
    shares = trades["value"].to_numpy() / run.account.values.loc[trades.index].to_numpy()
    assert run.statistics["turnover_a_year"] == pytest.approx(math.fsum(shares) / years, rel=1e-9)
    assert run.statistics["trades"] == len(trades)
    assert trades["cost"].to_numpy() == pytest.approx(5e-4 * trades["value"].to_numpy())


def test_realized_variance_is_that_of_the_capital_bar_by_bar(run: Run, some_market: Market) -> None:
    name, bars = "XYZ", some_market.bars["XYZ"]
    session = run.sessions.index[10].tz_localize(None).normalize()
    today, night_before = bars[bars["session"] == session], some_market.prices[name].loc[session, "night"]
    cash = run.account.values - run.account.units[name] * run.plan.prices[name]
    before = run.account.values.index.searchsorted(today.index[0], side="left") - 1
    value, path = run.account.values.iloc[before], []
    opened = cash.iloc[before] + run.account.units[name].iloc[before] * today["open"].iloc[0]
    path.append(math.log(opened / value) ** 2)
    value = opened
    for stamp, bar in today.iterrows():
        row = run.account.values.index.searchsorted(stamp + pd.Timedelta(minutes=5), side="left") - 1
        now = cash.iloc[row] + run.account.units[name].iloc[row] * bar["close"]
        path.append(math.log(now / value) ** 2)
        value = now
    assert run.sessions["variance"].iloc[10] == pytest.approx(math.fsum(path), rel=1e-6)
    assert abs(night_before) > 0


def test_a_trade_is_made_at_the_open_of_the_first_bar_from_the_decision_on(some_bars: pd.DataFrame) -> None:
    tables = baseline_forecasts("ewma", some_bars)
    asof = tables["XYZ"]["asof"].iloc[40]
    holed = some_bars.drop(some_bars.index[some_bars.index == asof])
    holed.attrs = some_bars.attrs
    run = run_strategy(VolatilityTarget(0.05, band=0.0), Market.of(holed, tables))
    late = holed.index[holed.index > asof][0]
    assert run.account.trades.loc[asof, "price"] == holed.loc[late, "open"]


def test_nothing_is_won_or_lost_over_a_hole(holed_bars: pd.DataFrame) -> None:
    market = Market.of(holed_bars, baseline_forecasts("ewma", holed_bars))
    held = run_strategy(BuyAndHold(), market, Costs(0.0))
    assert held.sessions["return"].abs().max() < 0.2
    closes = market.prices["XYZ"]["close"]
    hole = int(np.flatnonzero(market.prices["XYZ"]["hole"])[0])
    first = market.outlook["XYZ"].index[0]
    opened = market.prices["XYZ"].loc[first, "open"]
    reopened = market.prices["XYZ"]["open"].iloc[hole]
    expected = closes.iloc[hole - 1] / opened * closes.iloc[-1] / reopened
    assert held.sessions["equity"].iloc[-1] == pytest.approx(expected, rel=1e-9)
    assert len(market.holes) == 1


def test_the_twin_trades_the_same_sessions_and_has_no_advantage_over_itself(
    some_bars: pd.DataFrame, some_market: Market
) -> None:
    backtest = run_backtest(VolatilityTarget(), some_market, None, baseline_forecasts("ewma", some_bars))
    assert backtest.twin is not None
    pd.testing.assert_frame_equal(backtest.twin.sessions, backtest.strategy.sessions)
    mean, t_value = backtest.gain_over_twin
    assert mean == 0
    assert math.isnan(t_value)
    assert [run.name for run in backtest.runs] == ["volatility target", "volatility target by EWMA", BENCHMARK]


def test_everything_is_ready_for_json(some_market: Market) -> None:
    content = run_backtest(VolatilityTarget(), some_market).to_dict()
    again = json.loads(json.dumps(content, allow_nan=False))
    assert again == content
    assert again["gain_over_twin"] == {"of": "net utility", "a_year": None, "t": None}
    assert again["model_versions"] == ["ewma"]
    assert again["simulated"] is True


def test_each_trade_carries_the_version_that_it_was_made_on(some_bars: pd.DataFrame) -> None:
    tables = baseline_forecasts("ewma", some_bars)
    table = tables["XYZ"].copy()
    middle = len(table) // 2
    table["model_version"] = ["first"] * middle + ["second"] * (len(table) - middle)
    trades = run_strategy(VolatilityTarget(0.05, band=0.0), Market.of(some_bars, table)).trades
    change = table["asof"].iloc[middle]
    assert set(trades.loc[trades.index < change, "model_version"]) == {"first"}
    assert set(trades.loc[trades.index >= change, "model_version"]) == {"second"}


def test_wrong_forecasts_are_refused(some_bars: pd.DataFrame) -> None:
    table = baseline_forecasts("ewma", some_bars)["XYZ"]
    seen = table.assign(in_sample=np.arange(len(table)) < 3)
    with pytest.raises(LookAheadError, match=r"seen in training, 3 buckets of .* without allow_in_sample"):
        Market.of(some_bars, seen)
    table.attrs["horizon"] = 1
    with pytest.raises(ConfigError, match="forecasts are of the horizon 1"):
        Market.of(some_bars, table)
    with pytest.raises(ConfigError, match="forecasts of ABC and bars of XYZ"):
        Market.of(some_bars, {"ABC": baseline_forecasts("ewma", some_bars)["XYZ"]})


def test_too_few_sessions_are_refused(some_bars: pd.DataFrame) -> None:
    few = some_bars.iloc[: 24 * 78]
    few.attrs = some_bars.attrs
    with pytest.raises(NotEnoughDataError, match=r"session\(s\) left to trade"):
        run_strategy(VolatilityTarget(), Market.of(few, baseline_forecasts("ewma", few)))


def test_costs_break_their_rule() -> None:
    with pytest.raises(ConfigError, match="trade_bps is -1"):
        Costs(trade_bps=-1.0)


def test_cash_stands_still_beside_a_strategy(some_market: Market) -> None:
    backtest = run_backtest(VolatilityTarget(0.08), some_market, benchmark="cash")
    assert backtest.benchmark.name == "cash"
    assert (backtest.benchmark.sessions["equity"] == 1.0).all()
    assert backtest.to_dict()["statistics"]["cash"]["sharpe"] is None
    assert "cash" in backtest_page(backtest)


def test_another_symbol_is_bought_and_held_in_the_sessions_of_the_strategy(some_market: Market) -> None:
    bars = make_bars("2024-06-03", "2024-12-20", minutes=5, seed=9)
    bars.attrs = {"symbol": "ABC"}
    backtest = run_backtest(VolatilityTarget(0.08), some_market, benchmark=Market.of(bars))
    held = backtest.benchmark
    assert held.name == "buy and hold ABC"
    days = {f"{moment:%Y-%m-%d}" for moment in backtest.strategy.sessions.index}
    assert {f"{moment:%Y-%m-%d}" for moment in held.sessions.index} == {day for day in days if day <= "2024-12-20"}
    bought = held.account.trades["price"].iloc[0]
    last = session_prices(bars)["close"].iloc[-1]
    assert held.sessions["equity"].iloc[-1] == pytest.approx(last / bought, rel=3e-4)
    assert "buy and hold ABC" in backtest_page(backtest)


def test_a_benchmark_of_another_time_is_refused(some_market: Market) -> None:
    bars = make_bars("2022-06-01", "2022-12-30", minutes=5)
    with pytest.raises(NotEnoughDataError, match="must have been there at one time"):
        run_backtest(VolatilityTarget(0.08), some_market, benchmark=Market.of(bars))


def test_a_strategy_without_a_target_is_judged_by_what_holding_came_to(some_market: Market) -> None:
    managed, aimed = (run_strategy(rule, some_market) for rule in (VolatilityManaged(), VolatilityTarget(0.08)))
    returns = close_to_close_returns(some_market.prices["XYZ"])
    days = [pd.Timestamp(moment.date()) for moment in managed.sessions.index]
    assert best_volatility(managed, some_market) == pytest.approx(
        returns[returns.index.isin(days)].std() * math.sqrt(252)
    )
    assert best_volatility(aimed, some_market) == 0.08
