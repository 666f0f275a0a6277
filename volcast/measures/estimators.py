r"""Estimators of the variance of a bucket from the bars inside it.

Each takes `BucketedBars` and returns one variance (decimal, not annualized) for each bucket. With :math:`r_i` the log
returns inside a bucket, :math:`n` their number, and :math:`o, h, l, c` log prices of a bar:

==================== =================================================================================== ==============
name                 variance                                                                            good for
==================== =================================================================================== ==============
close                :math:`\sum r_i^2` (Andersen, Bollerslev, Diebold, Labys 2003)                      minutes
subsampled           mean over :math:`K` shifted grids of :math:`K`-bar returns (Zhang, Mykland,          minutes with
                     Ait-Sahalia 2005), :math:`K` bars being five minutes                                 noise
bipower              :math:`\frac{\pi}{2}\frac{n}{n-1}\sum |r_i||r_{i-1}|` (Barndorff-Nielsen,             without jumps
                     Shephard 2004)
medrv                :math:`\frac{\pi}{6-4\sqrt3+\pi}\frac{n}{n-2}\sum \mathrm{med}(|r_{i-1}|,|r_i|,      without jumps
                     |r_{i+1}|)^2` (Andersen, Dobrev, Schaumburg 2012)
down_semivariance,   :math:`\sum r_i^2 1_{r_i<0}` and its complement (Barndorff-Nielsen, Kinnebrock,      one side
up_semivariance      Shephard 2010)
two_scale            slow scale less the noise that the fast one shows (Zhang, Mykland, Ait-Sahalia       ticks, seconds
                     2005), with their small-sample factor
parkinson            :math:`\sum (h-l)^2 / (4 \ln 2)` (Parkinson 1980)                                   hours, days
garman_klass         :math:`\sum \frac12 (h-l)^2 - (2\ln2-1)(c-o)^2` (Garman, Klass 1980)                hours, days
rogers_satchell      :math:`\sum (h-o)(h-c) + (l-o)(l-c)` (Rogers, Satchell 1991)                        with a drift
yang_zhang           variance of the steps between bars, of open to close, and Rogers-Satchell (Yang,     several bars
                     Zhang 2000)
==================== =================================================================================== ==============

A bucket with fewer returns than an estimator needs gets its sum of squared returns. In a minute without a trade the
return is zero. Sums of squares, of one side or on coarser grids, take it as it is; products and medians of neighbours
and the two scales, whose :math:`n` is the number of noisy prices, leave it out (`BucketedBars.traded`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.bars.columns import PRICES
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.measures.bucketed import BucketedBars
from volcast.registry import Registry

__all__ = ["ESTIMATORS", "Estimator", "price_logs"]

_MED_RV = np.pi / (6 - 4 * np.sqrt(3) + np.pi)
_SUBSAMPLE_MINUTES = 5.0
_ROUNDING = 1e-3
"""Part of a price by which prices rounded one by one may lie beyond high and low: `bars.cleaning` leaves them."""


@dataclass(frozen=True)
class Estimator:
    """How variance is made of the bars of a bucket; called, it does it.

    Attributes
    ----------
    variance
        ``variance(bars)``: one variance for each bucket of `BucketedBars`, decimal, not annualized, shape (count,).
    from_ranges
        Whether it needs open, high and low, and makes a variance of a single bar.
    fewest_returns
        How many returns (from ranges: bars) a full hour must have. With four, a third of a volatility is chance. Of 12
        normal returns all are of one sign in one hour of 4,000, of four in one of 16, which makes a semivariance of
        0.0; the two scales come to 0.0 in one hour of 2,000 with 30 returns, one of 25 with 12.
    fewest_bars
        How many bars at least one bucket must have.

    Examples
    --------
    >>> Estimator(close_to_close).from_ranges
    False
    """

    variance: Callable[[BucketedBars], Float64Array1D]
    from_ranges: bool = False
    fewest_returns: int = 1
    fewest_bars: int = 1

    def __call__(self, bars: BucketedBars) -> Float64Array1D:
        """One variance for each bucket."""
        return self.variance(bars)

    def require_enough_bars(self, bars: BucketedBars, name: str) -> None:
        """Refuse `bars` of which the estimator, by that `name`, can make nothing.

        Raises
        ------
        NotEnoughDataError
            They are so long that an hour holds fewer than it needs.
        ConfigError
            No bucket has as many as it needs.
        """
        returns = int(bars.usual_minutes // bars.minutes)
        if returns < self.fewest_returns:
            raise NotEnoughDataError(
                f"the bars are of {bars.minutes:g} min, so that a bucket of {bars.usual_minutes} min holds {returns} "
                f"of them, and the estimator {name!r} needs {self.fewest_returns} at least; take shorter bars, longer "
                "buckets (--bucket), or an rv_estimator that needs fewer ('garman_klass' makes do with one bar)."
            )
        if len(bars.bucket) and bars.number(bars.bucket).max() < self.fewest_bars:
            raise ConfigError(
                f"no bucket has {self.fewest_bars} bars, which the estimator {name!r} needs; the rule is one such "
                "bucket at least; take shorter bars, or 'garman_klass'."
            )


def close_to_close(bars: BucketedBars) -> Float64Array1D:
    """Sum of squared returns."""
    return bars.total(np.where(bars.counted, bars.returns, 0.0) ** 2)


def subsampled(bars: BucketedBars) -> Float64Array1D:
    """Mean of the sums of squared five-minute returns over all grids that begin at another bar."""
    return _averaged_grids(bars, *bars.compact(), max(round(_SUBSAMPLE_MINUTES / bars.minutes), 1))


def bipower(bars: BucketedBars) -> Float64Array1D:
    """Products of neighbouring absolute returns; a jump meets only ordinary ones and is left out."""
    returns, bucket = bars.of_trades()
    size = np.abs(returns)
    pairs = bucket[1:] == bucket[:-1]
    sums = bars.total(size[1:][pairs] * size[:-1][pairs], bucket[1:][pairs])
    return _scaled(bars, np.pi / 2 * sums, bucket, lost=1)


def medrv(bars: BucketedBars) -> Float64Array1D:
    """Squared medians of three neighbouring absolute returns."""
    returns, bucket = bars.of_trades()
    size = np.abs(returns)
    a, b, c = size[:-2], size[1:-1], size[2:]
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    threes = bucket[2:] == bucket[:-2]
    return _scaled(bars, _MED_RV * bars.total(middle[threes] ** 2, bucket[2:][threes]), bucket, lost=2)


def down_semivariance(bars: BucketedBars) -> Float64Array1D:
    """Sum of the squares of negative returns."""
    return bars.total(np.where(bars.counted & (bars.returns < 0), bars.returns, 0.0) ** 2)


def up_semivariance(bars: BucketedBars) -> Float64Array1D:
    """Sum of the squares of positive returns."""
    return bars.total(np.where(bars.counted & (bars.returns > 0), bars.returns, 0.0) ** 2)


def two_scale(bars: BucketedBars) -> Float64Array1D:
    r"""Difference of a slow and the fast scale, in which the noise of single prices cancels.

    The slow scale of a bucket with :math:`n` returns has :math:`K = n^{2/3} / 3` bars, two at least.
    """
    returns, bucket = bars.of_trades()
    number = bars.number(bucket)
    scale = np.maximum(np.round(number ** (2 / 3) / 3), 2).astype(int)
    every = close_to_close(bars)
    estimate = every.copy()
    for steps in np.unique(scale[number > 0]):
        these = (scale == steps) & (number >= 2 * steps)
        n = np.where(these, number, 2.0 * steps)
        # The slow grids see n - K + 1 of the n returns' worth of variance, and so much noise as that over K.
        slow = _averaged_grids(bars, returns, bucket, int(steps)) * (n - steps + 1) / n
        noise_too = (n - steps + 1) / steps / n * every
        corrected = (slow - noise_too) / (1 - 1 / steps) * n / (n - steps + 1)
        estimate = np.where(these, np.maximum(corrected, 0.0), estimate)
    return estimate


def parkinson(bars: BucketedBars) -> Float64Array1D:
    """Squared range of each bar."""
    _, highs, lows, _ = price_logs(bars)
    return bars.total((highs - lows) ** 2 / (4 * np.log(2)))


def garman_klass(bars: BucketedBars) -> Float64Array1D:
    """Range and close of each bar, in the combination of the least variance without a drift."""
    opens, highs, lows, closes = price_logs(bars)
    return bars.total(0.5 * (highs - lows) ** 2 - (2 * np.log(2) - 1) * (closes - opens) ** 2)


def rogers_satchell(bars: BucketedBars) -> Float64Array1D:
    """Range and close of each bar, without bias under a drift."""
    return bars.total(_rogers_satchell_of(bars))


def yang_zhang(bars: BucketedBars) -> Float64Array1D:
    """Variance over all bars of a bucket, steps between bars included; at least two bars in each."""
    opens, _, _, closes = price_logs(bars)
    number = bars.number(bars.bucket)
    inner = bars.bucket[1:] == bars.bucket[:-1]
    step, step_bucket = (opens[1:] - closes[:-1])[inner], bars.bucket[1:][inner]
    n = np.maximum(number, 2.0)
    between = bars.total(step**2, step_bucket) * n / np.maximum(n - 1, 1)
    within = closes - opens
    mean = bars.total(within) / n
    spread = (bars.total(within**2) - n * mean**2) * n / (n - 1)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    estimate = between + k * spread + (1 - k) * bars.total(_rogers_satchell_of(bars))
    return np.where(number >= 2, estimate, close_to_close(bars))


def price_logs(bars: BucketedBars) -> list[Float64Array1D]:
    """Logs of open, high, low and close, shape (n,) each; a high or low that rounding has left inside is set right.

    Raises
    ------
    BarsError
        The bars have not all of them, or some have an open or close beyond their high and low.
    """
    if not set(PRICES) <= set(bars.logs):
        raise BarsError(
            "the bars have no open, high and low, which a range estimator needs; give them, or set rv_estimator "
            "to 'close'."
        )
    opens, highs, lows, closes = (bars.logs[name] for name in PRICES)
    top, bottom = np.maximum(opens, closes), np.minimum(opens, closes)
    is_crossed = (top > highs + _ROUNDING) | (bottom < lows - _ROUNDING)
    if is_crossed.any():
        first = pd.Timestamp(int(bars.labels[bars.bucket[is_crossed.argmax()]]), unit="us", tz="UTC")
        raise BarsError(
            f"{int(is_crossed.sum())} bar(s) open or close beyond their high and low, the first in the bucket that "
            f"ends {first:%Y-%m-%d %H:%M} UTC; a range estimator needs a range that holds both; drop them with "
            "clean_bars(bars, ['crossed']), or set rv_estimator to 'close'."
        )
    return [opens, np.maximum(highs, top), np.minimum(lows, bottom), closes]


def _averaged_grids(bars: BucketedBars, returns: Float64Array1D, bucket: Int64Array1D, steps: int) -> Float64Array1D:
    """Mean over the `steps` grids of returns over `steps` of these returns, scaled to the whole bucket."""
    if steps == 1:
        return close_to_close(bars)
    sums = np.concatenate([[0.0], np.cumsum(returns)])
    long = sums[steps:] - sums[:-steps]
    inside = bucket[steps - 1 :] == bucket[: len(bucket) - steps + 1]
    return _scaled(bars, bars.total(long[inside] ** 2, bucket[steps - 1 :][inside]) / steps, bucket, lost=steps - 1)


def _scaled(bars: BucketedBars, sums: Float64Array1D, bucket: Int64Array1D, lost: int) -> Float64Array1D:
    """Sums over n - `lost` terms brought to n, the number of each `bucket`; the sum of squared returns of no term."""
    number = bars.number(bucket)
    enough = number > lost
    terms = np.where(enough, number - lost, 1.0)
    return np.where(enough, sums * number / terms, close_to_close(bars))


def _rogers_satchell_of(bars: BucketedBars) -> Float64Array1D:
    opens, highs, lows, closes = price_logs(bars)
    variance: Float64Array1D = (highs - opens) * (highs - closes) + (lows - opens) * (lows - closes)
    return variance


ESTIMATORS = Registry(
    "estimator",
    Estimator,
    {
        "close": Estimator(close_to_close, fewest_returns=4),
        "subsampled": Estimator(subsampled, fewest_returns=4),
        "bipower": Estimator(bipower, fewest_returns=6),
        "medrv": Estimator(medrv, fewest_returns=6),
        "down_semivariance": Estimator(down_semivariance, fewest_returns=12),
        "up_semivariance": Estimator(up_semivariance, fewest_returns=12),
        "two_scale": Estimator(two_scale, fewest_returns=30),
        "parkinson": Estimator(parkinson, from_ranges=True),
        "garman_klass": Estimator(garman_klass, from_ranges=True),
        "rogers_satchell": Estimator(rogers_satchell, from_ranges=True),
        "yang_zhang": Estimator(yang_zhang, from_ranges=True, fewest_returns=2, fewest_bars=2),
    },
    "volcast.estimators",
)
"""Every estimator by the name that the configuration gives it: the library's own, and those of installed packages."""
