"""The strategies by the names that settings and commands have for them; another one is a file and a line here."""

from dataclasses import fields, is_dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from volcast.errors import ConfigError
from volcast.registry import Registry

if TYPE_CHECKING:
    from volcast.backtest.strategies.base import Strategy

__all__ = ["STRATEGIES", "settings_of", "strategy_named"]

_GROUP = "volcast.strategies"
_CLASSES = {
    "vol-target": "volatility_target:VolatilityTarget",
    "vol-managed": "volatility_managed:VolatilityManaged",
    "risk-parity": "risk_parity:RiskParity",
    "straddle": "straddle:StraddleTiming",
}

STRATEGIES: Registry[type[Any]] = Registry(
    "strategy",
    type,
    {name: EntryPoint(name, f"volcast.backtest.strategies.{place}", _GROUP) for name, place in _CLASSES.items()},
    _GROUP,
)
"""Every strategy's class by its name: the library's own, and those of installed packages. They are loaded when they are
asked for, since a command's help is to be quick."""


def strategy_named(name: str, **settings: Any) -> "Strategy":
    """The strategy of that name; of `settings` it takes those that it has, None being its own default.

    Raises
    ------
    ConfigError
        There is none, or a setting breaks its rule.
    """
    names = settings_of(name)
    strategy: Strategy = STRATEGIES.named(name)(
        **{key: value for key, value in settings.items() if key in names and value is not None}
    )
    return strategy


def settings_of(name: str) -> tuple[str, ...]:
    """Names of the settings that a strategy has.

    Raises
    ------
    ConfigError
        There is no such strategy, or what a package offers is none.
    """
    kind = STRATEGIES.named(name)
    if not is_dataclass(kind):
        raise ConfigError(
            f"the strategy {name!r} is a {kind.__name__} that is no dataclass; its fields are its settings; decorate "
            "the class with @dataclass."
        )
    return tuple(field.name for field in fields(kind))
