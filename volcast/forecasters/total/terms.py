r"""What the forecast of total volatility knows when a session has closed.

All are logs of variances relative to the total variance of the last 22 sessions, :math:`\ell_s`, so that what holds for
one symbol holds for any other, whatever its level:

- ``rv_1``, ``rv_5``, ``rv_22``: realized variance, means over so many sessions (Corsi 2009),
- ``parkinson_1``: Parkinson variance of the last session, ``ending``: its last half hour, the hourly forecast's state,
- ``nights_5``: mean squared return of the last five nights,
- ``level``: mean total variance of all sessions so far, which counts the more the more these are;

and beside them what fell, in standard deviations: the returns over the last session, 5 and 22, where negative.
"""

from dataclasses import dataclass

import numpy as np

from volcast.arrays import Float64Array1D, Float64Array2D
from volcast.forecasters.total.session_table import SessionTable
from volcast.measures.hourly import RV_FLOOR

__all__ = ["FEWEST_SESSIONS", "TERMS", "PastLevel", "SessionTerms"]

TERMS = (
    "constant", "rv_1", "parkinson_1", "ending", "rv_5", "rv_22", "nights_5", "level", "fall_1", "fall_5", "fall_22",
)  # fmt: skip
"""Columns of the regression."""

FEWEST_SESSIONS = 22
"""Sessions that must have closed before a first forecast."""

_WEEK = 5
_FLOOR = RV_FLOOR**2
# What nights are taken to be at the least, in sessions' variance: some have none.
_QUIET_NIGHT = 0.05
# Sessions of which the mean level counts half as much as that of very many.
_HALF_SURE = 60
_LARGEST_LOG, _LARGEST_FALL = 3.0, 4.0


@dataclass(frozen=True)
class PastLevel:
    """The level of a symbol in sessions that a model has learnt from.

    Attributes
    ----------
    variance, count
        Sum of the total variance of so many sessions.
    last_close
        When the last of them closed, in microseconds since the epoch; 0 where there are none.
    """

    variance: float = 0.0
    count: float = 0.0
    last_close: int = 0


@dataclass(frozen=True)
class SessionTerms:
    """Terms as of the close of each session of a table.

    Attributes
    ----------
    design
        Shape (n, len(TERMS)); NaN before there are `FEWEST_SESSIONS`.
    log_level
        Log of the total volatility of a session, from the last 22, shape (n,): forecasts are relative to it.
    past
        What will be remembered of the symbol's level after the last session.
    """

    design: Float64Array2D
    log_level: Float64Array1D
    past: PastLevel

    @classmethod
    def of(cls, sessions: SessionTable, past: "PastLevel") -> "SessionTerms":
        """The terms of all sessions; `past` is what is remembered of earlier ones, which may be among them."""
        variance = sessions.variance
        squares = np.nan_to_num(sessions.night) ** 2
        counted = (~np.isnan(sessions.night)).astype(float)
        week, month = (_means(squares, lag) / np.maximum(_means(counted, lag), 1 / lag) for lag in (_WEEK, 22))
        rv_month = _means(variance, FEWEST_SESSIONS)
        total = rv_month + month
        # Before there are 22 sessions, and where a night is unknown, what is known stands in.
        daily = variance + np.where(counted > 0, squares, np.nan_to_num(month))
        is_new = sessions.close > past.last_close
        counts = np.cumsum(is_new) + past.count
        variances = np.cumsum(np.append(past.variance, np.where(is_new, daily, 0.0)))
        level = variances[1:] / counts
        returns = sessions.day_return + np.nan_to_num(sessions.night)
        spread = np.sqrt(np.maximum(rv_month, _FLOOR))
        design = [
            np.ones(len(sessions)),
            _relative(variance, total),
            _relative(sessions.parkinson, total),
            _relative(sessions.ending, total),
            _relative(_means(variance, _WEEK), total),
            _relative(rv_month, total),
            _relative(week + _QUIET_NIGHT * rv_month, total),
            _relative(level, total) * counts / (counts + _HALF_SURE),
            *(_falls(returns, lag, spread) for lag in (1, _WEEK, FEWEST_SESSIONS)),
        ]
        terms = np.where(np.isnan(total)[:, None], np.nan, np.column_stack(design))
        last = PastLevel(float(variances[-1]), float(np.append(past.count, counts)[-1]), _last_close(sessions, past))
        return cls(terms, 0.5 * np.log(np.maximum(total, _FLOOR)), last)


def _last_close(sessions: SessionTable, past: PastLevel) -> int:
    return max(past.last_close, int(sessions.close[-1])) if len(sessions) else past.last_close


def _relative(variance: Float64Array1D, total: Float64Array1D) -> Float64Array1D:
    logs = np.log(np.maximum(variance, _FLOOR)) - np.log(np.maximum(total, _FLOOR))
    return np.asarray(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))


def _falls(returns: Float64Array1D, lag: int, spread: Float64Array1D) -> Float64Array1D:
    """How far a price fell over the last `lag` sessions, in standard deviations of as many; 0 where it rose."""
    return np.asarray(np.clip(_means(returns, lag) * lag**0.5 / spread, -_LARGEST_FALL, 0.0))


def _means(values: Float64Array1D, lag: int) -> Float64Array1D:
    """Means of the last `lag` values, shape (n,), each from these alone; NaN where there are fewer."""
    means = np.full(len(values), np.nan)
    rows = np.arange(lag - 1, len(values))
    means[rows] = np.cumsum(values[rows[:, None] - np.arange(lag)], axis=1)[:, -1] / lag
    return means
