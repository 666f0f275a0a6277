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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from realized_volatility import Preset, bar_length, get_hourly_rv
from trading_sessions import EXCHANGE_TIMEZONE, session_buckets

__all__ = ["HALF_LIVES", "get_hourly_measures"]

FloatArray = npt.NDArray[np.float64]

HALF_LIVES = (3, 10, 30)
"""Minutes after which a bar counts half in each of the `recent_variance` columns."""


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
        sorted_bars = _BucketBars.of(bars, calendar)
        measures = pd.DataFrame(sorted_bars.measures(), index=sorted_bars.labels).loc[rv.index]
        frame = pd.concat([frame, measures.set_index(rv.index)], axis=1)
    frame.attrs = dict(rv.attrs)
    return frame


@dataclass(frozen=True)
class _BucketBars:
    """Bars inside sessions, each with the position of its bucket; arrays of one value a bar unless named otherwise."""

    labels: pd.DatetimeIndex
    bucket_minutes: npt.NDArray[np.int64]
    bucket_session: npt.NDArray[np.int64]
    bucket_end: FloatArray
    bucket: npt.NDArray[np.int64]
    opens_session: npt.NDArray[np.bool_]
    minutes_to_end: FloatArray
    length: float
    gap: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    previous: FloatArray

    @classmethod
    def of(cls, bars: pd.DataFrame, calendar: str) -> "_BucketBars":
        length = bar_length(bars.index)
        ends = bars.index + length
        buckets = session_buckets(ends[0], ends[-1], calendar)
        end, label, start = (_minutes(index) for index in (ends, buckets.index, pd.DatetimeIndex(buckets["start"])))
        bucket = np.searchsorted(label, end, side="left")
        inside = bucket < len(label)
        inside[inside] = end[inside] > start[bucket[inside]]
        bucket, end, bars = bucket[inside], end[inside], bars[inside]
        session = pd.factorize(buckets["session"])[0]
        opens = np.append(True, np.diff(session[bucket]) != 0)[: len(bucket)]
        close = np.log(bars["close"].to_numpy(dtype=float))
        open_ = np.log(bars["open"].to_numpy(dtype=float)) if "open" in bars.columns else close
        before = np.concatenate([open_[:1], close[:-1]])
        previous = np.where(opens, open_, before)
        high, low = (
            np.log(bars[name].to_numpy(dtype=float)) if name in bars.columns else close for name in ("high", "low")
        )
        return cls(
            labels=buckets.index,
            bucket_minutes=buckets["minutes"].to_numpy(),
            bucket_session=session,
            bucket_end=label,
            bucket=bucket,
            opens_session=opens,
            minutes_to_end=label[bucket] - end,
            length=length / pd.Timedelta(minutes=1),
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
        return measures | {f"recent_variance_{half}": self._recent(ranges / self.length, half) for half in HALF_LIVES}

    def _sum(self, values: FloatArray) -> FloatArray:
        return np.bincount(self.bucket, weights=values, minlength=len(self.labels)).astype(float)

    def _recent(self, variance: FloatArray, half_life: float) -> FloatArray:
        """Mean of `variance`, per minute and bar, whose weights halve every `half_life` minutes back to the open."""
        weights = 0.5 ** (self.minutes_to_end / half_life)
        sums, counts = self._sum(weights * variance), self._sum(weights)
        faded = 0.5 ** (np.diff(self.bucket_end, prepend=-np.inf) / half_life)
        faded[np.append(True, np.diff(self.bucket_session) != 0)[: len(faded)]] = 0.0
        for row in np.flatnonzero(faded):
            sums[row] += faded[row] * sums[row - 1]
            counts[row] += faded[row] * counts[row - 1]
        return sums / np.where(counts > 0, counts, 1.0)


def _minutes(index: pd.DatetimeIndex) -> FloatArray:
    """Minutes since the epoch."""
    return np.asarray(index.as_unit("us").asi8 / 60e6)
