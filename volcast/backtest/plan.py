"""What a strategy hands to the runner: what to hold from which moment on, and the prices that it is traded at."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Orders of a strategy, and the prices at which they are traded.

    Attributes
    ----------
    orders
        A row a moment at which something is traded (market time), a column an instrument: what to hold from then on,
        as `unit` says; NaN leaves the instrument alone.
    prices
        A row a moment, each of the orders' among them, and each session's close: the price at which an order of that
        moment is traded; NaN where an instrument does not exist and nothing of it is held. Prices are linked over
        holes (see `prices.link_factors`).
    unit
        ``"share"``: orders are shares of the capital of that moment, 1.0 is all of it; ``"units"``: units of the
        instrument for each unit of the capital before the first trade.
    options
        Instruments that are options, and pay an option's spread.
    decisions
        What the orders were made of, a row a decision; shown, and saved with the trades.
    remarks
        Sentences that belong into a report: what was assumed, what was left out.
    """

    orders: pd.DataFrame
    prices: pd.DataFrame
    unit: Literal["share", "units"] = "share"
    options: frozenset[str] = frozenset()
    decisions: pd.DataFrame = field(default_factory=pd.DataFrame)
    remarks: tuple[str, ...] = ()
