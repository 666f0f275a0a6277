"""The strategies by the names that settings and commands have for them; another one is a file and a line here."""

import importlib
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from volcast.errors import ConfigError

if TYPE_CHECKING:
    from volcast.backtest.strategies.base import Strategy

__all__ = ["STRATEGIES", "settings_of", "strategy_named"]

STRATEGIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "vol-target": ("volatility_target", "VolatilityTarget"),
        "vol-managed": ("volatility_managed", "VolatilityManaged"),
        "risk-parity": ("risk_parity", "RiskParity"),
        "straddle": ("straddle", "StraddleTiming"),
    }
)
"""Module beside this one, and class in it: names alone, since a command's help is to be quick."""


def strategy_named(name: str, **settings: Any) -> "Strategy":
    """The strategy of that name; of `settings` it takes those that it has, None being its own default.

    Raises
    ------
    ConfigError
        There is none, or a setting breaks its rule.
    """
    names = settings_of(name)
    strategy: Strategy = _kind(name)(
        **{key: value for key, value in settings.items() if key in names and value is not None}
    )
    return strategy


def settings_of(name: str) -> tuple[str, ...]:
    """Names of the settings that a strategy has.

    Raises
    ------
    ConfigError
        There is no such strategy.
    """
    return tuple(field.name for field in fields(_kind(name)))


def _kind(name: str) -> Any:
    if name not in STRATEGIES:
        raise ConfigError(f"there is no strategy {name!r}; the rule is one of {', '.join(STRATEGIES)}; name one.")
    module, kind = STRATEGIES[name]
    return getattr(importlib.import_module(f"volcast.backtest.strategies.{module}"), kind)
