"""How one network is trained: weights, data and schedule in; trained weights and history out.

Two engines do it. The compiled one (`lstm_engine`) trains the networks that the product builds, several times as fast
on a CPU; Keras trains everything else, whatever there is on a GPU, and is the reference that the other is held to.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import keras

    from lstm_engine import NetworkPlan

__all__ = ["Engine", "Schedule", "compute_device", "fit_network", "log_qlike", "seed_of_network"]

Engine = Literal["auto", "fast", "keras"]


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
    seed
        Seed of the order of windows and of dropout.
    engine
        ``"fast"`` is the compiled one, ``"auto"`` takes it where it knows the network and there is no GPU.
    shuffle
        Whether the windows of each epoch come in a new order.
    """

    epochs: int
    batch_size: int
    patience: int
    restore_best: bool = True
    first_epoch: int = 0
    seed: int = 0
    engine: Engine = "auto"
    shuffle: bool = True


def fit_network(
    model: "keras.Model",
    train: Sequence[Any],
    validation: Sequence[Any],
    schedule: Schedule,
    on_epoch_end: Callable[[int, float, float], None],
    callbacks: Iterable["keras.callbacks.Callback"] = (),
) -> dict[str, list[float]]:
    """Train `model` in place, the samples shuffled anew each epoch.

    Parameters
    ----------
    model
        A compiled network. Where the compiled engine does not know it, Keras trains it and a warning says why.
    train, validation
        (inputs, targets) or (inputs, targets, weights). Inputs are windows of shape (n, memory, features), or a pair of
        windows and side inputs (n, sides); targets and weights have shape (n,). Strided views are not copied.
    schedule
        How long and in which order.
    on_epoch_end
        Is told the epoch, counted from 1, its loss and its validation loss.
    callbacks
        Further callbacks of Keras. The model has the epoch's weights when they hear of its end.

    Returns
    -------
    The history: ``loss`` and ``val_loss`` of each epoch.

    Raises
    ------
    ConfigError
        The engine is ``"fast"``, which does not know this network.
    TrainingError
        The validation loss of an epoch is not finite.
    """
    import keras

    early_stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=schedule.patience, restore_best_weights=schedule.restore_best
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch_end(epoch + 1, logs["loss"], logs["val_loss"])
    )
    everyone = [early_stopping, report, *callbacks]
    plan = _plan(model, schedule)
    if plan is None:
        history = _fit_by_keras(model, train, validation, schedule, everyone)
    else:
        from lstm_engine import fit_compiled

        history = fit_compiled(plan, model, train, validation, schedule, everyone)
    # Not after each epoch: early stopping sees no improvement in what is no number, and ends such a training soon.
    if not np.isfinite(history["val_loss"]).all():
        raise TrainingError(
            "the validation loss became infinite or no number; it must stay finite; "
            "lower learning_rate_range or check the bars for wrong prices."
        )
    return history


def _plan(model: "keras.Model", schedule: Schedule) -> "NetworkPlan | None":
    """What the compiled engine needs to train `model`; None where Keras trains it."""
    if _engine_of(schedule) != "fast":
        return None
    from lstm_engine import plan_of

    plan = plan_of(model)
    if not isinstance(plan, str):
        return plan
    if schedule.engine == "fast":
        raise ConfigError(f"engine is 'fast', which does not know this network: {plan}; use 'auto' or 'keras'.")
    warnings.warn(f"this network is trained by Keras: {plan}.", stacklevel=3)
    return None


def _fit_by_keras(
    model: "keras.Model",
    train: Sequence[Any],
    validation: Sequence[Any],
    schedule: Schedule,
    callbacks: list["keras.callbacks.Callback"],
) -> dict[str, list[float]]:
    import keras

    keras.utils.set_random_seed(schedule.seed)
    history = model.fit(
        train[0],
        train[1],
        sample_weight=train[2] if len(train) > 2 else None,
        validation_data=tuple(validation),
        epochs=schedule.epochs,
        initial_epoch=schedule.first_epoch,
        batch_size=schedule.batch_size,
        shuffle=schedule.shuffle,
        callbacks=callbacks,
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def seed_of_network(base: int, number: int) -> int:
    """Seed of network `number`, counted from 0, of an ensemble whose first has the seed `base`."""
    return (base + 7919 * number) % 2**31


def log_qlike(spread: float) -> Callable[[Any, Any], Any]:
    """The loss QLIKE (Patton 2011) for a network that forecasts ``ln(volatility) / spread``.

    With error e = target - forecast it is ``exp(2 * spread * e) - 2 * spread * e - 1``.
    """

    def loss(targets: Any, forecasts: Any) -> Any:
        from keras import ops

        scaled = 2.0 * spread * (targets - forecasts)
        return ops.mean(ops.expm1(scaled) - scaled, axis=-1)

    loss.log_qlike_spread = spread  # type: ignore[attr-defined]
    return loss


def compute_device(engine: Engine = "auto") -> str:
    """What computes, in words: the first GPU by Keras, or the CPU by the compiled engine or Keras."""
    gpu = _first_gpu()
    if gpu is None:
        return "CPU by Keras" if engine == "keras" else f"CPU by the compiled engine{_compilation_ahead()}"
    return "CPU by the compiled engine, as asked" if engine == "fast" else f"GPU ({gpu}) by Keras"


def _compilation_ahead() -> str:
    from kernel_cache import is_compiled

    return "" if is_compiled() else ", which is compiled first: about 20 s, once on this machine"


def _engine_of(schedule: Schedule) -> str:
    if schedule.engine != "auto":
        return schedule.engine
    return "fast" if _first_gpu() is None else "keras"


def _first_gpu() -> str | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(gpus[0].name) if gpus else None
