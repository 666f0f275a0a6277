r"""What the bars of a bucket say beyond its realized volatility: range, direction, jumps, and how it ended.

All measures are sums over the bars that end inside a bucket of a regular session (see `sessions`), with
:math:`r_i` the log return of bar i (of a session's first bar since its open) and :math:`H_i, L_i` its log high and low:

.. math::

    RV^2 = \sum r_i^2, \quad PV = \sum \frac{(H_i - L_i)^2}{4 \ln 2}, \quad
    SV^- = \sum r_i^2 \mathbb{1}[r_i < 0], \quad RQ = \frac{n}{3} \sum r_i^4, \quad
    BV = \frac{\pi}{2} \sum |r_i| |r_{i-1}|

(Andersen, Bollerslev, Diebold and Labys 2003, *Econometrica* 71; Parkinson 1980, *Journal of Business* 53, bar by bar;
Barndorff-Nielsen, Kinnebrock and Shephard 2010; Barndorff-Nielsen and Shephard 2002 and 2004). `recent_variance_h` is
the variance per minute at the end of the bucket: the mean of the bars' PV a minute with weights that halve every h
minutes back into the session: 11:59 says more of the hour to come than 11:01.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.measures.hourly import Preset, bar_length, get_hourly_rv
from volcast.sessions import EXCHANGE_TIMEZONE, BucketArrays, bucket_arrays

__all__ = ["HALF_LIVES", "BucketBars", "get_hourly_measures"]

FloatArray = npt.NDArray[np.float64]

HALF_LIVES = (3, 10, 30)
"""Minutes after which a bar counts half in each of the `recent_variance` columns."""

_MINUTE = 60_000_000
_HALF_LIVES = np.array(HALF_LIVES)[:, None] * float(_MINUTE)
_SQUARED_RANGE = 4 * np.log(2)
_PRICES = ("open", "high", "low", "close")


def get_hourly_measures(
    bars: pd.DataFrame,
    preset: Preset = "session",
    *,
    tz: str = EXCHANGE_TIMEZONE,
    min_bucket_coverage: float = 0.8,
    calendar: str = "XNYS",
    estimator: str = "close",
) -> pd.DataFrame:
    """Hourly measures of one symbol's bars; arguments as in `get_hourly_rv`.

    Returns
    -------
    DataFrame with the rows of `get_hourly_rv`: its series as column ``rv_hourly``, and under `session` also
    ``parkinson_variance``, ``negative_semivariance``, ``quarticity``, ``bipower_variance``, ``bucket_return`` (log),
    ``range_log`` (log high less log low of the bucket), ``minutes`` (its length), ``overnight_return`` (log, open of
    the session over the close before; in its first bucket, else 0) and ``recent_variance_3``, ``_10`` and ``_30`` (a
    minute). Where bars have no highs and lows, their closes stand in. ``attrs`` are those of the series.

    Raises
    ------
    BarsError, NotEnoughDataError
        As `get_hourly_rv`.
    """
    rv = get_hourly_rv(
        bars,
        tz=tz,
        preset=preset,
        min_bucket_coverage=min_bucket_coverage,
        calendar=calendar,
        estimator=estimator,
    )
    frame = rv.to_frame()
    if preset == "session":
        sorted_bars = BucketBars.of(bars, calendar)
        rows = np.searchsorted(sorted_bars.labels, rv.index.as_unit("us").asi8)
        measures = {name: values[rows] for name, values in sorted_bars.measures().items()}
        frame = pd.DataFrame({"rv_hourly": rv.to_numpy(), **measures}, index=rv.index)
    frame.attrs = dict(rv.attrs)
    return frame


@dataclass(frozen=True)
class BucketBars:
    """Bars inside sessions, each with the position of its bucket; arrays of one value a bar unless named otherwise.

    Attributes
    ----------
    labels
        One value a bucket, from the first bar's to the last one's: its end in microseconds since the epoch.
    bucket_minutes, bucket_session
        One value a bucket: its length, and a number for its session.
    bucket
        Position of each bar's bucket.
    begins_bucket
        One value a bucket that has bars: the position of its first bar.
    opens_session
        Whether it is the first of its session.
    ends
        Its end in microseconds since the epoch.
    length
        Of a bar, in minutes.
    gap
        Log return overnight, where it opens a session; else 0.
    high, low, close, previous
        Logs of the highest, lowest and last price, and of the one before: the open of a session's first bar.
    """

    labels: npt.NDArray[np.int64]
    bucket_minutes: npt.NDArray[np.int64]
    bucket_session: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    begins_bucket: npt.NDArray[np.int64]
    opens_session: npt.NDArray[np.bool_]
    ends: npt.NDArray[np.int64]
    length: float
    gap: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    previous: FloatArray

    @classmethod
    def of(cls, bars: pd.DataFrame, calendar: str) -> "BucketBars":
        """Those of one symbol's bars."""
        length = bar_length(bars.index) // pd.Timedelta(microseconds=1)
        columns = {name: bars[name].to_numpy() for name in bars.columns.intersection(_PRICES)}
        return cls.of_arrays(columns, bars.index.as_unit("us").asi8 + length, length, bucket_arrays(calendar))

    @classmethod
    def of_arrays(
        cls,
        columns: Mapping[str, npt.NDArray[np.generic]],
        ends: npt.NDArray[np.int64],
        length: int,
        buckets: BucketArrays,
    ) -> "BucketBars":
        """Those of bars whose prices are in `columns`, by name; their ends and length in microseconds."""
        bucket = buckets.label.searchsorted(ends)
        inside = (bucket < len(buckets.label)) & (ends > buckets.start.take(bucket, mode="clip"))
        bucket, ends = bucket[inside], ends[inside]
        first, stop = (int(bucket[0]), int(bucket[-1]) + 1) if len(bucket) else (0, 0)
        session = buckets.session[bucket]
        opens, begins = np.ones((2, len(bucket)), dtype=bool)
        np.not_equal(session[1:], session[:-1], out=opens[1:])
        np.not_equal(bucket[1:], bucket[:-1], out=begins[1:])
        given = [name for name in _PRICES if name in columns]
        logs = np.log(np.array([columns[name][inside] for name in given], dtype=float))
        named = dict(zip(given, logs, strict=True))
        close = named["close"]
        open_, high, low = (named.get(name, close) for name in ("open", "high", "low"))
        before = np.concatenate([open_[:1], close[:-1]])
        previous = np.where(opens, open_, before)
        return cls(
            labels=buckets.label[first:stop],
            bucket_minutes=buckets.minutes[first:stop],
            bucket_session=buckets.session[first:stop],
            bucket=bucket - first,
            begins_bucket=np.flatnonzero(begins),
            opens_session=opens,
            ends=ends,
            length=length / _MINUTE,
            gap=np.where(opens, open_ - before, 0.0),
            high=np.maximum(np.maximum(high, close), previous),
            low=np.minimum(np.minimum(low, close), previous),
            close=close,
            previous=previous,
        )

    def measures(self) -> dict[str, FloatArray]:
        """Every measure, one value a bucket."""
        returns = self.close - self.previous
        squares = returns * returns
        ranges = (self.high - self.low) ** 2 / _SQUARED_RANGE
        neighbours = np.abs(returns)
        neighbours[1:] *= neighbours[:-1]
        neighbours[self.opens_session] = 0.0
        weights = self._weights()
        plain = [ranges, squares * (returns < 0), squares * squares, neighbours, returns, self.gap]
        sums = self._of_buckets(np.add, np.concatenate([plain, weights * ranges, weights]), 0.0)
        bars = np.bincount(self.bucket, minlength=len(self.labels))
        top, depth = self._of_buckets(np.maximum, np.array([self.high, -self.low]), -np.inf)
        measures = {
            "parkinson_variance": sums[0],
            "negative_semivariance": sums[1],
            "quarticity": sums[2] * bars / 3,
            "bipower_variance": sums[3] * (np.pi / 2),
            "bucket_return": sums[4],
            "range_log": np.maximum(top + depth, 0.0),
            "minutes": self.bucket_minutes.astype(float),
            "overnight_return": sums[5],
        }
        recent = self._recent(sums[len(plain) :])
        return measures | {f"recent_variance_{half}": recent[i] for i, half in enumerate(HALF_LIVES)}

    def _of_buckets(self, reduce: np.ufunc, values: FloatArray, where_no_bar: float) -> FloatArray:
        """Rows of `values`, one value a bar, reduced to one value a bucket, in the order of the bars."""
        reduced = reduce.reduceat(values, self.begins_bucket, axis=1)
        if reduced.shape[1] == len(self.labels):
            return np.asarray(reduced)
        spread = np.full((len(values), len(self.labels)), where_no_bar)
        spread[:, self.bucket[self.begins_bucket]] = reduced
        return spread

    def _weights(self) -> FloatArray:
        """What each bar counts, shape (3, n): twice as much every so many minutes after the session's first bar."""
        opened = self.ends[self.opens_session][np.cumsum(self.opens_session) - 1]
        return np.asarray(np.exp2((self.ends - opened) / _HALF_LIVES))

    def _recent(self, sums: FloatArray) -> FloatArray:
        """Weighted means of the variance per minute, shape (3, buckets), from the sums of each bucket, (6, buckets).

        A session's sums add up: what a bucket says fades into the next one of its session as the weights rise.
        """
        changes = np.flatnonzero(self.bucket_session[1:] != self.bucket_session[:-1]) + 1
        for begin, end in itertools.pairwise([0, *changes.tolist(), len(self.labels)]):
            np.cumsum(sums[:, begin:end], axis=1, out=sums[:, begin:end])
        variance, weight = sums[: len(HALF_LIVES)], sums[len(HALF_LIVES) :]
        return np.asarray(variance / np.where(weight > 0, weight, 1.0) / self.length)
