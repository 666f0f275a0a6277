r"""How much of the networks' correction is believed: what the data support, learnt in training and anew each day.

The weight :math:`w` of corrections :math:`c` to logs with errors :math:`e` is the one of the lowest QLIKE, less its
standard error: what the data support, as in the rule of one standard error (Breiman, Friedman, Olshen and Stone 1984,
*Classification and Regression Trees*). Its variance is that of sums over days, since errors of one day go together
(Liang and Zeger 1986, *Biometrika* 73). A day that has ended moves it by one step of Newton,

.. math:: w \leftarrow w - g / H, \quad g = \sum 2 c (1 - \rho), \quad H \leftarrow H + \sum 4 c^2 \rho, \quad
          \rho = e^{2 (e - w c)},

so the record of the networks where they serve is counted on, and the days before need not be kept.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from volcast.arrays import Float64Array1D, GrowingArray, Int64Array1D

__all__ = ["NetworkWeight", "RunningWeight"]

_LARGEST = 3.0
_NEWTON_STEPS = 8
# Of twice a day's errors: one wrong price must not outweigh a year (Huber 1964, Annals of Mathematical Statistics 35).
_LARGEST_EXCESS = 2.0


@dataclass(frozen=True)
class NetworkWeight:
    """The weight of the networks' correction of the log, and how sure it is; see the module.

    Attributes
    ----------
    best
        The weight of the lowest QLIKE so far, from 0 to 3.
    curvature
        Second derivative of the sum of QLIKE in the weight; infinite where no later day changes it.
    slope_squares
        Sum over days of the squared first derivative.
    """

    best: float
    curvature: float
    slope_squares: float

    @classmethod
    def fixed(cls, weight: float) -> "NetworkWeight":
        """A weight that stays as it is."""
        return cls(weight, np.inf, 0.0)

    @classmethod
    def fit(cls, errors: Float64Array1D, corrections: Float64Array1D, days: Int64Array1D) -> "NetworkWeight":
        """What rows support that no network was fitted on.

        Parameters
        ----------
        errors
            Of the regression's log, shape (n,).
        corrections
            What the networks say of them.
        days
            A number for the day of each.
        """
        if not corrections.any():
            return cls.fixed(0.0)
        best = 1.0
        for _ in range(_NEWTON_STEPS):
            slope, curvature = _derivatives(2 * (errors - best * corrections), corrections)
            best = float(np.clip(best - slope.sum() / curvature.sum(), 0.0, _LARGEST))
        _, day = np.unique(days, return_inverse=True)
        squares = (np.bincount(day, weights=slope) ** 2).sum()
        return cls(best, float(curvature.sum()), float(squares))

    @property
    def is_fixed(self) -> bool:
        """Whether no later day changes it."""
        return bool(np.isinf(self.curvature))

    @property
    def supported(self) -> float:
        """The weight that the forecast uses, from 0 to 1."""
        return min(max(self.best - math.sqrt(self.slope_squares) / self.curvature, 0.0), 1.0)

    def of_one_among(self, count: int) -> "NetworkWeight":
        """As sure as one of `count` symbols would be of it alone, which have been fitted on together."""
        return replace(self, curvature=self.curvature / count, slope_squares=self.slope_squares / count**2)

    def after_day(self, errors: Float64Array1D, corrections: Float64Array1D) -> "NetworkWeight":
        """What is supported after one more day, of which these are as in `fit`."""
        excess = np.minimum(2 * (errors - self.best * corrections), _LARGEST_EXCESS)
        slope, added = (float(values.sum()) for values in _derivatives(excess, corrections))
        curvature = self.curvature + added
        best = min(max(self.best - slope / curvature, 0.0), _LARGEST)
        return NetworkWeight(best, curvature, self.slope_squares + slope**2)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON: the weight as it is used, and beside it what later days move it by."""
        if self.is_fixed:
            return {"weight": self.best}
        record = {"best": self.best, "curvature": self.curvature, "slope_squares": self.slope_squares}
        return {"weight": self.supported, "weight_record": record}

    @classmethod
    def from_dict(cls, numbers: Any) -> "NetworkWeight":
        """The weight whose `to_dict` is among `numbers`; earlier releases' stay as they are."""
        if "weight_record" not in numbers:
            return cls.fixed(float(numbers["weight"]))
        return cls(**{name: float(value) for name, value in numbers["weight_record"].items()})


def _derivatives(excess: Float64Array1D, corrections: Float64Array1D) -> tuple[Float64Array1D, Float64Array1D]:
    """Derivatives of each row's QLIKE in the weight, first and second; `excess` is twice the error that is left."""
    ratio = np.exp(excess)
    return 2 * corrections * (1 - ratio), 4 * corrections**2 * ratio


class RunningWeight:
    """The weight as it goes from day to day, each after the day before.

    Parameters
    ----------
    start
        Before the first row.
    spread
        What errors are corrected by where the networks say 1.
    """

    def __init__(self, start: NetworkWeight, spread: float) -> None:
        self._spread = spread
        self._errors, self._corrections = GrowingArray(np.float64), GrowingArray(np.float64)
        self._days = GrowingArray(np.int64)
        # By how many rows it has seen.
        self._after = {0: start}

    def __len__(self) -> int:
        return len(self._days)

    def add(self, errors: Float64Array1D, outputs: Float64Array1D, days: Int64Array1D) -> None:
        """Add rows whose outcomes are known: errors of the regression's log, what networks said, the day of each."""
        self._errors.append(errors)
        self._corrections.append(outputs * self._spread)
        self._days.append(days)

    def supported(self, counts: Int64Array1D) -> Float64Array1D:
        """The weight after the first so many of the rows, for each of `counts`, shape (len(counts),)."""
        if self._after[0].is_fixed:
            counts = np.zeros_like(counts)
        wanted = counts.tolist()
        new = set(wanted).difference(self._after)
        if new:
            self._see(new)
        return np.array([self._after[count].supported for count in wanted])

    def forget(self, count: int) -> None:
        """Forget what is behind the first `count` rows: it has changed."""
        for by_row in (self._errors, self._corrections, self._days):
            by_row.cut(count)
        self._after = {rows: weight for rows, weight in self._after.items() if rows <= count}

    def _see(self, counts: set[int]) -> None:
        """Go through the days until each of `counts`."""
        days, errors, corrections = self._days.values[: max(counts)], self._errors.values, self._corrections.values
        begins = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for count in sorted({*begins.tolist(), *counts}.difference(self._after)):
            begin = int(begins[begins.searchsorted(count) - 1])
            self._after[count] = self._after[begin].after_day(errors[begin:count], corrections[begin:count])
