"""How far prices fell: after falls volatility rises more than its own past says.

The leverage effect (Black 1976; Corsi and Renò 2012, *Journal of Business and Economic Statistics* 30, find it in HARs
of realized volatility, over a day, a week and a month). Here a fall is how far the last price lies below the highest
one that a bucket of the last session, or week, ended with, nights included, in standard deviations of as long a span.
"""

from functools import cache

import numpy as np

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, parts_of

__all__ = ["CHANGE_MEASURES", "fall_lags", "falls", "price_changes"]


CHANGE_MEASURES = ("bucket_return", "overnight_return")
"""The hourly measures that a bucket's change of the price is made of."""

# A session's and a week's among the lags.
_SESSION, _WEEK = 1, 3
_LARGEST_FALL = 8.0


def price_changes(returns: Float64Array2D, usual_volatility: float | Float64Array1D) -> Float64Array1D:
    """What the price changed with each bucket since the one before, the night included, shape (n,).

    Parameters
    ----------
    returns
        `CHANGE_MEASURES` of n buckets, shape (n, 2); what is missing (NaN) changes nothing.
    usual_volatility
        The unit, of all buckets or of each.
    """
    return np.asarray(np.nan_to_num(returns).sum(axis=1) / usual_volatility)


@cache
def fall_lags(lags: tuple[int, ...]) -> Int64Array1D:
    """Over how many buckets falls are looked at: a session's and a week's among `lags`, see `falls`; each once."""
    return np.unique(lags[_SESSION:_WEEK])


def falls(changes: Float64Array1D, levels: Float64Array1D, last: Int64Array1D, lags: tuple[int, ...]) -> Float64Array2D:
    """How far prices lie below their highest of a session and of a week, shape (n, len(fall_lags(lags))).

    None is above 0. Row by row, each from its own last buckets.

    Parameters
    ----------
    changes
        `price_changes` of all buckets.
    levels
        Log of the symbol's volatility in a bucket lately, in the unit of the changes, shape (n,).
    last
        Position of the last bucket that each of n rows may know.
    lags
        Buckets in one, a session, a week and a month.
    """
    looked_at = fall_lags(lags)
    back = np.arange(looked_at[-1])
    lowest = np.empty((len(last), len(looked_at)))
    for part in parts_of(len(last), int(looked_at[-1])):
        since = np.cumsum(changes[last[part, None] - back], axis=1)
        lowest[part] = np.minimum.accumulate(since, axis=1)[:, looked_at - 1]
    # Of a column among others NumPy 2.0 makes other exponentials, in the last bit, than of a single number.
    usual = np.exp(np.ascontiguousarray(levels))
    deviations = np.minimum(lowest, 0.0) / (usual[:, None] * np.sqrt(looked_at))
    return np.asarray(np.maximum(deviations, -_LARGEST_FALL))
