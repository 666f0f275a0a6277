"""Historical bars of stocks from Alpaca, through alpaca-py."""

from typing import Any, Literal

import pandas as pd

from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaHistory, alpaca_timeframe

__all__ = ["AlpacaBars", "Feed"]

Feed = Literal["sip", "iex"]

_DELAYS: dict[Feed, pd.Timedelta] = {"sip": pd.Timedelta(minutes=15), "iex": pd.Timedelta(minutes=1)}


class AlpacaBars(AlpacaHistory):
    """One feed of Alpaca's for stocks, with one adjustment. May be used by several threads.

    Parameters
    ----------
    access
        Keys, address, patience, clock.
    feed
        ``"sip"``, the consolidated tape, free of charge up to 15 minutes ago; ``"iex"``, 2 to 3.5 % of it.
    adjustment
        ``"raw"``, ``"split"``, ``"dividend"`` or ``"all"``.
    """

    def __init__(self, access: AlpacaAccess, *, feed: Feed = "sip", adjustment: str = "all") -> None:
        super().__init__("StockHistoricalDataClient", access, _DELAYS[feed])
        self.feed, self.adjustment = feed, adjustment

    def _request(
        self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str
    ) -> tuple[str, dict[str, Any]]:
        from alpaca.data.enums import Adjustment, DataFeed
        from alpaca.data.requests import StockBarsRequest

        request = StockBarsRequest(
            symbol_or_symbols=symbol,
            timeframe=alpaca_timeframe(timeframe),
            start=start.to_pydatetime(),
            end=end.to_pydatetime(),
            adjustment=Adjustment(self.adjustment),
            feed=DataFeed(self.feed),
        )
        return "/stocks/bars", request.to_request_fields()
