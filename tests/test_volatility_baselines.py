"""Every baseline held against a slow version that only ever touches the past."""

import math

import numpy as np
import pandas as pd
import pytest

from errors import NotEnoughDataError
from forecast_evaluation import compare_with_baselines
from realized_volatility import get_hourly_rv
from volatility_baselines import BASELINES, diurnal_ewma, diurnal_log_har, persistence

LAGS = (1, 7, 35, 154)


@pytest.fixture(scope="module")
def rv(bars: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(bars)


def plain_ewma(rv: pd.Series, target_hour: int, known: int, decay: float = 0.94) -> float:
    hours, variances = rv.index.hour[:known], rv.to_numpy()[:known] ** 2
    level = math.nan
    for i in range(known):
        same_hour = [variances[j] for j in range(i + 1) if hours[j] == hours[i]]
        ratio = variances[i] / (sum(same_hour) / len(same_hour))
        level = ratio if i == 0 else decay * level + (1 - decay) * ratio
    of_target = [variances[j] for j in range(known) if hours[j] == target_hour]
    return math.sqrt(level * sum(of_target) / len(of_target))


def plain_log_har(rv: pd.Series, first: int, position: int) -> float:
    """The forecast for `rv[position]`, the first forecast of all being that of `rv[first]`."""
    logs = [math.log(value) for value in rv]
    hours = list(rv.index.hour)
    profile = {hour: np.mean([logs[i] for i in range(first) if hours[i] == hour]) for hour in set(hours[:first])}
    clean = [log - profile[hour] for log, hour in zip(logs, hours, strict=True)]
    today = rv.index[position].date()
    refit = min(i for i in range(first, position + 1) if rv.index[i].date() == today)

    def row(i: int) -> list[float]:
        dummies = [float(hours[i] == hour) for hour in sorted(profile)]
        return [float(sum(clean[i - lag : i])) / lag for lag in LAGS] + dummies

    design = np.array([row(i) for i in range(max(LAGS), refit)])
    outcome = np.array(clean[max(LAGS) : refit])
    coefficients = np.linalg.solve(design.T @ design, design.T @ outcome)
    residuals = outcome - design @ coefficients
    smearing = math.sqrt(np.mean([math.exp(2 * residual) for residual in residuals]))
    return math.exp(float(np.dot(row(position), coefficients)) + profile[hours[position]]) * smearing


def test_persistence_is_the_bucket_before(rv: pd.Series) -> None:
    known = np.arange(100, 200)
    assert (persistence(rv.to_frame(), rv.index[100:200], known) == rv.to_numpy()[99:199]).all()


def test_ewma_equals_the_plain_version(rv: pd.Series) -> None:
    positions = np.array([8, 50, 333, len(rv) - 1])
    fast = diurnal_ewma(rv.to_frame(), rv.index[positions], positions)
    plain = [plain_ewma(rv, rv.index[i].hour, i) for i in positions]
    np.testing.assert_allclose(fast, plain, rtol=1e-9)


def test_log_har_equals_the_plain_version(rv: pd.Series) -> None:
    first = 700
    positions = np.arange(first, len(rv))
    fast = diurnal_log_har(rv.to_frame(), rv.index[positions], positions)
    for i in (first, first + 1, first + 40, len(rv) - 1):
        assert fast[i - first] == pytest.approx(plain_log_har(rv, first, i), rel=1e-9)


def test_log_har_on_real_bars_equals_the_plain_version(spy_bars: pd.DataFrame) -> None:
    rv = get_hourly_rv(spy_bars[:"2025-04-02"])
    first = int(0.75 * len(rv))
    positions = np.arange(first, len(rv))
    fast = diurnal_log_har(rv.to_frame(), rv.index[positions], positions)
    for i in (first, first + 100, len(rv) - 1):
        assert fast[i - first] == pytest.approx(plain_log_har(rv, first, i), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "start", "stop", "expected"),
    [
        # Measured by others on the same bars, last quarter as test.
        ("SPY_1min", None, "2025-04-02", {"persistence": 1.74, "diurnal_ewma": 1.46}),
        ("panel_5min/TSLA_5min", None, None, {"persistence": 3.19, "diurnal_ewma": 1.10}),
    ],
)
def test_ratios_to_the_log_har_are_the_known_ones(
    shared_dir: object, name: str, start: None, stop: str | None, expected: dict[str, float]
) -> None:
    rv = get_hourly_rv(pd.read_parquet(f"{shared_dir}/data/{name}.parquet")[start:stop])
    evaluation = compare_with_baselines(rv.to_frame(), np.arange(int(0.75 * len(rv)), len(rv)))
    for baseline, ratio in expected.items():
        assert evaluation.metrics[baseline]["qlike_ratio"] == pytest.approx(ratio, abs=0.005)


def test_too_little_history_is_refused(rv: pd.Series) -> None:
    with pytest.raises(NotEnoughDataError, match="308"):
        diurnal_log_har(rv.to_frame(), rv.index[300:310], np.arange(300, 310))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_the_future_changes_no_forecast(rv: pd.Series, name: str) -> None:
    baseline = BASELINES[name]
    first, random = 700, np.random.default_rng(0)
    positions = np.arange(first, len(rv))
    forecasts = baseline(rv.to_frame(), rv.index[positions], positions)
    for cut in random.integers(first, len(rv), 50):
        changed = rv.copy()
        changed.iloc[cut:] = np.exp(random.standard_normal(len(rv) - cut))
        after = baseline(changed.to_frame(), rv.index[positions], positions)
        assert (after[: cut - first + 1] == forecasts[: cut - first + 1]).all()


def test_on_an_autoregression_the_log_har_wins() -> None:
    random = np.random.default_rng(0)
    labels = get_hourly_labels(1400)
    log_rv = np.empty(len(labels))
    log_rv[0] = 0.0
    for i in range(1, len(labels)):
        log_rv[i] = 0.9 * log_rv[i - 1] + 0.3 * random.standard_normal()
    rv = pd.Series(np.exp(log_rv - 6 + 0.3 * (labels.hour == 10)), index=labels, name="rv_hourly")
    evaluation = compare_with_baselines(rv.to_frame(), np.arange(1000, len(rv)))
    assert evaluation.table().index[0] == "diurnal log-HAR"


def get_hourly_labels(count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range("2022-01-03", periods=-(-count // 7))
    hours = [f"{day:%Y-%m-%d} {hour}:00" for day in days for hour in range(10, 17)]
    return pd.DatetimeIndex(hours[:count]).tz_localize("America/New_York")
