r"""The forecast of total volatility, refitted at every close, and carried on from call to call.

With :math:`\sigma_s` the volatility from close to close over the next h sessions, :math:`x_s` the terms of
`forecasters.total.terms` and :math:`\ell_s` the level among them,

.. math:: \hat\sigma_s^2 = k_s \hat f_s^2, \quad
          \hat f_s^2 = \exp\left(2 x_s'\hat\beta_s + 2 \ell_s\right) \overline{\exp(2 e)}, \quad
          k_s = \frac{m + \tfrac{1}{h} \sum_{r \le s - h} \sigma_r^2 / \hat f_r^2}{m + n_s / h}

:math:`\hat\beta_s` is the ridge regression of `forecasters.har_lstm.regression` on all outcomes known at the close,
shrunk towards a typical symbol's, direct for each horizon; :math:`\overline{\exp(2 e)}` Duan's smearing; :math:`k_s`
the mean of realized over forecast variance over the :math:`n_s` outcomes so far, which makes unbiased what a regression
leaves off on average. Bounds are tracked as `forecasters.intervals` says.
"""

from dataclasses import replace

import numpy as np

from volcast.arrays import Float64Array1D, GrowingArray, Int64Array1D
from volcast.forecasters.har_lstm.regression import RefittedRegression
from volcast.forecasters.horizons import TOTAL_HORIZONS, IntervalForecast
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.session_table import SessionTable
from volcast.forecasters.total.state import TotalHorizonState, TotalState
from volcast.forecasters.total.terms import FEWEST_SESSIONS, SessionTerms
from volcast.markets.market import TradingMarket
from volcast.measures.hourly import RV_FLOOR

__all__ = ["RunningTotals"]


class RunningTotals:
    """Forecasts of the total volatility of one symbol from hourly measures that grow.

    A series of forecasts and a single one are the same code, and equal to the last bit.

    Parameters
    ----------
    state
        What they begin with.
    table
        The symbol's hourly measures, with those that `session_table.MEASURES_READ` names.
    market
        Whose sessions.
    """

    def __init__(self, state: TotalState, table: HourlyTable, market: TradingMarket) -> None:
        self._state, self._table, self._market = state, table, market
        self._seen = (-1, -1)
        self.sessions = SessionTable.of(table, 0, market)
        self._terms = SessionTerms.of(self.sessions, state.past)
        self._running: dict[str, _RunningHorizon] = {}

    def follow(self, moment: int) -> None:
        """Take in the sessions that had closed by a moment, in microseconds since the epoch."""
        closed = int(self._market.sessions.close.searchsorted(moment, side="right"))
        if self._seen == (closed, self._table.edition):
            return
        self._seen = (closed, self._table.edition)
        sessions = SessionTable.of(self._table, moment, self._market)
        unlike = sessions.first_unlike(self.sessions)
        if unlike == len(sessions) == len(self.sessions):
            return
        self.sessions, self._terms = sessions, SessionTerms.of(sessions, self._state.past)
        for running in self._running.values():
            running.forget(unlike)

    def forecast(self, known: Int64Array1D, horizon: str) -> IntervalForecast:
        """Volatility, with bounds, over the sessions that follow the first ``known[i]``, shape (len(known),).

        `known` is at least `FEWEST_SESSIONS`, each; volatilities are decimal, not annualized.
        """
        return self._running_over(horizon).forecast(self.sessions, self._terms, known - 1)

    def learnt(self) -> TotalState:
        """What later forecasts begin with that are given none of these sessions but the last `FEWEST_SESSIONS`."""
        horizons = {name: self._running_over(name).learnt(self.sessions, self._terms) for name in TOTAL_HORIZONS}
        return TotalState(horizons, self._terms.past)

    def _running_over(self, horizon: str) -> "_RunningHorizon":
        if horizon not in self._running:
            self._running[horizon] = _RunningHorizon(self._state, horizon)
        return self._running[horizon]


class _RunningHorizon:
    """What is carried on of one horizon."""

    def __init__(self, state: TotalState, horizon: str) -> None:
        self._count = TOTAL_HORIZONS[horizon]
        self._last_close = state.past.last_close
        self._begun = state.horizons[horizon]
        self._regression = RefittedRegression(self._begun.regression)
        # Of each session: the log of its forecast, and how many outcomes were known with it.
        self._logs, self._outcome_counts = GrowingArray(np.float64), GrowingArray(np.int64)
        # Of the sessions since training with an outcome: their positions, terms and outcomes; and before each of these
        # and after the last: sums of ratios, and tracked bounds.
        self._rows = GrowingArray(np.int64)
        self._design = GrowingArray(np.float64, len(self._begun.regression.moment))
        self._relative, self._outcomes = GrowingArray(np.float64), GrowingArray(np.float64)
        self._ratios, self._lowers, self._uppers = (GrowingArray(np.float64) for _ in range(3))
        self._ratios.append(np.array([self._begun.ratio_sum]))
        self._lowers.append(np.array([self._begun.tracker.lower]))
        self._uppers.append(np.array([self._begun.tracker.upper]))

    def forget(self, row: int) -> None:
        """Forget what was made of the sessions from position `row` on: they have changed, or are new."""
        for by_session in (self._logs, self._outcome_counts):
            by_session.cut(row)
        count = int(np.searchsorted(self._rows.values + self._count, row))
        for by_outcome in (self._rows, self._design, self._relative, self._outcomes):
            by_outcome.cut(count)
        for before in (self._ratios, self._lowers, self._uppers):
            before.cut(count + 1)
        self._regression.forget(count)

    def forecast(self, sessions: SessionTable, terms: SessionTerms, rows: Int64Array1D) -> IntervalForecast:
        """Forecasts as of the close of the sessions at `rows`."""
        self._take_in(sessions, terms)
        counts = self._outcome_counts.values[rows]
        volatility = np.exp(self._corrected(self._logs.values[rows], counts))
        hours = np.zeros(len(rows), dtype=np.int64)
        lowers, uppers = self._lowers.values[counts], self._uppers.values[counts]
        low, high = self._begun.tracker.bounds(hours, lowers, uppers)
        return IntervalForecast(volatility, volatility * low, volatility * high)

    def learnt(self, sessions: SessionTable, terms: SessionTerms) -> TotalHorizonState:
        """The state after all of these sessions."""
        self._take_in(sessions, terms)
        count = len(self._rows)
        (regression,) = self._regression.states_after(self._design.values, self._relative.values, count)
        return TotalHorizonState(
            regression,
            replace(
                self._begun.tracker, lower=float(self._lowers.values[count]), upper=float(self._uppers.values[count])
            ),
            float(self._ratios.values[count]),
            self._begun.ratio_count + count / self._count,
        )

    def _take_in(self, sessions: SessionTable, terms: SessionTerms) -> None:
        begin = len(self._logs)
        if begin == len(sessions):
            return
        self._note_outcomes(sessions, terms)
        rows = np.arange(begin, len(sessions))
        counts = self._rows.values.searchsorted(rows - self._count, side="right")
        forecastable = rows >= FEWEST_SESSIONS - 1
        self._regression.refit(self._design.values, self._relative.values, counts[forecastable])
        logs = np.full(len(rows), np.nan)
        asked = rows[forecastable]
        relative, smearing = self._regression.forecasts(terms.design[asked], counts[forecastable])
        logs[forecastable] = relative + smearing + terms.log_level[asked]
        self._logs.append(logs)
        self._outcome_counts.append(counts)
        self._track()

    def _note_outcomes(self, sessions: SessionTable, terms: SessionTerms) -> None:
        """Add the outcomes that are new: of sessions since training, with whole terms."""
        outcomes = sessions.outcomes(self._count)
        is_over = ~np.isnan(outcomes) & ~np.isnan(terms.log_level) & (sessions.close > self._last_close)
        rows = np.flatnonzero(is_over)
        rows = rows[rows > (self._rows.values[-1] if len(self._rows) else -1)]
        logs = np.log(np.maximum(outcomes[rows], RV_FLOOR))
        self._rows.append(rows)
        self._design.append(terms.design[rows])
        self._outcomes.append(logs)
        self._relative.append(logs - terms.log_level[rows])

    def _corrected(self, logs: Float64Array1D, counts: Int64Array1D) -> Float64Array1D:
        """Logs of forecasts, corrected by the ratios of so many outcomes."""
        ratio = self._ratios.values[counts] / (self._begun.ratio_count + counts / self._count)
        return np.asarray(logs + 0.5 * np.log(ratio))

    def _track(self) -> None:
        """Carry ratios and bounds on over the outcomes that are new."""
        new = slice(len(self._ratios) - 1, len(self._rows))
        rows, outcomes = self._rows.values[new], self._outcomes.values[new]
        logs, counts = self._logs.values[rows], self._outcome_counts.values[rows]
        ratios = np.exp(2 * (outcomes - logs)) / self._count
        self._ratios.append(np.cumsum(np.append(self._ratios.values[-1], ratios))[1:])
        errors = outcomes - self._corrected(logs, counts)
        hours = np.zeros(len(rows), dtype=np.int64)
        lowers, uppers = self._begun.tracker.carried_on(errors, hours, self._lowers.values, self._uppers.values, counts)
        self._lowers.append(lowers)
        self._uppers.append(uppers)
