r"""Simulated bars: a stand-in for a first run without keys, with what real bars have.

Log volatility per minute is the sum of a slow and a fast autoregression and of the day's U shape,

.. math:: \ln \sigma_{d,m} = \ln \bar\sigma + s_d + f_{d,m} + u(m), \qquad
          s_d = 0.985\, s_{d-1} + \epsilon_d, \quad f_k = 0.85\, f_{k-1} + \eta_k,

the fast one in steps of half an hour. Returns are Student's t with five degrees of freedom; nights have a gap of about
half a day's variance. Sessions are the exchange's, half-days and holidays included; some minutes have no bar.
"""

import hashlib
from datetime import date
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.errors import NotEnoughDataError
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named

__all__ = ["simulate_bars"]


_ANNUAL_VOLATILITY = 0.35
_SLOW_SPREAD, _FAST_SPREAD = 0.25, 0.35
_FAST_STEP_MINUTES = 30
_MISSING = 0.005


def simulate_bars(
    symbol: str,
    start_date: str | date,
    end_date: str | date,
    *,
    seed: int = 0,
    minutes: int = 1,
    market: str | TradingMarket = DEFAULT_MARKET,
) -> pd.DataFrame:
    """Bars of `minutes` length from `start_date` to `end_date`, both included; the same for the same arguments.

    Returns
    -------
    DataFrame indexed by ``timestamp`` (UTC, start of the bar), columns open, high, low, close, volume; ``attrs`` says
    that it is simulated.

    Raises
    ------
    ConfigError
        What is given is no span of days, or it ends after the sessions that are known.
    NotEnoughDataError
        The exchange has no session in the span.
    """
    market = market_named(market)
    first, last = market.day_begin(start_date), market.day_end(end_date) - pd.Timedelta(minutes=1)
    # Bars that end where the known sessions end would have no bucket ahead to forecast.
    market.next_bucket(last + pd.Timedelta(minutes=1))
    schedule = market.schedule(first, last)
    if schedule.empty:
        raise NotEnoughDataError(f"the exchange has no session from {start_date} to {end_date}; give a longer span.")
    digest = hashlib.sha256(f"{symbol} {seed}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    opens = schedule["open"].dt.tz_convert("UTC")
    lengths = (pd.TimedeltaIndex(schedule["close"] - schedule["open"]) // pd.Timedelta(minutes=1)).to_numpy()
    day = np.repeat(np.arange(len(schedule)), lengths)
    minute = np.arange(len(day)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    volatility = _minute_volatility(random, day, minute, lengths, market)
    returns = volatility * random.standard_t(5, len(day)) / np.sqrt(5 / 3)
    gaps = np.where(minute == 0, volatility * np.sqrt(200) * random.standard_normal(len(day)), 0.0)
    close = 40 * np.exp(2.5 * random.random()) * np.exp(np.cumsum(returns + gaps))
    open_ = close * np.exp(-returns)
    reach = volatility * close
    frame = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) + reach * 0.4 * np.abs(random.standard_normal(len(day))),
            "low": np.minimum(open_, close) - reach * 0.4 * np.abs(random.standard_normal(len(day))),
            "close": close,
            "volume": np.ceil(2e4 * (volatility / volatility.mean()) ** 1.5 * random.lognormal(0, 0.5, len(day))),
        },
        index=pd.DatetimeIndex(opens.iloc[day].array + pd.to_timedelta(minute, unit="m"), name="timestamp"),
    )
    frame = frame.round(dict.fromkeys(("open", "high", "low", "close"), 2))
    frame = frame[random.random(len(frame)) >= _MISSING]
    if minutes > 1:
        frame = _longer_bars(frame, minutes)
    frame.attrs = {"symbol": symbol, "source": "simulator", "simulated": True, "detail": f"seed {seed}"}
    return frame


def _minute_volatility(
    random: np.random.Generator,
    day: Int64Array1D,
    minute: Int64Array1D,
    lengths: Int64Array1D,
    market: TradingMarket,
) -> Float64Array1D:
    slow = _autoregression(random, len(lengths), 0.985, _SLOW_SPREAD)[day]
    step = minute // _FAST_STEP_MINUTES
    steps_before = np.concatenate([[0], np.cumsum(-(-lengths // _FAST_STEP_MINUTES))])
    fast = _autoregression(random, int(steps_before[-1]), 0.85, _FAST_SPREAD)[steps_before[day] + step]
    left = lengths[day] - minute
    shape = 0.72 + 1.1 * np.exp(-minute / 25) + 0.45 * np.exp(-left / 40)
    level = _ANNUAL_VOLATILITY / np.sqrt(market.minutes_per_year)
    return cast(Float64Array1D, level * shape * np.exp(slow + fast - _SLOW_SPREAD**2 - _FAST_SPREAD**2))


def _autoregression(random: np.random.Generator, count: int, persistence: float, spread: float) -> Float64Array1D:
    """A stationary first-order autoregression with standard deviation `spread`."""
    shocks = spread * np.sqrt(1 - persistence**2) * random.standard_normal(count)
    shocks[0] = spread * random.standard_normal()
    values: Float64Array1D = np.empty_like(shocks)
    value = 0.0
    for i, shock in enumerate(shocks):
        value = persistence * value + shock
        values[i] = value
    return values


def _longer_bars(bars: pd.DataFrame, minutes: int) -> pd.DataFrame:
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return bars.resample(f"{minutes}min", origin="epoch").agg(how).dropna()
