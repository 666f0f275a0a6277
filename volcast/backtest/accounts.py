"""Keeps the books of a backtest: capital, cash and units after every trade, by the library `bt`.

`bt` sizes a trade so that its cost is part of the sum that is moved, replays trades of given sizes, and values what is
held at each moment. Sessions, holes and statistics are not asked of it.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from volcast.backtest.plan import Plan
from volcast.errors import ConfigError

__all__ = ["Account", "Costs", "keep_account"]

_CAPITAL = 1e6


@dataclass(frozen=True)
class Costs:
    """What trading costs.

    Attributes
    ----------
    trade_bps
        Commission and half the spread of a trade in a symbol, in basis points of what is traded: 1.0 is 0.01 %. It is
        part of the sum that is moved: 100 buy for 100 less the cost.
    option_share
        Half the spread of an option, as a share of its price: 0.01 buys at 101 % and sells at 99 %.

    Raises
    ------
    ConfigError
        One of them is negative or no finite number.
    """

    trade_bps: float = 1.0
    option_share: float = 0.01

    def __post_init__(self) -> None:
        for name in ("trade_bps", "option_share"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value}; the rule is a finite number, 0 or above; 0 trades for nothing.")


@dataclass(frozen=True)
class Account:
    """What became of the capital, in shares of the capital before the first trade.

    Attributes
    ----------
    values
        Capital after costs at each moment of the plan's prices.
    units
        Units held of each instrument (columns) after the trades of each moment.
    trades
        One row a trade, indexed by its moment, columns `instrument`, `units` (negative: sold), `price` (linked over
        holes), `value` (of what was traded, without sign), `cost`.
    """

    values: pd.Series
    units: pd.DataFrame
    trades: pd.DataFrame

    @property
    def costs(self) -> float:
        """What all trades cost together, in shares of the capital before the first one."""
        return float(self.trades["cost"].sum())


def keep_account(plan: Plan, costs: Costs) -> Account:
    """The account of someone who trades as `plan` says and pays `costs`."""
    half_spreads = _half_spreads(plan, costs)
    strategy = _traded(plan, half_spreads, costs.trade_bps if plan.unit == "share" else 0.0)
    moments = plan.prices.index
    units = strategy.positions.reindex(index=moments, columns=plan.prices.columns).fillna(0.0) / _CAPITAL
    values = (strategy.values.reindex(moments) / _CAPITAL).rename("value")
    return Account(values, units, _trades(units, plan.prices, half_spreads))


def _traded(plan: Plan, half_spreads: pd.Series, commission_bps: float) -> Any:
    import bt

    if plan.unit == "share":
        algos, data = _rebalancing(plan.orders), {}
    else:
        transactions = _transactions(plan, half_spreads)
        moments = frozenset(transactions.index.get_level_values(0))
        # The replay looks through all transactions at each moment: it is asked where there are some.
        algos = [lambda target: target.now in moments, bt.algos.ReplayTransactions("transactions")]
        # Prices of one's own need a spread beside them; ours is in the price that is paid.
        data = {"transactions": transactions, "bidoffer": 0.0 * plan.prices}
    backtest = bt.Backtest(
        bt.Strategy("account", algos),
        plan.prices,
        initial_capital=_CAPITAL,
        commissions=lambda quantity, price: abs(quantity) * price * commission_bps / 1e4,
        integer_positions=False,
        progress_bar=False,
        additional_data=data,
    )
    backtest.run()
    return backtest.strategy


def _rebalancing(orders: pd.DataFrame) -> list[Any]:
    import bt

    # A symbol without an order of its own keeps the share that it was given last.
    return [bt.algos.WeighTarget(orders.ffill().fillna(0.0)), bt.algos.Rebalance()]


def _transactions(plan: Plan, half_spreads: pd.Series) -> pd.DataFrame:
    held = plan.orders.ffill().fillna(0.0)
    quantities = _changes(held) * _CAPITAL
    marks = plan.prices.stack().reindex(quantities.index)
    spreads = half_spreads.reindex(quantities.index.get_level_values(1)).to_numpy()
    paid = marks * (1 + np.sign(quantities) * spreads)
    return pd.DataFrame({"quantity": quantities, "price": paid}).rename_axis(["Date", "Security"])


def _half_spreads(plan: Plan, costs: Costs) -> pd.Series:
    shares = {name: costs.option_share if name in plan.options else costs.trade_bps / 1e4 for name in plan.prices}
    return pd.Series(shares, dtype=float)


def _trades(units: pd.DataFrame, prices: pd.DataFrame, half_spreads: pd.Series) -> pd.DataFrame:
    changes = _changes(units)
    moments, instruments = changes.index.get_level_values(0), changes.index.get_level_values(1)
    price = prices.stack().reindex(changes.index).to_numpy(dtype=float)
    value = np.abs(changes.to_numpy(dtype=float)) * price
    cost = value * half_spreads.reindex(instruments).to_numpy()
    return pd.DataFrame(
        {"instrument": instruments, "units": changes.to_numpy(), "price": price, "value": value, "cost": cost},
        index=moments.rename("moment"),
    )


def _changes(holdings: pd.DataFrame) -> pd.Series:
    """By moment and instrument, where something changed; before the first moment nothing was held."""
    changes = cast(pd.Series, holdings.diff().fillna(holdings.iloc[:1]).stack())
    return changes[changes.ne(0.0) & changes.notna()]
