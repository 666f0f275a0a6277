"""A search in several processes gives what one process gives, whoever dies or comes late."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from tests.support.bars import ROOT
from volcast.config import TrainingConfig
from volcast.errors import TrainingError
from volcast.progress import SilentProgress, TrialEnd
from volcast.search.search import SearchResult, search_directory, search_hyperparameters

pytestmark = pytest.mark.train

MEMORY = 30
SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from volcast.search.search import search_directory, search_hyperparameters
from tests.search.test_workers import Watcher, config_in, samples
from volcast.search.tuner import TrialsToDo
from volcast.search.trial_worker import work
task, place, address = sys.argv[1:]
if task == "unanswered":
    import grpc
    from keras_tuner.src.distribute.oracle_client import OracleClient
    def unanswered(self, tuner_id):
        Path(place, "asked").touch()
        raise grpc.RpcError
    OracleClient.create_trial = unanswered
config = config_in(Path(place), workers=2)
if task == "search":
    search_hyperparameters(config, *samples(), Watcher(config, lambda directory: time.sleep(60)))
else:
    print(work(TrialsToDo(config, *samples(), search_directory(config, *samples())), address))
"""


def config_in(place: Path, **settings: Any) -> TrainingConfig:
    given = {"memory": MEMORY, "max_trials": 5, "epochs": 3, "units_range": (16, 32), "early_stopping_patience": 9}
    return TrainingConfig.from_mapping({**given, "model_save_path": str(place), **settings})


def samples() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    numbers = np.random.default_rng(0)
    series = (np.sin(np.arange(2400) / 5) + 0.5 * numbers.standard_normal(2400)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(series, MEMORY)[:-1, :, None]
    targets = series[MEMORY:]
    return (windows[:1900], targets[:1900]), (windows[1900:], targets[1900:])


class Watcher(SilentProgress):
    """Calls `act` once, at the end of an epoch while a worker trains a trial."""

    def __init__(self, config: TrainingConfig, act: Callable[[Path], None]) -> None:
        self.directory, self.act, self.acted = search_directory(config, *samples()), act, False
        self.began: list[int] = []
        self.ended: list[TrialEnd] = []

    def trial_began(self, number: int) -> None:
        self.began.append(number)

    def trial_ended(self, trial: TrialEnd) -> None:
        self.ended.append(trial)

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        # The first trials of this process wait until a worker has one.
        until = time.monotonic() + 60
        while not self.acted and time.monotonic() < until:
            if _busy_worker(self.directory):
                self.acted = True
                self.act(self.directory)


def _busy_worker(directory: Path) -> bool:
    try:
        ongoing = json.loads((directory / "oracle.json").read_text())["ongoing_trials"]
    except (OSError, json.JSONDecodeError):
        return False
    return any(name.startswith("worker") for name in ongoing)


def _workers_of(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(directory) in command and "volcast.search.trial_worker" in command:
            found.append(process)
    return found


def _run(task: str, place: Path, address: str = "") -> "subprocess.Popen[str]":
    script = SCRIPT.format(root=str(ROOT))
    command = [sys.executable, "-c", script, task, str(place), address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def _check_same(found: SearchResult, expected: SearchResult) -> None:
    pd.testing.assert_frame_equal(found.trials, expected.trials)
    assert found.best_hyperparameters == expected.best_hyperparameters
    weights = zip(found.best_model.get_weights(), expected.best_model.get_weights(), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in weights)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search_hyperparameters(config_in(tmp_path_factory.mktemp("alone"), workers=1), *samples())


def test_each_trial_is_told_once_by_its_own_number_and_loss(alone: SearchResult, tmp_path: Path) -> None:
    """Whoever trained it: this process, or a worker while this one is in the middle of another."""
    config = config_in(tmp_path, workers=2)
    watcher = Watcher(config, lambda directory: None)
    found = search_hyperparameters(config, *samples(), watcher)
    assert watcher.acted
    assert len(watcher.began) < 5
    told = {trial.number: (trial.val_loss, trial.epochs) for trial in watcher.ended}
    assert len(watcher.ended) == len(told)
    assert told == {row.trial: (row.val_loss, 3) for row in found.trials.itertuples()}
    losses = [trial.val_loss or np.inf for trial in watcher.ended]
    assert [trial.best_loss for trial in watcher.ended] == np.minimum.accumulate(losses).tolist()


def test_no_trial_is_completed_without_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends another one meanwhile looks for the best of them."""
    import keras_tuner

    seen = []
    end = keras_tuner.RandomSearch.on_trial_end

    def look_first(self: Any, trial: Any) -> None:
        seen.append([other.score for other in self.oracle.trials.values() if other.status == "COMPLETED"])
        end(self, trial)

    monkeypatch.setattr(keras_tuner.RandomSearch, "on_trial_end", look_first)
    config = config_in(tmp_path, workers=2, tuner="random")
    search_hyperparameters(config, *samples(), Watcher(config, lambda directory: None))
    assert seen
    assert all(score is not None for scores in seen for score in scores)


def test_serving_a_worker_draws_no_random_number_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From those of the process the networks get their weights that it builds meanwhile."""
    drawn, draw = [], random.randint

    def draw_and_tell(low: int, high: int) -> int:
        drawn.append(threading.current_thread() is threading.main_thread())
        return draw(low, high)

    monkeypatch.setattr(random, "randint", draw_and_tell)
    config = config_in(tmp_path, workers=2)
    watcher = Watcher(config, lambda directory: None)
    search_hyperparameters(config, *samples(), watcher)
    assert watcher.acted
    assert drawn
    assert all(drawn)


def test_a_worker_killed_in_a_trial_changes_nothing(alone: SearchResult, tmp_path: Path) -> None:
    def kill(directory: Path) -> None:
        for worker in _workers_of(directory):
            worker.send_signal(signal.SIGKILL)

    config = config_in(tmp_path, workers=2)
    watcher = Watcher(config, kill)
    _check_same(search_hyperparameters(config, *samples(), watcher), alone)
    assert watcher.acted
    assert sorted(watcher.began) == [1, 2, 3, 4, 5]


def test_a_chief_killed_and_started_again_goes_on_and_leaves_no_worker(alone: SearchResult, tmp_path: Path) -> None:
    directory = search_directory(config_in(tmp_path), *samples())
    chief = _run("search", tmp_path)
    until = time.monotonic() + 120
    while not ((directory / "search.json").exists() and _busy_worker(directory)) and time.monotonic() < until:
        assert chief.poll() is None, chief.stderr and chief.stderr.read()
        time.sleep(0.02)
    os.kill(chief.pid, signal.SIGKILL)
    chief.communicate()
    psutil.wait_procs(_workers_of(directory), 20)
    assert not _workers_of(directory)
    told = Watcher(config_in(tmp_path), lambda directory: None)
    told.acted = True
    found = search_hyperparameters(config_in(tmp_path, workers=1), *samples(), told)
    _check_same(found, alone)
    assert found.resumed_trials >= 1
    assert len(told.began) == 5 - found.resumed_trials


def test_a_worker_of_another_machine_comes_late_and_does_its_part(alone: SearchResult, tmp_path: Path) -> None:
    address = _free_address()
    late = _run("work", tmp_path / "elsewhere", address)
    config = config_in(tmp_path / "here", workers=1, chief=address)
    watcher = Watcher(config, lambda directory: None)
    found = search_hyperparameters(config, *samples(), watcher)
    _, complaints = late.communicate(timeout=60)
    assert late.returncode == 0, complaints
    assert watcher.acted
    assert 1 <= len(watcher.began) < 5
    pd.testing.assert_frame_equal(found.trials, alone.trials)


def test_a_worker_that_asks_while_the_chief_ends_ends_in_peace(tmp_path: Path) -> None:
    """Its question is not answered any more, and the word that the search is finished comes after it."""
    address = _free_address()
    late = _run("unanswered", tmp_path / "elsewhere", address)
    config = config_in(tmp_path / "here", workers=1, chief=address)

    class Waiting(SilentProgress):
        def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
            until = time.monotonic() + 60
            while not (tmp_path / "elsewhere" / "asked").exists() and time.monotonic() < until:
                time.sleep(0.05)

    search_hyperparameters(config, *samples(), Waiting())
    _, complaints = late.communicate(timeout=60)
    assert late.returncode == 0, complaints
    assert "Traceback" not in complaints


def test_a_worker_without_a_chief_or_with_other_data_is_told_so(tmp_path: Path) -> None:
    from volcast.search.trial_worker import work
    from volcast.search.tuner import TrialsToDo, make_tuner
    from volcast.search.workers import TrialServer

    config = config_in(tmp_path)
    todo = TrialsToDo(config, *samples(), search_directory(config, *samples()))
    todo.directory.mkdir(parents=True)
    oracle = make_tuner(todo, SilentProgress()).oracle
    server = TrialServer(oracle, todo, "127.0.0.1:0", lambda oracle: None, SilentProgress())
    try:
        other = TrialsToDo(config, *samples(), tmp_path / "other")
        with pytest.raises(TrainingError, match="its settings or its data are not the chief's"):
            work(other, server.address)
    finally:
        server.close()
    with pytest.raises(TrainingError, match="must be this machine's and its port free"):
        TrialServer(oracle, todo, "192.0.2.1:1", lambda oracle: None, SilentProgress())
