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

from benchmarks.ways import Network, torch_network, torch_training
from volcast.bars.sources.files import read_bars_file
from volcast.training.trainer import LocalLSTMTrainer

__all__ = ["main", "prepared_samples", "train_trial"]

Arrays = tuple[np.ndarray, np.ndarray]


def train_trial(
    trial: dict[str, Any], config: dict[str, Any], train: Arrays, validation: Arrays, place: str = ""
) -> float:
    """The best validation loss of a trial with early stopping; the best weights go to `place` where there is one."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    units = tuple(int(trial[f"units_{i}"]) for i in range(int(trial["n_layers"])))
    # One rate for all layers: it costs the same time.
    network = Network(units, config["batch_size"], rate=float(trial["dropout_0"]), learning_rate=float(trial["lr"]))
    model = torch_network(network)
    epoch = torch_training(network, train, model)
    windows, targets = (torch.from_numpy(np.ascontiguousarray(part)) for part in validation)
    best, waited, weights = float("inf"), 0, None
    for _ in range(config["epochs"]):
        epoch()
        model.eval()
        with torch.no_grad():
            loss = float(torch.nn.functional.mse_loss(model(windows), targets))
        waited = 0 if loss < best else waited + 1
        if loss < best:
            best, weights = loss, {name: value.clone() for name, value in model.state_dict().items()}
        if waited >= config["early_stopping_patience"]:
            break
    if place:
        torch.save(weights, place)
    return best


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
