"""Whether a strategy keeps what the runner counts on: above all, that it knows nothing of tomorrow."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from volcast.backtest.accounts import Costs
from volcast.backtest.engine import run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.base import Strategy
from volcast.bars.checks import bar_length
from volcast.forecaster import FALLBACK

__all__ = ["Forecasting", "assert_no_lookahead", "check_strategy"]

Forecasting = Callable[[pd.DataFrame], Mapping[str, pd.DataFrame]]
"""Makes session forecasts of bars, by symbol, as `backtest.forecasts.baseline_forecasts` does."""

_FACTOR = 4.0


def check_strategy(strategy: Strategy, bars: pd.DataFrame, forecasting: Forecasting | None = None) -> None:
    """Hold a strategy to the whole contract: run it in a test of your own.

    It has a title and a target or none; the same market gives the same plan and is left as it was; orders are in time
    order, finite, and have prices; it can be run on bars with a hole; and `assert_no_lookahead`.

    Parameters
    ----------
    strategy
        What is checked.
    bars
        Four months at least of one symbol's bars, or of those of several, indexed by (symbol, timestamp).
    forecasting
        Makes the forecasts that it is shown; None is the EWMA.

    Raises
    ------
    AssertionError
        What it does not keep, and where.
    """
    forecasting = forecasting or _by_ewma
    assert isinstance(strategy, Strategy), "a strategy has title, target_volatility and plan(market, costs)"
    assert strategy.title, "the strategy's title is empty; it names it in tables"
    assert strategy.target_volatility is None or strategy.target_volatility > 0, "a target is above 0, or None"
    tables, before = dict(forecasting(bars)), bars.copy()
    market = Market.of(bars, tables)
    shown = {name: table.copy() for name, table in tables.items()}
    _check_plan(strategy, market)
    pd.testing.assert_frame_equal(bars, before, obj="the bars, which the strategy changed,")
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, shown[name], obj=f"forecasts of {name}, which the strategy changed,")
    run = run_strategy(strategy, Market.of(_without_a_week(bars), forecasting(_without_a_week(bars))))
    assert np.isfinite(run.sessions["equity"]).all(), "the capital is no number after a hole in the bars"
    assert_no_lookahead(strategy, bars, forecasting)


def assert_no_lookahead(
    strategy: Strategy, bars: pd.DataFrame, forecasting: Forecasting | None = None, *, moments: int = 6, seed: int = 0
) -> None:
    """Fail where an order depends on what came after it, or on a forecast that is older than the newest known one.

    At random moments everything that ended later is replaced by noise, forecasts are made anew, and all orders up to
    the moment must be the same to the last bit. Then single forecasts are changed: a strategy that acts on them at all
    must do so before the next one is known.

    Parameters
    ----------
    strategy
        What is checked.
    bars
        Four months at least of one symbol's bars, or of those of several, indexed by (symbol, timestamp).
    forecasting
        Makes the forecasts that it is shown; None is the EWMA. It must not look ahead itself.
    moments
        How many of each kind.
    seed
        Of the moments and the noise.

    Raises
    ------
    AssertionError
        The strategy looks ahead, or acts on stale forecasts; where, and what it ordered.
    """
    forecasting = forecasting or _by_ewma
    random = np.random.default_rng(seed)
    tables = dict(forecasting(bars))
    market = Market.of(bars, tables)
    orders = strategy.plan(market, Costs()).orders
    opens = pd.DatetimeIndex(market.prices[market.symbols[0]]["opens_at"])
    opens = opens[opens > orders.index[0]]
    assert len(opens) > 2 * moments, f"{len(opens)} sessions are traded; {2 * moments + 1} at least are needed"
    for number, opened in enumerate(random.choice(opens[1:], moments, replace=False)):
        # Every other moment is an open itself, at which most strategies decide.
        minutes = 0 if number % 2 else int(random.integers(1, 180))
        moment = pd.Timestamp(opened) + pd.Timedelta(minutes=minutes)
        changed = _with_noise_after(bars, moment, random)
        again = strategy.plan(Market.of(changed, forecasting(changed)), Costs()).orders
        _require_same(orders, again, moment)
    _require_fresh(strategy, market, orders, random, moments)


def _require_same(orders: pd.DataFrame, again: pd.DataFrame, moment: pd.Timestamp) -> None:
    where = _first_difference(orders[orders.index <= moment], again[again.index <= moment])
    if where is None:
        return
    raise AssertionError(
        f"the strategy looks ahead: its order of {where} changes when only bars that end after {moment} change; an "
        "order may rest on what had ended by its moment alone."
    )


def _require_fresh(
    strategy: Strategy, market: Market, orders: pd.DataFrame, random: np.random.Generator, moments: int
) -> None:
    """Fail if changes of single forecasts show in orders, but never before the next forecast is known."""
    name = market.symbols[0]
    table = market.forecasts[name]
    asof = pd.DatetimeIndex(table["asof"])
    rows = np.flatnonzero(np.asarray(asof > orders.index[0]))[:-1]
    late = None
    for row in random.choice(rows, min(2 * moments, len(rows)), replace=False):
        for factor in (_FACTOR, 1 / _FACTOR):
            other = table.copy()
            cells: Any = other.iloc  # of which pandas cannot say that they are numbers
            cells[row, other.columns.get_loc("volatility")] *= factor
            shown = Market(market.bars, {**market.forecasts, name: other}, market.trading, market.implied)
            first = _first_difference(orders, strategy.plan(shown, Costs()).orders)
            if first is None:
                continue
            if first < asof[row + 1]:
                return
            late = late or (asof[row], first)
    if late is not None:
        raise AssertionError(
            f"the strategy acts on stale forecasts: a change of the one made as of {late[0]} shows in its orders from "
            f"{late[1]} on, when a newer one was known; join forecasts by their asof, as backtest.joins.align_to does."
        )


def _first_difference(orders: pd.DataFrame, again: pd.DataFrame) -> pd.Timestamp | None:
    # Instruments may come later, such as options that are opened then.
    moments, instruments = orders.index.union(again.index), orders.columns.union(again.columns)
    first, second = (frame.reindex(index=moments, columns=instruments) for frame in (orders, again))
    differ = ~(first.eq(second) | (first.isna() & second.isna())).all(axis=1)
    return moments[differ][0] if differ.any() else None


def _check_plan(strategy: Strategy, market: Market) -> None:
    plan, twin = (strategy.plan(market, Costs()) for _ in range(2))
    assert plan.orders.equals(twin.orders), "the same market gave two plans; what is random takes a fixed seed"
    index = plan.orders.index
    assert isinstance(index, pd.DatetimeIndex), "orders are indexed by the moments at which they are traded"
    assert index.tz is not None, "the moments of orders have no time zone"
    assert index.is_monotonic_increasing, "the moments of orders are not in time order"
    assert index.is_unique, "a moment has two rows of orders"
    values = plan.orders.to_numpy(dtype=float)
    assert not np.isinf(values).any(), "an order is infinite"
    assert np.isfinite(values).any(axis=1).all(), "a row of orders orders nothing"
    prices = plan.prices.reindex(index=index, columns=plan.orders.columns).to_numpy(dtype=float)
    assert np.isfinite(prices[np.isfinite(values)]).all(), "an order has no price"


def _by_ewma(bars: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    return baseline_forecasts(FALLBACK, bars)


def _with_noise_after(bars: pd.DataFrame, moment: pd.Timestamp, random: np.random.Generator) -> pd.DataFrame:
    """The same bars, but prices that end after `moment` walk elsewhere, three times as wild."""
    starts = pd.DatetimeIndex(bars.index.get_level_values(-1))
    later = np.asarray(starts + bar_length(starts.unique().sort_values()) > moment)
    changed = bars.copy()
    prices = [name for name in ("open", "high", "low", "close") if name in bars]
    noise = np.exp(0.002 * np.cumsum(random.standard_normal(int(later.sum()))))
    changed.loc[later, prices] = changed.loc[later, prices].to_numpy() * noise[:, None]
    changed.attrs = bars.attrs
    return changed


def _without_a_week(bars: pd.DataFrame) -> pd.DataFrame:
    days = pd.DatetimeIndex(bars.index.get_level_values(-1)).normalize()
    middle = days.unique().sort_values()[int(days.nunique() * 0.7)]
    holed = bars[(days < middle) | (days >= middle + pd.Timedelta(days=7))]
    holed.attrs = bars.attrs
    return holed
