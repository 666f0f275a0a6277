"""Hourly volatility as an estimator of scikit-learn, for its splits, searches and pipelines."""

import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from volcast.arrays import Float64Array1D, time_index
from volcast.bars.frames import as_bars_frame
from volcast.counts import counted
from volcast.errors import BarsError, NotEnoughDataError
from volcast.evaluation.losses import qlike
from volcast.forecasters.baselines.registry import ALL_BASELINES
from volcast.markets.names import DEFAULT_MARKET
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures

__all__ = ["AGAINST_TIME", "NO_CLOCK", "VolatilityRegressor"]

NO_CLOCK = "its forecaster looks at hours of the day, and nobody knows which hour a row of an array is"
"""Why checks of scikit-learn that feed arrays pass with forecasters alone that look at no clock."""

AGAINST_TIME: Mapping[str, str] = MappingProxyType(
    {
        "check_methods_sample_order_invariance": "a row is forecast from the rows before it: their order matters",
        "check_methods_subset_invariance": "a row is forecast from the rows before it: a row alone has others",
        "check_regressor_data_not_an_array": "a frame is read as bars or hourly measures, and theirs has no moments",
    }
)
"""Checks of scikit-learn that no forecaster of a time series passes, and why."""

# Where an array's rows stand in time makes no difference to what takes arrays.
_FIRST_ROW = pd.Timestamp("2000-01-01", tz="UTC")


class VolatilityRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Forecasts each hour's realized volatility from the hours before it.

    What is fitted is a history: a row is forecast from all rows of it, and from those before it in what is handed to
    `predict`. So a fold of ``TimeSeriesSplit`` is a walk forward, as a backtest is.

    Forecasters that look at no clock (``"ewma"``, ``"persistence"``, ``"long_run_mean"``) also take arrays, whose rows
    are consecutive hours and whose first column is their volatility, none of them below 0; those of `predict` follow
    those of `fit`.

    Parameters
    ----------
    forecaster
        A name in `forecasters.baselines.registry.ALL_BASELINES`, such as ``"diurnal_log_har"``.
    estimator
        How variance is made of bars, where bars are given: a name in `measures.estimators.ESTIMATORS`.
    market
        Whose hours they are, where bars are given: a name in `markets.registry`.

    Attributes
    ----------
    history_
        Hourly measures that were fitted on.
    feature_names_in_, n_features_in_
        The columns of what was fitted on, and how many.

    Examples
    --------
    >>> from volcast.bars.handler import DataHandler
    >>> from volcast.measures.hourly import get_hourly_measures
    >>> measures = get_hourly_measures(DataHandler("simulator").get_stock_bars("TSLA", "2024-01-02", "2024-06-28"))
    >>> regressor = VolatilityRegressor("ewma").fit(measures[:500])
    >>> len(regressor.predict(measures[500:])) == len(measures) - 500
    True
    """

    def __init__(
        self, forecaster: str = "diurnal_log_har", *, estimator: str = "close", market: str = DEFAULT_MARKET
    ) -> None:
        self.forecaster = forecaster
        self.estimator = estimator
        self.market = market

    def fit(self, X: Any, y: npt.ArrayLike | None = None) -> Self:
        """Take in a history.

        Parameters
        ----------
        X
            One symbol's bars; hourly measures as `get_hourly_measures` gives them; hourly volatilities by label, as
            `get_hourly_rv` does; or an array, shape (n, k).
        y
            Hourly volatilities of measures, in place of their own; not for bars, whose hours are fewer than their rows.

        Raises
        ------
        ValueError
            Of an array, in scikit-learn's words: it is empty, not of two dimensions, not finite, or has negative
            numbers.
        BarsError, NotEnoughDataError
            They are unusable, or there are none.
        ConfigError
            There is no such forecaster or estimator.
        """
        ALL_BASELINES.named(self.forecaster)
        if _is_array(X):
            self.history_ = self._measures_of_array(X, y, fitted_rows=0)
            return self
        measures = self._measures(X)
        self.history_ = measures if y is None else measures.assign(rv_hourly=_as_long_as(measures, y))
        self.feature_names_in_ = np.asarray(getattr(X, "columns", measures.columns), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def predict(self, X: Any) -> Float64Array1D:
        """Hourly volatilities, decimal, not annualized: one for each row of measures, or for each hour of bars.

        Each is forecast from the history and the hours in `X` before it; hours that are in the history, too, are
        forecast from those before them.

        Raises
        ------
        NotFittedError
            Nothing was fitted.
        NotEnoughDataError
            There is too little before the first hour for this forecaster.
        """
        return self._forecast(self._measures_ahead(X))

    def score(self, X: Any, y: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Mean QLIKE of `predict`, negative: 0 is perfect, greater is better.

        Parameters
        ----------
        X
            As in `predict`.
        y
            What came; None is what `X` says. Hours without any volatility are left out.
        sample_weight
            Of each hour; None is alike.
        """
        measures = self._measures_ahead(X)
        realized = _as_long_as(measures, measures["rv_hourly"] if y is None else y)
        forecast = self._forecast(measures)
        counts = realized > RV_FLOOR
        weights = np.ones(len(realized)) if sample_weight is None else _as_long_as(measures, sample_weight)
        losses = np.array(
            [qlike([real], [ahead]) for real, ahead in zip(realized[counts], forecast[counts], strict=True)]
        )
        return -float(np.average(losses, weights=weights[counts]))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.target_tags.positive_only = tags.input_tags.positive_only = True
        # Of random numbers there is nothing to forecast.
        tags.regressor_tags.poor_score = True
        return tags

    def _measures_ahead(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self)
        if _is_array(X):
            return self._measures_of_array(X, None, fitted_rows=len(self.history_))
        return self._measures(X)

    def _forecast(self, measures: pd.DataFrame) -> Float64Array1D:
        labels, past = time_index(measures), time_index(self.history_)
        if measures.empty:
            raise NotEnoughDataError("there is no hour to be forecast; one at least is needed; hand over some.")
        whole = pd.concat([self.history_[past < labels[0]], measures])
        known = np.arange(len(whole) - len(measures), len(whole), dtype=np.int64)
        if known[0] == 0:
            raise NotEnoughDataError(
                f"there is no hour before {labels[0]}, the first to be forecast; some are needed; fit on earlier ones."
            )
        return ALL_BASELINES[self.forecaster](whole, labels, known)

    def _measures(self, table: Any) -> pd.DataFrame:
        if isinstance(table, pd.Series):
            return table.to_frame("rv_hourly")
        if isinstance(table, pd.DataFrame) and "rv_hourly" in table:
            return table
        return get_hourly_measures(as_bars_frame(table), estimator=self.estimator, market=self.market)

    def _measures_of_array(self, X: Any, y: npt.ArrayLike | None, *, fitted_rows: int) -> pd.DataFrame:
        """The rows of an array as consecutive hours behind those that were fitted on."""
        if ALL_BASELINES[self.forecaster].sees_clock:
            raise BarsError(f"X is an array; {NO_CLOCK}; hand over a frame, or take forecaster='ewma'.")
        target = {} if y is None else {"y": y, "y_numeric": True}
        checked = validate_data(self, X, **target, dtype=float, reset=fitted_rows == 0)
        values, volatility = checked if target else (checked, checked[:, 0])
        check_non_negative(values, type(self).__name__)
        hours = pd.date_range(_FIRST_ROW + pd.Timedelta(hours=fitted_rows), periods=len(values), freq="h")
        return pd.DataFrame({"rv_hourly": volatility}, index=hours)


def _is_array(table: Any) -> bool:
    if isinstance(table, np.ndarray | list | tuple) or issparse(table):
        return True
    return hasattr(table, "__array__") and not hasattr(table, "columns") and not isinstance(table, pd.Series)


def _as_long_as(measures: pd.DataFrame, values: npt.ArrayLike) -> Float64Array1D:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise BarsError(
            f"{reprlib.repr(values)} stands where numbers are; there must be one of each hour; give them."
        ) from None
    if array.shape != (len(measures),):
        raise BarsError(
            f"there are {array.shape} values and {counted(len(measures), 'hour')}; it must be one of each hour; leave "
            "y out for bars."
        )
    return array
