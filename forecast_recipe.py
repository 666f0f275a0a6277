"""What makes forecasts of networks and hourly measures: one object a bundle, its numbers saved as JSON beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from errors import ConfigError
from onnx_networks import Network
from volatility_features import Scaler, scaler_from_dict

__all__ = ["ForecastRecipe", "ScaledWindows", "recipe_from_dict"]

FloatArray = npt.NDArray[np.float64]


class ForecastRecipe(Protocol):
    """Turns hourly measures into what networks take, and what they give into forecasts. Immutable once fitted."""

    @property
    def kind(self) -> str:
        """What `recipe_from_dict` knows it by."""

    @property
    def memory(self) -> int:
        """Buckets that must be known before a forecast can be made."""

    @property
    def needs_rv_alone(self) -> bool:
        """Whether it looks at the column ``rv_hourly`` only."""

    def forecast(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: npt.NDArray[np.int64],
    ) -> FloatArray:
        """Hourly volatility, shape (len(targets),), of the buckets `targets`; see `ModelBundle.forecast`."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON, with its ``kind``; `recipe_from_dict` reads them."""


@dataclass(frozen=True)
class ScaledWindows:
    """The mean output of the networks on windows of the last `memory` values, scaled and unscaled by one scaler."""

    scaler: Scaler
    memory: int
    kind: str = field(default="scaled_windows", init=False)
    needs_rv_alone: bool = field(default=True, init=False)

    def forecast(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: npt.NDArray[np.int64],
    ) -> FloatArray:
        """Hourly volatility, shape (len(targets),), of `targets`, each from the last `memory` known values."""
        if not len(targets):
            return np.empty(0)
        # Only the stretch that these forecasts look at: one forecast costs a window, not the history.
        start, stop = int(known.min()) - self.memory, int(known.max())
        scaled = self.scaler.scale(measures["rv_hourly"].iloc[start:stop]).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(scaled, self.memory)[:, :, None]
        inputs = windows[np.asarray(known) - self.memory - start]
        outputs = np.mean([network(inputs) for network in networks], axis=0)
        return self.scaler.unscale(outputs, targets)

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        return {"kind": self.kind, "memory": self.memory, "scaler": self.scaler.to_dict()}


def recipe_from_dict(numbers: Mapping[str, Any]) -> ForecastRecipe:
    """The recipe whose `to_dict` gave `numbers`.

    Raises
    ------
    ConfigError
        It is of no kind that this release knows.
    """
    if numbers.get("kind") != "scaled_windows":
        raise ConfigError(
            f"the recipe's kind is {numbers.get('kind')!r}; the rule is 'scaled_windows'; update the library."
        )
    return ScaledWindows(scaler_from_dict(numbers["scaler"]), int(numbers["memory"]))
