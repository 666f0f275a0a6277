"""Implied volatility of a symbol: from a file, or from the prices at which its options were traded."""

from pathlib import Path

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, time_index
from volcast.backtest.options import implied_volatility
from volcast.bars.sources.alpaca_options import AlpacaOptionBars, contract_name
from volcast.errors import BarsError, NotEnoughDataError
from volcast.markets.expiries import expiry_places
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named
from volcast.packages import required_module

__all__ = ["read_implied", "traded_implied"]

_IMPLIED = "implied"
_HIGHEST = 5.0
_FEWEST_SESSIONS_LEFT = 5
_STRIKE_STEPS = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0)
_FINEST_STEP = 0.004
"""Of the price: strikes that are closer are not asked for."""
_BEYOND = (0.95, 1.08)
"""How far strikes go beyond the span of prices, which dividends may have been taken out of."""


def read_implied(path: Path) -> pd.Series:
    """Implied volatility from a CSV or Parquet file: stamps in the first column, a column ``implied``.

    Returns
    -------
    Series, annualized decimals, indexed by the moment (UTC) from which each is known.

    Raises
    ------
    BarsError
        The file cannot be read, has no such column, stamps without a zone, or values that are no decimals.
    """
    if path.suffix == ".parquet":
        required_module("pyarrow", "Parquet files")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BarsError(
            f"{path} cannot be read ({type(error).__name__}); implied volatility must be a CSV or Parquet file with "
            "stamps and a column 'implied'; give such a file."
        ) from error
    table = table.reset_index() if isinstance(table.index, pd.DatetimeIndex) else table
    if _IMPLIED not in table:
        columns = ", ".join(map(str, table))
        raise BarsError(f"{path} has no column {_IMPLIED!r} among {columns}; it needs one; rename it.")
    stamps = pd.to_datetime(table.iloc[:, 0], errors="coerce", format="ISO8601")
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype) or stamps.isna().any():
        raise BarsError(
            f"the stamps of {path} are not all times with a zone, as 2026-01-05T10:00:00-05:00; each value must say "
            "from when it was known; write them so."
        )
    values = pd.Series(pd.to_numeric(table[_IMPLIED], errors="coerce").to_numpy(), index=pd.DatetimeIndex(stamps))
    if not values.between(0.0, _HIGHEST, inclusive="neither").all():
        raise BarsError(
            f"implied volatility in {path} goes from {values.min():g} to {values.max():g}; it must be annualized "
            "decimals, 0.2 for 20 %; divide percents by 100."
        )
    return values.tz_convert("UTC").sort_index()


def traded_implied(
    source: AlpacaOptionBars,
    symbol: str,
    prices: pd.DataFrame,
    sessions_to_expiry: int,
    market: str | TradingMarket = DEFAULT_MARKET,
) -> pd.Series:
    """Implied volatility at the money of the monthly options that expire nearest to `sessions_to_expiry` ahead.

    Each hour the strike is taken at which call and put cost most nearly the same, so that parity says the forward:
    neither interest and dividends nor how the bars are adjusted for these is asked.

    Parameters
    ----------
    source
        Of option prices.
    symbol
        The underlying.
    prices
        `prices.session_prices` of it: sessions, and about which prices strikes are to be asked for.
    sessions_to_expiry
        Life of the options.
    market
        Whose hours they are, by name or itself: see `markets.registry`.

    Returns
    -------
    Series, annualized decimals, by sessions, indexed by the end of the hour (market time) from which
    each is known; hours in which no pair was traded are absent.

    Raises
    ------
    NotEnoughDataError
        No pair was traded in any of them.
    DataSourceError
        As `AlpacaOptionBars.closes`.
    """
    first, last = prices["opens_at"].iloc[0], prices["closes_at"].iloc[-1]
    trading = market_named(market)
    schedule, year = trading.schedule(first, last + pd.Timedelta(days=90)), trading.sessions_per_year
    parts = [
        _of_expiry(source.closes(_contracts(symbol, expiry, some), *_span(some)), expiry, schedule, year)
        for expiry, some in prices.groupby(_expiries(pd.DatetimeIndex(prices.index), schedule, sessions_to_expiry))
    ]
    implied = pd.concat(parts).sort_index() if parts else pd.Series(dtype=float)
    if implied.empty:
        raise NotEnoughDataError(
            f"Alpaca has no bars of {symbol}'s options between {first:%Y-%m-%d} and {last:%Y-%m-%d}; its option bars "
            "begin in February 2024, at the prices before any split; give --implied FILE, or 'assumed'."
        )
    return implied.rename(_IMPLIED)


def _expiries(days: pd.DatetimeIndex, schedule: pd.DataFrame, life: int) -> pd.DatetimeIndex:
    """The monthly expiry for each of `days`: a third Friday, or the session before where that is a holiday."""
    sessions = pd.DatetimeIndex(schedule.index)
    places = expiry_places(sessions.to_numpy().astype("M8[D]").astype(np.int64))
    number = sessions.searchsorted(days)
    distance = np.abs(places[None, :] - (number[:, None] + life)).astype(float)
    distance[places[None, :] - number[:, None] < _FEWEST_SESSIONS_LEFT] = np.inf
    return pd.DatetimeIndex(sessions[places[distance.argmin(axis=1)]])


def _contracts(symbol: str, expiry: pd.Timestamp, prices: pd.DataFrame) -> list[str]:
    spots = prices[["open", "close"]].to_numpy(dtype=float)
    low, high = spots.min() * _BEYOND[0], spots.max() * _BEYOND[1]
    fitting = [step for step in _STRIKE_STEPS if step >= _FINEST_STEP * high]
    step = fitting[0] if fitting else _STRIKE_STEPS[-1]
    strikes = step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)
    return [contract_name(symbol, expiry, kind, strike) for strike in strikes for kind in ("call", "put")]


def _span(prices: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    # An hour that the session begins in is stamped before its open.
    return prices["opens_at"].iloc[0].floor("h"), prices["closes_at"].iloc[-1]


def _of_expiry(closes: pd.DataFrame, expiry: pd.Timestamp, schedule: pd.DataFrame, year: int) -> pd.Series:
    calls = [name for name in map(str, closes) if name[-9] == "C" and _put_of(name) in closes]
    if not calls:
        return pd.Series(dtype=float)
    call, put = (closes[names].to_numpy() for names in (calls, [_put_of(name) for name in calls]))
    apart = np.where(np.isfinite(call - put), np.abs(call - put), np.inf)
    nearest, hours = apart.argmin(axis=1), np.arange(len(closes))
    moments = time_index(closes).tz_convert(DEFAULT_ZONE)
    years = _years_left(moments, expiry, schedule, year)
    implied = np.full(len(closes), np.nan)
    for row in hours[np.isfinite(apart[hours, nearest]) & (years > 0)]:
        place = nearest[row]
        strike = int(calls[place][-8:]) / 1000
        implied[row] = implied_volatility(call[row, place], put[row, place], strike, years[row])
    values = pd.Series(implied, index=moments)
    return values[values.between(0.0, _HIGHEST, inclusive="neither")]


def _put_of(call: str) -> str:
    return f"{call[:-9]}P{call[-8:]}"


def _years_left(moments: pd.DatetimeIndex, expiry: pd.Timestamp, schedule: pd.DataFrame, year: int) -> Float64Array1D:
    """Sessions until the close of the last one, the part of this one that is over taken off, in years of so many."""
    sessions = pd.DatetimeIndex(schedule.index)
    number = sessions.searchsorted(moments.tz_localize(None).normalize())
    opens, closes = (pd.DatetimeIndex(schedule[name])[number] for name in ("open", "close"))
    over = np.clip((moments - opens) / (closes - opens), 0.0, 1.0)
    return np.asarray(np.maximum(sessions.searchsorted(expiry) - number + 1 - over, 0.0) / year)
