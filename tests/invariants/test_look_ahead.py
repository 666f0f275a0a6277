"""The future replaced by noise: nothing that is known, computed or forecast as of a moment changes, to the last bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from volcast.arrays import time_index
from volcast.features.known_days import KINDS, KnownDays
from volcast.features.scaling import hour_of_day_profile, make_scaler
from volcast.features.windows import HAR_LAGS, har_terms, prepare_lstm_sequences, split_in_time
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.registry import ALL_BASELINES, BASELINES
from volcast.measures.hourly import Preset, get_hourly_measures, get_hourly_rv
from volcast.training.har_lstm import har_lstm_targets
from volcast.training.trainer import LocalLSTMTrainer

MOMENTS = 50
MEMORY = 20
NEWEST_TARGETS = 40


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """Five months of one-minute bars: the log-HAR needs 308 buckets before its first forecast."""
    return make_bars("2024-08-01", "2024-12-31", seed=3)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> LocalLSTMTrainer:
    settings: dict[str, Any] = {
        "network": "roadmap",
        "memory": MEMORY,
        "max_trials": 1,
        "epochs": 1,
        "symbol": "SPY",
        "accept_quality": True,
    }
    return LocalLSTMTrainer({**settings, "model_save_path": str(tmp_path_factory.mktemp("models"))})


def random_moments(bars: pd.DataFrame, first: pd.Timestamp, seed: int) -> Iterator[pd.Timestamp]:
    """Fifty starts of bars from `first` on; a bar that starts at one of them has not ended."""
    begin = int(bars.index.searchsorted(first))
    return iter(bars.index[np.random.default_rng(seed).integers(begin, len(bars), MOMENTS)])


@pytest.mark.parametrize("preset", ["session", "colab"])
def test_rv_scalers_profile_and_features(history: pd.DataFrame, preset: Preset) -> None:
    rv = get_hourly_rv(history, preset=preset)
    kinds = ("minmax", "diurnal_log") if preset == "session" else ("minmax",)
    # Under `colab` a label's last bar ends one minute after it.
    lag = pd.Timedelta(minutes=0 if preset == "session" else 1)
    for moment in random_moments(history, history.index[60 * 390], 1):
        changed = get_hourly_rv(with_noise_after(history, moment), preset=preset)
        known = int((time_index(rv) + lag <= moment).sum())
        before, after = rv.iloc[:known], changed.iloc[:known]
        pd.testing.assert_series_equal(after, before, check_exact=True)
        assert not np.array_equal(changed.iloc[known:], rv.iloc[known:])
        assert hour_of_day_profile(after) == hour_of_day_profile(before)
        np.testing.assert_array_equal(har_terms(changed, HAR_LAGS)[:known], har_terms(rv, HAR_LAGS)[:known])
        for kind in kinds:
            fitted, again = make_scaler(kind).fit(before), make_scaler(kind).fit(after)
            assert again.to_dict() == fitted.to_dict()
            X, y, _ = prepare_lstm_sequences(rv, MEMORY, fitted)
            changed_X, changed_y, _ = prepare_lstm_sequences(changed, MEMORY, again)
            np.testing.assert_array_equal(changed_y[: known - MEMORY], y[: known - MEMORY])
            # One more window than targets: the one that the next bucket is forecast from.
            np.testing.assert_array_equal(changed_X[: known - MEMORY + 1], X[: known - MEMORY + 1])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(list(BASELINES), id="quick"),
        pytest.param([name for name in ALL_BASELINES if name not in BASELINES], id="estimated", marks=pytest.mark.slow),
    ],
)
def test_baselines(history: pd.DataFrame, names: list[str]) -> None:
    measures = get_hourly_measures(history)
    for moment in random_moments(history, history.index[60 * 390], 2):
        changed = get_hourly_measures(with_noise_after(history, moment))
        known = int((measures.index <= moment).sum())
        positions = np.arange(max(known - NEWEST_TARGETS, 2 * max(HAR_LAGS)), min(known + 1, len(measures)))
        targets = time_index(measures)[positions]
        for name in names:
            expected = ALL_BASELINES[name](measures, targets, positions)
            np.testing.assert_array_equal(ALL_BASELINES[name](changed, targets, positions), expected)


def test_what_a_network_is_trained_on(history: pd.DataFrame, trainer: LocalLSTMTrainer) -> None:
    data = trainer.prepare_data(bars=history)
    ((name, measures),) = data.measures.items()
    for moment in random_moments(history, measures.index[data.splits[name].train.stop - 1], 3):
        changed = trainer.prepare_data(bars=with_noise_after(history, moment))
        assert changed.scaler.to_dict() == data.scaler.to_dict()
        np.testing.assert_array_equal(changed.X_train, data.X_train)
        np.testing.assert_array_equal(changed.y_train, data.y_train)
        assert not np.array_equal(changed.y_test, data.y_test)


def test_forecasts_that_know_days(history: pd.DataFrame) -> None:
    """Every kind of the calendar at once: what is known of a day is known before it, and nothing of its bars is."""
    measures = get_hourly_measures(history)
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.2)
    days = KnownDays(tuple(KINDS))
    recipe = har_lstm_targets({"SPY": measures}, {"SPY": split}, known_days=days).regression
    labels = time_index(measures)
    positions = np.arange(split.validation.start, len(measures))
    forecasts = recipe.forecast((), measures, labels[positions], positions).volatility
    columns = days.dummies(labels[positions].as_unit("us").asi8)
    assert columns.any(axis=0).reshape(len(KINDS), -1).any(axis=1).all()
    for moment in random_moments(history, labels[positions[0]], 5):
        changed = get_hourly_measures(with_noise_after(history, moment))
        # The bucket in which the moment lies is forecast from what is before it.
        known = positions[positions <= int((labels <= moment).sum())]
        again = recipe.forecast((), changed, labels[known], known).volatility
        np.testing.assert_array_equal(again, forecasts[: len(known)])


@pytest.mark.train
def test_forecasts_of_a_trained_model(history: pd.DataFrame, trainer: LocalLSTMTrainer) -> None:
    result = trainer.run_training_pipeline(bars=history)
    forecaster = VolatilityForecaster(Path(str(result.bundle.path)))
    through = forecaster.model_info()["trained_through"]
    series = forecaster.forecast_series(history)
    for moment in random_moments(history, through, 4):
        changed = with_noise_after(history, moment)
        asof = moment.tz_convert("America/New_York")
        assert forecaster.forecast(changed, asof) == forecaster.forecast(history, asof)
        rows = (series["asof"] <= moment).to_numpy()
        after = forecaster.forecast_series(changed)
        pd.testing.assert_frame_equal(after[: int(rows.sum())], series[rows], check_exact=True)
