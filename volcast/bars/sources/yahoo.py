"""Bars from Yahoo, through yfinance: without keys, but only of the recent past."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from volcast.bars.sources.registry import minutes_of
from volcast.errors import DataSourceError, NotEnoughDataError
from volcast.packages import required_module

__all__ = ["YAHOO_REACH_DAYS", "YahooBars"]

YAHOO_REACH_DAYS = {1: 30, 2: 60, 5: 60, 15: 60, 30: 60, 60: 730}
"""How many days back Yahoo has bars, by their minutes."""

_DAYS_A_REQUEST = {1: 7}
_COLUMNS = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


class YahooBars:
    """What Yahoo has: one minute for 30 days, two to thirty minutes for 60, hourly bars for two years.

    Its 1-minute bars are too few for the default model, which wants a year. Hourly bars reach far enough: with a range
    estimator (``rv_estimator="garman_klass"``) a volatility is made of the open, high, low and close of each. They run
    from half past to half past, so a bucket's value is that of the hour which ended half an hour before its label, and
    the first bucket of a day has none; nothing in them is known later than its label says.

    Parameters
    ----------
    say
        Told what Yahoo has where that is less than what is asked.
    download
        A function with the interface of ``yfinance.download``; for tests.
    clock
        The present moment, tz-aware; for tests.
    """

    def __init__(
        self,
        *,
        download: Callable[..., Any] | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._download, self._clock = download, clock or _utc_now

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), as far back as Yahoo has them.

        Returns
        -------
        DataFrame indexed by ``timestamp`` (UTC, start of the bar), columns open, high, low, close (adjusted for splits,
        not for dividends) and volume; ``attrs["notes"]`` says where that is less than was asked for.

        Raises
        ------
        NotEnoughDataError
            Yahoo has nothing that old, or the span is empty.
        DataSourceError
            yfinance is not installed, or Yahoo has no bars of that length, or failed.
        """
        minutes = minutes_of(timeframe)
        if minutes not in YAHOO_REACH_DAYS:
            lengths = ", ".join(f"{length}Min" if length < 60 else "1Hour" for length in YAHOO_REACH_DAYS)
            raise DataSourceError(
                f"timeframe is {timeframe!r}; Yahoo has {lengths}; set data_frequency to one of them."
            )
        reach = YAHOO_REACH_DAYS[minutes]
        start, end = start.tz_convert("UTC"), end.tz_convert("UTC")
        if end <= start:
            raise NotEnoughDataError(f"the span from {start} to {end} is empty; it must end later than it begins.")
        # A day less than it says: the first one is cut.
        earliest = (pd.Timestamp(self._clock()).tz_convert("UTC") - pd.Timedelta(days=reach - 1)).ceil("D")
        if end <= earliest:
            last = end - pd.Timedelta(days=1)
            raise NotEnoughDataError(
                f"Yahoo has {timeframe} bars of the last {reach} days and the span ends on {last:%Y-%m-%d}; it must "
                "reach into them; change the dates, take 1Hour bars (two years), or use Alpaca."
            )
        notes = []
        if start < earliest:
            notes.append(
                f"Yahoo has {timeframe} bars of the last {reach} days only: from {earliest:%Y-%m-%d} on."
                + (" That is too little for the default model, which needs about a year." if reach < 365 else "")
            )
        pieces = [self._piece(symbol, *span, minutes) for span in _spans(max(start, earliest), end, minutes)]
        bars = pd.concat(pieces)
        bars = bars[~bars.index.duplicated(keep="last")].sort_index()
        bars = bars[(bars.index >= start) & (bars.index < end)]
        bars.attrs["notes"] = notes
        return bars

    def _piece(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, minutes: int) -> pd.DataFrame:
        download = self._download or _yfinance_download()
        trouble = ""
        try:
            table = download(
                symbol,
                start=start.to_pydatetime(),
                end=end.to_pydatetime(),
                interval="60m" if minutes == 60 else f"{minutes}m",
                auto_adjust=False,
                prepost=False,
                progress=False,
                multi_level_index=False,
                timeout=30,
            )
        except Exception as error:
            trouble = type(error).__name__
        if trouble:
            raise DataSourceError(f"Yahoo failed to answer ({trouble}); try again later, or give --bars FILE.")
        bars: pd.DataFrame = table.rename(columns=_COLUMNS)[list(_COLUMNS.values())].astype(float)
        index = pd.DatetimeIndex(bars.index)
        index = (index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")).as_unit("us")
        return bars.set_axis(index.rename("timestamp")).dropna(subset=["close"])


def _spans(start: pd.Timestamp, end: pd.Timestamp, minutes: int) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """[`start`, `end`) in pieces that Yahoo answers in one request."""
    step = pd.Timedelta(days=_DAYS_A_REQUEST.get(minutes, YAHOO_REACH_DAYS[minutes]))
    starts = pd.date_range(start, end, freq=step, inclusive="left")
    return [(first, min(first + step, end)) for first in starts]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _yfinance_download() -> Callable[..., Any]:
    download: Callable[..., Any] = required_module("yfinance", "Yahoo's bars", "yahoo").download
    return download
