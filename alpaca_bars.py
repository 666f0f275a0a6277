"""Historical bars from Alpaca, through alpaca-py."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from errors import CredentialsError, DataSourceError, NotEnoughDataError

if TYPE_CHECKING:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.timeframe import TimeFrame

__all__ = ["AlpacaCredentials", "fetch_alpaca_bars"]

_TIMEOUT_SECONDS = 30
_SIP_DELAY = timedelta(minutes=15)
_FREQUENCY = re.compile(r"(\d+)(Min|Hour)")


@dataclass(frozen=True)
class AlpacaCredentials:
    """A pair of keys; they appear in no text of this object."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


def fetch_alpaca_bars(
    symbol: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    timeframe: str,
    credentials: AlpacaCredentials,
    *,
    feed: str = "sip",
    adjustment: str = "all",
    url_override: str | None = None,
) -> pd.DataFrame:
    """Bars of `symbol` that start in [`start`, `end`), both tz-aware, stamped at their start in UTC.

    The consolidated feed (SIP) is free of charge only up to 15 minutes ago: a later `end` is cut there.

    Raises
    ------
    CredentialsError
        The keys were refused, or the plan does not include what was asked.
    DataSourceError
        The service could not be reached or refused the request.
    NotEnoughDataError
        It has no bars of that symbol in that span.
    """
    from alpaca.common.exceptions import APIError
    from alpaca.data.enums import Adjustment, DataFeed
    from alpaca.data.requests import StockBarsRequest

    latest = pd.Timestamp(datetime.now(UTC) - _SIP_DELAY)
    request = StockBarsRequest(
        symbol_or_symbols=symbol,
        timeframe=_alpaca_timeframe(timeframe),
        start=start.tz_convert("UTC").to_pydatetime(),
        end=(min(end, latest) if feed == "sip" else end).tz_convert("UTC").to_pydatetime(),
        adjustment=Adjustment(adjustment),
        feed=DataFeed(feed),
    )
    try:
        answer = _client(credentials, url_override).get_stock_bars(request)
    except APIError as error:
        raise _translated(error, symbol) from None
    except Exception as error:
        # From None: the chain could show the request's headers, and with them the keys.
        raise DataSourceError(
            f"Alpaca could not be reached ({type(error).__name__}); a connection is needed; try again, or give "
            "--bars FILE."
        ) from None
    frame: pd.DataFrame = answer.df
    if frame.empty:
        raise NotEnoughDataError(
            f"Alpaca has no bars of {symbol} from {start:%Y-%m-%d} to {end - timedelta(seconds=1):%Y-%m-%d} in "
            f"its {feed} "
            "feed; symbol and dates must be ones it covers (from 2016 on); check both."
        )
    bars = frame.xs(symbol, level="symbol")[["open", "high", "low", "close", "volume"]].astype(float)
    return bars[bars.index < end]


def _client(credentials: AlpacaCredentials, url_override: str | None) -> "StockHistoricalDataClient":
    import functools

    from alpaca.data.historical import StockHistoricalDataClient

    client = StockHistoricalDataClient(credentials.key, credentials.secret, url_override=url_override)
    # alpaca-py sets no timeout of its own, and a stalled server would hang the training for ever.
    session: Any = client._session
    session.request = functools.partial(session.request, timeout=_TIMEOUT_SECONDS)
    return client


def _alpaca_timeframe(text: str) -> "TimeFrame":
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    match = _FREQUENCY.fullmatch(text)
    if match is None:
        raise DataSourceError(f"timeframe is {text!r}; it must be such as 1Min, 5Min or 1Hour.")
    return TimeFrame(int(match[1]), TimeFrameUnit.Minute if match[2] == "Min" else TimeFrameUnit.Hour)


def _translated(error: Any, symbol: str) -> DataSourceError:
    status = getattr(error, "status_code", None)
    # The text of an answer is not repeated where keys are at stake; elsewhere it says what was wrong.
    if status == 401:
        return CredentialsError(
            "Alpaca refused the keys; APCA_API_KEY_ID and APCA_API_SECRET_KEY must be a valid pair; check both."
        )
    if status == 403:
        return CredentialsError(
            "Alpaca refused the request: the keys are wrong or their plan lacks this feed; check APCA_API_KEY_ID and "
            "APCA_API_SECRET_KEY, or set feed to 'iex'."
        )
    if status in (400, 404, 422):
        return DataSourceError(
            f"Alpaca does not accept the request for {symbol} (status {status}); check symbol and dates."
        )
    if status == 429:
        return DataSourceError(
            "Alpaca limits the number of requests and this one was too many; wait a minute and try again."
        )
    return DataSourceError(f"Alpaca failed to answer (status {status}); try again later, or give --bars FILE.")
