"""What a search tries, what it finds, and whom it tells. Interruptions are in the tests of the trainer."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from volcast.progress import SilentProgress, TrialEnd
from volcast.training.trainer import SearchResult, train_with_hyperparameter_tuning

pytestmark = pytest.mark.train

SPACE = {
    "n_layers_range": (1, 2),
    "units_range": (16, 32),
    "dropout_range": (0.1, 0.2),
    "learning_rate_range": (2e-3, 5e-3),
}
WIDE: dict[str, Any] = {
    "tuner": "median",
    "learning_rate_range": (1e-5, 1e-1),
    "epochs": 6,
    "max_trials": 14,
    "early_stopping_patience": 9,
}
FEW: dict[str, Any] = {"n_layers_range": (1, 1), "learning_rate_range": (3e-3, 3e-3)}
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Told(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        self.events.append(("search", trials, done, epochs))

    def trial_began(self, number: int) -> None:
        self.events.append(("trial", number))

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        self.events.append(("epoch", epoch, val_loss))

    def trial_ended(self, trial: TrialEnd) -> None:
        self.events.append(("ended", trial))


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    random = np.random.default_rng(0)
    series = np.cumsum(random.standard_normal(260)).astype(np.float32) / 10
    X = np.lib.stride_tricks.sliding_window_view(series, 10)[:-1, :, None]
    y = series[10:]
    return X[:200], y[:200], X[200:], y[200:]


def search(arrays: Arrays, path: Path, progress: SilentProgress | None = None, **settings: Any) -> SearchResult:
    config = {**SPACE, "epochs": 2, "max_trials": 3, "model_save_path": str(path), **settings}
    return train_with_hyperparameter_tuning(*arrays, config, progress=progress)


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def found(arrays: Arrays, told: Told, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(arrays, tmp_path_factory.mktemp("search"), told)


def test_trials_stay_inside_the_space_and_differ(found: SearchResult) -> None:
    trials = found.trials
    assert list(trials["trial"]) == [1, 2, 3]
    assert set(trials["status"]) == {"completed"}
    assert set(trials["n_layers"]) <= {1, 2}
    assert set(trials["units_0"]) <= {16, 32}
    assert trials["lr"].between(2e-3, 5e-3).all()
    assert trials["lr"].nunique() == 3
    for layer in (0, 1):
        if f"dropout_{layer}" in trials:
            assert trials[f"dropout_{layer}"].dropna().round(9).isin([0.1, 0.2]).all()
    if "units_1" in trials:
        assert (trials["units_1"].notna() == (trials["n_layers"] == 2)).all()


def test_the_best_is_the_trial_with_the_lowest_loss(found: SearchResult) -> None:
    best = found.trials.iloc[int(found.trials["val_loss"].argmin())]
    assert found.best_val_loss == best["val_loss"]
    for name, value in found.best_hyperparameters.items():
        assert best[name] == value
    assert found.resumed_trials == 0


def test_the_best_network_has_the_weights_of_its_best_epoch(found: SearchResult, arrays: Arrays) -> None:
    _, _, X, y = arrays
    forecast = found.best_model.predict_on_batch(np.ascontiguousarray(X))[:, 0]
    assert float(np.mean((forecast - y) ** 2)) == pytest.approx(found.best_val_loss, rel=1e-5)


def test_progress_is_told_in_order(found: SearchResult, told: Told) -> None:
    assert told.events[0] == ("search", 3, 0, 2)
    assert [event[1] for event in told.events if event[0] == "trial"] == [1, 2, 3]
    losses: list[float] = []
    for event in told.events[1:]:
        if event[0] == "epoch":
            losses.append(event[2])
        elif event[0] == "ended":
            assert event[1].best_loss == pytest.approx(min(losses), rel=1e-6)
            assert event[1].val_loss == pytest.approx(min(losses[-2:]), rel=1e-6)
            assert (event[1].number, event[1].epochs) == (len(losses) // 2, 2)
    assert len(losses) == 6
    assert min(losses) == pytest.approx(found.best_val_loss, rel=1e-6)


def test_the_same_seed_gives_the_same_search_and_a_second_execution_another_seed(
    found: SearchResult, arrays: Arrays, tmp_path: Path
) -> None:
    again = search(arrays, tmp_path / "again")
    pd.testing.assert_frame_equal(again.trials, found.trials)
    told = Told()
    twice = search(arrays, tmp_path / "twice", told, max_trials=1, executions_per_trial=2)
    epochs = [event[2] for event in told.events if event[0] == "epoch"]
    first, second = min(epochs[:2]), min(epochs[2:])
    assert first == pytest.approx(found.trials["val_loss"].iloc[0], rel=1e-6)
    assert second != first
    assert twice.best_val_loss == pytest.approx((first + second) / 2, rel=1e-6)


def test_the_best_epoch_is_that_of_the_lowest_loss(stopped: tuple[SearchResult, Told]) -> None:
    losses = losses_by_trial(stopped[1])
    best = {number: int(np.argmin(curve)) + 1 for number, curve in losses.items()}
    assert dict(zip(stopped[0].trials["trial"], stopped[0].trials["best_epoch"], strict=True)) == best
    assert len(set(best.values())) > 1


def losses_by_trial(told: Told) -> dict[int, list[float]]:
    losses: dict[int, list[float]] = {}
    for event in told.events:
        if event[0] == "trial":
            losses[event[1]] = []
        elif event[0] == "epoch":
            losses[max(losses)].append(event[2])
    return losses


@pytest.fixture(scope="module")
def stopped(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Told]:
    told = Told()
    return search(arrays, tmp_path_factory.mktemp("stopped"), told, **WIDE, workers=1), told


def test_a_trial_ends_where_it_is_worse_than_the_median_of_the_first(stopped: tuple[SearchResult, Told]) -> None:
    losses = losses_by_trial(stopped[1])
    first = [losses[number] for number in range(1, 6)]
    assert [len(curve) for curve in first] == [6] * 5
    ended = []
    for number in range(6, 15):
        expected = 6
        for epoch in range(6, 0, -1):
            if min(losses[number][:epoch]) > np.median([np.mean(curve[:epoch]) for curve in first]):
                expected = epoch
        assert len(losses[number]) == expected, number
        ended.append(expected)
    assert min(ended) < 6 == max(ended)
    assert stopped[0].best_val_loss == pytest.approx(min(min(curve) for curve in losses.values()), rel=1e-6)


def test_two_processes_stop_the_same_trials(stopped: tuple[SearchResult, Told], arrays: Arrays, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(search(arrays, tmp_path, **WIDE, workers=2).trials, stopped[0].trials)


def test_equal_hyperparameters_are_trained_once(arrays: Arrays, tmp_path: Path) -> None:
    told = Told()
    found = search(arrays, tmp_path, told, **FEW, max_trials=9, epochs=1, workers=1)
    tried = found.trials[["units_0", "dropout_0"]].round(9)
    assert len(tried) == len(tried.drop_duplicates()) == len(losses_by_trial(told)) == 4
