r"""The regression behind the default forecast: a HAR on the day's own measures, refitted every day it serves.

The outcome is log volatility without its hour-of-day mean; the regressors are those of `intraday_features`, and a
dummy for each hour. With :math:`X` and :math:`y` all rows known when a day begins,

.. math:: \hat\beta = (X'X + \Lambda)^{-1} X'y, \qquad
          \hat\sigma = \exp(x'\hat\beta + p_h) \sqrt{\tfrac{1}{n} \textstyle\sum \exp(2 e_i)},

with a ridge penalty on the standardized terms alone (Hoerl and Kennard 1970, *Technometrics* 12) and Duan's smearing on
the variance scale (Duan 1983, *JASA* 78). :math:`X'X` and :math:`X'y` of the training data are kept, so what serves
needs only the buckets since: each is added when it has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RIDGE", "RegressionState", "fit_state", "refitted_daily"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RIDGE = 30.0
"""Weight of the penalty, in rows; found by walk-forward on data before every test part (`tuning/walk_forward.py`)."""

_HOUR_RIDGE = 1e-6
_DAYS_AT_ONCE = 64


@dataclass(frozen=True)
class RegressionState:
    """What a regression remembers of the rows that it was fitted on.

    Attributes
    ----------
    gram
        X'X, shape (p, p).
    moment
        X'y, shape (p,).
    count
        Rows.
    smearing_sum
        Sum of ``exp(2 e)`` over the errors e of these rows.
    penalty
        Diagonal of the penalty, shape (p,).
    """

    gram: FloatArray
    moment: FloatArray
    count: float
    smearing_sum: float
    penalty: FloatArray

    @property
    def coefficients(self) -> FloatArray:
        """The regression on these rows alone, shape (p,)."""
        return np.asarray(np.linalg.solve(self.gram + np.diag(self.penalty), self.moment))

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "RegressionState":
        """The state whose `to_dict` gave `numbers`."""
        arrays = {name: np.asarray(numbers[name], dtype=float) for name in ("gram", "moment", "penalty")}
        return cls(count=float(numbers["count"]), smearing_sum=float(numbers["smearing_sum"]), **arrays)


def fit_state(design: FloatArray, outcome: FloatArray, term_count: int, ridge: float = RIDGE) -> RegressionState:
    """Fit the regression on rows `design`, shape (n, p), whose first `term_count` columns are penalized."""
    penalty = np.where(np.arange(design.shape[1]) < term_count, ridge, _HOUR_RIDGE)
    state = RegressionState(design.T @ design, design.T @ outcome, float(len(outcome)), 0.0, penalty)
    residual = outcome - design @ state.coefficients
    return replace(state, smearing_sum=float(np.exp(2 * residual).sum()))


def refitted_daily(
    state: RegressionState,
    new_design: FloatArray,
    new_outcome: FloatArray,
    design: FloatArray,
    day: IntArray,
    usable: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Forecasts of rows `design`, each by the regression as it is refitted when its day begins.

    Parameters
    ----------
    state
        Of the training data.
    new_design, new_outcome
        Rows since then in time order, shape (m, p) and (m,).
    design
        What to forecast, shape (n, p).
    day
        Number of the day of each of these, shape (n,), from 0 on.
    usable
        How many of the new rows each day may use, shape (days,), not falling.

    Returns
    -------
    Forecast outcome and log of the smearing factor of each row, shape (n,).
    """
    forecast, log_smearing = np.empty(len(design)), np.empty(len(design))
    grams, moments = (
        _running(new_design[:, :, None] * new_design[:, None, :]),
        _running(new_design * new_outcome[:, None]),
    )
    for first in range(0, len(usable), _DAYS_AT_ONCE):
        counts = usable[first : first + _DAYS_AT_ONCE]
        penalized = state.gram + grams[counts] + np.diag(state.penalty)
        coefficients = np.asarray(np.linalg.solve(penalized, (state.moment + moments[counts])[:, :, None])[:, :, 0])
        spread = _log_smearing(state, new_design, new_outcome, coefficients, counts)
        rows = np.flatnonzero((day >= first) & (day < first + len(counts)))
        forecast[rows] = np.einsum("ij,ij->i", design[rows], coefficients[day[rows] - first])
        log_smearing[rows] = spread[day[rows] - first]
    return forecast, log_smearing


def _log_smearing(
    state: RegressionState, design: FloatArray, outcome: FloatArray, coefficients: FloatArray, counts: IntArray
) -> FloatArray:
    most = int(counts.max(initial=0))
    squares = np.exp(2 * (outcome[:most, None] - np.einsum("ij,kj->ik", design[:most], coefficients)))
    seen = np.arange(most)[:, None] < counts
    sums = state.smearing_sum + np.where(seen, squares, 0.0).sum(axis=0)
    return np.asarray(0.5 * np.log(sums / (state.count + counts)))


def _running(values: FloatArray) -> FloatArray:
    """Sums of the first 0, 1, 2 ... of `values`, added one after the other: those of earlier rows never change."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
