"""What a market has to keep to, so that everything that asks it is right."""

import pickle

import numpy as np
import pandas as pd

from volcast.bars.sources.simulator import simulate_bars
from volcast.markets.fit import best_fit, fit_of
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_named
from volcast.measures.hourly import annualize, get_hourly_measures
from volcast.testing.rules import require

__all__ = ["check_market"]

_SPAN = "2024-01-02", "2024-06-28"
_ANNUAL_VOLATILITY = 0.30
_MOST_ERRORS, _AS_WELL = 4.5, 0.02
_MINUTE = 60_000_000


def check_market(market: str | TradingMarket) -> None:
    """Hold a market to the rules that all of them keep.

    - Its hours are in time order and do not overlap; each bucket ends with the hour of its clock or with its stretch of
      trading, is an hour at the most, and is of the day of its session, as the arithmetic of its clock has it.
    - The buckets of a session are as long as its hours; no bucket holds a minute of a break or of a night.
    - A year has as many minutes as its sessions; a process of known volatility is annualized to it, within four and a
      half standard errors.
    - Bars of its hours fit it best, and all of them lie in buckets.
    - It is the same after it has been sent to another process.

    Parameters
    ----------
    market
        Its name, or itself.

    Raises
    ------
    AssertionError
        Which rule is broken, and where.
    ConfigError
        There is no such market.

    Examples
    --------
    >>> check_market("24/7")
    """
    trading = market_named(market)
    _check_hours(trading)
    _check_buckets(trading)
    _check_year(trading)
    _check_bars(trading)
    again = pickle.loads(pickle.dumps(trading))
    require(again == trading, f"{trading.name} is another market after it has been pickled.")


def _check_hours(market: TradingMarket) -> None:
    starts, ends = market.stretches
    for wrong, rule in (
        (starts >= ends, "each stretch of trading begins before it ends"),
        (np.append(False, starts[1:] < ends[:-1]), "no stretch of trading begins before the one before it has ended"),
        (np.append(False, np.diff(market.hours.session) < 0), "sessions are in time order"),
    ):
        where = market.clock.times(starts[wrong][:1])
        require(not wrong.any(), f"the hours of {market.name} at {where.tolist()} break the rule: {rule}.")


def _check_buckets(market: TradingMarket) -> None:
    buckets, (_, ends) = market.buckets, market.stretches
    hours, days = market.hours_and_days(buckets.label)
    on_the_hour = market.clock.shown(buckets.label) % (60 * _MINUTE) == 0
    inner = np.append(hours[1:] == hours[:-1], False) & np.append(days[1:] == days[:-1], False)
    for wrong, rule in (
        ((buckets.minutes < 1) | (buckets.minutes > 60), "a bucket has one minute to sixty"),
        (~on_the_hour & ~np.isin(buckets.label, ends), "a bucket ends with an hour or with its stretch of trading"),
        (days != buckets.session, "a bucket is of the day of its session"),
        (inner & (np.append(np.diff(buckets.stretch), 1) == 0), "an hour of a stretch of trading is one bucket"),
    ):
        require(not wrong.any(), f"{market.name}, buckets {buckets.index[wrong][:1].tolist()}: {rule}.")
    starts, _ = market.stretches
    traded = int((ends - starts).sum()) // _MINUTE
    require(int(buckets.minutes.sum()) == traded, f"the buckets of {market.name} are not as long as its hours.")


def _check_year(market: TradingMarket) -> None:
    length = market.sessions_per_year * market.minutes_per_session
    require(market.minutes_per_year == length, f"a year of {market.name} is not as long as its sessions.")
    bars = _walk(market)
    measures = get_hourly_measures(bars, market=market)
    variance, minutes = (float((measures[name] ** power).sum()) for name, power in (("rv_hourly", 2), ("minutes", 1)))
    annual = annualize(variance**0.5, minutes, market.minutes_per_year)
    # The variance of a mean of n squares of normal returns is two parts in n.
    off = abs(annual**2 / _ANNUAL_VOLATILITY**2 - 1) / (2 / len(bars)) ** 0.5
    require(
        off < _MOST_ERRORS,
        f"a process of {_ANNUAL_VOLATILITY:.0%} a year is annualized to {annual:.2%} on {market.name}, {off:.1f} "
        "standard errors from it; the rule is the volatility of a year's sessions.",
    )


def _walk(market: TradingMarket) -> pd.DataFrame:
    """Bars of a minute of a random walk of known volatility in the market's hours, without nights."""
    first, last = (market.day_begin(day).value // 1000 for day in _SPAN)
    starts, ends = market.stretches
    chosen = (starts >= first) & (ends <= last)
    moments = np.concatenate([np.arange(a, b, _MINUTE) for a, b in zip(starts[chosen], ends[chosen], strict=True)])
    step = _ANNUAL_VOLATILITY / market.minutes_per_year**0.5
    returns = np.random.default_rng(7).normal(0, step, len(moments))
    close = 100 * np.exp(np.cumsum(returns))
    return pd.DataFrame({"open": close * np.exp(-returns), "close": close}, market.clock.times(moments))


def _check_bars(market: TradingMarket) -> None:
    bars = simulate_bars("CHECK", *_SPAN, minutes=5, market=market)
    starts = pd.DatetimeIndex(bars.index).as_unit("us").asi8
    fit, best = fit_of(market, starts, 5 * _MINUTE), best_fit(starts, 5 * _MINUTE)
    require(
        fit.score >= best.score - _AS_WELL,
        f"bars of the hours of {market.name} fit {best.market.name} better; they must fit it as well as any.",
    )
    outside = get_hourly_measures(bars, market=market).attrs["left_out"]["bars_outside_sessions"]
    require(
        outside == 0, f"{outside} simulated bars of {market.name} lie in no bucket; the rule is all of them in one."
    )
