"""Statistics held to slow plain loops, to nine digits."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.backtest.statistics import (
    RealizedUtility,
    mean_difference_t,
    performance,
    sharpe_standard_error,
    tracking_error,
    volatility_standard_error,
)
from volcast.errors import ConfigError, NotEnoughDataError

return_lists = st.lists(st.floats(-0.2, 0.25), min_size=3, max_size=120)


def plain_mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def plain_long_run_variance(first: list[float], second: list[float]) -> float:
    """Newey and West's long-run covariance of two series around zero, sum by sum."""
    count = len(first)
    lags = min(int(4 * (count / 100) ** (2 / 9)), count - 2)
    total = math.fsum(a * b for a, b in zip(first, second, strict=True)) / count
    for lag in range(1, lags + 1):
        ahead = math.fsum(first[row] * second[row - lag] for row in range(lag, count)) / count
        behind = math.fsum(first[row - lag] * second[row] for row in range(lag, count)) / count
        total += (1 - lag / (lags + 1)) * (ahead + behind)
    return total


def plain_performance(returns: list[float]) -> dict[str, float]:
    capital, peak, worst = 1.0, 1.0, 0.0
    for value in returns:
        capital *= 1 + value
        peak = max(peak, capital)
        worst = min(worst, capital / peak - 1)
    mean, count = plain_mean(returns), len(returns)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in returns) / (count - 1))
    losses = math.sqrt(math.fsum(min(value, 0) ** 2 for value in returns) / count)
    annual = capital ** (252 / count) - 1 if count >= 63 else math.nan
    return {
        "total_return": capital - 1,
        "annual_return": annual,
        "annual_volatility": spread * math.sqrt(252),
        "sharpe": mean / spread * math.sqrt(252) if spread > 0 else math.nan,
        "sortino": mean / losses * math.sqrt(252) if losses > 0 else math.nan,
        "max_drawdown": worst,
        "calmar": annual / -worst if worst < 0 else math.nan,
    }


def plain_sharpe_error(returns: list[float]) -> float:
    mean = plain_mean(returns)
    spread = math.sqrt(plain_mean([(value - mean) ** 2 for value in returns]))
    first = [value - mean for value in returns]
    second = [(value - mean) ** 2 - spread**2 for value in returns]
    a, b = 1 / spread, -mean / (2 * spread**3)
    variance = (
        a * a * plain_long_run_variance(first, first)
        + 2 * a * b * (plain_long_run_variance(first, second) + plain_long_run_variance(second, first)) / 2
        + b * b * plain_long_run_variance(second, second)
    )
    return math.sqrt(max(variance, 0) / len(returns))


@given(return_lists)
def test_performance_is_that_of_a_plain_loop(returns: list[float]) -> None:
    figures, plain = performance(returns), plain_performance(returns)
    if np.ptp(returns) < 1e-9:
        return
    for name, value in plain.items():
        assert figures[name] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name


@given(return_lists)
def test_the_error_of_the_sharpe_ratio_is_that_of_a_plain_loop(returns: list[float]) -> None:
    if np.std(returns) < 1e-3:
        return
    assert sharpe_standard_error(np.array(returns)) == pytest.approx(plain_sharpe_error(returns), rel=1e-6, abs=1e-9)


def test_the_error_of_the_sharpe_ratio_of_normal_returns_is_los() -> None:
    # Lo 2002, equation 9: the variance of independent normal returns' ratio is (1 + SR^2 / 2) / n.
    returns = np.random.default_rng(1).normal(0.02, 0.1, 200_000)
    ratio = returns.mean() / returns.std()
    assert sharpe_standard_error(returns) == pytest.approx(math.sqrt((1 + ratio**2 / 2) / 200_000), rel=0.02)


def test_few_returns_are_not_annualized_and_none_are_refused() -> None:
    assert math.isnan(performance([0.01, -0.01])["annual_return"])
    assert math.isnan(performance([0.0, 0.0])["sharpe"])
    with pytest.raises(NotEnoughDataError, match="two at least"):
        performance([0.01])


def test_the_best_volatility_has_the_highest_utility() -> None:
    utility = RealizedUtility(0.15)
    volatilities = np.linspace(0.05, 0.30, 251)
    variance = pd.Series(volatilities**2 / 252)
    values = utility.of(variance, pd.Series(0.0, index=variance.index))
    assert volatilities[int(values.argmax())] == pytest.approx(0.15)
    assert values.max() == pytest.approx(0.4 * 0.15 / 2)
    dear = utility.of(variance, pd.Series(1e-4, index=variance.index))
    assert (values - dear).to_numpy() == pytest.approx(0.0252)
    with pytest.raises(ConfigError, match="target_volatility is 0"):
        RealizedUtility(0.0)


def test_t_of_a_difference_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(3)
    days = pd.RangeIndex(200)
    first, second = (pd.Series(random.normal(mean, 1.0, 200), index=days) for mean in (0.2, 0.0))
    difference = (first - second).tolist()
    mean = plain_mean(difference)
    deviations = [value - mean for value in difference]
    expected = mean / math.sqrt(plain_long_run_variance(deviations, deviations) / 200)
    assert mean_difference_t(first, second) == pytest.approx(expected, rel=1e-9)
    assert math.isnan(mean_difference_t(first, first))


def test_tracking_error_is_zero_on_target() -> None:
    assert tracking_error(pd.Series([0.15**2 / 252] * 5), 0.15) == pytest.approx(0.0, abs=1e-15)
    assert tracking_error(pd.Series([0.10**2 / 252, 0.20**2 / 252]), 0.15) == pytest.approx(0.05)


def test_the_error_of_a_volatility_is_that_of_many_samples() -> None:
    random = np.random.default_rng(3)
    samples = [pd.Series(0.01 * random.standard_t(8, 300)) for _ in range(400)]
    spread = np.std([sample.std() * math.sqrt(252) for sample in samples])
    errors = [volatility_standard_error(sample) for sample in samples]
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)
    assert math.isnan(volatility_standard_error(pd.Series([0.01, 0.01, 0.01])))
