"""Networks that are trained side by side are each what they would be alone, and end together."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from volcast.config import TrainingConfig
from volcast.errors import TrainingError
from volcast.networks.architectures import HAR_LSTM_NETWORK
from volcast.progress import SilentProgress
from volcast.training.ensemble import Ensemble
from volcast.training.one_network import Arrays, History, begun_network

pytestmark = pytest.mark.train

SEEDS = (1, 2, 3)


def samples(count: int, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    windows = random.normal(size=(count, 6, 7)).astype(np.float32)
    return windows, windows[:, -1, 0] + random.normal(size=count).astype(np.float32)


def trained(
    progress: SilentProgress | None = None, seeds: tuple[int, ...] = SEEDS, **settings: object
) -> list[History]:
    config = TrainingConfig.from_mapping({"network": "har_lstm", "epochs": 6, **settings})
    models = [begun_network(config, HAR_LSTM_NETWORK, seed, 6, 7) for seed in seeds]
    ensemble = Ensemble(models, seeds, samples(600, 0), samples(200, 1), config, progress or SilentProgress())
    return ensemble.train_side_by_side()


@dataclass
class Watching(SilentProgress):
    """Who was in training beside whom; each network's first epoch waits for as many others as are told."""

    beside: int
    running: set[int] = field(default_factory=set)
    most: int = 0
    epochs: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._meeting = threading.Barrier(self.beside)

    def training_began(self, epochs: int, network: int, count: int) -> None:
        self.running.add(network)
        if network <= self.beside:
            self._meeting.wait(timeout=60)
        self.most = max(self.most, len(self.running))

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        assert network is not None
        self.epochs.setdefault(network, []).append(epoch)

    def training_ended(self, network: int) -> None:
        self.running.remove(network)


@pytest.mark.parametrize(("engine", "epochs"), [("fast", 6), ("keras", 1)])
def test_each_network_is_what_it_would_be_alone(engine: str, epochs: int) -> None:
    alone = [trained(seeds=(seed,), engine=engine, epochs=epochs)[0] for seed in SEEDS]
    together, in_turn = (trained(engine=engine, epochs=epochs, workers=workers) for workers in (3, 1))
    assert together == in_turn == alone


def test_as_many_are_trained_at_once_as_workers_are_asked_for() -> None:
    progress = Watching(beside=2)
    histories = trained(progress, workers=2)
    assert progress.most == 2
    assert not progress.running
    assert progress.epochs == {
        number: list(range(1, len(history["loss"]) + 1)) for number, history in enumerate(histories, 1)
    }


def test_networks_of_keras_are_trained_one_after_the_other() -> None:
    progress = Watching(beside=1)
    trained(progress, engine="keras", workers=3, epochs=1)
    assert progress.most == 1


class Failing(Watching):
    """The second network fails at the end of its first epoch, while another is in training."""

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        super().epoch_ended(epoch, loss, val_loss, network)
        if network == 2:
            raise self.error

    error: BaseException = TrainingError("it does not learn.")


@pytest.mark.parametrize("error", [TrainingError("it does not learn."), KeyboardInterrupt()])
def test_where_one_ends_early_the_others_are_given_up(error: BaseException) -> None:
    progress = Failing(beside=2)
    progress.error = error
    with pytest.raises(type(error)):
        trained(progress, workers=2, epochs=100_000, early_stopping_patience=100_000)
    assert not progress.running
    assert 3 not in progress.epochs
