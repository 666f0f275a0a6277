r"""Simulated bars: a stand-in for a first run without keys, with what real bars have.

Log volatility per minute is the sum of a slow and a fast autoregression and of the day's U shape,

.. math:: \ln \sigma_{d,m} = \ln \bar\sigma + s_d + f_{d,m} + u(m), \qquad
          s_d = 0.985\, s_{d-1} + \epsilon_d, \quad f_k = 0.85\, f_{k-1} + \eta_k,

the fast one in steps of half an hour. Returns are Student's t with five degrees of freedom; nights have a gap of about
half a day's variance. Sessions are the exchange's, half-days and holidays included; some minutes have no bar.

With nights, bars trade from 4:00 to 20:00 as stocks do, calmer outside of sessions, and each night has a volatility of
its own, of which half an hour after the open half is left. Of days with news, the half hour before the open and the
first after it are more volatile.
"""

import hashlib
from collections.abc import Collection
from datetime import date
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, begins_run, time_index
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.markets.market import TradingMarket
from volcast.markets.names import default_market
from volcast.markets.registry import market_named

__all__ = ["simulate_bars"]


_ANNUAL_VOLATILITY = 0.35
_SLOW_SPREAD, _FAST_SPREAD = 0.25, 0.35
_FAST_STEP_MINUTES = 30
_MISSING = 0.005
_FIRST_TRADE, _LAST_TRADE = pd.Timedelta(hours=4), pd.Timedelta(hours=20)
_NIGHT_SHARE, _NIGHT_SPREAD, _HALF_LEFT = 0.25, 0.5, 30
_NEWS, _NEWS_MINUTES = 2.0, 30


def simulate_bars(
    symbol: str,
    start_date: str | date,
    end_date: str | date,
    *,
    seed: int = 0,
    minutes: int = 1,
    market: str | TradingMarket | None = None,
    nights: bool = False,
    news: Collection[date] = (),
) -> pd.DataFrame:
    """Bars of `minutes` length from `start_date` to `end_date`, both included; the same for the same arguments.

    Parameters
    ----------
    symbol, seed
        What makes one history another.
    start_date, end_date
        Days of the market.
    minutes
        Length of a bar.
    market
        Whose sessions, by name or itself; None is the symbol's, see `markets.names`.
    nights
        Whether bars trade outside of sessions, too, from 4:00 to 20:00.
    news
        Days on which something is announced before the open.

    Returns
    -------
    DataFrame indexed by ``timestamp`` (UTC, start of the bar), columns open, high, low, close, volume; ``attrs`` says
    that it is simulated.

    Raises
    ------
    ConfigError
        What is given is no span of days, or it ends after the sessions that are known; or `nights` are asked of a
        market that trades through them.
    NotEnoughDataError
        The exchange has no session in the span.
    """
    market = market_named(market or default_market(symbol))
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
    day, minute = _minutes_of_days(np.zeros(len(lengths), dtype=np.int64), lengths)
    year = market.minutes_per_year(pd.DatetimeIndex(schedule["close"]).as_unit("us").asi8)
    volatility = _minute_volatility(random, day, minute, lengths, year)
    if nights:
        days = pd.DatetimeIndex(schedule.index).tz_localize(market.zone)
        begin, end = (
            ((days + moment - opens.array) // pd.Timedelta(minutes=1)).to_numpy()
            for moment in (_FIRST_TRADE, _LAST_TRADE)
        )
        if (begin > 0).any() or (end < lengths).any():
            raise ConfigError(
                f"nights are asked of {market.name}, whose sessions are not within 4:00 to 20:00; they must be for "
                "bars to trade around them; leave nights out: bars of such a market trade through them."
            )
        session, inside = volatility, (day, minute)
        day, minute = _minutes_of_days(begin, end - begin)
        volatility = _whole_day_volatility(random, session, inside, day, minute, lengths)
    volatility = volatility * _news_factor(schedule.index, news, day, minute)
    returns = volatility * random.standard_t(5, len(day)) / np.sqrt(5 / 3)
    # Where one session begins as another ends, there is no night between them.
    follows = schedule["open"].to_numpy()[1:] == schedule["close"].to_numpy()[:-1]
    after_night = np.append(not market.never_closes, ~follows)
    gaps = volatility * np.sqrt(200) * random.standard_normal(len(day))
    gaps[~(begins_run(day) & after_night[day])] = 0.0
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
    is_night = (minute < 0) | (minute >= lengths[day])
    frame = frame[is_night | _trades(market, frame)]
    frame = frame.round(dict.fromkeys(("open", "high", "low", "close"), 2))
    frame = frame[random.random(len(frame)) >= _MISSING]
    if minutes > 1:
        frame = _longer_bars(frame, minutes)
    frame.attrs = {"symbol": symbol, "source": "simulator", "simulated": True, "detail": f"seed {seed}"}
    return frame


def _trades(market: TradingMarket, frame: pd.DataFrame) -> BoolArray1D:
    """Which minutes of sessions lie in no break."""
    opens, closes = market.stretches
    starts = time_index(frame).as_unit("us").asi8
    return np.asarray(starts < closes[opens.searchsorted(starts, side="right") - 1])


def _minutes_of_days(begin: Int64Array1D, lengths: Int64Array1D) -> tuple[Int64Array1D, Int64Array1D]:
    """Number of the day of each minute, and its own, counted from the open: those of day i begin with ``begin[i]``."""
    day = np.repeat(np.arange(len(lengths)), lengths)
    return day, np.arange(len(day)) - np.repeat(np.cumsum(lengths) - lengths - begin, lengths)


def _whole_day_volatility(
    random: np.random.Generator,
    session: Float64Array1D,
    inside: tuple[Int64Array1D, Int64Array1D],
    day: Int64Array1D,
    minute: Int64Array1D,
    lengths: Int64Array1D,
) -> Float64Array1D:
    """Volatility of each minute of whole days: of the `session`'s, at (day, minute) `inside`, and of those around.

    A night, from one session's close to the next one's open, has a shock of its own, which fades after the open.
    """
    shocks = _NIGHT_SPREAD * random.standard_normal(len(lengths) + 1)
    after_close = minute >= lengths[day]
    in_session = (minute >= 0) & ~after_close
    level = np.bincount(inside[0], weights=session) / np.bincount(inside[0])
    volatility = _NIGHT_SHARE * level[day] * np.exp(shocks[day + after_close])
    volatility[in_session] = session * np.exp(shocks[inside[0]] * 0.5 ** (inside[1] / _HALF_LEFT))
    return cast(Float64Array1D, volatility)


def _news_factor(sessions: pd.Index, news: Collection[date], day: Int64Array1D, minute: Int64Array1D) -> Float64Array1D:
    has_news = np.asarray(sessions.isin(pd.DatetimeIndex(list(news))))
    return np.where(has_news[day] & (np.abs(minute) < _NEWS_MINUTES), _NEWS, 1.0)


def _minute_volatility(
    random: np.random.Generator,
    day: Int64Array1D,
    minute: Int64Array1D,
    lengths: Int64Array1D,
    year: Int64Array1D,
) -> Float64Array1D:
    """Volatility of each minute of sessions, day by day so many minutes of `lengths` and of a `year`."""
    slow = _autoregression(random, len(lengths), 0.985, _SLOW_SPREAD)[day]
    step = minute // _FAST_STEP_MINUTES
    steps_before = np.concatenate([[0], np.cumsum(-(-lengths // _FAST_STEP_MINUTES))])
    fast = _autoregression(random, int(steps_before[-1]), 0.85, _FAST_SPREAD)[steps_before[day] + step]
    left = lengths[day] - minute
    shape = 0.72 + 1.1 * np.exp(-minute / 25) + 0.45 * np.exp(-left / 40)
    level = (_ANNUAL_VOLATILITY / np.sqrt(year))[day]
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
