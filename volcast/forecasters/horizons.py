"""What is forecast, of two kinds.

``"hourly"``: the variance of the next bucket, of the rest of the session, of one session, or of five, without nights.
``"total"``: the variance from close to close over sessions ahead, with the nights before them.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, parts_of, time_index
from volcast.errors import ConfigError
from volcast.features.intraday import opens_session
from volcast.forecasters.walk_forward import Forecaster
from volcast.markets.market import TradingMarket

__all__ = [
    "HORIZONS",
    "TOTAL_HORIZONS",
    "Horizon",
    "HorizonOutcomes",
    "HorizonRule",
    "IntervalForecast",
    "Kind",
    "buckets_ahead",
    "horizon_minutes",
    "horizon_named",
    "horizon_outcomes",
    "horizon_rule",
    "horizons_of",
    "kind_of",
    "over_horizon",
]


Horizon: TypeAlias = int | str
"""A name in `HORIZONS`, buckets ahead, or ``"session_end"``: all that are left of the session; or one in
`TOTAL_HORIZONS`."""

Kind: TypeAlias = Literal["hourly", "total"]
"""``"hourly"``: of hourly buckets, without nights. ``"total"``: from close to close."""

_KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class IntervalForecast:
    """Forecasts with their bounds, arrays of shape (n,): volatilities of the horizon, decimal, not annualized."""

    volatility: Float64Array1D
    lower: Float64Array1D
    upper: Float64Array1D


@dataclass(frozen=True)
class HorizonOutcomes:
    """What came of the horizon that begins with each bucket, one value a bucket.

    Attributes
    ----------
    volatility
        Root of the variance of its buckets; NaN where it has not ended.
    known_with
        Position of the bucket with which it is known; where it is not known yet, the number of buckets.
    """

    volatility: Float64Array1D
    known_with: Int64Array1D


@dataclass(frozen=True)
class HorizonRule:
    """Which buckets a horizon has, and when its outcome is known.

    Attributes
    ----------
    title
        What it is called in sentences.
    outcomes
        ``outcomes(variance, opens)``: what came of the horizon that begins with each bucket, from the variances of the
        buckets and whether each opens a session, both of shape (n,). Each outcome is the same to the last bit with
        whichever session the buckets begin.
    ends
        ``ends(sessions)``: for each bucket the position after the last one of the horizon that it begins, from the
        number of its session, never falling, shape (n,); the buckets go on for a month.
    """

    title: str
    outcomes: Callable[[Float64Array1D, BoolArray1D], HorizonOutcomes]
    ends: Callable[[Int64Array1D], Int64Array1D]


def buckets_ahead(count: int, title: str) -> HorizonRule:
    """The horizon of `count` buckets, over the end of a session if need be; known with the last of them."""

    def outcomes(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
        begun = len(variance)
        volatility, known_with = np.full(begun, np.nan), np.full(begun, begun)
        ended = max(begun - count + 1, 0)
        for part in parts_of(ended, count):
            windows = variance[np.arange(ended)[part, None] + np.arange(count)]
            volatility[part] = np.sqrt(windows.sum(axis=1))
        known_with[:ended] = np.arange(ended) + count - 1
        return HorizonOutcomes(volatility, known_with)

    return HorizonRule(title, outcomes, lambda sessions: np.arange(len(sessions)) + count)


def _outcomes_to_session_end(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    """A session may go on after the last bucket that is there: what came of it is known with the next one's first."""
    count = len(variance)
    volatility, known_with = np.full(count, np.nan), np.full(count, count)
    for first, end in itertools.pairwise(np.flatnonzero(opens)):
        volatility[first:end] = np.sqrt(np.cumsum(variance[first:end][::-1])[::-1])
        known_with[first:end] = end
    return HorizonOutcomes(volatility, known_with)


HORIZONS: dict[Horizon, HorizonRule] = {
    1: buckets_ahead(1, "the next bucket"),
    "session_end": HorizonRule(
        "the rest of the session",
        _outcomes_to_session_end,
        lambda sessions: np.searchsorted(sessions, sessions, side="right"),
    ),
    7: buckets_ahead(7, "one session"),
    35: buckets_ahead(35, "five sessions"),
}
"""What models forecast, where a session has seven buckets; a new horizon is a line here."""

_SESSION = 7


def horizons_of(market: TradingMarket) -> dict[Horizon, HorizonRule]:
    """What models of a market forecast: `HORIZONS`, with as many buckets in one session and in five as it has."""
    session = market.buckets_per_session
    if session == _SESSION:
        return HORIZONS
    counts: dict[Horizon, int] = {_SESSION: session, 5 * _SESSION: 5 * session}
    return {
        counts.get(name, name): buckets_ahead(counts[name], rule.title) if name in counts else rule
        for name, rule in HORIZONS.items()
    }


def horizon_rule(horizon: Horizon) -> HorizonRule:
    """The rule of a horizon by its name in `horizons_of` any market: a number is that of buckets ahead."""
    if horizon in HORIZONS:
        return HORIZONS[horizon]
    return buckets_ahead(int(horizon), f"{horizon} buckets")


TOTAL_HORIZONS: Mapping[str, int] = MappingProxyType(
    {"1 session": 1, "5 sessions": 5, "10 sessions": 10, "22 sessions": 22}
)
"""What is forecast of total volatility, by name: sessions ahead, each with the night before it."""


def horizon_named(horizon: Horizon, kind: Kind, market: TradingMarket) -> Horizon:
    """The name of a `horizon` that can be forecast of a market, of total volatility also by its number of sessions.

    Raises
    ------
    ConfigError
        It cannot, or there is no such kind.
    """
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"kind is {kind!r}; the rule is one of {', '.join(_KINDS)}; use 'hourly'.")
    plain = isinstance(horizon, int | str) and not isinstance(horizon, bool)
    if kind == "total":
        names: dict[Horizon, str] = {name: name for name in TOTAL_HORIZONS}
        names |= {count: name for name, count in TOTAL_HORIZONS.items()}
        if not plain or horizon not in names:
            raise ConfigError(
                f"horizon is {horizon!r}; the rule for total volatility is one of "
                f"{', '.join(map(repr, TOTAL_HORIZONS))}; ask for one of these, or for kind='hourly'."
            )
        return names[horizon]
    horizons = horizons_of(market)
    if not plain or horizon not in horizons:
        hourly = ", ".join(f"{name!r} ({rule.title})" for name, rule in horizons.items())
        way_out = "add kind='total' for this one" if plain and horizon in TOTAL_HORIZONS else "ask for one of these"
        raise ConfigError(f"horizon is {horizon!r}; the rule is one of {hourly}; {way_out}.")
    return horizon


def kind_of(horizon: Horizon) -> Kind:
    """Which kind of volatility a horizon's name is of."""
    return "total" if horizon in TOTAL_HORIZONS else "hourly"


def horizon_outcomes(measures: pd.DataFrame, horizon: Horizon) -> HorizonOutcomes:
    """Volatility of the horizon that begins with each bucket of the hourly `measures`."""
    variance = measures["rv_hourly"].to_numpy(dtype=float) ** 2
    return horizon_rule(horizon).outcomes(variance, opens_session(measures))


def horizon_minutes(labels: pd.DatetimeIndex, horizon: Horizon, market: TradingMarket) -> Int64Array1D:
    """Minutes of trading in the horizons that begin with the buckets `labels`, by the market's sessions."""
    if not len(labels):
        return np.empty(0, dtype=np.int64)
    buckets, begin, end = _buckets_of(labels, horizon, market)
    passed = np.concatenate([[0], np.cumsum(buckets["minutes"].to_numpy(dtype=np.int64))])
    return np.asarray(passed[end] - passed[begin])


def over_horizon(
    forecaster: Forecaster,
    measures: pd.DataFrame,
    labels: pd.DatetimeIndex,
    known: Int64Array1D,
    horizon: Horizon,
    market: TradingMarket,
) -> Float64Array1D:
    """Volatility of the horizons that begin with the buckets `labels`, by a forecaster of single buckets.

    Each bucket of a horizon is forecast from what is known before its first, ``known[i]`` leading rows of `measures`,
    and the variances are added up. `labels` are in time order.

    Raises
    ------
    ConfigError
        A label is that of no session's bucket, as under the preset ``"colab"``.
    """
    if horizon == 1 or not len(labels):
        return forecaster(measures, labels, known)
    buckets, begin, end = _buckets_of(labels, horizon, market)
    if (begin < 0).any():
        raise ConfigError(
            f"horizon is {horizon!r} and {labels[begin < 0][0]} ends no bucket of a session; longer horizons are sums "
            "of a session's buckets; forecast with the preset session, or horizon 1."
        )
    counts = end - begin
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows = np.arange(counts.sum()) - np.repeat(first - begin, counts)
    single = forecaster(measures, pd.DatetimeIndex(buckets.index[rows]), np.repeat(known, counts))
    return np.asarray(np.sqrt(np.add.reduceat(single**2, first)))


def _buckets_of(
    labels: pd.DatetimeIndex, horizon: Horizon, market: TradingMarket
) -> tuple[pd.DataFrame, Int64Array1D, Int64Array1D]:
    """The market's buckets, and in them the first of each horizon that begins with `labels` and the end of it."""
    first, last = labels[0] - pd.Timedelta(days=1), labels[-1] + pd.Timedelta(days=30)
    buckets = market.bucket_table(first, last)
    begin = time_index(buckets).get_indexer(labels.tz_convert(time_index(buckets).tz))
    ends = horizon_rule(horizon).ends(buckets["session"].to_numpy().astype("M8[D]").astype(np.int64))
    return buckets, begin, ends[begin]
