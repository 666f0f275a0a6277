"""The networks of a model, which differ by their seeds alone: trained side by side, in this process or on a cluster."""

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volcast.config import TrainingConfig
from volcast.errors import TrainingError
from volcast.networks.fitting import are_trained_in_threads
from volcast.processes import cores
from volcast.progress import SilentProgress
from volcast.training.cluster import results_on_ray
from volcast.training.one_network import Arrays, History, schedule_of, train_network, trained_weights

if TYPE_CHECKING:
    import keras

__all__ = ["Ensemble"]


class _GivenUpError(Exception):
    """Another network failed, or nobody waits for this one any more."""


@dataclass(frozen=True)
class Ensemble:
    """The networks of one model before their training.

    Attributes
    ----------
    models, seeds
        The networks, compiled and begun from their seeds.
    train, validation
        Windows and targets that all of them learn from and are stopped by.
    config
        How they are trained.
    progress
        What is told of it.
    """

    models: Sequence["keras.Model"]
    seeds: Sequence[int]
    train: Arrays
    validation: Arrays
    config: TrainingConfig
    progress: SilentProgress

    def train_side_by_side(self) -> list[History]:
        """Train the networks in place in threads of this process, each as if alone; returns their histories in order.

        As many at a time as `config.workers` says, by default one a core; one after the other where Keras trains them.

        Raises
        ------
        TrainingError
            One of them failed; the others are given up.
        """
        is_over = threading.Event()
        schedule = schedule_of(self.config, self.config.seed)
        together = all(are_trained_in_threads(model, schedule) for model in self.models)
        with ThreadPoolExecutor((self.config.workers or cores()) if together else 1) as pool:
            trainings = [pool.submit(self._trained, place, is_over) for place in range(len(self.models))]
            try:
                ended, _ = wait(trainings, return_when=FIRST_EXCEPTION)
                for training in ended:
                    training.result()
                return [training.result() for training in trainings]
            except BaseException:
                is_over.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _trained(self, place: int, is_over: threading.Event) -> History:
        """The history of the network at this place, which ends at its next batch where all `is_over`."""
        import keras

        number = place + 1

        def give_up(batch: int, logs: object = None) -> None:
            if is_over.is_set():
                raise _GivenUpError

        def epoch_ended(epoch: int, loss: float, val_loss: float) -> None:
            self.progress.epoch_ended(epoch, loss, val_loss, number)

        self.progress.training_began(self.config.epochs, number, len(self.models))
        try:
            return train_network(
                self.models[place], self.train, self.validation, self.config, self.seeds[place], epoch_ended,
                [keras.callbacks.LambdaCallback(on_train_batch_begin=give_up)],
            )  # fmt: skip
        finally:
            self.progress.training_ended(number)

    def train_on_ray(self, address: str) -> list[History]:
        """Train the networks on the cluster at `address`, each for itself; returns their histories in order.

        Raises
        ------
        TrainingError
            One of them failed, or there is no cluster.
        """
        settings: dict[str, Any] = self.config.as_dict()
        histories: dict[int, History] = {}
        tasks = {place: (settings, seed) for place, seed in enumerate(self.seeds)}
        for place, result in results_on_ray(trained_weights, tasks, address, self.train, self.validation):
            if isinstance(result, TrainingError):
                raise result
            weights, histories[place] = result
            self.models[place].set_weights(weights)
            self.progress.say(f"{len(histories)} of {len(self.seeds)} networks are trained.")
        return [histories[place] for place in tasks]
