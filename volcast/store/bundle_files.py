"""A model's directory: written file by file, checked before anything in it is parsed, read back as a bundle.

Schema 1 had one ``network.keras`` and a ``scaler.json``. Schema 2 has ``network_0.keras`` and its ONNX twin
``network_0.onnx``, and so on for each network, ``recipe.json``, and a hash of the manifest itself; one symbol's bars
stand at the top of its manifest, and recipes of one and of many symbols are of two kinds. Schema 3 has both by symbol.
What an older one says is put in the newest's terms when it is read.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from volcast.config import TrainingConfig
from volcast.errors import ConfigError, CorruptModelError, ModelNotFoundError, UnsafeModelError
from volcast.files import flush, json_bytes
from volcast.forecasters.recipe import recipe_from_dict
from volcast.forecasters.total.state import TotalState
from volcast.networks.keras_files import KerasNetwork, load_network, save_network
from volcast.networks.onnx import Network, OnnxNetwork
from volcast.store.bundle import ModelBundle
from volcast.store.schema import RecipeSchema, SchemaError, checked_manifest, checked_recipe, checked_totals

if TYPE_CHECKING:
    import keras

__all__ = [
    "MANIFEST",
    "check_name",
    "package_versions",
    "read_bundle",
    "read_keras_networks",
    "read_manifest",
    "verify_bundle",
    "write_bundle",
]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 3
_READABLE = (1, 2, 3)
_MANIFEST_HASH = "manifest.sha256"
_RECIPE, _CONFIG, _TOTALS = "recipe.json", "config.json", "totals.json"
_OLD_NETWORK, _OLD_SCALER = "network.keras", "scaler.json"
_NETWORK_FILE = re.compile(r"network_(\d{1,3})\.onnx")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
# Of a symbol a manifest says 30 kB, and a recipe 110: a model may be of two thousand.
_LARGEST_MANIFEST, _LARGEST_FILE, _MOST_FILES = 64 * 2**20, 256 * 2**20, 200
# What schemas 1 and 2 say of one symbol's bars at the top of the manifest.
_ABOUT_BARS = (
    "symbol", "source", "simulated", "notes", "first_bar", "last_bar", "bars", "bar_minutes", "sha256", "left_out",
    "hourly_values", "quality", "label_lag",
)  # fmt: skip
_LONGEST_PROBLEM = 300
_NEVER = "1970-01-01T00:00:00+00:00"
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
    if not isinstance(name, str) or not _NAME.fullmatch(name):
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
    if bundle.totals:
        totals = {symbol: state.to_dict() for symbol, state in bundle.totals.items()}
        (directory / _TOTALS).write_bytes(json_bytes(totals))
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
    config = _read_config(_parsed(files, _CONFIG, directory), directory)
    networks: tuple[Network, ...]
    if manifest["schema_version"] == 1:
        networks = (KerasNetwork(load_network(directory / _OLD_NETWORK)),)
        recipe = _recipe_of_schema_1(_parsed(files, _OLD_SCALER, directory), config, manifest)
    else:
        graphs = sorted((int(match[1]), name) for name in files if (match := _NETWORK_FILE.fullmatch(name)))
        networks = tuple(OnnxNetwork(files[name], f"{name} in {directory}") for _, name in graphs)
        recipe = _parsed(files, _RECIPE, directory)
    schema = _checked_recipe(recipe, config.effective_market.slots, directory)
    if not networks and schema.needs_networks:
        raise CorruptModelError(f"{directory} holds no network; the rule is one at least; {_ANEW}")
    if manifest["schema_version"] == 2 and recipe["kind"] != "scaled_windows":
        recipe = _recipe_of_schema_2(recipe, manifest)
    totals = _read_totals(files, manifest, directory)
    bundle = ModelBundle(manifest["name"], networks, recipe_from_dict(recipe), config, manifest, directory, totals)
    served = bundle.for_serving()
    _check_fit(served, schema, directory)
    return served


def _read_totals(files: Mapping[str, bytes], manifest: Mapping[str, Any], directory: Path) -> dict[str, TotalState]:
    """What the model remembers of total volatility; nothing where an earlier release saved it."""
    if _TOTALS not in files:
        return {}
    content = _parsed(files, _TOTALS, directory)
    try:
        checked_totals(content)
    except SchemaError as error:
        raise CorruptModelError(f"{_TOTALS} in {directory} has {error}; update the library or train anew.") from None
    totals = {symbol: TotalState.from_dict(numbers) for symbol, numbers in content.items()}
    seen = pd.Timestamp(manifest.get("trained_through") or _NEVER)
    late = next((symbol for symbol, state in totals.items() if state.past.last_close * 1000 > seen.value), None)
    if late is not None:
        raise CorruptModelError(
            f"{_TOTALS} in {directory} has seen sessions of {late} after {seen}, through which its manifest says it "
            f"was trained; the two must be of one model; {_ANEW}"
        )
    return totals


def _recipe_of_schema_1(
    scaler: Mapping[str, Any], config: TrainingConfig, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """What the files of schema 1 say, as a recipe of today."""
    bounds = manifest.get("interval_factors")
    return {"kind": "scaled_windows", "memory": config.memory, "scaler": scaler, "bounds": bounds}


def _recipe_of_schema_2(numbers: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a `har_lstm` of one symbol, or of a `pooled_har_lstm`, as those of a `har_lstm` of many."""
    if numbers["kind"] != "pooled_har_lstm":
        horizons = {
            name: {**{key: state["regression"][key] for key in ("count", "smearing_sum")}, **state}
            for name, state in numbers["horizons"].items()
        }
        state = {"profile": numbers["features"]["profile"], "horizons": horizons}
        return {**numbers, "symbols": {str(manifest.get("symbol")): state}}
    symbols = {
        name: {
            "profile": state["profile"],
            "horizons": {"1": {**state, "profile": [means[0] for means in state["profile"]]}},
        }
        for name, state in numbers["symbols"].items()
    }
    return {**numbers["shared"], "symbols": symbols}


def _checked_recipe(recipe: Mapping[str, Any], slots: int, directory: Path) -> RecipeSchema:
    try:
        return checked_recipe(recipe, slots)
    except SchemaError as error:
        raise CorruptModelError(
            f"the recipe in {directory} (recipe.json, or scaler.json of the first release) has {error}; update the "
            "library or train anew."
        ) from None


def _check_fit(bundle: ModelBundle, recipe: RecipeSchema, directory: Path) -> None:
    """Refuse files each of which is sound, and which do not belong to one model."""
    for network in bundle.networks:
        if isinstance(network, OnnxNetwork) and network.window_shape != recipe.window_shape:
            raise CorruptModelError(
                f"a network in {directory} takes windows of {network.window_shape} and its recipe makes such of "
                f"{recipe.window_shape}; the two must be of one model; {_ANEW}"
            )
    if bundle.preset == "colab" and not bundle.recipe.needs_rv_alone:
        raise CorruptModelError(
            f"{_CONFIG} in {directory} has the preset 'colab', whose hours its recipe is not made for; the two must be "
            f"of one model; {_ANEW}"
        )
    seen = recipe.trained_through
    if seen is not None and (bundle.trained_through is None or seen > bundle.trained_through):
        raise CorruptModelError(
            f"the recipe in {directory} has seen data through {seen} and the manifest says {bundle.trained_through}; "
            f"the two must be of one model; {_ANEW}"
        )


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
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = f"has {error}" if isinstance(error, SchemaError) else f"cannot be read ({type(error).__name__})"
        raise CorruptModelError(f"{MANIFEST} in {directory} {problem}; {_ANEW}") from error
    if version != 1 and not hashed:
        raise CorruptModelError(f"{_MANIFEST_HASH} in {directory} is missing; {_ANEW}")
    return manifest if version == SCHEMA_VERSION else _by_symbol(manifest)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a model depends on, as installed."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _by_symbol(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of an older schema, with what it says of bars by symbol."""
    if "symbols" not in manifest and manifest.get("symbol") is not None:
        about = {key: manifest[key] for key in _ABOUT_BARS if key in manifest}
        return {**manifest, "symbols": {manifest["symbol"]: about}}
    return manifest


def _check_manifest(manifest: dict[str, Any], directory: Path) -> None:
    listed = manifest.get("files")
    names = [manifest.get("name"), *(listed if isinstance(listed, dict) else ())]
    unsafe = next((name for name in names if isinstance(name, str) and not _NAME.fullmatch(name)), None)
    if unsafe is not None:
        raise UnsafeModelError(
            f"{MANIFEST} in {directory} names {unsafe[:60]!r}; names may not lead out of a model's directory; {_ANEW}"
        )
    checked_manifest(manifest)
    if manifest["name"] != directory.resolve().name:
        raise CorruptModelError(
            f"{directory} holds the model {manifest['name']}; a model's directory has its name; give it that name "
            "again, beside others of its kind or in another store."
        )


def _verified(directory: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the content of the small files, every file held to its hash before any of it is parsed."""
    manifest = read_manifest(directory)
    listed = manifest["files"]
    names = _names_in(directory) - {MANIFEST, _MANIFEST_HASH}
    for name in sorted(names ^ set(listed)):
        state = "is not in its manifest" if name in names else "is missing"
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


def _names_in(directory: Path) -> set[str]:
    try:
        return {file.name for file in directory.iterdir()}
    except OSError as error:
        raise CorruptModelError(f"{directory} cannot be read ({error.strerror}); {_ANEW}") from error


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


def _read_config(settings: Mapping[str, Any], directory: Path) -> TrainingConfig:
    # Settings that an older release had and this one has not say nothing about forecasts.
    current = {key: value for key, value in settings.items() if key in TrainingConfig.model_fields}
    try:
        return TrainingConfig.from_mapping(current)
    except ConfigError as error:
        problem = textwrap.shorten(str(error).rstrip("."), _LONGEST_PROBLEM, placeholder=" ...")
    # A source or a network of a package that is not installed here: only the training needed it.
    with contextlib.suppress(ConfigError):
        others = {key: value for key, value in current.items() if key not in ("bars_source", "network")}
        return TrainingConfig.from_mapping(others)
    raise CorruptModelError(f"{_CONFIG} in {directory} is no model's ({problem}); {_ANEW}")


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
