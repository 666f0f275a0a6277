"""The pair of files that the Colab notebook leaves: a network as ``.h5`` and a scaler as ``.pkl``."""

import hashlib
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from volcast.config import TrainingConfig
from volcast.errors import CorruptModelError, ModelNotFoundError, StoreError, UnsafeModelError
from volcast.features.scaling import RangeScaler
from volcast.files import write_whole
from volcast.forecasters.recipe import ScaledWindows
from volcast.networks.keras_files import KerasNetwork, load_network, save_network
from volcast.store.bundle import ModelBundle

if TYPE_CHECKING:
    import keras

__all__ = ["NETWORK_FILE", "SCALER_FILE", "colab_bundle", "read_colab_pair", "write_colab_pair"]

NETWORK_FILE = "volatility_lstm_model.h5"
SCALER_FILE = "volatility_scaler.pkl"
_LARGEST_PICKLE = 100_000


def read_colab_pair(network_path: Path, scaler_path: Path | None = None) -> tuple["keras.Model", RangeScaler]:
    """Network and scaler of a Colab pair.

    Parameters
    ----------
    network_path
        The ``.h5`` file.
    scaler_path
        The ``.pkl`` file; None takes ``volatility_scaler.pkl`` or else the only ``.pkl`` beside the network.

    Raises
    ------
    ModelNotFoundError
        One of the two is missing.
    UnsafeModelError
        The pickle or the network holds anything but what the notebook wrote. Nothing of it is run.
    CorruptModelError
        One of the two cannot be read.
    """
    network_path = Path(network_path)
    if not os.path.isfile(network_path):  # False, too, for a name that is too long for the system.
        raise ModelNotFoundError(
            f"there is no file {str(network_path)[:200]}; a Colab pair is a .h5 and a .pkl; give the .h5's path."
        )
    scaler = _read_scaler(scaler_path or _scaler_beside(network_path))
    return load_network(network_path), scaler


def write_colab_pair(network: "keras.Model", scaler: RangeScaler, directory: Path) -> tuple[Path, Path]:
    """Write the pair into `directory` for scripts that expect it; returns both paths.

    The pickle holds a scikit-learn `MinMaxScaler`, as the notebook's did. Whenever the writer is killed, no network
    stands beside another's scaler.

    Raises
    ------
    StoreError
        The directory cannot be written.
    """
    network_path, scaler_path = directory / NETWORK_FILE, directory / SCALER_FILE
    with tempfile.TemporaryDirectory() as aside:
        save_network(network, Path(aside) / NETWORK_FILE)
        content = (Path(aside) / NETWORK_FILE).read_bytes()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        scaler_path.unlink(missing_ok=True)
        write_whole(network_path, content)
        write_whole(scaler_path, pickle.dumps(_as_sklearn(scaler)))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the pair cannot be written to {str(directory)[:200]!r} ({getattr(error, 'strerror', None) or error}); it "
            "must be a directory that can be; give another."
        ) from None
    return network_path, scaler_path


def _scaler_beside(network_path: Path) -> Path:
    named = network_path.with_name(SCALER_FILE)
    scalers = [named] if named.is_file() else sorted(network_path.parent.glob("*.pkl"))
    if len(scalers) != 1:
        raise ModelNotFoundError(
            f"found {len(scalers)} .pkl files beside {network_path.name}; the rule is {SCALER_FILE} or exactly one; "
            "put the scaler there."
        )
    return scalers[0]


class _PickledScaler:
    """Takes the place of scikit-learn's class while unpickling, so that none of its code runs."""

    fields: dict[str, Any]

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.fields = dict(fields)


class _PickledType:
    """Takes the place of numpy's dtype: floats and whole numbers of four or eight bytes."""

    def __init__(self, name: str, *_: Any) -> None:
        self.format = {"f4": "f", "f8": "d", "i4": "i", "i8": "q"}[name]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.format = {"<": "<", ">": ">"}[state[1]] + self.format

    def number(self, content: bytes) -> float:
        """The one number whose bytes `content` is."""
        (number,) = struct.unpack(self.format, content)
        return float(number)


class _PickledArray:
    """Takes the place of numpy's array: one number, unpacked here, so that no buffer is handed to numpy."""

    number: float

    @classmethod
    def empty(cls, *_: Any) -> "_PickledArray":
        """What numpy rebuilds an array from, before its state is known."""
        return cls()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, _, content = state
        if shape != (1,) or not isinstance(kind, _PickledType):
            raise ValueError("not an array of one number")
        self.number = kind.number(content)


def _pickled_scalar(kind: _PickledType, content: bytes) -> float:
    return kind.number(content)


_STAND_INS: dict[tuple[str, str], Any] = {
    ("sklearn.preprocessing._data", "MinMaxScaler"): _PickledScaler,
    ("numpy", "dtype"): _PickledType,
    ("numpy", "ndarray"): _PickledArray,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _PickledArray.empty), ("scalar", _pickled_scalar))
    },
}
_OPCODES = (
    b"\x80\x95\x93c\x94qrhj"  # protocol, frame, names, memory
    b"(t)\x85\x86\x87}u"  # tuples and dictionaries
    b"N\x88\x89KMJ\x8aG"  # None, truth, numbers
    b"CB\x8cX"  # bytes and text
    b"\x81Rb."  # objects, and the end
)


class _ScalerUnpickler(pickle._Unpickler):
    """Python's unpickler in Python, which cannot be made to crash, with the few steps that a scaler takes."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        code: step for code, step in pickle._Unpickler.dispatch.items() if code in _OPCODES
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise UnsafeModelError(
                f"the scaler's pickle asks for {module[:40]}.{name[:40]}; only a scikit-learn MinMaxScaler and numpy "
                "arrays are accepted, and nothing was run; get the file from the notebook again."
            )
        return _STAND_INS[module, name]

    def _set_items(self) -> None:
        # A key other than text could take for ever to hash.
        items = self.pop_mark()
        if not all(isinstance(key, str) for key in items[::2]):
            raise ValueError("a key that is no text")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.SETITEMS[0]] = _set_items


def _read_scaler(path: Path) -> RangeScaler:
    if not path.is_file():
        raise ModelNotFoundError(f"there is no file {path}; a Colab pair is a .h5 and a .pkl; give both.")
    if path.stat().st_size > _LARGEST_PICKLE:
        raise UnsafeModelError(f"{path.name} has {path.stat().st_size} bytes; a scaler has under {_LARGEST_PICKLE}.")
    try:
        with path.open("rb") as file:
            pickled = _ScalerUnpickler(file).load()
        return _from_pickled(pickled)
    except UnsafeModelError:
        raise
    except Exception as error:
        raise CorruptModelError(
            f"{path.name} cannot be read as a scaler ({type(error).__name__}); the rule is a pickled MinMaxScaler "
            "of one feature with range (0, 1); get the file from the notebook again."
        ) from error


def _from_pickled(pickled: _PickledScaler) -> RangeScaler:
    fields = pickled.fields
    if tuple(fields["feature_range"]) != (0, 1) or fields.get("clip", False):
        raise ValueError("not the notebook's scaler")
    low, high, scale = (fields[name].number for name in ("data_min_", "data_max_", "scale_"))
    scaler = RangeScaler(low, high, int(fields["n_samples_seen_"]))
    if not (0 <= low <= high < np.inf and np.isclose(scaler.scale_, scale, rtol=1e-12)):
        raise ValueError("scale and range disagree")
    return scaler


def _as_sklearn(scaler: RangeScaler) -> Any:
    from sklearn.preprocessing import MinMaxScaler

    fitted = MinMaxScaler((0, 1)).fit(np.array([[scaler.data_min_], [scaler.data_max_]]))
    fitted.n_samples_seen_ = scaler.n_samples_seen_
    return fitted


def colab_bundle(network_path: Path, scaler_path: Path | None = None) -> ModelBundle:
    """A Colab pair as a bundle that was never saved: preset `colab`, hourly, seen through nobody knows when."""
    network, scaler = read_colab_pair(network_path, scaler_path)
    memory = int(network.input_shape[1])
    config = TrainingConfig.from_mapping({"preset": "colab", "memory": memory})
    digest = hashlib.sha256(network_path.read_bytes()).hexdigest()[:8]
    manifest = {"symbol": None, "simulated": False, "trained_through": None, "source": {"name": "Colab pair"}}
    recipe = ScaledWindows(scaler, memory)
    return ModelBundle(f"colab-{digest}", (KerasNetwork(network),), recipe, config, manifest)
