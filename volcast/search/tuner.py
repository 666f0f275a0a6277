"""Keras Tuner, set up so that a trial depends on its number alone, whoever trains it, and so that an end of any kind
costs only the trials that were running."""

import contextlib
import gc
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.config import TrainingConfig
from volcast.errors import TrainingError
from volcast.files import write_whole
from volcast.networks.architectures import architecture_of
from volcast.networks.fitting import fit_network
from volcast.networks.schedule import Schedule
from volcast.progress import SilentProgress, TrialEnd
from volcast.search.median_stopping import mean_losses, median_stopping_search

if TYPE_CHECKING:
    import keras
    import keras_tuner

__all__ = [
    "ENDING", "Arrays", "TrialsToDo", "give_back", "keep_state", "make_tuner", "mean_over_executions",
    "quick_collections", "restore_state", "stop_after_failures", "tell_of_end", "why_trials_failed",
]  # fmt: skip

Arrays = tuple[np.ndarray, np.ndarray]

_KEPT_STATE = "search.json"
_MOST_FAILURES = 3
_IDLE_SECONDS = 0.1

ENDING = threading.RLock()
"""Held from a trial's end to what is told of it: the best so far is then among those that were told."""


@dataclass(frozen=True)
class TrialsToDo:
    """What every trial of a search needs: settings, data (windows, targets), and where checkpoints go."""

    config: TrainingConfig
    train: Arrays
    validation: Arrays
    directory: Path


def make_tuner(
    todo: TrialsToDo, progress: SilentProgress, before_trial: Callable[["keras_tuner.Oracle"], None] | None = None
) -> "keras_tuner.Tuner":
    """The tuner of a search, as it stands on disk; `before_trial` is called before each trial it asks for."""
    import keras
    import keras_tuner

    config, tuner = todo.config, todo.config.effective_tuner

    class SeededNetwork(keras_tuner.HyperModel):  # type: ignore[misc]
        """Builds and fits the network of a trial, the random state set by the trial's number."""

        trial_seed = config.seed

        def build(self, hp: "keras_tuner.HyperParameters") -> "keras.Model":
            # Here and not earlier: Keras Tuner clears the session, and with it the seed, just before it builds.
            keras.utils.set_random_seed(self.trial_seed)
            self.trial_seed += 1
            return architecture_of(config).build(hp, config.memory, config=config)

        def fit(self, hp: "keras_tuner.HyperParameters", model: "keras.Model", **kwargs: Any) -> dict[str, float]:
            first = kwargs.get("initial_epoch", 0)
            schedule = Schedule(
                kwargs.get("epochs", config.epochs), config.batch_size, config.early_stopping_patience,
                restore_best=False, first_epoch=first, seed=self.trial_seed, engine=config.engine,
            )  # fmt: skip
            history = fit_network(
                model, todo.train, todo.validation, schedule, progress.epoch_ended, kwargs["callbacks"]
            )
            losses = history["val_loss"]
            best = {"val_loss": min(losses), "best_epoch": first + int(np.argmin(losses)) + 1, "epochs": len(losses)}
            return best | (mean_losses(losses, config.epochs) if tuner == "median" else {})

    tuner_class = {
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "hyperband": keras_tuner.Hyperband,
        "median": median_stopping_search(),
    }[tuner]

    class SteadyTuner(tuner_class):  # type: ignore[misc, valid-type]
        """Seeds each trial, reports it, and keeps the search's state after it."""

        began_one = True

        def pre_create_trial(self) -> None:
            if not self.began_one:
                # Asked and told to wait: Keras Tuner would ask again at once, and again.
                time.sleep(_IDLE_SECONDS)
            self.began_one = False
            if before_trial is not None:
                before_trial(self.oracle)

        def on_trial_begin(self, trial: Any) -> None:
            super().on_trial_begin(trial)
            self.began_one = True
            self.seed_trial(trial)
            progress.trial_began(int(trial.trial_id) + 1)

        def seed_trial(self, trial: Any) -> None:
            # Far enough apart that the executions of one trial, which count up from here, never meet the next trial's.
            self.hypermodel.trial_seed = (config.seed + 1000 * (int(trial.trial_id) + 1)) % 2**32

        def on_trial_end(self, trial: Any) -> None:
            with ENDING:
                super().on_trial_end(trial)
                if isinstance(self.oracle, keras_tuner.Oracle):
                    keep_state(self.oracle, todo.directory)
                    tell_of_end(self.oracle, trial.trial_id, progress)

    return SteadyTuner(
        SeededNetwork(),
        objective=keras_tuner.Objective("val_loss", "min"),
        seed=config.seed,
        directory=str(todo.directory.parent),
        project_name=todo.directory.name,
        overwrite=False,
        executions_per_trial=config.executions_per_trial,
        hyperparameters=_search_space(config),
        # What there is to tune is known from the start: values do not depend on which trial ended first.
        tune_new_entries=False,
        # Counted by `stop_after_failures`: Keras Tuner's own count raises wherever a trial ends, and keeps its lock.
        max_consecutive_failed_trials=10**6,
        **({"max_epochs": config.epochs} if tuner == "hyperband" else {"max_trials": config.max_trials}),
    )


@contextlib.contextmanager
def quick_collections() -> Iterator[None]:
    """Keras Tuner collects garbage twice a trial; what is loaded by now is left out of it, which is nearly all."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def stop_after_failures(oracle: "keras_tuner.Oracle") -> None:
    """Raise `TrainingError` where the last trials have all failed."""
    last = oracle.end_order[-_MOST_FAILURES:]
    if len(last) == _MOST_FAILURES and all(oracle.trials[trial].status == "FAILED" for trial in last):
        raise TrainingError(why_trials_failed(oracle))


def why_trials_failed(oracle: "keras_tuner.Oracle") -> str:
    """A sentence for a search without a usable network."""
    messages = [trial.message for trial in oracle.trials.values() if trial.message]
    last_line = messages[-1].strip().splitlines()[-1] if messages else "no validation loss was finite"
    reason = last_line.removeprefix(f"{TrainingError.__module__}.{TrainingError.__name__}: ")
    return (
        f"no trial of the search ended with a usable network ({reason}); the rule is one at least; "
        "check the bars, or narrow the ranges of the hyperparameters."
    )


def _search_space(config: TrainingConfig) -> "keras_tuner.HyperParameters":
    """All hyperparameters, those of a further layer only where there is one: equal networks have equal values."""
    import keras_tuner

    recorder = keras_tuner.HyperParameters()
    least, most = config.n_layers_range
    recorder.values = {"n_layers": most}
    architecture_of(config).build(recorder, config.memory, config=config)
    space = recorder.get_config()
    for hyperparameter in space["space"]:
        kind, _, layer = hyperparameter["config"]["name"].rpartition("_")
        if kind in ("units", "dropout") and int(layer) >= least:
            layers = {"name": "n_layers", "values": list(range(int(layer) + 1, most + 1))}
            hyperparameter["config"]["conditions"] = [{"class_name": "Parent", "config": layers}]
    space_values = keras_tuner.HyperParameters.from_config({**space, "values": {}})
    space_values.ensure_active_values()
    return space_values


def keep_state(oracle: "keras_tuner.Oracle", directory: Path) -> None:
    """Write the whole state of the search to one file, at once: Keras Tuner writes many, in place."""
    import keras_tuner

    def snapshot(oracle: "keras_tuner.Oracle") -> bytes:
        trials = {number: trial.get_state() for number, trial in oracle.trials.items()}
        return json.dumps({"oracle": oracle.get_state(), "trials": trials}).encode()

    write_whole(directory / _KEPT_STATE, keras_tuner.synchronized(snapshot)(oracle))


def tell_of_end(oracle: "keras_tuner.Oracle", trial_id: str, progress: SilentProgress) -> None:
    """Tell how the trial ended that this process or a worker has just ended."""
    import keras_tuner

    def tell(oracle: "keras_tuner.Oracle") -> None:
        trial, best = oracle.trials[trial_id], oracle.get_best_trials(1)
        progress.trial_ended(
            TrialEnd(
                number=int(trial_id) + 1,
                val_loss=trial.score if trial.status == "COMPLETED" else None,
                epochs=mean_over_executions(trial, "epochs") or 0,
                best_loss=best[0].score if best else None,
            )
        )

    # One at a time: workers' trials end in threads of the server.
    keras_tuner.synchronized(tell)(oracle)


def mean_over_executions(trial: Any, metric: str) -> float | None:
    """What each execution of a trial reported as `metric`, in the mean; None where none ended."""
    if not trial.metrics.exists(metric):
        return None
    mean = float(trial.metrics.get_history(metric)[-1].mean())
    return int(mean) if mean.is_integer() else mean


def restore_state(directory: Path, *, resume: bool) -> None:
    """Put a search back to the end of its last finished trial, or to nothing; what was running then is run anew."""
    state_file = directory / _KEPT_STATE
    if not resume or not state_file.exists():
        shutil.rmtree(directory, ignore_errors=True)
        return
    state = json.loads(state_file.read_text())
    oracle, trials = state["oracle"], state["trials"]
    unfinished = [trial for trial in oracle["start_order"] if trial not in oracle["end_order"]]
    # Retried from the end of the list, and so in the order in which they began.
    oracle |= {"ongoing_trials": {}, "retry_queue": unfinished[::-1]}
    (directory / "oracle.json").write_text(json.dumps(oracle))
    # Empty, and what Keras Tuner looks for: written only once the chief itself has ended a trial.
    (directory / "tuner0.json").write_text("{}")
    for folder in directory.glob("trial_*"):
        number = folder.name.removeprefix("trial_")
        if number not in trials or number in unfinished:
            shutil.rmtree(folder)
    for number, trial in trials.items():
        if number in unfinished:
            trial["metrics"] = {"metrics": {}}
        folder = directory / f"trial_{number}"
        folder.mkdir(exist_ok=True)
        (folder / "trial.json").write_text(json.dumps(trial))


def give_back(oracle: "keras_tuner.Oracle", tuner_id: str) -> None:
    """The trial of a worker that is gone is given to the next who asks."""
    import keras_tuner

    def requeue(oracle: "keras_tuner.Oracle") -> None:
        oracle.tuner_ids.discard(tuner_id)
        trial = oracle.ongoing_trials.pop(tuner_id, None)
        if trial is not None:
            trial.metrics = type(trial.metrics)()
            oracle._retry_queue.append(trial.trial_id)

    keras_tuner.synchronized(requeue)(oracle)
