"""Historical bars of coins from Alpaca, through alpaca-py: pairs such as BTC/USD, round the clock, without keys."""

from typing import Any

import pandas as pd

from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaHistory, alpaca_timeframe

__all__ = ["COIN_FEED", "AlpacaCoinBars", "is_pair"]

COIN_FEED = "us"
"""Alpaca's own venue, the only one that is free."""

_DELAY = pd.Timedelta(minutes=1)


class AlpacaCoinBars(AlpacaHistory):
    """Bars of coins as Alpaca trades them. May be used by several threads.

    A minute without a trade has a bar of the quotes' mean, with a volume of zero.

    Parameters
    ----------
    access
        Address, patience, clock; keys raise the limit of requests and are not needed.
    """

    def __init__(self, access: AlpacaAccess) -> None:
        super().__init__("CryptoHistoricalDataClient", access, _DELAY)

    def _request(
        self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str
    ) -> tuple[str, dict[str, Any]]:
        from alpaca.data.requests import CryptoBarsRequest

        request = CryptoBarsRequest(
            symbol_or_symbols=symbol,
            timeframe=alpaca_timeframe(timeframe),
            start=start.to_pydatetime(),
            end=end.to_pydatetime(),
        )
        return f"/crypto/{COIN_FEED}/bars", request.to_request_fields()


def is_pair(symbol: str) -> bool:
    """Whether a symbol is a coin and what it is paid with, such as BTC/USD; Alpaca has no stock written so."""
    return "/" in symbol
