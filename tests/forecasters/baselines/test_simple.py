"""Every baseline held against a slow version that only ever touches the past, and against futures of noise."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import place_of
from volcast.arrays import time_index
from volcast.errors import NotEnoughDataError
from volcast.evaluation.evaluation import compare_with_baselines
from volcast.features.windows import HAR_LAGS
from volcast.forecasters.baselines.registry import ALL_BASELINES, BASELINES
from volcast.measures.hourly import get_hourly_measures

FIRST = 700
LONGEST = max(HAR_LAGS)


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


def variances(measures: pd.DataFrame) -> list[float]:
    return [float(value) ** 2 for value in measures["rv_hourly"]]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def hourly_means(values: list[float], hours: list[int]) -> dict[int, float]:
    return {h: mean([v for v, at in zip(values, hours, strict=True) if at == h]) for h in set(hours)}


def plain_persistence(measures: pd.DataFrame, known: int, hour: int) -> float:
    return float(measures["rv_hourly"].iloc[known - 1])


def plain_yesterday(measures: pd.DataFrame, known: int, hour: int) -> float:
    for i in range(known - 1, -1, -1):
        if measures.index[i].hour == hour:
            return float(measures["rv_hourly"].iloc[i])
    return float(measures["rv_hourly"].iloc[known - 1])


def plain_long_run(measures: pd.DataFrame, known: int, hour: int) -> float:
    return math.sqrt(mean(variances(measures)[:known]))


def plain_hour_of_day(measures: pd.DataFrame, known: int, hour: int) -> float:
    means = hourly_means(variances(measures)[:known], list(time_index(measures).hour[:known]))
    return math.sqrt(means.get(hour, mean(variances(measures)[:known])))


def plain_ewma(measures: pd.DataFrame, known: int, hour: int, decay: float = 0.94) -> float:
    level = math.nan
    for i, variance in enumerate(variances(measures)[:known]):
        level = variance if i == 0 else decay * level + (1 - decay) * variance
    return math.sqrt(level)


def plain_diurnal_ewma(measures: pd.DataFrame, known: int, hour: int, decay: float = 0.94) -> float:
    hours, values = list(time_index(measures).hour), variances(measures)
    level = math.nan
    for i in range(known):
        ratio = values[i] / hourly_means(values[: i + 1], hours[: i + 1])[hours[i]]
        level = ratio if i == 0 else decay * level + (1 - decay) * ratio
    return math.sqrt(level * hourly_means(values[:known], hours[:known])[hour])


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("persistence", plain_persistence),
        ("same_hour_yesterday", plain_yesterday),
        ("long_run_mean", plain_long_run),
        ("hour_of_day_mean", plain_hour_of_day),
        ("ewma", plain_ewma),
        ("diurnal_ewma", plain_diurnal_ewma),
    ],
)
def test_baselines_without_a_fit_equal_the_plain_versions(
    measures: pd.DataFrame, name: str, plain: Callable[[pd.DataFrame, int, int], float]
) -> None:
    positions = np.array([3, 8, 50, 333, len(measures) - 1])
    positions = positions[1:] if name == "diurnal_ewma" else positions
    fast = BASELINES[name](measures, time_index(measures)[positions], positions)
    slow = [plain(measures, int(i), measures.index[i].hour) for i in positions]
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


class PlainHar:
    """A HAR of any kind for one target at a time, its normal equations set up row by row."""

    def __init__(self, measures: pd.DataFrame, kind: str, first: int) -> None:
        self.kind, self.measures, self.first = kind, measures, first
        self.hours = list(time_index(measures).hour)
        rv = [float(value) for value in measures["rv_hourly"]]
        known_hours = self.hours[:first]
        if "log" in kind:
            logs = [math.log(value) for value in rv]
            self.pattern = hourly_means(logs[:first], known_hours)
            self.values = [x - self.pattern[h] * ("diurnal" in kind) for x, h in zip(logs, self.hours, strict=True)]
        else:
            self.pattern = hourly_means([value**2 for value in rv[:first]], known_hours)
            power = 1 if kind in ("har", "diurnal_har") else 2
            self.scale = [self.pattern[h] ** (power / 2) if kind != "har" else 1.0 for h in self.hours]
            self.values = [value**power / s for value, s in zip(rv, self.scale, strict=True)]

    def row(self, i: int) -> list[float]:
        """What is known before bucket `i`, its hour included."""
        terms = [mean(self.values[i - lag : i]) for lag in HAR_LAGS]
        if self.kind == "diurnal_log_har":
            return terms + [float(self.hours[i] == hour) for hour in sorted(self.pattern)]
        if self.kind == "diurnal_harq":
            quarticity = float(self.measures["quarticity"].iloc[i - 1]) / self.scale[i - 1] ** 2
            terms.append(math.sqrt(quarticity) * self.values[i - 1])
        if self.kind == "diurnal_semivariance_har":
            falls = float(self.measures["negative_semivariance"].iloc[i - 1]) / self.scale[i - 1]
            terms[:1] = [self.values[i - 1] - falls, falls]
        return [1.0, *terms]

    def forecast(self, position: int) -> float:
        dates = time_index(self.measures).date
        refit = min(i for i in range(self.first, position + 1) if dates[i] == dates[position])
        design = np.array([self.row(i) for i in range(LONGEST, refit)])
        outcome = np.array(self.values[LONGEST:refit])
        coefficients = np.linalg.lstsq(design, outcome, rcond=1e-15)[0]
        forecast = float(np.dot(self.row(position), coefficients))
        if "log" in self.kind:
            smearing = math.sqrt(mean([math.exp(2 * residual) for residual in outcome - design @ coefficients]))
            return math.exp(forecast + self.pattern[self.hours[position]] * ("diurnal" in self.kind)) * smearing
        if not min(outcome) <= forecast <= max(outcome):
            forecast = mean(list(outcome))
        scaled = forecast * self.scale[position]
        return scaled if self.kind in ("har", "diurnal_har") else math.sqrt(scaled)


REGRESSIONS = ["har", "diurnal_har", "log_har", "diurnal_log_har", "diurnal_harq", "diurnal_semivariance_har"]


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions_equal_the_plain_versions(measures: pd.DataFrame, name: str) -> None:
    positions = np.arange(FIRST, len(measures))
    fast = BASELINES[name](measures, time_index(measures)[positions], positions)
    plain = PlainHar(measures, name, FIRST)
    for i in (FIRST, FIRST + 1, FIRST + 40, len(measures) - 1):
        assert fast[i - FIRST] == pytest.approx(plain.forecast(i), rel=1e-9)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions_on_real_bars_equal_the_plain_versions(spy_bars: pd.DataFrame, name: str) -> None:
    measures = get_hourly_measures(spy_bars[:"2025-04-02"])
    first = int(0.75 * len(measures))
    positions = np.arange(first, len(measures))
    fast = BASELINES[name](measures, time_index(measures)[positions], positions)
    plain = PlainHar(measures, name, first)
    for i in (first, first + 100, len(measures) - 1):
        assert fast[i - first] == pytest.approx(plain.forecast(i), rel=1e-9)


def test_what_a_line_forecasts_out_of_range_becomes_the_mean(measures: pd.DataFrame) -> None:
    positions = np.arange(FIRST, FIRST + 30)
    wild = measures.copy()
    wild.iloc[FIRST + 5, place_of(wild, "rv_hourly")] = 5.0
    forecast = BASELINES["har"](wild, time_index(wild)[positions], positions)[6]
    day = int(np.flatnonzero(time_index(wild).date == time_index(wild)[FIRST + 6].date())[0])
    seen = wild["rv_hourly"].iloc[LONGEST : max(day, FIRST)]
    assert forecast == pytest.approx(seen.mean())


@pytest.mark.parametrize(
    ("name", "start", "stop", "expected"),
    [
        # Measured by others on the same bars, last quarter as test.
        ("SPY_1min", None, "2025-04-02", {"persistence": 1.74, "diurnal_ewma": 1.46, "har": 1.25, "log_har": 1.19}),
        ("panel_5min/TSLA_5min", None, None, {"persistence": 3.19, "diurnal_ewma": 1.10, "har": 1.60, "log_har": 1.57}),
    ],
)
def test_ratios_to_the_log_har_are_the_known_ones(
    shared_dir: object, name: str, start: None, stop: str | None, expected: dict[str, float]
) -> None:
    measures = get_hourly_measures(pd.read_parquet(f"{shared_dir}/data/{name}.parquet")[start:stop])
    evaluation = compare_with_baselines(measures, np.arange(int(0.75 * len(measures)), len(measures)))
    for baseline, ratio in expected.items():
        assert evaluation.metrics[baseline]["qlike_ratio"] == pytest.approx(ratio, abs=0.006)


def test_too_little_history_is_refused(measures: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match="308"):
        BASELINES["diurnal_log_har"](measures, time_index(measures)[300:310], np.arange(300, 310))


@pytest.mark.parametrize("name", ["diurnal_harq", "diurnal_semivariance_har", "diurnal_garch"])
def test_missing_measures_are_named(measures: pd.DataFrame, name: str) -> None:
    with pytest.raises(NotEnoughDataError, match=r"no (quarticity|negative_semivariance|bucket_return)"):
        ALL_BASELINES[name](measures[["rv_hourly"]], time_index(measures)[400:410], np.arange(400, 410))


@pytest.mark.parametrize("name", sorted(ALL_BASELINES))
def test_the_future_changes_no_forecast(measures: pd.DataFrame, name: str) -> None:
    baseline, cuts = ALL_BASELINES[name], 50 if name in BASELINES else 8
    first, random = len(measures) - 150, np.random.default_rng(0)
    positions = np.arange(first, len(measures))
    forecasts = baseline(measures, time_index(measures)[positions], positions)
    for cut in random.integers(first, len(measures), cuts):
        changed = measures.copy()
        changed.iloc[cut:] = np.exp(random.standard_normal(changed.iloc[cut:].shape))
        upto = positions[: cut - first + 1]
        after = baseline(changed, time_index(measures)[positions], positions)[: len(upto)]
        assert (after == forecasts[: len(upto)]).all()


def hourly_labels(count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range("2022-01-03", periods=-(-count // 7))
    hours = [f"{day:%Y-%m-%d} {hour}:00" for day in days for hour in range(10, 17)]
    return pd.DatetimeIndex(hours[:count]).tz_localize("America/New_York")


def simulated_har(kind: str, count: int = 4000) -> pd.DataFrame:
    """Volatility that follows a HAR of known coefficients: of `kind` har, log_har or diurnal_log_har."""
    random, labels = np.random.default_rng(1), hourly_labels(count)
    weights = np.array([0.35, 0.25, 0.2, 0.1])
    values = np.full(count, 1.0 if kind == "har" else 0.0)
    for i in range(LONGEST, count):
        terms = np.array([values[i - lag : i].mean() for lag in HAR_LAGS])
        drift = weights @ terms + (0.1 if kind == "har" else 0.0)
        shock = random.uniform(-0.5, 0.5) * drift if kind == "har" else 0.4 * random.standard_normal()
        values[i] = drift + shock
    if kind == "har":
        return pd.DataFrame({"rv_hourly": 0.003 * values}, index=labels)
    pattern = 0.8 * ((labels.hour == 10) + 0.4 * (labels.hour == 16)) if kind == "diurnal_log_har" else 0.0
    return pd.DataFrame({"rv_hourly": np.exp(values - 6 + pattern)}, index=labels)


@pytest.mark.parametrize(
    # A HAR on levels forecasts the mean of volatility: the squared error's optimum and not that of QLIKE.
    ("kind", "loss"),
    [("har", "mse"), ("log_har", "qlike"), ("diurnal_log_har", "qlike")],
)
def test_where_a_har_is_true_it_wins(kind: str, loss: str) -> None:
    measures = simulated_har(kind)
    metrics = compare_with_baselines(measures, np.arange(1500, len(measures))).metrics
    # Where there is no pattern, the one without a profile and the one with it estimate the same thing.
    alike = {kind, f"diurnal_{kind}"}
    assert all(metrics[kind][loss] < row[loss] for name, row in metrics.items() if name not in alike)


def simulated_variance(kind: str, count: int = 4000) -> pd.DataFrame:
    """Variance whose next value depends on falls alone, or less on a value that was measured badly."""
    random, labels = np.random.default_rng(2), hourly_labels(count)
    values, other = np.ones(count), np.ones(count)
    for i in range(1, count):
        week = values[max(i - 35, 0) : i].mean()
        weight = other[i - 1] if kind == "diurnal_semivariance_har" else (0.9 - 0.35 * other[i - 1]) * values[i - 1]
        values[i] = (0.1 + 0.9 * weight + 0.2 * week) * random.uniform(0.5, 1.5)
        other[i] = values[i] * random.uniform() if kind == "diurnal_semivariance_har" else random.uniform(0.2, 2.4)
    rv, scale = 0.003 * np.sqrt(values), 0.003**2
    frame = pd.DataFrame({"rv_hourly": rv}, index=labels)
    frame["negative_semivariance"] = other * scale if kind == "diurnal_semivariance_har" else rv**2 / 2
    frame["quarticity"] = (scale * other) ** 2 if kind == "diurnal_harq" else rv**4
    return frame


@pytest.mark.parametrize("kind", ["diurnal_semivariance_har", "diurnal_harq"])
def test_where_what_a_har_adds_is_true_it_wins(kind: str) -> None:
    measures = simulated_variance(kind)
    metrics = compare_with_baselines(measures, np.arange(1500, len(measures))).metrics
    assert all(metrics[kind]["mse_variance"] < row["mse_variance"] for name, row in metrics.items() if name != kind)
    assert metrics[kind]["p_value"] < 0.01
