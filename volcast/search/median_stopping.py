"""Random search with a median stopping rule: what does worse than the median trial did by then is not trained on.

A trial ends early when its best validation loss so far is above the median of what other trials' losses were on average
up to that epoch (Golovin, Solnik, Moitra, Kochanski, Karro and Sculley 2017, *Google Vizier*, KDD, section 3.2.1). The
others are the first `REFERENCE_TRIALS` of the search, which are trained to their end, and for which the rest wait: so
a search finds the same in one process and in many.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras_tuner

__all__ = ["REFERENCE_TRIALS", "mean_losses", "median_stopping_search"]

REFERENCE_TRIALS = 5
"""Trials that set the median."""

_METRIC = "mean_val_loss_"


def mean_losses(losses: Sequence[float], epochs: int) -> dict[str, float]:
    """Metrics of a trial with these validation losses: their mean up to each of `epochs`, the last where it ended."""
    means = np.cumsum(losses) / np.arange(1, len(losses) + 1)
    return {f"{_METRIC}{epoch + 1}": float(means[min(epoch, len(means) - 1)]) for epoch in range(epochs)}


@cache
def median_stopping_search() -> "type[keras_tuner.Tuner]":
    """The tuner, which takes what `keras_tuner.RandomSearch` takes; its trials must report `mean_losses`."""
    import keras_tuner

    class WaitingOracle(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
        """Begins no further trial before the first few have ended."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            if len(self.trials) >= REFERENCE_TRIALS and len(self.end_order) < REFERENCE_TRIALS:
                return {"status": "IDLE", "values": None}
            return dict(super().populate_space(trial_id))

    class MedianStoppingSearch(keras_tuner.Tuner):  # type: ignore[misc]
        def __init__(
            self,
            hypermodel: keras_tuner.HyperModel,
            objective: keras_tuner.Objective,
            max_trials: int,
            seed: int,
            hyperparameters: keras_tuner.HyperParameters,
            tune_new_entries: bool,
            max_consecutive_failed_trials: int,
            **rest: Any,
        ) -> None:
            oracle = WaitingOracle(
                objective=objective,
                max_trials=max_trials,
                seed=seed,
                hyperparameters=hyperparameters,
                tune_new_entries=tune_new_entries,
                max_consecutive_failed_trials=max_consecutive_failed_trials,
            )
            super().__init__(oracle, hypermodel, **rest)
            self._limits: list[float] = []
            self._best = float("inf")

        def on_trial_begin(self, trial: Any) -> None:
            super().on_trial_begin(trial)
            self._limits = _limits(trial.trial_id, self.oracle.get_trial)

        def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: dict[str, float] | None = None) -> None:
            super().on_epoch_end(trial, model, epoch, logs)
            loss = float((logs or {})[self.oracle.objective.name])
            self._best = loss if epoch == 0 else min(self._best, loss)
            if epoch < len(self._limits) and self._best > self._limits[epoch]:
                model.stop_training = True

    return MedianStoppingSearch


def _limits(trial_id: str, get_trial: Callable[[str], Any]) -> list[float]:
    """The highest best loss with which a trial goes on after each epoch; none for those that set it."""
    if int(trial_id) < REFERENCE_TRIALS:
        return []
    references = [get_trial(f"{number:0{len(trial_id)}d}") for number in range(REFERENCE_TRIALS)]
    means = [_reported(trial) for trial in references if trial.status == "COMPLETED"]
    return list(np.median(means, axis=0)) if means else []


def _reported(trial: Any) -> list[float]:
    """What `mean_losses` reported, by epoch."""
    count = sum(name.startswith(_METRIC) for name in trial.metrics.metrics)
    return [float(trial.metrics.get_best_value(f"{_METRIC}{epoch + 1}")) for epoch in range(count)]
