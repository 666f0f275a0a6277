"""The ONNX graphs of several networks as one, put together on their bytes: `onnx` is only needed to train."""

from collections.abc import Sequence

from volcast.networks.onnx_checks import GRAPH, MODEL, MOST_FIELDS, NODE, TENSOR
from volcast.networks.protobuf import Fields, WireReader, wire_message

__all__ = ["merged_graph"]

_VALUE_NAME = 1


def merged_graph(contents: Sequence[bytes]) -> bytes:
    """One graph that computes what each of these computes, from the same inputs; its outputs are theirs, in this order.

    Parameters
    ----------
    contents
        Graphs that `onnx_checks.refuse_unsafe_graph` lets pass, with inputs of equal names and shapes, which stay;
        whatever else has a name in them is called by it behind the graph's number.
    """
    model, merged = _model_and_graph(contents[0])
    for key in ("node", "initializer", "output"):
        merged[GRAPH[key]] = []
    inputs = {_name(value, _VALUE_NAME) for value in merged[GRAPH["input"]]}
    for number, content in enumerate(contents):
        _, graph = _model_and_graph(content)
        renamed = _Renaming(f"{number}/".encode(), inputs)
        merged[GRAPH["node"]] += [renamed.message(one, NODE["input"], NODE["output"]) for one in graph[GRAPH["node"]]]
        merged[GRAPH["initializer"]] += [
            renamed.message(one, TENSOR["name"]) for one in graph.get(GRAPH["initializer"], [])
        ]
        merged[GRAPH["output"]] += [renamed.message(one, _VALUE_NAME) for one in graph[GRAPH["output"]]]
    return bytes(wire_message({**model, MODEL["graph"]: [wire_message(merged)]}))


class _Renaming:
    """Gives names a beginning, but for those of `inputs`."""

    def __init__(self, beginning: bytes, inputs: set[bytes]) -> None:
        self._beginning, self._inputs = beginning, inputs

    def message(self, message: int | memoryview, *fields_of_names: int) -> memoryview:
        """A message with the names in these fields as they are called in the merged graph."""
        fields = _fields(message)
        for number in fields_of_names:
            fields[number] = [self._renamed(bytes(_bytes(name))) for name in fields.get(number, [])]
        return wire_message(fields)

    def _renamed(self, name: bytes) -> memoryview:
        return memoryview(name if name in self._inputs else self._beginning + name)


def _model_and_graph(content: bytes) -> tuple[Fields, Fields]:
    model = _fields(memoryview(content))
    return model, _fields(model[MODEL["graph"]][0])


def _name(message: int | memoryview, field: int) -> bytes:
    return bytes(_bytes(_fields(message)[field][-1]))


def _fields(message: int | memoryview) -> Fields:
    return WireReader(MOST_FIELDS).fields(_bytes(message))


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value
