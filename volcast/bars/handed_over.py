"""Bars that a caller hands over in place of a source's: on which market they are traded, and those of each symbol."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.bars.checks import cut_to_days, market_by_hours
from volcast.bars.frames import as_bars_frame
from volcast.errors import ConfigError
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, default_market

__all__ = ["HandedOverBars"]


@dataclass(frozen=True)
class HandedOverBars:
    """Bars of one symbol or of several that were handed over, unchecked.

    Attributes
    ----------
    frame
        One symbol's, or those of several, indexed by (symbol, timestamp), as `as_bars_frame` reads them.
    named
        The symbols that somebody named; none where the bars are to be of one symbol, whichever it is.
    """

    frame: pd.DataFrame
    named: tuple[str, ...]

    @classmethod
    def of(cls, bars: object, named: Sequence[str]) -> "HandedOverBars":
        """The bars in what a caller handed over, see `as_bars_frame`.

        Raises
        ------
        BarsError
            It is no frame of bars.
        """
        return cls(as_bars_frame(bars), tuple(named))

    def market_name(self, configured: str) -> str:
        """The market that nobody named: what the name of the bars' symbol tells, or else their hours.

        `configured` is what the configured symbol's name tells, and stands where the bars do not say whose they are, or
        somebody named their symbols. Hours are looked at where names tell New York's market, see `market_by_hours`.
        """
        symbol = None if self.named else self.frame.attrs.get("symbol")
        name = default_market(str(symbol)) if symbol else configured
        return market_by_hours(self.frame) if name == DEFAULT_MARKET else name

    def of_symbol(self, symbol: str, first: date | None, last: date | None, market: TradingMarket) -> pd.DataFrame:
        """One symbol's bars, checked, from `first` to `last`, the market's days, both included; None sets no bound.

        They are those of `symbol` where somebody named symbols, and else of the only one.

        Raises
        ------
        ConfigError
            Several symbols were named, and the bars are one symbol's.
        BarsError, NotEnoughDataError
            They are unusable, or none lies on these days.
        """
        if len(self.named) > 1 and not isinstance(self.frame.index, pd.MultiIndex):
            raise ConfigError(
                f"the bars are one symbol's and {', '.join(self.named)} are to be trained on; bars of several are "
                "indexed by (symbol, timestamp); pd.concat({'SPY': ..., 'QQQ': ...}) makes them."
            )
        checked = SymbolBars.of(self.frame, symbol if self.named else None, market)
        return cut_to_days(checked.frame, first, last, market=market)
