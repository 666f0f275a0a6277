r"""What the bars of a bucket say beyond its realized volatility: range, direction, jumps, and how it ended.

All measures are sums over the bars that end inside a bucket of a regular session (see `trading_sessions`), with
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

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from realized_volatility import Preset, bar_length, get_hourly_rv
from trading_sessions import EXCHANGE_TIMEZONE, BucketArrays, bucket_arrays

__all__ = ["HALF_LIVES", "BucketBars", "get_hourly_measures"]

FloatArray = npt.NDArray[np.float64]

HALF_LIVES = (3, 10, 30)
"""Minutes after which a bar counts half in each of the `recent_variance` columns."""

_MINUTE = 60_000_000
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
        bucket = np.searchsorted(buckets.label, ends, side="left")
        inside = bucket < len(buckets.label)
        inside[inside] = ends[inside] > buckets.start[bucket[inside]]
        bucket, ends = bucket[inside], ends[inside]
        first, stop = (int(bucket[0]), int(bucket[-1]) + 1) if len(bucket) else (0, 0)
        opens = np.append(True, np.diff(buckets.session[bucket]) != 0)[: len(bucket)]
        logs = {name: np.log(columns[name][inside].astype(float)) for name in _PRICES if name in columns}
        close = logs["close"]
        open_, high, low = (logs.get(name, close) for name in ("open", "high", "low"))
        before = np.concatenate([open_[:1], close[:-1]])
        previous = np.where(opens, open_, before)
        return cls(
            labels=buckets.label[first:stop],
            bucket_minutes=buckets.minutes[first:stop],
            bucket_session=buckets.session[first:stop],
            bucket=bucket - first,
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
        ranges = (self.high - self.low) ** 2 / (4 * np.log(2))
        neighbours = np.abs(returns) * np.abs(np.concatenate([[0.0], returns[:-1]]))
        top, bottom = np.full(len(self.labels), -np.inf), np.full(len(self.labels), np.inf)
        np.maximum.at(top, self.bucket, self.high)
        np.minimum.at(bottom, self.bucket, self.low)
        measures = {
            "parkinson_variance": self._sum(ranges),
            "negative_semivariance": self._sum(returns**2 * (returns < 0)),
            "quarticity": self._sum(returns**4) * self._sum(np.ones_like(returns)) / 3,
            "bipower_variance": self._sum(np.where(self.opens_session, 0.0, neighbours)) * np.pi / 2,
            "bucket_return": self._sum(returns),
            "range_log": np.maximum(top - bottom, 0.0),
            "minutes": self.bucket_minutes.astype(float),
            "overnight_return": self._sum(self.gap),
        }
        recent = self._recent(ranges / self.length)
        return measures | {f"recent_variance_{half}": recent[:, i] for i, half in enumerate(HALF_LIVES)}

    def _sum(self, values: FloatArray) -> FloatArray:
        return np.bincount(self.bucket, weights=values, minlength=len(self.labels)).astype(float, copy=False)

    def _recent(self, variance: FloatArray) -> FloatArray:
        """Means of `variance`, per minute and bar, weights halving every so many minutes back to the open: (n, 3)."""
        half_lives = np.array(HALF_LIVES, dtype=float)
        weights = 0.5 ** ((self.labels[self.bucket] - self.ends) / _MINUTE / half_lives[:, None])
        sums = np.stack([self._sum(weight * variance) for weight in weights] + [self._sum(row) for row in weights])
        minutes = np.diff(self.labels, prepend=self.labels[:1]) / _MINUTE
        faded = np.tile(0.5 ** (minutes / half_lives[:, None]), (2, 1))
        # What a bucket says fades into the next of its session, not into the next session.
        for column in np.flatnonzero(np.diff(self.bucket_session) == 0) + 1:
            sums[:, column] += faded[:, column] * sums[:, column - 1]
        means, counts = sums[: len(HALF_LIVES)], sums[len(HALF_LIVES) :]
        return np.asarray((means / np.where(counts > 0, counts, 1.0)).T)
