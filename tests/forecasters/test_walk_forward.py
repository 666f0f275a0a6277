"""Folds: nothing that is fitted on overlaps or follows what is forecast, and all targets are forecast once."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.walk_forward import Refit, forecast_by_fold, walk_forward


def labels(count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range("2022-01-03", periods=-(-count // 7))
    hours = [f"{day:%Y-%m-%d} {hour}:00" for day in days for hour in range(10, 17)]
    return pd.DatetimeIndex(hours[:count]).tz_localize("America/New_York")


INDEX = labels(700)


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(60, 650),
    refit=st.sampled_from(["once", "day", "week", "month"]),
    window=st.none() | st.integers(1, 50),
    gap=st.integers(0, 9),
)
def test_folds_cover_all_targets_once_and_train_before_them(
    first: int, refit: Refit, window: int | None, gap: int
) -> None:
    positions = np.arange(first, len(INDEX))
    folds = walk_forward(INDEX[positions], positions, refit=refit, window=window, gap=gap)
    covered = [j for fold in folds for j in range(fold.targets.start, fold.targets.stop)]
    assert covered == list(range(len(positions)))
    for fold in folds:
        assert fold.train.stop + gap == positions[fold.targets.start]
        assert fold.train.stop - fold.train.start == (window or fold.train.stop)


@pytest.mark.parametrize(("refit", "key"), [("day", "%Y-%m-%d"), ("week", "%G-%V"), ("month", "%Y-%m")])
def test_a_fold_is_a_day_a_week_or_a_month(refit: Refit, key: str) -> None:
    positions = np.arange(100, len(INDEX))
    folds = walk_forward(INDEX[positions], positions, refit=refit)
    keys = [{f"{label:{key}}" for label in INDEX[positions][fold.targets]} for fold in folds]
    assert all(len(fold) == 1 for fold in keys)
    assert len(set().union(*keys)) == len(folds)


def test_refitting_once_is_one_fold() -> None:
    positions = np.arange(100, len(INDEX))
    (fold,) = walk_forward(INDEX[positions], positions, refit="once", gap=3)
    assert (fold.train, fold.targets) == (slice(0, 97), slice(0, 600))


def test_what_is_fitted_sees_its_training_rows_alone() -> None:
    measures = pd.DataFrame({"rv_hourly": np.arange(1.0, 701.0)}, index=INDEX)
    positions = np.arange(100, 700)
    folds = walk_forward(INDEX[positions], positions, refit="week", window=70, gap=5)
    seen: list[tuple[float, float]] = []

    def fit(train: pd.DataFrame):  # type: ignore[no-untyped-def]
        seen.append((train["rv_hourly"].iloc[0], train["rv_hourly"].iloc[-1]))

        def newest(
            frame: pd.DataFrame, targets: pd.DatetimeIndex, known: npt.NDArray[np.int64]
        ) -> npt.NDArray[np.float64]:
            return np.asarray(frame["rv_hourly"].to_numpy()[known - 1])

        return newest

    forecasts = forecast_by_fold(fit, measures, INDEX[positions], positions, folds)
    np.testing.assert_array_equal(forecasts, positions)
    assert seen == [(fold.train.start + 1.0, float(fold.train.stop)) for fold in folds]


def test_a_baseline_in_rolling_folds_forgets_what_left_the_window() -> None:
    random = np.random.default_rng(0)
    measures = pd.DataFrame({"rv_hourly": np.exp(random.standard_normal(700) - 6)}, index=INDEX)
    positions = np.arange(400, 700)
    folds = walk_forward(INDEX[positions], positions, refit="week", window=320)
    rolling = forecast_by_fold(lambda train: BASELINES["diurnal_log_har"], measures, INDEX[positions], positions, folds)
    changed = measures.copy()
    changed.iloc[:80] *= 3
    again = forecast_by_fold(lambda train: BASELINES["diurnal_log_har"], changed, INDEX[positions], positions, folds)
    np.testing.assert_array_equal(again, rolling)


def test_what_cannot_be_a_walk_forward_is_refused() -> None:
    positions = np.arange(100, 120)
    with pytest.raises(ConfigError, match="fortnight"):
        walk_forward(INDEX[positions], positions, refit="fortnight")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="gap -1"):
        walk_forward(INDEX[positions], positions, gap=-1)
    with pytest.raises(NotEnoughDataError, match="200 at least"):
        walk_forward(INDEX[positions], positions, window=200)
    assert walk_forward(INDEX[:0], positions[:0]) == []
