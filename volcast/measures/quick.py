"""Hourly measures of a session or two, on plain arrays: what a call costs when it is asked after every bar."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.bars.arrays import BarArrays
from volcast.measures.bucketed import BucketBars
from volcast.measures.hourly import LONGEST_RETURN
from volcast.sessions import BucketArrays

__all__ = ["QuickMeasure", "Rows", "quick_session_measures", "quick_session_rv"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Rows = tuple[IntArray, FloatArray]
"""Labels of buckets in microseconds since the epoch, shape (n,), and the measures of each, shape (n, k)."""

QuickMeasure = Callable[[BarArrays, slice, int, BucketArrays], Rows]
"""Measures some rows of bars, whose length is in microseconds; the first bucket may be cut and its row wrong."""

_MINUTE = 60_000_000
_LONGEST_RETURN = LONGEST_RETURN // pd.Timedelta(microseconds=1)


def quick_session_rv(min_bucket_coverage: float) -> QuickMeasure:
    """`get_hourly_rv` under `session`, from closing prices, on the arrays of one or two sessions."""

    def measure(bars: BarArrays, rows: slice, length: int, buckets: BucketArrays) -> Rows:
        ends = bars.ends(rows, length)
        bucket_of = np.searchsorted(buckets.label, ends, side="left")
        inside = ends > buckets.start[bucket_of]
        bucket_of, ends = bucket_of[inside], ends[inside]
        if not len(ends):
            return np.empty(0, np.int64), np.empty((0, 1))
        session = buckets.session[bucket_of]
        opens = np.append(True, session[1:] != session[:-1])
        returns, counted = _log_returns(bars, rows, inside, opens)
        counted &= opens | (np.diff(ends, prepend=ends[:1]) <= _LONGEST_RETURN)
        within = slice(int(bucket_of[0]), int(bucket_of[-1]) + 1)
        expected = min_bucket_coverage * buckets.minutes[within] * _MINUTE / length
        variance, kept = _variance(bucket_of - within.start, returns, counted, expected)
        return buckets.label[within][kept], np.sqrt(variance[kept])[:, None]

    return measure


def quick_session_measures(min_bucket_coverage: float) -> QuickMeasure:
    """`get_hourly_measures` under `session`, its RV from closing prices, on the arrays of one or two sessions."""

    def measure(bars: BarArrays, rows: slice, length: int, buckets: BucketArrays) -> Rows:
        columns = {name: values[rows] for name, values in bars.columns.items()}
        inside = BucketBars.of_arrays(columns, bars.ends(rows, length), length, buckets)
        # A session's first bar has a return since its open, where the bars have one.
        counted = np.full(len(inside.ends), "open" in columns)
        counted[1:] &= inside.opens_session[1:]
        counted[1:] |= ~inside.opens_session[1:] & (inside.ends[1:] - inside.ends[:-1] <= _LONGEST_RETURN)
        expected = min_bucket_coverage * inside.bucket_minutes * _MINUTE / length
        variance, kept = _variance(inside.bucket, inside.close - inside.previous, counted, expected)
        measured = np.array([np.sqrt(variance), *inside.measures().values()])
        return inside.labels[kept], measured.T[kept]

    return measure


def _variance(
    bucket: IntArray, returns: FloatArray, counted: npt.NDArray[np.bool_], fewest: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Sum of the squared returns of each bucket, and which have a return and no fewer bars than `fewest`."""
    count = len(fewest)
    variance = np.bincount(bucket, weights=np.where(counted, returns, 0.0) ** 2, minlength=count)
    found, moved = np.bincount(bucket, minlength=count), np.bincount(bucket, weights=counted, minlength=count)
    return variance.astype(float, copy=False), (moved > 0) & (found >= fewest)


def _log_returns(
    bars: BarArrays, rows: slice, inside: npt.NDArray[np.bool_], opens: npt.NDArray[np.bool_]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Log return of each bar since the one before, of a session's first bar since its open; and which exist."""
    log_close = np.log(bars.columns["close"][rows][inside].astype(float))
    returns = np.diff(log_close, prepend=log_close[:1])
    if "open" not in bars.columns:
        return returns, ~opens
    returns[opens] = log_close[opens] - np.log(bars.columns["open"][rows][inside][opens].astype(float))
    return returns, np.isfinite(returns)
