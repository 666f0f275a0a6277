"""Every market by its name: a new one is an entry here, an exchange that has none is read from its calendar."""

import reprlib
from datetime import date, time, timedelta
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from volcast.errors import ConfigError
from volcast.markets.hours import TradingHours, calendar_of, currency_hours, exchange_hours, with_daily_close
from volcast.markets.market import BUCKETS, DEFAULT_BUCKET, TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.registry import Registry

__all__ = ["MARKETS", "market_named", "market_of", "market_of_labels"]

_FEWEST_LABELS, _FEWEST_FILLED = 10, 0.5
_CHICAGO, _LONDON = "America/Chicago", "Europe/London"
_NIGHT, _BREAK = "the night", "the night, and the break at noon"


def _exchange(name: str, title: str, zone: str, night: str = _NIGHT) -> TradingMarket:
    return TradingMarket(name, title, zone, 0, night, partial(exchange_hours, name))


def _futures_hours() -> TradingHours:
    # Its calendar leaves out the hour in which the machines are looked after.
    return with_daily_close(exchange_hours("CMES"), _CHICAGO, close=time(16), usual=time(17))


def _currency_hours() -> TradingHours:
    return currency_hours(DEFAULT_ZONE, time(17), date.today() + timedelta(days=365))


MARKETS = Registry(
    "market",
    TradingMarket,
    {
        market.name: market
        for market in (
            _exchange(DEFAULT_MARKET, "New York's stock exchanges", DEFAULT_ZONE),
            _exchange("XNAS", "Nasdaq", DEFAULT_ZONE),
            _exchange("XLON", "London's stock exchange", _LONDON),
            _exchange("XETR", "Xetra in Frankfurt", "Europe/Berlin"),
            _exchange("XPAR", "Euronext Paris", "Europe/Paris"),
            _exchange("XTKS", "Tokyo's stock exchange", "Asia/Tokyo", _BREAK),
            _exchange("XHKG", "Hong Kong's stock exchange", "Asia/Hong_Kong", _BREAK),
            _exchange("XASX", "Australia's stock exchange", "Australia/Sydney"),
            TradingMarket(
                "CMES",
                "futures of the CME group",
                _CHICAGO,
                17,
                "an hour, and the weekend",
                _futures_hours,
                rolls=True,
            ),
            TradingMarket(
                "IEPA",
                "futures of ICE",
                DEFAULT_ZONE,
                18,
                "two hours, and the weekend",
                partial(exchange_hours, "IEPA"),
                rolls=True,
            ),
            TradingMarket("24/5", "currencies", DEFAULT_ZONE, 17, "the weekend", _currency_hours),
            TradingMarket("24/7", "coins", "UTC", 0, "nothing", partial(exchange_hours, "24/7")),
        )
    },
    "volcast.markets",
)
"""Markets by name, and those that installed packages offer."""


def market_named(market: str | TradingMarket, bucket: str | None = None) -> TradingMarket:
    """The market of that name or `TradingMarket.key`, one object each; a `TradingMarket` is what it is.

    `bucket` is another length of its buckets, one of `markets.market.BUCKETS`.

    Raises
    ------
    ConfigError
        There is none, neither here nor in `exchange_calendars`, or no such length.
    """
    if bucket is not None:
        market = market_named(market).name + f" {bucket}" * (bucket != DEFAULT_BUCKET)
    if isinstance(market, TradingMarket):
        return market
    if not isinstance(market, str):
        raise ConfigError(
            f"the market is {reprlib.repr(market)}; it must be a name: one of {', '.join(MARKETS)} or an exchange's."
        )
    return _market(market)


def market_of(measures: pd.DataFrame | pd.Series) -> TradingMarket:
    """The market whose buckets `measures` are of, which their ``attrs["market"]`` names.

    Where nothing does, as behind a `pandas.concat` of months, it is the one whose buckets the labels are, New York's
    first: see `market_of_labels`.
    """
    if "market" in measures.attrs:
        return market_named(measures.attrs["market"])
    index = measures.index
    known = isinstance(index, pd.DatetimeIndex) and index.tz is not None and len(index) >= _FEWEST_LABELS
    return market_of_labels(pd.DatetimeIndex(index)) if known else market_named(DEFAULT_MARKET)


def market_of_labels(labels: pd.DatetimeIndex) -> TradingMarket:
    """The market, in buckets of the length, of whose buckets `labels` (tz-aware) are ends, at least half of them there.

    Of several it is the first in `MARKETS`, in the longest buckets; others than New York's must show their own clock or
    UTC, one that never closes its own. Of none it is New York's, in hours.
    """
    moments, zone = np.unique(labels.as_unit("us").asi8), str(labels.tz)
    for market in MARKETS.values():
        likely = zone == market.zone or (zone == "UTC" and not market.never_closes)
        if market.name != DEFAULT_MARKET and not likely:
            continue
        opens, closes = market.stretches
        # Before buckets of each length are made.
        if (moments > closes[opens.searchsorted(moments) - 1]).any():
            continue
        for bucket in reversed(list(BUCKETS)):
            ends = market_named(market, bucket).buckets.label
            first, stop = ends.searchsorted(moments[0]), ends.searchsorted(moments[-1], side="right")
            if len(moments) >= _FEWEST_FILLED * (stop - first) and np.isin(moments, ends[first:stop]).all():
                return market_named(market, bucket)
    return market_named(DEFAULT_MARKET)


@lru_cache(maxsize=32)
def _market(name: str) -> TradingMarket:
    plain, _, bucket = name.rpartition(" ")
    if plain:
        return _market(plain).with_buckets(bucket)
    return MARKETS[name] if name in MARKETS else _by_calendar(name)


def _by_calendar(name: str) -> TradingMarket:
    calendar = calendar_of(name)
    turns = 0
    if calendar.open_offset:
        turns = min(calendar.open_times[-1][1], calendar.close_times[-1][1]).hour
    return TradingMarket(name, name, str(calendar.tz), turns, _NIGHT, partial(exchange_hours, name))
