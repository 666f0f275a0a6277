"""What a model forecasts from one table of measures, carried on as the table grows."""

from typing import Protocol

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.forecasters.baselines.running_ewma import RunningEwma
from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.horizons import Horizon, IntervalForecast, over_horizon
from volcast.forecasters.seasonality import TypicalDays, deseasonalized_volatility
from volcast.forecasters.tables import HourlyTable
from volcast.serving.served_model import ServedModel
from volcast.store.bundle import ModelBundle

__all__ = ["TableForecasts"]

_Answer = tuple[IntervalForecast, Float64Array1D]


class TableForecasts:
    """Forecasts of a model from one table; whoever changes rows of the table says so to `forget`.

    Parameters
    ----------
    model
        What forecasts.
    table
        Hourly measures.
    state
        The model's numbers for the table's symbol, None where its recipe carries nothing on.
    """

    def __init__(self, model: ServedModel, table: HourlyTable, state: HarLstmState | None) -> None:
        self.table, self.state = table, state
        self._market, self._has_sessions = table.market, model.preset == "session"
        self._source = _source_of(model, table, state)
        self._last: dict[Horizon, tuple[tuple[int, int, int], _Answer]] = {}

    def forget(self, row: int) -> None:
        """Rows of the table from `row` on have changed, or are new."""
        if row < len(self.table):
            self._last.clear()
        self._source.forget(row)

    def of(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> _Answer:
        """Forecasts of the buckets with these labels, each from its `known` leading rows, shape (n,) each.

        Beside them the annualized volatility of the whole session that each implies, shape (n,).
        """
        if len(labels) != 1:
            return self._of_new(labels, known, horizon)
        asked = int(labels[0]), int(known[0]), self.table.edition
        if horizon not in self._last or self._last[horizon][0] != asked:
            self._last[horizon] = asked, self._of_new(labels, known, horizon)
        return self._last[horizon][1]

    def _of_new(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> _Answer:
        if not len(labels):
            return IntervalForecast(np.empty(0), np.empty(0), np.empty(0)), np.empty(0)
        forecast = self._source.forecast(labels, known, horizon)
        if not self._has_sessions:
            return forecast, np.full(len(labels), np.nan)
        typical = self._source.typical_days(known)
        return forecast, deseasonalized_volatility(forecast.volatility, labels, typical, horizon, self._market)


class _Source(Protocol):
    """What makes the forecasts of a kind of model; arguments as in `TableForecasts`."""

    def forget(self, row: int) -> None: ...

    def forecast(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> IntervalForecast: ...

    def typical_days(self, known: Int64Array1D) -> TypicalDays: ...


def _source_of(model: ServedModel, table: HourlyTable, state: HarLstmState | None) -> _Source:
    if model.bundle is None:
        return _Fallback(table)
    return _Carried(model.bundle, table, state) if state is not None else _Recipe(model.bundle, table)


class _Fallback:
    def __init__(self, table: HourlyTable) -> None:
        self._ewma, self._market = RunningEwma(table), table.market

    def forget(self, row: int) -> None:
        self._ewma.forget(row)

    def forecast(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> IntervalForecast:
        def of_single(measures: pd.DataFrame, targets: pd.DatetimeIndex, rows: Int64Array1D) -> Float64Array1D:
            return self._ewma.forecast(targets.as_unit("us").asi8, rows)

        if horizon == 1:
            return _without_bounds(self._ewma.forecast(labels, known))
        index = self._market.clock.times(labels)
        return _without_bounds(over_horizon(of_single, pd.DataFrame(), index, known, horizon, self._market))

    def typical_days(self, known: Int64Array1D) -> TypicalDays:
        return TypicalDays.of(self._ewma.levels(known), self._market)


class _Recipe:
    """A recipe of single buckets, which makes each forecast from a frame of all measures."""

    def __init__(self, bundle: ModelBundle, table: HourlyTable) -> None:
        self._bundle, self._table = bundle, table
        self._typical_days = TypicalDays.of(np.exp(bundle.recipe.hour_profile)[None], table.market)

    def forget(self, row: int) -> None:
        """It remembers no row."""

    def forecast(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> IntervalForecast:
        def of_single(measures: pd.DataFrame, targets: pd.DatetimeIndex, rows: Int64Array1D) -> Float64Array1D:
            return self._bundle.forecast(measures, targets, rows).volatility

        frame, index = self._table.frame, self._table.market.clock.times(labels)
        if horizon == 1:
            return self._bundle.forecast(frame, index, known)
        return _without_bounds(over_horizon(of_single, frame, index, known, horizon, self._table.market))

    def typical_days(self, known: Int64Array1D) -> TypicalDays:
        return self._typical_days


class _Carried:
    """The default recipe's forecasts, by horizon."""

    def __init__(self, bundle: ModelBundle, table: HourlyTable, state: HarLstmState) -> None:
        self._bundle, self._table, self._state = bundle, table, state
        self._typical_days = TypicalDays.of(np.exp(state.hour_profile)[None], table.market)
        self._running: dict[Horizon, RunningForecast] = {}

    def forget(self, row: int) -> None:
        for running in self._running.values():
            running.forget(row)

    def forecast(self, labels: Int64Array1D, known: Int64Array1D, horizon: Horizon) -> IntervalForecast:
        if horizon not in self._running:
            self._running[horizon] = RunningForecast(self._state, self._bundle.networks_as_one, horizon, self._table)
        with np.errstate(all="ignore"):
            forecast = self._running[horizon].forecast(labels, known)
        return self._bundle.sound(forecast)

    def typical_days(self, known: Int64Array1D) -> TypicalDays:
        return self._typical_days


def _without_bounds(volatility: Float64Array1D) -> IntervalForecast:
    """Forecasts by what has no bounds, as for the sum of a horizon's buckets."""
    unknown = np.full(len(volatility), np.nan)
    return IntervalForecast(volatility, unknown, unknown)
