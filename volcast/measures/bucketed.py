r"""Bars in the buckets of their sessions, and what those of a bucket say beyond its realized volatility.

All measures are sums over the bars that end inside a bucket of a regular session (see `sessions`), with
:math:`r_i` the log return of bar i (of a session's first bar since its open) and :math:`H_i, L_i` its log high and low:

.. math::

    RV^2 = \sum r_i^2, \quad PV = \sum \frac{(H_i - L_i)^2}{4 \ln 2}, \quad
    SV^- = \sum r_i^2 \mathbb{1}[r_i < 0], \quad RQ = \frac{n}{3} \sum r_i^4, \quad
    BV = \frac{\pi}{2} \sum |r_i| |r_{i-1}|

the last over the bars in which something traded (see `BucketedBars.traded`): beside a minute without a trade a return
would meet zero, and the product would say nothing of either. All others are over all bars. Zero adds nothing to a sum
of squares; two thirds of the sum of fourth powers are the variance of :math:`RV^2` on any grid, so that
:math:`2 RQ / n` is that, however many of the n bars had a trade
(Andersen, Bollerslev, Diebold and Labys 2003, *Econometrica* 71; Parkinson 1980, *Journal of Business* 53, bar by bar;
Barndorff-Nielsen, Kinnebrock and Shephard 2010; Barndorff-Nielsen and Shephard 2002 and 2004). `recent_variance_h` is
the variance per minute at the end of the bucket: the mean of the bars' PV a minute with weights that halve every h
minutes back into the session: 11:59 says more of the hour to come than 11:01.

The bucket's last half hour is kept in six steps of five minutes, whatever the bars are: the log range of each (with the
close before it), its log return, and its volume.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Float64Array2D, Int64Array1D, begins_run
from volcast.bars.arrays import Prices
from volcast.bars.columns import PRICES
from volcast.markets.market import TradingMarket

__all__ = [
    "HALF_LIVES",
    "LONGEST_RETURN",
    "MEASURE_NAMES",
    "STEPS",
    "STEP_MEASURES",
    "STEP_RANGES",
    "STEP_RETURNS",
    "STEP_VOLUMES",
    "BucketedBars",
]

HALF_LIVES = (3, 10, 30)
"""Minutes after which a bar counts half in each of the `recent_variance` columns."""

STEPS = 6
"""Steps of five minutes at the end of each bucket whose range, return and volume are kept: a half hour."""

STEP_RANGES, STEP_RETURNS, STEP_VOLUMES = (
    tuple(f"step_{kind}_{step}" for step in range(1, STEPS + 1)) for kind in ("range", "return", "volume")
)
"""Names of these measures, the bucket's last five minutes last."""

STEP_MEASURES = (*STEP_RANGES, *STEP_RETURNS, *STEP_VOLUMES)
"""What `BucketedBars.step_measures` gives, in this order."""

MEASURE_NAMES = (
    "parkinson_variance",
    "negative_semivariance",
    "quarticity",
    "bipower_variance",
    "bucket_return",
    "range_log",
    "minutes",
    "overnight_return",
    *(f"recent_variance_{half}" for half in HALF_LIVES),
)
"""What `BucketedBars.measures` gives, in this order."""

LONGEST_RETURN = pd.Timedelta(hours=1)
"""A return over a longer gap inside a session (a halt, missing data) belongs to no bucket and is left out."""

_MINUTE = 60_000_000
_HALF_LIVES = np.array(HALF_LIVES)[:, None] * float(_MINUTE)
_LONGEST_RETURN = LONGEST_RETURN // pd.Timedelta(microseconds=1)
_SQUARED_RANGE = 4 * np.log(2)
_STEP = 5 * _MINUTE


@dataclass(frozen=True)
class BucketedBars:
    """Bars inside sessions, each in its bucket; buckets are those of whole sessions.

    Bars are in time order, and of several symbols one symbol's behind the other's: each has buckets of its own.

    Attributes
    ----------
    labels
        One value a bucket: its end in microseconds since the epoch.
    bucket_minutes
        One value a bucket: its length.
    symbol, session
        One value a bucket: numbers for its symbol, from 0, and for its session, both rising.
    bucket
        Position of each bar's bucket, never decreasing.
    ends
        End of each bar in microseconds since the epoch.
    length
        Of a bar, in microseconds.
    opens
        Whether each bar is the first after a break in trading: of its session, or of its second half.
    logs
        Logs of the prices of each bar.
    any_volume
        Of each bar, also what can be no volume; None where bars have none.
    previous
        Log of the price before each bar: its close, or where the bar opens, the bar's open.
    gap
        Log return over the night or the break before a bar that opens; else 0.
    counted
        Which returns belong to their bucket: none over more than `LONGEST_RETURN`, and at a bar that opens
        none where bars have no open.
    outside
        How many bars there are in no bucket.
    usual_minutes
        Length of a bucket that neither an opening nor a close cuts.
    """

    labels: Int64Array1D
    bucket_minutes: Int64Array1D
    symbol: Int64Array1D
    session: Int64Array1D
    bucket: Int64Array1D
    ends: Int64Array1D
    length: int
    opens: BoolArray1D
    logs: Prices
    any_volume: Float64Array1D | None
    previous: Float64Array1D
    gap: Float64Array1D
    counted: BoolArray1D
    outside: int = 0
    usual_minutes: int = 60

    @classmethod
    def of(
        cls, stamps: Int64Array1D, prices: Prices, length: int, market: TradingMarket, counts: Sequence[int] = ()
    ) -> "BucketedBars":
        """Put bars that start at `stamps` and are `length` microseconds long into buckets; see `SymbolBars`.

        `counts` says how many of them each of several symbols has; without, all are of one.
        """
        buckets, ends = market.buckets, stamps + length
        stretch = market.stretch_of(ends)
        (inside,) = (stretch >= 0).nonzero()
        ends = ends[inside]
        bucket = buckets.label.searchsorted(ends)
        edges = inside.searchsorted([0, *itertools.accumulate(counts or (len(stamps),))])
        (symbols,) = (edges[1:] > edges[:-1]).nonzero()
        begins = edges[symbols]
        rows, number, bucket = _whole_sessions(buckets.session, bucket, begins, edges[symbols + 1])
        symbol = symbols.repeat(number)
        opens = begins_run(stretch[inside])
        opens[begins] = True
        logs = {name: np.log(values[inside]) for name, values in prices.items() if name in PRICES}
        open_ = logs.get("open", logs["close"])
        before = np.concatenate([open_[:1], logs["close"][:-1]])
        before[begins] = open_[begins]
        counted = opens.copy()
        counted[1:] |= ends[1:] - ends[:-1] <= _LONGEST_RETURN
        return cls(
            labels=buckets.label[rows],
            bucket_minutes=buckets.minutes[rows],
            symbol=symbol,
            session=buckets.session[rows] + symbol * (buckets.session[-1] + 1),
            bucket=bucket,
            ends=ends,
            length=length,
            opens=opens,
            logs=logs,
            any_volume=prices["volume"][inside] if "volume" in prices else None,
            previous=np.where(opens, open_, before),
            gap=np.where(opens, open_ - before, 0.0),
            counted=counted if "open" in logs else counted & ~opens,
            outside=len(stamps) - len(ends),
            usual_minutes=market.whole_bucket_minutes,
        )

    @cached_property
    def returns(self) -> Float64Array1D:
        """Log return of each bar since the one before; of a session's first bar, since its open."""
        return self.logs["close"] - self.previous

    @property
    def minutes(self) -> float:
        """Length of a bar in minutes."""
        return self.length / _MINUTE

    @property
    def expected(self) -> Float64Array1D:
        """How many bars each bucket has where none is missing, shape (count,)."""
        return self.bucket_minutes * _MINUTE / self.length

    @cached_property
    def filled(self) -> Float64Array1D:
        """How many bars each bucket has, shape (count,)."""
        return self.number(self.bucket)

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return len(self.labels)

    def total(self, values: Float64Array1D, bucket: Int64Array1D | None = None) -> Float64Array1D:
        """Sum of `values` in each bucket, shape (count,)."""
        where = self.bucket if bucket is None else bucket
        return np.bincount(where, weights=values, minlength=self.count).astype(float, copy=False)

    def number(self, bucket: Int64Array1D) -> Float64Array1D:
        """How many entries of `bucket` each bucket has, shape (count,)."""
        return np.bincount(bucket, minlength=self.count).astype(float)

    def compact(self) -> tuple[Float64Array1D, Int64Array1D]:
        """The counted returns alone, and the bucket of each."""
        return self.returns[self.counted], self.bucket[self.counted]

    def of_trades(self) -> tuple[Float64Array1D, Int64Array1D]:
        """The counted returns of bars in which something traded alone, and the bucket of each."""
        chosen = self.counted & self.traded
        return self.returns[chosen], self.bucket[chosen]

    @cached_property
    def traded(self) -> BoolArray1D:
        """Which bars are of trades: all but those without volume and return, in a bucket that has volume."""
        if self.volume is None or self._none_is_silent:
            return np.ones(len(self.bucket), dtype=bool)
        silent = (self.volume == 0) & (self.returns == 0)
        has_volume = np.bincount(self.bucket, weights=self.volume > 0, minlength=self.count) > 0
        return np.asarray(~(silent & has_volume[self.bucket]))

    @cached_property
    def volume(self) -> Float64Array1D | None:
        """Volume of each bar, NaN where it can be none: below nothing or without end; None where bars have none."""
        volume = self.any_volume
        return None if volume is None else np.where((volume >= 0) & (volume < np.inf), volume, np.nan)

    def measures(self) -> Float64Array2D:
        """The `MEASURE_NAMES` of each bucket, shape (count, k); where bars have no highs and lows, closes stand in."""
        returns, (high, low) = self.returns, self._extremes
        squares, ranges = returns * returns, (high - low) ** 2 / _SQUARED_RANGE
        weights = self._weights()
        plain = [ranges, squares * (returns < 0), squares * squares, self._neighbours(), returns, self.gap]
        sums = self._of_buckets(np.add, [*plain, *(weights * ranges), *weights], 0.0)
        top, depth = self._of_buckets(np.maximum, [high, -low], -np.inf)
        columns = [
            sums[0],
            sums[1],
            sums[2] * self.filled / 3,
            sums[3] * (np.pi / 2),
            sums[4],
            np.maximum(top + depth, 0.0),
            self.bucket_minutes.astype(float),
            sums[5],
            *self._recent(sums[len(plain) :]),
        ]
        return np.array(columns).T

    def step_measures(self) -> Float64Array2D:
        """The `STEP_MEASURES` of each bucket, shape (count, 3 * STEPS); NaN where no bar is.

        All are, of bars longer than a step.
        """
        steps = np.full((3, self.count * STEPS), np.nan)
        place = STEPS - 1 - (self.labels[self.bucket] - self.ends) // _STEP
        (inside,) = (place >= 0).nonzero()
        if self.length <= _STEP and len(inside):
            cell = self.bucket[inside] * STEPS + place[inside]
            (begins,) = begins_run(cell).nonzero()
            high, low = (values[inside] for values in self._extremes)
            top, bottom = np.maximum.reduceat(high, begins), np.minimum.reduceat(low, begins)
            steps[0, cell[begins]] = top - bottom
            steps[1, cell[begins]] = np.add.reduceat(np.where(self.counted, self.returns, 0.0)[inside], begins)
            if self.volume is not None:
                steps[2, cell[begins]] = np.add.reduceat(self.volume[inside], begins)
        return steps.reshape(3, self.count, STEPS).transpose(1, 0, 2).reshape(self.count, 3 * STEPS)

    def _neighbours(self) -> Float64Array1D:
        """Size of each return times that of the one before in its stretch of trading, shape (n,); of trades alone."""
        sizes, begins = np.abs(self.returns), self._first_of_session | self.opens
        if self._none_is_silent:
            return _products(sizes, begins)
        stretch: Int64Array1D = begins.cumsum()
        traded, neighbours = np.flatnonzero(self.traded), np.zeros(len(sizes))
        neighbours[traded] = _products(sizes[traded], begins_run(stretch[traded]))
        return neighbours

    @property
    def _none_is_silent(self) -> bool:
        """Whether no bar lacks volume, so that none needs to be told from those of trades."""
        return self.any_volume is None or bool((self.any_volume > 0).all())

    @cached_property
    def _extremes(self) -> tuple[Float64Array1D, Float64Array1D]:
        """Log high and low of each bar, with the price before it."""
        close, previous = self.logs["close"], self.previous
        high = np.maximum(np.maximum(self.logs.get("high", close), close), previous)
        return high, np.minimum(np.minimum(self.logs.get("low", close), close), previous)

    @cached_property
    def _first_of_bucket(self) -> Int64Array1D:
        """Positions of the bars that are the first of their bucket."""
        return begins_run(self.bucket).nonzero()[0]

    @cached_property
    def _first_of_session(self) -> BoolArray1D:
        return begins_run(self.session[self.bucket])

    def _of_buckets(self, reduce: np.ufunc, values: list[Float64Array1D], where_no_bar: float) -> Float64Array2D:
        """Rows of `values`, one value a bar, reduced to one value a bucket, in the order of the bars."""
        spread = np.full((len(values), self.count), where_no_bar)
        spread[:, self.bucket[self._first_of_bucket]] = reduce.reduceat(np.array(values), self._first_of_bucket, axis=1)
        return spread

    def _weights(self) -> Float64Array2D:
        """What each bar counts, shape (3, n): twice as much every so many minutes after the session's first bar."""
        first = self._first_of_session
        opened = self.ends[first][first.cumsum() - 1]
        return np.asarray(np.exp2((self.ends - opened) / _HALF_LIVES))

    def _recent(self, sums: Float64Array2D) -> Float64Array2D:
        """Weighted means of the variance per minute, shape (3, buckets), from the sums of each bucket, (6, buckets).

        A session's sums add up: what a bucket says fades into the next one of its session as the weights rise.
        """
        (begins,) = begins_run(self.session).nonzero()
        for begin, end in itertools.pairwise([*begins.tolist(), self.count]):
            np.add.accumulate(sums[:, begin:end], axis=1, out=sums[:, begin:end])
        variance, weight = sums[: len(HALF_LIVES)], sums[len(HALF_LIVES) :]
        return np.asarray(variance / np.where(weight > 0, weight, 1.0) / self.minutes)


def _whole_sessions(
    sessions: Int64Array1D, bucket: Int64Array1D, begins: Int64Array1D, stops: Int64Array1D
) -> tuple[Int64Array1D, Int64Array1D, Int64Array1D]:
    """The buckets of each of several symbols, of the whole sessions from its first bar's to its last one's.

    Parameters
    ----------
    sessions
        Of the market's buckets.
    bucket
        Position of each bar's among these, shape (n,).
    begins, stops
        Where the bars of each symbol begin and stop, of which it has some.

    Returns
    -------
    Positions of the buckets among the market's, one symbol's behind the other's; how many each symbol has; and the
    position of each bar's bucket among them, shape (n,).
    """
    first = sessions.searchsorted(sessions[bucket[begins]])
    counts = sessions.searchsorted(sessions[bucket[stops - 1]], side="right") - first
    shift = counts.cumsum() - counts - first
    rows = np.arange(counts.sum()) - shift.repeat(counts)
    return rows, counts, bucket + shift.repeat(stops - begins)


def _products(sizes: Float64Array1D, begins: BoolArray1D) -> Float64Array1D:
    """Each of `sizes` times the one before it, shape (n,); 0 where a stretch begins."""
    products = np.zeros(len(sizes))
    np.multiply(sizes[1:], sizes[:-1], out=products[1:])
    products[begins] = 0.0
    return products
