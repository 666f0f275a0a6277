"""What makes forecasts of networks and hourly measures: one object a bundle, its numbers saved as JSON beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import ConfigError
from volcast.features.scaling import Scaler, scaler_from_dict
from volcast.forecasters.har_lstm.pooled import PooledHarLstm
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.networks.onnx import Network

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

    def forecast_horizon(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: npt.NDArray[np.int64],
        horizon: Horizon,
    ) -> IntervalForecast:
        """Volatility of the horizons that begin with the buckets `targets`, with bounds."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON, with its ``kind``; `recipe_from_dict` reads them."""


@dataclass(frozen=True)
class ScaledWindows:
    """The mean output of the networks on windows of the last `memory` values, scaled and unscaled by one scaler.

    Attributes
    ----------
    scaler
        Between hourly RV and what the networks take and give.
    memory
        Buckets in a window.
    bounds
        Realized over forecast volatility at the ends of the central 90 % of the validation part; NaN if unknown.
    """

    scaler: Scaler
    memory: int
    bounds: tuple[float, float] = (np.nan, np.nan)
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

    def forecast_horizon(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: npt.NDArray[np.int64],
        horizon: Horizon,
    ) -> IntervalForecast:
        """Volatility of the buckets `targets`, with bounds.

        Raises
        ------
        ConfigError
            `horizon` is not 1.
        """
        if horizon != 1:
            raise ConfigError(
                f"horizon is {horizon!r}; the rule for the roadmap's network is 1, the next bucket; train a har_lstm, "
                "the default, for longer ones."
            )
        volatility = self.forecast(networks, measures, targets, known)
        return IntervalForecast(volatility, volatility * self.bounds[0], volatility * self.bounds[1])

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        bounds = None if np.isnan(self.bounds).any() else list(self.bounds)
        return {"kind": self.kind, "memory": self.memory, "scaler": self.scaler.to_dict(), "bounds": bounds}


def recipe_from_dict(numbers: Mapping[str, Any]) -> ForecastRecipe:
    """The recipe whose `to_dict` gave `numbers`.

    Raises
    ------
    ConfigError
        It is of no kind that this release knows.
    """
    if numbers.get("kind") == "har_lstm":
        return HarLstm.from_dict(numbers)
    if numbers.get("kind") == "pooled_har_lstm":
        return PooledHarLstm.from_dict(numbers)
    if numbers.get("kind") != "scaled_windows":
        raise ConfigError(
            f"the recipe's kind is {numbers.get('kind')!r}; the rule is 'har_lstm', 'pooled_har_lstm' or "
            "'scaled_windows'; update the library."
        )
    low, high = numbers.get("bounds") or (np.nan, np.nan)
    return ScaledWindows(scaler_from_dict(numbers["scaler"]), int(numbers["memory"]), (float(low), float(high)))
