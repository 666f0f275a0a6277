"""Every estimator keeps the rules, and the suite finds each way to break one."""

from collections.abc import Callable

import numpy as np
import pytest

from volcast.arrays import Float64Array1D
from volcast.errors import ConfigError
from volcast.measures.bucketed import BucketedBars
from volcast.measures.estimators import ESTIMATORS, Estimator, close_to_close, price_logs
from volcast.testing.estimators import check_estimator


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_keeps_the_rules(name: str) -> None:
    check_estimator(name, share=0.5 if "semivariance" in name else 1.0)


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(ConfigError, match="no estimator named 'garch'; it must be one of close"):
        check_estimator("garch")


def too_much(bars: BucketedBars) -> Float64Array1D:
    return 1.05 * close_to_close(bars)


def with_a_constant(bars: BucketedBars) -> Float64Array1D:
    return close_to_close(bars) + 1e-7


def of_prices(bars: BucketedBars) -> Float64Array1D:
    level = bars.total(price_logs(bars)[3]) / np.maximum(bars.total(np.ones(len(bars.bucket))), 1.0)
    return close_to_close(bars) * (1 + 1e-4 * level)


def with_the_next(bars: BucketedBars) -> Float64Array1D:
    variance = close_to_close(bars)
    return 0.99 * variance + 0.01 * np.append(variance[1:], variance[-1:])


def with_all_before(bars: BucketedBars) -> Float64Array1D:
    variance = close_to_close(bars)
    return 0.99 * variance + 0.01 * np.cumsum(variance) / np.arange(1, len(variance) + 1)


def in_order_of_time(bars: BucketedBars) -> Float64Array1D:
    return close_to_close(bars)[np.argsort(bars.labels, kind="stable")]


def none_of_few(bars: BucketedBars) -> Float64Array1D:
    few = bars.number(bars.bucket) < 4
    return np.where(few, np.nan, close_to_close(bars))


def below_zero(bars: BucketedBars) -> Float64Array1D:
    return np.where(bars.number(bars.bucket) < 4, -1e-9, close_to_close(bars))


def with_a_floor(bars: BucketedBars) -> Float64Array1D:
    return np.maximum(close_to_close(bars), 1e-8)


def refuses_wrongly(bars: BucketedBars) -> Float64Array1D:
    if bars.minutes > 30:
        raise ValueError("too long")
    return close_to_close(bars)


@pytest.mark.parametrize(
    ("variance", "said"),
    [
        (too_much, r"gives 1\.0[45]\d* of the variance"),
        (with_a_constant, "twice the log returns"),
        (of_prices, "prices 37 times as high"),
        (with_the_next, "bars after .* change the variance"),
        (with_all_before, "bars before .* change the variance"),
        (in_order_of_time, "beside another one than alone"),
        (none_of_few, "in a bucket of few bars .* is nan"),
        (below_zero, "in a bucket of few bars"),
        (with_a_floor, "prices that stand still"),
        (refuses_wrongly, "raises ValueError"),
    ],
)
# A negative variance has no root, which NumPy says before the suite does.
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_broken_estimator_is_found(variance: Callable[[BucketedBars], Float64Array1D], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_estimator(Estimator(variance, from_ranges=True))


def test_half_the_variance_is_not_all_of_it() -> None:
    with pytest.raises(AssertionError, match="the rule is 1, within 3 %"):
        check_estimator("down_semivariance")
