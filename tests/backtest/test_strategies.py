"""The volatility target: its positions, its accounts, and that it knows nothing of the future."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import make_bars, with_noise_after
from volcast.arrays import time_index
from volcast.backtest.strategies import BENCHMARK, STRATEGY, target_positions, volatility_target_backtest
from volcast.errors import ConfigError, LookAheadError, NotEnoughDataError
from volcast.forecaster import VolatilityForecaster

forecast_lists = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    bars = make_bars("2024-09-03", "2024-11-15")
    bars.attrs = {"symbol": "XYZ", "simulated": True}
    return bars


@pytest.fixture(scope="module")
def forecasts(bars: pd.DataFrame) -> pd.DataFrame:
    return VolatilityForecaster("ewma").forecast_series(bars)


def plain_account(prices: pd.Series, positions: pd.Series, commission_bps: float) -> tuple[pd.Series, float]:
    """Capital at every price and costs in all, one trade after the other: the slow twin of the account in `bt`.

    A trade's cost is part of what it moves: cash changes by exactly what the position lacks or has too much.
    """
    cash, units, costs, capital = 1.0, 0.0, 0.0, {}
    for moment, price in zip(time_index(prices), prices, strict=True):
        if moment in positions.index:
            lacking = positions[moment] * (cash + units * price) - units * price
            traded = lacking / (1 + np.sign(lacking) * commission_bps / 1e4)
            cash, units, costs = cash - lacking, units + traded / price, costs + abs(lacking - traded)
        capital[moment] = cash + units * price
    return pd.Series(capital), costs


def session_closes(bars: pd.DataFrame) -> pd.Series:
    local = bars["close"].tz_convert("America/New_York")
    closes = local.groupby(time_index(local).date).last()
    return closes.set_axis([pd.Timestamp(f"{day} 16:00", tz="America/New_York") for day in closes.index])


def test_the_position_is_target_over_forecast_up_to_the_cap() -> None:
    positions = target_positions(
        pd.Series([0.30, 0.20, 0.10, 0.05, 0.0]), target_volatility=0.15, max_leverage=1.5, rebalance_band=0.0
    )
    assert positions.tolist() == pytest.approx([0.5, 0.75, 1.5, 1.5, 1.5], rel=1e-15)


def test_a_change_inside_the_band_is_not_traded_and_one_beyond_it_is_traded_whole() -> None:
    wanted = pd.Series([0.50, 0.55, 0.45, 0.61, 0.52, 0.50])
    positions = target_positions(0.15 / wanted, target_volatility=0.15, rebalance_band=0.1)
    assert positions.tolist() == pytest.approx([0.50, 0.50, 0.50, 0.61, 0.61, 0.50])


@given(forecast_lists, st.floats(0.01, 1.0), st.floats(0.1, 4.0), st.floats(0.0, 0.5))
def test_positions_stay_under_the_cap_and_within_the_band_of_what_is_wanted(
    forecasts: list[float], target: float, cap: float, band: float
) -> None:
    positions = target_positions(
        pd.Series(forecasts), target_volatility=target, max_leverage=cap, rebalance_band=band
    ).to_numpy()
    wanted = [min(target / forecast, cap) if forecast > 0 else cap for forecast in forecasts]
    assert (positions > 0).all()
    assert (positions <= cap * (1 + 1e-12)).all()
    assert np.abs(positions - wanted).max() <= band + 1e-9


@given(forecast_lists, st.data())
def test_a_position_depends_on_no_later_forecast(forecasts: list[float], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(forecasts)))
    whole, cut = target_positions(pd.Series(forecasts)), target_positions(pd.Series(forecasts[:kept]))
    assert whole.iloc[:kept].tolist() == cut.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_noise_after_a_moment_changes_no_decision_made_by_then(
    bars: pd.DataFrame, forecasts: pd.DataFrame, seed: int
) -> None:
    random = np.random.default_rng(seed)
    moment = forecasts["asof"].iloc[random.integers(30, len(forecasts) - 20)]
    moment += pd.Timedelta(minutes=int(random.integers(0, 60)))
    changed = with_noise_after(bars, moment, seed)
    columns = ["asof", "bucket", "annualized_volatility", "position", "traded"]
    decisions = volatility_target_backtest(bars, forecasts, rebalance_band=0.02).decisions
    after = volatility_target_backtest(
        changed, VolatilityForecaster("ewma").forecast_series(changed), rebalance_band=0.02
    ).decisions
    made = decisions["asof"] <= moment
    assert 20 < made.sum() < len(decisions)
    pd.testing.assert_frame_equal(decisions.loc[made, columns], after.loc[made, columns], check_exact=True)
    assert (decisions.loc[~made, "position"] != after.loc[~made, "position"]).any()


def test_a_trade_is_made_at_the_open_of_the_first_bar_from_the_decision_on(
    bars: pd.DataFrame, forecasts: pd.DataFrame
) -> None:
    holed = bars.drop(bars.index[bars.index == forecasts["asof"].iloc[40]])
    decisions = volatility_target_backtest(holed, forecasts).decisions
    for moment, decision in decisions.iloc[38:43].iterrows():
        assert moment == holed.index[holed.index >= decision["asof"]][0]
        assert decision["price"] == holed["open"][moment]
    assert (decisions.index > decisions["asof"]).sum() == 1


def test_bars_without_opens_are_traded_at_the_close_of_that_bar(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    decisions = volatility_target_backtest(bars[["close"]], forecasts).decisions
    assert decisions["price"].tolist() == bars["close"].loc[decisions.index].tolist()


def test_the_accounts_equal_plain_ones(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    backtest = volatility_target_backtest(bars, forecasts, target_volatility=0.4, commission_bps=5.0)
    decisions = backtest.decisions
    prices = pd.concat([decisions["price"], session_closes(bars)[backtest.equity.index]]).sort_index()
    held = pd.Series(1.0, index=decisions.index[:1])
    orders = {STRATEGY: decisions.loc[decisions["traded"], "position"], BENCHMARK: held}
    for name, positions in orders.items():
        capital, costs = plain_account(prices, positions, 5.0)
        assert backtest.equity[name].tolist() == pytest.approx(capital[backtest.equity.index].tolist(), rel=1e-8)
        assert backtest.statistics.loc["costs", name] == pytest.approx(costs, rel=1e-6)


def test_buy_and_hold_without_costs_is_the_price(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    backtest = volatility_target_backtest(bars, forecasts, commission_bps=0.0)
    relative = session_closes(bars)[backtest.equity.index] / backtest.decisions["price"].iloc[0]
    assert backtest.equity[BENCHMARK].tolist() == pytest.approx(relative.tolist(), rel=1e-9)


def test_costs_lower_the_return_and_the_band_lowers_costs(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    free, dear = (volatility_target_backtest(bars, forecasts, commission_bps=bps).statistics for bps in (0.0, 10.0))
    assert (dear.loc["total_return"] < free.loc["total_return"]).all()
    assert (free.loc["costs"] == 0).all()
    calm = volatility_target_backtest(bars, forecasts, commission_bps=10.0, rebalance_band=0.3).statistics[STRATEGY]
    busy = volatility_target_backtest(bars, forecasts, commission_bps=10.0, rebalance_band=0.0).statistics[STRATEGY]
    assert calm["costs"] < busy["costs"]
    assert calm["trades"] < busy["trades"]
    assert calm["turnover_a_year"] < busy["turnover_a_year"]


def test_statistics_are_those_of_the_daily_capital(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    backtest = volatility_target_backtest(bars, forecasts)
    for name, figures in backtest.statistics.items():
        capital = np.array([1.0, *backtest.equity[name]])
        returns = np.diff(capital) / capital[:-1]
        assert figures["total_return"] == pytest.approx(capital[-1] - 1)
        assert figures["annual_volatility"] == pytest.approx(returns.std(ddof=1) * math.sqrt(252))
        assert figures["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))
        falls = [now / capital[: day + 1].max() - 1 for day, now in enumerate(capital)]
        assert figures["max_drawdown"] == pytest.approx(min(falls))
    assert backtest.statistics[BENCHMARK]["trades"] == 1
    assert backtest.statistics[STRATEGY]["trades"] == backtest.decisions["traded"].sum()


def test_a_return_a_year_is_not_made_of_a_few_weeks(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    assert math.isnan(volatility_target_backtest(bars, forecasts).statistics[BENCHMARK]["annual_return"])
    longer = make_bars("2024-06-03", "2024-12-02")
    backtest = volatility_target_backtest(longer, VolatilityForecaster("ewma").forecast_series(longer))
    expected = backtest.equity[BENCHMARK].iloc[-1] ** (252 / len(backtest.equity)) - 1
    assert backtest.statistics[BENCHMARK]["annual_return"] == pytest.approx(expected)


def test_left_out_buckets_are_counted_by_reason(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    halted = forecasts["asof"].iloc[50]
    gone = (bars.index >= halted) & (bars.index < forecasts.index[50])
    cut = forecasts.copy()
    cut.attrs = {"in_sample_left_out": 12, "without_history": 7}
    backtest = volatility_target_backtest(bars[~gone], cut)
    assert dict(backtest.left_out) == {"in_sample": 12, "without_history": 7, "without_bars": 1}
    assert halted not in set(backtest.decisions["asof"])
    assert len(backtest.decisions) == len(forecasts) - 2


def test_forecasts_that_the_model_has_seen_are_refused(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    with pytest.raises(LookAheadError, match=r"3 of the forecasts .* without allow_in_sample"):
        volatility_target_backtest(bars, forecasts.assign(in_sample=np.arange(len(forecasts)) < 3))


def test_too_few_sessions_are_refused_with_the_reason(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    last = forecasts.iloc[-5:].copy()
    last.attrs = {"in_sample_left_out": 300, "without_history": 7}
    with pytest.raises(NotEnoughDataError, match=r"1 session\(s\) left .*300 hourly buckets are left out because"):
        volatility_target_backtest(bars, last)
    with pytest.raises(NotEnoughDataError, match="0 session"):
        volatility_target_backtest(bars, forecasts.iloc[-1:])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_volatility", 0.0),
        ("target_volatility", math.nan),
        ("max_leverage", -1.0),
        ("rebalance_band", -0.1),
        ("commission_bps", -2.0),
        ("commission_bps", math.inf),
    ],
)
def test_a_setting_that_breaks_its_rule_is_named(
    bars: pd.DataFrame, forecasts: pd.DataFrame, name: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; the rule is a finite number"):
        volatility_target_backtest(bars, forecasts, **{name: value})


def test_symbol_and_simulation_come_from_the_bars(bars: pd.DataFrame, forecasts: pd.DataFrame) -> None:
    backtest = volatility_target_backtest(bars, forecasts)
    assert (backtest.symbol, backtest.simulated) == ("XYZ", True)
    alpaca_layout = pd.concat({"XYZ": bars}, names=["symbol"])
    same = volatility_target_backtest(alpaca_layout, forecasts)
    pd.testing.assert_frame_equal(same.equity, backtest.equity)
