r"""The default forecast: a HAR on the day's own measures, refitted daily, and what an ensemble of LSTMs adds to it.

.. math:: \ln \hat\sigma = x'\hat\beta_{day} + p_h + w \bar c(z) + s

:math:`x'\hat\beta` is the regression of `intraday_har`, :math:`p_h` the hour's mean, :math:`\bar c` the mean correction
of the networks, which were trained on what the regression leaves unexplained, :math:`w` its weight, shrunk towards what
helps on average (Bates and Granger 1969, *Operational Research Quarterly* 20), and :math:`s` the smearing. The networks
forecast one bucket ahead; longer horizons are the regression's alone, on their own outcomes: direct, not iterated
(Marcellino, Stock and Watson 2006, *Journal of Econometrics* 135).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from conformal_intervals import QuantileTracker
from errors import ConfigError
from forecast_horizons import HORIZONS, Horizon, IntervalForecast
from hourly_rows import HourlyRows
from intraday_features import HISTORY, IntradayFeatures
from intraday_har import RegressionState
from onnx_networks import Network
from running_forecast import RunningForecast
from trading_sessions import EXCHANGE_TIMEZONE

__all__ = ["HarLstm", "HorizonState"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
class HarLstm:
    """The recipe of the default forecast; see the module.

    Attributes
    ----------
    features
        Of buckets.
    horizons
        By horizon, as `forecast_horizons.HORIZONS` has them.
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

    def forecast(
        self, networks: Sequence[Network], measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray
    ) -> FloatArray:
        """Volatility of the buckets `targets`, shape (len(targets),); see `ModelBundle.forecast`."""
        return self.forecast_horizon(networks, measures, targets, known, 1).volatility

    def forecast_horizon(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: IntArray,
        horizon: Horizon,
    ) -> IntervalForecast:
        """Volatility, with its bounds, of the horizons that begin with the buckets `targets`.

        Parameters
        ----------
        networks
            Those of the bundle.
        measures
            Hourly measures, see `hourly_measures`.
        targets
            Labels of the first bucket of each horizon, in time order.
        known
            How many leading rows of `measures` each forecast may use, at least `memory`, not falling.
        horizon
            One of `forecast_horizons.HORIZONS`.
        """
        if not len(targets):
            return IntervalForecast(np.empty(0), np.empty(0), np.empty(0))
        history = HourlyRows.of(measures.iloc[: int(known[-1])])
        return RunningForecast(self, networks, horizon).forecast(history, targets.as_unit("us").asi8, known)

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
    def from_dict(cls, numbers: Mapping[str, Any]) -> "HarLstm":
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
