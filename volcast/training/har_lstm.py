"""From hourly measures to the default forecast: what its networks are trained on, and what is learnt on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from volcast.arrays import Float32Array1D, Float32Array3D, Float64Array1D, Float64Array2D, Int64Array1D, time_index
from volcast.errors import NotEnoughDataError
from volcast.features.intraday import (
    FEWEST_IN_MARKET,
    HISTORY,
    IntradayFeatures,
    hour_means,
    log_measures,
    new_york_days,
    opens_session,
)
from volcast.features.windows import TimeSplit
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import RegressionState, fit_state
from volcast.forecasters.har_lstm.state import HarLstmState, HorizonState, SymbolHorizon, SymbolState
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_outcomes
from volcast.forecasters.intervals import QuantileTracker
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network
from volcast.sessions import session_hours

__all__ = ["HarLstmTargets", "har_lstm_targets", "learnt_weight", "with_networks"]

Measures = Mapping[str, pd.DataFrame]

_TYPICAL_WEIGHT, _WEIGHT_SPREAD = 0.75, 0.5
_LEAST_WEIGHT = 0.1
_FEWEST_ROWS = 50
_TYPICAL_COUNT = 500.0
_UNKNOWN = QuantileTracker(np.ones(24), 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class HarLstmTargets:
    """What the networks are trained on, and the regression whose errors they learn.

    Attributes
    ----------
    windows
        By symbol that is learnt from, shape (n, window, F), a view: row i belongs to bucket ``regression.memory + i``.
    targets
        By symbol, shape (n,): what the regression, fitted on the training parts alone, leaves unexplained, standardized
        by its spread there.
    regression
        The recipe with that regression and no networks yet.
    """

    windows: Mapping[str, Float32Array3D]
    targets: Mapping[str, Float32Array1D]
    regression: HarLstm


def har_lstm_targets(measures: Measures, splits: Mapping[str, TimeSplit], window: int) -> HarLstmTargets:
    """Fit features and regression on the training parts, and make of their errors what networks learn.

    Parameters
    ----------
    measures
        By symbol, see `measures.bucketed`. Spans may differ, have holes, begin late; a symbol with too few training
        buckets is not learnt from, but is served.
    splits
        The parts of each.
    window
        Buckets that a network looks back.

    Raises
    ------
    NotEnoughDataError
        No symbol has enough training buckets, or no outcome of a horizon ends in the validation parts.
    """
    regression = _fitted(measures, {name: split.train.stop for name, split in splits.items()}, window)
    _require_outcomes(regression, measures, splits)
    rows = {
        name: _windows_and_errors(regression.for_symbol(name, frame), frame)
        for name, frame in _learnt_from(regression, measures).items()
    }
    of_training = [errors[: splits[name].train.stop - regression.memory] for name, (_, errors) in rows.items()]
    spread = float(np.std(np.concatenate(of_training))) or 1.0
    return HarLstmTargets(
        {name: windows for name, (windows, _) in rows.items()},
        {name: (errors / spread).astype(np.float32) for name, (_, errors) in rows.items()},
        replace(regression, correction_spread=spread),
    )


def _require_outcomes(recipe: HarLstm, measures: Measures, splits: Mapping[str, TimeSplit]) -> None:
    """Before networks are trained: bounds of each horizon are learnt from what came of it in the validation parts."""
    for horizon, rule in HORIZONS.items():
        realized = [_outcomes(recipe, measures[name], splits[name], horizon)[1] for name in recipe.symbols]
        if not any((volatility > RV_FLOOR).any() for volatility in realized):
            most = max(len(_validation(splits[name], recipe)) for name in recipe.symbols)
            raise NotEnoughDataError(
                f"the validation part has {most} buckets, and {rule.title} never begins and ends in it with prices "
                "that move; it must once at least, so that its bounds can be learnt; give a longer span, or a larger "
                "validation_split."
            )


def with_networks(
    recipe: HarLstm, networks: Sequence[Network], measures: Measures, splits: Mapping[str, TimeSplit]
) -> HarLstm:
    """The recipe that serves: weight and bounds learnt on the validation parts, regression sums of both parts.

    Where the networks add nothing, the weight is 0 and the regression serves alone.
    """
    frames = _learnt_from(recipe, measures)
    corrections = [_errors_and_correction(recipe, networks, frame, splits[name]) for name, frame in frames.items()]
    errors, correction = (np.concatenate(parts) for parts in zip(*corrections, strict=True))
    weight, shift = learnt_weight(errors, correction)
    chosen = replace(recipe, weight=weight, smearing_shift=shift)
    trackers = {horizon: _trackers(chosen, networks, frames, splits, horizon) for horizon in HORIZONS}
    stops = {name: split.validation.stop for name, split in splits.items()}
    # Of many symbols, what they are like is learnt anew of both parts, too: that forecasts a fifth of a percent better.
    final = _fitted(measures, stops, recipe.window, earlier=recipe if len(recipe.symbols) == 1 else None)
    return replace(
        chosen,
        features=final.features,
        horizons={name: replace(state, tracker=trackers[name][0]) for name, state in final.horizons.items()},
        symbols={name: _with_trackers(name, state, trackers) for name, state in final.symbols.items()},
        trained_through=final.trained_through,
    )


def learnt_weight(errors: Float64Array1D, correction: Float64Array1D) -> tuple[float, float]:
    """Weight of the networks' correction of the log, and what it changes of the log of the smearing.

    The weight is that of the best linear combination on validation, where `errors` are the regression's and
    `correction` is what the networks say of them, shrunk towards `_TYPICAL_WEIGHT`, what did best over many symbols in
    walk-forward: on a few hundred buckets the estimate alone is too noisy. Under a tenth it is 0.
    """
    weight = _shrunk_weight(errors, correction)
    return weight, _log_smearing(errors - weight * correction) - _log_smearing(errors) if weight else 0.0


def _shrunk_weight(errors: Float64Array1D, correction: Float64Array1D) -> float:
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


def _log_smearing(errors: Float64Array1D) -> float:
    return 0.5 * float(np.log(np.mean(np.exp(2 * errors))))


def _learnt_from(recipe: HarLstm, measures: Measures) -> dict[str, pd.DataFrame]:
    """Measures, with the market's, of the symbols that the model is trained on."""
    return recipe.with_market({name: frame for name, frame in measures.items() if name in recipe.symbols})


def _windows_and_errors(state: HarLstmState, measures: pd.DataFrame) -> tuple[Float32Array3D, Float64Array1D]:
    """Windows of shape (n, window, F), a view, and what the regression of `state` leaves unexplained of the log of RV.

    Row i belongs to bucket ``state.memory + i``; the regression is as it was fitted, not refitted.
    """
    features, one_bucket, labels = state.features, state.horizons[1], time_index(measures)
    states, hours, opens = features.states(measures), session_hours(labels), opens_session(labels)
    steps = features.steps(states[:-1], hours[1:], opens[1:])
    windows = np.lib.stride_tricks.sliding_window_view(steps, state.window, axis=0).transpose(0, 2, 1)
    rows = np.arange(state.memory, len(measures))
    design = features.design(states, rows - 1, hours[rows], new_york_days(labels)[rows], opens[rows])
    logs = np.log(np.maximum(measures["rv_hourly"].to_numpy()[rows], RV_FLOOR))
    errors = logs - one_bucket.profile[hours[rows]] - design @ one_bucket.regression.coefficients
    return windows[state.memory - state.window :], np.asarray(errors)


def _fitted(measures: Measures, stops: Mapping[str, int], window: int, earlier: HarLstm | None = None) -> HarLstm:
    """Profiles and regressions of all horizons on each symbol's buckets before its stop, with bounds yet to be learnt.

    The states are those of the `earlier` recipe where there is one: its networks know no others.
    """
    fewest = max(window, HISTORY) + _FEWEST_ROWS
    frames = {name: frame.iloc[: stops[name]] for name, frame in measures.items() if stops[name] >= fewest}
    if not frames:
        raise NotEnoughDataError(
            f"none of {len(measures)} symbols has {fewest} hourly buckets to train on; one at least must; give bars "
            "that begin earlier."
        )
    recipe = _without_regressions(frames, window, earlier)
    frames = recipe.with_market(frames)
    states = {name: recipe.for_symbol(name, frame).features.states(frame) for name, frame in frames.items()}
    features = recipe.features
    if earlier is None:
        opens = [opens_session(time_index(frame)) for frame in frames.values()]
        features = features.scaled(list(states.values()), opens)
    fits = {horizon: _fitted_horizon(frames, states, features, horizon) for horizon in HORIZONS}
    symbols = {
        name: SymbolState(state.profile, {horizon: of_each[name] for horizon, (_, of_each) in fits.items()})
        for name, state in recipe.symbols.items()
    }
    horizons = {horizon: typical for horizon, (typical, _) in fits.items()}
    return replace(recipe, features=features, horizons=horizons, symbols=symbols)


def _without_regressions(frames: Measures, window: int, earlier: HarLstm | None) -> HarLstm:
    """A recipe that knows the symbols' profiles: the `earlier` recipe's, and those of the symbols that it has not."""
    learnt = {} if earlier is None else earlier.symbols
    profiles = {
        name: learnt[name].profile
        if name in learnt
        else hour_means(log_measures(frame), session_hours(time_index(frame)))
        for name, frame in frames.items()
    }
    if earlier is None:
        hours = np.unique(np.concatenate([session_hours(time_index(frame)) for frame in frames.values()]))
        typical = np.mean(list(profiles.values()), axis=0)
        features = IntradayFeatures.unscaled(typical, hours, with_market=len(frames) >= FEWEST_IN_MARKET)
    else:
        features = earlier.features
    return HarLstm(
        features=features,
        horizons={},
        window=window,
        correction_spread=1.0,
        weight=0.0,
        smearing_shift=0.0,
        trained_through=max(frame.index[-1] for frame in frames.values()),
        symbols={name: SymbolState(profile, {}) for name, profile in profiles.items()},
    )


def _fitted_horizon(
    frames: Measures, states: Mapping[str, Float64Array2D], features: IntradayFeatures, horizon: Horizon
) -> tuple[HorizonState, dict[str, SymbolHorizon]]:
    """A horizon's regression on all rows of all symbols: what a typical symbol has of it, and what each has."""
    profiles, designs, targets = {}, {}, {}
    for name, frame in frames.items():
        outcomes, hours = horizon_outcomes(frame, horizon), session_hours(time_index(frame))
        ended = outcomes.known_with < len(frame)
        logs = np.log(np.maximum(outcomes.volatility, RV_FLOOR))
        profiles[name] = hour_means(logs[ended][:, None], hours[ended])[:, 0]
        rows = np.flatnonzero(ended)
        rows = rows[rows >= HISTORY]
        days, opens = new_york_days(time_index(frame)), opens_session(time_index(frame))
        designs[name] = features.design(states[name], rows - 1, hours[rows], days[rows], opens[rows])
        targets[name] = logs[rows] - profiles[name][hours[rows]]
    regression = fit_state(
        np.concatenate(list(designs.values())), np.concatenate(list(targets.values())), features.term_count
    )
    coefficients, symbols = regression.coefficients, {}
    for name, target in targets.items():
        smearing_sum = float(np.exp(2 * (target - designs[name] @ coefficients)).sum())
        symbols[name] = SymbolHorizon(profiles[name], float(len(target)), smearing_sum, _UNKNOWN)
    typical = regression if len(frames) == 1 else _typical(regression)
    return HorizonState(np.mean(list(profiles.values()), axis=0), typical, _UNKNOWN), symbols


def _typical(regression: RegressionState) -> RegressionState:
    """With the smearing of a symbol of a few hundred buckets: a new symbol's own errors are to count soon."""
    mean = regression.smearing_sum / regression.count
    return replace(regression, count=_TYPICAL_COUNT, smearing_sum=mean * _TYPICAL_COUNT)


def _errors_and_correction(
    recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, split: TimeSplit
) -> tuple[Float64Array1D, Float64Array1D]:
    """Log errors of the regression alone in the validation part, and what the networks would change of its log."""
    positions = _validation(split, recipe)
    labels, realized = time_index(measures)[positions], measures["rv_hourly"].iloc[positions].to_numpy()
    moved = realized > RV_FLOOR
    alone, together = (
        replace(recipe, weight=weight, smearing_shift=0.0).forecast(networks, measures, labels, positions).volatility
        for weight in (0.0, 1.0)
    )
    return np.log(realized[moved] / alone[moved]), np.log(together[moved] / alone[moved])


def _validation(split: TimeSplit, recipe: HarLstm) -> Int64Array1D:
    return np.arange(max(split.validation.start, recipe.memory), split.validation.stop)


@dataclass(frozen=True)
class _Errors:
    """Log errors of one symbol's validation part, their clock hours, and how long each of its outcomes took."""

    logs: Float64Array1D
    hours: Int64Array1D
    waits: Int64Array1D

    def tracker(self) -> QuantileTracker:
        return QuantileTracker.fit(self.logs, self.hours, float(np.mean(self.waits)))


def _trackers(
    recipe: HarLstm,
    networks: Sequence[Network],
    frames: Measures,
    splits: Mapping[str, TimeSplit],
    horizon: Horizon,
) -> tuple[QuantileTracker, dict[str, QuantileTracker]]:
    """Bounds of a horizon: a typical symbol's, and those of each that has enough to have its own."""
    errors = [_errors(recipe, networks, frame, splits[name], horizon) for name, frame in frames.items()]
    every = _Errors(*(np.concatenate([getattr(one, name) for one in errors]) for name in _Errors.__dataclass_fields__))
    of_each = {name: one.tracker() for name, one in zip(frames, errors, strict=True) if len(one.logs) >= _FEWEST_ROWS}
    return every.tracker(), of_each


def _errors(
    recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, split: TimeSplit, horizon: Horizon
) -> _Errors:
    positions, realized, waits = _outcomes(recipe, measures, split, horizon)
    labels = time_index(measures)[positions]
    forecast = recipe.forecast(networks, measures, labels, positions, horizon).volatility
    moved = realized > RV_FLOOR
    return _Errors(np.log(realized[moved] / forecast[moved]), session_hours(labels)[moved], waits)


def _outcomes(
    recipe: HarLstm, measures: pd.DataFrame, split: TimeSplit, horizon: Horizon
) -> tuple[Int64Array1D, Float64Array1D, Int64Array1D]:
    """Where a horizon begins that ends in the validation part as well, what came of it, and how long that took."""
    outcomes = horizon_outcomes(measures.iloc[: split.validation.stop], horizon)
    positions = _validation(split, recipe)
    positions = positions[outcomes.known_with[positions] < split.validation.stop]
    return positions, outcomes.volatility[positions], outcomes.known_with[positions] - positions + 1


def _with_trackers(
    name: str, state: SymbolState, trackers: Mapping[Horizon, tuple[QuantileTracker, Mapping[str, QuantileTracker]]]
) -> SymbolState:
    """With the symbol's own bounds, or a typical symbol's where it has not enough for its own."""
    horizons = {
        horizon: replace(numbers, tracker=trackers[horizon][1].get(name, trackers[horizon][0]))
        for horizon, numbers in state.horizons.items()
    }
    return replace(state, horizons=horizons)
