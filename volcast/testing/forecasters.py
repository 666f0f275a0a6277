"""The rules of a forecaster: no look at the future, volatilities in their unit, the same for the same history."""

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecasters.horizons import Horizon, IntervalForecast, horizons_of
from volcast.forecasters.recipe import ForecastRecipe, recipe_from_dict
from volcast.forecasters.walk_forward import Forecaster
from volcast.markets.registry import market_of
from volcast.measures.hourly import get_hourly_measures
from volcast.networks.onnx import Network
from volcast.testing.rules import require, require_equal

__all__ = ["check_baseline", "check_forecaster", "check_recipe", "simulated_measures"]

IntervalForecaster = Callable[[pd.DataFrame, pd.DatetimeIndex, Int64Array1D], IntervalForecast]

_FIRST = 320
_TARGETS, _AHEAD = 40, 3
_FARTHEST = 5.0
_SCALE_TOLERANCE = 1e-6
_ROUNDING = 1e-12


def simulated_measures(power: float = 1.0) -> pd.DataFrame:
    """Hourly measures of half a year of simulated five-minute bars, the same at each call.

    Parameters
    ----------
    power
        What prices are raised to before they are measured: 2 doubles all volatilities.
    """
    bars = simulate_bars("CHECK", "2024-01-02", "2024-06-28", minutes=5)
    prices = ["open", "high", "low", "close"]
    bars[prices] = bars[prices] ** power
    return get_hourly_measures(bars)


def check_forecaster(
    forecast: Forecaster | IntervalForecaster, measures: pd.DataFrame | None = None, *, first: int = _FIRST
) -> None:
    """Check ``forecast(measures, targets, known)``, a baseline, a fitted model or your own.

    - One volatility for each target, positive and finite.
    - Its unit is that of ``rv_hourly``: of the bucket, decimal, not annualized (half of all forecasts lie within a
      factor of five of what came).
    - It gives the same for the same arguments, and leaves them as they are.
    - It sees only the first ``known[i]`` rows: noise in the others, or no others, changes no bit, for the next bucket
      as for one that lies farther ahead.
    - The first targets of many get what they get alone, but for rounding.

    Parameters
    ----------
    forecast
        What is checked.
    measures
        Hourly measures to forecast (see `measures.bucketed`), 60 buckets after `first` at least; None simulates
        half a year.
    first
        The fewest buckets that it is given before a forecast.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which target.

    Examples
    --------
    >>> check_forecaster(lambda measures, targets, known: measures["rv_hourly"].to_numpy()[known - 1])
    """
    measures = simulated_measures() if measures is None else measures
    require(
        len(measures) >= first + _TARGETS + 20,
        f"there are {len(measures)} buckets to check with; the rule is {first} + {_TARGETS + 20} at least.",
    )
    rows = np.arange(first, first + _TARGETS) + _AHEAD
    targets = time_index(measures)[rows]
    before = measures.copy()
    forecasts = _volatility(forecast(measures, targets, rows.copy()))
    _check_values(forecasts, measures["rv_hourly"].to_numpy(dtype=float)[rows])
    again = _volatility(forecast(measures, targets, rows.copy()))
    require_equal(again, forecasts, "the same call gives another result")
    require(measures.equals(before), "the measures are changed by the call; they belong to the caller.")
    for known in (rows, rows - _AHEAD):
        _check_no_look_ahead(forecast, measures, targets, known)
    alone = _volatility(forecast(measures, targets[:7], rows[:7]))
    sentence = "the first seven targets get other forecasts when the later ones are not asked"
    require_equal(alone, forecasts[:7], sentence, relative=_ROUNDING)


def check_baseline(baseline: Forecaster) -> None:
    """Check a forecaster that learns from the history it is given, such as those of `forecasters.baselines.registry`.

    - The rules of `check_forecaster`.
    - Twice the volatility of everything gives twice the forecast.
    - With too little history it raises `NotEnoughDataError`, or forecasts something positive and finite.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which target.

    Examples
    --------
    >>> from volcast.forecasters.baselines.simple import persistence
    >>> check_baseline(persistence)
    """
    measures, doubled = simulated_measures(), simulated_measures(power=2.0)
    check_forecaster(baseline, measures)
    rows = np.arange(_FIRST, _FIRST + _TARGETS)
    targets = time_index(measures)[rows]
    require_equal(
        baseline(doubled, targets, rows),
        2 * baseline(measures, targets, rows),
        "twice the volatility does not give twice the forecast",
        relative=_SCALE_TOLERANCE,
    )
    for count in (1, 10, 160):
        try:
            forecasts = baseline(measures, time_index(measures)[count : count + 3], np.arange(count, count + 3))
        except NotEnoughDataError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{count} bucket(s) of history raise {type(error).__name__} ({error}); the rule is a forecast, or a "
                "NotEnoughDataError that says how many are needed."
            ) from error
        _require_positive(forecasts, f"from {count} buckets")


def check_recipe(recipe: ForecastRecipe, networks: Sequence[Network], measures: pd.DataFrame) -> None:
    """Check a fitted recipe with its networks, as a bundle holds them.

    - The rules of `check_forecaster`, for each horizon that it does not refuse by a `ConfigError`; 1 it may not refuse.
    - A target alone gets what it gets among others.
    - Bounds are positive, the lower one below the upper one, or not there at all.
    - Its numbers go through JSON: what comes back forecasts the same, bit for bit.
    - Where it says that it looks at ``rv_hourly`` alone, that column is all it needs.

    Parameters
    ----------
    recipe
        What is checked.
    networks
        Those that it was fitted with.
    measures
        Hourly measures that it can forecast, 60 buckets more than its memory at least.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which target.
    """
    horizons = list(_horizons_of(recipe, networks, measures))
    require(1 in horizons, "the next bucket is refused; every recipe must forecast horizon 1.")
    restored = recipe_from_dict(json.loads(json.dumps(recipe.to_dict())))
    require(restored.kind == recipe.kind, f"the kind {recipe.kind!r} comes back from JSON as {restored.kind!r}.")
    for horizon in horizons:
        forecast, again = (_bound(one, networks, horizon) for one in (recipe, restored))
        if horizon == 1:
            check_forecaster(forecast, measures, first=recipe.memory)
        _check_one_at_a_time(forecast, measures, recipe.memory)
        answer = _asked(forecast, measures, recipe.memory)
        _check_bounds(answer, horizon)
        require_equal(
            _table(_asked(again, measures, recipe.memory)), _table(answer), f"horizon {horizon!r} changes through JSON"
        )
        if recipe.needs_rv_alone:
            alone = _asked(forecast, measures[["rv_hourly"]], recipe.memory)
            require_equal(_table(alone), _table(answer), "needs_rv_alone is true, and other columns change a forecast")


def _horizons_of(recipe: ForecastRecipe, networks: Sequence[Network], measures: pd.DataFrame) -> Iterator[Horizon]:
    for horizon in horizons_of(market_of(measures)):
        try:
            _asked(_bound(recipe, networks, horizon), measures, recipe.memory)
        except ConfigError:
            continue
        yield horizon


def _bound(recipe: ForecastRecipe, networks: Sequence[Network], horizon: Horizon) -> IntervalForecaster:
    def forecast(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> IntervalForecast:
        return recipe.forecast(networks, measures, targets, known, horizon)

    return forecast


def _asked(forecast: IntervalForecaster, measures: pd.DataFrame, first: int) -> IntervalForecast:
    rows = np.arange(first, first + _TARGETS)
    return forecast(measures, time_index(measures)[rows], rows)


def _table(forecast: IntervalForecast) -> Float64Array2D:
    return np.column_stack([forecast.volatility, forecast.lower, forecast.upper])


def _volatility(forecast: Float64Array1D | IntervalForecast) -> Float64Array1D:
    return forecast.volatility if isinstance(forecast, IntervalForecast) else np.asarray(forecast)


def _check_values(forecasts: Float64Array1D, realized: Float64Array1D) -> None:
    require(
        forecasts.shape == realized.shape,
        f"{len(realized)} targets get forecasts of shape {forecasts.shape}; the rule is one number each.",
    )
    _require_positive(forecasts, "of simulated measures")
    distance = float(np.exp(np.median(np.log(forecasts / realized))))
    require(
        1 / _FARTHEST < distance < _FARTHEST,
        f"forecasts are {distance:.3g} times what came; the rule is a bucket's volatility as rv_hourly has it: decimal "
        "(0.004 is 0.4 %), not its square, not annualized.",
    )


def _require_positive(forecasts: npt.ArrayLike, what: str) -> None:
    values = np.asarray(forecasts, dtype=float)
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise AssertionError(f"forecast {first} {what} is {float(values[first])!r}; the rule is positive and finite.")


def _check_no_look_ahead(
    forecast: Forecaster | IntervalForecaster, measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D
) -> None:
    for count in (1, len(known) // 2, len(known)):
        stop, asked = int(known[count - 1]), (targets[:count], known[:count])
        expected = _volatility(forecast(measures, *asked))
        for what, changed in (("are noise", _with_noise_from(measures, stop)), ("are missing", measures.iloc[:stop])):
            require_equal(
                _volatility(forecast(changed, *asked)),
                expected,
                f"a forecast from the first {stop} rows changes where the rows after them {what}: it looks ahead",
            )


def _with_noise_from(measures: pd.DataFrame, row: int) -> pd.DataFrame:
    changed = measures.copy()
    random = np.random.default_rng(1)
    changed.iloc[row:] = changed.iloc[row:] * random.lognormal(0, 1, (len(changed) - row, changed.shape[1]))
    return changed


def _check_one_at_a_time(forecast: IntervalForecaster, measures: pd.DataFrame, first: int) -> None:
    together = _volatility(_asked(forecast, measures, first))
    for place in (1, _TARGETS // 2, _TARGETS - 1):
        row = np.array([first + place])
        alone = _volatility(forecast(measures, time_index(measures)[row], row))
        require_equal(
            alone, together[place : place + 1], f"target {place} gets another forecast alone than among others"
        )


def _check_bounds(forecast: IntervalForecast, horizon: Horizon) -> None:
    missing = np.isnan(forecast.lower) & np.isnan(forecast.upper)
    ordered = (forecast.lower > 0) & (forecast.lower < forecast.upper) & np.isfinite(forecast.upper)
    require(
        bool((missing | ordered).all()),
        f"bounds of horizon {horizon!r} are not in order; the rule is 0 < lower < upper, or NaN both.",
    )
