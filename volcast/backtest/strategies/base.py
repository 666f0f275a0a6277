"""What a strategy is: settings, a name, and one method."""

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.errors import ConfigError

__all__ = ["Strategy", "require_positive"]


@runtime_checkable
class Strategy(Protocol):
    """A rule from forecasts and prices to positions; its attributes are its settings.

    A decision may rest on what was known at its moment alone: forecasts made by then, bars that had ended.
    `volcast.testing.check_strategy` says whether a strategy keeps that, and the rest of what the runner counts on.
    """

    title: ClassVar[str]
    """What it is called in tables and pictures."""

    @property
    def target_volatility(self) -> float | None:
        """Annualized volatility that the strategy aims at, decimal; None where it aims at none."""

    def plan(self, market: Market, costs: Costs) -> Plan:
        """What to hold from which moment on.

        Parameters
        ----------
        market
            Bars, forecasts, and the outlook of each session.
        costs
            What its trades will cost, for a rule that weighs it.
        """


def require_positive(**settings: float) -> None:
    """Raise a ConfigError that names the first of `settings` that is not a finite number above 0."""
    for name, value in settings.items():
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value}; the rule is a finite number above 0; 0.15 is 15 %.")
