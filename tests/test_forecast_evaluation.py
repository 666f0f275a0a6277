"""Losses against naive loops, and a verdict that can say no."""

import json
import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_evaluation import (
    compare_with_baselines,
    diebold_mariano_by_day,
    evaluate_forecasts,
    mae,
    mse,
    qlike,
    qlike_losses,
    r2,
)
from realized_volatility import get_hourly_rv

volatilities = st.lists(st.tuples(st.floats(1e-4, 0.1), st.floats(1e-4, 0.1)), min_size=2, max_size=30)


@settings(max_examples=50, deadline=None)
@given(pairs=volatilities)
def test_losses_equal_naive_loops(pairs: list[tuple[float, float]]) -> None:
    realized, forecast = map(list, zip(*pairs, strict=True))
    h = [r**2 / f**2 for r, f in pairs]
    assert qlike(realized, forecast) == pytest.approx(sum(x - math.log(x) - 1 for x in h) / len(h), rel=1e-9, abs=1e-12)
    assert mse(realized, forecast) == pytest.approx(sum((r - f) ** 2 for r, f in pairs) / len(pairs), abs=1e-15)
    assert mae(realized, forecast) == pytest.approx(sum(abs(r - f) for r, f in pairs) / len(pairs), abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(pairs=volatilities)
def test_qlike_is_nowhere_negative_and_zero_only_when_right(pairs: list[tuple[float, float]]) -> None:
    realized, forecast = map(np.array, zip(*pairs, strict=True))
    assert (qlike_losses(realized, forecast) >= -1e-12).all()
    assert (qlike_losses(realized, realized) == 0).all()


def test_r2_of_the_mean_is_zero_and_of_the_truth_one() -> None:
    realized = np.array([0.01, 0.02, 0.04])
    assert r2(realized, np.full(3, realized.mean())) == pytest.approx(0)
    assert r2(realized, realized) == 1
    assert math.isnan(r2([0.01, 0.01], [0.01, 0.02]))


def labels(days: int) -> pd.DatetimeIndex:
    dates = pd.bdate_range("2024-01-01", periods=days)
    return pd.DatetimeIndex([f"{day:%Y-%m-%d} {hour}:00" for day in dates for hour in range(10, 17)]).tz_localize(
        "America/New_York"
    )


def test_diebold_mariano_rejects_at_its_nominal_rate_when_losses_cluster_by_day() -> None:
    index, random = labels(60), np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        by_day = np.repeat(random.standard_normal(60), 7)
        difference = pd.Series(by_day + 0.1 * random.standard_normal(420), index=index)
        rejected += diebold_mariano_by_day(difference, pd.Series(0.0, index=index)) < 0.05
    assert 0.02 < rejected / 400 < 0.09


def test_diebold_mariano_sees_a_real_difference() -> None:
    index, random = labels(60), np.random.default_rng(0)
    loss = pd.Series(1 + 0.1 * random.standard_normal(420), index=index)
    assert diebold_mariano_by_day(loss, loss - 0.1 - 0.01 * random.random(420)) < 0.001
    assert math.isnan(diebold_mariano_by_day(loss, loss))


def test_buckets_in_which_nothing_moved_are_left_out_for_all_alike() -> None:
    index = labels(5)
    realized = pd.Series(0.01, index=index)
    realized.iloc[[3, 4]] = 0.0
    evaluation = evaluate_forecasts(realized, {"diurnal_log_har": np.full(35, 0.01), "network": np.full(35, 0.02)})
    assert (evaluation.buckets, evaluation.left_out) == (33, 2)
    assert evaluation.metrics["diurnal_log_har"]["qlike"] == 0


@pytest.fixture(scope="module")
def rv(bars: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(bars)


def judged(rv: pd.Series, noise: float) -> str:
    """The verdict on a network that knows the truth up to `noise`."""
    random = np.random.default_rng(0)

    def network(
        measures: pd.DataFrame, targets: pd.DatetimeIndex, known: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        truth = measures["rv_hourly"][targets].to_numpy()
        return np.asarray(truth * np.exp(noise * random.standard_normal(len(truth))))

    return compare_with_baselines(rv.to_frame(), np.arange(800, len(rv)), network).verdict


def test_the_verdict_can_say_yes_and_no(rv: pd.Series) -> None:
    assert "use it" in judged(rv, 0.01)
    assert judged(rv, 1.5).startswith("Do not use this network")


def test_too_little_history_for_the_log_har_is_said(rv: pd.Series) -> None:
    evaluation = compare_with_baselines(
        rv.to_frame(), np.arange(200, 240), lambda measures, targets, known: np.full(len(known), 0.01)
    )
    assert "diurnal_log_har" not in evaluation.metrics
    assert "Too little history" in evaluation.verdict


def test_an_evaluation_is_json(rv: pd.Series) -> None:
    evaluation = compare_with_baselines(rv.to_frame(), np.arange(800, len(rv)))
    again = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert set(again["metrics"]) == {"persistence", "diurnal_ewma", "diurnal_log_har"}
    assert again["metrics"]["diurnal_log_har"]["qlike_ratio"] == 1
