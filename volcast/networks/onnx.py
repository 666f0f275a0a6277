"""Networks without TensorFlow: a Keras network as an ONNX graph, run by ONNX Runtime on one thread."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from volcast.arrays import Float32Array2D, Float32Array3D, Float64Array1D
from volcast.counts import counted
from volcast.errors import CorruptModelError, TrainingError
from volcast.networks.onnx_checks import refuse_unsafe_graph
from volcast.networks.onnx_merging import merged_graph

if TYPE_CHECKING:
    import keras
    import onnx

__all__ = [
    "TOLERANCE",
    "Network",
    "OnnxEnsemble",
    "OnnxNetwork",
    "largest_difference",
    "onnx_graph",
    "serving_network",
]

TOLERANCE = 1e-5
"""How far an ONNX graph's outputs may lie from its Keras network's, relative to them (see `largest_difference`)."""

_OPSET = 17
_IR_VERSION = 8
_ACTIVATIONS = {"linear": None, "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
_GATES = (0, 3, 1, 2)  # Keras orders input, forget, cell, output; ONNX input, output, forget, cell.
_PROBES = 256
# More of them, and what happens between two steps leaves the processor's own cache.
_ROWS_AT_ONCE = 256


class Network(Protocol):
    """What a bundle holds: anything that makes one number of each window."""

    def __call__(self, windows: Float32Array3D, side: Float32Array2D | None = None) -> Float64Array1D:
        """Outputs, shape (n,), for windows of shape (n, memory, F) and what stands beside them, shape (n, K)."""


class OnnxNetwork:
    """A network in ONNX Runtime, on one thread; any number of threads may call it at the same time.

    Parameters
    ----------
    content
        The bytes of an ONNX graph as `onnx_graph` makes it.
    name
        What to call it in an error: the file that it came from.

    Attributes
    ----------
    content
        The graph's bytes.

    Raises
    ------
    UnsafeModelError
        The graph holds operators that no network of ours has, or refers to other files.
    CorruptModelError
        The bytes are no such graph.
    """

    def __init__(self, content: bytes, name: str = "the ONNX graph") -> None:
        refuse_unsafe_graph(content, name)
        self.content, self._name = content, name
        self._graph = _Graph(content, name)
        if tuple(self.inputs) not in (("window",), ("window", "side")):
            raise CorruptModelError(f"{name} has the inputs {', '.join(self.inputs)}; the rule is window, then side.")

    def __reduce__(self) -> tuple[type["OnnxNetwork"], tuple[bytes, str]]:
        # A session belongs to its process: another one makes its own of the same graph.
        return OnnxNetwork, (self.content, self._name)

    @property
    def window_shape(self) -> tuple[int, int]:
        """Buckets in a window, and values of each."""
        steps, values = self.inputs["window"]
        return steps, values

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """What it takes of each row and its shape: ``window``, and ``side`` where something stands beside it."""
        return self._graph.inputs

    def __call__(self, windows: Float32Array3D, side: Float32Array2D | None = None) -> Float64Array1D:
        """Outputs, shape (n,), for windows of shape (n, memory, F) and what stands beside them, shape (n, K)."""
        (outputs,) = self._graph.outputs(windows, side)
        return outputs


class OnnxEnsemble:
    """Several networks in ONNX Runtime as one, which gives the mean of their outputs, to the last bit that of each.

    A call of ONNX Runtime takes as long as a small network: here one call runs all of them.

    Parameters
    ----------
    networks
        Their `inputs` are equal.
    """

    def __init__(self, networks: Sequence[OnnxNetwork]) -> None:
        self._networks = tuple(networks)
        self._graph = _Graph(merged_graph([network.content for network in networks]), "the graph of all networks")

    def __reduce__(self) -> tuple[type["OnnxEnsemble"], tuple[tuple[OnnxNetwork, ...]]]:
        return OnnxEnsemble, (self._networks,)

    def __call__(self, windows: Float32Array3D, side: Float32Array2D | None = None) -> Float64Array1D:
        """Mean outputs, shape (n,), for windows of shape (n, memory, F) and what stands beside them, shape (n, K)."""
        return np.asarray(sum(self._graph.outputs(windows, side)) / len(self._networks))


class _Graph:
    """A graph in ONNX Runtime, and what it takes and gives."""

    def __init__(self, content: bytes, name: str) -> None:
        self._session = _session(content, name)
        self.inputs = {value.name: tuple(map(int, value.shape[1:])) for value in self._session.get_inputs()}
        self._output_names = [value.name for value in self._session.get_outputs()]

    def outputs(self, windows: Float32Array3D, side: Float32Array2D | None) -> list[Float64Array1D]:
        """Its outputs, shape (n,) each."""
        arrays = (windows,) if side is None else (windows, side)
        if len(arrays) != len(self.inputs):
            raise ValueError(f"the network takes {' and '.join(self.inputs)}, and {counted(len(arrays), 'array')} came")
        if 0 < len(windows) <= _ROWS_AT_ONCE:
            return self._run(arrays)
        parts = range(0, len(windows), _ROWS_AT_ONCE)
        # None at all is not for ONNX Runtime, which does not survive it.
        none = [np.empty(0)] * len(self._output_names)
        outputs = [self._run([array[row : row + _ROWS_AT_ONCE] for array in arrays]) for row in parts]
        return [np.concatenate(of_each) for of_each in zip(none, *outputs, strict=True)]

    def _run(self, arrays: Sequence[npt.NDArray[np.float32]]) -> list[Float64Array1D]:
        feed = {
            name: np.ascontiguousarray(array, dtype=np.float32) for name, array in zip(self.inputs, arrays, strict=True)
        }
        return [output[:, 0].astype(float) for output in self._session.run(self._output_names, feed)]


def serving_network(model: "keras.Model", name: str = "the network") -> OnnxNetwork:
    """The ONNX twin of a Keras network, held to the original on random windows.

    Raises
    ------
    TrainingError
        The two differ by more than `TOLERANCE`, or the network has a layer that has no twin.
    """
    twin = OnnxNetwork(onnx_graph(model), name)
    windows, side = _probes(model)
    # Called, not asked to predict, which would compile a function for each network.
    expected = np.asarray(model(windows if side is None else [windows, side], training=False))[:, 0]
    difference = largest_difference(twin(windows, side), expected)
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"{name} computes otherwise in ONNX Runtime than in Keras (relative difference {difference:.1e}); the "
            f"rule is at most {TOLERANCE:.0e}; train with other hyperparameters."
        )
    return twin


def largest_difference(outputs: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Largest difference relative to the expected value, or to the root mean square of all where a value is smaller.

    Outputs are standardized logarithms that pass through zero, where a plain relative difference says nothing.
    """
    values, originals = np.asarray(outputs, dtype=float), np.asarray(expected, dtype=float)
    typical = float(np.sqrt(np.mean(originals**2)))
    sizes = np.maximum(np.maximum(np.abs(originals), typical), np.finfo(float).tiny)
    return float(np.max(np.abs(values - originals) / sizes))


def onnx_graph(model: "keras.Model") -> bytes:
    """A Keras network of LSTM or GRU, Dropout, Concatenate and Dense layers as an ONNX graph; needs `onnx`.

    The graph takes ``window`` (n, memory, F) and, where the network has a second input, ``side`` (n, K); it gives
    ``output`` (n, 1). LSTM gates are put into ONNX' order, Dropout does nothing in a forecast.

    Raises
    ------
    TrainingError
        A layer, or a setting of one, has no counterpart.
    """
    graph = _GraphBuilder()
    inputs = [_input_value(tensor, name) for tensor, name in zip(model.inputs, ("window", "side"), strict=False)]
    if len(inputs) != len(model.inputs) or len(model.outputs) != 1:
        raise TrainingError(
            f"the network has {counted(len(model.inputs), 'input')} and {counted(len(model.outputs), 'output')}; the "
            "rule is a window, perhaps what stands beside it, and one output; build it so."
        )
    for tensor, value in zip(model.inputs, inputs, strict=True):
        graph.names[id(tensor)] = value.name
    last = "window"
    for layer in model.layers:
        # A Sequential model's layers do not know the tensors between them; each stands on the one before.
        last = graph.add_layer(layer, [last] if isinstance(model, _sequential()) else None)
    graph.add("Identity", [last], "output")
    return graph.finish(inputs)


class _GraphBuilder:
    """Nodes and weights so far, and which name each Keras tensor has in the graph."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._time_major: set[str] = set()

    def add(self, operator: str, inputs: list[str], output: str | list[str], **attributes: Any) -> None:
        from onnx import helper

        outputs = [output] if isinstance(output, str) else output
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def add_weight(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add_layer(self, layer: "keras.Layer", inputs: list[str] | None) -> str:
        """Add what a layer does to `inputs` (None: the tensors that it was called on); returns its output's name."""
        kind, config = type(layer).__name__, layer.get_config()
        if kind == "InputLayer":
            return self.names[id(layer.output)]
        if inputs is None:
            sources = layer.input if isinstance(layer.input, list) else [layer.input]
            inputs = [self.names[id(tensor)] for tensor in sources]
        output = f"{layer.name}:out"
        if kind in ("LSTM", "GRU"):
            output = self._add_recurrent(layer, config, inputs[0], output)
        elif kind == "Dropout":
            output = inputs[0]
        elif kind == "Concatenate" and config["axis"] in (-1, 1):
            self.add("Concat", inputs, output, axis=1)
        elif kind == "Dense" and config["activation"] in _ACTIVATIONS:
            self._add_dense(layer, config, inputs[0], output)
        else:
            raise TrainingError(
                f"the layer {layer.name} ({kind}) has no counterpart in the graphs that serve; the rule is LSTM, GRU, "
                "Dropout, Concatenate and Dense with a plain activation; build the network from these."
            )
        self.names[id(layer.output)] = output
        return output

    def finish(self, inputs: "list[onnx.ValueInfoProto]") -> bytes:
        from onnx import TensorProto, helper

        output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])
        graph = helper.make_graph(self._nodes, "network", inputs, [output], self._weights)
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString(deterministic=True))

    def _add_recurrent(self, layer: "keras.Layer", config: dict[str, Any], source: str, output: str) -> str:
        """ONNX Runtime's layers are time-major: the first of a stack transposes, those after it stay so."""
        _require_plain_cell(layer.name, config)
        name, is_gru = layer.name, type(layer).__name__ == "GRU"
        if source not in self._time_major:
            self.add("Transpose", [source], f"{name}:by_time", perm=[1, 0, 2])
            source = f"{name}:by_time"
        kernel, recurrent, *bias = (np.asarray(weight, dtype=np.float32) for weight in layer.get_weights())
        units, arranged = int(config["units"]), (lambda values: values) if is_gru else _permuted
        width = (3 if is_gru else 4) * units
        # The input's biases and the state's: Keras' LSTM has none of these.
        both = np.zeros((2, width), np.float32)
        if bias:
            both[: 2 if is_gru else 1] = arranged(bias[0])
        weights = [
            self.add_weight(f"{name}:W", arranged(kernel).T[None]),
            self.add_weight(f"{name}:R", arranged(recurrent).T[None]),
            self.add_weight(f"{name}:B", both.reshape(1, -1)),
        ]
        direction = self.add_weight(f"{name}:axis", np.array([1 if config["return_sequences"] else 0], np.int64))
        sequence, last = f"{name}:sequence", f"{name}:last"
        if is_gru:
            self.add("GRU", [source, *weights], [sequence, last], hidden_size=units, linear_before_reset=1)
        else:
            self.add("LSTM", [source, *weights], [sequence, last], hidden_size=units)
        self.add("Squeeze", [sequence if config["return_sequences"] else last, direction], output)
        if config["return_sequences"]:
            self._time_major.add(output)
        return output

    def _add_dense(self, layer: "keras.Layer", config: dict[str, Any], source: str, output: str) -> None:
        if source in self._time_major:
            raise TrainingError(
                f"the layer {layer.name} stands on whole sequences; the rule is on the last state of "
                "a recurrent one; build it so."
            )
        kernel, *bias = (np.asarray(weight, dtype=np.float32) for weight in layer.get_weights())
        activation = _ACTIVATIONS[config["activation"]]
        linear = output if activation is None else f"{layer.name}:linear"
        offset = bias[0] if bias else np.zeros(kernel.shape[1], np.float32)
        weights = [self.add_weight(f"{layer.name}:W", kernel), self.add_weight(f"{layer.name}:b", offset)]
        self.add("Gemm", [source, *weights], linear)
        if activation is not None:
            self.add(activation, [linear], output)


def _sequential() -> type:
    import keras

    kind: type = keras.Sequential
    return kind


def _require_plain_cell(name: str, config: dict[str, Any]) -> None:
    plain = {"activation": "tanh", "recurrent_activation": "sigmoid", "go_backwards": False, "return_state": False}
    plain |= {"reset_after": True} if "reset_after" in config else {}
    other = {key: config[key] for key, value in plain.items() if config[key] != value}
    if other:
        said = ", ".join(f"{key} = {value!r}" for key, value in other.items())
        raise TrainingError(f"the layer {name} has {said}; the rule is Keras' defaults for these; build it so.")


def _permuted(weights: np.ndarray) -> np.ndarray:
    """The last axis' four gates in ONNX' order."""
    gates = np.split(weights, 4, axis=-1)
    return np.concatenate([gates[gate] for gate in _GATES], axis=-1)


def _input_value(tensor: Any, name: str) -> "onnx.ValueInfoProto":
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *tensor.shape[1:]])


def _probes(model: "keras.Model") -> tuple[Float32Array3D, Float32Array2D | None]:
    random = np.random.default_rng(0)
    shapes = [(_PROBES, *tensor.shape[1:]) for tensor in model.inputs]
    window, *side = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return window, side[0] if side else None


def _session(content: bytes, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena would keep, for good, what the largest batch so far needed.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CorruptModelError(
            f"{name} cannot be read as an ONNX graph ({type(error).__name__}); the rule is the graph that was saved; "
            "train anew or restore the file."
        ) from error
