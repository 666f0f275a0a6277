r"""Hourly realized volatility from intraday bars.

Realized variance of a bucket is the sum of squared intraday log returns inside it,

.. math:: RV_b^2 = \sum_{i \in b} (\ln p_i - \ln p_{i-1})^2,

and realized volatility its square root (Andersen, Bollerslev, Diebold and Labys 2003, *Econometrica* 71).
Values are decimals per bucket (0.004 is 0.4 % over that hour) and never annualized here unless a name says so.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import pandas as pd

from volcast.bars.checks import bar_length, select_symbol, validate_bars
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.measures.estimators import ESTIMATORS, BucketedBars, Estimator
from volcast.sessions import EXCHANGE_TIMEZONE, session_buckets

__all__ = ["MINUTES_PER_YEAR", "RV_FLOOR", "Preset", "annualize", "bar_length", "get_hourly_rv"]

Preset = Literal["session", "colab"]

MINUTES_PER_YEAR: Mapping[Preset, int] = MappingProxyType({"session": 252 * 390, "colab": 365 * 24 * 60})
"""Minutes in which variance accrues: 252 regular sessions, or, under `colab`, every hour of the calendar year."""

LONGEST_RETURN = pd.Timedelta(hours=1)
"""A return over a longer gap inside a session (a halt, missing data) belongs to no bucket and is left out."""


def get_hourly_rv(
    bars_df: pd.DataFrame,
    symbol: str | None = None,
    price_col: str = "close",
    tz: str = EXCHANGE_TIMEZONE,
    preset: Preset = "session",
    *,
    min_bucket_coverage: float = 0.8,
    calendar: str = "XNYS",
    estimator: str | Estimator = "close",
) -> pd.Series:
    """Hourly realized volatility of one symbol, not annualized.

    Parameters
    ----------
    bars_df
        Bars stamped at their start, tz-aware: one symbol's frame, or alpaca-py's with a (symbol, timestamp) index.
    symbol
        Which symbol to take from a frame with several; may be left out when there is one.
    price_col
        Column of prices.
    tz
        Time zone of the returned labels.
    preset
        ``"session"``: regular hours of the exchange calendar, bars counted at their end, overnight returns left out,
        buckets without bars absent, buckets under `min_bucket_coverage` dropped. A session's first bar counts with
        its return from open to close where bars have an ``open``.
        ``"colab"``: the notebook's recipe: simple returns of all consecutive bars at their start stamps, every
        calendar hour between first and last bar a row, 0.0 where nothing traded.
    min_bucket_coverage
        Share of a bucket's expected bars that must be there (`session` only).
    calendar
        Name of the exchange in `exchange_calendars` (`session` only).
    estimator
        How variance is made of the bars of a bucket (`session` only): a name in `measures.estimators.ESTIMATORS`, or
        an `Estimator` of your own.

    Returns
    -------
    Series named ``rv_hourly``, indexed by bucket label (its end) in `tz`. Under `session`,
    ``attrs["left_out"]`` counts what was left out and why.

    Raises
    ------
    BarsError
        The frame is empty, has no `price_col`, a naive, unsorted or duplicated index, or impossible prices; or it
        lacks open, high and low for an estimator that needs them.
    ConfigError
        There is no such preset or estimator, or the estimator does not go with the preset.
    """
    if preset not in get_args(Preset):
        raise ConfigError(f"preset is {preset!r}; the rule is one of {', '.join(get_args(Preset))}; use 'session'.")
    bars = select_symbol(bars_df, symbol)
    variance_of = estimator if isinstance(estimator, Estimator) else ESTIMATORS.named(estimator)
    if preset == "colab":
        if estimator != "close":
            raise ConfigError(f"preset is 'colab' and the estimator {estimator!r}; the notebook's is 'close' only.")
        return _colab_hourly_rv(bars, price_col, tz)
    if price_col != "close":
        bars = bars[bars.columns.intersection([price_col])].rename(columns={price_col: "close"})
    bars = validate_bars(bars)
    return _session_hourly_rv(bars, min_bucket_coverage, calendar, variance_of).tz_convert(tz)


def annualize(
    volatility: float | pd.Series, minutes: float | pd.Series, preset: Preset = "session"
) -> float | pd.Series:
    """Annualized volatility (decimal; 0.25 is 25 %) of a `volatility` that accrued over `minutes`.

    Variance per minute times the minutes of a year in which variance accrues, `MINUTES_PER_YEAR`.
    """
    return volatility * (MINUTES_PER_YEAR[preset] / minutes) ** 0.5


def _colab_hourly_rv(bars: pd.DataFrame, price_col: str, tz: str) -> pd.Series:
    if price_col not in bars.columns:
        raise BarsError(
            f"the bars have no column {price_col!r} but {', '.join(map(str, bars.columns))}; name one of them."
        )
    if len(bars) < 2:
        raise NotEnoughDataError(
            f"found {len(bars)} bars; the rule is two at least, for one return; give a longer span."
        )
    prices = bars[price_col].tz_convert(tz).sort_index()
    squared_returns = prices.pct_change(fill_method=None).dropna() ** 2
    rv = squared_returns.resample("1h", closed="right", label="right").sum() ** 0.5
    return rv.rename("rv_hourly")


def _session_hourly_rv(
    bars: pd.DataFrame,
    min_coverage: float,
    calendar: str,
    variance_of: Estimator,
) -> pd.Series:
    length = bar_length(bars.index)
    ends = bars.index + length
    buckets = session_buckets(ends[0], ends[-1], calendar)
    end_us, label_us, start_us = (_microseconds(i) for i in (ends, buckets.index, pd.DatetimeIndex(buckets["start"])))
    bucket_of = np.searchsorted(label_us, end_us, side="left")
    inside = bucket_of < len(label_us)
    inside[inside] = end_us[inside] > start_us[bucket_of[inside]]
    bucket_of, end_us = bucket_of[inside], end_us[inside]

    session_of = buckets["session"].to_numpy()[bucket_of]
    opens_session = np.append(True, session_of[1:] != session_of[:-1])[: len(bucket_of)]
    long = ~opens_session & (np.diff(end_us, prepend=end_us[:1]) > LONGEST_RETURN // pd.Timedelta(microseconds=1))
    bars = bars[inside]
    returns, counted = _log_returns(bars, opens_session)
    counted &= ~long

    count = len(buckets)
    minutes = length / pd.Timedelta(minutes=1)
    prices = _log_prices(bars) if variance_of.from_ranges else None
    variance = variance_of(BucketedBars(bucket_of, count, returns, counted, minutes, prices))
    usable = np.ones(len(bars), dtype=bool) if variance_of.from_ranges else counted
    returns_in = np.bincount(bucket_of, weights=usable, minlength=count)
    found = np.bincount(bucket_of, minlength=count)
    expected = buckets["minutes"].to_numpy() * pd.Timedelta(minutes=1) / length
    kept = (returns_in > 0) & (found >= min_coverage * expected)

    rv = pd.Series(np.sqrt(variance[kept]), index=buckets.index[kept], name="rv_hourly")
    traded = np.isin(buckets["session"].to_numpy(), np.unique(session_of))
    rv.attrs["left_out"] = {
        "bars_outside_sessions": int((~inside).sum()),
        "returns_overnight": max(int(opens_session.sum()) - 1, 0),
        "returns_over_an_hour": int(long.sum()),
        "buckets_without_bars": int(((found == 0) & traded).sum()),
        "buckets_under_coverage": int(((found > 0) & ~kept).sum()),
    }
    return rv


def _log_returns(bars: pd.DataFrame, opens_session: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log return of each bar since the one before, of a session's first bar since its open; and which of them exist."""
    log_close = np.log(bars["close"].to_numpy(dtype=float))
    returns = np.diff(log_close, prepend=log_close[:1])
    if "open" not in bars.columns:
        return returns, ~opens_session
    returns[opens_session] = log_close[opens_session] - np.log(bars["open"].to_numpy(dtype=float)[opens_session])
    return returns, np.isfinite(returns)


def _log_prices(bars: pd.DataFrame) -> np.ndarray | None:
    """Log of open, high, low and close, shape (n, 4); None where one of them is missing."""
    names = ["open", "high", "low", "close"]
    if not set(names) <= set(bars.columns):
        return None
    logs: np.ndarray = np.log(bars[names].to_numpy(dtype=float))
    return logs


def _microseconds(index: pd.DatetimeIndex) -> np.ndarray:
    stamps: np.ndarray = index.as_unit("us").asi8
    return stamps


RV_FLOOR = 1e-5
"""Hourly volatilities below this (a tenth of a basis point) count as this much before a logarithm is taken."""
