"""Trained models on disk: one directory each, written whole or not at all, verified before anything is read."""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from colab_pair import read_colab_pair, write_colab_pair
from errors import ConfigError, CorruptModelError, ModelNotFoundError
from network_files import load_network, save_network
from network_training import forecast_windows
from realized_volatility import Preset
from trading_sessions import EXCHANGE_TIMEZONE
from training_config import TrainingConfig
from volatility_features import Scaler, scaler_from_dict

if TYPE_CHECKING:
    import keras

__all__ = ["MANIFEST", "ModelBundle", "ModelStore", "package_versions"]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_NETWORK, _SCALER, _CONFIG = "network.keras", "scaler.json", "config.json"
_POINTER = "serving.json"
_PARTIAL = ".partial-"
_PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "pandas", "scikit-learn", "exchange-calendars")
_WINDOWS_AT_ONCE = 8192
_ABANDONED_AFTER_SECONDS = 600

Manifests = list[dict[str, Any]]
History = list[dict[str, str]]


@dataclass(frozen=True)
class ModelBundle:
    """One trained model with everything that a forecast needs.

    Attributes
    ----------
    name
        The model's version: what a forecast names as the model that it came from.
    network
        Takes scaled windows of shape (n, memory, 1), gives scaled forecasts of shape (n, 1).
    scaler
        Between hourly RV and what the network takes and gives.
    config
        The configuration that it was trained with.
    manifest
        What it was trained on and when; ``trained_through`` is the last moment whose data it has seen.
    path
        Its directory, None while it is not saved.
    """

    name: str
    network: "keras.Model"
    scaler: Scaler
    config: TrainingConfig
    manifest: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def preset(self) -> Preset:
        """Which hourly RV it was trained on."""
        return self.config.preset

    @property
    def memory(self) -> int:
        """Buckets in a window."""
        return self.config.memory

    @property
    def trained_through(self) -> pd.Timestamp | None:
        """Last moment (New York time) whose data it has seen; None where nobody wrote it down (a Colab pair)."""
        seen = self.manifest.get("trained_through")
        return None if seen is None else pd.Timestamp(seen).tz_convert(EXCHANGE_TIMEZONE)

    @property
    def simulated(self) -> bool:
        """Whether it was trained on simulated bars."""
        return bool(self.manifest.get("simulated", False))

    @property
    def interval_factors(self) -> tuple[float, float]:
        """Realized over forecast volatility at the ends of the central 90 % of the validation part; NaN if unknown."""
        low, high = self.manifest.get("interval_factors") or (np.nan, np.nan)
        return float(low), float(high)

    def forecast(
        self, rv: pd.Series, targets: pd.DatetimeIndex, known: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Hourly volatility, shape (len(targets),), of the buckets `targets`, each from the last `memory` known values.

        `known[i]`, at least `memory`, is how many leading buckets of `rv` the forecast for ``targets[i]`` may use: the
        interface of the baselines.
        """
        scaled = self.scaler.scale(rv).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(scaled, self.memory)[:, :, None]
        first = np.asarray(known) - self.memory
        outputs = [
            forecast_windows(self.network, windows[first[start : start + _WINDOWS_AT_ONCE]])
            for start in range(0, len(first), _WINDOWS_AT_ONCE)
        ]
        return self.scaler.unscale(np.concatenate(outputs) if outputs else np.empty(0), targets)


class ModelStore:
    """Saved models under one directory, and which of them serves.

    Parameters
    ----------
    path
        The directory; it is made on the first save.
    """

    def __init__(self, path: str | os.PathLike[str] = "volatility_models") -> None:
        self.path = Path(path)

    def save(self, bundle: ModelBundle, attachments: Mapping[str, bytes] | None = None) -> ModelBundle:
        """Save a bundle under its name, with further files for people (history, metrics, pictures).

        Everything is written to a temporary directory, flushed, and renamed at the end.

        Returns
        -------
        The bundle with its `path` and whole manifest.

        Raises
        ------
        ConfigError
            A model of that name exists: bundles are immutable.
        """
        final = self.path / bundle.name
        if final.exists():
            raise ConfigError(
                f"a model named {bundle.name} is already saved; models never change; choose another name."
            )
        self._clear_abandoned()
        partial = self.path / f"{_PARTIAL}{bundle.name}-{uuid.uuid4().hex[:8]}"
        partial.mkdir(parents=True)
        try:
            save_network(bundle.network, partial / _NETWORK)
            (partial / _SCALER).write_bytes(_json_bytes(bundle.scaler.to_dict()))
            (partial / _CONFIG).write_bytes(_json_bytes(bundle.config.as_dict()))
            for name, content in (attachments or {}).items():
                (partial / name).write_bytes(content)
            manifest = _whole_manifest(bundle, partial)
            (partial / MANIFEST).write_bytes(_json_bytes(manifest))
            for file in partial.iterdir():
                _flush(file)
            os.replace(partial, final)
            _flush(self.path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return ModelBundle(bundle.name, bundle.network, bundle.scaler, bundle.config, manifest, final)

    def load(self, name_or_path: str | os.PathLike[str]) -> ModelBundle:
        """Verify and load a model by its name in this store or by its directory.

        Raises
        ------
        ModelNotFoundError
            There is no such model.
        CorruptModelError
            Its files are not those that were saved.
        """
        directory = self._directory(name_or_path)
        manifest = self.verify(directory)
        scaler = scaler_from_dict(json.loads((directory / _SCALER).read_text()))
        config = TrainingConfig.from_mapping(json.loads((directory / _CONFIG).read_text()))
        return ModelBundle(manifest["name"], load_network(directory / _NETWORK), scaler, config, manifest, directory)

    def verify(self, name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Check every file of a model against its manifest; returns the manifest.

        Raises
        ------
        CorruptModelError
            A file is missing, changed, or not in the manifest; it is named.
        """
        directory = self._directory(name_or_path)
        manifest = _read_manifest(directory)
        found = {file.name for file in directory.iterdir()} - {MANIFEST}
        for name in sorted(found ^ set(manifest["files"])):
            state = "is not in its manifest" if name in found else "is missing"
            raise CorruptModelError(
                f"{name} in {directory} {state}; a saved model never changes; train or copy it anew."
            )
        for name, entry in manifest["files"].items():
            if _sha256(directory / name) != entry["sha256"]:
                raise CorruptModelError(
                    f"{name} in {directory} is not the file that was saved (its SHA-256 differs); "
                    "a saved model never changes; train or copy it anew."
                )
        return manifest

    def list(self) -> Manifests:
        """Manifests of the saved models, the newest first; directories that are no whole model are passed over."""
        manifests = []
        for directory in self.path.glob("[!.]*/") if self.path.is_dir() else ():
            try:
                manifests.append(_read_manifest(directory))
            except (CorruptModelError, ModelNotFoundError):
                continue
        return sorted(manifests, key=lambda manifest: (manifest["created"], manifest["name"]), reverse=True)

    def serving(self) -> str | None:
        """Name of the model that serves: the one promoted last, or else the newest; None in an empty store."""
        saved = [manifest["name"] for manifest in self.list()]
        promoted = [entry["name"] for entry in self.history() if entry["name"] in saved]
        return promoted[-1] if promoted else (saved[0] if saved else None)

    def history(self) -> History:
        """Who served since when and why, oldest first."""
        pointer = self.path / _POINTER
        return list(json.loads(pointer.read_text())) if pointer.exists() else []

    def promote(self, name: str, reason: str) -> None:
        """Let the model `name` serve from now on."""
        self._directory(name)
        entry = {"name": name, "since": datetime.now(UTC).isoformat(timespec="seconds"), "reason": reason}
        self._write_history([*self.history(), entry])

    def rollback(self) -> str:
        """Let the model that served before the last promotion serve again; returns its name.

        Raises
        ------
        ModelNotFoundError
            No model served before.
        """
        history = self.history()
        if len(history) < 2:
            raise ModelNotFoundError("no model served before this one, so there is nothing to roll back to.")
        self._write_history(history[:-1])
        return history[-2]["name"]

    def import_colab(
        self,
        network_path: str | os.PathLike[str],
        scaler_path: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> ModelBundle:
        """Save a Colab pair (see `colab_pair.read_colab_pair`) as a model of this store."""
        bundle = colab_bundle(Path(network_path), None if scaler_path is None else Path(scaler_path))
        return self.save(
            ModelBundle(name or bundle.name, bundle.network, bundle.scaler, bundle.config, bundle.manifest)
        )

    def export_colab(
        self, name_or_path: str | os.PathLike[str], directory: str | os.PathLike[str]
    ) -> tuple[Path, Path]:
        """Write a model trained with the `colab` preset as the notebook's pair of files; returns their paths."""
        bundle = self.load(name_or_path)
        return write_colab_pair(bundle.network, bundle.scaler, Path(directory))

    def _directory(self, name_or_path: str | os.PathLike[str]) -> Path:
        for directory in (self.path / name_or_path, Path(name_or_path)):
            if (directory / MANIFEST).is_file():
                return directory
        saved = ", ".join(manifest["name"] for manifest in self.list()[:5]) or "no model"
        raise ModelNotFoundError(
            f"there is no model {os.fspath(name_or_path)!r}; {self.path} holds {saved}; give one of these or a "
            "model's path."
        )

    def _clear_abandoned(self) -> None:
        """Remove what killed runs left half written."""
        for partial in self.path.glob(f"{_PARTIAL}*"):
            if time.time() - partial.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)

    def _write_history(self, history: History) -> None:
        partial = self.path / f"{_PARTIAL}{uuid.uuid4().hex[:8]}.json"
        partial.write_bytes(_json_bytes(history))
        _flush(partial)
        os.replace(partial, self.path / _POINTER)
        _flush(self.path)


def colab_bundle(network_path: Path, scaler_path: Path | None = None) -> ModelBundle:
    """A Colab pair as a bundle that was never saved: preset `colab`, hourly, seen through nobody knows when."""
    network, scaler = read_colab_pair(network_path, scaler_path)
    config = TrainingConfig.from_mapping({"preset": "colab", "memory": int(network.input_shape[1])})
    digest = hashlib.sha256(network_path.read_bytes()).hexdigest()[:8]
    manifest = {"symbol": None, "simulated": False, "trained_through": None, "source": {"name": "Colab pair"}}
    return ModelBundle(f"colab-{digest}", network, scaler, config, manifest)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a model depends on, as installed."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _whole_manifest(bundle: ModelBundle, directory: Path) -> dict[str, Any]:
    files = {file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for file in sorted(directory.iterdir())}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        **bundle.manifest,
        "packages": package_versions(),
        "files": files,
    }


def _read_manifest(directory: Path) -> dict[str, Any]:
    try:
        manifest = dict(json.loads((directory / MANIFEST).read_text()))
    except FileNotFoundError:
        raise ModelNotFoundError(f"there is no {MANIFEST} in {directory}; a saved model has one.") from None
    except (OSError, ValueError) as error:
        raise CorruptModelError(
            f"{MANIFEST} in {directory} cannot be read ({type(error).__name__}); train anew."
        ) from error
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise CorruptModelError(
            f"{directory} has manifest version {manifest.get('schema_version')!r}; this release reads "
            f"{SCHEMA_VERSION}; "
            "update the library or train anew."
        )
    return manifest


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
