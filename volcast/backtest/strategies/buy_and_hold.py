"""All symbols bought with equal parts of the capital at the first decision of a strategy, and held."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan

__all__ = ["BuyAndHold"]


@dataclass(frozen=True)
class BuyAndHold:
    """The benchmark of every strategy.

    Attributes
    ----------
    since
        The moment from which it holds (tz-aware); None is the first session with an outlook. Where bars
        begin later, it is their beginning.
    part
        Of the capital, 1.0 is all of it; the rest is cash.
    """

    title: ClassVar[str] = "buy and hold"
    target_volatility: ClassVar[float | None] = None

    since: pd.Timestamp | None = None
    part: float = 1.0

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Spread the capital evenly over the symbols, once, at the first forecast or at `since`."""
        if self.since is None:
            moment = max(market.outlook[name]["asof"].min() for name in market.symbols)
        else:
            moment = max(self.since, *(market.prices[name]["opens_at"].iloc[0] for name in market.symbols))
        shares = dict.fromkeys(market.symbols, self.part / len(market.symbols))
        return market.plan_for(pd.DataFrame(shares, index=pd.DatetimeIndex([moment])))
