"""What Alpaca's clients share: keys, patience, pages of bars, and the words for what goes wrong."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError
from typing_extensions import TypedDict

from volcast.bars.sources.http import Patience, PatientSession, RequestLimiter, UnavailableError
from volcast.bars.sources.registry import minutes_of
from volcast.errors import CredentialsError, DataSourceError

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient
    from alpaca.data.timeframe import TimeFrame

__all__ = [
    "AlpacaAccess",
    "AlpacaCredentials",
    "AlpacaHistory",
    "AlpacaPages",
    "Bar",
    "FeedNotInPlanError",
    "alpaca_timeframe",
    "bar_frame",
]

ClientName = Literal["StockHistoricalDataClient", "OptionHistoricalDataClient", "CryptoHistoricalDataClient"]

_LIMITER = RequestLimiter(calls=200, seconds=60)
"""Alpaca's free plan; one for the process, since the account is one."""

_COLUMNS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
_FEWEST_BARS_A_PAGE, _SPARE_PAGES = 500, 20
"""Pages hold up to 10,000 bars, though now and then few or none; where more come than these make, they never end."""

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Bar(TypedDict):
    """What is used of a raw bar."""

    t: StrictStr
    o: _Number
    h: _Number
    l: _Number  # noqa: E741
    c: _Number
    v: _Number


class _Page(BaseModel):
    """An answer: bars by symbol, which are null where there are none, and the token of the next page."""

    model_config = ConfigDict(extra="ignore")

    bars: dict[str, list[Bar]] | None = None
    next_page_token: StrictStr | None = None


@dataclass(frozen=True)
class AlpacaCredentials:
    """A pair of keys; they appear in no text of this object."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


class FeedNotInPlanError(CredentialsError):
    """The keys are accepted, but their plan does not include the feed that was asked for."""


@dataclass(frozen=True)
class AlpacaAccess:
    """How Alpaca is asked.

    Attributes
    ----------
    credentials
        The keys; None where there are none, as coins need none.
    url_override
        Another address than Alpaca's, such as a stand-in server's.
    patience
        Timeouts and retries.
    clock
        The present moment, tz-aware; for tests.
    """

    credentials: AlpacaCredentials | None = None
    url_override: str | None = None
    patience: Patience = field(default_factory=Patience)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def settled_until(self, delay: pd.Timedelta) -> pd.Timestamp:
        """The moment (UTC) up to which bars are served that come with this `delay`."""
        return pd.Timestamp(self.clock()).tz_convert("UTC") - delay


class AlpacaHistory(ABC):
    """Settled bars of one of Alpaca's clients. May be used by several threads.

    Parameters
    ----------
    client
        Its class in alpaca-py.
    access
        Keys, address, patience, clock.
    delay
        How long after its end a bar is served and not revised any more.
    """

    def __init__(self, client: ClientName, access: AlpacaAccess, delay: pd.Timedelta) -> None:
        self._access, self._delay = access, delay
        self._pages = AlpacaPages(client, access)

    def settled_until(self, timeframe: str) -> pd.Timestamp:
        """The moment (UTC) up to which bars are served and not revised any more: the end of a bar of `timeframe`."""
        return self._access.settled_until(self._delay).floor(f"{minutes_of(timeframe)}min")

    def stop(self) -> None:
        """Repeat no request any more: fetches that are under way in other threads end soon, with an error."""
        self._pages.stop()

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), as far as they are settled; none is an empty frame.

        Returns
        -------
        DataFrame indexed by ``timestamp`` (UTC, start of the bar, increasing, unique), columns open, high, low, close,
        volume (float).

        Raises
        ------
        CredentialsError
            The keys were refused.
        FeedNotInPlanError
            Their plan does not include the feed.
        DataSourceError
            The service could not be reached, failed for as long as was waited, or refused the request.
        """
        end = min(end, self.settled_until(timeframe))
        if end <= start:
            return bar_frame([])
        path, fields = self._request(symbol, start.tz_convert("UTC"), end.tz_convert("UTC"), timeframe)
        possible = (end - start) / pd.Timedelta(minutes=minutes_of(timeframe))
        bars = bar_frame(self._pages.rows(path, fields, symbol, possible).get(symbol, []))
        return bars[(bars.index >= start) & (bars.index < end)]

    @abstractmethod
    def _request(
        self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str
    ) -> tuple[str, dict[str, Any]]:
        """The path below the client's address, and the fields of the request."""


class AlpacaPages:
    """Bars of one of Alpaca's clients, page after page, with patience. May be used by several threads.

    Parameters
    ----------
    client
        Its class in alpaca-py.
    access
        Keys, address and patience.
    """

    def __init__(self, client: ClientName, access: AlpacaAccess) -> None:
        from alpaca.data import historical

        keys = access.credentials
        pair = () if keys is None else (keys.key, keys.secret)
        self._client: RESTClient = getattr(historical, client)(*pair, url_override=access.url_override)
        self._has_keys = keys is not None
        # alpaca-py sets no timeout, retries little, and knows no limit.
        self._session = PatientSession(_LIMITER, access.patience)
        self._client._session = self._session

    def stop(self) -> None:
        """Repeat no request any more."""
        self._session.stop()

    def rows(self, path: str, fields: Mapping[str, Any], subject: str, possible: float) -> dict[str, list[Bar]]:
        """Raw bars of all pages by symbol, in the order in which they came.

        Parameters
        ----------
        path
            Below the client's address.
        fields
            Of the request, without limit and token.
        subject
            What is asked for, in words of an error.
        possible
            Most bars that there can be.

        Raises
        ------
        DataSourceError
            As `AlpacaHistory.fetch` says.
        """
        fields = {**fields, "limit": 10_000}
        rows: dict[str, list[Bar]] = {}
        seen: set[str] = set()
        for _ in range(int(possible / _FEWEST_BARS_A_PAGE) + _SPARE_PAGES):
            page, token = self._page(path, fields, subject)
            for symbol, bars in page.items():
                rows.setdefault(symbol, []).extend(bars)
            if not token:
                return rows
            if token in seen:
                raise DataSourceError("Alpaca's pages lead back to themselves; they must end; try again later.")
            seen.add(token)
            fields["page_token"] = token
        raise DataSourceError(
            f"Alpaca's pages do not end ({len(seen)} of them for {possible:,.0f} bars at most); they must; try again "
            "later."
        )

    def _page(self, path: str, fields: dict[str, Any], subject: str) -> tuple[dict[str, list[Bar]], str | None]:
        """Raw bars of one page, and the token of the next."""
        from alpaca.common.exceptions import APIError

        trouble: DataSourceError
        try:
            answer = self._client.get(path, fields)
            page = _Page.model_validate(answer)
            return page.bars or {}, page.next_page_token
        except APIError as error:
            trouble = _translated(error, subject, str(fields.get("feed", "")), self._has_keys)
        except UnavailableError as error:
            trouble = DataSourceError(
                f"Alpaca gave no whole answer: {error}; a connection and a working service are needed; try again "
                "later (what was fetched is kept), or give --bars FILE."
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"] if part != subject) or "the answer"
            trouble = DataSourceError(
                f"Alpaca's answer is not of the agreed form ({where}: {first['msg'][:100]}); bars with a time and five "
                "numbers are needed; try again later, or give --bars FILE."
            )
        except Exception as error:
            trouble = DataSourceError(
                f"Alpaca's answer was none that can be read ({type(error).__name__}); try again later, or give "
                "--bars FILE."
            )
        # Outside of the except clauses: a context would hold the request, and with it the keys.
        raise trouble


def bar_frame(rows: list[Bar]) -> pd.DataFrame:
    """Raw bars as a frame in time order; of a stamp that came twice the later answer, which holds what was revised.

    Raises
    ------
    DataSourceError
        A stamp is no time.
    """
    raw = pd.DataFrame(rows, columns=["t", *_COLUMNS])
    times = pd.to_datetime(raw["t"], utc=True, format="ISO8601", errors="coerce")
    if times.isna().any():
        raise DataSourceError(
            f"Alpaca's answer has the stamp {str(raw['t'][times.isna()].iloc[0])[:40]!r}, which is no time; each bar "
            "needs one; try again later, or give --bars FILE."
        )
    stamps = pd.DatetimeIndex(times, name="timestamp").as_unit("us")
    bars = raw.drop(columns="t").rename(columns=_COLUMNS).astype(float).set_axis(stamps)
    if not bars.index.is_monotonic_increasing:
        bars = bars.sort_index(kind="stable")
    return bars[~bars.index.duplicated(keep="last")]


def alpaca_timeframe(text: str) -> "TimeFrame":
    """The length of a bar, as alpaca-py has it.

    Raises
    ------
    DataSourceError
        There are no bars of that length.
    """
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    try:
        minutes = minutes_of(text)
    except ValueError as error:
        raise DataSourceError(f"timeframe is {text!r}; it {error}.") from None
    return TimeFrame(1, TimeFrameUnit.Hour) if minutes == 60 else TimeFrame(minutes, TimeFrameUnit.Minute)


def _translated(error: Any, symbol: str, feed: str, has_keys: bool) -> DataSourceError:
    status = getattr(error, "status_code", None)
    # The text of an answer is not repeated where keys are at stake.
    if status == 403 and "subscription" in str(error).lower():
        return FeedNotInPlanError(
            f"Alpaca's plan of these keys does not include the {feed} feed for this span; a plan with it is needed; "
            "set feed to 'iex', or let the span end at least 15 minutes ago."
        )
    if status in (401, 403) and not has_keys:
        return CredentialsError(
            f"Alpaca refuses {symbol} without keys; it must be asked with a pair of them; set APCA_API_KEY_ID and "
            "APCA_API_SECRET_KEY."
        )
    if status in (401, 403):
        return CredentialsError(
            "Alpaca refused the keys; APCA_API_KEY_ID and APCA_API_SECRET_KEY must be a valid pair; check both."
        )
    if status in (400, 404, 422):
        return DataSourceError(
            f"Alpaca does not accept the request for {symbol} (status {status}); check symbol and dates."
        )
    return DataSourceError(f"Alpaca failed to answer (status {status}); try again later, or give --bars FILE.")
