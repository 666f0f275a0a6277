"""From hourly measures to the default forecast: what its networks are trained on, and what is learnt on validation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from volcast.arrays import (
    Float32Array1D,
    Float32Array3D,
    Float64Array1D,
    Float64Array2D,
    Int64Array1D,
    columns_of,
    time_index,
)
from volcast.counts import counted
from volcast.errors import NotEnoughDataError
from volcast.features.bar_steps import step_inputs_of
from volcast.features.intraday import (
    FEWEST_IN_MARKET,
    IntradayFeatures,
    hour_means,
    log_measures,
    opens_market,
)
from volcast.features.known_days import KnownDays
from volcast.features.nights import have_nights
from volcast.features.windows import TimeSplit, har_lags
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import RegressionState, fit_state
from volcast.forecasters.har_lstm.state import HarLstmState, HorizonState, SymbolHorizon, SymbolState
from volcast.forecasters.har_lstm.weight import NetworkWeight
from volcast.forecasters.har_lstm.windows import StepWindows
from volcast.forecasters.horizons import Horizon, horizon_outcomes, horizons_of
from volcast.forecasters.intervals import QuantileTracker
from volcast.forecasters.tables import HourlyTable
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_of
from volcast.measures.bucketed import STEP_MEASURES, STEPS
from volcast.measures.hourly import RV_FLOOR
from volcast.measures.nights import NIGHT_PARTS
from volcast.networks.onnx import Network

__all__ = ["HarLstmTargets", "har_lstm_targets", "with_networks"]

Measures = Mapping[str, pd.DataFrame]

_LEAST_WEIGHT = 0.1
_FEWEST_ROWS = 50
# Of a longer horizon, whose outcomes come late.
_FEWEST_OUTCOMES = 10
_TYPICAL_COUNT = 500.0
# A quarter's: falls last, so that fewer tell too little of what follows them.
_WEEKS_OF_FALLS = 13


@dataclass(frozen=True)
class _Sight:
    """What a model looks at, beside what its bars have; see `features.intraday.IntradayFeatures`."""

    lags: tuple[int, ...]
    with_market: bool
    with_falls: bool
    known_days: KnownDays

    @classmethod
    def of(cls, features: IntradayFeatures) -> "_Sight":
        return cls(features.lags, features.with_market, features.with_falls, features.known_days)


@dataclass(frozen=True)
class HarLstmTargets:
    """What the networks are trained on, and the regression whose errors they learn.

    Attributes
    ----------
    windows
        By symbol that is learnt from, shape (n, STEPS, F): row i belongs to bucket ``regression.memory + i``. F is 0 of
        bars longer than a step: there is nothing for a network to see.
    targets
        By symbol, shape (n,): how far the log of realized volatility lies from that of what the regression, fitted on
        the training parts alone, forecasts; 0 where prices do not move.
    regression
        The recipe with that regression and no networks yet.
    """

    windows: Mapping[str, Float32Array3D]
    targets: Mapping[str, Float32Array1D]
    regression: HarLstm


def har_lstm_targets(
    measures: Measures,
    splits: Mapping[str, TimeSplit],
    *,
    with_market: bool = False,
    known_days: KnownDays | None = None,
) -> HarLstmTargets:
    """Fit features and regression on the training parts, and make of their errors what networks learn.

    Parameters
    ----------
    measures
        By symbol, see `measures.bucketed`. Spans may differ, have holes, begin late; a symbol with too few training
        buckets is not learnt from, but is served.
    splits
        The parts of each.
    with_market
        Whether the model looks at the mean state of all symbols, where they are `FEWEST_IN_MARKET` at least.
    known_days
        What it knows of days ahead, beside the Fed's; None is nothing.

    Raises
    ------
    NotEnoughDataError
        No symbol has enough training buckets, or no bucket of the validation parts has prices that move. A longer
        horizon of which the parts have too few outcomes is left out.
    """
    stops = {name: split.train.stop for name, split in splits.items()}
    lags = har_lags(_market_of(measures), max(stops.values()))
    with_falls = max(stops.values()) >= _WEEKS_OF_FALLS * _market_of(measures).buckets_per_week
    sight = _Sight(lags, with_market, with_falls, known_days or KnownDays())
    regression = _fitted(measures, stops, _learnable(measures, splits, lags), sight)
    rows = {
        name: _windows_and_errors(regression.for_symbol(name, frame), frame)
        for name, frame in _learnt_from(regression, measures).items()
    }
    return HarLstmTargets(
        {name: windows for name, (windows, _) in rows.items()},
        {name: errors.astype(np.float32) for name, (_, errors) in rows.items()},
        regression,
    )


def _learnable(measures: Measures, splits: Mapping[str, TimeSplit], lags: tuple[int, ...]) -> list[Horizon]:
    """Horizons of which each symbol has outcomes enough to train on, and one at least to learn bounds from."""
    enough = {name: split for name, split in splits.items() if split.train.stop >= lags[-1] + _FEWEST_ROWS}
    horizons = []
    for horizon in horizons_of(_market_of(measures)):
        counts = [_outcome_counts(measures[name], split, lags[-1], horizon) for name, split in enough.items()]
        trained, validated = zip(*counts, strict=True) if counts else ((0,), (0,))
        if horizon == 1 and counts and not any(validated):
            raise NotEnoughDataError(
                "prices move in no bucket of the validation part that has history enough; they must in one at least, "
                "so that bounds can be learnt; give a longer span, or a larger validation_split."
            )
        if min(trained) >= _FEWEST_OUTCOMES and any(validated):
            horizons.append(horizon)
    return horizons


def _outcome_counts(measures: pd.DataFrame, split: TimeSplit, history: int, horizon: Horizon) -> tuple[int, int]:
    """How many outcomes of a horizon end in the training part, and how many begin and end in the validation part."""
    outcomes = horizon_outcomes(measures.iloc[: split.validation.stop], horizon)
    rows = np.arange(max(history, STEPS), split.validation.stop)
    moved = outcomes.volatility[rows] > RV_FLOOR
    trained = outcomes.known_with[rows] < split.train.stop
    return int(trained.sum()), int((moved & (rows >= split.validation.start)).sum())


def with_networks(
    recipe: HarLstm, networks: Sequence[Network], measures: Measures, splits: Mapping[str, TimeSplit]
) -> HarLstm:
    """The recipe that serves: weight and bounds learnt on the validation parts, regression sums of both parts.

    Where the networks add nothing, the weight is 0 and the regression serves alone.
    """
    frames = _learnt_from(recipe, measures)
    corrections = [_correction(recipe, networks, frame, splits[name]) for name, frame in frames.items()]
    weight = NetworkWeight.fit(*(np.concatenate(parts) for parts in zip(*corrections, strict=True)))
    if weight.supported < _LEAST_WEIGHT:
        weight = NetworkWeight.fixed(0.0)
    # The days that the weight is learnt from do not move it a second time.
    chosen = replace(recipe, weight=NetworkWeight.fixed(weight.supported))
    trackers = {horizon: _trackers(chosen, networks, frames, splits, horizon) for horizon in recipe.horizons}
    stops = {name: split.validation.stop for name, split in splits.items()}
    # Of many symbols, what they are like is learnt anew of both parts, too: that forecasts a fifth of a percent better.
    earlier = recipe if len(recipe.symbols) == 1 else None
    final = _fitted(measures, stops, recipe.horizons, _Sight.of(recipe.features), earlier)
    return replace(
        chosen,
        weight=weight.of_one_among(len(frames)),
        features=final.features,
        horizons={name: replace(state, tracker=trackers[name][0]) for name, state in final.horizons.items()},
        symbols={name: _with_trackers(name, state, trackers) for name, state in final.symbols.items()},
        trained_through=final.trained_through,
    )


def _learnt_from(recipe: HarLstm, measures: Measures) -> dict[str, pd.DataFrame]:
    """Measures, with the market's, of the symbols that the model is trained on."""
    return recipe.with_market({name: frame for name, frame in measures.items() if name in recipe.symbols})


def _windows_and_errors(state: HarLstmState, measures: pd.DataFrame) -> tuple[Float32Array3D, Float64Array1D]:
    """Windows of shape (n, STEPS, F), F being 0 of bars longer than a step, and how far the regression is from the log.

    Row i belongs to bucket ``state.memory + i``; the regression is as it was fitted, not refitted.
    """
    features, one_bucket, labels = state.features, state.horizons[1], time_index(measures)
    hours, opens, rows = _hours_of(measures), opens_market(measures), np.arange(state.memory, len(measures))
    nights = features.nights_before(measures)[rows]
    windows = np.empty((len(rows), STEPS, 0), dtype=np.float32)
    if features.step_inputs:
        steps = StepWindows(features, HourlyTable.of(measures))
        steps.take_in()
        windows = steps.windows(rows - 1, hours[rows], opens[rows])
    moments = _moments(labels)[rows]
    design = features.design(features.states(measures), rows - 1, moments, hours[rows], opens[rows], nights)
    regression = one_bucket.regression
    forecast = one_bucket.profile[hours[rows]] + design @ regression.coefficients + regression.log_smearing
    realized = measures["rv_hourly"].to_numpy()[rows]
    errors = np.log(np.maximum(realized, RV_FLOOR)) - forecast
    return windows, np.where(realized > RV_FLOOR, errors, 0.0)


def _fitted(
    measures: Measures,
    stops: Mapping[str, int],
    horizons: Iterable[Horizon],
    sight: _Sight,
    earlier: HarLstm | None = None,
) -> HarLstm:
    """Profiles and regressions of these horizons on each symbol's buckets before its stop, bounds yet to be learnt.

    The states are those of the `earlier` recipe where there is one: its networks know no others.
    """
    fewest = sight.lags[-1] + _FEWEST_ROWS
    frames = {name: frame.iloc[: stops[name]] for name, frame in measures.items() if stops[name] >= fewest}
    if not frames:
        raise NotEnoughDataError(
            f"of {counted(len(measures), 'symbol')} none has {fewest} buckets to train on; one at least must; give "
            "bars that begin earlier."
        )
    sees_market = sight.with_market and len(frames) >= FEWEST_IN_MARKET
    recipe = _without_regressions(frames, replace(sight, with_market=sees_market), earlier)
    frames = recipe.with_market(frames)
    of_symbol = {name: recipe.for_symbol(name, frame).features for name, frame in frames.items()}
    states = {name: of_symbol[name].states(frame) for name, frame in frames.items()}
    nights = {name: of_symbol[name].nights_before(frame) for name, frame in frames.items()}
    features = recipe.features
    if earlier is None:
        opens = [opens_market(frame) for frame in frames.values()]
        features = features.scaled(list(states.values()), opens, list(nights.values()))
    scaled = {name: replace(features, known_days=one.known_days) for name, one in of_symbol.items()}
    fits = {horizon: _fitted_horizon(frames, states, nights, scaled, horizon) for horizon in horizons}
    symbols = {
        name: SymbolState(state.profile, {horizon: of_each[name] for horizon, (_, of_each) in fits.items()})
        for name, state in recipe.symbols.items()
    }
    typical = {horizon: state for horizon, (state, _) in fits.items()}
    return replace(recipe, features=features, horizons=typical, symbols=symbols)


def _without_regressions(frames: Measures, sight: _Sight, earlier: HarLstm | None) -> HarLstm:
    """A recipe that knows the symbols' profiles: the `earlier` recipe's, and those of the symbols that it has not."""
    learnt = {} if earlier is None else earlier.symbols
    inputs = _step_inputs(frames, with_market=sight.with_market) if earlier is None else earlier.features.step_inputs
    with_nights = all(map(have_nights, frames.values())) if earlier is None else earlier.features.with_nights
    profiles = {
        name: learnt[name].profile if name in learnt else _profile(frame, bool(inputs), with_nights)
        for name, frame in frames.items()
    }
    if earlier is None:
        hours = np.unique(np.concatenate([_hours_of(frame) for frame in frames.values()]))
        typical = np.mean(list(profiles.values()), axis=0)
        features = IntradayFeatures.unscaled(
            typical,
            hours,
            sight.lags,
            with_market=sight.with_market,
            step_inputs=inputs,
            with_nights=with_nights,
            known_days=sight.known_days,
            with_falls=sight.with_falls,
        )
    else:
        features = earlier.features
    return HarLstm(
        features=features,
        horizons={},
        window=STEPS,
        correction_spread=1.0,
        weight=NetworkWeight.fixed(0.0),
        smearing_shift=0.0,
        trained_through=max(frame.index[-1] for frame in frames.values()),
        symbols={name: SymbolState(profile, {}) for name, profile in profiles.items()},
    )


def _profile(measures: pd.DataFrame, with_steps: bool, with_nights: bool) -> Float64Array2D:
    """Hour-of-day means of the logs of measures; a night's are the same whichever the last hour before it."""
    logs = log_measures(measures, with_steps=with_steps, with_nights=with_nights)
    slots = market_of(measures).slots
    profile = hour_means(logs, _hours_of(measures), slots)
    if with_nights:
        every_hour = np.zeros(len(logs), dtype=np.int64)
        profile[:, -len(NIGHT_PARTS) :] = hour_means(logs[:, -len(NIGHT_PARTS) :], every_hour, slots)
    return profile


def _market_of(measures: Measures) -> TradingMarket:
    return market_of(next(iter(measures.values())))


def _hours_of(measures: pd.DataFrame) -> Int64Array1D:
    return market_of(measures).hours_of_labels(time_index(measures))


def _moments(labels: pd.DatetimeIndex) -> Int64Array1D:
    return labels.as_unit("us").asi8


def _step_inputs(frames: Measures, *, with_market: bool) -> tuple[str, ...]:
    """What networks can learn from of the bars' last steps."""
    columns = np.concatenate([columns_of(frame, STEP_MEASURES) for frame in frames.values()])
    return step_inputs_of(columns, with_market=with_market)


def _fitted_horizon(
    frames: Measures,
    states: Mapping[str, Float64Array2D],
    nights: Mapping[str, Float64Array2D],
    features: Mapping[str, IntradayFeatures],
    horizon: Horizon,
) -> tuple[HorizonState, dict[str, SymbolHorizon]]:
    """A horizon's regression on all rows of all symbols: what a typical symbol has of it, and what each has."""
    profiles, designs, targets = {}, {}, {}
    slots = _market_of(frames).slots
    for name, frame in frames.items():
        outcomes, hours = horizon_outcomes(frame, horizon), _hours_of(frame)
        ended = outcomes.known_with < len(frame)
        logs = np.log(np.maximum(outcomes.volatility, RV_FLOOR))
        profiles[name] = hour_means(logs[ended][:, None], hours[ended], slots)[:, 0]
        rows = np.flatnonzero(ended)
        rows = rows[rows >= features[name].history]
        labels, opens, before = _moments(time_index(frame)), opens_market(frame), nights[name][rows]
        designs[name] = features[name].design(states[name], rows - 1, labels[rows], hours[rows], opens[rows], before)
        targets[name] = logs[rows] - profiles[name][hours[rows]]
    term_count = next(iter(features.values())).term_count
    regression = fit_state(np.concatenate(list(designs.values())), np.concatenate(list(targets.values())), term_count)
    coefficients, symbols = regression.coefficients, {}
    unknown = QuantileTracker(np.ones(slots), 1.0, 0.0, 0.0)
    for name, target in targets.items():
        smearing_sum = float(np.exp(2 * (target - designs[name] @ coefficients)).sum())
        has_regression = horizon == 1 and len(frames) > 1
        of_symbol = fit_state(designs[name], target, term_count) if has_regression else None
        symbols[name] = SymbolHorizon(profiles[name], float(len(target)), smearing_sum, unknown, of_symbol)
    typical = regression if len(frames) == 1 else _typical(regression)
    return HorizonState(np.mean(list(profiles.values()), axis=0), typical, unknown), symbols


def _typical(regression: RegressionState) -> RegressionState:
    """With the smearing of a symbol of a few hundred buckets: a new symbol's own errors are to count soon."""
    mean = regression.smearing_sum / regression.count
    return replace(regression, count=_TYPICAL_COUNT, smearing_sum=mean * _TYPICAL_COUNT)


def _correction(
    recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, split: TimeSplit
) -> tuple[Float64Array1D, Float64Array1D, Int64Array1D]:
    """Log errors of the regression in the validation part, what networks would change of its log, and the days."""
    positions = _validation(split, recipe)
    labels, realized = time_index(measures)[positions], measures["rv_hourly"].iloc[positions].to_numpy()
    moved = realized > RV_FLOOR
    alone, together = (
        replace(recipe, weight=NetworkWeight.fixed(weight))
        .forecast(networks, measures, labels, positions)
        .volatility[moved]
        for weight in (0.0, 1.0)
    )
    return np.log(realized[moved] / alone), np.log(together / alone), market_of(measures).days_of_labels(labels)[moved]


def _validation(split: TimeSplit, recipe: HarLstm) -> Int64Array1D:
    return np.arange(max(split.validation.start, recipe.memory), split.validation.stop)


@dataclass(frozen=True)
class _Errors:
    """Log errors of one symbol's validation part, their clock hours, and how long each of its outcomes took."""

    logs: Float64Array1D
    hours: Int64Array1D
    waits: Int64Array1D

    def tracker(self, slots: int) -> QuantileTracker:
        return QuantileTracker.fit(self.logs, self.hours, float(np.mean(self.waits)), slots)


def _trackers(
    recipe: HarLstm,
    networks: Sequence[Network],
    frames: Measures,
    splits: Mapping[str, TimeSplit],
    horizon: Horizon,
) -> tuple[QuantileTracker, dict[str, QuantileTracker]]:
    """Bounds of a horizon: a typical symbol's, and those of each that has enough to have its own."""
    slots = len(recipe.features.profile)
    errors = [_errors(recipe, networks, frame, splits[name], horizon) for name, frame in frames.items()]
    every = _Errors(*(np.concatenate([getattr(one, name) for one in errors]) for name in _Errors.__dataclass_fields__))
    enough = {name: one for name, one in zip(frames, errors, strict=True) if len(one.logs) >= _FEWEST_ROWS}
    of_each = {name: one.tracker(slots) for name, one in enough.items()}
    return every.tracker(slots), of_each


def _errors(
    recipe: HarLstm, networks: Sequence[Network], measures: pd.DataFrame, split: TimeSplit, horizon: Horizon
) -> _Errors:
    positions, realized, waits = _outcomes(recipe, measures, split, horizon)
    labels = time_index(measures)[positions]
    forecast = recipe.forecast(networks, measures, labels, positions, horizon).volatility
    moved = realized > RV_FLOOR
    return _Errors(np.log(realized[moved] / forecast[moved]), market_of(measures).hours_of_labels(labels)[moved], waits)


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
