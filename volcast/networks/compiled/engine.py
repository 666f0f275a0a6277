"""Trains the Keras networks that the kernel knows, as `model.fit` would: same losses, history and callbacks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.arrays import Float32Array1D, Float32Array2D, Float32Array3D, Int64Array1D

if TYPE_CHECKING:
    import keras

    from volcast.networks.schedule import Schedule

__all__ = ["CompiledNetwork", "NetworkPlan", "Samples", "fit_compiled", "plan_of"]

_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


@dataclass(frozen=True)
class NetworkPlan:
    """What the kernel must know of a Keras model that it can train.

    Attributes
    ----------
    cell
        ``"LSTM"`` or ``"GRU"``.
    layers
        The recurrent layers, all of that cell, first to last.
    rates
        The dropout rate after each.
    dense
        The output layer.
    features, sides
        Features of a time step; inputs beside the last state.
    spread
        0 where the loss is the mean squared error, else that of `networks.fitting.log_qlike`.
    """

    cell: str
    layers: tuple["keras.layers.LSTM | keras.layers.GRU", ...]
    rates: tuple[float, ...]
    dense: "keras.layers.Dense"
    features: int
    sides: int
    spread: float


@dataclass(frozen=True)
class Samples:
    """Windows (n, memory, features), side inputs (n, sides), targets (n,): gathered batch by batch."""

    windows: np.ndarray
    side: np.ndarray
    targets: Float32Array1D

    @classmethod
    def of(cls, data: Sequence[Any]) -> "Samples":
        """From (inputs, targets); inputs are windows, or windows and side inputs."""
        inputs, targets = data[0], np.ascontiguousarray(data[1], np.float32).reshape(-1)
        windows, side = inputs if isinstance(inputs, tuple | list) else (inputs, np.empty((len(inputs), 0), np.float32))
        return cls(windows, side, targets)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Any) -> tuple[Float32Array3D, Float32Array2D, Float32Array1D]:
        """The samples at `rows`, C-contiguous float32."""
        return (
            np.ascontiguousarray(self.windows[rows], np.float32),
            np.ascontiguousarray(self.side[rows], np.float32),
            self.targets[rows],
        )


def plan_of(model: "keras.Model") -> NetworkPlan | str:
    """The plan of a model that the kernel can train, or why it cannot, as the end of a sentence."""
    import keras

    chain, side = _chain_of(model)
    if not chain or type(chain[-1]) is not keras.layers.Dense:
        return "its layers are not LSTM or GRU layers, one behind the other, and one dense output"
    layers, rates = [], []
    for layer in chain[:-1]:
        if type(layer) in (keras.layers.LSTM, keras.layers.GRU):
            layers.append(layer)
            rates.append(0.0)
        elif type(layer) is keras.layers.Dropout and layers and layer.noise_shape is None and rates[-1] == 0:
            rates[-1] = float(layer.rate)
        else:
            return f"it has the layer {layer.name} of type {type(layer).__name__}"
    reason = _unusual_layer([*layers, chain[-1]]) or _unusual_compilation(model)
    if reason:
        return reason
    if not layers or any(layer.return_sequences is (layer is layers[-1]) for layer in layers):
        return "its recurrent layers do not feed one another and then the output"
    cells = {type(layer).__name__ for layer in layers}
    if len(cells) > 1:
        return "its layers are of LSTM and of GRU cells"
    features = int(layers[0].cell.kernel.shape[0])
    return NetworkPlan(
        cells.pop(), tuple(layers), tuple(rates), chain[-1], features, side, _spread_of(model.loss) or 0.0
    )


def _chain_of(model: "keras.Model") -> tuple[list[Any], int]:
    """Layers from the window to the output, and the inputs that join beside the last state; empty: no such chain."""
    import keras

    if isinstance(model, keras.Sequential):
        return list(model.layers), 0
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None) or len(model.outputs) != 1:
        return [], 0
    makers = {id(layer.output): layer for layer in model.layers}
    output = makers.get(id(model.outputs[0]))
    chain, sides = [output], 0
    tensor = getattr(output, "input", None)
    if type(makers.get(id(tensor[0]) if isinstance(tensor, list) else id(tensor))) is keras.layers.Concatenate:
        joint = makers[id(tensor)]
        if len(model.inputs) != 2 or len(joint.input) != 2 or joint.input[1] is not model.inputs[1]:
            return [], 0
        tensor, sides = joint.input[0], int(model.inputs[1].shape[-1])
    while tensor is not model.inputs[0]:
        layer = makers.get(id(tensor))
        if layer is None or isinstance(layer.input, list):
            return [], 0
        chain.append(layer)
        tensor = layer.input
    return chain[::-1], sides


def _unusual_layer(layers: Iterable[Any]) -> str | None:
    """Why a layer is not the usual one of its kind; None where all are."""
    import keras

    for layer in layers:
        is_recurrent = isinstance(layer, keras.layers.LSTM | keras.layers.GRU)
        names = ("kernel", "recurrent", "bias") if is_recurrent else ("kernel", "bias")
        usual = layer.use_bias and layer.trainable and layer.dtype_policy.name == "float32" and layer.built
        usual &= all(
            getattr(layer, f"{name}_{kind}", None) is None for name in names for kind in ("regularizer", "constraint")
        )
        usual &= layer.activity_regularizer is None
        if is_recurrent:
            usual &= getattr(layer, "reset_after", True)
            usual &= layer.activation is keras.activations.tanh
            usual &= layer.recurrent_activation is keras.activations.sigmoid
            usual &= not (layer.go_backwards or layer.stateful or layer.dropout or layer.recurrent_dropout)
            usual &= not (layer.return_state or layer.zero_output_for_mask or layer.unroll)
        else:
            usual &= layer.units == 1 and layer.activation is keras.activations.linear
        if not usual:
            return f"the layer {layer.name} is not set as usual"
    return None


def _unusual_compilation(model: "keras.Model") -> str | None:
    import keras

    if not model.compiled:
        return "it is not compiled"
    optimizer = model.optimizer
    clipping = ("clipnorm", "clipvalue", "global_clipnorm")
    others = ("weight_decay", "loss_scale_factor", "gradient_accumulation_steps")
    if type(optimizer) is not keras.optimizers.Adam or optimizer.amsgrad or optimizer.use_ema:
        return "its optimizer is not plain Adam"
    if any(getattr(optimizer, name, None) is not None for name in (*clipping, *others)):
        return "its optimizer clips, decays, scales or accumulates"
    if not isinstance(optimizer.get_config()["learning_rate"], float):
        return "its learning rate follows a schedule"
    if _spread_of(model.loss) is None:
        return "its loss is not the mean squared error"
    config = model.get_compile_config() or {}
    if any(config.get(name) for name in ("metrics", "weighted_metrics", "loss_weights")):
        return "it is compiled with metrics"
    return None


def _spread_of(loss: Any) -> float | None:
    """0 for the mean squared error, the spread of a log-QLIKE loss, None for any other."""
    import keras

    if hasattr(loss, "log_qlike_spread"):
        return float(loss.log_qlike_spread)
    plain = type(loss) is keras.losses.MeanSquaredError and loss.reduction == "sum_over_batch_size"
    return 0.0 if plain or loss in ("mse", "mean_squared_error", keras.losses.mean_squared_error) else None


@dataclass(frozen=True)
class _Layout:
    """Where of the kernel's four parts Keras' gates lie, how many these are, and how many biases each has."""

    kernel: tuple[int, ...]
    recurrent: tuple[int, ...]
    biases: int

    @property
    def width(self) -> int:
        return len(self.kernel)


_LAYOUTS = {"LSTM": _Layout((0, 1, 2, 3), (0, 1, 2, 3), 1), "GRU": _Layout((0, 1, 2), (0, 1, 3), 2)}


class CompiledNetwork:
    """A network's parameters as the kernel wants them, and what it works with.

    Parameters
    ----------
    plan
        The Keras model that parameters come from and go back to.
    memory
        Time steps of a window.
    """

    def __init__(self, plan: NetworkPlan, memory: int) -> None:
        from volcast.networks.compiled import kernel
        from volcast.networks.compiled.arithmetic import adam_step
        from volcast.networks.compiled.kernel_cache import compile_elsewhere

        compile_elsewhere()
        self._kernel, self._adam_step = kernel, adam_step
        self._plan = plan
        self._units = [int(layer.units) for layer in plan.layers]
        self._padded = [-(-units // kernel.UNIT_MULTIPLE) * kernel.UNIT_MULTIPLE for units in self._units]
        cell = kernel.GRU if plan.cell == "GRU" else kernel.LSTM
        self._shape = np.array([cell, plan.features, plan.sides, *self._padded], np.int64)
        self._rates = np.array(plan.rates, np.float32)
        self._space = np.empty(kernel.space_needed(self._shape, memory), np.float32)
        count = kernel.parameter_count(self._shape)
        self._parameters, self._gradient = np.zeros(count, np.float32), np.zeros(count, np.float32)
        self._moments = np.zeros((2, count), np.float32)

    def read_weights(self) -> None:
        """Take the weights that the Keras model has now."""
        self._pack([np.asarray(variable) for variable in self._variables()], self._parameters)

    def write_weights(self) -> None:
        """Put the weights back into the Keras model."""
        for variable, value in zip(self._variables(), self._unpack(self._parameters), strict=True):
            variable.assign(value)

    def read_moments(self, optimizer: "keras.optimizers.Adam") -> int:
        """Take Adam's running means where the Keras optimizer left them; returns the steps it has made."""
        if not optimizer.built:
            optimizer.build(self._variables())
        for moment, variables in zip(self._moments, self._moment_variables(optimizer), strict=True):
            self._pack([np.asarray(variable) for variable in variables], moment)
        return int(np.asarray(optimizer.iterations))

    def write_moments(self, optimizer: "keras.optimizers.Adam", steps: int) -> None:
        """Put Adam's running means and its count of `steps` back, so that Keras could go on."""
        for moment, variables in zip(self._moments, self._moment_variables(optimizer), strict=True):
            for variable, value in zip(variables, self._unpack(moment), strict=True):
                variable.assign(value)
        optimizer.iterations.assign(steps)

    def step(self, samples: Samples, rows: Int64Array1D, adam: Float32Array1D, key: int) -> float:
        """One gradient step on the samples at `rows`; returns the sum of their losses."""
        total = self._kernel.batch_gradient(
            *samples.batch(rows), self._parameters, self._gradient, self._shape, self._rates,
            self._plan.spread, np.uint32(key), self._space,
        )  # fmt: skip
        self._adam_step(self._parameters, self._gradient, self._moments, *adam)
        return float(total)

    def gradient(self, samples: Samples) -> list[np.ndarray]:
        """Gradient of the samples' mean loss, nothing dropped, in the order and shapes of Keras' weights."""
        self._kernel.batch_gradient(
            *samples.batch(slice(None)), self._parameters, self._gradient, self._shape, 0 * self._rates,
            self._plan.spread, np.uint32(0), self._space,
        )  # fmt: skip
        return self._unpack(self._gradient)

    def loss(self, samples: Samples, batch: int = 4096) -> float:
        """Mean loss of the samples, nothing dropped."""
        total = 0.0
        for first in range(0, len(samples), batch):
            x, side, targets = samples.batch(slice(first, first + batch))
            outputs = np.empty(len(x), np.float32)
            self._kernel.predict(x, side, self._parameters, self._shape, self._space, outputs)
            total += self._kernel.loss_sum(outputs, targets, self._plan.spread)
        return total / len(samples)

    def _variables(self) -> list[Any]:
        return [variable for layer in (*self._plan.layers, self._plan.dense) for variable in layer.trainable_variables]

    def _moment_variables(self, optimizer: "keras.optimizers.Adam") -> tuple[list[Any], list[Any]]:
        # Adam lists its step count and learning rate, then a mean and a mean square for each variable in our order.
        return optimizer.variables[2::2], optimizer.variables[3::2]

    def _parts(self, flat: Float32Array1D) -> Iterator[tuple[np.ndarray, Any, tuple[int, ...]]]:
        """For each of Keras' weights: its place in `flat`, what of it is no padding, and the shape Keras gives it."""
        layout = _LAYOUTS[self._plan.cell]
        at, inputs, padded_inputs = 0, self._plan.features, self._plan.features
        for units, padded in zip(self._units, self._padded, strict=True):
            for rows, padded_rows, gates, shape in (
                (inputs, padded_inputs, layout.kernel, (inputs, layout.width * units)),
                (units, padded, layout.recurrent, (units, layout.width * units)),
            ):
                end = at + padded_rows * 4 * padded
                yield flat[at:end].reshape(padded_rows, 4, padded), np.ix_(range(rows), gates, range(units)), shape
                at = end
            end = at + layout.biases * layout.width * padded
            bias_shape = (layout.width * units,) if layout.biases == 1 else (layout.biases, layout.width * units)
            yield flat[at:end].reshape(-1, padded), np.s_[:, :units], bias_shape
            at = end
            inputs, padded_inputs = units, padded
        end = at + padded_inputs + self._plan.sides
        yield flat[at:end], np.r_[:inputs, padded_inputs : end - at], (inputs + self._plan.sides, 1)
        yield flat[end:], np.s_[:], (1,)

    def _pack(self, values: Sequence[np.ndarray], flat: Float32Array1D) -> None:
        for (place, real, _), value in zip(self._parts(flat), values, strict=True):
            place[real] = np.reshape(value, place[real].shape)

    def _unpack(self, flat: Float32Array1D) -> list[np.ndarray]:
        return [place[real].reshape(shape) for place, real, shape in self._parts(flat)]


def fit_compiled(
    plan: NetworkPlan,
    model: "keras.Model",
    train: Sequence[Any],
    validation: Sequence[Any],
    schedule: "Schedule",
    callbacks: Iterable["keras.callbacks.Callback"],
) -> dict[str, list[float]]:
    """Train `model` in place as ``model.fit`` would; returns its history.

    Before callbacks see the end of an epoch, the model has the epoch's weights; within an epoch it has those of the
    epoch before.
    """
    import keras

    samples, judged = Samples.of(train), Samples.of(validation)
    network = CompiledNetwork(plan, samples.windows.shape[1])
    network.read_weights()
    steps = network.read_moments(model.optimizer)
    hooks = keras.callbacks.CallbackList(list(callbacks), add_history=True, model=model, epochs=schedule.epochs)
    on_batch = _batch_callbacks(hooks.callbacks)
    model.stop_training = False
    hooks.on_train_begin()
    for epoch in range(schedule.first_epoch, schedule.epochs):
        hooks.on_epoch_begin(epoch)
        adam = _AdamSteps(model.optimizer, steps)
        loss = _run_epoch(network, samples, schedule, epoch, adam, on_batch)
        steps = adam.steps
        network.write_weights()
        hooks.on_test_begin()
        logs = {"loss": loss, "val_loss": network.loss(judged)}
        hooks.on_test_end({"loss": logs["val_loss"]})
        hooks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    network.write_moments(model.optimizer, steps)
    hooks.on_train_end(logs)
    return {name: [float(value) for value in values] for name, values in model.history.history.items()}


def _run_epoch(
    network: CompiledNetwork,
    samples: Samples,
    schedule: "Schedule",
    epoch: int,
    adam: "_AdamSteps",
    on_batch: Sequence["keras.callbacks.Callback"],
) -> float:
    """One pass over the samples; returns the mean of the losses before each step, as Keras reports it."""
    random = np.random.default_rng((schedule.seed, epoch))
    order = random.permutation(len(samples)) if schedule.shuffle else np.arange(len(samples))
    keys = random.integers(2**32, size=-(-len(samples) // schedule.batch_size))
    total, seen = 0.0, 0
    for batch, key in enumerate(keys):
        for callback in on_batch:
            callback.on_train_batch_begin(batch)
        rows = order[seen : seen + schedule.batch_size]
        total += network.step(samples, rows, adam.next(), int(key))
        seen += len(rows)
        for callback in on_batch:
            callback.on_train_batch_end(batch, {"loss": total / seen})
    return total / seen


class _AdamSteps:
    """The numbers of each step of Adam (Kingma and Ba 2015), in Keras' arrangement and Keras' float32."""

    def __init__(self, optimizer: "keras.optimizers.Adam", steps: int) -> None:
        self.steps = steps
        self._rate = np.float32(np.asarray(optimizer.learning_rate))
        self._decays = np.float32(optimizer.beta_1), np.float32(optimizer.beta_2)
        self._numbers = np.array([0.0, 1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon], np.float32)

    def next(self) -> Float32Array1D:
        """Length of the next step, what a new slope weighs in the mean and in the mean square, epsilon."""
        self.steps += 1
        mean, square = (np.float32(1) - np.power(decay, np.float32(self.steps)) for decay in self._decays)
        self._numbers[0] = self._rate * np.sqrt(square) / mean
        return self._numbers


def _batch_callbacks(callbacks: Iterable["keras.callbacks.Callback"]) -> list["keras.callbacks.Callback"]:
    """Those that want to hear of batches: most do not, and calling them would cost more than a small batch."""
    import keras

    def overrides(callback: "keras.callbacks.Callback", hook: str) -> bool:
        return getattr(getattr(callback, hook), "__func__", None) is not getattr(keras.callbacks.Callback, hook)

    return [callback for callback in callbacks if any(overrides(callback, hook) for hook in _BATCH_HOOKS)]
