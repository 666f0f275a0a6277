"""What a Keras file may hold, checked on its description and its weights' shapes before Keras builds anything of it.

The limits are far above what the product trains: `LARGEST_NETWORK` weights, and for one forecast as many
multiplications as `networks.onnx_checks` allows. A description can ask for any number of units in a few bytes, so what
it asks for is counted first.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from volcast.errors import UnsafeModelError
from volcast.networks.onnx_checks import MOST_STEPS, MOST_WORK

if TYPE_CHECKING:
    import h5py

__all__ = ["LARGEST_FILE", "LARGEST_NETWORK", "checked_description"]

LARGEST_FILE = 64 * 2**20
"""Bytes of a network's file."""

LARGEST_NETWORK = 2**24
"""Weights of a network; 64 units in two layers, the most that the default search tries, have 50 thousand."""

_LAYERS = frozenset({"InputLayer", "LSTM", "GRU", "Dropout", "Concatenate", "Dense"})
# Gates of a recurrent layer, and biases of each.
_GATES = {"LSTM": (4, 1), "GRU": (3, 2)}
_MODELS = frozenset({"Sequential", "Functional"})
_PARTS = frozenset({"DTypePolicy", "GlorotUniform", "Ones", "Orthogonal", "Zeros", "__keras_tensor__"})
_MOST_LAYERS, _MOST_ARRAYS, _MOST_UNITS = 64, 1000, 4096
_LARGEST_CONFIG = 1_000_000
_MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})


def checked_description(path: Path) -> dict[str, Any]:
    """What the file at `path`, a ``.keras`` archive or a ``.h5``, says of its layers.

    Raises
    ------
    UnsafeModelError
        It describes a layer outside the accepted ones (a Lambda, say), a larger network than any of ours, or refers to
        other files.
    Exception
        Of many kinds, where the file is no network.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise UnsafeModelError(f"{path.name} has over {LARGEST_FILE:,} bytes; no network of ours has; train anew.")
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe_members(archive, path)
            description = dict(json.loads(archive.read("config.json")))
            with archive.open("model.weights.h5") as weights:
                _check_weights(weights, path)
    else:
        with path.open("rb") as file:
            description = _check_weights(file, path)
    _refuse_foreign_parts(description, path)
    _refuse_large_layers(description["config"], path)
    return description


def _refuse_unsafe_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Sizes are those that the archive states; reading stops at them, so one that states too little is torn."""
    for member in archive.infolist():
        if member.filename not in _MEMBERS:
            raise UnsafeModelError(
                f"{path.name} holds {member.filename[:60]!r}; a network holds {', '.join(sorted(_MEMBERS))} "
                "and nothing else; train the model anew."
            )
        largest = LARGEST_FILE if member.filename.endswith(".h5") else _LARGEST_CONFIG
        if member.file_size > largest:
            raise UnsafeModelError(
                f"{member.filename} in {path.name} unpacks to {member.file_size:,} bytes; no network of ours has over "
                f"{largest:,}; train the model anew."
            )


def _check_weights(file: "BinaryIO | Any", path: Path) -> dict[str, Any]:
    """Refuse weights that are too many or elsewhere; returns the description beside them, empty in an archive."""
    import h5py

    total = 0
    with h5py.File(file, "r") as opened:
        for number, weights in enumerate(_datasets(opened, path)):
            total += weights.size
            if number >= _MOST_ARRAYS or total > LARGEST_NETWORK:
                raise UnsafeModelError(
                    f"{path.name} has arrays of over {LARGEST_NETWORK:,} weights, or over {_MOST_ARRAYS} of them; no "
                    "network of ours has; train the model anew."
                )
            if weights.external or weights.is_virtual:
                raise UnsafeModelError(
                    f"{path.name} keeps weights in another file; a network must be whole in itself; train it anew."
                )
        return dict(json.loads(opened.attrs["model_config"])) if "model_config" in opened.attrs else {}


def _datasets(group: "h5py.Group", path: Path, depth: int = 0) -> "Iterator[h5py.Dataset]":
    import h5py

    for name in group:
        if depth > _MOST_LAYERS or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeModelError(
                f"{path.name} holds links, which could lead to other files; a network has none; train the model anew."
            )
        inner = group[name]
        if isinstance(inner, h5py.Group):
            yield from _datasets(inner, path, depth + 1)
        else:
            yield inner


def _refuse_foreign_parts(description: dict[str, Any], path: Path) -> None:
    """All that Keras would look up by name is looked up here first, wherever in the description it stands."""
    config = description["config"]
    layers = {str(layer["class_name"]) for layer in config["layers"]}
    parts = {str(value) for key, value in _items(config) if key == "class_name"}
    foreign = ({description["class_name"]} - _MODELS) | (layers - _LAYERS) | (parts - _LAYERS - _PARTS)
    modules = {str(value) for key, value in _items(config) if key == "module" and value is not None}
    foreign |= {module for module in modules if module.partition(".")[0] != "keras"}
    if foreign:
        raise UnsafeModelError(
            f"{path.name} has layers of the kind {', '.join(sorted(foreign))[:200]}; only "
            f"{', '.join(sorted(_LAYERS))} are accepted, since others can run code; train the model anew."
        )


def _refuse_large_layers(config: dict[str, Any], path: Path) -> None:
    steps, widths = _stated_sizes(config)
    weights = 0
    for layer in config["layers"]:
        settings = layer["config"]
        if layer["class_name"] == "Concatenate":
            # Of what it joins, and so of no more than of all before it.
            widths.append(sum(widths))
        elif layer["class_name"] in (*_GATES, "Dense"):
            units, inputs = settings["units"], max(widths, default=1)
            if type(units) is not int or not 1 <= units <= _MOST_UNITS or settings.get("unroll", False):
                raise UnsafeModelError(_too_large(path, f"a layer of {units!r:.40} units"))
            gates, biases = _GATES.get(layer["class_name"], (1, 1))
            weights += gates * units * (inputs + biases + (units if layer["class_name"] in _GATES else 0))
            widths.append(units)
    if len(config["layers"]) > _MOST_LAYERS or weights > LARGEST_NETWORK or weights * steps > MOST_WORK:
        raise UnsafeModelError(_too_large(path, f"{weights:,} weights and windows of {steps:,} buckets"))
    if steps > MOST_STEPS or max(widths, default=1) > 2 * _MOST_UNITS:
        raise UnsafeModelError(_too_large(path, f"windows of {steps:,} buckets or inputs of {max(widths):,} values"))


def _stated_sizes(config: dict[str, Any]) -> tuple[int, list[int]]:
    """The longest window and the widths that any shape in a description states."""
    steps, widths = 1, []
    for key, value in _items(config):
        if "shape" in key and isinstance(value, list):
            sizes = [size for size in value if type(size) is int]
            widths += sizes[-1:]
            steps = max([steps, *sizes[:-1]])
    return steps, widths


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _too_large(path: Path, what: str) -> str:
    return (
        f"{path.name} describes {what}; no network of ours has over {_MOST_UNITS:,} units in a layer, "
        f"{LARGEST_NETWORK:,} weights, {MOST_STEPS:,} buckets in a window, or {MOST_WORK:,} multiplications in a "
        "forecast; train a smaller one."
    )
