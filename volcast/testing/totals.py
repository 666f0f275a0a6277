"""The rules of a baseline of total volatility: no look at the future, volatilities in their unit."""

from dataclasses import replace

import numpy as np

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import NotEnoughDataError
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.baselines import TotalForecaster
from volcast.forecasters.total.session_table import SessionTable
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.testing.rules import require, require_equal

__all__ = ["check_total_baseline"]

_LATER = 4_102_444_800_000_000
_FIRST, _TARGETS = 120, 20
_FARTHEST = 5.0
_SCALE_TOLERANCE = 1e-3


def check_total_baseline(baseline: TotalForecaster) -> None:
    """Check ``forecast(sessions, known, count)``, such as those of `forecasters.total.baselines`.

    - One volatility for each forecast, positive and finite, over the whole horizon: decimal, not annualized (half of
      all forecasts lie within a factor of five of what came).
    - It gives the same for the same arguments, and leaves the sessions as they are.
    - It sees only the first ``known[i]`` sessions: noise in the others, or no others, changes no bit.
    - Twice the volatility of everything gives twice the forecast, as far as an estimate by a search can.
    - With too little history it raises `NotEnoughDataError`, or forecasts something positive and finite.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which forecast.

    Examples
    --------
    >>> from volcast.forecasters.total.baselines import daily_ewma
    >>> check_total_baseline(daily_ewma)
    """
    sessions, doubled = _simulated_sessions(1.0), _simulated_sessions(2.0)
    known = np.arange(_FIRST, _FIRST + _TARGETS)
    for count in TOTAL_HORIZONS.values():
        before = _values(sessions)
        forecasts = baseline(sessions, known.copy(), count)
        _check_values(forecasts, sessions.outcomes(count)[known - 1], count)
        require_equal(baseline(sessions, known, count), forecasts, "the same call gives another result")
        require_equal(_values(sessions), before, "the sessions are changed by the call; they belong to the caller")
        _check_no_look_ahead(baseline, sessions, known, count)
        sentence = "twice the volatility does not give twice the forecast"
        require_equal(baseline(doubled, known, count), 2 * forecasts, sentence, relative=_SCALE_TOLERANCE)
    _check_short_histories(baseline, sessions)


def _simulated_sessions(power: float) -> SessionTable:
    bars = simulate_bars("CHECK", "2024-01-02", "2024-09-30", minutes=5)
    prices = ["open", "high", "low", "close"]
    bars[prices] = bars[prices] ** power
    return SessionTable.of(HourlyTable.of(get_hourly_measures(bars)), _LATER, market_named(DEFAULT_MARKET))


def _values(sessions: SessionTable) -> Float64Array1D:
    return np.concatenate([np.asarray(column, dtype=float) for column in sessions.columns()])


def _check_values(forecasts: Float64Array1D, realized: Float64Array1D, count: int) -> None:
    require(
        forecasts.shape == realized.shape,
        f"{len(realized)} forecasts over {count} sessions have shape {forecasts.shape}; the rule is one number each.",
    )
    _require_positive(forecasts, f"over {count} sessions")
    distance = float(np.exp(np.median(np.log(forecasts / realized))))
    require(
        1 / _FARTHEST < distance < _FARTHEST,
        f"forecasts over {count} sessions are {distance:.3g} times what came; the rule is the volatility of all of "
        "them together: decimal (0.04 is 4 %), not its square, not annualized.",
    )


def _require_positive(forecasts: Float64Array1D, what: str) -> None:
    wrong = ~(np.isfinite(forecasts) & (forecasts > 0))
    require(not wrong.any(), f"a forecast {what} is {forecasts[wrong][:1].tolist()}; the rule is positive and finite.")


def _check_no_look_ahead(baseline: TotalForecaster, sessions: SessionTable, known: Int64Array1D, count: int) -> None:
    random = np.random.default_rng(1)
    for place in (1, len(known) // 2, len(known)):
        stop, asked = int(known[place - 1]), known[:place]
        noise = np.where(np.arange(len(sessions)) < stop, 1.0, random.lognormal(0, 1, len(sessions)))
        noisy = replace(
            sessions,
            variance=sessions.variance * noise,
            parkinson=sessions.parkinson * noise,
            ending=sessions.ending * noise,
            day_return=sessions.day_return * noise,
            night=sessions.night * noise,
        )
        cut = sessions.leading(stop)
        expected = baseline(sessions, asked, count)
        for what, changed in (("are noise", noisy), ("are missing", cut)):
            sentence = f"a forecast from {stop} sessions changes where those after them {what}: it looks ahead"
            require_equal(baseline(changed, asked, count), expected, sentence)


def _check_short_histories(baseline: TotalForecaster, sessions: SessionTable) -> None:
    for count in (2, 10, 50):
        try:
            forecasts = baseline(sessions, np.arange(count, count + 3), 1)
        except NotEnoughDataError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{count} sessions of history raise {type(error).__name__} ({error}); the rule is a forecast, or a "
                "NotEnoughDataError that says how many are needed."
            ) from error
        _require_positive(forecasts, f"from {count} sessions")
