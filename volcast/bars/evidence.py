"""What only all bars of a symbol together tell: whether stamps are starts, and prices of one kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.bars.clocks import DayEdges, require_starts
from volcast.bars.columns import count_out_of_range, require_prices_in_range
from volcast.markets.market import TradingMarket

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What bars, each of which can be used, tell as a whole; carried on, so that what comes costs itself alone.

    Attributes
    ----------
    count
        How many bars have been looked at.
    out_of_range
        How many of them have a close, or an open, outside their high and low.
    days
        When they begin and end from day to day.

    Examples
    --------
    >>> import numpy as np
    >>> Evidence().followed_by(np.array([60_000_000]), {"close": np.array([9.5])}).count
    1
    """

    count: int = 0
    out_of_range: Mapping[str, int] = field(default_factory=dict)
    days: DayEdges = field(default_factory=DayEdges)

    @classmethod
    def of_market(cls, market: TradingMarket | None) -> Self:
        """Evidence of no bars so far, to be followed by those of a market; None is New York's."""
        return cls() if market is None else cls(days=DayEdges(market))

    def followed_by(self, stamps: Int64Array1D, prices: Mapping[str, Float64Array1D]) -> "Evidence":
        """With bars behind the others: their starts in microseconds since the epoch, and prices, shape (n,) each."""
        outside = {name: self.out_of_range.get(name, 0) + number for name, number in count_out_of_range(prices).items()}
        return Evidence(self.count + len(stamps), {**self.out_of_range, **outside}, self.days.followed_by(stamps))

    def require_one_kind(self, attrs: Mapping[Any, Any], name: str = "the bars") -> None:
        """Refuse prices of which only one is adjusted, and stamps that are ends, if ``attrs`` do not say otherwise.

        Raises
        ------
        BarsError
            What is wrong with the bars, called `name`, and the ways out.
        """
        require_prices_in_range(self.out_of_range, self.count, name)
        if attrs.get("stamps") != "start":
            require_starts(self.days, name)
