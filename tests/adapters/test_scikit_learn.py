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
from volcast.adapters.scikit_learn import AGAINST_TIME, NO_CLOCK, VolatilityRegressor
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.evaluation.losses import qlike
from volcast.forecasters.baselines.registry import ALL_BASELINES, BASELINES
from volcast.measures.hourly import get_hourly_measures

BARS = make_bars("2024-03-01", "2024-11-29", minutes=5)
MEASURES = get_hourly_measures(BARS)


def checks_that(forecaster: str) -> dict[str, set[str]]:
    """Checks of scikit-learn's by how they end: ``"passed"``, ``"failed"``."""
    outcomes: dict[str, set[str]] = {}
    for result in check_estimator(VolatilityRegressor(forecaster), on_fail=None, on_skip=None):
        outcomes.setdefault(result["status"], set()).add(result["check_name"])
    return outcomes


@pytest.mark.parametrize("forecaster", ["ewma", "persistence", "long_run_mean"])
def test_scikit_learns_own_checks_pass_but_those_that_are_against_time(forecaster: str) -> None:
    outcomes = checks_that(forecaster)
    # The mean of all hours is the one forecast that has no use for their order.
    assert outcomes["failed"] <= set(AGAINST_TIME)
    assert len(outcomes["passed"]) >= 40


def test_a_forecaster_of_hours_refuses_arrays_and_passes_the_rest() -> None:
    reasons = dict.fromkeys(checks_that("ewma")["passed"], NO_CLOCK) | dict(AGAINST_TIME)
    results = check_estimator(VolatilityRegressor(), expected_failed_checks=reasons, on_skip=None)
    refusals = {str(result["exception"]) for result in results if isinstance(result["exception"], BarsError)}
    assert all(NO_CLOCK in refusal or "the frame of the bars" in refusal for refusal in refusals)
    assert sum(result["status"] == "passed" for result in results) >= 12


@pytest.mark.parametrize("name", [name for name, baseline in ALL_BASELINES.items() if not baseline.sees_clock])
def test_arrays_are_forecast_as_frames_are(name: str) -> None:
    values = MEASURES[["rv_hourly", "parkinson_variance"]].to_numpy()
    of_array = VolatilityRegressor(name).fit(values[:800]).predict(values[800:])
    np.testing.assert_array_equal(of_array, VolatilityRegressor(name).fit(MEASURES[:800]).predict(MEASURES[800:]))
    scores = cross_val_score(VolatilityRegressor(name), values, cv=TimeSeriesSplit(3))
    np.testing.assert_allclose(scores, cross_val_score(VolatilityRegressor(name), MEASURES, cv=TimeSeriesSplit(3)))


def test_volatilities_by_label_are_measures() -> None:
    rv = MEASURES["rv_hourly"]
    expected = VolatilityRegressor("log_har").fit(MEASURES[:800]).predict(MEASURES[800:])
    np.testing.assert_array_equal(VolatilityRegressor("log_har").fit(rv[:800]).predict(rv[800:]), expected)


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
    with pytest.raises(BarsError, match="X is an array"):
        VolatilityRegressor().fit(np.ones((10, 2)))
    with pytest.raises(ValueError, match="Negative values"):
        VolatilityRegressor("ewma").fit(-np.ones((10, 2)))
    with pytest.raises(BarsError, match="one of each hour"):
        VolatilityRegressor().fit(BARS, np.ones(len(BARS)))
    with pytest.raises(ConfigError, match="no such"):
        VolatilityRegressor("no such").fit(MEASURES)
    with pytest.raises(NotEnoughDataError, match="no hour before"):
        VolatilityRegressor("ewma").fit(MEASURES).predict(MEASURES)
    without = VolatilityRegressor("diurnal_harq").fit(MEASURES["rv_hourly"].iloc[:-1])
    with pytest.raises(NotEnoughDataError, match="no quarticity"):
        without.predict(MEASURES.iloc[-1:])
