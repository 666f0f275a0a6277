"""The forecaster as scikit-learn's estimator: its own checks, splits and searches."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from tests.support.bars import make_bars
from volcast.adapters.scikit_learn import NO_ARRAYS, VolatilityRegressor
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.evaluation.losses import qlike
from volcast.forecasters.baselines.registry import BASELINES
from volcast.measures.hourly import get_hourly_measures

BARS = make_bars("2024-03-01", "2024-11-29", minutes=5)
MEASURES = get_hourly_measures(BARS)

ON_ARRAYS = (
    "check_fit_score_takes_y", "check_estimators_overwrite_params", "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self", "check_readonly_memmap_input", "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit", "check_estimators_dtypes", "check_complex_data", "check_dtype_object",
    "check_estimators_empty_data_messages", "check_pipeline_consistency", "check_estimators_nan_inf",
    "check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix",
    "check_estimators_pickle", "check_f_contiguous_array_estimator", "check_regressors_train",
    "check_regressor_data_not_an_array", "check_regressors_no_decision_function", "check_supervised_y_2d",
    "check_supervised_y_no_nan", "check_regressors_int", "check_methods_sample_order_invariance",
    "check_methods_subset_invariance", "check_fit2d_1sample", "check_fit2d_1feature", "check_dict_unchanged",
    "check_fit_idempotent", "check_fit_check_is_fitted", "check_n_features_in", "check_fit1d",
    "check_fit2d_predict1d",
)  # fmt: skip
"""Checks that feed arrays, which are neither bars nor measures."""


def test_scikit_learns_own_checks_pass_but_those_that_feed_arrays() -> None:
    reasons = dict.fromkeys(ON_ARRAYS, NO_ARRAYS)
    results = check_estimator(VolatilityRegressor(), expected_failed_checks=reasons, on_skip=None)
    outcomes: dict[str, set[str]] = {}
    for result in results:
        outcomes.setdefault(result["check_name"], set()).add(result["status"])
    # Another release of scikit-learn may have fewer of them, or further ones.
    assert {name for name, statuses in outcomes.items() if statuses == {"xfail"}} <= set(ON_ARRAYS)
    assert sum(statuses == {"passed"} for statuses in outcomes.values()) >= 12


@pytest.mark.parametrize("name", ["ewma", "har", "diurnal_log_har"])
def test_a_fold_is_a_walk_forward(name: str) -> None:
    regressor = VolatilityRegressor(name).fit(MEASURES[:800])
    known = np.arange(800, len(MEASURES))
    expected = BASELINES[name](MEASURES, pd.DatetimeIndex(MEASURES.index[800:]), known)
    np.testing.assert_array_equal(regressor.predict(MEASURES[800:]), expected)
    realized = MEASURES["rv_hourly"].iloc[800:]
    assert regressor.score(MEASURES[800:]) == pytest.approx(-qlike(realized, expected))


def test_bars_are_measured_first() -> None:
    cut = pd.Timestamp("2024-08-01", tz="UTC")
    regressor = VolatilityRegressor("har").fit(BARS[BARS.index < cut])
    after = MEASURES[MEASURES.index > cut]
    np.testing.assert_array_equal(
        regressor.predict(BARS[BARS.index >= cut]),
        VolatilityRegressor("har").fit(MEASURES[MEASURES.index < cut]).predict(after),
    )


def test_no_forecast_looks_ahead() -> None:
    regressor = VolatilityRegressor("har").fit(MEASURES[:800])
    edited = MEASURES[800:].copy()
    edited.iloc[50:] *= 3
    np.testing.assert_array_equal(regressor.predict(edited)[:51], regressor.predict(MEASURES[800:])[:51])


def test_it_works_in_splits_searches_clones_and_pipelines() -> None:
    split = TimeSeriesSplit(3, gap=1)
    scores = cross_val_score(VolatilityRegressor("ewma"), MEASURES, cv=split)
    assert (scores < 0).all()
    search = GridSearchCV(VolatilityRegressor(), {"forecaster": ["long_run_mean", "diurnal_ewma"]}, cv=split).fit(
        MEASURES
    )
    assert search.best_params_ == {"forecaster": "diurnal_ewma"}
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    pipeline = make_pipeline(VolatilityRegressor("ewma")).fit(MEASURES[:800])
    assert len(pipeline.predict(MEASURES[800:])) == len(MEASURES) - 800


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFittedError):
        VolatilityRegressor().predict(MEASURES)
    with pytest.raises(BarsError, match="array"):
        VolatilityRegressor().fit(np.ones((10, 2)))
    with pytest.raises(BarsError, match="one of each hour"):
        VolatilityRegressor().fit(BARS, np.ones(len(BARS)))
    with pytest.raises(ConfigError, match="no such"):
        VolatilityRegressor("no such").fit(MEASURES)
    with pytest.raises(NotEnoughDataError, match="no hour before"):
        VolatilityRegressor("ewma").fit(MEASURES).predict(MEASURES)
