"""What is forecast: the variance of the next bucket, of the rest of the session, of one session, or of five."""

import itertools
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import time_index
from volcast.errors import ConfigError
from volcast.features.intraday import opens_session
from volcast.sessions import session_buckets

__all__ = [
    "HORIZONS",
    "Horizon",
    "HorizonOutcomes",
    "IntervalForecast",
    "horizon_minutes",
    "horizon_named",
    "horizon_outcomes",
    "outcomes_of_variance",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Horizon: TypeAlias = int | Literal["session_end"]
"""Buckets ahead, the next one included, or ``"session_end"``: all that are left of the session."""

HORIZONS: tuple[Horizon, ...] = (1, "session_end", 7, 35)
"""The next hour, the rest of the session, one session, five sessions."""


@dataclass(frozen=True)
class IntervalForecast:
    """Forecasts with their bounds, arrays of shape (n,): volatilities of the horizon, decimal, not annualized."""

    volatility: FloatArray
    lower: FloatArray
    upper: FloatArray


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

    volatility: FloatArray
    known_with: IntArray


def horizon_named(horizon: Horizon) -> Horizon:
    """Return `horizon` if models can forecast it.

    Raises
    ------
    ConfigError
        They cannot.
    """
    if horizon not in HORIZONS or isinstance(horizon, bool):
        known = ", ".join(repr(name) for name in HORIZONS)
        raise ConfigError(
            f"horizon is {horizon!r}; the rule is one of {known} (hourly buckets ahead: the next, all to the session's "
            "end, one session, five sessions); ask for one of these."
        )
    return horizon


def horizon_outcomes(measures: pd.DataFrame, horizon: Horizon) -> HorizonOutcomes:
    """Volatility of the horizon that begins with each bucket of `measures`.

    A session may go on after the last bucket that is there: ``"session_end"`` is known with the next session's first.
    """
    variance = measures["rv_hourly"].to_numpy(dtype=float) ** 2
    return outcomes_of_variance(variance, opens_session(time_index(measures)), horizon)


def outcomes_of_variance(variance: FloatArray, opens: npt.NDArray[np.bool_], horizon: Horizon) -> HorizonOutcomes:
    """The same of buckets with these variances, shape (n,), of which `opens` begin a session.

    Each is the same to the last bit with whichever buckets before it the series begins; for ``"session_end"``, with
    whichever sessions.
    """
    count = len(variance)
    volatility, known_with = np.full(count, np.nan), np.full(count, count)
    if horizon == "session_end":
        for first, end in itertools.pairwise(np.flatnonzero(opens)):
            volatility[first:end] = np.sqrt(np.cumsum(variance[first:end][::-1])[::-1])
            known_with[first:end] = end
    elif horizon == 1:
        return HorizonOutcomes(np.sqrt(variance), np.arange(count))
    elif count >= int(horizon):
        windows = variance[np.arange(count - int(horizon) + 1)[:, None] + np.arange(int(horizon))]
        volatility[: len(windows)] = np.sqrt(windows.sum(axis=1))
        known_with[: len(windows)] = np.arange(int(horizon) - 1, count)
    return HorizonOutcomes(volatility, known_with)


def horizon_minutes(labels: pd.DatetimeIndex, horizon: Horizon, calendar: str = "XNYS") -> IntArray:
    """Minutes of trading in the horizons that begin with the buckets `labels`, by the exchange's calendar."""
    if not len(labels):
        return np.empty(0, dtype=np.int64)
    first, last = labels[0] - pd.Timedelta(days=1), labels[-1] + pd.Timedelta(days=30)
    buckets = session_buckets(first, last, calendar)
    begin = time_index(buckets).get_indexer(labels.tz_convert(time_index(buckets).tz))
    passed = np.concatenate([[0], np.cumsum(buckets["minutes"].to_numpy(dtype=np.int64))])
    if horizon == "session_end":
        sessions = buckets["session"].to_numpy()
        end = np.searchsorted(sessions, sessions[begin], side="right")
    else:
        end = begin + int(horizon)
    return np.asarray(passed[end] - passed[begin])
