"""The settings of a backtest: each has its name, flag, default, rule and meaning here, for command and dialogue."""

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from volcast.backtest.strategies.registry import STRATEGIES, settings_of, strategy_named
from volcast.config import Flag
from volcast.errors import ConfigError

if TYPE_CHECKING:
    from volcast.backtest.accounts import Costs
    from volcast.backtest.strategies.base import Strategy

__all__ = ["BacktestSettings"]

_PERIODS = {"weekly": "week", "monthly": "month"}
_OF_EVERY_STRATEGY = frozenset({"strategy", "forecasts", "retrain", "trade_bps", "benchmark"})
_OF_STRADDLES = frozenset({"option_share", "implied"})


def _known_strategy(value: Any) -> Any:
    if not isinstance(value, str) or value not in STRATEGIES:
        raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
    return value


def _auto(value: Any) -> Any:
    return None if value == "auto" else value


def _period(value: Any) -> Any:
    return _PERIODS.get(value, value) if isinstance(value, str) else value


class BacktestSettings(BaseModel):
    """What is traded, by which forecasts, and at what cost; unknown names and wrong values are refused.

    The docstring below a field is its sentence: help and questions are made of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    strategy: Annotated[str, BeforeValidator(_known_strategy), Flag("--strategy", "NAME")] = "vol-target"
    """What trades: vol-target, vol-managed, risk-parity or straddle."""
    forecasts: Annotated[Literal["model", "ewma", "har", "garch"], Flag("--forecasts", "F")] = "model"
    """What forecasts: model, or without one ewma, har or garch."""
    retrain: Annotated[
        Literal["none", "week", "month", "decay"], BeforeValidator(_period), Flag("--retrain", "WHEN")
    ] = "none"
    """When models are trained anew on the way, in simulated time: none, weekly, monthly, or on decay."""
    target_volatility: Annotated[float, Field(gt=0), Flag("--target", "V")] = 0.15
    """Volatility a year to aim at; 0.15 is 15 %."""
    max_leverage: Annotated[float, Field(gt=0), Flag("--max-leverage", "X")] = 2.0
    """Most that is held, in multiples of the capital; 1 never borrows."""
    band: Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_auto), Flag("--band", "X")] = None
    """How far a position may stray before it is traded, as a share of capital; auto weighs costs against straying."""
    trade_bps: Annotated[float, Field(ge=0), Flag("--costs", "BP")] = 1.0
    """Cost of a trade in basis points, commission and half the spread together."""
    option_share: Annotated[float, Field(ge=0), Flag("--option-costs", "X")] = 0.01
    """Half the spread of an option, as a share of its price."""
    implied: Annotated[str, Field(min_length=1), Flag("--implied", "IV")] = "auto"
    """Implied volatility of options: a file of stamps and a column 'implied', alpaca, or assumed; auto is alpaca where
    bars come from there, or else assumed."""
    benchmark: Annotated[str, Field(min_length=1), Flag("--benchmark", "B")] = "buy-and-hold"
    """What it is held against: buy-and-hold, cash, or another symbol or file of bars."""

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """The settings of `settings`, defaults where it is silent.

        Raises
        ------
        ConfigError
            One sentence that names every wrong value with its rule.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            problems = [
                f"{detail['loc'][0]} is {reprlib.repr(detail['input'])}, but "
                f"{detail['msg'].removeprefix('Value error, ').removeprefix('Input ')}"
                for detail in error.errors()
            ]
        raise ConfigError("the settings of the backtest are not usable: " + "; ".join(problems) + ".")

    @classmethod
    def flags(cls) -> dict[str, Flag]:
        """Names of the settings, and how the command line offers them."""
        fields = cls.model_fields.items()
        return {name: flag for name, field in fields for flag in field.metadata if isinstance(flag, Flag)}

    @classmethod
    def sentence_of(cls, name: str) -> str:
        """What a setting is, in a sentence for people, without the stop at its end."""
        return " ".join(str(cls.model_fields[name].description).split()).removesuffix(".")

    def with_answer(self, name: str, answer: str) -> Self:
        """These settings with another value for one of them, validated anew."""
        return type(self).from_mapping({**self.model_dump(), name: answer})

    def shown(self, name: str) -> str:
        """A setting's value as a person types it."""
        value = getattr(self, name)
        return "auto" if value is None else str(value)

    def applies(self, name: str) -> bool:
        """Whether a setting of that name makes a difference to the strategy."""
        if name in _OF_STRADDLES:
            return self.strategy == "straddle"
        return name in _OF_EVERY_STRATEGY or name in settings_of(self.strategy)

    def make_costs(self) -> "Costs":
        """What trading costs."""
        from volcast.backtest.accounts import Costs

        return Costs(self.trade_bps, self.option_share)

    def make_strategy(self) -> "Strategy":
        """The strategy, with those of these settings that it has."""
        return strategy_named(self.strategy, **self.model_dump())
