"""One network of a model: begun from its seed and trained, in this process or in one of another machine."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.config import TrainingConfig
from volcast.networks.architectures import (
    HAR_LSTM,
    HAR_LSTM_BATCH_SIZE,
    HAR_LSTM_NETWORK,
    architecture_of,
    build_from_values,
)
from volcast.networks.fitting import fit_network
from volcast.networks.schedule import Schedule

if TYPE_CHECKING:
    import keras

__all__ = ["Arrays", "History", "begun_network", "schedule_of", "train_network", "trained_weights"]

Arrays = tuple[np.ndarray, np.ndarray]
History = dict[str, list[float]]


def begun_network(
    config: TrainingConfig, hyperparams: Mapping[str, Any], seed: int, window: int, features: int
) -> "keras.Model":
    """The untrained, compiled network of `hyperparams` for windows (n, window, features), begun from `seed`."""
    import keras

    keras.utils.set_random_seed(seed)
    architecture = HAR_LSTM if config.effective_network == "har_lstm" else architecture_of(config)
    return build_from_values(architecture, hyperparams, window, features=features, config=config)


def train_network(
    model: "keras.Model",
    train: Arrays,
    validation: Arrays,
    config: TrainingConfig,
    seed: int,
    on_epoch_end: Callable[[int, float, float], None],
    callbacks: Iterable["keras.callbacks.Callback"] = (),
) -> History:
    """Train `model` in place as `config` says; see `networks.fitting.fit_network`."""
    return fit_network(model, train, validation, schedule_of(config, seed), on_epoch_end, callbacks)


def schedule_of(config: TrainingConfig, seed: int) -> Schedule:
    """How long a network of this seed is trained, and in which order."""
    batch_size = HAR_LSTM_BATCH_SIZE if config.effective_network == "har_lstm" else config.batch_size
    return Schedule(config.epochs, batch_size, config.early_stopping_patience, seed=seed, engine=config.engine)


def trained_weights(
    settings: dict[str, Any], seed: int, train: Arrays, validation: Arrays
) -> tuple[list[np.ndarray], History]:
    """Weights of a network of a `har_lstm` trained in this process, in Keras' order, and its losses by epoch.

    `settings` are those of `TrainingConfig`.
    """
    from volcast.networks.tensorflow import load_tensorflow_quietly

    load_tensorflow_quietly()
    config = TrainingConfig.from_mapping(settings)
    model = begun_network(config, HAR_LSTM_NETWORK, seed, *train[0].shape[1:])
    # What another process shares can be read alone, and the compiled engine is compiled for arrays of one's own.
    train, validation = ((np.array(inputs), np.array(targets)) for inputs, targets in (train, validation))
    history = train_network(model, train, validation, config, seed, lambda *news: None)
    return model.get_weights(), history
