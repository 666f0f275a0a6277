"""The networks' weight is what the data support, and each day that ends moves it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.forecasters.har_lstm.weight import NetworkWeight, RunningWeight

ROWS = 700
RANDOM = np.random.default_rng(3)
DAYS = np.repeat(np.arange(100), 7)
CORRECTIONS = 0.2 * RANDOM.standard_normal(ROWS)
NOISE = 0.3 * RANDOM.standard_normal(ROWS) - 0.09
TOGETHER = np.repeat(0.3 * RANDOM.standard_normal(100) - 0.09, 7)
START = NetworkWeight(0.6, 40.0, 50.0)


def test_it_is_what_the_data_support() -> None:
    sure, doubtful, wrong = (
        NetworkWeight.fit(share * CORRECTIONS + NOISE, CORRECTIONS, DAYS).supported for share in (1.0, 0.1, -1.0)
    )
    assert 0.8 < sure <= 1
    assert doubtful < 0.1
    assert wrong == 0
    assert NetworkWeight.fit(NOISE, np.zeros(ROWS), DAYS) == NetworkWeight.fixed(0.0)


def test_errors_that_go_together_within_a_day_say_less_than_as_many_that_do_not() -> None:
    shared = np.repeat(CORRECTIONS[::7], 7)
    one_a_day, many = (
        NetworkWeight.fit(0.5 * shared + TOGETHER, shared, days).supported for days in (DAYS, np.arange(ROWS))
    )
    assert one_a_day < many


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.8, 1.0), (0.0, 0.0, 0.2), (-1.0, 0.0, 0.0)])
def test_days_move_it_to_what_the_networks_are_worth(share: float, low: float, high: float) -> None:
    weight = START
    for day in range(100):
        rows = day == DAYS
        weight = weight.after_day((share * CORRECTIONS + NOISE)[rows], CORRECTIONS[rows])
    assert low <= weight.supported <= high


def test_one_wrong_price_does_not_outweigh_what_was_learnt() -> None:
    before = NetworkWeight.fit(CORRECTIONS + NOISE, CORRECTIONS, DAYS)
    after = before.after_day(np.array([9.0]), np.array([0.1]))
    assert after.supported == pytest.approx(before.supported, abs=0.05)


def test_one_of_many_symbols_is_as_little_sure_as_one() -> None:
    """Seven symbols of the same days, each like the other: what one of them supports, and how fast it is moved."""
    errors = CORRECTIONS + NOISE
    alone = NetworkWeight.fit(errors, CORRECTIONS, DAYS)
    seven = NetworkWeight.fit(np.tile(errors, 7), np.tile(CORRECTIONS, 7), np.tile(DAYS, 7)).of_one_among(7)
    assert vars(seven) == pytest.approx(vars(alone))


def plain_weight(errors: Any, corrections: Any, days: Any, count: int) -> float:
    """`START` after the first `count` rows, one after the other."""
    best, curvature, squares = START.best, START.curvature, START.slope_squares
    for day in sorted(set(days[:count].tolist())):
        slope = added = 0.0
        for row in range(count):
            if days[row] == day:
                ratio = np.exp(min(2 * (errors[row] - best * corrections[row]), 2.0))
                slope += 2 * corrections[row] * (1 - ratio)
                added += 4 * corrections[row] ** 2 * ratio
        curvature, squares = curvature + added, squares + slope**2
        best = min(max(best - slope / curvature, 0.0), 3.0)
    return float(np.clip(best - np.sqrt(squares) / curvature, 0, 1))


@given(st.data())
def test_it_is_the_same_however_many_rows_come_at_a_time(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    first = data.draw(st.integers(0, ROWS - count))
    rows = slice(first, first + count)
    errors, outputs, days = (CORRECTIONS + NOISE)[rows], CORRECTIONS[rows] / 0.5, DAYS[rows]
    begins = np.flatnonzero(np.diff(days, prepend=-1))
    at_once, by_parts = RunningWeight(START, 0.5), RunningWeight(START, 0.5)
    at_once.add(errors, outputs, days)
    stops = sorted({*data.draw(st.lists(st.integers(0, count), max_size=5)), count})
    for begin, stop in zip([0, *stops], stops, strict=False):
        by_parts.add(errors[begin:stop], outputs[begin:stop], days[begin:stop])
        by_parts.supported(begins[begins <= stop])
    if data.draw(st.booleans()):
        kept = data.draw(st.integers(0, count))
        by_parts.forget(kept)
        assert len(by_parts) == kept
        by_parts.add(errors[kept:], outputs[kept:], days[kept:])
    counts = np.append(begins, count)
    weights = at_once.supported(counts)
    np.testing.assert_array_equal(by_parts.supported(counts), weights)
    expected = [plain_weight(errors, CORRECTIONS[rows], days, one) for one in counts]
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-12)


def test_a_fixed_weight_stays_as_it_is() -> None:
    weight = RunningWeight(NetworkWeight.fixed(0.05), 0.5)
    weight.add(NOISE, CORRECTIONS, DAYS)
    assert weight.supported(np.array([0, 7, ROWS])).tolist() == [0.05] * 3


@pytest.mark.parametrize("weight", [START, NetworkWeight.fixed(0.4)])
def test_it_is_the_same_after_saving(weight: NetworkWeight) -> None:
    numbers = json.loads(json.dumps(weight.to_dict()))
    assert numbers["weight"] == weight.supported
    assert NetworkWeight.from_dict(numbers) == weight
