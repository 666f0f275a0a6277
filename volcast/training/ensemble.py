"""The networks of a model, which differ by their seeds alone: trained side by side, in this process or on a cluster."""

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
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

__all__ = ["train_on_ray", "train_side_by_side"]


class _GivenUpError(Exception):
    """Another network failed, or nobody waits for this one any more."""


def train_side_by_side(
    models: Sequence["keras.Model"],
    seeds: Sequence[int],
    train: Arrays,
    validation: Arrays,
    config: TrainingConfig,
    progress: SilentProgress,
) -> list[History]:
    """Train `models` in place in threads of this process, each as if it were alone; returns their histories in order.

    As many at a time as `config.workers` says, by default one a core; one after the other where Keras trains them.

    Raises
    ------
    TrainingError
        One of them failed; the others are given up.
    """
    import keras

    is_over = threading.Event()

    def give_up(batch: int, logs: object = None) -> None:
        if is_over.is_set():
            raise _GivenUpError

    def trained(number: int, model: "keras.Model", seed: int) -> History:
        def epoch_ended(epoch: int, loss: float, val_loss: float) -> None:
            progress.epoch_ended(epoch, loss, val_loss, number)

        progress.training_began(config.epochs, number, len(models))
        abandonment = keras.callbacks.LambdaCallback(on_train_batch_begin=give_up)
        try:
            return train_network(model, train, validation, config, seed, epoch_ended, [abandonment])
        finally:
            progress.training_ended(number)

    together = all(are_trained_in_threads(model, schedule_of(config, config.seed)) for model in models)
    with ThreadPoolExecutor((config.workers or cores()) if together else 1) as pool:
        trainings = [
            pool.submit(trained, number, *network)
            for number, network in enumerate(zip(models, seeds, strict=True), start=1)
        ]
        try:
            ended, _ = wait(trainings, return_when=FIRST_EXCEPTION)
            for training in ended:
                training.result()
            return [training.result() for training in trainings]
        except BaseException:
            is_over.set()
            pool.shutdown(cancel_futures=True)
            raise


def train_on_ray(
    models: Sequence["keras.Model"],
    seeds: Sequence[int],
    train: Arrays,
    validation: Arrays,
    config: TrainingConfig,
    progress: SilentProgress,
    address: str,
) -> list[History]:
    """Train `models` on the cluster at `address`, each for itself; returns their histories in order.

    Raises
    ------
    TrainingError
        One of them failed, or there is no cluster.
    """
    settings: dict[str, Any] = config.as_dict()
    histories: dict[int, History] = {}
    tasks = {number: (settings, seed) for number, seed in enumerate(seeds)}
    for number, result in results_on_ray(trained_weights, tasks, address, train, validation):
        if isinstance(result, TrainingError):
            raise result
        weights, histories[number] = result
        models[number].set_weights(weights)
        progress.say(f"{len(histories)} of {len(seeds)} networks are trained.")
    return [histories[number] for number in tasks]
