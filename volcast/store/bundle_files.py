"""A model's directory: written file by file, checked before anything in it is parsed, read back as a bundle.

Schema 1 had one ``network.keras`` and a ``scaler.json``. Schema 2 has ``network_0.keras`` and its ONNX twin
``network_0.onnx``, and so on for each network, ``recipe.json``, and a hash of the manifest itself.
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volcast.config import TrainingConfig
from volcast.errors import ConfigError, CorruptModelError, ModelNotFoundError, UnsafeModelError
from volcast.features.scaling import scaler_from_dict
from volcast.forecasters.recipe import ForecastRecipe, ScaledWindows, recipe_from_dict
from volcast.networks.keras_files import KerasNetwork, load_network, save_network
from volcast.networks.onnx import Network, OnnxNetwork
from volcast.store.bundle import ModelBundle

if TYPE_CHECKING:
    import keras

__all__ = [
    "MANIFEST",
    "check_name",
    "flush",
    "json_bytes",
    "package_versions",
    "read_bundle",
    "read_keras_networks",
    "read_manifest",
    "verify_bundle",
    "write_bundle",
]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 2
_READABLE = (1, 2)
_MANIFEST_HASH = "manifest.sha256"
_RECIPE, _CONFIG = "recipe.json", "config.json"
_OLD_NETWORK, _OLD_SCALER = "network.keras", "scaler.json"
_NETWORK_FILE = re.compile(r"network_(\d{1,3})\.onnx")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_LARGEST_MANIFEST, _LARGEST_FILE, _MOST_FILES = 2**20, 256 * 2**20, 200
_ANEW = "a saved model never changes; train or copy it anew."
_PACKAGES = (
    "tensorflow", "keras", "keras-tuner", "onnx", "onnxruntime", "numpy", "pandas", "scikit-learn",
    "exchange-calendars",
)  # fmt: skip


def check_name(name: str) -> str:
    """Return the model's `name` if it can be a directory's.

    Raises
    ------
    ConfigError
        It holds anything but letters, digits, dots, dashes and underscores, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no model's name; the rule is up to 120 letters, digits, dots, dashes and underscores, "
            "a letter or a digit first; choose another."
        )
    return name


def write_bundle(
    bundle: ModelBundle, served: Sequence[OnnxNetwork], attachments: Mapping[str, bytes], directory: Path
) -> dict[str, Any]:
    """Write every file of a bundle into `directory`, flushed to the disk; returns the manifest.

    `served` are its networks in ONNX Runtime. Those that are still Keras' are written as such too.
    """
    for number, (network, twin) in enumerate(zip(bundle.networks, served, strict=True)):
        if isinstance(network, KerasNetwork):
            save_network(network.model, directory / f"network_{number}.keras")
        (directory / f"network_{number}.onnx").write_bytes(twin.content)
    (directory / _RECIPE).write_bytes(json_bytes(bundle.recipe.to_dict()))
    (directory / _CONFIG).write_bytes(json_bytes(bundle.config.as_dict()))
    for name, content in attachments.items():
        (directory / check_name(name)).write_bytes(content)
    manifest = _whole_manifest(bundle, directory)
    content = json_bytes(manifest)
    (directory / MANIFEST).write_bytes(content)
    (directory / _MANIFEST_HASH).write_bytes(_hash_line(content))
    for file in directory.iterdir():
        flush(file)
    flush(directory)
    return manifest


def read_bundle(directory: Path) -> ModelBundle:
    """Verify and read the model in `directory`, its networks in ONNX Runtime.

    Raises
    ------
    ModelNotFoundError
        There is no model.
    CorruptModelError
        Its files are not those that were saved.
    UnsafeModelError
        They hold something that must not be run or followed.
    """
    manifest, files = _verified(directory)
    config = _read_config(_parsed(files, _CONFIG, directory))
    networks: tuple[Network, ...]
    if manifest["schema_version"] == 1:
        networks = (KerasNetwork(load_network(directory / _OLD_NETWORK)),)
    else:
        graphs = sorted((int(match[1]), name) for name in files if (match := _NETWORK_FILE.fullmatch(name)))
        networks = tuple(OnnxNetwork(files[name], f"{name} in {directory}") for _, name in graphs)
    recipe = _read_recipe(manifest, files, config, directory)
    if not networks:
        raise CorruptModelError(f"{directory} holds no network; the rule is one at least; {_ANEW}")
    return ModelBundle(manifest["name"], networks, recipe, config, manifest, directory).for_serving()


def _read_recipe(
    manifest: Mapping[str, Any], files: Mapping[str, bytes], config: TrainingConfig, directory: Path
) -> ForecastRecipe:
    name = _OLD_SCALER if manifest["schema_version"] == 1 else _RECIPE
    numbers = _parsed(files, name, directory)
    try:
        return _recipe_of_schema_1(numbers, config, manifest) if name == _OLD_SCALER else recipe_from_dict(numbers)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CorruptModelError(
            f"{name} in {directory} is not as this release writes it ({type(error).__name__}: {error}); update the "
            "library or train anew."
        ) from error


def _recipe_of_schema_1(
    scaler: Mapping[str, Any], config: TrainingConfig, manifest: Mapping[str, Any]
) -> ForecastRecipe:
    low, high = manifest.get("interval_factors") or (math.nan, math.nan)
    return ScaledWindows(scaler_from_dict(scaler), config.memory, (float(low), float(high)))


def read_keras_networks(directory: Path) -> "list[keras.Model]":
    """Verify the model in `directory` and read its networks as Keras saved them; needs the extra ``train``."""
    manifest, files = _verified(directory)
    first = _OLD_NETWORK if manifest["schema_version"] == 1 else "network_0.keras"
    if first not in files:
        raise ModelNotFoundError(f"{directory} holds no Keras network but its ONNX twin alone; train it anew.")
    pattern = re.compile(r"network(_\d+)?\.keras")
    return [load_network(directory / name) for name in sorted(files) if pattern.fullmatch(name)]


def verify_bundle(directory: Path) -> dict[str, Any]:
    """Check every file of a model against its manifest; returns the manifest. Raises what `read_bundle` raises."""
    return _verified(directory)[0]


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest in `directory`, itself checked, the other files not looked at. Raises what `read_bundle` raises."""
    if not (directory / MANIFEST).is_file():
        raise ModelNotFoundError(f"there is no {MANIFEST} in {directory}; a saved model has one.")
    content = _read(directory / MANIFEST, _LARGEST_MANIFEST)
    hashed = (directory / _MANIFEST_HASH).exists()
    if hashed and _read(directory / _MANIFEST_HASH, _LARGEST_MANIFEST) != _hash_line(content):
        raise CorruptModelError(f"{MANIFEST} in {directory} and {_MANIFEST_HASH} beside it disagree; {_ANEW}")
    try:
        manifest = dict(json.loads(content))
        version = manifest.get("schema_version")
        if version not in _READABLE:
            raise CorruptModelError(
                f"{directory} has manifest version {version!r}; this release reads {', '.join(map(str, _READABLE))}; "
                "update the library or train anew."
            )
        _check_manifest(manifest, directory)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptModelError(
            f"{MANIFEST} in {directory} cannot be read ({type(error).__name__}); {_ANEW}"
        ) from error
    if version != 1 and not hashed:
        raise CorruptModelError(f"{_MANIFEST_HASH} in {directory} is missing; {_ANEW}")
    return manifest


def package_versions() -> dict[str, str]:
    """Versions of the packages that a model depends on, as installed."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON."""
    return (json.dumps(value, indent=2) + "\n").encode()


def flush(path: Path) -> None:
    """See to it that a file, or a directory's list of names, has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_manifest(manifest: dict[str, Any], directory: Path) -> None:
    names = [str(manifest["name"]), *manifest["files"]]
    unsafe = next((name for name in names if not _NAME.fullmatch(name)), None)
    if unsafe is not None:
        raise UnsafeModelError(
            f"{MANIFEST} in {directory} names {unsafe[:60]!r}; names may not lead out of a model's directory; {_ANEW}"
        )
    if len(names) > _MOST_FILES or any(
        not (isinstance(entry["sha256"], str) and isinstance(entry["bytes"], int))
        for entry in manifest["files"].values()
    ):
        raise CorruptModelError(f"{MANIFEST} in {directory} lists its files otherwise than we do; {_ANEW}")
    if not isinstance(manifest["created"], str):
        raise CorruptModelError(f"{MANIFEST} in {directory} has no moment of creation; {_ANEW}")


def _verified(directory: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the content of the small files, every file held to its hash before any of it is parsed."""
    manifest = read_manifest(directory)
    listed = manifest["files"]
    found = {file.name for file in directory.iterdir()} - {MANIFEST, _MANIFEST_HASH}
    for name in sorted(found ^ set(listed)):
        state = "is not in its manifest" if name in found else "is missing"
        raise CorruptModelError(f"{name} in {directory} {state}; {_ANEW}")
    contents = {}
    for name, entry in listed.items():
        content = _read(directory / name, min(entry["bytes"], _LARGEST_FILE))
        if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise CorruptModelError(
                f"{name} in {directory} is not the file that was saved (its SHA-256 differs); {_ANEW}"
            )
        contents[name] = content
    return manifest, contents


def _read(file: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes; links are not followed."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as opened:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise UnsafeModelError(f"{file} is no plain file; a model's files are; {_ANEW}")
            if about.st_size > largest:
                raise CorruptModelError(f"{file} has {about.st_size:,} bytes and {largest:,} at most belong; {_ANEW}")
            return opened.read(largest + 1)
    except OSError as error:
        if file.is_symlink():
            raise UnsafeModelError(
                f"{file} is a link, which could lead out of the model's directory; {_ANEW}"
            ) from None
        raise CorruptModelError(f"{file} cannot be read ({error.strerror}); {_ANEW}") from error


def _parsed(files: Mapping[str, bytes], name: str, directory: Path) -> dict[str, Any]:
    if name not in files:
        raise CorruptModelError(f"{name} in {directory} is missing; {_ANEW}")
    try:
        return dict(json.loads(files[name]))
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptModelError(f"{name} in {directory} cannot be read ({type(error).__name__}); {_ANEW}") from error


def _read_config(settings: Mapping[str, Any]) -> TrainingConfig:
    # Settings that an older release had and this one has not say nothing about forecasts.
    known = {key: value for key, value in settings.items() if key in TrainingConfig.model_fields}
    try:
        return TrainingConfig.from_mapping(known)
    except ConfigError:
        # A source or a network of a package that is not installed here: only the training needed it.
        others = {key: value for key, value in known.items() if key not in ("bars_source", "network")}
        return TrainingConfig.from_mapping(others)


def _whole_manifest(bundle: ModelBundle, directory: Path) -> dict[str, Any]:
    contents = {file.name: file.read_bytes() for file in sorted(directory.iterdir())}
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    return {
        **bundle.manifest,
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "packages": package_versions(),
        "files": files,
    }


def _hash_line(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode()
