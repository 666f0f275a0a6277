"""How one network is trained: weights, data and schedule in; trained weights and history out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["Schedule", "compute_device", "fit_network", "forecast_windows"]


@dataclass(frozen=True)
class Schedule:
    """When to stop and how to go through the data.

    Attributes
    ----------
    epochs
        Passes over the training windows at the most.
    batch_size
        Windows in a gradient step.
    patience
        Epochs without a better validation loss after which training stops.
    restore_best
        Whether the weights of the best epoch are put back at the end.
    first_epoch
        Epochs that the weights have already had (Hyperband continues a network).
    """

    epochs: int
    batch_size: int
    patience: int
    restore_best: bool = True
    first_epoch: int = 0


def fit_network(
    model: "keras.Model",
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    schedule: Schedule,
    on_epoch_end: Callable[[int, float, float], None],
    callbacks: Iterable["keras.callbacks.Callback"] = (),
) -> dict[str, list[float]]:
    """Train `model` in place on windows and targets, shuffled anew each epoch.

    `on_epoch_end` is told the epoch, counted from 1, its loss and its validation loss.

    Returns
    -------
    The history: ``loss`` and ``val_loss`` of each epoch.
    """
    import keras

    early_stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=schedule.patience, restore_best_weights=schedule.restore_best
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch_end(epoch + 1, logs["loss"], logs["val_loss"])
    )
    history = model.fit(
        *train,
        validation_data=validation,
        epochs=schedule.epochs,
        initial_epoch=schedule.first_epoch,
        batch_size=schedule.batch_size,
        callbacks=[early_stopping, report, *callbacks],
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def forecast_windows(
    model: "keras.Model", inputs: np.ndarray | tuple[np.ndarray, np.ndarray], batch_size: int = 1024
) -> np.ndarray:
    """The network's outputs, shape (n,) float64, for windows of shape (n, memory, F), or these and (n, K) beside."""
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    outputs = []
    for first in range(0, len(arrays[0]), batch_size):
        batch = [np.ascontiguousarray(array[first : first + batch_size], dtype=np.float32) for array in arrays]
        outputs.append(model.predict_on_batch(batch if len(batch) > 1 else batch[0]))
    return np.concatenate(outputs)[:, 0].astype(float) if outputs else np.empty(0)


def compute_device() -> str:
    """What TensorFlow will compute on, in words: the first GPU, or the CPU where there is none."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return f"GPU ({gpus[0].name})" if gpus else "CPU (no GPU found)"
