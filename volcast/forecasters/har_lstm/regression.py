r"""The regression behind the default forecast: a HAR on the day's own measures, refitted every day it serves.

The outcome is log volatility without its hour-of-day mean; the regressors are those of `features.intraday`, and a
dummy for each hour. With :math:`X` and :math:`y` all rows known when a day begins,

.. math:: \hat\beta = (X'X + \Lambda)^{-1} X'y, \qquad
          \hat\sigma = \exp(x'\hat\beta + p_h) \sqrt{\tfrac{1}{n} \textstyle\sum \exp(2 e_i)},

with a ridge penalty on the standardized terms alone (Hoerl and Kennard 1970, *Technometrics* 12) and Duan's smearing on
the variance scale (Duan 1983, *JASA* 78). :math:`X'X` and :math:`X'y` of the training data are kept, so what serves
needs only the buckets since: each is added when it has ended.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from volcast.arrays import Float64Array1D, Float64Array2D, FloatArray, Int64Array1D

__all__ = ["RIDGE", "RefittedRegression", "RegressionState", "fit_state"]


RIDGE = 30.0
"""Weight of the penalty, in rows; found by `studies/development.py` on data before every test part."""

_HOUR_RIDGE = 1e-6
_SUMS_KEPT = 3


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

    gram: Float64Array2D
    moment: Float64Array1D
    count: float
    smearing_sum: float
    penalty: Float64Array1D

    @property
    def coefficients(self) -> Float64Array1D:
        """The regression on these rows alone, shape (p,)."""
        return np.asarray(np.linalg.solve(self.gram + np.diag(self.penalty), self.moment))

    @property
    def log_smearing(self) -> float:
        """Log of the smearing factor of these rows."""
        return 0.5 * float(np.log(self.smearing_sum / self.count))

    def shrunk_towards(self, coefficients: Float64Array1D) -> "RegressionState":
        """These rows, with a penalty not on coefficients but on how far they are from `coefficients`, shape (p,).

        Dummies are penalized as terms are: what few rows say of an hour is noise.
        """
        penalty = np.full_like(self.penalty, RIDGE)
        return replace(self, moment=self.moment + penalty * coefficients, penalty=penalty)

    def without_rows(self) -> "RegressionState":
        """A state without rows but with the smearing of these."""
        return replace(self, gram=np.zeros_like(self.gram), moment=np.zeros_like(self.moment))

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "RegressionState":
        """The state whose `to_dict` gave `numbers`."""
        arrays = {name: np.asarray(numbers[name], dtype=float) for name in ("gram", "moment", "penalty")}
        return cls(count=float(numbers["count"]), smearing_sum=float(numbers["smearing_sum"]), **arrays)


def fit_state(
    design: Float64Array2D, outcome: Float64Array1D, term_count: int, ridge: float = RIDGE
) -> RegressionState:
    """Fit the regression on rows `design`, shape (n, p), whose first `term_count` columns are penalized."""
    penalty = np.where(np.arange(design.shape[1]) < term_count, ridge, _HOUR_RIDGE)
    state = RegressionState(design.T @ design, design.T @ outcome, float(len(outcome)), 0.0, penalty)
    residual = outcome - design @ state.coefficients
    return replace(state, smearing_sum=float(np.exp(2 * residual).sum()))


class RefittedRegression:
    """The regression as it is refitted from day to day, each time with the rows that are new.

    Rows are added one after the other, so a fit is the same to the last bit however many were added at a time.

    Parameters
    ----------
    state
        Of the training data.
    """

    def __init__(self, state: RegressionState) -> None:
        self._state = state
        self._fitted_on: list[int] = []
        self._coefficients: list[Float64Array1D] = []
        self._log_smearing: list[float] = []
        # Sums over the rows of the last few fits, by how many these are.
        self._sums: dict[int, tuple[Float64Array2D, Float64Array1D]] = {}

    def refit(self, design: Float64Array2D, outcome: Float64Array1D, count: int) -> None:
        """Fit on the first `count` of the rows since training, shape (n, p) and (n,), unless that was done before."""
        place = bisect_left(self._fitted_on, count)
        if self._fitted_on[place : place + 1] == [count]:
            return
        gram, moment = self._sums_of(design, outcome, count)
        penalized = self._state.gram + gram + np.diag(self._state.penalty)
        coefficients = np.asarray(np.linalg.solve(penalized, self._state.moment + moment), dtype=float)
        residual = outcome[:count] - np.einsum("ij,j->i", design[:count], coefficients)
        smearing = (self._state.smearing_sum + np.exp(2 * residual).sum()) / (self._state.count + count)
        self._fitted_on.insert(place, count)
        self._coefficients.insert(place, coefficients)
        self._log_smearing.insert(place, 0.5 * float(np.log(smearing)))

    def forget(self, count: int) -> None:
        """Forget the fits on more than `count` rows: the later ones have changed."""
        fit_count = bisect_right(self._fitted_on, count)
        del self._fitted_on[fit_count:], self._coefficients[fit_count:], self._log_smearing[fit_count:]
        self._sums = {rows: sums for rows, sums in self._sums.items() if rows <= count}

    def forecasts(self, design: Float64Array2D, counts: Int64Array1D) -> tuple[Float64Array1D, Float64Array1D]:
        """Forecast outcome of rows `design` and log of the smearing factor, each by the fit on `counts` rows."""
        fit = [bisect_left(self._fitted_on, count) for count in counts.tolist()]
        coefficients = np.stack([self._coefficients[row] for row in fit]) if fit else np.empty_like(design)
        log_smearing = np.array([self._log_smearing[row] for row in fit])
        return np.einsum("ij,ij->i", design, coefficients), log_smearing

    def state_after(self, design: Float64Array2D, outcome: Float64Array1D, count: int) -> RegressionState:
        """What is remembered of the training data and the first `count` of the rows since, shapes as in `refit`."""
        self.refit(design, outcome, count)
        gram, moment = self._sums_of(design, outcome, count)
        place = bisect_left(self._fitted_on, count)
        rows = self._state.count + count
        return replace(
            self._state,
            gram=self._state.gram + gram,
            moment=self._state.moment + moment,
            count=rows,
            smearing_sum=float(np.exp(2 * self._log_smearing[place])) * rows,
        )

    def _sums_of(
        self, design: Float64Array2D, outcome: Float64Array1D, count: int
    ) -> tuple[Float64Array2D, Float64Array1D]:
        begun = max((rows for rows in self._sums if rows <= count), default=0)
        nothing = np.zeros_like(self._state.gram), np.zeros_like(self._state.moment)
        gram, moment = self._sums.get(begun, nothing)
        added = design[begun:count]
        gram = _added(gram, added[:, :, None] * added[:, None, :])
        moment = _added(moment, added * outcome[begun:count, None])
        self._sums[count] = gram, moment
        if len(self._sums) > _SUMS_KEPT:
            del self._sums[min(self._sums)]
        return gram, moment


def _added(sums: FloatArray, rows: FloatArray) -> FloatArray:
    return np.asarray(np.add.reduce(np.concatenate([sums[None], rows]), axis=0))
