"""The ways of training that `benchmark_training.py` compares: each trains one epoch of the same network when asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from volcast.networks.fitting import log_qlike
from volcast.networks.tensorflow import load_tensorflow_quietly

if TYPE_CHECKING:
    import keras
    import torch

__all__ = [
    "WAYS",
    "Network",
    "Ways",
    "keras_network",
    "random_samples",
    "torch_log_qlike",
    "torch_network",
    "torch_training",
]

Epoch = Callable[[], object]
Ways = dict[str, Callable[["Network", tuple[Any, np.ndarray]], Epoch]]

_EPSILON = 1e-7
"""Adam's, as Keras has it; PyTorch's own default is 1e-8."""


@dataclass(frozen=True)
class Network:
    """A network and how it is fed: units of its LSTM layers, features, side inputs, windows in a step, dropout.

    A window has `memory` steps. The loss is the mean squared error, or with `qlike` that of
    `networks.fitting.log_qlike`.
    """

    units: tuple[int, ...]
    batch: int = 16
    features: int = 1
    sides: int = 0
    rate: float = 0.1
    learning_rate: float = 1e-3
    memory: int = 60
    qlike: bool = False

    @classmethod
    def from_mapping(cls, fields: dict[str, Any]) -> Self:
        """The network whose fields came through JSON, where a tuple is a list."""
        return cls(**fields | {"units": tuple(fields["units"])})

    def __str__(self) -> str:
        layers = " + ".join(f"LSTM({units})" for units in self.units)
        return f"{layers}, batch {self.batch}"


def random_samples(network: Network, count: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    """`count` overlapping windows of a noisy wave, side inputs where the network takes them, and targets."""
    random, memory = np.random.default_rng(seed), network.memory
    wave = np.sin(np.arange(count + memory) / 9)[:, None] + 0.5 * random.standard_normal(
        (count + memory, network.features)
    )
    series = wave.astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(series, memory, axis=0)[:-1].transpose(0, 2, 1)
    targets = np.ascontiguousarray(series[memory:, 0])
    if not network.sides:
        return windows, targets
    return (windows, random.standard_normal((count, network.sides)).astype(np.float32)), targets


def keras_network(network: Network, **compilation: Any) -> "keras.Model":
    """The compiled Keras model of a network; `compilation` goes to ``compile``."""
    load_tensorflow_quietly()
    import keras

    window = keras.Input((network.memory, network.features), name="window")
    flow = window
    for i, units in enumerate(network.units):
        flow = keras.layers.LSTM(units, return_sequences=i < len(network.units) - 1)(flow)
        flow = keras.layers.Dropout(network.rate)(flow)
    inputs = [window]
    if network.sides:
        inputs.append(keras.Input((network.sides,), name="side"))
        flow = keras.layers.Concatenate()([flow, inputs[1]])
    model = keras.Model(inputs if network.sides else window, keras.layers.Dense(1)(flow))
    optimizer = keras.optimizers.Adam(network.learning_rate)
    model.compile(optimizer=optimizer, loss=log_qlike(1.0) if network.qlike else "mean_squared_error", **compilation)
    return model


def _by_keras(network: Network, samples: tuple[Any, np.ndarray], **compilation: Any) -> Epoch:
    inputs, targets = samples
    arrays = [np.ascontiguousarray(part) for part in (inputs if isinstance(inputs, tuple) else (inputs,))]
    model = keras_network(network, **compilation)
    return lambda: model.fit(arrays if network.sides else arrays[0], targets, batch_size=network.batch, verbose=0)


def _by_keras_with_switches(network: Network, samples: tuple[Any, np.ndarray]) -> Epoch:
    # XLA makes one layer faster and two layers slower.
    steps = -(-len(samples[1]) // network.batch)
    return _by_keras(network, samples, steps_per_execution=steps, jit_compile=len(network.units) == 1)


def _by_us(network: Network, samples: tuple[Any, np.ndarray]) -> Epoch:
    from volcast.networks.fitting import fit_network
    from volcast.networks.schedule import Schedule

    model = keras_network(network)
    inputs, targets = samples
    few = tuple(part[:2] for part in inputs) if network.sides else inputs[:2]
    schedule = Schedule(1, network.batch, 9, restore_best=False, engine="fast")
    return lambda: fit_network(model, samples, (few, targets[:2]), schedule, lambda *news: None)


def _by_torch(network: Network, samples: tuple[Any, np.ndarray]) -> Epoch:
    import torch

    torch.set_num_threads(1)
    return torch_training(network, samples, torch_network(network))


def torch_network(network: Network) -> "torch.nn.Module":
    """The same network in PyTorch."""
    import torch
    from torch import nn

    class Forecaster(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            inputs = (network.features, *network.units)
            self.layers = nn.ModuleList(
                nn.LSTM(before, units, batch_first=True) for before, units in zip(inputs, network.units, strict=False)
            )
            self.dropout = nn.Dropout(network.rate)
            self.dense = nn.Linear(network.units[-1] + network.sides, 1)

        def forward(self, window: torch.Tensor, side: torch.Tensor | None = None) -> torch.Tensor:
            for layer in self.layers[:-1]:
                window = self.dropout(layer(window)[0])
            state = self.dropout(self.layers[-1](window)[0][:, -1])
            output: torch.Tensor = self.dense(state if side is None else torch.cat([state, side], 1))[:, 0]
            return output

    return Forecaster()


def torch_training(network: Network, samples: tuple[Any, np.ndarray], model: "torch.nn.Module") -> Epoch:
    """One epoch of PyTorch as fast as it goes on a CPU: indexed batches and the fused Adam."""
    import torch

    inputs, targets = samples
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    tensors = [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
    wanted = torch.from_numpy(np.ascontiguousarray(targets))
    loss = torch_log_qlike if network.qlike else torch.nn.functional.mse_loss
    optimizer = torch.optim.Adam(model.parameters(), network.learning_rate, eps=_EPSILON, fused=True)

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(wanted)).split(network.batch):
            optimizer.zero_grad(set_to_none=True)
            loss(model(*(tensor[rows] for tensor in tensors)), wanted[rows]).backward()
            optimizer.step()

    return epoch


def torch_log_qlike(forecasts: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """The same loss as `networks.fitting.log_qlike`, of a spread of 1."""
    scaled = 2.0 * (targets - forecasts)
    return (scaled.expm1() - scaled).mean()


WAYS: Ways = {
    "Keras": _by_keras,
    "Keras with its switches": _by_keras_with_switches,
    "PyTorch": _by_torch,
    "local_training": _by_us,
}
"""By name; the first is what all are compared with."""
