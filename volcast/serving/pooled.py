"""A pooled model that serves one of many symbols, with what it needs of the others' bars."""

from dataclasses import dataclass

import pandas as pd

from volcast.bars.checks import select_symbol
from volcast.errors import BarsError, NotEnoughDataError
from volcast.features.intraday import market_columns
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.serving.grid import NextBucket
from volcast.serving.served_model import ServedModel

__all__ = ["served_for_symbol"]


def served_for_symbol(served: ServedModel, bars: pd.DataFrame, symbol: str | None) -> tuple[ServedModel, pd.DataFrame]:
    """What serves `symbol`, and the symbol's own bars.

    A model of one symbol serves as it is. A pooled one takes the market's states from all symbols in `bars`; where
    these are fewer than `FEWEST_IN_MARKET` of its recipe, the symbol's own state stands in for the market's.

    Parameters
    ----------
    served
        The model.
    bars
        One symbol's bars, or those of many, indexed by (symbol, timestamp).
    symbol
        Which of them; None is the only one, or the one that ``bars.attrs["symbol"]`` names.

    Raises
    ------
    BarsError
        `symbol` is not among the bars, or is None and they are of several.
    """
    recipe = None if served.bundle is None else served.bundle.recipe
    if not isinstance(recipe, HarLstm) or len(recipe.symbols) == 1:
        return served, bars if symbol is None else select_symbol(bars, symbol)
    if not isinstance(bars.index, pd.MultiIndex):
        name = str(symbol or bars.attrs.get("symbol") or "")
        return _ServedSymbol(served.bundle, served.config, name, None), bars
    own = select_symbol(bars, symbol)
    name = symbol or str(bars.index.get_level_values(0)[0])
    return _ServedSymbol(served.bundle, served.config, name, _market(served, recipe, bars, name)), own


def _market(served: ServedModel, recipe: HarLstm, bars: pd.DataFrame, symbol: str) -> pd.DataFrame | None:
    measures = {}
    for name in bars.index.get_level_values(0).unique():
        try:
            measures[str(name)] = served.measure(select_symbol(bars, name))
        except (BarsError, NotEnoughDataError):
            # A symbol whose bars are unusable is no part of the market; the one that is asked for says so itself.
            continue
    joined = recipe.with_market(measures).get(symbol)
    return None if joined is None else joined[joined.columns.intersection(market_columns())]


@dataclass(frozen=True)
class _ServedSymbol(ServedModel):
    """A pooled model that serves `symbol`, with the market's states beside its measures."""

    symbol: str
    market: pd.DataFrame | None

    def measure(self, bars: pd.DataFrame) -> pd.DataFrame:
        measures = super().measure(bars)
        if self.market is not None:
            measures = measures.join(self.market)
        measures.attrs["symbol"] = self.symbol
        return measures

    def _next_bucket(self, bars: pd.DataFrame, asof: pd.Timestamp | None) -> NextBucket:
        # Not from the histories that grow: they know nothing of the market.
        return self._last_of_grid(bars, asof)
