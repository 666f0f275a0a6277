r"""How sure a forecast is: intervals that learn from their own misses, without assuming a distribution.

The score of a bucket is :math:`s = \ln(RV / \hat\sigma) / d_h`, with :math:`d_h` the spread of hour h. Each bound is a
quantile of the score that is tracked online: after every bucket,

.. math:: q_{t+1} = q_t + \eta D (\mathbb{1}[s_t > q_t] - \alpha)

for the upper bound and the mirror image for the lower one, D being the spread of the scores. Whatever the scores do,
the share of misses of each side approaches :math:`\alpha` (Gibbs and Candès 2021, *NeurIPS*; the quantile tracker of
Angelopoulos, Candès and Tibshirani 2023, *NeurIPS*). Each bound alone is one-sided: the volatility stays under
``upper`` with probability :math:`1 - \alpha`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MISS", "QuantileTracker"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MISS = 0.05
"""Share of buckets beyond each bound: a central interval of 90 %, or two one-sided ones of 95 %."""

_LEARNING_RATE = 0.1
_FEWEST_IN_AN_HOUR = 20
_HOURS = 24


@dataclass(frozen=True)
class QuantileTracker:
    """Bounds of the score, and where they stand.

    Attributes
    ----------
    hour_spread
        Standard deviation of the log error in each clock hour, shape (24,).
    spread
        Of the scores.
    lower, upper
        The tracked quantiles.
    """

    hour_spread: FloatArray
    spread: float
    lower: float
    upper: float

    @classmethod
    def fit(cls, log_errors: FloatArray, hours: IntArray) -> "QuantileTracker":
        """Start from errors ``ln(RV / forecast)``, shape (n,), of buckets in clock hours `hours`, which no fit saw."""
        overall = float(np.std(log_errors)) or 1.0
        hour_spread = np.full(_HOURS, overall)
        for hour in np.unique(hours):
            errors = log_errors[hours == hour]
            if len(errors) >= _FEWEST_IN_AN_HOUR and np.std(errors) > 0:
                hour_spread[hour] = np.std(errors)
        scores = log_errors / hour_spread[hours]
        lower, upper = np.quantile(scores, [MISS, 1 - MISS])
        return cls(hour_spread, float(np.std(scores)), float(lower), float(upper))

    def carried_on(self, log_errors: FloatArray, hours: IntArray) -> tuple[FloatArray, FloatArray]:
        """The tracked quantiles before each of these buckets and after the last: two arrays of shape (n + 1,)."""
        scores = (log_errors / self.hour_spread[hours]).tolist()
        lowers, uppers = np.empty(len(scores) + 1), np.empty(len(scores) + 1)
        lower, upper, step = self.lower, self.upper, _LEARNING_RATE * self.spread
        lowers[0], uppers[0] = lower, upper
        for i, score in enumerate(scores, start=1):
            lower -= step * ((score < lower) - MISS)
            upper += step * ((score > upper) - MISS)
            lowers[i], uppers[i] = lower, upper
        return lowers, uppers

    def bounds(self, hours: IntArray, lowers: FloatArray, uppers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Factors on forecasts of buckets in clock hours `hours`: where the volatility will lie."""
        spread = self.hour_spread[hours]
        return np.exp(lowers * spread), np.exp(uppers * spread)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {**vars(self), "hour_spread": self.hour_spread.tolist()}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "QuantileTracker":
        """The tracker whose `to_dict` gave `numbers`."""
        others = {name: float(numbers[name]) for name in ("spread", "lower", "upper")}
        return cls(np.asarray(numbers["hour_spread"], dtype=float), **others)
