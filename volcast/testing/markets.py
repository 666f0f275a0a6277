"""What a market has to keep to, so that everything that asks it is right."""

import pickle

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.features.windows import har_lags
from volcast.markets.fit import best_fit, fit_of
from volcast.markets.market import BUCKETS, TradingMarket
from volcast.markets.registry import market_named
from volcast.measures.hourly import annualize, get_hourly_measures, minutes_per_year
from volcast.testing.rules import require

__all__ = ["check_market"]

_SPAN = "2024-01-02", "2024-06-28"
_ANNUAL_VOLATILITY = 0.30
_MOST_ERRORS, _AS_WELL = 4.5, 0.02
_FEWEST_REGULAR = 0.9
_MINUTE = 60_000_000
# 1970 began on a Thursday.
_MONDAY = 3


def check_market(market: str | TradingMarket) -> None:
    """Hold a market to the rules that all of them keep.

    - Its hours are in time order and do not overlap. In each length that buckets have, a bucket ends with a multiple of
      it on its clock or with its stretch of trading, is no longer, and is of the day of its session, as the arithmetic
      of its clock has it.
    - The buckets of a session are as long as its hours; no bucket holds a minute of a break or of a night.
    - Buckets of all lengths are of the same sessions: so are the variances of a process, summed by session, and the
      lags of forecasts are a bucket, a session, a week and a month of these.
    - It opens, and its week is as long, as its sessions have it.
    - At any time regular sessions are equally long, and all but a few are regular; a year has as many minutes as its
      sessions had then. A process of known volatility is annualized to it, within four and a half standard errors.
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
    for bucket in BUCKETS:
        _check_buckets(trading.with_buckets(bucket))
    _check_year(trading)
    _check_sessions(trading)
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
    buckets, (_, ends), longest = market.buckets, market.stretches, market.bucket_minutes
    hours, days = market.hours_and_days(buckets.label)
    on_the_clock = market.clock.shown(buckets.label) % (longest * _MINUTE) == 0
    inner = np.append(hours[1:] == hours[:-1], False) & np.append(days[1:] == days[:-1], False)
    for wrong, rule in (
        ((buckets.minutes < 1) | (buckets.minutes > longest), f"a bucket has one minute to {longest}"),
        (
            ~on_the_clock & ~np.isin(buckets.label, ends),
            f"a bucket ends with {longest} minutes of the clock or with its stretch of trading",
        ),
        (days != buckets.session, "a bucket is of the day of its session"),
        (
            inner & (np.append(np.diff(market.stretch_of(buckets.label)), 1) == 0),
            f"{longest} minutes of the clock in a stretch of trading are one bucket",
        ),
    ):
        require(not wrong.any(), f"{market.key}, buckets {buckets.index[wrong][:1].tolist()}: {rule}.")
    starts, _ = market.stretches
    traded = int((ends - starts).sum()) // _MINUTE
    require(int(buckets.minutes.sum()) == traded, f"the buckets of {market.key} are not as long as its hours.")


def _check_year(market: TradingMarket) -> None:
    sessions = market.sessions
    regular = sessions.minutes == market.regular_sessions.minutes_at(sessions.close)
    irregular = f"{np.mean(~regular):.0%} of the sessions of {market.name} are not as long as regular ones then are"
    require(bool(regular.mean() > _FEWEST_REGULAR), f"{irregular}; the rule is {1 - _FEWEST_REGULAR:.0%} at most.")
    length = market.sessions_per_year * sessions.minutes[regular]
    is_year = market.minutes_per_year(sessions.close[regular]) == length
    require(bool(is_year.all()), f"a year of {market.name} is not as long as its sessions.")
    bars = _walk(market)
    measures = get_hourly_measures(bars, market=market)
    variance, minutes = (float((measures[name] ** power).sum()) for name, power in (("rv_hourly", 2), ("minutes", 1)))
    (year,) = minutes_per_year("session", market, time_index(measures)[:1].as_unit("us").asi8).tolist()
    annual = annualize(variance**0.5, minutes, year)
    # The variance of a mean of n squares of normal returns is two parts in n.
    off = abs(annual**2 / _ANNUAL_VOLATILITY**2 - 1) / (2 / len(bars)) ** 0.5
    require(
        off < _MOST_ERRORS,
        f"a process of {_ANNUAL_VOLATILITY:.0%} a year is annualized to {annual:.2%} on {market.name}, {off:.1f} "
        "standard errors from it; the rule is the volatility of a year's sessions.",
    )


def _check_sessions(market: TradingMarket) -> None:
    sessions = market.sessions
    opens = np.diff(market.openings(sessions.session)) > 0
    closed = sessions.open[1:] > sessions.close[:-1]
    require(bool((opens == closed).all()), f"{market.name} opens where nothing lies between two of its sessions.")
    week = market.sessions_per_week
    longest_week = int(np.bincount((sessions.session[-400:] + _MONDAY) // 7 - sessions.session[-400] // 7).max())
    require(week == longest_week, f"a week of {market.name} has {week} sessions, and its longest {longest_week}.")
    bars = _walk(market)
    squares = pd.Series(np.log(bars["close"] / bars["open"]) ** 2)
    expected = squares.groupby(market.dates(time_index(bars))).sum()
    for bucket in BUCKETS:
        of_length = market.with_buckets(bucket)
        rv = get_hourly_measures(_with_closed_minutes(bars), market=of_length)["rv_hourly"]
        by_session = (rv**2).groupby(of_length.days_of_labels(time_index(rv))).sum()
        require(
            len(by_session) == len(expected) and np.allclose(by_session, expected, rtol=1e-9),
            f"the variances of {of_length.key} are not those of its sessions.",
        )
        session = of_length.buckets_per_session
        lags = har_lags(of_length, len(of_length.buckets.label))
        require(
            lags[:3] == (1, session, week * session),
            f"the lags of {of_length.key} are {lags}; the rule is 1, the {session} buckets of a session, a week's, a "
            "month's.",
        )


def _with_closed_minutes(bars: pd.DataFrame) -> pd.DataFrame:
    """With bars of great returns in each minute between these: they are to be in no bucket."""
    whole = pd.date_range(bars.index[0], bars.index[-1], freq="min")
    return bars.reindex(whole).fillna({"open": 50.0, "close": 200.0})


def _walk(market: TradingMarket) -> pd.DataFrame:
    """Bars of a minute of a random walk of known volatility in the market's hours, without nights."""
    first, last = (market.day_begin(day).value // 1000 for day in _SPAN)
    starts, ends = market.stretches
    chosen = (starts >= first) & (ends <= last)
    moments = np.concatenate([np.arange(a, b, _MINUTE) for a, b in zip(starts[chosen], ends[chosen], strict=True)])
    step = _ANNUAL_VOLATILITY / market.minutes_per_year(moments[:1]) ** 0.5
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
