"""The search for hyperparameters: Keras Tuner, seeded trial by trial, and resumable after any kind of end."""

import contextlib
import copy
import hashlib
import io
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volcast.config import Role, TrainingConfig
from volcast.errors import TrainingError
from volcast.networks.architectures import active_hyperparameters
from volcast.processes import cores
from volcast.progress import SilentProgress
from volcast.reprs import OneLineRepr
from volcast.search.tuner import (
    Arrays,
    TrialsToDo,
    make_tuner,
    mean_over_executions,
    quick_collections,
    restore_state,
    stop_after_failures,
    why_trials_failed,
)
from volcast.search.workers import TrialServer, local_workers

if TYPE_CHECKING:
    import keras
    import keras_tuner

__all__ = ["SearchResult", "discard_search", "search_directory", "search_hyperparameters"]

_SEARCHES = ".searches"

# Loading TensorFlow once more costs a worker what training so many windows costs.
_WINDOWS_WORTH_A_WORKER = 300_000
# A full disk in the middle of a checkpoint ends the process without a word of ours.
_ROOM_FOR_A_TRIAL = 16 * 2**20


@dataclass(frozen=True, repr=False)
class SearchResult(OneLineRepr):
    """What a search found.

    Attributes
    ----------
    best_hyperparameters
        Those of the network with the lowest validation loss.
    best_val_loss
        That loss, in scaled units.
    best_model
        The network of that trial with the weights of its best epoch.
    trials
        One row a trial: ``trial``, ``status``, ``val_loss``, ``best_epoch`` (counted from 1; both in the mean of its
        executions) and the hyperparameters.
    resumed_trials
        How many of them an earlier, interrupted run had finished.
    """

    best_hyperparameters: dict[str, Any]
    best_val_loss: float
    best_model: "keras.Model"
    trials: pd.DataFrame
    resumed_trials: int

    def _facts(self) -> dict[str, object]:
        return {
            "trials": len(self.trials),
            "best_val_loss": self.best_val_loss,
            "best_hyperparameters": self.best_hyperparameters,
            "resumed_trials": self.resumed_trials,
        }


def search_directory(config: TrainingConfig, train: Arrays, validation: Arrays) -> Path:
    """Where the search of these settings on these data keeps its state: another search never finds it."""
    digest = hashlib.sha256()
    versions = {"keras": version("keras"), "keras_tuner": version("keras-tuner")}
    digest.update(json.dumps([config.identity(Role.SEARCH), versions], sort_keys=True).encode())
    for array in (*train, *validation):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        for first in range(0, len(array), 4096):
            digest.update(np.ascontiguousarray(array[first : first + 4096]).tobytes())
    return Path(config.model_save_path) / _SEARCHES / digest.hexdigest()[:16]


def discard_search(directory: Path) -> None:
    """Remove the state of a search that is no longer needed."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


def search_hyperparameters(
    config: TrainingConfig, train: Arrays, validation: Arrays, progress: SilentProgress | None = None
) -> SearchResult:
    """Search the space of `config` for the network with the lowest validation loss.

    An interrupted search of the same settings and data goes on after its last finished trial unless ``config.resume``
    is false; each trial is seeded by its number, so the result is that of an unbroken run.

    Parameters
    ----------
    train, validation
        Windows of shape (n, memory, 1) and targets of shape (n,).

    Raises
    ------
    TrainingError
        No trial gave a finite validation loss.
    """
    progress = progress or SilentProgress()
    todo = TrialsToDo(config, train, validation, search_directory(config, train, validation))
    restore_state(todo.directory, resume=config.resume)
    todo.directory.mkdir(parents=True, exist_ok=True)
    before_trial = _until(config.max_search_minutes, todo.directory)
    with _without_tuner_prints(), quick_collections():
        tuner = make_tuner(todo, progress, before_trial)
        resumed = len(tuner.oracle.end_order)
        progress.search_began(config.max_trials, resumed, config.epochs)
        workers = _worker_count(todo, resumed)
        if workers == 1 and config.chief is None:
            tuner.search()
        else:
            _search_with_workers(tuner, todo, workers - 1, before_trial, progress)
    best = tuner.oracle.get_best_trials(1)
    if not best or best[0].score is None or not np.isfinite(best[0].score):
        raise TrainingError(why_trials_failed(tuner.oracle))
    return SearchResult(
        best_hyperparameters=_values_of(tuner, best[0]),
        best_val_loss=float(best[0].score),
        best_model=_best_model(tuner, best[0]),
        trials=_trials_table(tuner),
        resumed_trials=resumed,
    )


def _best_model(tuner: "keras_tuner.Tuner", trial: Any) -> "keras.Model":
    if not Path(tuner._get_checkpoint_fname(trial.trial_id)).exists():
        # Trained on another machine: the same trial gives the same weights here.
        tuner.seed_trial(trial)
        tuner.run_trial(trial)
    with warnings.catch_warnings():
        # Keras warns that the optimizer's state stays behind; a network that only forecasts does without it.
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer", UserWarning)
        return tuner.load_model(trial)


def _until(minutes: float | None, directory: Path) -> Callable[["keras_tuner.Oracle"], None]:
    """What is asked before each trial: whether too many have failed, whether there is room, and time."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def before_trial(oracle: "keras_tuner.Oracle") -> None:
        stop_after_failures(oracle)
        _require_room(directory)
        if deadline is not None and time.monotonic() > deadline and oracle.end_order:
            oracle.max_trials = len(oracle.trials)

    return before_trial


def _require_room(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < _ROOM_FOR_A_TRIAL:
        raise TrainingError(
            f"{free / 2**20:.0f} MiB are free on the disk of {directory.parent.parent}; the rule is "
            f"{_ROOM_FOR_A_TRIAL / 2**20:.0f} before each trial; make room: the same command goes on where this ends."
        )


def _worker_count(todo: TrialsToDo, resumed: int) -> int:
    """Processes that train trials: as configured, else as many as there are cores and work for."""
    config = todo.config
    if config.workers is not None:
        return config.workers
    windows = (config.max_trials - resumed) * config.epochs * len(todo.train[1])
    return max(1, min(cores(), config.max_trials - resumed, windows // _WINDOWS_WORTH_A_WORKER))


def _search_with_workers(
    tuner: "keras_tuner.Tuner",
    todo: TrialsToDo,
    others: int,
    before_trial: Callable[["keras_tuner.Oracle"], None],
    progress: SilentProgress,
) -> None:
    """Search in this process and in `others` more of this machine, and in whatever worker of another machine joins."""
    _hand_out_copies(tuner.oracle)
    server = TrialServer(tuner.oracle, todo, todo.config.chief or "127.0.0.1:0", before_trial, progress)
    try:
        with local_workers(todo, server.address, others):
            tuner.search()
            # A trial that a worker began and did not end comes back, and is trained here.
            while server.wait_for_trials():
                tuner.search()
            server.close()
    finally:
        server.close()


def _hand_out_copies(oracle: "keras_tuner.Oracle") -> None:
    """Let this process' tuner work on copies of the trials of `oracle`, as workers do.

    It marks a trial as completed before that has a loss. Where a worker's trial ends at that moment, the best of all is
    looked for, the comparison fails, and Keras Tuner keeps its lock for good.

    Copied whole and not made from its state: Keras Tuner would draw a name for that from the random numbers of the
    process, in a thread of the server, and the network that this process builds at that moment would get other weights.
    """
    create = oracle.create_trial

    def create_copy(tuner_id: str) -> Any:
        return copy.deepcopy(create(tuner_id))

    oracle.create_trial = create_copy


@contextlib.contextmanager
def _without_tuner_prints() -> Iterator[None]:
    """Keras Tuner prints its progress and reload notices; ours replace them."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _values_of(tuner: "keras_tuner.Tuner", trial: Any) -> dict[str, Any]:
    """The hyperparameters of a trial's network, in the order in which it asks for them, whoever trained it."""
    values = active_hyperparameters(trial.hyperparameters.values)
    order = [hyperparameter.name for hyperparameter in tuner.oracle.get_space().space]
    return dict(sorted(values.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _trials_table(tuner: "keras_tuner.Tuner") -> pd.DataFrame:
    rows = [
        {
            "trial": int(trial.trial_id) + 1,
            "status": str(trial.status).lower(),
            "val_loss": trial.score,
            "best_epoch": mean_over_executions(trial, "best_epoch"),
            **_values_of(tuner, trial),
        }
        for _, trial in sorted(tuner.oracle.trials.items())
    ]
    return pd.DataFrame(rows)
