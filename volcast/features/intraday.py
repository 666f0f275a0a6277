r"""What the default forecast knows at a bucket's start: HAR terms, and the state in which the last buckets ended.

Six logarithms of each bucket, without their hour-of-day means, are its *state*:

- ``rv``: log realized volatility,
- ``parkinson``: half the log of the Parkinson variance of its bars, a less noisy measure of the same,
- ``recent_3``, ``recent_10``, ``recent_30``: half the log of the variance per minute at its end, less ``parkinson``,
- ``range``: the same of the bucket's whole range, less ``parkinson``: whether it moved in one direction.

A network sees the last steps of the bars themselves (`features.bar_steps`); one that an earlier release trained sees
the states of the last buckets one after the other, each with the hour of the bucket that follows it. The regression
sees their last values and the means of ``rv`` and ``parkinson`` over an hour, a session, a week and a month (Corsi
2009, *Journal of Financial Econometrics* 7), and all but the slow ones a second time for the first bucket of a session
before which the market was closed; where bars go on in the night, it sees that, too (`features.nights`). It sees how
far prices fell over a session and a week (`features.falls`), and knows the days on which the Federal Reserve decides
(`features.fed_decisions`).

A model of many symbols also sees the mean state of all of them in the same buckets, the market's, in columns
``market_<state>`` of the measures, how far their prices fell in the mean, and the mean range of its steps. Where they
are missing, the symbol's own stand in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import (
    BoolArray1D,
    Float32Array2D,
    Float32Array3D,
    Float64Array1D,
    Float64Array2D,
    Int64Array1D,
    begins_run,
    columns_of,
    parts_of,
    running_sums,
    time_index,
)
from volcast.features.bar_steps import (
    MARKET_RANGE,
    deviations,
    log_steps,
    step_windows,
    usual_volume,
)
from volcast.features.falls import CHANGE_MEASURES, fall_lags, falls, price_changes
from volcast.features.fed_decisions import decision_dummies
from volcast.features.known_days import KnownDays
from volcast.features.nights import log_nights, night_deviations
from volcast.features.windows import HAR_LAGS
from volcast.markets.registry import market_of
from volcast.measures.bucketed import HALF_LIVES, STEP_MEASURES, STEP_RANGES, STEPS
from volcast.measures.hourly import RV_FLOOR
from volcast.measures.nights import NIGHT_NAMES, NIGHT_PARTS

__all__ = [
    "FEWEST_IN_MARKET",
    "MEASURES",
    "STATES",
    "IntradayFeatures",
    "hour_means",
    "log_measures",
    "market_states",
    "opens_market",
    "opens_session",
    "states_of",
    "term_count",
    "terms_of",
]


MEASURES = (
    "rv_hourly",
    "parkinson_variance",
    *(f"recent_variance_{half}" for half in HALF_LIVES),
    "range_log",
)
"""The hourly measures that the states are made of, in the order of `STATES`."""

STATES = ("rv", "parkinson", *(f"recent_{half}" for half in HALF_LIVES), "range")
"""What is known of a bucket that has ended, in the order of a network's inputs."""

FEWEST_IN_MARKET = 3
"""Symbols that must have a bucket before their mean state counts as the market's."""

_MARKET = "market_"
_MARKET_STATES = [f"{_MARKET}{state}" for state in STATES]
_MARKET_CHANGE = f"{_MARKET}change"
_MARKET_RANGES = [f"{_MARKET}{name}" for name in STEP_RANGES]
_VOLUME_SESSIONS = 10
# Lags up to a week's.
_WEEK = 3
_LARGEST_STATE = 2.0
# Falls are penalized ten times as much as other terms: they last, so that a hundred buckets know few of them.
_FALL_SCALE = 10**0.5
_VARIANCE_FLOOR = RV_FLOOR**2
# What makes the variance of an hour of each measure; two of them are volatilities, and squared first.
_SQUARED = np.array([name in ("rv_hourly", "range_log") for name in MEASURES])
_TO_HOURS = np.array([1.0, 1.0] + [60.0] * len(HALF_LIVES) + [1 / (4 * np.log(2))])


@dataclass(frozen=True)
class IntradayFeatures:
    """Hour-of-day means and scales, fitted on training data alone.

    Attributes
    ----------
    profile
        Hour-of-day means of the logarithms of `log_measures`, shape (24, len(STATES)), where the networks see the bars'
        steps 2 * STEPS more, and with nights len(NIGHT_PARTS) more.
    hours
        Clock hours that training saw; the regression has a dummy for each.
    with_market
        Whether the market's states are among the states.
    with_decisions
        Whether the regression knows the days of `features.fed_decisions`; models of earlier releases do not.
    state_mean, state_spread
        Of the states: what a network takes is standardized by them.
    term_mean, term_spread
        Of the regression's terms, the same for these.
    step_inputs
        What the networks see of each of the bars' steps, see `features.bar_steps`; nothing in models of earlier
        releases, whose networks see the states, and where bars are longer than a step, which have no networks.
    lags
        Buckets in an hour, a session, a week and, where there is enough to learn from, a month of sessions.
    with_nights
        Whether the regression sees what traded between sessions, see `features.nights`.
    known_days
        What it knows of days ahead, beside the Fed's, see `features.known_days`.
    with_falls
        Whether the regression sees how far prices fell, see `features.falls`; models of earlier releases do not.
    """

    profile: Float64Array2D
    hours: Int64Array1D
    with_market: bool
    with_decisions: bool
    state_mean: Float64Array1D
    state_spread: Float64Array1D
    term_mean: Float64Array1D
    term_spread: Float64Array1D
    step_inputs: tuple[str, ...] = ()
    lags: tuple[int, ...] = HAR_LAGS
    with_nights: bool = False
    known_days: KnownDays = field(default_factory=KnownDays)
    with_falls: bool = False

    @classmethod
    def unscaled(
        cls,
        profile: Float64Array2D,
        hours: Int64Array1D,
        lags: tuple[int, ...],
        *,
        with_market: bool,
        step_inputs: tuple[str, ...],
        with_nights: bool,
        known_days: KnownDays,
        with_falls: bool,
    ) -> "IntradayFeatures":
        """Features with this profile that take states and terms as they are; `scaled` gives them their scales."""
        sides = 2 if with_market else 1
        width = sides * (len(STATES) + with_falls)
        terms = term_count(lags, with_market=with_market, with_falls=with_falls)
        terms += len(NIGHT_PARTS) if with_nights else 0
        scales = np.zeros(width), np.ones(width), np.zeros(terms), np.ones(terms)
        return cls(profile, hours, with_market, True, *scales, step_inputs, lags, with_nights, known_days, with_falls)

    def scaled(
        self, states: Sequence[Float64Array2D], opens: Sequence[BoolArray1D], nights: Sequence[Float64Array2D]
    ) -> "IntradayFeatures":
        """Features with this profile and the scales of these states and of their terms.

        Parameters
        ----------
        states
            Of each symbol, shape (n, F), more than `history` rows.
        opens
            Of each symbol, before which of its buckets the market was closed, shape (n,).
        nights
            Of each symbol, the `nights` before its buckets, shape (n, k).
        """
        terms = [
            self._terms(
                rows, np.arange(self.history - 1, len(rows) - 1), begins[self.history :], before[self.history :]
            )
            for rows, begins, before in zip(states, opens, nights, strict=True)
        ]
        (state_mean, state_spread), (term_mean, term_spread) = map(_mean_and_spread, (states, terms))
        term_spread[self._fall_terms] *= _FALL_SCALE
        return replace(
            self, state_mean=state_mean, state_spread=state_spread, term_mean=term_mean, term_spread=term_spread
        )

    def states(self, measures: pd.DataFrame) -> Float64Array2D:
        """The state of each bucket, shape (n, F): `STATES`, and where the model has a market, the market's after it.

        The last are changes of the price, where the regression sees how far it fell: the symbol's, and the market's.
        """
        columns = columns_of(measures, self.columns_read(measures.columns))
        return self.states_of_columns(columns, market_of(measures).hours_of_labels(time_index(measures)))

    def columns_read(self, present: Iterable[str]) -> list[str]:
        """Which of the columns that are `present` in measures the states are made of, in this order."""
        market = self._market_state_columns if self.with_market and set(_MARKET_STATES) <= set(present) else []
        return [*self._state_measures, *market]

    @property
    def _state_measures(self) -> list[str]:
        """The measures that a symbol's own states are made of."""
        return [*MEASURES, *(CHANGE_MEASURES if self.with_falls else ())]

    @property
    def _market_state_columns(self) -> list[str]:
        return [*_MARKET_STATES, *([_MARKET_CHANGE] if self.with_falls else [])]

    def states_of_columns(self, columns: Float64Array2D, hours: Int64Array1D) -> Float64Array2D:
        """States, shape (n, F), of buckets in clock hours `hours` from their `columns_read`, shape (n, k)."""
        read, width = len(self._state_measures), len(STATES)
        states = self._states_alone(columns[:, :read], self.profile[hours], self._usual_volatility)
        if not self.with_market:
            return states
        market = columns[:, read:]
        beside = np.where(np.isnan(market), states, market) if market.shape[1] else states
        return np.concatenate([states[:, :width], beside[:, :width], states[:, width:], beside[:, width:]], axis=1)

    def _states_alone(
        self, columns: Float64Array2D, profile: Float64Array2D, usual_volatility: float | Float64Array1D
    ) -> Float64Array2D:
        """States without the market's of buckets whose hours have these profiles, shape (n, k), of their symbols."""
        states = states_of(_logs(columns[:, : len(MEASURES)]) - profile[:, : len(STATES)])
        if not self.with_falls:
            return states
        return np.column_stack([states, price_changes(columns[:, len(MEASURES) :], usual_volatility)])

    @cached_property
    def _usual_volatility(self) -> float:
        """That of the hours that training saw."""
        return float(np.exp(self.profile[self.hours, 0].mean()))

    def logs(self, measures: pd.DataFrame) -> Float64Array2D:
        """The logarithms of `measures` whose hour-of-day means are the `profile`, shape (n, k); see `log_measures`."""
        return log_measures(measures, with_steps=bool(self.step_inputs), with_nights=self.with_nights)

    def nights(self, columns: Float64Array2D, last_hours: Int64Array1D, days_ahead: Int64Array1D) -> Float64Array2D:
        """What is unusual of the nights before buckets, shape (n, len(NIGHT_PARTS)); (n, 0) without nights.

        Parameters
        ----------
        columns
            `measures.nights.NIGHT_NAMES` of the row before each bucket, shape (n, len(NIGHT_NAMES)).
        last_hours
            Hour that the market's clock shows at these rows.
        days_ahead
            From the day of this row to that of the bucket.
        """
        if not self.with_nights:
            return np.empty((len(days_ahead), 0))
        return night_deviations(columns, self.profile[last_hours, -len(NIGHT_PARTS) :], days_ahead)

    def nights_before(self, measures: pd.DataFrame) -> Float64Array2D:
        """The `nights` before each bucket of hourly `measures`, as the row before tells them; of the first nothing."""
        before = np.zeros((len(measures), len(NIGHT_PARTS) if self.with_nights else 0))
        if self.with_nights:
            hours, days = market_of(measures).hours_and_days(time_index(measures).as_unit("us").asi8)
            columns = columns_of(measures, NIGHT_NAMES)
            before[1:] = self.nights(columns[:-1], hours[:-1], np.diff(days))
        return before

    @property
    def market_columns(self) -> list[str]:
        """Columns of measures that hold what a model with a market looks at of it."""
        return self._market_state_columns + (_MARKET_RANGES if MARKET_RANGE in self.step_inputs else [])

    @staticmethod
    def market_shares(
        symbols: "Sequence[IntradayFeatures]", measures: Float64Array2D, hours: Int64Array1D, counts: Sequence[int]
    ) -> Float64Array2D:
        """What symbols add to the market's mean, shape (n, len(market_columns)): their states, and steps' ranges.

        Parameters
        ----------
        symbols
            The features of each; they differ in what is the symbol's own, the profile.
        measures
            The `share_columns` of n buckets, one symbol's behind the other's.
        hours
            Their clock hours.
        counts
            How many buckets are of each symbol.
        """
        features, number = symbols[0], np.repeat(np.arange(len(symbols)), counts)
        read, slots = len(features._state_measures), len(features.profile)
        profile = np.concatenate([one.profile for one in symbols])[number * slots + hours]
        usual = np.array([one._usual_volatility for one in symbols])[number]
        states = features._states_alone(measures[:, :read], profile, usual)
        if MARKET_RANGE not in features.step_inputs:
            return states
        return np.concatenate([states, deviations(measures[:, read:], _step_means(profile))[:, :STEPS]], axis=1)

    @property
    def share_columns(self) -> list[str]:
        """The measures of which `market_shares` are made."""
        return [*self._state_measures, *(STEP_MEASURES if MARKET_RANGE in self.step_inputs else ())]

    def step_columns_read(self, present: Iterable[str]) -> list[str]:
        """Which of the columns that are `present` in measures the networks' steps are made of, in this order."""
        market = _MARKET_RANGES if MARKET_RANGE in self.step_inputs and set(_MARKET_RANGES) <= set(present) else []
        return [*STEP_MEASURES, *market]

    def unusual_steps(self, columns: Float64Array2D, hours: Int64Array1D) -> Float64Array2D:
        """How the steps of buckets in clock hours `hours` differ from usual, from their `step_columns_read`.

        Shape (n, 3 * STEPS), or with the market's ranges (n, 4 * STEPS).
        """
        unusual = deviations(columns[:, : len(STEP_MEASURES)], _step_means(self.profile[hours]))
        if MARKET_RANGE not in self.step_inputs:
            return unusual
        ranges, market = unusual[:, :STEPS], columns[:, len(STEP_MEASURES) :]
        return np.hstack([unusual, np.where(np.isnan(market), ranges, market) if market.shape[1] else ranges])

    def step_windows(
        self,
        unusual: Float64Array2D,
        volumes: Float64Array1D,
        last: Int64Array1D,
        next_hours: Int64Array1D,
        next_opens: BoolArray1D,
    ) -> Float32Array3D:
        """What a network takes to forecast the buckets after the rows `last`, shape (n, STEPS, F).

        `unusual` are the `unusual_steps` of all rows, `volumes` the mean of their volumes, `next_hours` and
        `next_opens` as in `steps`.
        """
        level = usual_volume(volumes, last, _VOLUME_SESSIONS * self.lags[1])
        return step_windows(unusual[last], level, self.step_inputs, self._hand_of_hour[next_hours], next_opens)

    def steps(self, states: Float64Array2D, next_hours: Int64Array1D, next_opens: BoolArray1D) -> Float32Array2D:
        """What a network of an earlier release takes of each bucket, shape (n, F + 3): its state, and when the next is.

        `next_hours` and `next_opens` are of the buckets that follow: the clock hour of their label, and whether the
        market was closed before they began.
        """
        width = states.shape[1]
        steps = np.empty((len(states), width + 3), dtype=np.float32)
        steps[:, :width] = (states - self.state_mean) / self.state_spread
        steps[:, width : width + 2] = self._hand_of_hour[next_hours]
        steps[:, -1] = next_opens
        return steps

    def design(
        self,
        states: Float64Array2D,
        last: Int64Array1D,
        target_labels: Int64Array1D,
        target_hours: Int64Array1D,
        opens: BoolArray1D,
        nights: Float64Array2D,
    ) -> Float64Array2D:
        """Rows of the regression: standardized terms, then dummies for known days, hours and decisions of the Fed.

        Parameters
        ----------
        states
            As `states` gives them.
        last
            Position of the last bucket that each row may know, at least ``history - 1``.
        target_labels
            When the bucket that each row forecasts ends, in microseconds since the epoch.
        target_hours
            Clock hour of that label, on the market's clock.
        opens
            Whether the market was closed between that bucket and the last known one.
        nights
            The `nights` before that bucket.
        """
        terms = (self._terms(states, last, opens, nights) - self.term_mean) / self.term_spread
        known = self.known_days.dummies(target_labels)
        hours = target_hours[:, None] == self.hours
        decisions = decision_dummies(target_labels) if self.with_decisions else hours[:, :0]
        return np.concatenate([terms, known, hours, decisions], axis=1)

    def _terms(
        self, states: Float64Array2D, last: Int64Array1D, opens: BoolArray1D, nights: Float64Array2D
    ) -> Float64Array2D:
        """Terms of the regression, not yet standardized; arguments as in `design`."""
        width = len(STATES) * self._sides
        terms = [terms_of(states[:, :width], last, opens, self.lags)]
        if self.with_falls:
            # The first terms are means of log volatility, the slowest of them last.
            lately = terms[0][:, len(set(self.lags)) - 1]
            terms += [falls(states[:, width + side], lately, last, self.lags) for side in range(self._sides)]
        return np.concatenate([*terms, nights], axis=1)

    @property
    def _sides(self) -> int:
        """The symbol, and where the model has one, the market."""
        return 2 if self.with_market else 1

    @property
    def _fall_terms(self) -> slice:
        """Which of the terms are falls."""
        first = term_count(self.lags, with_market=self.with_market, with_falls=False)
        return slice(first, term_count(self.lags, with_market=self.with_market, with_falls=self.with_falls))

    @cached_property
    def _hand_of_hour(self) -> Float64Array2D:
        """Sine and cosine of each clock hour on a dial of the hours that training saw, shape (24, 2)."""
        angle = 2 * np.pi * (np.arange(len(self.profile)) - self.hours[0]) / (np.ptp(self.hours) + 1)
        return np.column_stack([np.sin(angle), np.cos(angle)])

    @property
    def history(self) -> int:
        """Buckets that must be known before the regression's terms are whole."""
        return self.lags[-1]

    @property
    def term_count(self) -> int:
        """How many leading columns of `design` are shrunk: terms and known days; the rest are other dummies."""
        return len(self.term_mean) + self.known_days.column_count

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        others = {
            "step_inputs": list(self.step_inputs),
            "lags": list(self.lags),
            "known_days": self.known_days.to_dict(),
        }
        names = [name for name in self.__dataclass_fields__ if name not in others]
        return {**{name: np.asarray(getattr(self, name)).tolist() for name in names}, **others}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "IntradayFeatures":
        """The features whose `to_dict` gave `numbers`."""
        names = ("profile", "state_mean", "state_spread", "term_mean", "term_spread")
        arrays = {name: np.asarray(numbers[name], dtype=float) for name in names}
        hours = np.asarray(numbers["hours"], dtype=np.int64)
        return cls(
            hours=hours,
            with_market=bool(numbers["with_market"]),
            with_decisions=bool(numbers.get("with_decisions", False)),
            step_inputs=tuple(numbers.get("step_inputs", ())),
            lags=tuple(map(int, numbers.get("lags", HAR_LAGS))),
            with_nights=bool(numbers.get("with_nights", False)),
            with_falls=bool(numbers.get("with_falls", False)),
            known_days=KnownDays.from_dict(numbers["known_days"]) if "known_days" in numbers else KnownDays(),
            **arrays,
        )


def log_measures(measures: pd.DataFrame, *, with_steps: bool, with_nights: bool) -> Float64Array2D:
    """Logarithms of volatility, shape (n, len(STATES)): of RV, Parkinson, the last minutes, and the range.

    `with_steps` adds those of range and volume of the bars' last steps, 2 * STEPS of them, and `with_nights` those of
    the night after each bucket, see `features.nights.log_nights`; NaN where there are none.
    """
    logs = [_logs(columns_of(measures, MEASURES))]
    if with_steps:
        logs.append(log_steps(columns_of(measures, STEP_MEASURES)))
    return np.hstack([*logs, log_nights(measures)] if with_nights else logs)


def hour_means(logs: Float64Array2D, hours: Int64Array1D, slots: int) -> Float64Array2D:
    """Mean of `logs`, shape (n, k), in each clock hour, shape (24, k); where there is none, the mean of all.

    What is missing (NaN) counts for nothing; where all of a column is, its means are 0.
    """
    means = np.zeros((slots, logs.shape[1]))
    for place, column in enumerate(logs.T):
        present = ~np.isnan(column)
        if present.any():
            counts = np.bincount(hours[present], minlength=slots)
            sums = np.bincount(hours[present], weights=column[present], minlength=slots)
            means[:, place] = np.where(counts > 0, sums / np.maximum(counts, 1), column[present].mean())
    return means


def opens_session(measures: pd.DataFrame) -> BoolArray1D:
    """Whether each row of hourly measures is of another of its market's days than the one before it."""
    return begins_run(market_of(measures).days_of_labels(time_index(measures)))


def opens_market(measures: pd.DataFrame) -> BoolArray1D:
    """Whether each row of hourly measures is the first after its market was closed: a session's, of most."""
    market = market_of(measures)
    return begins_run(market.openings(market.days_of_labels(time_index(measures))))


def states_of(deviations: Float64Array2D) -> Float64Array2D:
    """The states of buckets whose logarithms deviate from their hours' means by `deviations`; same shape."""
    states = deviations.copy()
    states[:, 2:] = np.minimum(np.maximum(states[:, 2:] - deviations[:, 1:2], -_LARGEST_STATE), _LARGEST_STATE)
    return states


def market_states(states: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean state of all symbols in each bucket, its columns those of the `states` with ``market_`` before them.

    Only the buckets that at least `FEWEST_IN_MARKET` symbols have; a mean over the same bucket looks at no later one.
    """
    zone = time_index(next(iter(states.values()))).tz
    stacked = pd.concat([frame.tz_convert(zone) for frame in states.values()])
    buckets = stacked.groupby(level=0)
    market = buckets.mean()[buckets.size() >= FEWEST_IN_MARKET]
    return market.add_prefix(_MARKET)


def terms_of(states: Float64Array2D, last: Int64Array1D, opens: BoolArray1D, lags: tuple[int, ...]) -> Float64Array2D:
    """Terms of the regression, not yet standardized; arguments as in `IntradayFeatures.design`."""
    averaged, plain, quick = _term_layout(states.shape[1], lags)
    terms = [_means(states[:, column], last, of) for column, of in averaged]
    terms.append(states[last[:, None], plain])
    every = np.concatenate(terms, axis=1)
    return np.concatenate([every, every[:, quick] * opens[:, None]], axis=1)


@cache
def _term_layout(
    width: int, lags: tuple[int, ...]
) -> tuple[list[tuple[int, Int64Array1D]], Int64Array1D, Int64Array1D]:
    """Of states of this width: columns with the lags of their means, columns taken as they are, and terms but the slow.

    The slow are the means over a week and a month: a night does not change them.
    """
    # A bucket may be a session.
    every_lag, up_to_a_week = np.unique(lags), np.unique(lags[:_WEEK])
    averaged = [(0, every_lag), (1, up_to_a_week)]
    if width > len(STATES):
        averaged.append((len(STATES), up_to_a_week))
    plain = np.setdiff1d(np.arange(width), [column for column, _ in averaged])
    every = np.concatenate([of for _, of in averaged] + [np.ones(len(plain), dtype=np.int64)])
    return averaged, plain, np.flatnonzero(every <= lags[1])


def _means(values: Float64Array1D, last: Int64Array1D, lags: Int64Array1D) -> Float64Array2D:
    """Means of the last `lags` values, shape (n, len(lags)).

    Row by row, each from its own last buckets: a row is the same to the last bit whichever rows are made with it.
    """
    means = np.empty((len(last), len(lags)))
    back = np.arange(lags[-1])[:, None]
    for part in parts_of(len(last), len(back)):
        means[part] = running_sums(values.take(last[part] - back), lags).T / lags
    return means


def term_count(lags: tuple[int, ...], *, with_market: bool, with_falls: bool) -> int:
    """Terms of the regression without nights and known days, see `IntradayFeatures`."""
    sides = 2 if with_market else 1
    averaged, plain, quick = _term_layout(sides * len(STATES), lags)
    states = sum(len(of) for _, of in averaged) + len(plain) + len(quick)
    return states + (sides * len(fall_lags(lags)) if with_falls else 0)


def _mean_and_spread(parts: Sequence[Float64Array2D]) -> tuple[Float64Array1D, Float64Array1D]:
    values = np.concatenate(parts)
    spread = values.std(axis=0)
    return values.mean(axis=0), np.asarray(np.where(spread > 0, spread, 1.0))


def _step_means(profile: Float64Array2D) -> Float64Array2D:
    return profile[:, len(STATES) : len(STATES) + 2 * STEPS]


def _logs(columns: Float64Array2D) -> Float64Array2D:
    variance = columns * _TO_HOURS
    variance[:, _SQUARED] *= columns[:, _SQUARED]
    return np.asarray(0.5 * np.log(np.maximum(variance, _VARIANCE_FLOOR)))
