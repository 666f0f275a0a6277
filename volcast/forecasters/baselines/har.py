r"""Heterogeneous autoregressions of hourly volatility, refitted daily on all that came before.

With :math:`x_i^{(k)}` the mean of a series over its last k buckets, all regress the next bucket on
:math:`x_i^{(1)}, x_i^{(7)}, x_i^{(35)}, x_i^{(154)}` (Corsi 2009, *Journal of Financial Econometrics* 7) by least
squares. They differ in what x is, and in what stands beside these terms. A ``diurnal`` one divides its series by the
hour-of-day pattern of the buckets known at the very first forecast, and multiplies the forecast by the target hour's.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, time_index
from volcast.errors import NotEnoughDataError
from volcast.features.scaling import hour_of_day_profile
from volcast.features.windows import har_lags, har_terms
from volcast.forecasters.walk_forward import walk_forward
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_of
from volcast.measures.hourly import RV_FLOOR

__all__ = [
    "diurnal_har",
    "diurnal_harq",
    "diurnal_log_har",
    "diurnal_semivariance_har",
    "fewest_buckets",
    "har",
    "hourly_variance_profile",
    "log_har",
    "require_history",
]

_Fits = Iterator[tuple[slice, Float64Array1D, Float64Array1D, Float64Array1D]]

# More dummies than the hours of any market in buckets of 15 minutes: with those of five minutes around the clock a fit
# on three years of bars takes seconds, and there is one for each day.
_MOST_DUMMIES = 100


def har(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """HAR on levels of volatility, with a constant (Corsi 2009).

    A forecast outside the range of what it was fitted on becomes the mean of that (the insanity filter of Bollerslev,
    Patton and Quaedvlieg 2016): a line may go below zero.
    """
    require_history(measures, known)
    values = measures["rv_hourly"].to_numpy(dtype=float)
    return _on_levels(har_terms(values, _lags(measures, known)), values, targets, known, measures)


def diurnal_har(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """HAR on levels of volatility over the root of its hour's mean variance; insanity filter as in `har`."""
    require_history(measures, known)
    pattern = np.sqrt(hourly_variance_profile(measures, known[0]))
    values = measures["rv_hourly"].to_numpy(dtype=float) / pattern[_hours(measures)]
    terms = har_terms(values, _lags(measures, known))
    return _on_levels(terms, values, targets, known, measures) * pattern[_hours(measures, targets)]


def log_har(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """HAR on log volatility, with a constant; back by Duan's smearing on the variance scale, as `diurnal_log_har`."""
    require_history(measures, known)
    values = _log_rv(measures)
    terms = _with_constant(har_terms(values, _lags(measures, known)))
    forecasts = np.empty(len(targets))
    for day, coefficients, residuals, _ in _daily_fits(terms[:-1], values, targets, known, measures):
        smearing = np.sqrt(np.mean(np.exp(2 * residuals)))
        forecasts[day] = np.exp(terms[known[day] - 1] @ coefficients) * smearing
    return forecasts


def diurnal_log_har(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """HAR on log RV without its hour-of-day mean, and hour dummies: what other forecasts are compared with.

    The profile comes from the buckets known at the very first forecast. Back to volatility with Duan's smearing on the
    variance scale (Corsi 2009, *Journal of Financial Econometrics* 7; Duan 1983, *JASA* 78). Of buckets of five minutes
    around the clock the hundreds of dummies are eliminated before each fit, which changes it by rounding alone.

    Raises
    ------
    NotEnoughDataError
        Fewer buckets are known at the first forecast than twice the longest lag.
    """
    require_history(measures, known)
    profile = _profile_array(hour_of_day_profile(measures["rv_hourly"].iloc[: known[0]]), market_of(measures).slots)
    hours, target_hours = (
        _hours(measures),
        _hours(measures, targets),
    )
    values = _log_rv(measures) - profile[hours]
    terms = har_terms(values, _lags(measures, known))
    hours_seen = np.unique(hours[: known[0]])
    if len(hours_seen) > _MOST_DUMMIES:
        fits = _daily_fits_within_hours(terms[:-1], hours[1:], hours_seen, values, targets, known, measures)
    else:
        design = np.column_stack([terms[:-1], hours[1:, None] == hours_seen])
        fits = _daily_fits(design, values, targets, known, measures)
    rows = np.column_stack([terms[known - 1], target_hours[:, None] == hours_seen])
    forecasts = np.empty(len(targets))
    for day, coefficients, residuals, _ in fits:
        smearing = np.sqrt(np.mean(np.exp(2 * residuals)))
        forecasts[day] = np.exp(rows[day] @ coefficients + profile[target_hours[day]]) * smearing
    return forecasts


def diurnal_harq(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    r"""HARQ: the less exactly the last hour's variance was measured, the less it counts.

    On variances :math:`v` over their hour's mean, :math:`q` the quarticity over its square, it adds
    :math:`\sqrt{q_i} v_i` to HAR's terms (Bollerslev, Patton and Quaedvlieg 2016, *Journal of Econometrics* 192).
    Insanity filter as in `har`.

    Raises
    ------
    NotEnoughDataError
        The measures have no ``quarticity``, or too few rows.
    """
    require_history(measures, known, "quarticity")
    pattern = hourly_variance_profile(measures, known[0])
    hour_variance = pattern[_hours(measures)]
    variance = measures["rv_hourly"].to_numpy(dtype=float) ** 2 / hour_variance
    error = np.sqrt(measures["quarticity"].to_numpy(dtype=float)) / hour_variance
    terms = np.column_stack([har_terms(variance, _lags(measures, known)), error * variance])
    return np.asarray(
        np.sqrt(_on_levels(terms, variance, targets, known, measures) * pattern[_hours(measures, targets)])
    )


def diurnal_semivariance_har(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """Semivariance HAR: the last hour's variance of rises and of falls count apart.

    On variances over their hour's mean (Patton and Sheppard 2015, *Review of Economics and Statistics* 97). Insanity
    filter as in `har`.

    Raises
    ------
    NotEnoughDataError
        The measures have no ``negative_semivariance``, or too few rows.
    """
    require_history(measures, known, "negative_semivariance")
    pattern = hourly_variance_profile(measures, known[0])
    hour_variance = pattern[_hours(measures)]
    variance = measures["rv_hourly"].to_numpy(dtype=float) ** 2 / hour_variance
    falls = measures["negative_semivariance"].to_numpy(dtype=float) / hour_variance
    terms = np.column_stack([variance - falls, falls, har_terms(variance, _lags(measures, known)[1:])])
    return np.asarray(
        np.sqrt(_on_levels(terms, variance, targets, known, measures) * pattern[_hours(measures, targets)])
    )


def _hours(measures: pd.DataFrame, labels: pd.DatetimeIndex | None = None) -> Int64Array1D:
    """Clock hours of `labels`, or of the rows of the measures, on the clock of their market."""
    return market_of(measures).hours_of_labels(time_index(measures) if labels is None else labels)


def hourly_variance_profile(measures: pd.DataFrame, count: int) -> Float64Array1D:
    """Mean variance of each clock hour in the first `count` rows, shape (24,); the mean of these for hours not seen."""
    variance = np.maximum(measures["rv_hourly"].iloc[:count].to_numpy(dtype=float), RV_FLOOR) ** 2
    means = pd.Series(variance).groupby(_hours(measures)[:count]).mean()
    profile = {int(hour): float(mean) for hour, mean in zip(means.index, means, strict=True)}
    return _profile_array(profile, market_of(measures).slots)


def require_history(measures: pd.DataFrame, known: Int64Array1D, *columns: str) -> None:
    """Refuse rows without the `columns`, or a first forecast with fewer buckets than twice the longest lag.

    Raises
    ------
    NotEnoughDataError
        What is missing.
    """
    missing = [column for column in columns if column not in measures.columns or measures[column].isna().any()]
    if missing:
        raise NotEnoughDataError(
            f"the measures have no {' and no '.join(missing)}, or not in each row; this baseline needs it; measure the "
            "bars under the preset 'session'."
        )
    if known[0] < fewest_buckets(market_of(measures)):
        raise NotEnoughDataError(
            f"this baseline has {known[0]} buckets before its first forecast; the rule is twice the longest lag of "
            f"the HAR, {fewest_buckets(market_of(measures))}; give a longer span of bars."
        )


def fewest_buckets(market: TradingMarket) -> int:
    """Buckets of a market that must be known before a first forecast: twice the longest lag of the HAR."""
    return 2 * har_lags(market, 0)[-1]


def _lags(measures: pd.DataFrame, known: Int64Array1D) -> tuple[int, ...]:
    # Each once: a bucket may be a session.
    return tuple(sorted(set(har_lags(market_of(measures), int(known[0])))))


def _on_levels(
    terms: Float64Array2D,
    values: Float64Array1D,
    targets: pd.DatetimeIndex,
    known: Int64Array1D,
    measures: pd.DataFrame,
) -> Float64Array1D:
    """Next values, shape (len(targets),), regressed on a constant and `terms`, through the insanity filter."""
    terms = _with_constant(terms)
    forecasts = np.empty(len(targets))
    for day, coefficients, _, outcome in _daily_fits(terms[:-1], values, targets, known, measures):
        forecast = terms[known[day] - 1] @ coefficients
        sane = (forecast >= outcome.min()) & (forecast <= outcome.max())
        forecasts[day] = np.where(sane, forecast, outcome.mean())
    return forecasts


def _daily_fits(
    design: Float64Array2D,
    values: Float64Array1D,
    targets: pd.DatetimeIndex,
    known: Int64Array1D,
    measures: pd.DataFrame,
) -> _Fits:
    """For each day: its targets, and the coefficients, residuals and outcomes of a fit on all that was known before.

    Row r of `design` is what was known before ``values[r + 1]``; rows before the longest lag are not whole.
    """
    # On several threads so small a problem takes ten times as long, and a hundred times on a busy machine.
    with threadpool_limits(1, "blas"):
        longest = _lags(measures, known)[-1]
        for fold in walk_forward(targets, known, refit="day", market=market_of(measures)):
            fitted_on, outcome = design[longest - 1 : fold.train.stop - 1], values[longest : fold.train.stop]
            coefficients = np.asarray(np.linalg.lstsq(fitted_on, outcome, rcond=None)[0], dtype=float)
            yield fold.targets, coefficients, outcome - fitted_on @ coefficients, outcome


def _daily_fits_within_hours(
    terms: Float64Array2D,
    hours: Int64Array1D,
    hours_seen: Int64Array1D,
    values: Float64Array1D,
    targets: pd.DatetimeIndex,
    known: Int64Array1D,
    measures: pd.DataFrame,
) -> _Fits:
    """The fits of `_daily_fits` on `terms`, those of row r before a bucket in clock hour hours[r], and dummies.

    There is one for each of `hours_seen`. What differs from the mean of its hour has the slopes of the whole (Frisch
    and Waugh 1933, *Econometrica* 1; Lovell 1963, *JASA* 58), and the sums that these are made of grow with each day's
    rows alone.
    """
    slots, first = market_of(measures).slots, _lags(measures, known)[-1] - 1
    columns, width, summed = np.column_stack([terms, values[1:]]), terms.shape[1] + 1, first
    products, sums, counts = np.zeros((width, width)), np.zeros((slots, width)), np.zeros(slots)
    has_dummy = np.isin(np.arange(slots), hours_seen)[:, None]
    with threadpool_limits(1, "blas"):
        for fold in walk_forward(targets, known, refit="day", market=market_of(measures)):
            stop = fold.train.stop - 1
            added, of_added = columns[summed:stop], hours[summed:stop]
            products += added.T @ added
            np.add.at(sums, of_added, added)
            counts += np.bincount(of_added, minlength=slots)
            summed = stop
            means = np.where(has_dummy, sums / np.maximum(counts, 1)[:, None], 0.0)
            within = products - sums.T @ means
            slopes = np.linalg.lstsq(within[:-1, :-1], within[:-1, -1], rcond=None)[0]
            levels = means[:, -1] - means[:, :-1] @ slopes
            outcome = columns[first:stop, -1]
            residuals = outcome - columns[first:stop, :-1] @ slopes - levels[hours[first:stop]]
            yield fold.targets, np.concatenate([slopes, levels[hours_seen]]), residuals, outcome


def _with_constant(terms: Float64Array2D) -> Float64Array2D:
    return np.column_stack([np.ones(len(terms)), terms])


def _log_rv(measures: pd.DataFrame) -> Float64Array1D:
    logs: Float64Array1D = np.log(np.maximum(measures["rv_hourly"].to_numpy(dtype=float), RV_FLOOR))
    return logs


def _profile_array(profile: dict[int, float], slots: int) -> Float64Array1D:
    by_hour = np.full(slots, np.mean(list(profile.values())))
    by_hour[list(profile)] = list(profile.values())
    return by_hour
