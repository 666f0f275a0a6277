"""The numbers of the default forecast: what it remembers of its training data, as JSON."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Float64Array2D
from volcast.errors import ConfigError
from volcast.features.intraday import IntradayFeatures
from volcast.forecasters.har_lstm.regression import RegressionState
from volcast.forecasters.har_lstm.weight import NetworkWeight
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.forecasters.intervals import QuantileTracker

__all__ = ["HarLstmState", "HorizonState", "SymbolHorizon", "SymbolState", "by_horizon", "is_number"]

State = TypeVar("State")


@dataclass(frozen=True)
class HorizonState:
    """What the forecast of one horizon remembers of its training data.

    Attributes
    ----------
    profile
        Mean log volatility of the horizon by clock hour of its first bucket, shape (24,).
    regression
        Its sums.
    tracker
        Its bounds.
    of_symbol
        The sums of a symbol's own regression, whose log forecast is averaged with the other's; None where there is
        none.
    """

    profile: Float64Array1D
    regression: RegressionState
    tracker: QuantileTracker
    of_symbol: RegressionState | None = None

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON: those that all symbols share."""
        return {
            "profile": self.profile.tolist(),
            "regression": self.regression.to_dict(),
            "tracker": self.tracker.to_dict(),
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "HorizonState":
        """The state whose `to_dict` gave `numbers`."""
        return cls(
            np.asarray(numbers["profile"], dtype=float),
            RegressionState.from_dict(numbers["regression"]),
            QuantileTracker.from_dict(numbers["tracker"]),
        )


@dataclass(frozen=True)
class SymbolHorizon:
    """What is one symbol's own in the forecast of one horizon, beside the regression that all symbols share.

    Attributes
    ----------
    profile
        Mean log volatility of the horizon by clock hour of its first bucket, shape (24,).
    count, smearing_sum
        The symbol's training rows, and the sum of ``exp(2 e)`` over their errors.
    tracker
        Its bounds.
    of_symbol
        The sums of its own regression; None where there is none.
    """

    profile: Float64Array1D
    count: float
    smearing_sum: float
    tracker: QuantileTracker
    of_symbol: RegressionState | None = None

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        of_symbol = {} if self.of_symbol is None else {"of_symbol": self.of_symbol.to_dict()}
        numbers = {"profile": self.profile.tolist(), "count": self.count, "smearing_sum": self.smearing_sum}
        return {**numbers, "tracker": self.tracker.to_dict(), **of_symbol}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "SymbolHorizon":
        """The state whose `to_dict` gave `numbers`."""
        return cls(
            np.asarray(numbers["profile"], dtype=float),
            float(numbers["count"]),
            float(numbers["smearing_sum"]),
            QuantileTracker.from_dict(numbers["tracker"]),
            RegressionState.from_dict(numbers["of_symbol"]) if "of_symbol" in numbers else None,
        )


@dataclass(frozen=True)
class SymbolState:
    """What a model remembers of one symbol.

    Attributes
    ----------
    profile
        Hour-of-day means of `features.intraday.log_measures`, shape (24, len(STATES)).
    horizons
        What is its own of each horizon.
    """

    profile: Float64Array2D
    horizons: Mapping[Horizon, SymbolHorizon]

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        horizons = {str(name): state.to_dict() for name, state in self.horizons.items()}
        return {"profile": self.profile.tolist(), "horizons": horizons}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "SymbolState":
        """The state whose `to_dict` gave `numbers`."""
        horizons = by_horizon(numbers["horizons"], SymbolHorizon.from_dict)
        return cls(np.asarray(numbers["profile"], dtype=float), horizons)


@dataclass(frozen=True)
class HarLstmState:
    """All that the default forecast of one symbol is made from.

    Attributes
    ----------
    features
        Of buckets.
    horizons
        By horizon, as `forecasters.horizons.HORIZONS` has them.
    window
        Buckets that the networks look back.
    correction_spread
        Standard deviation of what the networks were trained on: their output times this is the correction of the log.
    weight
        Weight of the correction when training ended; 0 for good where the networks have nothing to add.
    smearing_shift
        What the correction changes of the log of the smearing factor.
    trained_through
        Label of the last bucket in the states: later ones are added as they end.
    """

    features: IntradayFeatures
    horizons: Mapping[Horizon, HorizonState]
    window: int
    correction_spread: float
    weight: NetworkWeight
    smearing_shift: float
    trained_through: pd.Timestamp

    @property
    def memory(self) -> int:
        """Buckets that must be known before a forecast can be made."""
        return max(self.window, self.features.history)

    @property
    def hour_profile(self) -> Float64Array1D:
        """Mean log volatility by clock hour of a bucket's label, shape (24,); NaN where training saw none."""
        profile = np.full(len(self.features.profile), np.nan)
        profile[self.features.hours] = self.features.profile[self.features.hours, 0]
        return profile

    def of_horizon(self, horizon: Horizon) -> HorizonState:
        """The numbers of one horizon.

        Raises
        ------
        ConfigError
            The model was not trained to forecast it.
        """
        if horizon not in self.horizons:
            names = ", ".join(map(repr, self.horizons))
            raise ConfigError(
                f"horizon is {horizon!r}; this model was trained for {names}, by an earlier release or on few bars; "
                "ask for one of these, or train it anew on a longer span."
            )
        return self.horizons[horizon]


def by_horizon(
    numbers: Mapping[str, Mapping[str, Any]], read: Callable[[Mapping[str, Any]], State]
) -> dict[Horizon, State]:
    """What `read` makes of the numbers of each horizon, which JSON names by text.

    Raises
    ------
    ConfigError
        One of them is no horizon.
    """
    names = {str(name): name for name in HORIZONS} | {name: int(name) for name in numbers if is_number(name)}
    unknown = set(numbers) - set(names)
    if unknown:
        raise ConfigError(
            f"the recipe has the horizons {', '.join(sorted(unknown))}; the rule is a number of buckets, or one of "
            f"{', '.join(names)}; update the library."
        )
    return {names[name]: read(state) for name, state in numbers.items()}


def is_number(name: str) -> bool:
    """Whether the name of a horizon is a number of buckets, up to a month's."""
    return re.fullmatch(r"[1-9]\d{0,3}", name) is not None
