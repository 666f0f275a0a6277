"""The default forecast, carried on from call to call: each costs the buckets that are new, not those since training.

A series of forecasts and a single one are the same code: all buckets are new to a series, one is to the next call of a
live loop. What a bucket adds is the same to the last bit however many come at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from volcast.arrays import BoolArray1D, Float64Array1D, Float64Array2D, GrowingArray, Int64Array1D
from volcast.counts import counted
from volcast.errors import BarsError
from volcast.features.intraday import IntradayFeatures
from volcast.forecasters.har_lstm.regression import RefittedRegression
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.har_lstm.weight import RunningWeight
from volcast.forecasters.har_lstm.windows import NetworkWindows, StateWindows, StepWindows
from volcast.forecasters.horizons import Horizon, IntervalForecast, horizon_rule
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import RV_FLOOR
from volcast.measures.nights import NIGHT_NAMES, NIGHT_PARTS, NIGHT_TO_GO
from volcast.networks.onnx import Network
from volcast.processes import InOrder, on_all_cores

__all__ = ["RunningForecast"]

# Fewer are over before threads have begun.
_MANY_ROWS = 256
_LOG_FLOOR = float(np.log(RV_FLOOR))
_TO_GO = NIGHT_NAMES.index(NIGHT_TO_GO)


class RunningForecast:
    """Forecasts of one horizon for one table of measures that grows.

    Whoever changes rows of the table says so to `forget`.

    Parameters
    ----------
    recipe, networks
        Those of a bundle.
    horizon
        One of `forecasters.horizons.horizons_of` its market.
    table
        Hourly measures, with the market's states among them where the recipe sees a market and there is one.

    Raises
    ------
    ConfigError
        The recipe has no such horizon.
    """

    def __init__(self, recipe: HarLstmState, networks: Sequence[Network], horizon: Horizon, table: HourlyTable) -> None:
        self._recipe, self._horizon, self._table = recipe, horizon, table
        self._state = recipe.of_horizon(horizon)
        self._networks = networks if horizon == 1 and recipe.weight.supported else ()
        self._states = _States(recipe.features, recipe.window, table)
        self._nights = _Nights(recipe.features, table)
        shared, of_symbol = self._state.regression, self._state.of_symbol
        states = [shared] if of_symbol is None else [shared, of_symbol]
        self._regression = RefittedRegression(*states)
        self._weight = RunningWeight(recipe.weight, recipe.correction_spread)
        # Of the buckets since training, `_first` being the first: rows of the regression, what it forecasts of the log,
        # what the networks say of that, and the forecasts that both make.
        self._first = 0
        terms = len(self._state.regression.moment)
        self._design, self._uncorrected = GrowingArray(np.float64, terms), GrowingArray(np.float64)
        self._corrections, self._forecasts = GrowingArray(np.float64), GrowingArray(np.float64)
        # Of those whose outcome is known: its log, the same without the hour's mean, and the row it was known with.
        self._outcomes, self._centred = GrowingArray(np.float64), GrowingArray(np.float64)
        self._known_with = GrowingArray(np.int64)
        # The tracked bounds before each of these, and after the last.
        self._lowers, self._uppers = GrowingArray(np.float64), GrowingArray(np.float64)
        self._lowers.append(np.array([self._state.tracker.lower]))
        self._uppers.append(np.array([self._state.tracker.upper]))
        # The bucket that was asked last: its label, the rows before it, and what was known of the night between.
        self._asked: dict[tuple[int, int, bytes], tuple[_Logs, Float64Array1D]] = {}

    def forecast(self, labels: Int64Array1D, known: Int64Array1D) -> IntervalForecast:
        """Volatility, with bounds, of the horizons that begin with the buckets `labels`, equal to `HarLstm.forecast`.

        `labels` are in microseconds since the epoch, shape (n,). All rows of the table are taken in.
        """
        self._nights.require_some()
        self._states.take_in()
        self._take_in()
        hours, days = self._table.market.hours_and_days(labels)
        rows = self._own_row(labels, known)
        others = rows < 0
        log_forecast = self._forecasts.values[rows] if len(self._forecasts) else np.empty(len(labels))
        if others.any():
            when = known[others], hours[others], days[others], self._opens(known[others], days[others])
            asked = self._logs(self._design_of(labels[others], *when), *when)
            log_forecast[others] = corrected = self._corrected(asked)
            # The next bucket to end is the one that was asked last.
            last = self._asked_as(int(labels[others][-1]), int(known[others][-1]))
            self._asked = {last: (asked.last, corrected[-1:])}
        scored = self._known_with.values.searchsorted(known)
        low, high = self._state.tracker.bounds(hours, self._lowers.values[scored], self._uppers.values[scored])
        volatility = np.exp(log_forecast)
        return IntervalForecast(volatility, volatility * low, volatility * high)

    def _own_row(self, labels: Int64Array1D, known: Int64Array1D) -> Int64Array1D:
        """Which bucket since training each asked one is; -1 where it is not, or has no row yet."""
        rows = np.minimum(known, len(self._table) - 1)
        same = (rows == known) & (self._table.labels[rows] == labels) & (known >= self._first)
        return np.where(same, known - self._first, -1)

    def forget(self, rows: int) -> None:
        """Forget what was made of rows of the table from `rows` on: they have changed."""
        if rows >= len(self._states):
            return
        self._states.cut(rows)
        count = int(np.searchsorted(self._known_with.values, rows, side="left"))
        for by_row in (self._design, self._forecasts, self._uncorrected, self._corrections):
            by_row.cut(max(rows - self._first, 0))
        for by_outcome in (self._outcomes, self._centred):
            by_outcome.cut(count)
        self._known_with.cut(count)
        for bound in (self._lowers, self._uppers):
            bound.cut(count + 1)
        self._regression.forget(count)
        self._weight.forget(count)
        self._asked = {}

    def _take_in(self) -> None:
        """Add the rows of the table that are new."""
        table, recipe = self._table, self._recipe
        if not len(self._forecasts):
            trained = np.searchsorted(table.labels, recipe.trained_through.value // 1000, side="right")
            self._first = max(int(trained), recipe.memory)
        rows = np.arange(self._first + len(self._forecasts), len(table))
        if not len(rows):
            return
        self._note_outcomes()
        asked = self._asked_as(int(table.labels[rows[0]]), int(rows[0]))
        if len(rows) > 1 or asked not in self._asked:
            when = rows, table.hours[rows], table.days[rows], self._opens(rows, table.days[rows])
            design = self._design_of(table.labels[rows], *when)
            self._design.append(design)
            logs = self._logs(design, *when)
            self._note(logs)
            self._forecasts.append(self._corrected(logs))
        else:
            logs, corrected = self._asked[asked]
            self._design.append(logs.design)
            self._note(logs)
            self._forecasts.append(corrected)
        self._track()

    def _note(self, logs: "_Logs") -> None:
        """Add what was said of the next rows, and what it was worth where their outcomes are known."""
        self._uncorrected.append(logs.uncorrected)
        self._corrections.append(logs.corrections)
        if not self._networks:
            return
        rows = slice(len(self._weight), min(len(self._outcomes), len(self._uncorrected)))
        outcomes = self._outcomes.values[rows]
        # Where prices did not move there is nothing to be right about.
        corrections = np.where(outcomes > _LOG_FLOOR, self._corrections.values[rows], 0.0)
        self._weight.add(outcomes - self._uncorrected.values[rows], corrections, self._table.days[self._first :][rows])

    def _asked_as(self, label: int, rows_before: int) -> tuple[int, int, bytes]:
        return label, rows_before, self._nights.told_by(rows_before - 1)

    def _note_outcomes(self) -> None:
        """Add the outcomes that are known by now."""
        table = self._table
        first = self._first + len(self._outcomes)
        begin = int(table.days.searchsorted(table.days[first]))
        variance = self._states.variance.values[begin:]
        outcomes = horizon_rule(self._horizon).outcomes(variance, table.opens(begin))
        is_over = outcomes.known_with < len(variance)
        is_over[: first - begin] = False
        logs = np.log(np.maximum(outcomes.volatility[is_over], RV_FLOOR))
        hours = table.hours[begin:][is_over]
        self._outcomes.append(logs)
        self._centred.append(logs - self._state.profile[hours])
        self._known_with.append(outcomes.known_with[is_over] + begin)

    def _opens(self, known: Int64Array1D, days: Int64Array1D) -> BoolArray1D:
        """Whether the market was closed between buckets of these days and the rows before `known`."""
        openings, before = (self._table.market.openings(one) for one in (days, self._table.days[known - 1]))
        return np.asarray(openings != before)

    def _design_of(
        self,
        labels: Int64Array1D,
        known: Int64Array1D,
        hours: Int64Array1D,
        days: Int64Array1D,
        opens: BoolArray1D,
    ) -> Float64Array2D:
        nights = self._nights.before(days, known)
        return self._recipe.features.design(self._states.states.values, known - 1, labels, hours, opens, nights)

    def _logs(
        self,
        design: Float64Array2D,
        known: Int64Array1D,
        hours: Int64Array1D,
        days: Int64Array1D,
        opens: BoolArray1D,
    ) -> "_Logs":
        """What is said of buckets at these hours and days, each from the rows before `known`."""
        # A day's regression is fitted before its first bucket, on the buckets of the days before.
        begins = np.minimum(self._table.days.searchsorted(days), known)
        counts = self._known_with.values.searchsorted(begins)
        with on_all_cores(is_worth_it=len(design) >= _MANY_ROWS) as in_order:
            outputs = self._outputs(known - 1, hours, opens, in_order)
            self._regression.refit(self._design.values, self._centred.values, counts, in_order)
            forecast, smearing = self._regression.forecasts(design, counts)
            uncorrected: Float64Array1D = forecast + self._state.profile[hours] + smearing
            corrections = sum(outputs) / len(self._networks) if self._networks else np.zeros(len(design))
        return _Logs(design, counts, uncorrected, np.asarray(corrections))

    def _corrected(self, logs: "_Logs") -> Float64Array1D:
        """Forecasts of the log, with the weight that the networks have by then."""
        if not self._networks:
            return logs.uncorrected
        weights = self._weight.supported(logs.counts)
        corrected = logs.uncorrected + weights * logs.corrections * self._recipe.correction_spread
        return np.asarray(corrected + self._recipe.smearing_shift)

    def _outputs(
        self, last: Int64Array1D, hours: Int64Array1D, opens: BoolArray1D, in_order: InOrder
    ) -> Iterator[Float64Array1D]:
        """What each of the networks says of the buckets behind the rows `last`, at these hours."""
        if not self._networks:
            return iter(())
        windows = self._states.windows(last, hours, opens)

        def output(network: Network) -> Float64Array1D:
            return network(windows)

        return in_order(output, self._networks)

    def _track(self) -> None:
        """Carry the bounds on over the outcomes that are new."""
        tracked = slice(len(self._lowers) - 1, len(self._outcomes))
        errors = self._outcomes.values[tracked] - self._forecasts.values[tracked]
        hours = self._table.hours[self._first :][tracked]
        bound_rows = self._known_with.values.searchsorted(np.arange(tracked.start, tracked.stop) + self._first)
        lowers, uppers = self._lowers.values, self._uppers.values
        lowers, uppers = self._state.tracker.carried_on(errors, hours, lowers, uppers, bound_rows)
        self._lowers.append(lowers)
        self._uppers.append(uppers)


@dataclass(frozen=True)
class _Logs:
    """What is said of the log of some buckets: rows of the regression, how many outcomes it was fitted on, what it
    forecasts, and the networks' mean output."""

    design: Float64Array2D
    counts: Int64Array1D
    uncorrected: Float64Array1D
    corrections: Float64Array1D

    @property
    def last(self) -> "_Logs":
        """Those of the last bucket."""
        return _Logs(self.design[-1:], self.counts[-1:], self.uncorrected[-1:], self.corrections[-1:])


class _Nights:
    """What the regression sees of the nights in a table, which go on after the rows that they stand in."""

    def __init__(self, features: IntradayFeatures, table: HourlyTable) -> None:
        self._features, self._table, self._places = features, table, np.empty(0, dtype=np.int64)
        if not features.with_nights:
            return
        if not set(NIGHT_NAMES) <= set(table.names):
            raise BarsError(
                "the measures have no columns of nights, and the model was trained on bars that trade between "
                "sessions; they must have them; use get_hourly_measures(bars, nights=True)."
            )
        self._places = np.array([table.names.index(name) for name in NIGHT_NAMES])

    def before(self, days: Int64Array1D, known: Int64Array1D) -> Float64Array2D:
        """The nights before buckets of these days, each as it is told by the row before `known`, shape (n, k)."""
        if not len(self._places):
            return np.empty((len(days), 0))
        table, last = self._table, known - 1
        columns = table.values[last[:, None], self._places]
        return self._features.nights(columns, table.hours[last], days - table.days[last])

    def told_by(self, row: int) -> bytes:
        """What a row tells of the night after it: the same where that is the same."""
        return bytes(self._table.values[row, self._places]) if len(self._places) else b""

    def require_some(self) -> None:
        """Refuse bars that have nothing in any of the last nights, where the model looks at these."""
        if not len(self._places):
            return
        # A week's.
        lately = self._table.values[-self._features.lags[2] :, self._places]
        over = lately[lately[:, _TO_GO] == 0, : len(NIGHT_PARTS)]
        if len(over) and np.isnan(over).all():
            raise BarsError(
                f"there are no bars in the last {counted(len(over), 'night')}, and the model was trained on bars that "
                "trade there; they must be of the whole day, or overnight_bars must go on, where it was trained with "
                "such; give them so (Alpaca's have 4:00 to 20:00), or train with nights='never'."
            )


class _States:
    """What the regression and the networks see of each row of a table."""

    def __init__(self, features: IntradayFeatures, window: int, table: HourlyTable) -> None:
        self._features, self._table = features, table
        self._places = np.array([table.names.index(name) for name in features.columns_read(table.names)])
        self.variance, self.states = GrowingArray(np.float64), GrowingArray(np.float64, len(features.state_mean))
        self._inputs: NetworkWindows = (
            StepWindows(features, table) if features.step_inputs else StateWindows(features, window, table, self.states)
        )
        self.windows = self._inputs.windows

    def __len__(self) -> int:
        return len(self.states)

    def take_in(self) -> None:
        """Add the rows of the table that are new."""
        table, count = self._table, len(self)
        if count == len(table):
            return
        columns = table.values[count:, self._places]
        self.variance.append(columns[:, 0] ** 2)
        self.states.append(self._features.states_of_columns(columns, table.hours[count:]))
        self._inputs.take_in()

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows alone."""
        self.variance.cut(rows)
        self.states.cut(rows)
        self._inputs.cut(rows)
