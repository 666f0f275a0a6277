"""From the measures of many symbols to one pooled model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import NotEnoughDataError
from volcast.features.intraday import (
    HISTORY,
    IntradayFeatures,
    hour_means,
    log_measures,
    new_york_days,
    opens_session,
    states_of,
    terms_of,
    with_market_states,
)
from volcast.forecasters.har_lstm.pooled import PooledHarLstm, SymbolState, market_states
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import RegressionState, fit_state
from volcast.forecasters.har_lstm.state import HorizonState
from volcast.forecasters.intervals import QuantileTracker
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network
from volcast.sessions import session_hours
from volcast.training.har_lstm import learnt_weight, windows_and_errors

__all__ = ["PooledParts", "PooledTargets", "finished_pooled_recipe", "pooled_targets"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_FEWEST_ROWS = 50
_TYPICAL_COUNT = 500.0


@dataclass(frozen=True)
class PooledParts:
    """Labels that part all symbols alike: training before `validation`, validation before `test`."""

    validation: pd.Timestamp
    test: pd.Timestamp


@dataclass(frozen=True)
class PooledTargets:
    """What the networks of a pooled model are trained on.

    Attributes
    ----------
    train, validation
        Windows of shape (n, window, F) and targets of shape (n,), all symbols after one another.
    recipe
        Fitted on the training part.
    """

    train: tuple[Float32Array, Float32Array]
    validation: tuple[Float32Array, Float32Array]
    recipe: PooledHarLstm


def pooled_targets(measures: Mapping[str, pd.DataFrame], parts: PooledParts, window: int) -> PooledTargets:
    """Fit profiles, scales and regression on the training part of all symbols; the errors are what networks learn.

    Parameters
    ----------
    measures
        By symbol, see `measures.bucketed`. Spans may differ, have holes, begin late; a symbol with fewer than
        ``HISTORY + 50`` training buckets is not learnt from, but is served.
    parts
        Where training and validation end.
    window
        Buckets that a network looks back.

    Raises
    ------
    NotEnoughDataError
        No symbol has enough training buckets.
    """
    recipe = _fitted(measures, parts.validation, window)
    train, validation = _Rows([], []), _Rows([], [])
    for name, frame in _learnt_from(recipe, measures).items():
        windows, errors = windows_and_errors(recipe.for_symbol(name, frame), frame)
        labels = frame.index[HISTORY:]
        begin, end = labels.searchsorted(parts.validation), labels.searchsorted(parts.test)
        train.add(windows[:begin], errors[:begin])
        validation.add(windows[begin:end], errors[begin:end])
    spread = float(np.std(np.concatenate(train.errors))) or 1.0
    shared = replace(recipe.shared, correction_spread=spread)
    return PooledTargets(train.arrays(spread), validation.arrays(spread), replace(recipe, shared=shared))


def finished_pooled_recipe(
    recipe: PooledHarLstm, networks: Sequence[Network], measures: Mapping[str, pd.DataFrame], parts: PooledParts
) -> PooledHarLstm:
    """The recipe that serves: weight and bounds learnt on the validation part, profiles and regression of both."""
    alone = _validation_errors(replace(recipe, shared=replace(recipe.shared, weight=0.0)), networks, measures, parts)
    together = _validation_errors(replace(recipe, shared=replace(recipe.shared, weight=1.0)), networks, measures, parts)
    errors = np.concatenate([errors for _, errors in alone.values()])
    correction = errors - np.concatenate([errors for _, errors in together.values()])
    weight, shift = learnt_weight(errors, correction)
    chosen = replace(recipe, shared=replace(recipe.shared, weight=weight, smearing_shift=shift))
    served = _validation_errors(chosen, networks, measures, parts)
    trackers = {name: QuantileTracker.fit(errors, hours) for name, (hours, errors) in served.items()}
    typical = QuantileTracker.fit(
        np.concatenate([errors for _, errors in served.values()]),
        np.concatenate([hours for hours, _ in served.values()]),
    )
    final = _fitted(measures, parts.test, recipe.shared.window)
    shared = final.shared
    state = replace(shared.horizons[1], tracker=typical)
    return PooledHarLstm(
        # The networks know the scales of the training part.
        replace(
            shared,
            horizons={1: state},
            correction_spread=chosen.shared.correction_spread,
            weight=weight,
            smearing_shift=shift,
        ),
        {name: replace(own, tracker=trackers.get(name, typical)) for name, own in final.symbols.items()},
    )


def _fitted(measures: Mapping[str, pd.DataFrame], stop: pd.Timestamp, window: int) -> PooledHarLstm:
    """Profiles, scales and regression of all buckets labelled before `stop`."""
    known = {name: frame[frame.index < stop] for name, frame in measures.items()}
    known = {name: frame for name, frame in known.items() if len(frame) >= HISTORY + _FEWEST_ROWS}
    if not known:
        raise NotEnoughDataError(
            f"none of {len(measures)} symbols has {HISTORY + _FEWEST_ROWS} hourly buckets before {stop:%Y-%m-%d}; one "
            "at least must; give bars that begin earlier."
        )
    profiles = {name: hour_means(log_measures(frame), session_hours(frame.index)) for name, frame in known.items()}
    own = {
        name: states_of(log_measures(frame) - profiles[name][session_hours(frame.index)])
        for name, frame in known.items()
    }
    market = market_states({name: pd.DataFrame(states, known[name].index) for name, states in own.items()})
    states = {name: with_market_states(own[name], market.reindex(frame.index)) for name, frame in known.items()}
    terms = {
        name: terms_of(states[name], np.arange(HISTORY - 1, len(frame) - 1), opens_session(frame.index)[HISTORY:])
        for name, frame in known.items()
    }
    hours = np.unique(np.concatenate([session_hours(frame.index) for frame in known.values()]))
    features = IntradayFeatures.pooled(
        np.mean(list(profiles.values()), axis=0),
        hours,
        np.concatenate(list(states.values())),
        np.concatenate(list(terms.values())),
    )
    return _regressed(known, states, profiles, features, window)


def _regressed(
    known: Mapping[str, pd.DataFrame],
    states: Mapping[str, FloatArray],
    profiles: Mapping[str, FloatArray],
    features: IntradayFeatures,
    window: int,
) -> PooledHarLstm:
    designs, outcomes = {}, {}
    for name, frame in known.items():
        rows, hours = np.arange(HISTORY, len(frame)), session_hours(frame.index)
        days, opens = new_york_days(frame.index), opens_session(frame.index)
        designs[name] = features.design(states[name], rows - 1, hours[rows], days[rows], opens[rows])
        outcomes[name] = log_measures(frame)[rows, 0] - profiles[name][hours[rows], 0]
    regression = fit_state(
        np.concatenate(list(designs.values())), np.concatenate(list(outcomes.values())), features.term_count
    )
    coefficients = regression.coefficients
    unknown = QuantileTracker(np.ones(24), 1.0, 0.0, 0.0)
    symbols = {
        name: SymbolState(
            profiles[name],
            float(len(outcomes[name])),
            float(np.exp(2 * (outcomes[name] - designs[name] @ coefficients)).sum()),
            unknown,
        )
        for name in known
    }
    shared = HarLstm(
        features, {1: HorizonState(features.profile[:, 0], _typical(regression), unknown)}, window, 1.0, 0.0, 0.0,
        max(frame.index[-1] for frame in known.values()),
    )  # fmt: skip
    return PooledHarLstm(shared, symbols)


def _typical(regression: RegressionState) -> RegressionState:
    """With the smearing of a symbol of a few hundred buckets: a new symbol's own errors are to count soon."""
    mean = regression.smearing_sum / regression.count
    return replace(regression, count=_TYPICAL_COUNT, smearing_sum=mean * _TYPICAL_COUNT)


def _learnt_from(recipe: PooledHarLstm, measures: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Measures, with the market's, of the symbols that the model is trained on."""
    return recipe.with_market({name: frame for name, frame in measures.items() if name in recipe.symbols})


def _validation_errors(
    recipe: PooledHarLstm, networks: Sequence[Network], measures: Mapping[str, pd.DataFrame], parts: PooledParts
) -> dict[str, tuple[IntArray, FloatArray]]:
    """Hours, and log of realized over forecast volatility, of each symbol's buckets in the validation part."""
    errors = {}
    for name, frame in _learnt_from(recipe, measures).items():
        begin, end = frame.index.searchsorted(parts.validation), frame.index.searchsorted(parts.test)
        positions = np.arange(max(begin, recipe.memory), end)
        realized = frame["rv_hourly"].to_numpy()[positions]
        positions, realized = positions[realized > RV_FLOOR], realized[realized > RV_FLOOR]
        if len(positions) >= _FEWEST_ROWS:
            labels = frame.index[positions]
            forecast = recipe.forecast(networks, frame, labels, positions)
            errors[name] = session_hours(labels), np.log(realized / forecast)
    return errors


@dataclass(frozen=True)
class _Rows:
    """Windows and errors of symbol after symbol."""

    windows: list[Float32Array]
    errors: list[FloatArray]

    def add(self, windows: Float32Array, errors: FloatArray) -> None:
        self.windows.append(windows)
        self.errors.append(errors)

    def arrays(self, spread: float) -> tuple[Float32Array, Float32Array]:
        """Windows and standardized targets, all symbols after one another."""
        return np.concatenate(self.windows), (np.concatenate(self.errors) / spread).astype(np.float32)
