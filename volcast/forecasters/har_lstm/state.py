"""The numbers of the default forecast: what it remembers of its training data, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import ConfigError
from volcast.features.intraday import HISTORY, IntradayFeatures
from volcast.forecasters.har_lstm.regression import RegressionState
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.forecasters.intervals import QuantileTracker
from volcast.sessions import EXCHANGE_TIMEZONE

__all__ = ["HarLstmState", "HorizonState"]

FloatArray = npt.NDArray[np.float64]


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
    """

    profile: FloatArray
    regression: RegressionState
    tracker: QuantileTracker

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
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
class HarLstmState:
    """What the default forecast remembers of its training data.

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
        Weight of the correction; 0 where the networks have nothing to add.
    smearing_shift
        What the correction changes of the log of the smearing factor.
    trained_through
        Label of the last bucket in the states: later ones are added as they end.
    """

    features: IntradayFeatures
    horizons: Mapping[Horizon, HorizonState]
    window: int
    correction_spread: float
    weight: float
    smearing_shift: float
    trained_through: pd.Timestamp
    kind: str = field(default="har_lstm", init=False)
    needs_rv_alone: bool = field(default=False, init=False)

    @property
    def memory(self) -> int:
        """Buckets that must be known before a forecast can be made."""
        return max(self.window, HISTORY)

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        return {
            "kind": self.kind,
            "features": self.features.to_dict(),
            "horizons": {str(name): state.to_dict() for name, state in self.horizons.items()},
            "window": self.window,
            "correction_spread": self.correction_spread,
            "weight": self.weight,
            "smearing_shift": self.smearing_shift,
            "trained_through": self.trained_through.isoformat(),
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Self:
        """The recipe whose `to_dict` gave `numbers`."""
        names = {str(name): name for name in HORIZONS}
        unknown = set(numbers["horizons"]) - set(names)
        if unknown:
            raise ConfigError(
                f"the recipe has the horizons {', '.join(sorted(unknown))}; the rule is {', '.join(names)}; update the "
                "library."
            )
        return cls(
            features=IntradayFeatures.from_dict(numbers["features"]),
            horizons={names[name]: HorizonState.from_dict(state) for name, state in numbers["horizons"].items()},
            window=int(numbers["window"]),
            correction_spread=float(numbers["correction_spread"]),
            weight=float(numbers["weight"]),
            smearing_shift=float(numbers["smearing_shift"]),
            trained_through=pd.Timestamp(numbers["trained_through"]).tz_convert(EXCHANGE_TIMEZONE),
        )
