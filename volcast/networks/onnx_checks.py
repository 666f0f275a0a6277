"""What an ONNX file may hold, checked on its bytes before ONNX Runtime sees them.

The package `onnx` is only needed to train; this reads the few fields that matter from the Protocol Buffers wire
format (https://protobuf.dev/programming-guides/encoding/), field numbers as in ``onnx.proto``.
"""

from collections.abc import Iterator

from volcast.errors import CorruptModelError, UnsafeModelError

__all__ = ["refuse_unsafe_graph"]

_LARGEST = 64 * 2**20
_MOST_NODES = 1000
_OPERATORS = frozenset({"Concat", "Gemm", "Identity", "LSTM", "Relu", "Sigmoid", "Squeeze", "Tanh", "Transpose"})
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_WEIGHT, _GRAPH_SPARSE_WEIGHT = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_HOLDERS = frozenset({5, 6, 10, 11, 22, 23})  # tensors, graphs and sparse tensors, one or many
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def refuse_unsafe_graph(content: bytes, name: str) -> None:
    """Let pass only a graph of our own operators whose weights all lie inside it.

    Raises
    ------
    UnsafeModelError
        The file is larger than any network of ours, has another operator, or refers to data in other files.
    CorruptModelError
        The bytes are no ONNX file.
    """
    if len(content) > _LARGEST:
        raise UnsafeModelError(
            f"{name} has {len(content):,} bytes; no network of ours has over {_LARGEST:,}; train the model anew."
        )
    try:
        problem = _problem(memoryview(content))
    except (IndexError, ValueError) as error:
        raise CorruptModelError(
            f"{name} is no ONNX graph; the rule is the file that was saved; train anew or restore the file."
        ) from error
    if problem is not None:
        raise UnsafeModelError(f"{name} {problem}; nothing of it was run; train the model anew.")


def _problem(model: memoryview) -> str | None:
    graphs = 0
    for number, value in _fields(model):
        if number == _MODEL_FUNCTIONS:
            return "defines functions, which no network of ours does"
        if number == _MODEL_GRAPH and isinstance(value, memoryview):
            graphs += 1
            problem = _graph_problem(value)
            if problem is not None:
                return problem
    return None if graphs == 1 else "holds no single graph"


def _graph_problem(graph: memoryview) -> str | None:
    nodes = 0
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_SPARSE_WEIGHT:
            return "has sparse weights, which no network of ours has"
        if number == _GRAPH_WEIGHT and _is_external(value):
            return "keeps its weights in another file, and a network must be whole in itself"
        if number == _GRAPH_NODE:
            nodes += 1
            problem = _node_problem(value)
            if problem is not None:
                return problem
    return None if nodes <= _MOST_NODES else f"has {nodes} nodes, and no network of ours has over {_MOST_NODES}"


def _node_problem(node: memoryview) -> str | None:
    for number, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        text = bytes(value).decode(errors="replace")
        if number == _NODE_OPERATOR and text not in _OPERATORS:
            return f"has an operator {text[:40]!r}; only {', '.join(sorted(_OPERATORS))} are accepted"
        if number == _NODE_DOMAIN and text not in ("", "ai.onnx"):
            return f"has an operator of the domain {text[:40]!r}, and only ONNX' own are accepted"
        if number == _NODE_ATTRIBUTE and any(inner in _ATTRIBUTE_HOLDERS for inner, _ in _fields(value)):
            return "has an operator that brings tensors or graphs along, which no network of ours has"
    return None


def _is_external(tensor: memoryview) -> bool:
    return any(
        number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0)
        for number, value in _fields(tensor)
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; a value of variable length is a view of its bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if position + length > len(message):
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number is too long")
