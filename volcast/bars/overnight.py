"""Bars of another symbol that tell of the nights of those that are forecast, such as the future on an index.

What is wrong with them is said as of `overnight_bars`, so that nobody looks for it in the bars beside them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.errors import BarsError, NotEnoughDataError
from volcast.markets.market import TradingMarket
from volcast.markets.names import default_market
from volcast.markets.registry import market_named

__all__ = ["checked_overnight_bars", "market_of_nights", "said_of_overnight_bars"]


@contextmanager
def said_of_overnight_bars() -> Iterator[None]:
    """Say of what is wrong with bars inside that it is wrong with the overnight bars."""
    try:
        yield
    except (BarsError, NotEnoughDataError) as error:
        raise type(error)(f"overnight_bars: {error}") from None


def checked_overnight_bars(bars: pd.DataFrame | SymbolBars, symbol: str | None = None) -> SymbolBars:
    """The overnight bars of `symbol`, checked; of bars that are indexed by (symbol, timestamp) None is the only one.

    Raises
    ------
    BarsError, NotEnoughDataError
        They are unusable, or of several symbols, of which `symbol` names none.
    """
    with said_of_overnight_bars():
        return SymbolBars.of(bars, symbol, None if symbol is None else market_of_nights(symbol))


def market_of_nights(symbol: str) -> TradingMarket:
    """The market of a symbol that trades in the nights of others."""
    return market_named(default_market(symbol))
