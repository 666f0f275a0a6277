"""Every horizon keeps the rules, and the suite finds each way to break one."""

from dataclasses import replace

import numpy as np
import pytest

from volcast.arrays import BoolArray1D, Float64Array1D
from volcast.errors import ConfigError
from volcast.forecasters.horizons import HORIZONS, Horizon, HorizonOutcomes, HorizonRule, buckets_ahead
from volcast.testing.horizons import check_horizon

THREE = buckets_ahead(3, "three buckets")


@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_horizon_keeps_the_rules(horizon: Horizon) -> None:
    check_horizon(horizon)


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="no horizon 'week'"):
        check_horizon("week")


def two_of_three(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    right = THREE.outcomes(variance, opens)
    two = buckets_ahead(2, "").outcomes(variance, opens)
    return HorizonOutcomes(np.where(np.isnan(right.volatility), np.nan, two.volatility), right.known_with)


def too_soon(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    right = THREE.outcomes(variance, opens)
    return HorizonOutcomes(right.volatility, np.where(np.isnan(right.volatility), len(variance), right.known_with - 1))


def zero_until_known(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    right = THREE.outcomes(variance, opens)
    return HorizonOutcomes(np.nan_to_num(right.volatility), right.known_with)


def never(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    return HorizonOutcomes(np.full(len(variance), np.nan), np.full(len(variance), len(variance)))


def differences_of_sums(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    right = THREE.outcomes(variance, opens)
    sums = np.concatenate([[0.0], np.cumsum(variance), np.full(3, np.nan)])
    return HorizonOutcomes(np.sqrt(sums[3 : 3 + len(variance)] - sums[: len(variance)]), right.known_with)


def rounded_by_what_comes(variance: Float64Array1D, opens: BoolArray1D) -> HorizonOutcomes:
    right = THREE.outcomes(variance, opens)
    last = 1e-15 * float(variance[-1:].sum()) / 1e-5
    return HorizonOutcomes(right.volatility * (1 + last), right.known_with)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(THREE, outcomes=two_of_three), "not the root of the variance"),
        (replace(THREE, outcomes=too_soon), "is known with bucket 1, and the horizon lasts to bucket 2"),
        (replace(THREE, outcomes=zero_until_known), "is there and not known"),
        (replace(THREE, outcomes=never), "no outcome .* is ever known"),
        (replace(THREE, outcomes=differences_of_sums), "change when the buckets begin"),
        (replace(THREE, outcomes=rounded_by_what_comes), "change later|changes outcomes"),
        (replace(THREE, ends=lambda sessions: np.arange(len(sessions))), "ends before its first bucket has"),
        (replace(THREE, ends=lambda sessions: np.arange(3) + 3), "ends has shape"),
        (
            replace(THREE, ends=lambda sessions: np.arange(len(sessions)) + 3 + 5 * (np.arange(len(sessions)) % 2)),
            "ends before one that began earlier",
        ),
    ],
)
def test_a_broken_horizon_is_found(broken: HorizonRule, said: str) -> None:
    with pytest.raises(AssertionError, match=f"three buckets.*{said}|{said}"):
        check_horizon(broken)
