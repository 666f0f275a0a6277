"""Every baseline of total volatility keeps the rules, and the suite finds each way to break one."""

import numpy as np
import pytest

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES, TotalForecaster, daily_ewma
from volcast.forecasters.total.session_table import SessionTable
from volcast.testing.totals import check_total_baseline


@pytest.mark.parametrize("name", ALL_TOTAL_BASELINES)
def test_every_baseline_keeps_the_rules(name: str) -> None:
    check_total_baseline(ALL_TOTAL_BASELINES[name])


def one_column(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return daily_ewma(sessions, known, count)[:, None]


def negative(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return -daily_ewma(sessions, known, count)


def annualized(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return daily_ewma(sessions, known, count) * 16


def by_chance(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return daily_ewma(sessions, known, count) * np.random.default_rng().uniform(0.99, 1.01)


def writes_into_sessions(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    forecasts = daily_ewma(sessions, known, count)
    sessions.parkinson[0] += 1
    return forecasts


def one_too_many(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return daily_ewma(sessions, np.minimum(known + 1, len(sessions)), count)


def needs_the_sessions_after(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return daily_ewma(sessions, known, count) * (1 + len(sessions) / 1e4)


def constant(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    return np.full(len(known), 0.01 * count**0.5)


def raises_on_few(sessions: SessionTable, known: Int64Array1D, count: int) -> Float64Array1D:
    if known[0] < 60:
        raise KeyError(known[0])
    return daily_ewma(sessions, known, count)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (one_column, "the rule is one number each"),
        (negative, "the rule is positive and finite"),
        (annualized, "not annualized"),
        (by_chance, "the same call gives another result"),
        (writes_into_sessions, "they belong to the caller"),
        (one_too_many, "where those after them are noise: it looks ahead"),
        (needs_the_sessions_after, "where those after them are missing: it looks ahead"),
        (constant, "twice the volatility does not give twice the forecast"),
        (raises_on_few, "2 sessions of history raise KeyError"),
    ],
)
def test_each_broken_rule_is_named(broken: TotalForecaster, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_total_baseline(broken)
