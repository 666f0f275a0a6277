"""Where settings come from: defaults, a file, the environment, the command line; later ones win."""

import difflib
import json
import runpy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from volcast.config import TRAINING_CONFIG, TrainingConfig
from volcast.errors import ConfigError

__all__ = ["ENVIRONMENT_PREFIX", "ResolvedConfig", "load_config_file", "resolve_config"]

ENVIRONMENT_PREFIX = "VOLATILITY_"
_NO_SETTINGS = frozenset({"VOLATILITY_SHARED_DATA"})
_MOST_VALUES = 10_000
_SUFFIXES = (".py", ".json", ".toml", ".yaml", ".yml")


@dataclass(frozen=True)
class ResolvedConfig:
    """A configuration and, for each setting, where its value came from."""

    config: TrainingConfig
    origin: Mapping[str, str]

    def render(self) -> Table:
        """A table of every setting, its value and its origin."""
        table = Table("setting", "value", "from", box=None)
        for key, value in self.config.as_dict().items():
            style = "" if self.origin[key] == "default" else "bold"
            table.add_row(key, "" if value is None else str(value), self.origin[key], style=style)
        return table


def resolve_config(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ResolvedConfig:
    """Lay the sources over each other: defaults, `file`, `environ`, `overrides` (the command line).

    Raises
    ------
    ConfigError
        What is wrong in any of them.
    """
    layers: list[tuple[Mapping[str, Any], str]] = [
        ({} if file is None else load_config_file(file), f"file {file}"),
        (_from_environment(environ or {}), "environment"),
        (overrides or {}, "command line"),
    ]
    settings: dict[str, Any] = {}
    origin = dict.fromkeys(TRAINING_CONFIG, "default")
    for layer, name in layers:
        settings |= layer
        origin |= dict.fromkeys(layer, name)
    return ResolvedConfig(TrainingConfig.from_mapping(settings), origin)


def load_config_file(path: str | Path) -> dict[str, Any]:
    """Settings of a ``.py`` with a ``TRAINING_CONFIG`` (all or some of the keys), JSON, TOML or YAML file.

    Raises
    ------
    ConfigError
        The file is missing, of another kind, has a syntax error, or holds no settings.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path} is no configuration: it must end in one of {', '.join(_SUFFIXES)}.")
    try:
        settings = _read(path)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}; check the path after --config.") from None
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} has a syntax error: {' '.join(str(error).split())[:300]}; mend it there.") from None
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{path} cannot be read ({reason}); mend it there.") from error
    if settings is None:
        raise ConfigError(f"{path} holds no settings; it must hold them by name, such as symbol: SPY.")
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"{path} holds a {type(settings).__name__}; it must hold settings by name, such as symbol: SPY."
        )
    return dict(settings)


def _read(path: Path) -> Any:
    if path.suffix == ".py":
        names = runpy.run_path(str(path))
        if "TRAINING_CONFIG" not in names:
            raise ConfigError(f"{path} defines no TRAINING_CONFIG; it must be a dict of that name.")
        return names["TRAINING_CONFIG"]
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    return tomllib.loads(text) if path.suffix == ".toml" else _unfolded(text, path)


def _unfolded(text: str, path: Path) -> Any:
    """The content of a YAML file, whose anchors may stand for no more than a configuration can need."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        nodes, count = [root], 0
        while nodes:
            node = nodes.pop()
            if isinstance(node, yaml.MappingNode):
                nodes += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                nodes += node.value
            count += 1
            if count > _MOST_VALUES:
                raise ConfigError(f"{path} unfolds to over {_MOST_VALUES:,} values; write what its anchors mean there.")
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    settings = {}
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NO_SETTINGS:
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key not in TRAINING_CONFIG:
            near = difflib.get_close_matches(key, TRAINING_CONFIG, 1, 0.5)
            hint = f", did you mean {ENVIRONMENT_PREFIX}{near[0].upper()}?" if near else "; unset it"
            raise ConfigError(f"the environment variable {name} is no setting{hint}.")
        settings[key] = text.split(",") if isinstance(TRAINING_CONFIG[key], tuple) else text or None
    return settings
