"""Hourly measures of a session or two, on plain arrays: what a call costs when it is asked after every bar."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from bar_arrays import BarArrays
from hourly_measures import BucketBars
from realized_volatility import LONGEST_RETURN
from trading_sessions import BucketArrays

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
        first = int(bucket_of[0])
        count = int(bucket_of[-1]) - first + 1
        squares = np.where(counted, returns, 0.0) ** 2
        variance = np.bincount(bucket_of - first, weights=squares, minlength=count)
        found = np.bincount(bucket_of - first, minlength=count)
        moved = np.bincount(bucket_of - first, weights=counted, minlength=count)
        expected = buckets.minutes[first : first + count] * _MINUTE / length
        kept = (moved > 0) & (found >= min_bucket_coverage * expected)
        return buckets.label[first : first + count][kept], np.sqrt(variance[kept])[:, None]

    return measure


def quick_session_measures(min_bucket_coverage: float) -> QuickMeasure:
    """`get_hourly_measures` under `session`, its RV from closing prices, on the arrays of one or two sessions."""
    rv_alone = quick_session_rv(min_bucket_coverage)

    def measure(bars: BarArrays, rows: slice, length: int, buckets: BucketArrays) -> Rows:
        labels, rv = rv_alone(bars, rows, length, buckets)
        columns = {name: values[rows] for name, values in bars.columns.items()}
        sorted_bars = BucketBars.of_arrays(columns, bars.ends(rows, length), length, buckets)
        measured = np.column_stack(list(sorted_bars.measures().values()))
        return labels, np.column_stack([rv, measured[np.searchsorted(sorted_bars.labels, labels)]])

    return measure


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
