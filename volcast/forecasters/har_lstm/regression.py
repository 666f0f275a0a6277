r"""The regression behind the default forecast: a HAR on the day's own measures, refitted every day it serves.

The outcome is log volatility without its hour-of-day mean; the regressors are those of `features.intraday`, and a
dummy for each hour. With :math:`X` and :math:`y` all rows known when a day begins,

.. math:: \hat\beta = (X'X + \Lambda)^{-1} X'y, \qquad
          \hat\sigma = \exp(x'\hat\beta + p_h) \sqrt{\tfrac{1}{n} \textstyle\sum \exp(2 e_i)},

with a ridge penalty on the standardized terms alone (Hoerl and Kennard 1970, *Technometrics* 12) and Duan's smearing on
the variance scale (Duan 1983, *JASA* 78). :math:`X'X` and :math:`X'y` of the training data are kept, so what serves
needs only the buckets since: each is added when it has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from volcast.arrays import (
    Float64Array1D,
    Float64Array2D,
    Float64Array3D,
    GrowingArray,
    Int64Array1D,
    parts_of,
    running_sums,
)
from volcast.processes import InOrder

__all__ = ["RIDGE", "RefittedRegression", "RegressionState", "fit_state"]


RIDGE = 30.0
"""Weight of the penalty, in rows; found by `studies/development.py` on data before every test part."""

_HOUR_RIDGE = 1e-6
_SUMS_KEPT = 3
# More would take in many rows for the first of them that are not its own.
_FITS_AT_ONCE = 16
# Values that a processor's own cache holds: products of more rows at a time would go through memory.
_PRODUCTS_AT_ONCE = 2**17


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
    """Regressions of the same rows as they are refitted from day to day, each time with the rows that are new.

    Of several the mean of their forecasts is the forecast. Rows are added one after the other, so a fit is the same to
    the last bit however many were added, and however many days fitted, at a time.

    Parameters
    ----------
    states
        Of the training data, one a regression.
    """

    def __init__(self, *states: RegressionState) -> None:
        self._states = states
        self._gram, self._moment, self._penalty = (
            np.array([getattr(state, name) for state in states]) for name in ("gram", "moment", "penalty")
        )
        # Of each fit the coefficients of all regressions, one after the other, and the logs of their smearing factors;
        # and its place among these, by how many rows it was made of.
        self._coefficients = GrowingArray(np.float64, len(states) * len(states[0].moment))
        self._log_smearing = GrowingArray(np.float64, len(states))
        self._fits: dict[int, int] = {}
        # The same of the last few fits: sums over the rows of each of the terms times each, and times the outcome.
        self._sums: dict[int, Float64Array2D] = {}

    def refit(
        self, design: Float64Array2D, outcome: Float64Array1D, counts: Int64Array1D, in_order: InOrder = map
    ) -> None:
        """Fit on the first so many of the rows since training, shape (n, p) and (n,), for each of `counts` anew.

        `in_order` maps over parts of the fits, see `processes.on_all_cores`.
        """
        new = sorted(set(counts.tolist()).difference(self._fits))
        for part in parts_of(len(new), (1 + len(self._states)) * self._gram[0].size):
            self._fit(design, outcome, new[part], in_order)

    def forget(self, count: int) -> None:
        """Forget the fits on more than `count` rows: the later ones have changed."""
        self._fits = {rows: place for rows, place in self._fits.items() if rows <= count}
        for of_fit in (self._coefficients, self._log_smearing):
            of_fit.cut(max(self._fits.values(), default=-1) + 1)
        self._sums = {rows: sums for rows, sums in self._sums.items() if rows <= count}

    def forecasts(self, design: Float64Array2D, counts: Int64Array1D) -> tuple[Float64Array1D, Float64Array1D]:
        """Forecast outcome of rows `design` and log of the smearing factor, each by the fits on `counts` rows."""
        places = [self._fits[count] for count in counts.tolist()]
        coefficients = self._coefficients.values[places].reshape(len(places), len(self._states), design.shape[1])
        forecasts = [np.einsum("ij,ij->i", design, coefficients[:, state]) for state in range(len(self._states))]
        return _mean(forecasts), _mean([*self._log_smearing.values[places].T])

    def states_after(self, design: Float64Array2D, outcome: Float64Array1D, count: int) -> list[RegressionState]:
        """What is remembered of the training data and the first `count` of the rows since, shapes as in `refit`."""
        self.refit(design, outcome, np.array([count]))
        (sums,) = self._sums_of(design, outcome, [count])
        return [
            replace(
                state,
                gram=state.gram + sums[:, :-1],
                moment=state.moment + sums[:, -1],
                count=state.count + count,
                smearing_sum=float(np.exp(2 * log_smearing)) * (state.count + count),
            )
            for state, log_smearing in zip(self._states, self._log_smearing.values[self._fits[count]], strict=True)
        ]

    def _fit(self, design: Float64Array2D, outcome: Float64Array1D, counts: list[int], in_order: InOrder) -> None:
        sums = self._sums_of(design, outcome, counts)

        def fitted(part: slice) -> tuple[Float64Array3D, Float64Array2D]:
            coefficients = self._solved(sums[part])
            return coefficients, _squared_errors(design, outcome, coefficients, counts[part])

        parts = [slice(first, first + _FITS_AT_ONCE) for first in range(0, len(counts), _FITS_AT_ONCE)]
        coefficients, squares = map(np.concatenate, zip(*in_order(fitted, parts), strict=True))
        smearing = np.array([state.smearing_sum for state in self._states]) + squares
        rows = np.array([state.count for state in self._states]) + np.array(counts)[:, None]
        self._fits.update({count: len(self._log_smearing) + place for place, count in enumerate(counts)})
        self._coefficients.append(coefficients.reshape(len(counts), -1))
        self._log_smearing.append(0.5 * np.log(smearing / rows))

    def _solved(self, sums: Float64Array3D) -> Float64Array3D:
        """Coefficients, shape (n, states, p), with the sums over the rows since training of each of n fits."""
        penalized = self._gram + sums[:, None, :, :-1]
        np.einsum("...ii->...i", penalized)[...] += self._penalty
        return np.asarray(np.linalg.solve(penalized, (self._moment + sums[:, None, :, -1])[..., None])[..., 0])

    def _sums_of(self, design: Float64Array2D, outcome: Float64Array1D, counts: list[int]) -> Float64Array3D:
        """The sums over the first so many rows, for each of `counts`, which rise, shape (len(counts), p, p + 1)."""
        begun = max((rows for rows in self._sums if rows <= counts[0]), default=0)
        rows = np.column_stack([design[begun : counts[-1]], outcome[begun : counts[-1]]])
        last = self._sums.get(begun, np.zeros((design.shape[1], rows.shape[1])))
        sums = np.repeat(last[None], len(counts), axis=0)
        at_once = max(_PRODUCTS_AT_ONCE // last.size, 1)
        products = np.empty((1 + min(at_once, len(rows)), *last.shape))
        ends = np.array(counts) - begun
        for first in range(0, len(rows), at_once):
            added = rows[first : first + at_once]
            behind = products[: 1 + len(added)]
            behind[0] = last
            np.einsum("ni,nj->nij", added[:, :-1], added, out=behind[1:])
            begin, stop = ends.searchsorted([first, first + len(added)], side="right")
            every = np.append(ends[begin:stop] - first, len(added))
            totals = running_sums(behind.reshape(len(behind), -1), 1 + every).reshape(-1, *last.shape)
            sums[begin:stop], last = totals[:-1], totals[-1]
        self._sums |= dict(zip(counts[-_SUMS_KEPT:], sums[-_SUMS_KEPT:].copy(), strict=True))
        for count in sorted(self._sums)[:-_SUMS_KEPT]:
            del self._sums[count]
        return sums


def _squared_errors(
    design: Float64Array2D, outcome: Float64Array1D, coefficients: Float64Array3D, counts: list[int]
) -> Float64Array2D:
    """Sums of ``exp(2 e)``, shape (k, states), of k fits, each over the first so many rows, which `counts` says."""
    last = counts[-1]
    # Each fit's errors in all rows of the last, of which it takes its own.
    squares = np.einsum("ij,kj->ki", design[:last], coefficients.reshape(-1, design.shape[1]))
    np.subtract(outcome[:last], squares, out=squares)
    squares *= 2
    np.exp(squares, out=squares)
    sums = np.empty(coefficients.shape[:2])
    for count, of_fit, total in zip(counts, squares.reshape(*sums.shape, last), sums, strict=True):
        np.add.reduce(of_fit[:, :count], axis=1, out=total)
    return sums


def _mean(parts: Sequence[Float64Array1D]) -> Float64Array1D:
    return np.asarray(sum(parts) / len(parts))
