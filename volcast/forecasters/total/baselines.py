r"""What a forecast of total volatility has to beat, each made from the sessions so far alone, and all of them by name.

A baseline is ``forecast(sessions, known, count)``: `sessions` is a `SessionTable`, ``known[i]``, never falling, how
many of its leading rows the forecast i may use, and `count` how many sessions it is over. Forecasts are volatilities
from close to close over all of these, decimal, not annualized, shape (len(known),).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D
from volcast.errors import NotEnoughDataError
from volcast.features.windows import har_terms
from volcast.forecasters.baselines.garch import garch_parameters, gjr_garch_variance
from volcast.forecasters.total.session_table import SessionTable
from volcast.forecasters.walk_forward import walk_forward
from volcast.measures.hourly import RV_FLOOR
from volcast.registry import Registry

__all__ = [
    "ALL_TOTAL_BASELINES",
    "FEWEST_FOR_BASELINES",
    "TOTAL_BASELINES",
    "TotalBaseline",
    "TotalForecaster",
    "daily_ewma",
    "daily_garch",
    "daily_gjr_garch",
    "daily_har",
]

FEWEST_FOR_BASELINES = 66
"""Sessions that must be known before a first forecast by a regression or a GARCH."""

_DECAY = 0.94
_MONTH, _WEEK = 22, 5
_FEWEST_ROWS = 20
_FLOOR = RV_FLOOR**2

TotalForecaster = Callable[[SessionTable, Int64Array1D, int], Float64Array1D]
"""``forecast(sessions, known, count)``, see the module."""


@dataclass(frozen=True)
class TotalBaseline:
    """A forecast of total volatility that a model has to beat; called, it forecasts.

    Attributes
    ----------
    title
        What it is called in tables and sentences.
    forecast
        ``forecast(sessions, known, count)``, see the module.

    Examples
    --------
    >>> TotalBaseline("EWMA", daily_ewma).title
    'EWMA'
    """

    title: str
    forecast: TotalForecaster

    def __call__(self, sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
        """Volatilities over the `count` sessions that follow the first ``known[i]``."""
        return self.forecast(sessions, known, count)


def daily_ewma(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    r"""Squared returns from close to close with weights that fall by 6 % a session (RiskMetrics 1996)."""
    squares = pd.Series(_daily_returns(sessions) ** 2)
    level = squares.ewm(alpha=1 - _DECAY, adjust=False, ignore_na=True).mean().to_numpy(dtype=float)
    return np.asarray(np.sqrt(count * np.maximum(level[known - 1], _FLOOR)))


def daily_har(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    r"""HAR with nights: mean total variance ahead on RV over 1, 5, 22 sessions and squared nights over 5 and 22.

    Least squares at every close on all that is known then (Corsi 2009, *Journal of Financial Econometrics* 7). A
    forecast outside the range of what it was fitted on becomes the mean of that, as in `forecasters.baselines.har`.

    Raises
    ------
    NotEnoughDataError
        Fewer than `FEWEST_FOR_BASELINES` sessions are known at the first forecast.
    """
    _require_sessions(known)
    design = _har_design(sessions)
    outcomes = sessions.outcomes(count) ** 2 / count
    rows = np.flatnonzero(~np.isnan(outcomes) & ~np.isnan(design).any(axis=1))
    forecasts = np.empty(len(known))
    # On several threads so small a problem takes ten times as long.
    with threadpool_limits(1, "blas"):
        for place, stop in enumerate(known.tolist()):
            fitted_on = rows[: int(rows.searchsorted(stop - count))]
            forecasts[place] = _fitted_forecast(design, outcomes, fitted_on, stop - 1)
    return np.asarray(np.sqrt(count * np.maximum(forecasts, _FLOOR)))


def daily_garch(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    """GARCH(1,1) of returns from close to close (Bollerslev 1986), estimated by `arch` every week.

    Raises
    ------
    NotEnoughDataError
        Fewer than `FEWEST_FOR_BASELINES` sessions are known at the first forecast.
    """
    return _garch(sessions, known, count, asymmetry=0)


def daily_gjr_garch(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    """GJR-GARCH(1,1,1) of returns from close to close (Glosten, Jagannathan and Runkle 1993), by `arch` every week.

    Raises
    ------
    NotEnoughDataError
        As `daily_garch`.
    """
    return _garch(sessions, known, count, asymmetry=1)


_KIND, _GROUP = "baseline of total volatility", "volcast.total_baselines"
_QUICK = {
    "daily_ewma": TotalBaseline("daily EWMA", daily_ewma),
    "daily_har": TotalBaseline("daily HAR", daily_har),
}
_ESTIMATED = {
    "daily_garch": TotalBaseline("daily GARCH", daily_garch),
    "daily_gjr_garch": TotalBaseline("daily GJR-GARCH", daily_gjr_garch),
}

TOTAL_BASELINES = Registry(_KIND, TotalBaseline, _QUICK, _GROUP)
"""Those that take a second, and installed packages': what every training is judged beside."""

ALL_TOTAL_BASELINES = Registry(_KIND, TotalBaseline, {**_QUICK, **_ESTIMATED}, _GROUP)
"""With those that are estimated by maximum likelihood every week."""


def _daily_returns(sessions: SessionTable) -> Float64Array1D:
    """Log returns from close to close, shape (n,); NaN where the night is unknown."""
    return sessions.day_return + sessions.night


def _require_sessions(known: Int64Array1D) -> None:
    if len(known) and known[0] < FEWEST_FOR_BASELINES:
        raise NotEnoughDataError(
            f"this baseline has {known[0]} sessions before its first forecast; the rule is {FEWEST_FOR_BASELINES}; "
            "give a longer span of bars."
        )


def _har_design(sessions: SessionTable) -> Float64Array2D:
    # A night that is unknown counts as the mean of those around it that are.
    squares = pd.Series(sessions.night**2)
    nights = [squares.rolling(lag, min_periods=1).mean().to_numpy(dtype=float) for lag in (_WEEK, _MONTH)]
    terms = har_terms(sessions.variance, (1, _WEEK, _MONTH))
    return np.column_stack([np.ones(len(sessions)), terms, *nights])


def _fitted_forecast(design: Float64Array2D, outcomes: Float64Array1D, rows: Int64Array1D, last: int) -> float:
    outcome = outcomes[rows]
    if len(rows) < _FEWEST_ROWS:
        return float(outcome.mean()) if len(rows) else float(np.nanmax(design[last, 1:4]))
    forecast = float(design[last] @ np.linalg.lstsq(design[rows], outcome, rcond=None)[0])
    return forecast if outcome.min() <= forecast <= outcome.max() else float(outcome.mean())


def _garch(sessions: SessionTable, known: Int64Array1D, count: int, asymmetry: int) -> Float64Array1D:
    _require_sessions(known)
    returns = np.nan_to_num(_daily_returns(sessions))
    closes = sessions.market.clock.times(sessions.close[known - 1])
    parameters, forecasts = None, np.empty(len(known))
    for fold in walk_forward(closes, known, refit="week", market=sessions.market):
        unit = float(np.std(returns[fold.train]))
        parameters = garch_parameters(returns[fold.train] / unit, "GARCH", asymmetry, parameters)
        omega, alpha, *gamma, beta = parameters.tolist()
        fall = gamma[0] if gamma else 0.0
        stops = known[fold.targets]
        scaled = returns[: stops[-1]] / unit
        following = gjr_garch_variance(np.array([omega, alpha, fall, beta]), scaled)[stops]
        forecasts[fold.targets] = unit**2 * _summed(following, omega, alpha + fall / 2 + beta, count)
    return np.sqrt(np.maximum(forecasts, _FLOOR))


def _summed(following: Float64Array1D, omega: float, persistence: float, count: int) -> Float64Array1D:
    """Expected variances of the next session, shape (n,), and those after it, summed over `count` sessions."""
    total, variance = np.zeros(len(following)), following
    for _ in range(count):
        total = total + variance
        variance = omega + persistence * variance
    return total
