r"""How sure a forecast is: intervals that learn from their own misses, without assuming a distribution.

The score of a bucket is :math:`s = \ln(RV / \hat\sigma) / d_h`, with :math:`d_h` the spread of hour h. Each bound is a
quantile of the score that is tracked online: after every bucket,

.. math:: q_{t+1} = q_t + \eta D (\mathbb{1}[s_t > q_t] - \alpha)

for the upper bound and the mirror image for the lower one, D being the spread of the scores. Whatever the scores do,
the share of misses of each side approaches :math:`\alpha` (Gibbs and Candès 2021, *NeurIPS*; the quantile tracker of
Angelopoulos, Candès and Tibshirani 2023, *NeurIPS*). Each bound alone is one-sided: the volatility stays under
``upper`` with probability :math:`1 - \alpha`.

Outcomes of longer horizons are known late, and overlap. A miss is one of the bound that was given with the forecast;
:math:`\eta` is smaller, since misses come in rows; and the first bounds allow for the few outcomes that share nothing.

A quantile of n outcomes is not known well where n is small, as of buckets that are whole sessions: steps after it are
:math:`c / n`, 1 at the most, where that is more than :math:`\eta`, n growing with each outcome (Robbins and Monro
1951, *Annals of Mathematical Statistics* 22: :math:`1 / (n f)` is best where nothing changes, which is 10 / n at the
normal density f of 5 %).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from volcast.arrays import Float64Array1D, Int64Array1D

__all__ = ["MISS", "QuantileTracker"]


MISS = 0.05
"""Share of buckets beyond each bound: a central interval of 90 %, or two one-sided ones of 95 %."""

_LEARNING_RATE = 0.1
# Found by coverage and interval score of the horizons on data before every test part.
_SLOWER = -0.25
# By coverage and interval score of buckets of one and two hours and of sessions, on the same data.
_FIRST_STEPS = 15.0
_MANY = 1_000_000
_FEWEST_IN_AN_HOUR = 20


@dataclass(frozen=True)
class QuantileTracker:
    r"""Bounds of the score, and where they stand.

    Attributes
    ----------
    hour_spread
        Standard deviation of the log error in each clock hour, shape (24,).
    spread
        Of the scores.
    lower, upper
        The tracked quantiles.
    rate
        :math:`\eta`, in `spread`.
    count
        Of how many outcomes the quantiles are.
    """

    hour_spread: Float64Array1D
    spread: float
    lower: float
    upper: float
    rate: float = _LEARNING_RATE
    count: int = _MANY

    @classmethod
    def fit(
        cls, log_errors: Float64Array1D, hours: Int64Array1D, overlap: float = 1.0, slots: int = 24
    ) -> "QuantileTracker":
        """Start from errors ``ln(RV / forecast)``, shape (n,), of buckets in clock hours `hours`, which no fit saw.

        `overlap` is how many buckets on average an outcome has to wait for, its own included. One in so many outcomes
        counts, and the quantiles are those of split conformal prediction for as many (Lei, G'Sell, Rinaldo, Tibshirani
        and Wasserman 2018, *JASA* 113).
        """
        overall = float(np.std(log_errors)) or 1.0
        hour_spread = np.full(slots, overall)
        for hour in np.unique(hours):
            errors = log_errors[hours == hour]
            if len(errors) >= _FEWEST_IN_AN_HOUR and np.std(errors) > 0:
                hour_spread[hour] = np.std(errors)
        scores = log_errors / hour_spread[hours]
        counted = len(scores) / overlap
        inside = min((1 - MISS) * (counted + 1) / counted, 1.0)
        lower, upper = np.quantile(scores, [1 - inside, inside])
        rate = _LEARNING_RATE * overlap**_SLOWER
        return cls(hour_spread, float(np.std(scores)), float(lower), float(upper), rate, len(scores))

    def carried_on(
        self,
        log_errors: Float64Array1D,
        hours: Int64Array1D,
        lowers: Float64Array1D,
        uppers: Float64Array1D,
        bound_rows: Int64Array1D,
    ) -> tuple[Float64Array1D, Float64Array1D]:
        """The tracked quantiles after each of these buckets: two arrays of shape (n,).

        Parameters
        ----------
        log_errors, hours
            Of the buckets whose outcomes are new, in time order, shape (n,).
        lowers, uppers
            The quantiles so far, from this tracker's on, the last of which are to be carried on.
        bound_rows
            Which of these quantiles, counting on into the result, each bucket was forecast with, shape (n,), in order.
        """
        if not len(bound_rows):
            return np.empty(0), np.empty(0)
        scores, first = (log_errors / self.hour_spread[hours]).tolist(), int(bound_rows[0])
        behind = self.count + len(lowers) - 1 + np.arange(len(scores))
        steps = np.maximum(self.rate, np.minimum(_FIRST_STEPS / behind, 1.0)) * self.spread
        lower, upper = lowers[first:].tolist(), uppers[first:].tolist()
        moves = zip((steps * (1 - MISS)).tolist(), (steps * (0 - MISS)).tolist(), strict=True)
        for score, place, (missed, covered) in zip(scores, (bound_rows - first).tolist(), moves, strict=True):
            lower.append(lower[-1] - (missed if score < lower[place] else covered))
            upper.append(upper[-1] + (missed if score > upper[place] else covered))
        return np.array(lower[-len(scores) :]), np.array(upper[-len(scores) :])

    def bounds(
        self, hours: Int64Array1D, lowers: Float64Array1D, uppers: Float64Array1D
    ) -> tuple[Float64Array1D, Float64Array1D]:
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
        # Earlier releases knew one rate, and did not count.
        rate, count = float(numbers.get("rate", _LEARNING_RATE)), int(numbers.get("count", _MANY))
        return cls(np.asarray(numbers["hour_spread"], dtype=float), **others, rate=rate, count=count)
