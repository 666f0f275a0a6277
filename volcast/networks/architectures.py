"""The networks that the product trains, and the space of their hyperparameters. TensorFlow loads on use."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volcast.config import NETWORKS_GROUP, SEARCHED_NETWORKS, TrainingConfig
from volcast.errors import ConfigError
from volcast.networks.fitting import log_qlike
from volcast.registry import Registry

if TYPE_CHECKING:
    import keras
    import keras_tuner

__all__ = [
    "ARCHITECTURES",
    "HAR_LSTM",
    "HAR_LSTM_BATCH_SIZE",
    "HAR_LSTM_NETWORK",
    "ROADMAP",
    "Architecture",
    "active_hyperparameters",
    "architecture_of",
    "build_from_values",
    "build_lstm_from_values",
    "build_lstm_model_fast",
    "build_step_network",
]

UNITS_STEP = 16
DROPOUT_STEP = 0.1

HAR_LSTM_NETWORK = {"n_layers": 1, "units_0": 32, "dropout_0": 0.1, "lr": 1e-3}
"""The networks of a `har_lstm`, of one symbol as of many; measured by `studies/network_worth.py`."""

HAR_LSTM_BATCH_SIZE = 256


@dataclass(frozen=True)
class Architecture:
    """A network whose hyperparameters are searched.

    Attributes
    ----------
    title
        What it is called in sentences.
    build
        ``build(hp, memory, features=1, config=None)``: a compiled Keras model of windows of shape (n, memory,
        features), one output each, whose loss is finite on scaled volatilities. It asks `hp` for what the search may
        vary; where there are several layers, for ``n_layers``, and for layer i ``units_i`` and ``dropout_i``. Its
        layers must have a counterpart in `networks.onnx`, by which it serves.

    Examples
    --------
    >>> ROADMAP.title
    'LSTM'
    """

    title: str
    build: "Callable[..., keras.Model]"


def build_lstm_model_fast(
    hp: "keras_tuner.HyperParameters", memory: int = 60, *, features: int = 1, config: TrainingConfig | None = None
) -> "keras.Model":
    """The roadmap's network: one or more LSTM layers (or of the configured `cell`), dropout after each, one output.

    Parameters
    ----------
    hp
        Keras Tuner's hyperparameters; asked in this order: ``n_layers``, then for each layer i ``units_i`` and
        ``dropout_i``, then ``lr``.
    memory
        Buckets in a window; the network takes arrays of shape (n, memory, features).
    features
        Numbers for each bucket: 1 is the roadmap's, its scaled RV.
    config
        Where the ranges come from; None is the roadmap's: 1 to 2 layers of 16 to 64 units, dropout 0 to 0.3,
        learning rate 1e-3 to 1e-2.

    Returns
    -------
    A compiled model: Adam, mean squared error.

    Raises
    ------
    ConfigError
        `hp` are no hyperparameters of Keras Tuner's, or `memory` is no whole number, 1 or more.
    """
    return _recurrent(hp, memory, features, config, loss="mean_squared_error")


def build_step_network(
    hp: "keras_tuner.HyperParameters", memory: int, *, features: int, config: TrainingConfig | None = None
) -> "keras.Model":
    """The networks of a `har_lstm`: LSTM layers over the last steps of the bars; the output is added to a log.

    It begins by adding next to nothing. The configured `cell` may be another.

    Parameters
    ----------
    hp
        Keras Tuner's hyperparameters, asked as by `build_lstm_model_fast`.
    memory, features
        Steps in a window, and numbers of each; the network takes arrays of shape (n, memory, features).
    config
        Where the ranges come from; None is the roadmap's.

    Returns
    -------
    A compiled model: Adam, QLIKE of a volatility whose log the output is added to.
    """
    return _recurrent(hp, memory, features, config, loss=log_qlike(1.0), output_spread=0.01)


def _recurrent(
    hp: "keras_tuner.HyperParameters",
    memory: int,
    features: int,
    config: TrainingConfig | None,
    *,
    loss: "str | Callable[[Any, Any], Any]",
    output_spread: float | None = None,
) -> "keras.Model":
    import keras

    if not hasattr(hp, "Int") or not isinstance(memory, int) or memory < 1:
        raise ConfigError(
            f"hp is a {type(hp).__name__} and memory is {reprlib.repr(memory)}; the rule is HyperParameters of Keras "
            "Tuner and a whole number, 1 or more; LocalLSTMTrainer.build_model takes values by name."
        )

    config = config or TrainingConfig()
    cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[config.cell]
    n_layers = hp.Int("n_layers", *config.n_layers_range)
    layers = [keras.Input((memory, features))]
    for i in range(n_layers):
        units = hp.Int(f"units_{i}", *config.units_range, step=UNITS_STEP)
        dropout = hp.Float(f"dropout_{i}", *config.dropout_range, step=DROPOUT_STEP)
        layers.append(cell(units, return_sequences=i < n_layers - 1))
        layers.append(keras.layers.Dropout(dropout))
    weights = "glorot_uniform" if output_spread is None else keras.initializers.RandomNormal(stddev=output_spread)
    # All at once: a model that grows layer by layer is built anew with each.
    model = keras.Sequential([*layers, keras.layers.Dense(1, kernel_initializer=weights)])
    learning_rate = hp.Float("lr", *config.learning_rate_range, sampling="log")
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss)
    return model


def build_lstm_from_values(
    values: Mapping[str, Any], memory: int = 60, *, features: int = 1, config: TrainingConfig | None = None
) -> "keras.Model":
    """The LSTM of given hyperparameter `values`, such as ``{"n_layers": 1, "units_0": 48, ...}``.

    Values that are not given take the lowest of their range.
    """
    return build_from_values(ROADMAP, values, memory, features=features, config=config)


def build_from_values(
    architecture: Architecture,
    values: Mapping[str, Any],
    memory: int,
    *,
    features: int = 1,
    config: TrainingConfig | None = None,
) -> "keras.Model":
    """The network of `architecture` with hyperparameter `values`; those not given take the lowest of their range.

    Raises
    ------
    ConfigError
        They are no hyperparameters, or out of what a network can have.
    """
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    try:
        hp.values = dict(values)
        return architecture.build(hp, memory, features=features, config=config)
    except (TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:120].rstrip(".")
        raise ConfigError(
            f"no network can be built of the hyperparameters {reprlib.repr(values)} ({reason}); give numbers by "
            "name, as {'n_layers': 1, 'units_0': 48, 'dropout_0': 0.1, 'lr': 0.005}."
        ) from error


ROADMAP = Architecture("LSTM", build_lstm_model_fast)
"""The roadmap's network."""

HAR_LSTM = Architecture("LSTM over bars", build_step_network)
"""The default's networks, of which none is searched for."""

ARCHITECTURES = Registry("network", Architecture, SEARCHED_NETWORKS, NETWORKS_GROUP)
"""Networks whose hyperparameters are searched: the library's own, and those of installed packages."""


def architecture_of(config: TrainingConfig) -> Architecture:
    """The network that a search with `config` tries; the roadmap's where it trains none that is searched.

    Raises
    ------
    ConfigError
        The package that offers it cannot be loaded.
    """
    return ROADMAP if config.effective_network == "har_lstm" else ARCHITECTURES.named(config.effective_network)


def active_hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only the `values` that the network they describe has: no units of a second layer where there is one layer."""
    if "n_layers" not in values:
        return dict(values)
    layers = int(values["n_layers"])
    return {name: value for name, value in values.items() if not _belongs_to_layer_from(name, layers)}


def _belongs_to_layer_from(name: str, first_missing: int) -> bool:
    kind, _, layer = name.rpartition("_")
    return kind in ("units", "dropout") and int(layer) >= first_missing
