"""Folds: nothing that is fitted on overlaps or follows what is forecast, and all targets are forecast once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecasters.walk_forward import Refit, walk_forward


def labels(count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range("2022-01-03", periods=-(-count // 7))
    hours = [f"{day:%Y-%m-%d} {hour}:00" for day in days for hour in range(10, 17)]
    return pd.DatetimeIndex(hours[:count]).tz_localize("America/New_York")


INDEX = labels(700)


@settings(max_examples=60, deadline=None)
@given(first=st.integers(60, 650), refit=st.sampled_from(["day", "week", "month"]), late=st.integers(0, 9))
def test_folds_cover_all_targets_once_and_train_before_them(first: int, refit: Refit, late: int) -> None:
    positions = np.arange(first, len(INDEX))
    folds = walk_forward(INDEX[positions], positions - late, refit=refit)
    covered = [j for fold in folds for j in range(fold.targets.start, fold.targets.stop)]
    assert covered == list(range(len(positions)))
    for fold in folds:
        assert fold.train == slice(0, positions[fold.targets.start] - late)


@pytest.mark.parametrize(("refit", "key"), [("day", "%Y-%m-%d"), ("week", "%G-%V"), ("month", "%Y-%m")])
def test_a_fold_is_a_day_a_week_or_a_month(refit: Refit, key: str) -> None:
    positions = np.arange(100, len(INDEX))
    folds = walk_forward(INDEX[positions], positions, refit=refit)
    keys = [{f"{label:{key}}" for label in INDEX[positions][fold.targets]} for fold in folds]
    assert all(len(fold) == 1 for fold in keys)
    assert len(set().union(*keys)) == len(folds)


def test_what_cannot_be_a_walk_forward_is_refused() -> None:
    positions = np.arange(100, 120)
    with pytest.raises(ConfigError, match="fortnight"):
        walk_forward(INDEX[positions], positions, refit="fortnight")  # type: ignore[arg-type]
    with pytest.raises(NotEnoughDataError, match="1 at least"):
        walk_forward(INDEX[positions], positions - 100)
    assert walk_forward(INDEX[:0], positions[:0]) == []
