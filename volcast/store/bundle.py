"""One trained model with everything that a forecast needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D
from volcast.config import TrainingConfig
from volcast.errors import CorruptModelError
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.forecasters.recipe import ForecastRecipe
from volcast.forecasters.total.state import TotalState, typical_state
from volcast.measures.hourly import Preset
from volcast.networks.keras_files import KerasNetwork
from volcast.networks.onnx import Network, OnnxEnsemble, OnnxNetwork
from volcast.reprs import OneLineRepr

__all__ = ["CONDEMNED", "ModelBundle", "is_condemned", "version_name"]


def version_name(subject: str, *, simulated: bool) -> str:
    """Name of a model of `subject` that is made now: with the moment in UTC, marked where its bars are simulated."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return f"{'SIMULATED-' if simulated else ''}{subject}-{moment}"


CONDEMNED = "its verdict is not to use it"
"""Why a model is kept out."""


def is_condemned(manifest: Mapping[str, Any]) -> bool:
    """Whether the verdict on a model's test part is not to use it; False where none was passed."""
    evaluation = manifest.get("evaluation") or {}
    return bool(evaluation.get("judgment") == "do not use")


@dataclass(frozen=True, repr=False)
class ModelBundle(OneLineRepr):
    """One trained model with everything that a forecast needs.

    Attributes
    ----------
    name
        The model's version: what a forecast names as the model that it came from.
    networks
        Each takes windows of shape (n, memory, F), perhaps with what stands beside them, shape (n, K),
        and gives outputs of shape (n,).
    recipe
        Between hourly measures and what the networks take and give.
    config
        The configuration that it was trained with.
    manifest
        What it was trained on and when; ``trained_through`` is the last moment whose data it has seen.
    path
        Its directory, None while it is not saved.
    totals
        By symbol, what it remembers of total volatility; none in models of earlier releases.
    """

    name: str
    networks: tuple[Network, ...]
    recipe: ForecastRecipe
    config: TrainingConfig
    manifest: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    totals: Mapping[str, TotalState] = field(default_factory=dict)

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.name,
            "symbol": self.manifest.get("symbol"),
            "kind": self.recipe.kind,
            "networks": len(self.networks),
            "trained_through": self.trained_through,
        }

    @property
    def preset(self) -> Preset:
        """Preset of the hourly RV that the model was trained on."""
        return self.config.preset

    @property
    def memory(self) -> int:
        """Buckets that must be known before the model can forecast."""
        return self.recipe.memory

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that the model was trained on; none where nobody wrote them down (a Colab pair)."""
        of_each = self.manifest.get("symbols", {})
        return tuple(name for name, about in of_each.items() if about.get("trained_on", True))

    @property
    def last_bar(self) -> pd.Timestamp | None:
        """Start of the last bar that the training was given (UTC), test part included; None where nobody knows."""
        stamps = [about["last_bar"] for about in self.manifest.get("symbols", {}).values() if "last_bar" in about]
        return max(map(pd.Timestamp, stamps), default=None)

    @property
    def trained_through(self) -> pd.Timestamp | None:
        """Last moment (the market's time) whose data the model saw; None where nobody wrote it down (a Colab pair)."""
        seen = self.manifest.get("trained_through")
        return None if seen is None else pd.Timestamp(seen).tz_convert(self.config.effective_market.zone)

    @property
    def is_condemned(self) -> bool:
        """Whether the verdict on its test part is not to use it: it does not serve unless that is accepted."""
        return is_condemned(self.manifest)

    @property
    def simulated(self) -> bool:
        """Whether the model was trained on simulated bars."""
        return bool(self.manifest.get("simulated", False))

    def total_state(self, symbol: str | None) -> TotalState:
        """What forecasts of a symbol's total volatility begin with; None is the symbol that the model is of.

        Of a symbol that the model knows nothing of it is a typical one's: its own bars tell the rest.
        """
        return self.totals.get(symbol or str(self.manifest.get("symbol")), typical_state())

    def forecast(
        self,
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        """Volatility, with bounds, of the horizons that begin with the buckets `targets`, each from what is known then.

        Parameters
        ----------
        measures
            Hourly measures (see `measures.bucketed`) of the symbol that ``measures.attrs["symbol"]`` names.
        targets
            Labels of the first bucket of each horizon, in time order.
        known
            How many leading rows of `measures` each forecast may use, at least `memory`, shape (len(targets),).
        horizon
            One of `forecasters.horizons.HORIZONS`.

        Raises
        ------
        ConfigError
            The model does not forecast that `horizon`.
        CorruptModelError
            One of the forecasts is no volatility, see `sound`.
        """
        with np.errstate(all="ignore"):
            forecast = self.recipe.forecast(self.networks, measures, targets, known, horizon)
        return self.sound(forecast)

    def sound(self, forecast: IntervalForecast) -> IntervalForecast:
        """Return a `forecast` by this model if each volatility is a positive, finite number and no bound is infinite.

        Bounds may be NaN: unknown. Under `colab` a volatility may be 0, too: the notebook's hours outside of sessions
        have none.

        Raises
        ------
        CorruptModelError
            One is not, so the model's numbers are no model's; it is never handed out.
        """
        quiet = self.preset == "colab"
        # Number by number: a live call has one, which numpy would take ten times as long for.
        bounds = zip(forecast.lower.tolist(), forecast.upper.tolist(), strict=True)
        for volatility, (lower, upper) in zip(forecast.volatility.tolist(), bounds, strict=True):
            possible = 0 < volatility < math.inf or (quiet and volatility == 0)
            if not possible or lower < 0 or upper < 0 or math.inf in (lower, upper):
                raise CorruptModelError(
                    f"{self.name} gives the forecast {volatility} between {lower} and {upper}; the rule is positive "
                    "and finite, so it is not handed out; train the model anew or let another serve: "
                    "volcast models promote NAME."
                )
        return forecast

    @cached_property
    def networks_as_one(self) -> tuple[Network, ...]:
        """The `networks` as a single one that gives the mean of theirs, where ONNX Runtime can run them in one call."""
        twins = [network for network in self.networks if isinstance(network, OnnxNetwork)]
        are_alike = len(twins) == len(self.networks) and all(one.inputs == twins[0].inputs for one in twins)
        return (OnnxEnsemble(twins),) if are_alike and len(twins) > 1 else self.networks

    def for_serving(self) -> "ModelBundle":
        """This model with its networks in ONNX Runtime: some hundred times as fast for a single forecast.

        Raises
        ------
        TrainingError
            A network computes otherwise there than in Keras.
        """
        if not any(isinstance(network, KerasNetwork) for network in self.networks):
            return self
        served = (network.twin if isinstance(network, KerasNetwork) else network for network in self.networks)
        return replace(self, networks=tuple(served))
