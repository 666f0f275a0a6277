"""From hourly measures to the default forecast: what its networks are trained on, and what is learnt on validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.features.intraday import HISTORY, IntradayFeatures, hour_means, new_york_days, opens_session
from volcast.features.windows import TimeSplit
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import fit_state
from volcast.forecasters.har_lstm.state import HorizonState
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_outcomes
from volcast.forecasters.intervals import QuantileTracker
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network
from volcast.sessions import session_hours

__all__ = ["HarLstmTargets", "har_lstm_targets", "learnt_weight", "windows_and_errors", "with_networks"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_TYPICAL_WEIGHT, _WEIGHT_SPREAD = 0.75, 0.5
_LEAST_WEIGHT = 0.1


@dataclass(frozen=True)
class HarLstmTargets:
    """What the networks are trained on, and the regression whose errors they learn.

    Attributes
    ----------
    windows
        Shape (n, window, F), a view: row i belongs to bucket ``HISTORY + i``.
    targets
        Shape (n,): what the regression, fitted on the training part alone, leaves unexplained, standardized there.
    regression
        The recipe with that regression and no networks yet.
    """

    windows: Float32Array
    targets: Float32Array
    regression: HarLstm


def har_lstm_targets(measures: pd.DataFrame, split: TimeSplit, window: int) -> HarLstmTargets:
    """Fit features and regression on the training part of `measures`, and make of its errors what networks learn.

    Parameters
    ----------
    measures
        See `measures.bucketed`; more than `HISTORY` training rows.
    split
        The parts.
    window
        Buckets that a network looks back.
    """
    features = IntradayFeatures.fit(measures.iloc[split.train])
    recipe = _fitted(measures, features, split.train.stop, window)
    windows, errors = windows_and_errors(recipe, measures)
    spread = float(np.std(errors[: split.train.stop - HISTORY])) or 1.0
    return HarLstmTargets(windows, (errors / spread).astype(np.float32), replace(recipe, correction_spread=spread))


def windows_and_errors(recipe: HarLstm, measures: pd.DataFrame) -> tuple[Float32Array, FloatArray]:
    """Windows of shape (n, window, F), a view, and what the regression of `recipe` leaves unexplained of the log of RV.

    Row i belongs to bucket ``HISTORY + i``; the regression is as it was fitted, not refitted.
    """
    features, state, labels = recipe.features, recipe.horizons[1], measures.index
    states, hours, opens = features.states(measures), session_hours(labels), opens_session(labels)
    steps = features.steps(states[:-1], hours[1:], opens[1:])
    windows = np.lib.stride_tricks.sliding_window_view(steps, recipe.window, axis=0).transpose(0, 2, 1)
    rows = np.arange(HISTORY, len(measures))
    design = features.design(states, rows - 1, hours[rows], new_york_days(labels)[rows], opens[rows])
    logs = np.log(np.maximum(measures["rv_hourly"].to_numpy()[rows], RV_FLOOR))
    errors = logs - state.profile[hours[rows]] - design @ state.regression.coefficients
    return windows[HISTORY - recipe.window :], np.asarray(errors)


def with_networks(recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, split: TimeSplit) -> HarLstm:
    """The recipe that serves: weight and bounds learnt on the validation part, regression sums of both parts.

    Where the networks add nothing, the weight is 0 and the regression serves alone.
    """
    positions = np.arange(split.validation.start, split.validation.stop)
    labels, realized = measures.index[positions], measures["rv_hourly"].iloc[positions].to_numpy()
    moved = realized > RV_FLOOR
    alone = replace(recipe, weight=0.0).forecast(networks, measures, labels, positions)
    together = replace(recipe, weight=1.0, smearing_shift=0.0).forecast(networks, measures, labels, positions)
    errors, correction = np.log(realized[moved] / alone[moved]), np.log(together[moved] / alone[moved])
    weight, shift = learnt_weight(errors, correction)
    chosen = replace(recipe, weight=weight, smearing_shift=shift)
    trackers = {horizon: _tracker(chosen, networks, measures, positions, horizon) for horizon in HORIZONS}
    final = _fitted(measures, recipe.features, split.validation.stop, recipe.window)
    return replace(
        chosen,
        horizons={name: replace(state, tracker=trackers[name]) for name, state in final.horizons.items()},
        trained_through=final.trained_through,
    )


def _fitted(measures: pd.DataFrame, features: IntradayFeatures, stop: int, window: int) -> HarLstm:
    """The regressions of all horizons on the buckets before `stop`, with bounds still to be learnt."""
    horizons = {horizon: _horizon_state(measures, features, stop, horizon) for horizon in HORIZONS}
    return HarLstm(features, horizons, window, 1.0, 0.0, 0.0, measures.index[stop - 1])


def _horizon_state(measures: pd.DataFrame, features: IntradayFeatures, stop: int, horizon: Horizon) -> HorizonState:
    known = measures.iloc[:stop]
    outcomes, hours = horizon_outcomes(known, horizon), session_hours(known.index)
    ended = outcomes.known_with < stop
    logs = np.log(np.maximum(outcomes.volatility, RV_FLOOR))
    profile = hour_means(logs[ended][:, None], hours[ended])[:, 0]
    rows = np.flatnonzero(ended)
    rows = rows[rows >= HISTORY]
    days, opens = new_york_days(known.index), opens_session(known.index)
    design = features.design(features.states(known), rows - 1, hours[rows], days[rows], opens[rows])
    regression = fit_state(design, logs[rows] - profile[hours[rows]], features.term_count)
    return HorizonState(profile, regression, QuantileTracker(np.ones(24), 1.0, 0.0, 0.0))


def learnt_weight(errors: FloatArray, correction: FloatArray) -> tuple[float, float]:
    """Weight of the networks' correction of the log, and what it changes of the log of the smearing.

    The weight is that of the best linear combination on validation, where `errors` are the regression's and
    `correction` is what the networks say of them, shrunk towards `_TYPICAL_WEIGHT`, what did best over many symbols in
    walk-forward: on a few hundred buckets the estimate alone is too noisy. Under a tenth it is 0.
    """
    weight = _shrunk_weight(errors, correction)
    return weight, _log_smearing(errors - weight * correction) - _log_smearing(errors) if weight else 0.0


def _shrunk_weight(errors: FloatArray, correction: FloatArray) -> float:
    centred, moves = errors - errors.mean(), correction - correction.mean()
    squares = float(moves @ moves)
    if squares == 0:
        return 0.0
    best = float(moves @ centred) / squares
    variance = float(np.var(centred - best * moves)) / squares
    precision = 1 / max(variance, 1e-12)
    prior = 1 / _WEIGHT_SPREAD**2
    weight = min(max((precision * best + prior * _TYPICAL_WEIGHT) / (precision + prior), 0.0), 1.0)
    return weight if weight >= _LEAST_WEIGHT else 0.0


def _log_smearing(errors: FloatArray) -> float:
    return 0.5 * float(np.log(np.mean(np.exp(2 * errors))))


def _tracker(
    recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, positions: npt.NDArray[np.int64],
    horizon: Horizon,
) -> QuantileTracker:  # fmt: skip
    stop = int(positions[-1]) + 1
    outcomes = horizon_outcomes(measures.iloc[:stop], horizon)
    positions = positions[outcomes.known_with[positions] < stop]
    labels, realized = measures.index[positions], outcomes.volatility[positions]
    forecast = recipe.forecast_horizon(networks, measures, labels, positions, horizon).volatility
    moved = realized > RV_FLOOR
    overlap = float(np.mean(outcomes.known_with[positions] - positions + 1))
    return QuantileTracker.fit(np.log(realized[moved] / forecast[moved]), session_hours(labels)[moved], overlap)
