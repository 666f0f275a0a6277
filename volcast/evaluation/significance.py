r"""Whether a difference between forecasts is more than chance, and whether a forecast is biased.

Hours of one day share their surprises, so all that is summed up here is first summed by the market's day; days follow
each other with the autocorrelation that Newey and West's estimator allows for, Bartlett weights over
:math:`L = \lfloor 4 (n / 100)^{2/9} \rfloor` of n days (1987, *Econometrica* 55; 1994, *Review of Economic Studies*
61).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array2D, time_index

__all__ = [
    "MincerZarnowitz",
    "diebold_mariano_by_day",
    "long_run_covariance",
    "mincer_zarnowitz",
    "model_confidence_set",
]


_FEWEST_DAYS = 3
_FEWEST_DAYS_OF_A_SET = 20
_BLOCK_DAYS = 5
# Of losses, whose mean is quoted to a tenth of a thousandth.
_ROUNDING = 1e-12
_REPETITIONS = 1000
# What ends at midnight is of the day that ends.
_MOMENT = pd.Timedelta(1, unit="us")


def diebold_mariano_by_day(loss: pd.Series, reference_loss: pd.Series, *, overlap: int = 1) -> float:
    """Two-sided p-value of equal mean loss; the observation is a day. NaN under three days or without a difference.

    Diebold and Mariano 1995, *JBES* 13, with the correction of Harvey, Leybourne and Newbold 1997, *International
    Journal of Forecasting* 13 (for L + 1 steps, and Student's t), which keeps it honest in spans of a few months.

    Parameters
    ----------
    loss, reference_loss
        Loss of each bucket, with one tz-aware index of labels.
    overlap
        Days that an outcome spans: with more than one, neighbours share some, and so many days are allowed for.
    """
    from scipy.special import stdtr

    difference = loss - reference_loss
    days = _by_day(difference.to_numpy(dtype=float)[:, None], time_index(difference))[:, 0]
    count, mean = len(days), float(difference.mean())
    if count < _FEWEST_DAYS:
        return math.nan
    lags = _lags(count, overlap)
    variance = float(long_run_covariance((days - days.mean())[:, None], lags)[0, 0])
    if variance <= 0:
        return math.nan
    steps = lags + 1
    correction = (count + 1 - 2 * steps + steps * (steps - 1) / count) / count
    return float(2 * stdtr(count - 1, -abs(mean) / math.sqrt(variance / count) * math.sqrt(correction)))


@dataclass(frozen=True)
class MincerZarnowitz:
    """The regression of realized on forecast variance, :math:`RV^2 = a + b f^2 + e`; a = 0 and b = 1 without bias.

    Attributes
    ----------
    intercept, slope
        a (variance of a bucket) and b.
    intercept_error, slope_error
        Their standard errors, clustered by day and robust to autocorrelation of days.
    p_value
        Of a = 0 and b = 1 together (Wald).
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    p_value: float


def mincer_zarnowitz(realized: pd.Series, forecast: npt.ArrayLike, *, overlap: int = 1) -> MincerZarnowitz:
    """Is the forecast unbiased? (Mincer and Zarnowitz 1969, *Economic Forecasts and Expectations*.)

    Parameters
    ----------
    realized
        Hourly volatility, indexed by bucket label.
    forecast
        Hourly volatility, shape (len(realized),). All numbers are NaN where it is constant or there are under three
        days.
    overlap
        Days that an outcome spans, as in `diebold_mariano_by_day`.
    """
    from scipy.special import chdtrc

    outcome = realized.to_numpy(dtype=float) ** 2
    predictor = np.asarray(forecast, dtype=float) ** 2
    # In units of the mean variance: 1e-6 beside 1 would leave the matrices next to singular.
    unit = float(outcome.mean())
    design = np.column_stack([np.ones(len(outcome)), predictor / unit])
    if np.ptp(predictor) == 0 or _days(time_index(realized)).nunique() < _FEWEST_DAYS:
        return MincerZarnowitz(*[math.nan] * 5)
    coefficients = np.linalg.lstsq(design, outcome / unit, rcond=None)[0]
    scores = _by_day(design * (outcome / unit - design @ coefficients)[:, None], time_index(realized))
    bread = np.linalg.inv(design.T @ design / len(design))
    covariance = bread @ long_run_covariance(scores, _lags(len(scores), overlap)) @ bread / len(scores)
    distance = coefficients - np.array([0.0, 1.0])
    wald = float(distance @ np.linalg.pinv(covariance) @ distance)
    errors = np.sqrt(np.diag(covariance))
    intercept, slope = coefficients
    return MincerZarnowitz(
        float(intercept) * unit, float(slope), float(errors[0]) * unit, float(errors[1]), float(chdtrc(2, wald))
    )


def model_confidence_set(losses: pd.DataFrame, seed: int = 0) -> pd.Series:
    """p-value of each column in the model confidence set; those at 0.1 and above are the set of 90 %.

    The set holds the best forecast with that probability (Hansen, Lunde and Nason 2011, *Econometrica* 79), by
    `arch.bootstrap.MCS` on daily losses, blocks of five days. NaN under twenty days. Columns that are equal but for
    rounding share their value: where a bucket is a session, so are several baselines.

    Parameters
    ----------
    losses
        Loss of each bucket (rows, by label) and forecast (columns).
    """
    twin = _twins(losses)
    distinct = losses[list(dict.fromkeys(twin.values()))]
    days = _by_day(distinct.to_numpy(dtype=float), time_index(losses))
    if len(days) < _FEWEST_DAYS_OF_A_SET:
        return pd.Series(math.nan, losses.columns)
    if distinct.shape[1] == 1:
        return pd.Series(1.0, losses.columns)
    from arch.bootstrap import MCS

    test = MCS(pd.DataFrame(days, columns=distinct.columns), 0.1, _REPETITIONS, _BLOCK_DAYS, method="R", seed=seed)
    test.compute()
    p_values = test.pvalues["Pvalue"].astype(float)
    return pd.Series({name: float(p_values[first]) for name, first in twin.items()})


def _twins(losses: pd.DataFrame) -> dict[str, str]:
    """By name of a column, the first that is equal to it but for rounding."""
    twins: dict[str, str] = {}
    for name, column in losses.items():
        equal = (first for first in twins.values() if np.allclose(losses[first], column, rtol=0, atol=_ROUNDING))
        twins[str(name)] = next(equal, str(name))
    return twins


def _by_day(values: Float64Array2D, labels: pd.DatetimeIndex) -> Float64Array2D:
    """Sums of `values` (n, k) by the labels' day, (days, k), scaled so that their mean is the mean of `values`."""
    days = pd.factorize(_days(labels))[0]
    sums = np.column_stack([np.bincount(days, weights=column) for column in values.T])
    return np.asarray(sums * (len(sums) / len(values)))


def _days(labels: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(labels - _MOMENT).normalize()


def long_run_covariance(rows: Float64Array2D, lags: int | None = None) -> Float64Array2D:
    """Newey and West's covariance, (k, k), of the square root of n times the mean of `rows` (n, k), whose mean is 0.

    `lags` is L, None as the module says.
    """
    covariance = rows.T @ rows / len(rows)
    lags = _lags(len(rows)) if lags is None else lags
    for lag in range(1, lags + 1):
        product = rows[lag:].T @ rows[:-lag] / len(rows)
        covariance = covariance + (1 - lag / (lags + 1)) * (product + product.T)
    return np.asarray(covariance)


def _lags(count: int, overlap: int = 1) -> int:
    return min(max(int(4 * (count / 100) ** (2 / 9)), overlap - 1), count - 2)
