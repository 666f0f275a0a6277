"""Tests of equal accuracy and of bias: against slow versions, at their nominal rates, and where they must reject."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from volcast.arrays import Float64Array1D, time_index
from volcast.evaluation.losses import qlike_losses
from volcast.evaluation.significance import diebold_mariano_by_day, mincer_zarnowitz, model_confidence_set


def labels(days: int) -> pd.DatetimeIndex:
    dates = pd.bdate_range("2024-01-01", periods=days)
    return pd.DatetimeIndex([f"{day:%Y-%m-%d} {hour}:00" for day in dates for hour in range(10, 17)]).tz_localize(
        "America/New_York"
    )


def plain_diebold_mariano(difference: pd.Series) -> float:
    """Day by day, lag by lag."""
    mean, count = float(difference.mean()), len(difference)
    dates = sorted(set(time_index(difference).date))
    n = len(dates)
    sums = [sum(difference[time_index(difference).date == date]) * n / count - mean for date in dates]
    lags = min(int(4 * (n / 100) ** (2 / 9)), n - 2)
    variance = sum(s * s for s in sums) / n
    for lag in range(1, lags + 1):
        covariance = sum(sums[t] * sums[t - lag] for t in range(lag, n)) / n
        variance += 2 * (1 - lag / (lags + 1)) * covariance
    h = lags + 1
    harvey = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    return float(2 * stats.t.sf(abs(mean / math.sqrt(variance / n) * harvey), n - 1))


def test_diebold_mariano_equals_the_plain_version() -> None:
    random = np.random.default_rng(0)
    index = labels(40).delete([3, 4, 5, 100])  # Half-days: not every day has the same number of buckets.
    loss, other = (pd.Series(random.standard_normal(len(index)) ** 2, index=index) for _ in range(2))
    assert diebold_mariano_by_day(loss, other) == pytest.approx(plain_diebold_mariano(loss - other), rel=1e-9)


def two_equally_good_forecasts(
    random: np.random.Generator, days: int
) -> tuple[Float64Array1D, Float64Array1D, Float64Array1D]:
    """Realized volatility, and two forecasts that err as much, for days on end and the whole day in one direction."""
    truth = np.exp(0.3 * random.standard_normal(7 * days) - 6)
    realized = truth * np.exp(0.2 * random.standard_normal(7 * days))
    errors = np.zeros((days, 2))
    for day in range(1, days):
        errors[day] = 0.4 * errors[day - 1] + 0.2 * random.standard_normal(2)
    hourly = np.repeat(errors, 7, axis=0) + 0.1 * random.standard_normal((7 * days, 2))
    return realized, truth * np.exp(hourly[:, 0]), truth * np.exp(hourly[:, 1])


@pytest.mark.parametrize("days", [60, 125])
def test_diebold_mariano_rejects_at_its_nominal_rate(days: int) -> None:
    index, random = labels(days), np.random.default_rng(0)
    rejected = 0
    for _ in range(500):
        realized, first, second = two_equally_good_forecasts(random, days)
        losses = [pd.Series(qlike_losses(realized, forecast), index=index) for forecast in (first, second)]
        rejected += diebold_mariano_by_day(*losses) < 0.05
    # Within two standard errors of a binomial rate of 0.05 over 500, 0.031 to 0.069, and a little for small samples.
    assert 0.03 <= rejected / 500 <= 0.075


def test_diebold_mariano_sees_a_real_difference() -> None:
    index, random = labels(60), np.random.default_rng(0)
    loss = pd.Series(1 + 0.1 * random.standard_normal(420), index=index)
    assert diebold_mariano_by_day(loss, loss - 0.1 - 0.01 * random.random(420)) < 0.001
    assert math.isnan(diebold_mariano_by_day(loss, loss))
    assert math.isnan(diebold_mariano_by_day(loss[:14], loss[:14] + 1))


def test_mincer_zarnowitz_equals_statsmodels() -> None:
    index, random = labels(80), np.random.default_rng(1)
    forecast = np.exp(0.4 * random.standard_normal(560) - 6)
    realized = pd.Series(forecast * np.exp(0.3 * random.standard_normal(560)), index=index)
    days = np.repeat(np.arange(80), 7)
    unit = float((realized**2).mean())
    fitted = sm.OLS(realized.to_numpy() ** 2 / unit, sm.add_constant(forecast**2 / unit)).fit(
        cov_type="hac-groupsum",
        cov_kwds={"time": days, "maxlags": int(4 * (80 / 100) ** (2 / 9)), "use_correction": False},
    )
    ours = mincer_zarnowitz(realized, forecast)
    assert ours.intercept / unit == pytest.approx(fitted.params[0], rel=1e-9)
    assert ours.slope == pytest.approx(fitted.params[1], rel=1e-9)
    assert ours.intercept_error / unit == pytest.approx(fitted.bse[0], rel=1e-9)
    assert ours.slope_error == pytest.approx(fitted.bse[1], rel=1e-9)
    wald = fitted.wald_test((np.eye(2), np.array([0.0, 1.0])), use_f=False, scalar=True)
    assert ours.p_value == pytest.approx(float(wald.pvalue), rel=1e-6)


def test_mincer_zarnowitz_sees_bias_and_no_bias() -> None:
    index, random = labels(120), np.random.default_rng(2)
    forecast = np.exp(0.5 * random.standard_normal(840) - 6)
    # The square of the noise has mean one: the forecast variance is right on average.
    realized = pd.Series(forecast * np.exp(0.2 * random.standard_normal(840) - 0.04), index=index)
    assert mincer_zarnowitz(realized, forecast).p_value > 0.05
    assert mincer_zarnowitz(realized, 1.3 * forecast).p_value < 0.001
    assert math.isnan(mincer_zarnowitz(realized, np.full(840, 0.01)).slope)


def test_the_confidence_set_keeps_the_best_and_drops_the_worst() -> None:
    index, random = labels(60), np.random.default_rng(3)
    base = pd.Series(random.standard_normal(420) ** 2, index=index)
    losses = pd.DataFrame(
        {
            "good": base,
            "as good": base + 0.3 * random.standard_normal(420),
            "bad": base + 1 + 0.3 * random.standard_normal(420),
        }
    )
    losses["good again"] = losses["good"]
    found = model_confidence_set(losses)
    assert found["bad"] < 0.01
    assert min(found["good"], found["as good"]) > 0.1
    assert found["good again"] == found["good"]
    assert found.equals(model_confidence_set(losses))


def test_forecasts_that_are_equal_but_for_rounding_share_their_value() -> None:
    random = np.random.default_rng(3)
    loss = random.gamma(1.0, 0.2, 7 * 60)
    losses = pd.DataFrame({"one": loss, "other": random.gamma(1.0, 0.3, 7 * 60), "twin": loss + 2e-16}, labels(60))
    values = model_confidence_set(losses)
    assert values["twin"] == values["one"] == model_confidence_set(losses[["one", "other"]])["one"]
    rounded = loss * (1 + 1e-16 * random.choice([-2, 0, 2], len(loss)))
    assert (model_confidence_set(pd.DataFrame({"one": loss, "twin": rounded}, labels(60))) == 1).all()


def test_a_set_needs_days_and_rivals() -> None:
    index = labels(10)
    losses = pd.DataFrame({"one": np.arange(70.0), "other": np.ones(70)}, index=index)
    assert model_confidence_set(losses).isna().all()
    index = labels(30)
    same = pd.DataFrame({"one": np.arange(210.0), "twin": np.arange(210.0)}, index=index)
    assert (model_confidence_set(same) == 1).all()


def test_the_days_of_a_session_are_those_of_its_own_clock() -> None:
    """A session of Tokyo crosses midnight in New York; a coin's day ends at midnight."""
    random = np.random.default_rng(8)
    day = random.normal(size=40)
    for hours, zone in ((range(10, 16), "Asia/Tokyo"), (range(1, 25), "UTC")):
        index = pd.DatetimeIndex(
            [date + pd.Timedelta(hours=hour) for date in pd.date_range("2024-01-01", periods=40) for hour in hours]
        ).tz_localize(zone)
        loss = pd.Series(np.repeat(day, len(hours)), index)
        # The buckets of a day say the same: they are one observation.
        noons = pd.Series(day, pd.date_range("2024-01-01 12:00", periods=40, tz=zone))
        assert diebold_mariano_by_day(loss, 0 * loss) == pytest.approx(diebold_mariano_by_day(noons, 0 * noons))
