"""What the default forecast sees of other markets and buckets than New York's hours."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.counted import CountingNetwork, counted_recipe
from volcast.arrays import time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.features.intraday import STATES, opens_market, terms_of
from volcast.features.windows import har_lags
from volcast.markets.market import BUCKETS
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures


@pytest.mark.parametrize("key", ["24/7", "24/5", "XNYS session", "CMES"])
def test_what_a_night_adds_is_added_where_the_market_was_closed(key: str) -> None:
    """The second set of terms is that of the first buckets after it: coins have none, currencies one a week."""
    market = market_named(key)
    bars = simulate_bars("CHECK", "2024-01-03", "2024-07-26", minutes=5, market=market)
    measures = get_hourly_measures(bars, market=market)
    labels, ends = time_index(measures), market.sessions.close
    first_of_days = np.append(True, np.diff(market.days_of_labels(labels)) != 0)
    closed_before = [
        bool(is_first) and market.sessions.open[session] > ends[session - 1]
        for is_first, session in zip(
            first_of_days, market.sessions.session.searchsorted(market.days_of_labels(labels)), strict=True
        )
    ]
    opens = opens_market(measures)
    assert opens[1:].tolist() == closed_before[1:]
    recipe = counted_recipe(measures)
    features, rows = recipe.features, np.arange(recipe.features.history, len(measures))
    moments = labels.as_unit("us").asi8[rows]
    states, hours = features.states(measures), market.hours_of_labels(labels)[rows]
    unscaled = replace(features, term_mean=0 * features.term_mean, term_spread=1 + 0 * features.term_spread)
    design = unscaled.design(states, rows - 1, moments, hours, opens[rows], np.empty((len(rows), 0)))
    moved = np.abs(design[:, : len(features.term_mean)]).sum(axis=0) > 0
    assert moved.all() == (key != "24/7")
    # A table that grows, as a live loop has it, sees the same.
    positions = np.arange(len(measures) - 80, len(measures))
    together = recipe.forecast((CountingNetwork(),), measures, labels[positions], positions)
    for place in (0, 30, 79):
        alone = recipe.forecast(
            (CountingNetwork(),), measures.iloc[: positions[place]], labels[positions[place : place + 1]],
            positions[place : place + 1],
        )  # fmt: skip
        assert alone.volatility[0] == together.volatility[place]


@pytest.mark.parametrize("bucket", list(BUCKETS))
def test_lags_are_means_of_sessions_whatever_a_bucket_is(bucket: str) -> None:
    market = market_named("XNYS", bucket)
    session, week, month = (count * market.buckets_per_session for count in (1, 5, 22))
    lags = har_lags(market, 1_000_000)
    assert lags == (1, session, week, month)
    states = np.random.default_rng(1).normal(size=(month + 50, len(STATES)))
    last = np.array([month + 20])
    terms = terms_of(states, last, np.array([False]), lags)[0]
    means = [
        states[last[0] + 1 - lag : last[0] + 1, column].mean()
        for column, lags_of in enumerate(({1, session, week, month}, {1, session, week}))
        for lag in sorted(lags_of)
    ]
    np.testing.assert_allclose(terms[: len(means)], means, rtol=1e-9)
    assert not terms[len(means) + len(STATES) - 2 :].any()
