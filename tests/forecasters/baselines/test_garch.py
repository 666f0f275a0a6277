"""The GARCH family against `arch`'s own forecasts, and on returns whose process is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from arch.univariate import EGARCH, GARCH, ZeroMean

from volcast.arrays import Float64Array1D, time_index
from volcast.forecasters.baselines.garch import (
    diurnal_egarch,
    diurnal_garch,
    diurnal_gjr_garch,
    egarch_variance,
    gjr_garch_variance,
)
from volcast.forecasters.baselines.har import hourly_variance_profile
from volcast.forecasters.baselines.registry import ALL_BASELINES
from volcast.forecasters.walk_forward import walk_forward
from volcast.measures.hourly import get_hourly_measures

FAMILY: dict[str, dict[str, Any]] = {
    "diurnal_garch": {"vol": "GARCH", "o": 0},
    "diurnal_gjr_garch": {"vol": "GARCH", "o": 1},
    "diurnal_egarch": {"vol": "EGARCH", "o": 1},
}


def labels(count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range("2022-01-03", periods=-(-count // 7))
    hours = [f"{day:%Y-%m-%d} {hour}:00" for day in days for hour in range(10, 17)]
    return pd.DatetimeIndex(hours[:count]).tz_localize("America/New_York")


def plain_weekly(measures: pd.DataFrame, name: str, first: int) -> Float64Array1D:
    """`arch`'s own estimate of each week and its own forecast of each bucket, nothing of the future handed to it."""
    # The same pattern to the last bit: an optimizer's path turns a rounding of its input into 1e-5 of its result.
    own = hourly_variance_profile(measures, first)[time_index(measures).hour]
    returns = measures["bucket_return"].to_numpy() / np.sqrt(own)
    positions = np.arange(first, len(measures))
    forecasts = np.empty(len(positions))
    for fold in walk_forward(time_index(measures)[positions], positions, refit="week"):
        settings = {"mean": "Zero", "p": 1, "q": 1, "rescale": False, **FAMILY[name]}
        parameters = arch_model(returns[fold.train], **settings).fit(disp="off", show_warning=False).params
        for j in range(fold.targets.start, fold.targets.stop):
            fixed = arch_model(returns[: positions[j]], **settings).fix(parameters)
            forecasts[j] = np.sqrt(fixed.forecast(horizon=1).variance.to_numpy()[-1, 0] * own[positions[j]])
    return forecasts


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_forecasts_are_archs_own(bars: pd.DataFrame, name: str) -> None:
    measures = get_hourly_measures(bars)
    first = len(measures) - 60
    positions = np.arange(first, len(measures))
    fast = ALL_BASELINES[name](measures, time_index(measures)[positions], positions)
    np.testing.assert_allclose(fast, plain_weekly(measures, name, first), rtol=1e-9)


def test_variances_are_archs_own() -> None:
    returns = np.random.default_rng(0).standard_normal(500)
    gjr = arch_model(returns, mean="Zero", vol="GARCH", o=1, rescale=False).fix([0.05, 0.05, 0.08, 0.85])
    ours = gjr_garch_variance(np.array([0.05, 0.05, 0.08, 0.85]), returns)
    np.testing.assert_allclose(np.sqrt(ours[:-1]), gjr.conditional_volatility, rtol=1e-9)
    egarch = arch_model(returns, mean="Zero", vol="EGARCH", o=1, rescale=False).fix([0.0, 0.15, -0.1, 0.95])
    ours = egarch_variance(np.array([0.0, 0.15, -0.1, 0.95]), returns)
    np.testing.assert_allclose(np.sqrt(ours[:-1]), egarch.conditional_volatility, rtol=1e-9)


def test_an_explosive_egarch_stays_finite() -> None:
    variance = egarch_variance(np.array([0.5, 3.0, -1.0, 1.2]), np.random.default_rng(0).standard_normal(300) * 50)
    assert np.isfinite(variance).all()


@pytest.mark.parametrize(
    ("name", "process", "parameters"),
    [
        ("diurnal_garch", GARCH(1, 0, 1), [0.02, 0.12, 0.86]),
        ("diurnal_gjr_garch", GARCH(1, 1, 1), [0.02, 0.01, 0.2, 0.87]),
        ("diurnal_egarch", EGARCH(1, 1, 1), [0.0, 0.25, -0.2, 0.97]),
    ],
)
def test_where_a_process_is_true_its_forecast_wins(name: str, process: Any, parameters: list[float]) -> None:
    # What is realized is the squared return itself: a finer measure would tell others more than these models see.
    model = ZeroMean(volatility=process)
    model.distribution._generator = np.random.RandomState(5)
    returns = model.simulate(parameters, nobs=3500)["data"].to_numpy() * 0.003
    measures = pd.DataFrame({"rv_hourly": np.abs(returns) + 1e-4, "bucket_return": returns}, index=labels(3500))
    positions = np.arange(2000, 3500)
    targets = time_index(measures)[positions]
    losses = {}
    for rival in ("ewma", "hour_of_day_mean", "diurnal_log_har", *FAMILY):
        ratio = (measures["rv_hourly"].to_numpy()[positions] / ALL_BASELINES[rival](measures, targets, positions)) ** 2
        losses[rival] = float(np.mean(ratio - np.log(ratio) - 1))
    if name == "diurnal_garch":  # Without asymmetry the three say nearly the same, and GARCH is a case of GJR.
        losses = {rival: loss for rival, loss in losses.items() if rival not in FAMILY or rival == name}
    assert min(losses, key=lambda rival: losses[rival]) == name


def test_the_family_is_three_processes(bars: pd.DataFrame) -> None:
    measures = get_hourly_measures(bars)
    positions = np.arange(len(measures) - 5, len(measures))
    forecasts = [
        f(measures, time_index(measures)[positions], positions)
        for f in (diurnal_garch, diurnal_gjr_garch, diurnal_egarch)
    ]
    assert len({tuple(forecast) for forecast in forecasts}) == 3
