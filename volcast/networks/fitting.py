"""How one network is trained: weights, data and schedule in; trained weights and history out.

Two engines do it. The compiled one (`networks.compiled.engine`) trains the networks that the product builds, on the
CPU, several times as fast as Keras there and no slower than Keras on a GPU, for which they are too small. Keras trains
everything else, on a GPU where there is one, and is the reference that the other is held to.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.errors import ConfigError, TrainingError
from volcast.networks.schedule import Schedule

if TYPE_CHECKING:
    import keras

    from volcast.networks.compiled.engine import NetworkPlan

__all__ = ["are_trained_in_threads", "fit_network", "log_qlike"]


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
        (inputs, targets). Inputs are windows of shape (n, memory, features), or a pair of windows and side inputs
        (n, sides); targets have shape (n,). Strided views are not copied.
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
        from volcast.networks.compiled.engine import fit_compiled

        history = fit_compiled(plan, model, train, validation, schedule, everyone)
    # Not after each epoch: early stopping sees no improvement in what is no number, and ends such a training soon.
    if not np.isfinite(history["val_loss"]).all():
        raise TrainingError(
            "the validation loss became infinite or no number; it must stay finite; "
            "lower learning_rate_range or check the bars for wrong prices."
        )
    return history


def are_trained_in_threads(model: "keras.Model", schedule: Schedule) -> bool:
    """Whether networks like `model` may be trained at once, by threads of one process, each as if it were alone.

    So the compiled engine trains them, whose random numbers are each network's own; those of Keras are the process'.
    """
    if schedule.engine == "keras":
        return False
    from volcast.networks.compiled.engine import plan_of

    return not isinstance(plan_of(model), str)


def _plan(model: "keras.Model", schedule: Schedule) -> "NetworkPlan | None":
    """What the compiled engine needs to train `model`; None where Keras trains it."""
    if schedule.engine == "keras":
        return None
    from volcast.networks.compiled.engine import plan_of

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
        validation_data=tuple(validation),
        epochs=schedule.epochs,
        initial_epoch=schedule.first_epoch,
        batch_size=schedule.batch_size,
        shuffle=schedule.shuffle,
        callbacks=callbacks,
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


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
