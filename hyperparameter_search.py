"""The search for hyperparameters: Keras Tuner, seeded trial by trial, and resumable after any kind of end."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from errors import TrainingError
from lstm_models import active_hyperparameters, build_lstm_model_fast
from network_training import Schedule, fit_network
from training_config import TrainingConfig
from training_progress import SilentProgress

if TYPE_CHECKING:
    import keras
    import keras_tuner

__all__ = ["SearchResult", "discard_search", "search_directory", "search_hyperparameters"]

_SEARCHES = ".searches"
_FINISHED_STATE = "oracle_after_last_trial.json"
_SEARCH_SETTINGS = (
    "memory", "n_layers_range", "units_range", "dropout_range", "learning_rate_range", "batch_size", "epochs",
    "early_stopping_patience", "max_trials", "executions_per_trial", "tuner", "seed", "engine",
)  # fmt: skip

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SearchResult:
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
        One row a trial: ``trial``, ``status``, ``val_loss``, ``best_epoch`` and the hyperparameters.
    resumed_trials
        How many of them an earlier, interrupted run had finished.
    """

    best_hyperparameters: dict[str, Any]
    best_val_loss: float
    best_model: "keras.Model"
    trials: pd.DataFrame
    resumed_trials: int


def search_directory(config: TrainingConfig, train: Arrays, validation: Arrays) -> Path:
    """Where the search of these settings on these data keeps its state: another search never finds it."""
    import keras
    import keras_tuner

    digest = hashlib.sha256()
    settings = {name: getattr(config, name) for name in _SEARCH_SETTINGS}
    versions = {"keras": keras.__version__, "keras_tuner": keras_tuner.__version__}
    digest.update(json.dumps([settings, versions], sort_keys=True).encode())
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
    directory = search_directory(config, train, validation)
    _restore_last_finished_state(directory, resume=config.resume)
    directory.mkdir(parents=True, exist_ok=True)
    with _without_tuner_prints():
        tuner = _make_tuner(config, directory, train, validation, progress)
        resumed = len(tuner.oracle.end_order)
        progress.search_began(config.max_trials, resumed, config.epochs)
        try:
            tuner.search()
        except RuntimeError as error:
            raise TrainingError(_why_trials_failed(tuner)) from error
    best = tuner.oracle.get_best_trials(1)
    if not best or best[0].score is None or not np.isfinite(best[0].score):
        raise TrainingError(_why_trials_failed(tuner))
    return SearchResult(
        best_hyperparameters=active_hyperparameters(best[0].hyperparameters.values),
        best_val_loss=float(best[0].score),
        best_model=_best_model(tuner, best[0]),
        trials=_trials_table(tuner),
        resumed_trials=resumed,
    )


def _best_model(tuner: "keras_tuner.Tuner", trial: Any) -> "keras.Model":
    with warnings.catch_warnings():
        # Keras warns that the optimizer's state stays behind; a network that only forecasts does without it.
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer", UserWarning)
        return tuner.load_model(trial)


def _make_tuner(
    config: TrainingConfig, directory: Path, train: Arrays, validation: Arrays, progress: SilentProgress
) -> "keras_tuner.Tuner":
    import keras
    import keras_tuner

    class SeededNetwork(keras_tuner.HyperModel):  # type: ignore[misc]
        """Builds and fits the network of a trial, the random state set by the trial's number."""

        trial_seed = config.seed

        def build(self, hp: "keras_tuner.HyperParameters") -> "keras.Model":
            # Here and not earlier: Keras Tuner clears the session, and with it the seed, just before it builds.
            keras.utils.set_random_seed(self.trial_seed)
            self.trial_seed += 1
            return build_lstm_model_fast(hp, config.memory, config=config)

        def fit(self, hp: "keras_tuner.HyperParameters", model: "keras.Model", **kwargs: Any) -> dict[str, float]:
            epochs = kwargs.get("epochs", config.epochs)
            first = kwargs.get("initial_epoch", 0)
            schedule = Schedule(
                epochs, config.batch_size, config.early_stopping_patience,
                restore_best=False, first_epoch=first, seed=self.trial_seed, engine=config.engine,
            )  # fmt: skip
            history = fit_network(model, train, validation, schedule, progress.epoch_ended, kwargs["callbacks"])
            losses = history["val_loss"]
            return {"val_loss": min(losses), "best_epoch": first + int(np.argmin(losses)) + 1, "epochs": len(losses)}

    tuner_class = {
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "hyperband": keras_tuner.Hyperband,
    }[config.tuner]
    deadline = None if config.max_search_minutes is None else time.monotonic() + 60 * config.max_search_minutes

    class ResumableTuner(tuner_class):  # type: ignore[misc, valid-type]
        """Keeps the state after each finished trial, starts no trial after the deadline, and reports."""

        def pre_create_trial(self) -> None:
            if deadline is not None and time.monotonic() > deadline and self.oracle.end_order:
                self.oracle.max_trials = len(self.oracle.trials)

        def on_trial_begin(self, trial: Any) -> None:
            super().on_trial_begin(trial)
            number = int(trial.trial_id)
            self.hypermodel.trial_seed = _seed_of_trial(config.seed, number)
            progress.trial_began(number + 1)

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            _keep_finished_state(directory)
            best = self.oracle.get_best_trials(1)
            progress.trial_ended(best[0].score if best else None)

    return ResumableTuner(
        SeededNetwork(),
        objective=keras_tuner.Objective("val_loss", "min"),
        seed=config.seed,
        directory=str(directory.parent),
        project_name=directory.name,
        overwrite=False,
        executions_per_trial=config.executions_per_trial,
        **({"max_epochs": config.epochs} if config.tuner == "hyperband" else {"max_trials": config.max_trials}),
    )


def _seed_of_trial(base: int, number: int) -> int:
    # Far enough apart that the executions of one trial, which count up from here, never meet the next trial's.
    return (base + 1000 * (number + 1)) % 2**32


@contextlib.contextmanager
def _without_tuner_prints() -> Iterator[None]:
    """Keras Tuner prints its progress and reload notices; ours replace them."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _keep_finished_state(directory: Path) -> None:
    partial = directory / f"{_FINISHED_STATE}.part"
    shutil.copyfile(directory / "oracle.json", partial)
    os.replace(partial, directory / _FINISHED_STATE)


def _restore_last_finished_state(directory: Path, *, resume: bool) -> None:
    """Put a search back to the end of its last finished trial, or to nothing; what was begun after it is run anew.

    Keras Tuner writes its state in place, so after a kill the latest file may be torn; the copy made after each
    finished trial never is.
    """
    kept = directory / _FINISHED_STATE
    if not resume or not kept.exists():
        shutil.rmtree(directory, ignore_errors=True)
        return
    state = json.loads(kept.read_text())
    state["ongoing_trials"] = {}
    (directory / "oracle.json").write_text(json.dumps(state))
    for trial in directory.glob("trial_*"):
        if trial.name.removeprefix("trial_") not in state["end_order"]:
            shutil.rmtree(trial)


def _trials_table(tuner: "keras_tuner.Tuner") -> pd.DataFrame:
    rows = [
        {
            "trial": int(trial.trial_id) + 1,
            "status": str(trial.status).lower(),
            "val_loss": trial.score,
            "best_epoch": None if trial.best_step is None else trial.best_step + 1,
            **active_hyperparameters(trial.hyperparameters.values),
        }
        for _, trial in sorted(tuner.oracle.trials.items())
    ]
    return pd.DataFrame(rows)


def _why_trials_failed(tuner: "keras_tuner.Tuner") -> str:
    messages = [trial.message for trial in tuner.oracle.trials.values() if trial.message]
    reason = messages[-1].strip().splitlines()[-1] if messages else "no validation loss was finite"
    return (
        f"no trial of the search ended with a usable network ({reason}); the rule is one at least; "
        "check the bars, or narrow the ranges of the hyperparameters."
    )
