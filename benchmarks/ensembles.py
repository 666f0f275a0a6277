"""The networks of a `har_lstm` trained to their end, by this training and by PyTorch, for `benchmark_training.py`.

Run as ``python -m benchmarks.ensembles WAY SAMPLES.npz SETTINGS.json``, a process for each way. It prints as JSON the
seconds by the clock and of the processor that the networks took, imports not counted, and their best validation losses.
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.torch_search import train_to_the_end
from benchmarks.ways import Network
from volcast.config import TrainingConfig
from volcast.networks.architectures import HAR_LSTM_BATCH_SIZE, HAR_LSTM_NETWORK
from volcast.networks.schedule import seed_of_network
from volcast.training.trainer import LocalLSTMTrainer

__all__ = ["ENSEMBLE_WAYS", "main", "write_samples"]

Arrays = tuple[np.ndarray, np.ndarray]


def write_samples(config: TrainingConfig, place: Path) -> None:
    """Windows and targets of training and validation, as a training of `config` has them, to a file of NumPy's."""
    data = LocalLSTMTrainer(config).prepare_data()
    np.savez(place, X_train=data.X_train, y_train=data.y_train, X_val=data.X_val, y_val=data.y_val)


def _by_us(workers: int) -> Callable[[TrainingConfig, Arrays, Arrays], list[float]]:
    def train(config: TrainingConfig, samples: Arrays, validation: Arrays) -> list[float]:
        from volcast.networks.tensorflow import load_tensorflow_quietly
        from volcast.progress import SilentProgress
        from volcast.training.ensemble import Ensemble
        from volcast.training.one_network import begun_network

        load_tensorflow_quietly()
        config, seeds = config.with_overrides(workers=workers), _seeds(config)
        shape = samples[0].shape[1:]
        models = [begun_network(config, HAR_LSTM_NETWORK, seed, *shape) for seed in seeds]
        ensemble = Ensemble(models, seeds, samples, validation, config, SilentProgress())
        return [min(history["val_loss"]) for history in ensemble.train_side_by_side()]

    return train


def _by_torch(processes: int) -> Callable[[TrainingConfig, Arrays, Arrays], list[float]]:
    def train(config: TrainingConfig, samples: Arrays, validation: Arrays) -> list[float]:
        _, memory, features = samples[0].shape
        network = Network(
            (int(HAR_LSTM_NETWORK["units_0"]),),
            HAR_LSTM_BATCH_SIZE,
            features,
            rate=HAR_LSTM_NETWORK["dropout_0"],
            learning_rate=HAR_LSTM_NETWORK["lr"],
            memory=memory,
            qlike=True,
        )
        jobs = [
            (network, config.epochs, config.early_stopping_patience, seed, samples, validation)
            for seed in _seeds(config)
        ]
        if processes == 1:
            return [train_to_the_end(*job)[0] for job in jobs]
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            return [loss for loss, _ in pool.starmap(train_to_the_end, jobs, chunksize=1)]

    return train


def _seeds(config: TrainingConfig) -> list[int]:
    return [seed_of_network(config.seed, number) for number in range(config.networks)]


ENSEMBLE_WAYS = {
    "PyTorch, one thread": _by_torch(1),
    # Two threads in one process wait for each other longer than networks of this size compute.
    "PyTorch, two processes": _by_torch(2),
    "local_training, one thread": _by_us(1),
    "local_training, two threads": _by_us(2),
}
"""By name; the first is what all are compared with."""


def main() -> int:
    """Train the networks by one of the `ENSEMBLE_WAYS`, and print what it took."""
    way, samples_path, settings_path = sys.argv[1:]
    config = TrainingConfig.from_mapping(json.loads(Path(settings_path).read_text()))
    with np.load(samples_path) as arrays:
        train, validation = ((arrays[f"X_{part}"], arrays[f"y_{part}"]) for part in ("train", "val"))
    _import_all(way)
    began, spent = time.perf_counter(), _processor_seconds()
    losses = ENSEMBLE_WAYS[way](config, train, validation)
    figures: dict[str, Any] = {
        "seconds": time.perf_counter() - began,
        "processor": _processor_seconds() - spent,
        "losses": losses,
    }
    print(json.dumps(figures))
    return 0


def _import_all(way: str) -> None:
    """Load what a way computes with: not both, for TensorFlow and PyTorch do not live in one process."""
    if way.startswith("PyTorch"):
        import torch  # noqa: F401
    else:
        from volcast.networks.tensorflow import load_tensorflow_quietly

        load_tensorflow_quietly()
        import keras  # noqa: F401


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    sys.exit(main())
