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
from forecast_horizons import HORIZONS, Horizon, IntervalForecast, horizon_outcomes
from intraday_features import HISTORY, IntradayFeatures, new_york_days
from intraday_har import RegressionState, refitted_daily
from onnx_networks import Network
from trading_sessions import EXCHANGE_TIMEZONE
from volatility_features import RV_FLOOR, session_hours

__all__ = ["HarLstm", "HorizonState", "network_windows"]

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
        # What lies further back than the longest lag before the first row changes nothing, and takes time.
        seen = int(measures.index.searchsorted(self.trained_through, side="right"))
        start = max(min(seen, int(known[0])) - self.memory, 0)
        measures, known = measures.iloc[start : int(known[-1])], np.asarray(known) - start
        rows = _Rows.of(measures, self, targets, known)
        state = self.horizons[horizon]
        outcomes = horizon_outcomes(measures, horizon)
        log_outcome = np.log(np.maximum(np.nan_to_num(outcomes.volatility, nan=RV_FLOOR), RV_FLOOR))
        since = log_outcome[rows.since]
        # Rows of the past whose outcome is known with a bucket before the day's first forecast.
        usable = np.searchsorted(outcomes.known_with[rows.since], rows.known_at_refit, side="left")
        centred = since - state.profile[rows.hours[: len(since)]]
        forecast, smearing = refitted_daily(
            state.regression, rows.design[: len(since)], centred, rows.design, rows.day, usable
        )
        log_forecast = forecast + state.profile[rows.hours] + smearing
        if horizon == 1 and self.weight:
            windows = network_windows(self.features, rows.states, measures.index, rows.last, rows.labels, self.window)
            correction = np.mean([network(windows) for network in networks], axis=0) * self.correction_spread
            log_forecast += self.weight * correction + self.smearing_shift
        return self._with_bounds(state, rows, log_forecast, since, outcomes.known_with[rows.since])

    def _with_bounds(
        self, state: HorizonState, rows: "_Rows", log_forecast: FloatArray, since: FloatArray, known_with: IntArray
    ) -> IntervalForecast:
        seen = len(since)
        lowers, uppers = state.tracker.carried_on(since - log_forecast[:seen], rows.hours[:seen])
        scored = np.searchsorted(known_with, rows.known, side="left")
        wanted = slice(seen, None)
        low, high = state.tracker.bounds(rows.hours[wanted], lowers[scored], uppers[scored])
        volatility = np.exp(log_forecast[wanted])
        return IntervalForecast(volatility, volatility * low, volatility * high)

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


@dataclass(frozen=True)
class _Rows:
    """Rows of the regression: first every bucket since training, then every bucket that is asked for.

    The forecasts of the first kind are what the bounds have learnt from. `known` is of the second kind alone; the other
    arrays are of both.
    """

    labels: pd.DatetimeIndex
    states: FloatArray
    since: slice
    design: FloatArray
    hours: IntArray
    last: IntArray
    day: IntArray
    known_at_refit: IntArray
    known: IntArray

    @classmethod
    def of(cls, measures: pd.DataFrame, recipe: HarLstm, targets: pd.DatetimeIndex, known: IntArray) -> "_Rows":
        states = recipe.features.states(measures)
        first = max(int(measures.index.searchsorted(recipe.trained_through, side="right")), recipe.memory)
        since = slice(min(first, len(measures)), len(measures))
        labels = measures.index[since].append(targets.tz_convert(measures.index.tz))
        last = np.concatenate([np.arange(since.start, since.stop), known]) - 1
        days, known_days = new_york_days(labels), new_york_days(measures.index)
        hours = session_hours(labels)
        each_day, day = np.unique(days, return_inverse=True)
        return cls(
            labels=labels,
            states=states,
            since=since,
            design=recipe.features.design(states, last, hours, days != known_days[last]),
            hours=hours,
            last=last,
            day=day,
            # A day's regression is fitted before its first bucket, on the buckets of the days before.
            known_at_refit=np.searchsorted(known_days, each_day),
            known=known,
        )


def network_windows(
    features: IntradayFeatures,
    states: FloatArray,
    labels: pd.DatetimeIndex,
    last: IntArray,
    targets: pd.DatetimeIndex,
    window: int,
) -> npt.NDArray[np.float32]:
    """What a network takes, shape (len(targets), window, F), to forecast `targets` from the buckets up to `last`.

    Parameters
    ----------
    states, labels
        Of all buckets.
    last
        Position of the last bucket that each forecast may know.
    targets
        Label of the bucket that each forecasts.
    window
        Buckets in a window.
    """
    first = int(last.min(initial=window)) - window + 1
    hours, days = session_hours(labels), new_york_days(labels)
    # Behind the last bucket comes what is to be forecast; any hour will do there, since it is set below.
    following = np.append(hours[1:], hours[-1:]), np.append(days[1:] != days[:-1], False)
    steps = features.steps(states[first:], following[0][first:], following[1][first:])
    windows = np.lib.stride_tricks.sliding_window_view(steps, window, axis=0).transpose(0, 2, 1)
    chosen = windows[last - window + 1 - first]
    chosen[:, -1] = features.steps(states[last], session_hours(targets), new_york_days(targets) != days[last])
    return chosen
