"""Networks on disk: read without ever running what a file brings along, written whole or not at all."""

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volcast.arrays import Float32Array2D, Float32Array3D, Float64Array1D
from volcast.errors import CorruptModelError, UnsafeModelError
from volcast.networks.keras_checks import checked_description
from volcast.networks.onnx import OnnxNetwork, serving_network

if TYPE_CHECKING:
    import keras

__all__ = ["KerasNetwork", "load_network", "save_network"]


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

    def __call__(self, windows: Float32Array3D, side: Float32Array2D | None = None) -> Float64Array1D:
        """Outputs, shape (n,), for windows of shape (n, memory, F) and what stands beside them, shape (n, K)."""
        return self.twin(windows, side)


def load_network(path: Path) -> "keras.Model":
    """The Keras network in a ``.keras`` archive or a ``.h5`` file, uncompiled.

    Only the layers that this product builds are accepted, in sizes that `networks.keras_checks` states, and that is
    checked before Keras sees the file. LSTM files of Keras 2 are read too.

    Raises
    ------
    UnsafeModelError
        The file describes a layer outside the accepted ones (a Lambda, say), or a network of another size.
    CorruptModelError
        The file is no network or cannot be read.
    """
    try:
        description = checked_description(path)
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


def _without_key(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_key(inner, key) for name, inner in value.items() if name != key}
    if isinstance(value, list):
        return [_without_key(inner, key) for inner in value]
    return value
