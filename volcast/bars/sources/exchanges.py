"""Bars from exchanges of coins, through ccxt: spot pairs such as BTC/USDT, round the clock, without keys."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array2D
from volcast.bars.sources.http import Patience, PatientSession, RequestLimiter
from volcast.bars.sources.registry import minutes_of
from volcast.errors import DataSourceError, NotEnoughDataError, VolatilityError

__all__ = ["ExchangeBars", "RecentExchangeBars", "binance", "coinbase", "kraken"]

_DELAY = pd.Timedelta(minutes=1)
_COLUMNS = ("open", "high", "low", "close", "volume")
_FEWEST_BARS_A_PAGE = 100
_MILLISECOND = pd.Timedelta(milliseconds=1)


class ExchangeBars:
    """What one exchange keeps of its spot pairs. May be used by several threads, which take turns.

    Minutes without a trade have a bar or none, as the exchange has it; an outage of its has none.

    Parameters
    ----------
    exchange
        Its name in ccxt, such as ``"binance"``.
    url_override
        Another address than the exchange's, such as a stand-in server's.
    patience
        Timeouts and retries.
    clock
        The present moment, tz-aware; for tests.
    """

    def __init__(
        self,
        exchange: str,
        *,
        url_override: str | None = None,
        patience: Patience | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.exchange, self._clock = exchange, clock
        self._client = _client(exchange)
        if url_override is not None:
            self._client.urls["api"] = _moved(self._client.urls["api"], url_override)
        # ccxt repeats nothing; it counts what each request costs, and is not made for several threads.
        self._session = PatientSession(_limiter(exchange, self._client.rateLimit), patience or Patience())
        self._client.session = self._session
        self._lock = threading.Lock()

    def settled_until(self, timeframe: str) -> pd.Timestamp:
        """The moment (UTC) up to which bars are served and not revised any more: the end of a bar of `timeframe`."""
        return (pd.Timestamp(self._clock()).tz_convert("UTC") - _DELAY).floor(f"{minutes_of(timeframe)}min")

    def stop(self) -> None:
        """Repeat no request any more: fetches that are under way in other threads end soon, with an error."""
        self._session.stop()

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), as far as they are settled; none is an empty frame.

        Returns
        -------
        DataFrame indexed by ``timestamp`` (UTC, start of the bar, increasing, unique), columns open, high, low, close,
        volume (float).

        Raises
        ------
        DataSourceError
            The exchange has no such pair or length of bars, could not be reached, failed for as long as was waited, or
            refused the request.
        """
        minutes = minutes_of(timeframe)
        spelt = "1h" if minutes == 60 else f"{minutes}m"
        lengths = self._client.timeframes
        if spelt not in lengths:
            raise DataSourceError(
                f"timeframe is {timeframe!r}; {self.exchange} has bars of {', '.join(lengths)}; set data_frequency to "
                "one of them."
            )
        end = min(end, self.settled_until(timeframe))
        step = minutes * 60_000
        pages = [np.empty((0, 1 + len(_COLUMNS)))]
        # From one page to behind its last bar, or over a page's length without any: an outage ends somewhere.
        moment, last = _milliseconds(start), _milliseconds(end)
        while moment < last:
            page, limit = self._page(symbol, spelt, moment)
            pages.append(page)
            moment = int(page[:, 0].max()) + step if len(page) else moment + limit * step
        bars = _frame(np.concatenate(pages))
        return bars[(bars.index >= start) & (bars.index < end)]

    def _page(self, symbol: str, timeframe: str, since: int) -> tuple[Float64Array2D, int]:
        """Time and numbers of bars from a moment on, in milliseconds since the epoch, and how many a page has."""
        import ccxt

        trouble = ""
        try:
            with self._lock:
                if not self._client.markets:
                    self._client.load_markets()
                limit = int(self._client.feature_value(symbol, "fetchOHLCV", "limit", _FEWEST_BARS_A_PAGE))
                page = self._client.fetch_ohlcv(symbol, timeframe, since, limit)
        except VolatilityError as error:
            trouble = f"{self.exchange} gave no whole answer: {error}; try again later (what was fetched is kept)."
        except ccxt.BadSymbol:
            trouble = f"{self.exchange} has no pair {symbol}; it must be one that it trades, such as BTC/USDT."
        except ccxt.BaseError as error:
            trouble = (
                f"{self.exchange} refused the request for {symbol} ({type(error).__name__}); it must serve this place "
                "and pair; check symbol and dates, or take another source."
            )
        except Exception as error:
            trouble = (
                f"the answer of {self.exchange} was none that can be read ({type(error).__name__}); try again later, "
                "or give --bars FILE."
            )
        # Outside of the except clauses: a context would hold the whole request.
        if trouble:
            raise DataSourceError(trouble)
        numbers = _numbers(page, self.exchange)
        return numbers[numbers[:, 0] >= since], limit


class RecentExchangeBars:
    """What an exchange keeps that has its last bars alone, so many of each length.

    Parameters
    ----------
    bars
        The exchange's.
    reach
        How many bars back it has them.
    """

    def __init__(self, bars: ExchangeBars, reach: int) -> None:
        self._bars, self._reach = bars, reach

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), as far back as the exchange has them.

        Returns
        -------
        DataFrame as of `ExchangeBars.fetch`; ``attrs["notes"]`` says where that is less than was asked for.

        Raises
        ------
        NotEnoughDataError
            The exchange has nothing that old.
        DataSourceError
            As `ExchangeBars.fetch` says.
        """
        name, length = self._bars.exchange, pd.Timedelta(minutes=minutes_of(timeframe))
        earliest = self._bars.settled_until(timeframe) - (self._reach - 1) * length
        if start < end <= earliest:
            raise NotEnoughDataError(
                f"{name} has its last {self._reach} bars of {timeframe}, from {earliest:%Y-%m-%d %H:%M} UTC on; the "
                "span must reach into them; take longer bars, another exchange, or the files that it offers."
            )
        bars = self._bars.fetch(symbol, max(start, earliest), end, timeframe)
        if start < earliest:
            note = f"{name} has its last {self._reach} bars of {timeframe} only: from {earliest:%Y-%m-%d %H:%M} UTC on."
            bars.attrs["notes"] = [note]
        return bars


def binance() -> ExchangeBars:
    """Binance's spot pairs, such as BTC/USDT; it serves not every country."""
    return ExchangeBars("binance")


def coinbase() -> ExchangeBars:
    """Coinbase's spot pairs, such as BTC/USD."""
    return ExchangeBars("coinbase")


def kraken() -> RecentExchangeBars:
    """Kraken's spot pairs, such as BTC/USD, of which it has the last 720 bars; more is in the files that it offers."""
    return RecentExchangeBars(ExchangeBars("kraken"), 720)


def _client(exchange: str) -> Any:
    try:
        import ccxt
    except ImportError:
        raise DataSourceError(
            f"bars of {exchange} need the package ccxt, which is not installed; install it with pip install "
            "'local-volatility-training[ccxt]', or use another source."
        ) from None
    if exchange not in ccxt.exchanges:
        raise DataSourceError(f"{exchange!r} is no exchange of ccxt; it must be one of ccxt.exchanges; check the name.")
    client = getattr(ccxt, exchange)({"options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}})
    # Which coins may be withdrawn where needs keys and requests of its own, and says nothing of bars.
    client.has["fetchCurrencies"] = False
    return client


@lru_cache
def _limiter(exchange: str, milliseconds: float) -> RequestLimiter:
    """The exchange's limit, one for the process, since the address is one."""
    return RequestLimiter(1, milliseconds / 1000)


def _moved(urls: Any, base: str) -> Any:
    """All addresses in `urls` at another host."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return f"{base}{urlsplit(urls).path}"


def _milliseconds(moment: pd.Timestamp) -> int:
    return -int((pd.Timestamp(0, tz="UTC") - moment) // _MILLISECOND)


def _numbers(page: list[Any], exchange: str) -> Float64Array2D:
    """Time and numbers of raw bars, a row each.

    Raises
    ------
    DataSourceError
        A row is no bar.
    """
    try:
        numbers = np.array(page, dtype=float).reshape(len(page), 1 + len(_COLUMNS))
    except (TypeError, ValueError):
        numbers = np.full((1, 1 + len(_COLUMNS)), np.nan)
    if not np.isfinite(numbers[:, :-1]).all():
        raise DataSourceError(
            f"the answer of {exchange} has bars that are not of the agreed form; a time and five numbers are needed; "
            "try again later, or give --bars FILE."
        )
    return numbers


def _frame(numbers: Float64Array2D) -> pd.DataFrame:
    """Bars in time order; of a stamp that came twice the later answer."""
    stamps = pd.DatetimeIndex(numbers[:, 0].astype(np.int64).astype("M8[ms]"), tz="UTC", name="timestamp").as_unit("us")
    bars = pd.DataFrame(numbers[:, 1:], stamps, columns=list(_COLUMNS))
    return bars[~bars.index.duplicated(keep="last")].sort_index()
