r"""What the forecast of total volatility begins with: a typical symbol's numbers, or what a model learnt of one.

A typical symbol's regression counts as much as `TYPICAL_SESSIONS` sessions of a symbol's own: where few are known it is
what forecasts, and as they come they outweigh it. Its numbers are those of all symbols of a panel together
(`studies/total_volatility.py` estimates them on data that end before every span that is judged).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from volcast.forecasters.har_lstm.regression import RegressionState
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.intervals import QuantileTracker
from volcast.forecasters.total.terms import TERMS, PastLevel

__all__ = ["TYPICAL_SESSIONS", "TotalHorizonState", "TotalState", "typical_state"]

TYPICAL_SESSIONS = 300.0
"""Sessions of its own that outweigh a typical symbol's regression; chosen on development windows."""

_TYPICAL_OUTCOMES = 60.0


@dataclass(frozen=True)
class TotalHorizonState:
    """What the forecast of one horizon begins with.

    Attributes
    ----------
    regression
        Its sums.
    tracker
        Its bounds.
    ratio_sum, ratio_count
        Sum of realized over forecast variance of forecasts that were made before their outcomes, and their number; of
        horizons that overlap, one in so many counts as one.
    """

    regression: RegressionState
    tracker: QuantileTracker
    ratio_sum: float = _TYPICAL_OUTCOMES
    ratio_count: float = _TYPICAL_OUTCOMES

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        parts = {"regression": self.regression.to_dict(), "tracker": self.tracker.to_dict()}
        return {**parts, "ratio_sum": self.ratio_sum, "ratio_count": self.ratio_count}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "TotalHorizonState":
        """The state whose `to_dict` gave `numbers`."""
        return cls(
            RegressionState.from_dict(numbers["regression"]),
            QuantileTracker.from_dict(numbers["tracker"]),
            float(numbers["ratio_sum"]),
            float(numbers["ratio_count"]),
        )


@dataclass(frozen=True)
class TotalState:
    """What the forecast of one symbol's total volatility begins with.

    Attributes
    ----------
    horizons
        By name, all of `forecasters.horizons.TOTAL_HORIZONS`.
    past
        Level of the symbol, and the close of the last session that is in the numbers.
    """

    horizons: Mapping[str, TotalHorizonState]
    past: PastLevel = field(default_factory=PastLevel)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        horizons = {name: state.to_dict() for name, state in self.horizons.items()}
        return {"horizons": horizons, "past": vars(self.past)}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "TotalState":
        """The state whose `to_dict` gave `numbers`."""
        horizons = {name: TotalHorizonState.from_dict(numbers["horizons"][name]) for name in TOTAL_HORIZONS}
        return cls(horizons, PastLevel(**numbers["past"]))


@cache
def typical_state() -> TotalState:
    """What the forecast of a symbol begins with that no model knows: the bars alone will tell."""
    numbers = json.loads(files("volcast.forecasters.total").joinpath("typical.json").read_text())
    gram = TYPICAL_SESSIONS * np.array(numbers["gram"])
    horizons = {}
    for name in TOTAL_HORIZONS:
        typical = numbers["horizons"][name]
        regression = RegressionState(
            gram,
            gram @ np.array(typical["coefficients"]),
            TYPICAL_SESSIONS,
            TYPICAL_SESSIONS * typical["smearing"],
            np.zeros(len(TERMS)),
        )
        tracker = QuantileTracker.from_dict({**typical["tracker"], "hour_spread": np.ones(24)})
        horizons[name] = TotalHorizonState(regression, tracker)
    return TotalState(horizons)
