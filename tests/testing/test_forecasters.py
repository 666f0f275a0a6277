"""Every baseline and recipe keeps the rules, and the suites find each way to break one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from volcast.arrays import Float32Array3D, Float64Array1D, Int64Array1D
from volcast.errors import ConfigError
from volcast.features.scaling import make_scaler
from volcast.forecasters.baselines.registry import ALL_BASELINES, BASELINES
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.forecasters.recipe import ScaledWindows
from volcast.forecasters.walk_forward import Forecaster
from volcast.testing.forecasters import check_baseline, check_forecaster, check_recipe, simulated_measures
from volcast.training.trainer import LocalLSTMTrainer


@pytest.mark.parametrize("name", ALL_BASELINES)
def test_every_baseline_keeps_the_rules(name: str) -> None:
    check_baseline(ALL_BASELINES[name])


def last(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return np.asarray(measures["rv_hourly"].to_numpy()[known - 1])


def one_column(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return last(measures, targets, known)[:, None]


def sometimes_none(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return np.where(known % 7 == 0, np.nan, last(measures, targets, known))


def in_percent(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return 100 * last(measures, targets, known)


def squared(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return np.asarray(last(measures, targets, known) ** 2)


def by_chance(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return last(measures, targets, known) * np.random.default_rng().uniform(0.99, 1.01)


def writes_into_measures(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    measures["level"] = measures["rv_hourly"] * 2
    return last(measures, targets, known)


def knows_the_outcome(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    rows = np.minimum(known, len(measures) - 1)
    return np.asarray(0.999 * last(measures, targets, known) + 0.001 * measures["rv_hourly"].to_numpy()[rows])


def takes_the_row_before_the_target(
    measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D
) -> Float64Array1D:
    rows = measures.index.searchsorted(targets) - 1
    return np.asarray(measures["rv_hourly"].to_numpy()[rows])


def scaled_by_the_whole_history(
    measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D
) -> Float64Array1D:
    values = measures["rv_hourly"].to_numpy()
    return np.asarray(values[known - 1] * np.sqrt(np.median(values) / np.median(values[: known[0]])))


def smoothed_over_the_targets(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return np.full(len(targets), last(measures, targets, known)[len(targets) // 2 :].mean())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (one_column, r"shape \(40, 1\); the rule is one number each"),
        (sometimes_none, "is nan; the rule is positive and finite"),
        (in_percent, "times what came"),
        (squared, "times what came"),
        (by_chance, "the same call gives another result"),
        (writes_into_measures, "measures are changed"),
        (knows_the_outcome, "it looks ahead"),
        (takes_the_row_before_the_target, "it looks ahead"),
        (scaled_by_the_whole_history, "it looks ahead"),
        (smoothed_over_the_targets, "the first seven targets|it looks ahead"),
    ],
)
def test_a_broken_forecaster_is_found(broken: Forecaster, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_forecaster(broken)


def with_a_constant(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    return last(measures, targets, known) + 1e-4


def of_a_hundred(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    values = measures["rv_hourly"].to_numpy()
    return np.asarray([values[row - 1] if row > 100 else values[row - 100 : row][-1] for row in known])


@pytest.mark.parametrize(
    ("broken", "said"), [(with_a_constant, "twice the volatility"), (of_a_hundred, "raise IndexError")]
)
def test_a_broken_baseline_is_found(broken: Forecaster, said: str) -> None:
    check_forecaster(broken)
    with pytest.raises(AssertionError, match=said):
        check_baseline(broken)


def test_too_few_measures_to_check_with_are_said() -> None:
    with pytest.raises(AssertionError, match="there are 300 buckets to check with; the rule is 320"):
        check_forecaster(BASELINES["ewma"], simulated_measures().iloc[:300])


class LastOfWindow:
    """A network that gives the last value of its window back."""

    def __call__(self, windows: Float32Array3D, side: Any = None) -> Float64Array1D:
        return windows[:, -1, 0].astype(float)


NETWORKS = (LastOfWindow(),)


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    return simulated_measures()


@pytest.fixture(scope="module")
def windows(measures: pd.DataFrame) -> ScaledWindows:
    scaler = make_scaler("diurnal_log").fit(measures["rv_hourly"].iloc[:200])
    return ScaledWindows(scaler, memory=60, bounds=(0.5, 2.0))


@pytest.mark.parametrize("kind", ["minmax", "diurnal_log"])
def test_windows_of_scaled_volatility_keep_the_rules(kind: str, measures: pd.DataFrame, windows: ScaledWindows) -> None:
    scaler = make_scaler(kind).fit(measures["rv_hourly"].iloc[:200])
    check_recipe(replace(windows, scaler=scaler), NETWORKS, measures)
    check_recipe(replace(windows, scaler=scaler, bounds=(np.nan, np.nan)), NETWORKS, measures)


@pytest.mark.train
def test_the_default_recipe_keeps_the_rules(bars: pd.DataFrame) -> None:
    trainer = LocalLSTMTrainer({"networks": 1, "epochs": 1, "memory": 20, "accept_quality": True})
    data = trainer.prepare_data(bars=bars)
    trainer.build_model()
    trainer.train_model(data.X_train, data.y_train, data.X_val, data.y_val)
    bundle = trainer._bundle()
    (measures,) = data.measures.values()
    check_recipe(bundle.recipe, bundle.networks, measures)


class RefusesTheNext(ScaledWindows):
    def forecast(self, *arguments: Any) -> IntervalForecast:
        raise ConfigError("no horizon at all")


class OfManyAtOnce(ScaledWindows):
    def forecast(
        self,
        networks: Any,
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        made = super().forecast(networks, measures, targets, known, horizon)
        return IntervalForecast(made.volatility * (1 + 1e-3 * (len(targets) > 1)), made.lower, made.upper)


class UpsideDown(ScaledWindows):
    def forecast(self, *arguments: Any) -> IntervalForecast:
        made = super().forecast(*arguments)
        return IntervalForecast(made.volatility, made.upper, made.lower)


class Forgets(ScaledWindows):
    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"bounds": None}


class NeedsMore(ScaledWindows):
    def forecast(
        self,
        networks: Any,
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        made = super().forecast(networks, measures, targets, known, horizon)
        shift = 1.0 if "minutes" in measures else 1.5
        return IntervalForecast(made.volatility * shift, made.lower, made.upper)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RefusesTheNext, "every recipe must forecast horizon 1"),
        (OfManyAtOnce, "gets another forecast alone"),
        (UpsideDown, "0 < lower < upper"),
        (Forgets, "changes through JSON"),
        (NeedsMore, "needs_rv_alone is true"),
    ],
)
def test_a_broken_recipe_is_found(
    kind: type[ScaledWindows], said: str, measures: pd.DataFrame, windows: ScaledWindows
) -> None:
    with pytest.raises(AssertionError, match=said):
        check_recipe(kind(windows.scaler, windows.memory, windows.bounds), NETWORKS, measures)
