"""Networks on disk: read without ever running what a file brings along, written whole or not at all."""

import json
import logging
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from volcast.errors import CorruptModelError, UnsafeModelError
from volcast.networks.onnx import OnnxNetwork, serving_network

if TYPE_CHECKING:
    import keras

__all__ = ["KerasNetwork", "load_network", "save_network"]

_ALLOWED_LAYERS = frozenset({"Sequential", "Functional", "InputLayer", "LSTM", "Dropout", "Concatenate", "Dense"})
_LARGEST_CONFIG = 1_000_000
_LARGEST_FILE = 64 * 2**20
_MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})


@dataclass(frozen=True)
class KerasNetwork:
    """A Keras network as a bundle holds it between its training, which is over, and its first save.

    It forecasts by its ONNX twin, as it will once it is saved.
    """

    model: "keras.Model"

    @cached_property
    def twin(self) -> OnnxNetwork:
        """The network in ONNX Runtime, held to Keras; raises what `serving_network` raises."""
        return serving_network(self.model)

    def __call__(
        self, windows: npt.NDArray[np.float32], side: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float64]:
        """Outputs, shape (n,), for windows of shape (n, memory, F) and what stands beside them, shape (n, K)."""
        return self.twin(windows, side)


def load_network(path: Path) -> "keras.Model":
    """The Keras network in a ``.keras`` archive or a ``.h5`` file, uncompiled.

    Only the layers that this product builds are accepted, which is checked before Keras sees the file. LSTM files of
    Keras 2 are read too.

    Raises
    ------
    UnsafeModelError
        The file describes a layer outside the accepted ones (a Lambda, say).
    CorruptModelError
        The file is no network or cannot be read.
    """
    try:
        description = _description(path)
        _refuse_foreign_layers(description, path)
        if path.suffix == ".h5" and "time_major" in json.dumps(description):
            return _load_keras_2(path, description)
        import keras

        return keras.models.load_model(path, compile=False, safe_mode=True)
    except UnsafeModelError:
        raise
    except Exception as error:
        raise CorruptModelError(
            f"{path.name} cannot be read as a network ({type(error).__name__}); the rule is a whole .keras or .h5 file "
            "written by Keras; train anew or restore the file."
        ) from error


def save_network(network: "keras.Model", path: Path) -> None:
    """Write a network to `path`, whose suffix says whether as ``.keras`` or ``.h5``."""
    # Keras advises against .h5 on each save; the Colab pair that other scripts expect is one.
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        network.save(path)
    finally:
        absl.setLevel(level)


def _load_keras_2(path: Path, description: dict[str, Any]) -> "keras.Model":
    """Keras 3 knows no `time_major`: read a copy whose description lacks it."""
    import h5py
    import keras

    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(_without_key(description, "time_major"))
        return keras.models.load_model(copy, compile=False, safe_mode=True)


def _description(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_FILE:
        raise UnsafeModelError(f"{path.name} has over {_LARGEST_FILE:,} bytes; no network of ours has; train anew.")
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe_members(archive, path)
            return dict(json.loads(archive.read("config.json")))
    import h5py

    with h5py.File(path, "r") as file:
        return dict(json.loads(file.attrs["model_config"]))


def _refuse_unsafe_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Sizes are those that the archive states; reading stops at them, so one that states too little is torn."""
    for member in archive.infolist():
        if member.filename not in _MEMBERS:
            raise UnsafeModelError(
                f"{path.name} holds {member.filename[:60]!r}; a network holds {', '.join(sorted(_MEMBERS))} "
                "and nothing else; train the model anew."
            )
        largest = _LARGEST_FILE if member.filename.endswith(".h5") else _LARGEST_CONFIG
        if member.file_size > largest:
            raise UnsafeModelError(
                f"{member.filename} in {path.name} unpacks to {member.file_size:,} bytes; no network of ours has over "
                f"{largest:,}; train the model anew."
            )


def _refuse_foreign_layers(description: dict[str, Any], path: Path) -> None:
    layers = [description, *description["config"]["layers"]]
    foreign = {layer["class_name"] for layer in layers} - _ALLOWED_LAYERS
    if foreign:
        raise UnsafeModelError(
            f"{path.name} has layers of the kind {', '.join(sorted(foreign))}; only "
            f"{', '.join(sorted(_ALLOWED_LAYERS))} "
            "are accepted, since others can run code; train the model anew."
        )


def _without_key(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_key(inner, key) for name, inner in value.items() if name != key}
    if isinstance(value, list):
        return [_without_key(inner, key) for inner in value]
    return value
