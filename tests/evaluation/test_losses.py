"""Losses against naive loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.evaluation.losses import (
    coverage,
    interval_scores,
    mae,
    mse,
    mse_log,
    mse_variance,
    pinball_losses,
    qlike,
    qlike_losses,
    r2,
    r2_against,
)

volatility = st.floats(1e-4, 0.1)
pairs_of_them = st.lists(st.tuples(volatility, volatility), min_size=2, max_size=30)
triples = st.lists(st.tuples(volatility, volatility, volatility), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(pairs=pairs_of_them)
def test_losses_equal_naive_loops(pairs: list[tuple[float, float]]) -> None:
    realized, forecast = map(list, zip(*pairs, strict=True))
    h = [r**2 / f**2 for r, f in pairs]
    count = len(pairs)
    assert qlike(realized, forecast) == pytest.approx(sum(x - math.log(x) - 1 for x in h) / count, rel=1e-9, abs=1e-12)
    assert mse(realized, forecast) == pytest.approx(sum((r - f) ** 2 for r, f in pairs) / count, abs=1e-15)
    assert mse_variance(realized, forecast) == pytest.approx(sum((r * r - f * f) ** 2 for r, f in pairs) / count)
    logs = sum((math.log(r) - math.log(f)) ** 2 for r, f in pairs) / count
    assert mse_log(realized, forecast) == pytest.approx(logs, abs=1e-12)
    assert mae(realized, forecast) == pytest.approx(sum(abs(r - f) for r, f in pairs) / count, abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(pairs=pairs_of_them)
def test_qlike_is_nowhere_negative_and_zero_only_when_right(pairs: list[tuple[float, float]]) -> None:
    realized, forecast = map(np.array, zip(*pairs, strict=True))
    assert (qlike_losses(realized, forecast) >= -1e-12).all()
    assert (qlike_losses(realized, realized) == 0).all()


def test_a_forecast_of_nothing_counts_as_the_floor() -> None:
    assert qlike(0.001, 0.0) == qlike(0.001, 1e-5)
    assert mse_log(0.0, 1e-5) == 0


def test_r2_of_the_benchmark_is_zero_and_of_the_truth_one() -> None:
    realized = np.array([0.01, 0.02, 0.04])
    assert r2(realized, np.full(3, realized.mean())) == pytest.approx(0)
    assert r2(realized, realized) == 1
    assert math.isnan(r2([0.01, 0.01], [0.01, 0.02]))
    assert r2_against(realized, [0.01, 0.02, 0.03], [0.01, 0.02, 0.02]) == pytest.approx(0.75)
    assert math.isnan(r2_against(realized, realized, realized))


@settings(max_examples=50, deadline=None)
@given(rows=triples, level=st.floats(0.5, 0.99))
def test_scores_of_intervals_equal_naive_loops(rows: list[tuple[float, float, float]], level: float) -> None:
    realized = [row[0] for row in rows]
    lower, upper = [min(row[1:]) for row in rows], [max(row[1:]) for row in rows]
    inside, scores = 0, []
    for y, low, high in zip(realized, lower, upper, strict=True):
        score = high - low
        if y < low:
            score += 2 / (1 - level) * (low - y)
        elif y > high:
            score += 2 / (1 - level) * (y - high)
        else:
            inside += 1
        scores.append(score)
    np.testing.assert_allclose(interval_scores(realized, lower, upper, level), scores, atol=1e-12)
    assert coverage(realized, lower, upper) == pytest.approx(inside / len(rows))


@settings(max_examples=50, deadline=None)
@given(pairs=pairs_of_them, probability=st.floats(0.01, 0.99))
def test_pinball_loss_equals_the_naive_loop(pairs: list[tuple[float, float]], probability: float) -> None:
    realized, quantile = map(list, zip(*pairs, strict=True))
    naive = [(y - q) * probability if y >= q else (q - y) * (1 - probability) for y, q in pairs]
    np.testing.assert_allclose(pinball_losses(realized, quantile, probability), naive, atol=1e-15)


def test_the_right_quantiles_have_the_smallest_losses() -> None:
    sample = np.exp(np.random.default_rng(0).standard_normal(20_000) / 2)
    low, high = np.quantile(sample, [0.05, 0.95])
    best = interval_scores(sample, low, high).mean()
    for factor in (0.8, 1.25):
        assert best < interval_scores(sample, low * factor, high).mean()
        assert best < interval_scores(sample, low, high * factor).mean()
        assert pinball_losses(sample, high, 0.95).mean() < pinball_losses(sample, high * factor, 0.95).mean()
