"""The pair of files that the Colab notebook leaves: a network as ``.h5`` and a scaler as ``.pkl``."""

import hashlib
import importlib
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.config import TrainingConfig
from volcast.errors import CorruptModelError, ModelNotFoundError, UnsafeModelError
from volcast.features.scaling import RangeScaler
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

    The pickle holds a scikit-learn `MinMaxScaler`, as the notebook's did.
    """
    directory.mkdir(parents=True, exist_ok=True)
    network_path, scaler_path = directory / NETWORK_FILE, directory / SCALER_FILE
    save_network(network, network_path)
    scaler_path.write_bytes(pickle.dumps(_as_sklearn(scaler)))
    return network_path, scaler_path


def _scaler_beside(network_path: Path) -> Path:
    named = network_path.with_name(SCALER_FILE)
    found = [named] if named.is_file() else sorted(network_path.parent.glob("*.pkl"))
    if len(found) != 1:
        raise ModelNotFoundError(
            f"found {len(found)} .pkl files beside {network_path.name}; the rule is {SCALER_FILE} or exactly one; "
            "put the scaler there."
        )
    return found[0]


class _PickledScaler:
    """Takes the place of scikit-learn's class while unpickling, so that none of its code runs."""

    feature_range: tuple[float, float]
    clip: bool
    data_min_: np.ndarray
    data_max_: np.ndarray
    scale_: np.ndarray
    n_samples_seen_: int


class _ScalerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("sklearn.preprocessing._data", "MinMaxScaler"):
            return _PickledScaler
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in ("_reconstruct", "scalar"):
            return getattr(importlib.import_module("numpy._core.multiarray"), name)
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise UnsafeModelError(
            f"the scaler's pickle asks for {module}.{name}; only a scikit-learn MinMaxScaler and numpy arrays are "
            "accepted, and nothing was run; get the file from the notebook again."
        )


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
            "of one "
            "feature with range (0, 1); get the file from the notebook again."
        ) from error


def _from_pickled(pickled: _PickledScaler) -> RangeScaler:
    if tuple(pickled.feature_range) != (0, 1) or pickled.clip or pickled.data_max_.shape != (1,):
        raise ValueError("not the notebook's scaler")
    scaler = RangeScaler(float(pickled.data_min_[0]), float(pickled.data_max_[0]), int(pickled.n_samples_seen_))
    if not np.isclose(scaler.scale_, pickled.scale_[0], rtol=1e-12):
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
