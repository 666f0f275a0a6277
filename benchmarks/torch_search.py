"""The trials of a search trained by PyTorch in its best arrangement, for `benchmark_training.py` to compare with.

Run as ``python -m benchmarks.torch_search TRIALS.json BARS MODEL.pt``: bars to a saved model, as `volcast train` does
it, in processes that do not load TensorFlow.
"""

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ways import Network, torch_log_qlike, torch_network, torch_training
from volcast.bars.sources.files import read_bars_file
from volcast.training.trainer import LocalLSTMTrainer

__all__ = ["main", "prepared_samples", "train_to_the_end", "train_trial"]

Arrays = tuple[np.ndarray, np.ndarray]


def train_trial(
    trial: dict[str, Any], config: dict[str, Any], train: Arrays, validation: Arrays, place: str = ""
) -> float:
    """The best validation loss of a trial with early stopping; the best weights go to `place` where there is one."""
    units = tuple(int(trial[f"units_{i}"]) for i in range(int(trial["n_layers"])))
    # One rate for all layers: it costs the same time.
    network = Network(units, config["batch_size"], rate=float(trial["dropout_0"]), learning_rate=float(trial["lr"]))
    best, weights = train_to_the_end(
        network, config["epochs"], config["early_stopping_patience"], config["seed"], train, validation
    )
    if place:
        import torch

        torch.save(weights, place)
    return best


def train_to_the_end(
    network: Network, epochs: int, patience: int, seed: int, train: Arrays, validation: Arrays
) -> tuple[float, dict[str, Any]]:
    """The best validation loss of a network that is stopped `patience` epochs after it, and its weights then."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = torch_network(network)
    epoch = torch_training(network, train, model)
    windows, targets = (torch.from_numpy(np.ascontiguousarray(part)) for part in validation)
    measure = torch_log_qlike if network.qlike else torch.nn.functional.mse_loss
    best, waited, weights = float("inf"), 0, {}
    for _ in range(epochs):
        epoch()
        model.eval()
        with torch.no_grad():
            loss = float(measure(model(windows), targets))
        waited = 0 if loss < best else waited + 1
        if loss < best:
            best, weights = loss, {name: value.clone() for name, value in model.state_dict().items()}
        if waited >= patience:
            break
    return best, weights


def prepared_samples(config: dict[str, Any], bars_path: str) -> tuple[Arrays, Arrays]:
    """Windows and targets of training and of validation, as the search of `config` has them of the bars of a file."""
    data = LocalLSTMTrainer(config).prepare_data(bars=read_bars_file(Path(bars_path)))
    return (data.X_train, data.y_train), (data.X_val, data.y_val)


def main() -> int:
    """Train the trials in as many processes as there are cores, then the best one anew, and save it."""
    trials_path, bars_path, place = sys.argv[1:]
    search = json.loads(Path(trials_path).read_text())
    config = search["config"]
    train, validation = prepared_samples(config, bars_path)
    jobs = [(trial, config, train, validation) for trial in search["trials"]]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        losses = pool.starmap(train_trial, jobs, chunksize=1)
    train_trial(search["trials"][int(np.argmin(losses))], config, train, validation, place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
