"""What makes forecasts of networks and hourly measures: one object a bundle, its numbers saved as JSON beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.errors import ConfigError
from volcast.features.scaling import Scaler, scaler_from_dict
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.networks.onnx import Network

__all__ = ["ForecastRecipe", "ScaledWindows", "recipe_from_dict"]


class ForecastRecipe(Protocol):
    """Turns hourly measures into what networks take, and what they give into forecasts. Immutable once fitted."""

    @property
    def kind(self) -> str:
        """Name by which `recipe_from_dict` knows the recipe."""

    @property
    def memory(self) -> int:
        """Buckets that must be known before a forecast can be made."""

    @property
    def needs_rv_alone(self) -> bool:
        """Whether the recipe looks at the column ``rv_hourly`` only."""

    @property
    def hour_profile(self) -> Float64Array1D:
        """Mean log volatility by clock hour of a bucket's label, shape (24,); NaN where it is not known."""

    def forecast(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        """Volatility, with bounds, of the horizons that begin with `targets`; see `ModelBundle.forecast`."""

    def with_market(self, measures: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """Measures by symbol, with what the recipe looks at of all of them beside each one's own."""

    def regression_alone(self) -> "ForecastRecipe | None":
        """The regression that networks correct, without them; None where there is none."""

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

    @property
    def hour_profile(self) -> Float64Array1D:
        """Mean log volatility by clock hour of a bucket's label, shape (24,); NaN where it is not known."""
        return self.scaler.hour_profile

    def forecast(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        """Volatility of the buckets `targets`, with bounds, each from the last `memory` known values.

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
        if not len(targets):
            return IntervalForecast(np.empty(0), np.empty(0), np.empty(0))
        # Only the stretch that these forecasts look at: one forecast costs a window, not the history.
        start, stop = int(known.min()) - self.memory, int(known.max())
        scaled = self.scaler.scale(measures["rv_hourly"].iloc[start:stop]).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(scaled, self.memory)[:, :, None]
        inputs = windows[np.asarray(known) - self.memory - start]
        volatility = self.scaler.unscale(np.mean([network(inputs) for network in networks], axis=0), targets)
        return IntervalForecast(volatility, volatility * self.bounds[0], volatility * self.bounds[1])

    def with_market(self, measures: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """The `measures` as they are: this recipe looks at no market."""
        return dict(measures)

    def regression_alone(self) -> None:
        """There is no regression in this recipe."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        bounds = None if np.isnan(self.bounds).any() else list(self.bounds)
        return {"kind": self.kind, "memory": self.memory, "scaler": self.scaler.to_dict(), "bounds": bounds}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "ScaledWindows":
        """The recipe whose `to_dict` gave `numbers`."""
        low, high = numbers.get("bounds") or (np.nan, np.nan)
        return cls(scaler_from_dict(numbers["scaler"]), int(numbers["memory"]), (float(low), float(high)))


def recipe_from_dict(numbers: Mapping[str, Any]) -> ForecastRecipe:
    """The recipe whose `to_dict` gave `numbers`.

    Raises
    ------
    ConfigError
        It is of no kind that this release knows.
    """
    kinds: dict[str, Callable[[Mapping[str, Any]], ForecastRecipe]] = {
        "har_lstm": HarLstm.from_dict,
        "scaled_windows": ScaledWindows.from_dict,
    }
    read = kinds.get(str(numbers.get("kind")))
    if read is None:
        raise ConfigError(
            f"the recipe's kind is {numbers.get('kind')!r}; the rule is {' or '.join(map(repr, kinds))}; update the "
            "library."
        )
    return read(numbers)
