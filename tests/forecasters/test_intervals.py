"""Bounds that learn from their misses: whatever the errors do, however late they are known, as a plain loop does it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import Float32Array3D, Float64Array1D, Int64Array1D, time_index
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_outcomes
from volcast.forecasters.intervals import MISS, QuantileTracker
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets, with_networks

HOURS = np.tile(np.arange(10, 17), 1000)


def tracked(
    tracker: QuantileTracker, errors: Float64Array1D, given: Int64Array1D
) -> tuple[Float64Array1D, Float64Array1D]:
    """The quantiles before each bucket and after the last."""
    hours = HOURS[: len(errors)]
    begun = np.array([tracker.lower]), np.array([tracker.upper])
    lowers, uppers = tracker.carried_on(errors, hours, *begun, given)
    return np.append(begun[0], lowers), np.append(begun[1], uppers)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_bounds_learn_from_their_misses(shift: float) -> None:
    """Scores that move away after training are covered again after a while, on either side."""
    past, future = np.random.default_rng(3).standard_normal((2, 7000)) * 0.3
    tracker = QuantileTracker.fit(past, HOURS)
    lowers, uppers = tracked(tracker, future + shift, np.arange(7000))
    scores = (future + shift) / tracker.hour_spread[HOURS]
    assert np.mean(scores > uppers[:-1]) == pytest.approx(MISS, abs=0.01)
    assert np.mean(scores < lowers[:-1]) == pytest.approx(MISS, abs=0.01)


@pytest.mark.parametrize("late", [7, 35])
def test_outcomes_that_overlap_and_come_late_are_covered_too(late: int) -> None:
    """Each is the mean of as many surprises as it is late; the validation part holds few that share none."""
    covered = []
    for seed in range(20):
        surprises = np.random.default_rng(seed).standard_normal(500 + 2000 + 2 * late)
        outcomes = np.convolve(surprises, np.ones(late) / np.sqrt(late), mode="valid")
        past, future = outcomes[:500], outcomes[500:2500]
        tracker = QuantileTracker.fit(past, HOURS[:500], late)
        given = np.maximum(np.arange(2000) - late + 1, 0)
        lowers, uppers = tracked(tracker, future, given)
        scores = future / tracker.hour_spread[HOURS[:2000]]
        covered.append(np.mean((scores >= lowers[given]) & (scores <= uppers[given])))
    assert np.mean(covered) == pytest.approx(1 - 2 * MISS, abs=0.015)
    assert min(covered) > 0.83


def test_few_outcomes_begin_with_wide_bounds() -> None:
    errors = np.random.default_rng(1).standard_normal(700)
    alone, together = (QuantileTracker.fit(errors, HOURS[:700], overlap) for overlap in (1, 35))
    assert together.upper > alone.upper
    assert together.lower < alone.lower
    assert together.rate < alone.rate
    # Twenty that share nothing: beyond the largest of nineteen, one in twenty.
    assert QuantileTracker.fit(errors[:19], HOURS[:19]).upper == pytest.approx(errors[:19].max() / np.std(errors[:19]))


def plainly_tracked(
    tracker: QuantileTracker, scores: Float64Array1D, step: Callable[[int], float]
) -> list[tuple[float, float]]:
    """The quantiles before each outcome and after the last, in steps that follow from the outcomes behind them."""
    quantiles = [(tracker.lower, tracker.upper)]
    for behind, score in enumerate(scores, tracker.count):
        lower, upper = quantiles[-1]
        length = step(behind) * tracker.spread
        quantiles.append((lower - length * ((score < lower) - MISS), upper + length * ((score > upper) - MISS)))
    return quantiles


@pytest.mark.parametrize("count", [5, 40, 149, 150, 400])
def test_steps_are_larger_where_few_outcomes_stand_behind_the_bounds(count: int) -> None:
    errors = np.random.default_rng(count).standard_normal(count + 300)
    tracker = QuantileTracker.fit(errors[:count], HOURS[:count])
    later = errors[count:]
    scores = later / tracker.hour_spread[HOURS[:300]]
    followed = np.array(plainly_tracked(tracker, scores, lambda behind: max(0.1, min(15 / behind, 1.0))))
    whole = tracked(tracker, later, np.arange(300))
    np.testing.assert_array_equal(np.column_stack(whole), followed)
    steady = np.array(plainly_tracked(tracker, scores, lambda behind: 0.1))
    assert (followed == steady).all() == (count >= 150)
    # In two goes they are the same.
    begun = [bound[:101] for bound in whole]
    parts = tracker.carried_on(later[100:], HOURS[100:300], begun[0], begun[1], np.arange(100, 300))
    np.testing.assert_array_equal(np.column_stack(parts), followed[101:])


def test_a_year_of_sessions_is_covered_after_few_of_them() -> None:
    """Forty outcomes tell a quantile of 5 % badly, and as many as two years of sessions have to tell the rest."""
    off: dict[str, list[float]] = {"as it is": [], "in steps of old": []}
    for seed in range(300):
        errors = np.random.default_rng(seed).standard_normal(40 + 120)
        tracker = QuantileTracker.fit(errors[:40], HOURS[:40])
        for name, one in {"as it is": tracker, "in steps of old": replace(tracker, count=1_000_000)}.items():
            lowers, uppers = tracked(one, errors[40:], np.arange(120))
            scores = errors[40:] / one.hour_spread[HOURS[:120]]
            inside = np.mean((scores >= lowers[:-1]) & (scores <= uppers[:-1]))
            off[name].append(float(inside) - (1 - 2 * MISS))
    as_it_is, of_old = (np.array(values) for values in off.values())
    assert abs(as_it_is.mean()) < 0.01
    # Chance alone, with bounds that were right, is 0.027.
    assert np.sqrt(np.mean(as_it_is**2)) < 0.026 < 0.031 < np.sqrt(np.mean(of_old**2))


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    return get_hourly_measures(make_bars("2024-05-01", "2024-12-31", seed=5, minutes=5))


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    """The regression alone."""
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.25)

    made = har_lstm_targets({"SPY": measures}, {"SPY": split})

    def network(windows: Float32Array3D, side: object = None) -> Float64Array1D:
        return np.zeros(len(windows))

    return with_networks(made.regression, (network,), {"SPY": measures}, {"SPY": split})


@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_miss_is_one_of_the_bounds_that_were_given(recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon) -> None:
    tracker, outcomes = recipe.horizons[horizon].tracker, horizon_outcomes(measures, horizon)
    first = int(measures.index.searchsorted(recipe.trained_through, side="right"))
    positions, hours = np.arange(first, len(measures)), market_named("XNYS").hours_of_labels(time_index(measures))
    made = recipe.forecast((), measures, time_index(measures)[positions], positions, horizon)
    lower, upper, noted = tracker.lower, tracker.upper, 0
    given: list[tuple[float, float]] = []
    for row, position in enumerate(positions):
        while noted < row and outcomes.known_with[positions[noted]] < position:
            error = np.log(outcomes.volatility[positions[noted]] / made.volatility[noted])
            score = error / tracker.hour_spread[hours[positions[noted]]]
            step = max(tracker.rate, min(15 / (tracker.count + noted), 1.0)) * tracker.spread
            lower -= step * ((score < given[noted][0]) - MISS)
            upper += step * ((score > given[noted][1]) - MISS)
            noted += 1
        given.append((lower, upper))
        spread = tracker.hour_spread[hours[position]]
        assert made.lower[row] == pytest.approx(made.volatility[row] * np.exp(lower * spread), rel=1e-9)
        assert made.upper[row] == pytest.approx(made.volatility[row] * np.exp(upper * spread), rel=1e-9)
    assert noted > 100
    again = QuantileTracker.from_dict(tracker.to_dict())
    assert (again.rate, again.count) == (tracker.rate, tracker.count)
