"""Trained models on disk: one directory each, written whole or not at all, verified before anything is read.

Shell: ``volcast models --help``.
"""

import contextlib
import errno
import os
import reprlib
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from volcast.errors import (
    ConfigError,
    CorruptModelError,
    ModelNotFoundError,
    StoreError,
    UnsafeModelError,
    VolatilityError,
)
from volcast.features.scaling import RangeScaler
from volcast.files import PARTIAL, flush
from volcast.forecasters.recipe import ScaledWindows
from volcast.networks.keras_files import KerasNetwork
from volcast.networks.onnx import Network, OnnxNetwork
from volcast.store.bundle import CONDEMNED, ModelBundle, is_condemned
from volcast.store.bundle_files import (
    MANIFEST,
    check_name,
    read_bundle,
    read_keras_networks,
    read_manifest,
    verify_bundle,
    write_bundle,
)
from volcast.store.colab import colab_bundle, write_colab_pair
from volcast.store.serving_log import HistoryEntry, ServingHistory, serving_stack

__all__ = ["ModelBundle", "ModelStore"]

_LOCK = ".lock"
_LOCK_SECONDS = 120.0

# `list` is a method below.
Manifests = list[dict[str, Any]]
History = list[HistoryEntry]
Names = list[str]


class ModelStore:
    """Saved models under one directory, and which of them serves.

    Any number of threads and processes may use one store; what writes to it holds its lock. Whatever kills a writer,
    a model is there whole or not at all, and the model that serves is the one from before or the one after.

    Parameters
    ----------
    path
        The directory; it is made on the first save.
    """

    def __init__(self, path: str | os.PathLike[str] = "volatility_models") -> None:
        self.path = Path(path)
        self._history = ServingHistory(self.path)

    def save(self, bundle: ModelBundle, attachments: Mapping[str, bytes] | None = None) -> ModelBundle:
        """Save a bundle under its name, with further files for people (metrics, pictures).

        Each Keras network is saved with its ONNX twin; of a bundle that was loaded, the twins alone. Everything is
        written to a temporary directory, flushed, and renamed at the end.

        Returns
        -------
        The bundle with its `path` and whole manifest, its networks in ONNX Runtime.

        Raises
        ------
        ConfigError
            A model of that name exists (bundles are immutable), or the name is no name.
        TrainingError
            A network computes otherwise in ONNX Runtime than in Keras.
        StoreError
            The store cannot be written: disk full, read-only, or locked by another process.
        """
        final = self.path / check_name(bundle.name)
        served = [_twin(network, bundle.name) for network in bundle.networks]
        with self._writing(f"{bundle.name} is not saved"):
            if final.exists():
                raise ConfigError(
                    f"a model named {bundle.name} is already saved; models never change; choose another name."
                )
            partial = self.path / f"{PARTIAL}{uuid.uuid4().hex[:8]}"
            partial.mkdir()
            try:
                manifest = write_bundle(bundle, served, attachments or {}, partial)
                os.replace(partial, final)
                flush(self.path)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return replace(bundle, networks=tuple(served), manifest=manifest, path=final)

    def load(self, name_or_path: str | os.PathLike[str]) -> ModelBundle:
        """Verify and load a model by its name in this store or by its directory.

        Raises
        ------
        ModelNotFoundError
            There is no such model.
        CorruptModelError
            Its files are not those that were saved.
        UnsafeModelError
            They hold something that must not be run or followed.
        """
        directory = self._directory(name_or_path)
        with _unless_removed(directory):
            return read_bundle(directory)

    def verify(self, name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Check every file of a model against its manifest; returns the manifest.

        Raises
        ------
        CorruptModelError
            A file is missing, changed, or not in the manifest; it is named.
        ModelNotFoundError
            There is no such model, or it was removed while it was read.
        """
        directory = self._directory(name_or_path)
        with _unless_removed(directory):
            return verify_bundle(directory)

    def verify_all(self) -> dict[str, str | None]:
        """Every directory of the store, and the history, by name: None where all is well, else what is wrong.

        Models that another process removes meanwhile are left out.
        """
        problems: dict[str, str | None] = {}
        for directory in sorted(self._directories()):
            try:
                verify_bundle(directory)
                problems[directory.name] = None
            except VolatilityError as error:
                if directory.exists():
                    problems[directory.name] = str(error)
        try:
            self.history()
        except CorruptModelError as error:
            problems["serving.json"] = str(error)
        return problems

    def list(self) -> Manifests:
        """Manifests of the saved models, the newest first; directories that are no whole model are passed over."""
        manifests = []
        for directory in self._directories():
            with contextlib.suppress(CorruptModelError, UnsafeModelError, ModelNotFoundError):
                manifests.append(read_manifest(directory))
        return sorted(manifests, key=lambda manifest: (manifest["created"], manifest["name"]), reverse=True)

    def serving(self) -> str | None:
        """Name of the model that serves: the one promoted last, or else the newest; None in an empty store.

        Models that a gate kept out, whose verdict is not to use them, or that a backtest trained for its simulated time
        do not serve as the newest.
        """
        manifests = self.list()
        saved = [manifest["name"] for manifest in manifests]
        history = self.history()
        stack = serving_stack(history, saved)
        not_free = {entry.name for entry in history if entry.event == "kept out" or entry.asof is not None}
        not_free |= {manifest["name"] for manifest in manifests if is_condemned(manifest)}
        free = [name for name in saved if name not in not_free]
        return stack[-1] if stack else (free[0] if free else None)

    def history(self) -> History:
        """What was decided when and why, oldest first."""
        return self._history.read()

    def admit(self, bundle: ModelBundle, reason: str, *, accept_verdict: bool) -> bool:
        """Let a new model of this store serve from now on, unless its verdict is not to use it.

        Returns whether it serves; `accept_verdict` lets it in any case.
        """
        if bundle.is_condemned and not accept_verdict:
            self.record(HistoryEntry.now(bundle.name, "kept out", CONDEMNED))
            return False
        self.promote(bundle.name, f"{reason}, although {CONDEMNED}" if bundle.is_condemned else reason)
        return True

    def promote(self, name: str, reason: str, details: Mapping[str, Any] | None = None) -> None:
        """Let the model `name` serve from now on, whatever its verdict; it is verified first."""
        directory = self._own_directory(name)
        with _unless_removed(directory):
            verify_bundle(directory)
        self.record(HistoryEntry.now(name, "promoted", reason, details=None if details is None else dict(details)))

    def rollback(self, reason: str = "rolled back by hand") -> str:
        """Let the model that served before the last promotion serve again; returns its name.

        Raises
        ------
        ModelNotFoundError
            No model served before.
        """
        with self._writing("nothing is rolled back"):
            stack = serving_stack(self.history(), {manifest["name"] for manifest in self.list()})
            if len(stack) < 2:
                raise ModelNotFoundError("no model served before this one, so there is nothing to roll back to.")
            verify_bundle(self._own_directory(stack[-2]))
            self._history.append(HistoryEntry.now(stack[-2], "rolled back", reason))
        return stack[-2]

    def record(self, entry: HistoryEntry) -> None:
        """Write down what was decided about a model."""
        with self._writing(f"{entry.name} is not {entry.event}, and what served serves on"):
            self._history.append(entry)

    def prune(self, keep: int) -> Names:
        """Delete all but the newest `keep` models; returns the names of those deleted.

        The model that serves and the one that a rollback would bring back always stay.
        """
        if keep < 1:
            raise ConfigError(f"keep is {keep}; the rule is 1 or more; --keep 5 leaves the five newest.")
        with self._writing("nothing more is deleted"):
            saved = [manifest["name"] for manifest in self.list()]
            stack = serving_stack(self.history(), saved)
            remaining = {*saved[:keep], *stack[-2:], self.serving()}
            deleted = [name for name in saved if name not in remaining]
            for name in deleted:
                # Out of sight at once: a kill in between leaves no half model, only something to sweep away.
                condemned = self.path / f"{PARTIAL}{uuid.uuid4().hex[:8]}"
                os.replace(self.path / name, condemned)
                shutil.rmtree(condemned)
            flush(self.path)
        return deleted

    def import_colab(
        self,
        network_path: str | os.PathLike[str],
        scaler_path: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> ModelBundle:
        """Save a Colab pair (see `store.colab.read_colab_pair`) as a model of this store."""
        bundle = colab_bundle(Path(network_path), None if scaler_path is None else Path(scaler_path))
        return self.save(bundle if name is None else replace(bundle, name=name))

    def export_colab(
        self, name_or_path: str | os.PathLike[str], directory: str | os.PathLike[str]
    ) -> tuple[Path, Path]:
        """Write a model trained with the `colab` preset as the notebook's pair of files; returns their paths.

        Raises
        ------
        ConfigError
            The model is not of the notebook's kind.
        """
        bundle = self.load(name_or_path)
        scaler = bundle.recipe.scaler if isinstance(bundle.recipe, ScaledWindows) else None
        if not isinstance(scaler, RangeScaler) or len(bundle.networks) != 1:
            raise ConfigError(
                f"{bundle.name} is not of the kind that a Colab pair can hold: one network and a 'minmax' scaler; "
                "train with --preset colab."
            )
        return write_colab_pair(read_keras_networks(self._directory(name_or_path))[0], scaler, Path(directory))

    def _directories(self) -> Iterator[Path]:
        return (entry for entry in self.path.glob("[!.]*/") if entry.is_dir()) if self.path.is_dir() else iter(())

    def _directory(self, name_or_path: str | os.PathLike[str]) -> Path:
        if not isinstance(name_or_path, str | os.PathLike):
            raise ConfigError(
                f"a model is asked for by {reprlib.repr(name_or_path)}; its name or its directory's path is needed."
            )
        for directory in (self.path / name_or_path, Path(name_or_path)):
            # Of os.path, for which a name that is too long for the system is none of a file.
            if os.path.isfile(directory / MANIFEST) or (directory.parent == self.path and os.path.isdir(directory)):
                return directory
        saved = ", ".join(manifest["name"] for manifest in self.list()[:5]) or "no model"
        raise ModelNotFoundError(
            f"there is no model {os.fspath(name_or_path)[:200]!r}; {self.path} holds {saved}; give one of these or a "
            "model's path."
        )

    def _own_directory(self, name: str) -> Path:
        directory = self._directory(check_name(name))
        if directory.parent != self.path:
            raise ModelNotFoundError(f"{name} is no model of {self.path}; only its own can serve; save it there first.")
        return directory

    @contextlib.contextmanager
    def _writing(self, otherwise: str) -> Iterator[None]:
        """Hold the store's lock, what killed writers left swept away; trouble with the disk becomes one sentence."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path / _LOCK, timeout=_LOCK_SECONDS):
                self._sweep()
                yield
        except filelock.Timeout:
            raise StoreError(
                f"{self.path} is in use by another process for over {_LOCK_SECONDS:.0f} seconds, so {otherwise}; "
                "let that one end and try again."
            ) from None
        except OSError as error:
            why, way_out = _DISK_TROUBLES.get(error.errno or 0, (error.strerror or str(error), "see to it"))
            raise StoreError(
                f"{self.path} cannot be written ({why}), so {otherwise}; {way_out} and try again."
            ) from error

    def _sweep(self) -> None:
        # Writers hold the lock, so whatever lies here half written, nobody writes any more.
        for partial in self.path.glob(f"{PARTIAL}*"):
            if partial.is_dir() and not partial.is_symlink():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _unless_removed(directory: Path) -> Iterator[None]:
    """Trouble with a model that is no longer there is that it is gone, not that it is damaged."""
    try:
        yield
    except VolatilityError as error:
        if directory.exists():
            raise
        raise ModelNotFoundError(
            f"{directory.name} was removed from {directory.parent} while it was read, as a prune does; choose one of "
            "those that are there: volcast models ls."
        ) from error


_DISK_TROUBLES = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the quota is used up", "make room"),
    errno.EROFS: ("it is read-only", "choose another directory"),
    errno.EACCES: ("permission denied", "get the permission or choose another directory"),
    errno.EPERM: ("permission denied", "get the permission or choose another directory"),
}


def _twin(network: Network, name: str) -> OnnxNetwork:
    if isinstance(network, OnnxNetwork):
        return network
    if isinstance(network, KerasNetwork):
        return network.twin
    raise ConfigError(
        f"{name} has a network of the kind {type(network).__name__}; the rule is Keras' or an ONNX graph; wrap it in "
        "KerasNetwork."
    )
