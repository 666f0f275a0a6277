"""Hourly volatility as an estimator of scikit-learn, for its splits, searches and pipelines."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from volcast.arrays import Float64Array1D, time_index
from volcast.bars.frames import as_bars_frame
from volcast.errors import BarsError, NotEnoughDataError
from volcast.evaluation.losses import qlike
from volcast.forecasters.baselines.registry import ALL_BASELINES
from volcast.markets.names import DEFAULT_MARKET
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures

__all__ = ["NO_ARRAYS", "VolatilityRegressor"]

NO_ARRAYS = "it takes bars or hourly measures, whose rows have moments: of an array nobody knows which hour a row is"
"""Why checks of scikit-learn that feed arrays do not pass."""


class VolatilityRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Forecasts each hour's realized volatility from the hours before it.

    What is fitted is a history: a row is forecast from all rows of it, and from those before it in what is handed to
    `predict`. So a fold of ``TimeSeriesSplit`` is a walk forward, as a backtest is.

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
            One symbol's bars, or hourly measures as `get_hourly_measures` gives them.
        y
            Hourly volatilities of measures, in place of their own; not for bars, whose hours are fewer than their rows.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or there are none.
        ConfigError
            There is no such forecaster or estimator.
        """
        ALL_BASELINES.named(self.forecaster)
        measures = self._measures(X)
        if y is not None:
            measures = measures.assign(rv_hourly=_as_long_as(measures, y))
        self.history_ = measures
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
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
        check_is_fitted(self)
        return self._forecast(self._measures(X))

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
        measures = self._measures(X)
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
        tags.target_tags.positive_only = True
        return tags

    def _forecast(self, measures: pd.DataFrame) -> Float64Array1D:
        labels, past = time_index(measures), time_index(self.history_)
        whole = pd.concat([self.history_[past < labels[0]], measures])
        known = np.arange(len(whole) - len(measures), len(whole), dtype=np.int64)
        if known[0] == 0:
            raise NotEnoughDataError(
                f"there is no hour before {labels[0]}, the first to be forecast; some are needed; fit on earlier ones."
            )
        return ALL_BASELINES[self.forecaster](whole, labels, known)

    def _measures(self, table: Any) -> pd.DataFrame:
        if isinstance(table, pd.DataFrame) and "rv_hourly" in table:
            return table
        if isinstance(table, np.ndarray):
            raise BarsError(f"X is an array; {NO_ARRAYS}; hand over a frame.")
        return get_hourly_measures(as_bars_frame(table), estimator=self.estimator, market=self.market)


def _as_long_as(measures: pd.DataFrame, values: npt.ArrayLike) -> Float64Array1D:
    array = np.asarray(values, dtype=float)
    if array.shape != (len(measures),):
        raise BarsError(
            f"there are {array.shape} values and {len(measures)} hours; it must be one of each hour; leave y out "
            "for bars."
        )
    return array
