"""What each way of searching for hyperparameters has found by when, in one process."""

import tempfile
import time
from collections.abc import Sequence

from volcast.config import TrainingConfig
from volcast.progress import SilentProgress, TrialEnd
from volcast.search.search import search_hyperparameters
from volcast.search.tuner import Arrays

__all__ = ["best_losses_by"]


def best_losses_by(
    minutes: Sequence[float], config: TrainingConfig, tuner: str, seed: int, train: Arrays, validation: Arrays
) -> list[float]:
    """The best validation loss of the trials that had ended after each of `minutes`.

    A search that ends earlier is followed by one with another seed, as by a user who has time left.
    """
    watch, searches = _BestInTime(), 0
    while (left := max(minutes) - watch.minutes) > 0:
        with tempfile.TemporaryDirectory() as place:
            search = config.with_overrides(
                tuner=tuner,
                seed=seed + 1_000_000 * searches,
                max_search_minutes=left,
                model_save_path=place,
                workers=1,
            )
            search_hyperparameters(search, train, validation, watch)
        searches += 1
    return [watch.best_by(minute) for minute in minutes]


class _BestInTime(SilentProgress):
    """Remembers the best loss of each finished trial's search, and when."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._found: list[tuple[float, float]] = []

    @property
    def minutes(self) -> float:
        """Since the race began."""
        return (time.monotonic() - self._began) / 60

    def trial_ended(self, trial: TrialEnd) -> None:
        if trial.best_loss is not None:
            self._found.append((self.minutes, trial.best_loss))

    def best_by(self, minutes: float) -> float:
        """The best of those that had ended by then; infinity where none had."""
        return min((loss for when, loss in self._found if when <= minutes), default=float("inf"))
