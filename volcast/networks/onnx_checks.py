"""What an ONNX file may hold, checked on its bytes before ONNX Runtime sees them.

Only a graph as `networks.onnx.onnx_graph` makes them passes: our operators with the attributes that it gives them,
weights inside the file and finite, and shapes that follow from the inputs' one by one. So nothing is left that ONNX
Runtime could stumble over, fold without end, or fetch from elsewhere. Field numbers are those of ``onnx.proto``.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from volcast.errors import CorruptModelError, UnsafeModelError
from volcast.networks.protobuf import Fields, WireReader, whole_numbers

__all__ = ["GRAPH", "MODEL", "MOST_FIELDS", "MOST_STEPS", "MOST_WORK", "NODE", "TENSOR", "refuse_unsafe_graph"]

MOST_STEPS = 10_000
"""Buckets in a window."""

MOST_WORK = 10**9
"""Multiplications for one forecast: weights, times buckets in a window."""

MOST_FIELDS = 20_000
"""Fields of all messages of a graph."""

_LARGEST = 64 * 2**20
_MOST_NODES, _MOST_WIDTH = 1000, 100_000
_BATCH = -1
_FLOAT, _INT64 = 1, 7
_DOMAINS = ("", "ai.onnx")
# Of each message, the fields that a graph of ours has.
MODEL = {"ir_version": 1, "producer_name": 2, "producer_version": 3, "domain": 4, "version": 5, "doc": 6, "graph": 7,
          "opset_import": 8}  # fmt: skip
GRAPH = {"node": 1, "name": 2, "initializer": 5, "doc": 10, "input": 11, "output": 12}
NODE = {"input": 1, "output": 2, "name": 3, "op_type": 4, "attribute": 5, "doc": 6, "domain": 7}
_ATTRIBUTE = {"name": 1, "i": 3, "ints": 8, "doc": 13, "type": 20}
TENSOR = {"dims": 1, "data_type": 2, "name": 8, "raw_data": 9, "doc": 12, "external_data": 13, "data_location": 14}
_ATTRIBUTES = {
    "Transpose": {"perm"},
    "LSTM": {"hidden_size"},
    "GRU": {"hidden_size", "linear_before_reset"},
    "Concat": {"axis"},
}
_GATES = {"LSTM": 4, "GRU": 3}

Shape = tuple[int, ...]


class _Refused(Exception):
    """What a graph has that none of ours has, to stand behind the file's name."""


@dataclass(frozen=True)
class _Weights:
    shape: Shape
    values: np.ndarray


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, list[int]]


def refuse_unsafe_graph(content: bytes, name: str) -> None:
    """Let pass only a graph of our own operators, in our sizes, whose weights all lie inside it.

    Raises
    ------
    UnsafeModelError
        The file is larger than any network of ours, has another operator, another shape, or refers to other files.
    CorruptModelError
        The bytes are no ONNX file.
    """
    if len(content) > _LARGEST:
        raise UnsafeModelError(
            f"{name} has {len(content):,} bytes; no network of ours has over {_LARGEST:,}; train the model anew."
        )
    try:
        _check_model(WireReader(MOST_FIELDS), memoryview(content))
    except _Refused as problem:
        raise UnsafeModelError(f"{name} {problem}; nothing of it was run; train the model anew.") from None
    except (IndexError, ValueError, TypeError, KeyError) as error:
        raise CorruptModelError(
            f"{name} is no ONNX graph; the rule is the file that was saved; train anew or restore the file."
        ) from error


def _check_model(reader: WireReader, content: memoryview) -> None:
    model = _message(reader, content, MODEL, "the model")
    graphs = model.get(MODEL["graph"], [])
    if len(graphs) != 1:
        raise _Refused("holds no single graph")
    graph = _message(reader, _bytes(graphs[0]), GRAPH, "the graph")
    nodes = graph.get(GRAPH["node"], [])
    if len(nodes) > _MOST_NODES:
        raise _Refused(f"has {len(nodes)} nodes, and no network of ours has over {_MOST_NODES}")
    tensors = graph.get(GRAPH["initializer"], [])
    weights = dict(_weights(reader, _bytes(tensor)) for tensor in tensors)
    shapes = dict(_stated_shape(reader, _bytes(value)) for value in graph.get(GRAPH["input"], []))
    if list(shapes) not in (["window"], ["window", "side"]) or [len(shape) for shape in shapes.values()] not in (
        [3], [3, 2],
    ):  # fmt: skip
        raise _Refused("has other inputs than windows (n, memory, F) and what stands beside them (n, K)")
    if len(weights) != len(tensors) or weights.keys() & shapes.keys():
        raise _Refused("has several weights of one name")
    inference = _Inference(weights, shapes)
    for node in nodes:
        inference.add(_node(reader, _bytes(node)))
    outputs = [_stated_shape(reader, _bytes(value)) for value in graph.get(GRAPH["output"], [])]
    if outputs != [("output", (_BATCH, 1))] or shapes.get("output") != (_BATCH, 1):
        raise _Refused("has another output than one number a window")


class _Inference:
    """The shape of each tensor, from those before it; -1 stands for the number of windows.

    Parameters
    ----------
    weights
        By name.
    shapes
        Those of the inputs, by name; those of the nodes' outputs are added.
    """

    def __init__(self, weights: Mapping[str, _Weights], shapes: dict[str, Shape]) -> None:
        self._weights, self._shapes = weights, shapes
        self._steps, self._work = shapes["window"][1], 0
        self._operators: dict[str, Callable[[_Node], list[Shape]]] = {
            "Concat": self._concat,
            "Gemm": self._gemm,
            **dict.fromkeys(_GATES, self._recurrent),
            "Squeeze": self._squeeze,
            "Transpose": self._transpose,
            **dict.fromkeys(("Identity", "Relu", "Sigmoid", "Tanh"), self._same),
        }

    def add(self, node: _Node) -> None:
        """Take in the next node; raises `_Refused` where it does not fit."""
        if node.operator not in self._operators:
            raise _Refused(
                f"has an operator {node.operator[:40]!r}; only {', '.join(sorted(self._operators))} are accepted"
            )
        if set(node.attributes) != _ATTRIBUTES.get(node.operator, set()):
            raise _Refused(f"has an operator {node.operator} with other attributes than ours")
        shapes = self._operators[node.operator](node)
        names = node.outputs
        if len(names) != len(shapes) or any(
            not name or name in self._shapes or name in self._weights for name in names
        ):
            raise _Refused(f"has an operator {node.operator} with other outputs than ours")
        self._shapes.update(zip(names, shapes, strict=True))

    def _inputs(self, node: _Node, *ranks: int) -> tuple[list[Shape], list[_Weights]]:
        """Shapes of the leading inputs, which are computed and have these ranks, and the weights after them."""
        computed, rest = node.inputs[: len(ranks)], node.inputs[len(ranks) :]
        shapes = [self._shapes.get(name, ()) for name in computed]
        if tuple(map(len, shapes)) != ranks or any(name not in self._weights for name in rest):
            raise _Refused(f"has an operator {node.operator} with other inputs than ours")
        return shapes, [self._weights[name] for name in rest]

    def _require(self, node: _Node, weights: list[_Weights], *shapes: Shape) -> None:
        if [(one.shape, one.values.dtype.kind) for one in weights] != [(shape, "f") for shape in shapes]:
            raise _Refused(f"has an operator {node.operator} whose weights do not fit its input")

    def _spend(self, multiplications: int) -> None:
        self._work += multiplications
        if self._work > MOST_WORK:
            raise _Refused(f"takes over {MOST_WORK:,} multiplications for a forecast, which no network of ours does")

    def _same(self, node: _Node) -> list[Shape]:
        shape = self._shapes.get(node.inputs[0], ()) if len(node.inputs) == 1 else ()
        if not shape:
            raise _Refused(f"has an operator {node.operator} with other inputs than ours")
        return [shape]

    def _transpose(self, node: _Node) -> list[Shape]:
        ((first, second, third),), _ = self._inputs(node, 3)
        if node.attributes["perm"] != [1, 0, 2] or len(node.inputs) != 1:
            raise _Refused("has a Transpose other than of windows and buckets")
        return [(second, first, third)]

    def _recurrent(self, node: _Node) -> list[Shape]:
        ((steps, batch, values),), weights = self._inputs(node, 3)
        (units,) = node.attributes["hidden_size"]
        if batch != _BATCH or steps != self._steps:
            raise _Refused(f"has a layer {node.operator} over other things than buckets")
        if node.attributes.get("linear_before_reset", [1]) != [1]:
            raise _Refused("has a GRU whose reset comes before the product")
        width = _GATES[node.operator] * units
        self._require(node, weights, (1, width, values), (1, width, units), (1, 2 * width))
        self._spend(width * (units + values) * steps)
        return [(steps, 1, _BATCH, units), (1, _BATCH, units)]

    def _squeeze(self, node: _Node) -> list[Shape]:
        shape = self._shapes.get(node.inputs[0], ())
        axes = self._weights.get(node.inputs[1]) if len(node.inputs) == 2 else None
        axis = int(axes.values[0]) if axes is not None and axes.shape == (1,) and axes.values.dtype.kind == "i" else -1
        if not 0 <= axis < len(shape) or shape[axis] != 1:
            raise _Refused("has a Squeeze of other things than a recurrent layer's directions")
        return [shape[:axis] + shape[axis + 1 :]]

    def _gemm(self, node: _Node) -> list[Shape]:
        ((batch, values),), weights = self._inputs(node, 2)
        units = weights[-1].shape[0] if weights else 0
        if batch != _BATCH:
            raise _Refused("has a Gemm over other things than windows")
        self._require(node, weights, (values, units), (units,))
        self._spend(values * units)
        return [(_BATCH, units)]

    def _concat(self, node: _Node) -> list[Shape]:
        shapes, _ = self._inputs(node, *[2] * len(node.inputs))
        width = sum(values for _, values in shapes)
        if node.attributes["axis"] != [1] or width > _MOST_WIDTH or {batch for batch, _ in shapes} != {_BATCH}:
            raise _Refused(f"has a Concat of other things than values of a window, {_MOST_WIDTH:,} at the most")
        return [(_BATCH, width)]


def _weights(reader: WireReader, content: memoryview) -> tuple[str, _Weights]:
    tensor = _message(reader, content, TENSOR, "weights")
    if TENSOR["external_data"] in tensor or any(tensor.get(TENSOR["data_location"], [])):
        raise _Refused("keeps its weights in another file, and a network must be whole in itself")
    shape = tuple(whole_numbers(tensor.get(TENSOR["dims"], [])))
    kind = tensor[TENSOR["data_type"]][-1]
    if kind not in (_FLOAT, _INT64):
        raise _Refused("has weights that are no numbers of ours")
    raw = _bytes(tensor[TENSOR["raw_data"]][-1])
    values = np.frombuffer(raw, "<f4" if kind == _FLOAT else "<i8")
    if 0 in shape or math.prod(shape) != len(values) or not np.isfinite(values).all():
        raise _Refused("has weights that are not finite, or others than their shape says")
    return _text(tensor, TENSOR["name"]), _Weights(shape, values)


def _node(reader: WireReader, content: memoryview) -> _Node:
    node = _message(reader, content, NODE, "a node")
    domain = _text(node, NODE["domain"])
    if domain not in _DOMAINS:
        raise _Refused(f"has an operator of the domain {domain[:40]!r}, and only ONNX' own are accepted")
    attributes = {}
    for attribute in node.get(NODE["attribute"], []):
        fields = _message(reader, _bytes(attribute), _ATTRIBUTE, "an attribute")
        numbers = fields.get(_ATTRIBUTE["i"], []) or fields.get(_ATTRIBUTE["ints"], [])
        attributes[_text(fields, _ATTRIBUTE["name"])] = whole_numbers(numbers)
    names = {key: [_decoded(name) for name in node.get(NODE[key], [])] for key in ("input", "output")}
    return _Node(_text(node, NODE["op_type"]), names["input"], names["output"], attributes)


def _stated_shape(reader: WireReader, content: memoryview) -> tuple[str, Shape]:
    """Name and shape of an input or output: value, its type, a tensor, its shape, its dimensions."""
    value = _message(reader, content, (1, 2, 3), "a value")
    kind = _message(reader, _bytes(value[2][-1]), (1,), "a type")
    tensor = _message(reader, _bytes(kind[1][-1]), (1, 2), "a tensor's type")
    if tensor[1][-1] != _FLOAT:
        raise _Refused("has inputs or outputs that are no floats")
    dimensions = [
        _message(reader, _bytes(dimension), (1, 2), "a dimension")
        for dimension in _message(reader, _bytes(tensor[2][-1]), (1,), "a shape")[1]
    ]
    first, *others = [dimension.get(1, [_BATCH])[-1] for dimension in dimensions]
    if first != _BATCH or any(not isinstance(size, int) or not 1 <= size <= MOST_STEPS for size in others):
        raise _Refused(f"has inputs or outputs of other shapes than any number of windows, each under {MOST_STEPS:,}")
    return _decoded(value[1][-1]), (_BATCH, *(int(size) for size in others if isinstance(size, int)))


def _message(reader: WireReader, content: memoryview, ours: Collection[int] | Mapping[str, int], what: str) -> Fields:
    fields = reader.fields(content)
    others = set(fields) - set(ours.values() if isinstance(ours, Mapping) else ours)
    if others:
        raise _Refused(f"has something in {what} that no network of ours has (field {min(others)})")
    return fields


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _decoded(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode(errors="replace")


def _text(fields: Fields, number: int) -> str:
    return _decoded(fields[number][-1]) if number in fields else ""
