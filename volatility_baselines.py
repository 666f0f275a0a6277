r"""Forecasts that a network has to beat, each made from the past alone.

Every baseline has the same interface, ``baseline(measures, targets, known) -> forecasts``: `measures` has a row a
bucket (see `hourly_measures`), its column ``rv_hourly`` at least, `targets` are the labels of the buckets to forecast,
and ``known[i]`` is how many leading rows of `measures` the forecast for ``targets[i]`` may use. Forecasts are hourly
volatilities, shape (len(targets),).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from errors import NotEnoughDataError
from trading_sessions import EXCHANGE_TIMEZONE
from volatility_features import RV_FLOOR, har_terms, hour_of_day_profile, session_hours

__all__ = ["BASELINES", "HAR_LAGS", "diurnal_ewma", "diurnal_log_har", "persistence"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Baseline = Callable[[pd.DataFrame, pd.DatetimeIndex, IntArray], FloatArray]

HAR_LAGS = (1, 7, 35, 154)
"""Buckets in an hour, a session, a week and a month of sessions."""

_HOURS = 24


def persistence(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray) -> FloatArray:
    """The last bucket's volatility again."""
    return np.asarray(measures["rv_hourly"].to_numpy(dtype=float)[known - 1])


def diurnal_ewma(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray, decay: float = 0.94) -> FloatArray:
    r"""Exponentially weighted variance without its hour-of-day pattern (RiskMetrics 1996, deseasonalized).

    With :math:`s_{i,h}` the mean variance of hour h in the buckets up to i, the level follows
    :math:`\ell_i = \lambda \ell_{i-1} + (1 - \lambda) RV_i^2 / s_{i,h(i)}`, and the forecast for an hour h is
    :math:`\sqrt{\ell_i s_{i,h}}`. An hour not seen so far is taken as an average one.
    """
    rv = measures["rv_hourly"]
    variance = np.maximum(rv.to_numpy(dtype=float), RV_FLOOR) ** 2
    hours = session_hours(rv.index)
    profile = _expanding_hourly_mean(variance, hours)
    level = (
        pd.Series(variance / profile[np.arange(len(rv)), hours]).ewm(alpha=1 - decay, adjust=False).mean().to_numpy()
    )
    return np.asarray(np.sqrt(level[known - 1] * profile[known - 1, session_hours(targets)]))


def diurnal_log_har(
    measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray, lags: tuple[int, ...] = HAR_LAGS
) -> FloatArray:
    """Heterogeneous autoregression on log RV without its hour-of-day mean, refitted daily.

    Deseasonalized log RV is regressed on its own means over the last `lags` buckets and on hour dummies, by least
    squares on all buckets known at each day's first forecast; the profile comes from the buckets known at the very
    first forecast. Back to volatility with Duan's smearing on the variance scale
    (Corsi 2009, *Journal of Financial Econometrics* 7; Duan 1983, *JASA* 78).

    Raises
    ------
    NotEnoughDataError
        Fewer buckets are known at the first forecast than twice the longest lag.
    """
    if known[0] < 2 * max(lags):
        raise NotEnoughDataError(
            f"the log-HAR has {known[0]} buckets before its first forecast; the rule is twice its longest lag, "
            f"{2 * max(lags)}; give a longer span of bars."
        )
    rv = measures["rv_hourly"]
    profile = _profile_array(hour_of_day_profile(rv.iloc[: known[0]]))
    hours = session_hours(rv.index)
    values = np.log(np.maximum(rv.to_numpy(dtype=float), RV_FLOOR)) - profile[hours]
    terms = har_terms(values, lags)
    hours_seen = np.unique(hours[: known[0]])
    design = np.column_stack([terms[max(lags) - 1 : -1], hours[max(lags) :, None] == hours_seen])
    target_hours = session_hours(targets)
    rows = np.column_stack([terms[known - 1], target_hours[:, None] == hours_seen])
    forecasts = np.empty(len(targets))
    for day in _positions_by_day(targets):
        usable = known[day[0]] - max(lags)
        fitted_on, outcome = design[:usable], values[max(lags) : known[day[0]]]
        coefficients = np.linalg.lstsq(fitted_on, outcome, rcond=None)[0]
        smearing = np.sqrt(np.mean(np.exp(2 * (outcome - fitted_on @ coefficients))))
        forecasts[day] = np.exp(rows[day] @ coefficients + profile[target_hours[day]]) * smearing
    return forecasts


BASELINES: dict[str, Baseline] = {
    "persistence": persistence,
    "diurnal_ewma": diurnal_ewma,
    "diurnal_log_har": diurnal_log_har,
}


def _expanding_hourly_mean(values: FloatArray, hours: IntArray) -> FloatArray:
    seen = hours[:, None] == np.arange(_HOURS)
    counts = np.cumsum(seen, axis=0)
    sums = np.cumsum(np.where(seen, values[:, None], 0.0), axis=0)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    overall = (np.cumsum(values) / np.arange(1, len(values) + 1))[:, None]
    return np.where(counts > 0, means, overall)


def _profile_array(profile: dict[int, float]) -> FloatArray:
    by_hour = np.full(_HOURS, np.mean(list(profile.values())))
    by_hour[list(profile)] = list(profile.values())
    return by_hour


def _positions_by_day(labels: pd.DatetimeIndex) -> list[IntArray]:
    days = labels.tz_convert(EXCHANGE_TIMEZONE).normalize().asi8
    return np.split(np.arange(len(labels)), np.flatnonzero(np.diff(days)) + 1)
