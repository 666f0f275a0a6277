"""Hourly closes of options from Alpaca, through alpaca-py."""

from collections.abc import Iterator, Sequence

import pandas as pd

from volcast.arrays import time_index
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaPages, bar_frame

__all__ = ["AlpacaOptionBars", "contract_name"]

_HOUR = pd.Timedelta(hours=1)
_DELAY = pd.Timedelta(minutes=15)
_CONTRACTS_A_REQUEST = 100
_HOURS_A_DAY = 8


class AlpacaOptionBars:
    """What options were last traded at, hour by hour.

    Parameters
    ----------
    access
        Keys, address, patience, clock.
    """

    def __init__(self, access: AlpacaAccess) -> None:
        self._pages, self._access = AlpacaPages("OptionHistoricalDataClient", access), access

    def closes(self, contracts: Sequence[str], start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """The last price of each contract in each hour that began in [`start`, `end`) and is over.

        Parameters
        ----------
        contracts
            Names, see `contract_name`; one that was never listed is as one that was not traded.
        start, end
            Tz-aware.

        Returns
        -------
        DataFrame indexed by the end of the hour (UTC), from which the price is known, a column a contract that was
        traded; NaN where it was not.

        Raises
        ------
        CredentialsError
            The keys were refused.
        DataSourceError
            The service could not be reached, failed for as long as was waited, or refused the request.
        """
        end = min(end, self._access.settled_until(_DELAY))
        columns: dict[str, pd.Series] = {}
        for some in _in_parts(contracts) if start < end else ():
            for name, closes in self._of_some(some, start, end).items():
                known = time_index(closes) + _HOUR
                columns[name] = closes.set_axis(known)[known <= end]
        return pd.DataFrame(columns, dtype=float).sort_index()

    def _of_some(self, contracts: Sequence[str], start: pd.Timestamp, end: pd.Timestamp) -> dict[str, pd.Series]:
        from alpaca.data.requests import OptionBarsRequest
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

        request = OptionBarsRequest(
            symbol_or_symbols=list(contracts),
            timeframe=TimeFrame(1, TimeFrameUnit.Hour),
            start=start.tz_convert("UTC").to_pydatetime(),
            end=end.tz_convert("UTC").to_pydatetime(),
        )
        fields = request.to_request_fields()
        possible = len(contracts) * _HOURS_A_DAY * ((end - start) / pd.Timedelta(days=1) + 1)
        rows = self._pages.rows("/options/bars", fields, f"{contracts[0]} and others", possible)
        return {name: bar_frame(bars)["close"] for name, bars in rows.items()}


def contract_name(root: str, expiry: pd.Timestamp, kind: str, strike: float) -> str:
    """A contract as the Options Clearing Corporation names it: SPY240621C00500000 is SPY's call at 500 of 2024-06-21.

    Parameters
    ----------
    root
        Ticker of the underlying.
    expiry
        Its last day.
    kind
        ``"call"`` or ``"put"``.
    strike
        In dollars.
    """
    return f"{root.replace('.', '')}{expiry:%y%m%d}{kind[0].upper()}{round(1000 * strike):08d}"


def _in_parts(contracts: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(contracts), _CONTRACTS_A_REQUEST):
        yield contracts[first : first + _CONTRACTS_A_REQUEST]
