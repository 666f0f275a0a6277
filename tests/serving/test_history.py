"""Hourly history that grows with the bars is the history of all bars, whatever comes and in whichever order."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars
from volcast.errors import BarsError
from volcast.measures.bucketed import get_hourly_measures
from volcast.measures.hourly import get_hourly_rv
from volcast.measures.quick import QuickMeasure, quick_session_measures, quick_session_rv
from volcast.serving.grid import NextBucket, forecast_grid
from volcast.serving.history import HourlyHistories

BARS = make_bars("2024-11-25", "2024-12-06")


def rv_alone(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_rv(bars).to_frame()


MEASURES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "quick": rv_alone,
    "plain": rv_alone,
    "all": get_hourly_measures,
    "quick_all": get_hourly_measures,
}
QUICK: dict[str, QuickMeasure] = {"quick": quick_session_rv(0.8), "quick_all": quick_session_measures(0.8)}


def histories(kind: str) -> HourlyHistories:
    return HourlyHistories(MEASURES[kind], "XNYS", QUICK.get(kind))


def assert_same(found: NextBucket, bars: pd.DataFrame, asof: pd.Timestamp | None, kind: str) -> None:
    """Against the whole grid, made of all bars."""
    whole = forecast_grid(bars, "session", asof, measure=MEASURES[kind])
    assert (found.bucket, found.moment) == (whole.labels[-1], whole.moment)
    assert (found.minutes, found.known) == (whole.minutes[-1], whole.known[-1])
    history = found.history.frame
    np.testing.assert_allclose(history.to_numpy(), whole.measures.to_numpy(), rtol=1e-12, atol=1e-18)
    assert (history.index == whole.measures.index).all()
    assert list(history.columns) == list(whole.measures.columns)


@pytest.mark.parametrize("kind", MEASURES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_bars_that_grow_give_what_all_of_them_give(kind: str, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kept = random.random(len(BARS)) > data.draw(st.sampled_from([0.0, 0.05, 0.3]))
    hole = data.draw(st.integers(0, len(BARS) - 700))
    kept[hole : hole + 600] &= data.draw(st.booleans())
    bars = BARS[kept]
    if data.draw(st.booleans()):
        bars = bars.drop(columns="open")
    growing = histories(kind)
    for count in sorted(random.integers(900, len(bars), 12)):
        given_bars = bars.iloc[:count]
        if data.draw(st.booleans()):
            given_bars = given_bars.copy()
        late = pd.Timedelta(minutes=data.draw(st.sampled_from([1, 2, 45, 1000])))
        asof = given_bars.index[-1] + late if data.draw(st.booleans()) else None
        assert_same(growing.next_bucket(given_bars, asof), given_bars, asof, kind)


@pytest.mark.parametrize("kind", MEASURES)
def test_a_moment_that_moves_over_one_frame_is_a_frame_that_grows(kind: str) -> None:
    growing = histories(kind)
    for minutes in (2000, 2001, 2045, 2060, 2500, 1500, 2600):
        asof = BARS.index[minutes]
        assert_same(growing.next_bucket(BARS, asof), BARS, asof, kind)


def test_other_bars_of_the_past_are_noticed() -> None:
    growing = histories("quick")
    growing.next_bucket(BARS.iloc[:2000], None)
    for row in (5, 1000, 1999):
        changed = BARS.copy()
        changed.iloc[row, changed.columns.get_loc("close")] *= 1.01
        assert_same(growing.next_bucket(changed.iloc[:2100], None), changed.iloc[:2100], None, "quick")


def test_a_frame_changed_in_place_is_noticed() -> None:
    bars, growing = BARS.copy(), histories("quick")
    growing.next_bucket(bars.iloc[:2000], None)
    bars.iloc[1000, bars.columns.get_loc("close")] *= 1.01
    assert_same(growing.next_bucket(bars.iloc[:2100], None), bars.iloc[:2100], None, "quick")


def test_several_symbols_take_turns() -> None:
    other, growing = make_bars("2024-11-25", "2024-12-06", seed=5), histories("quick")
    for count in range(1900, 2500, 90):
        for bars in (BARS, other):
            assert_same(growing.next_bucket(bars.iloc[:count], None), bars.iloc[:count], None, "quick")


@pytest.mark.parametrize("laid_out", ["in one piece", "column by column", "of two types"])
def test_columns_may_lie_anywhere_in_memory(laid_out: str) -> None:
    bars = BARS[["open", "high", "low", "close"]].copy()
    if laid_out == "column by column":
        bars = pd.DataFrame({name: bars[name].to_numpy().copy() for name in bars}, index=bars.index, copy=False)
    elif laid_out == "of two types":
        bars["volume"] = 100
    growing = histories("quick_all")
    for count in (1900, 1930, 2100):
        assert_same(growing.next_bucket(bars.iloc[:count], None), bars.iloc[:count], None, "quick_all")
    # Earlier highs in other memory, and the same slices with a high of the past changed.
    assert_same(growing.next_bucket(bars.iloc[:2160].copy(), None), bars.iloc[:2160], None, "quick_all")
    changed = bars.copy()
    changed.iloc[1000, changed.columns.get_loc("high")] *= 1.01
    assert_same(growing.next_bucket(changed.iloc[:2200], None), changed.iloc[:2200], None, "quick_all")


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_every_unit_of_time_stamps_is_read(unit: str) -> None:
    bars = BARS.copy()
    bars.index = bars.index.as_unit(unit)
    growing = histories("quick")
    for count in (1900, 1930, 2100):
        assert_same(growing.next_bucket(bars.iloc[:count], None), bars.iloc[:count], None, "quick")


@pytest.mark.parametrize("wrong", ["price", "order"])
def test_wrong_bars_among_the_new_are_refused(wrong: str) -> None:
    growing = histories("quick")
    growing.next_bucket(BARS.iloc[:2000], None)
    bars = BARS.iloc[:2100].copy()
    if wrong == "price":
        bars.iloc[2050, bars.columns.get_loc("close")] = -1.0
    else:
        bars = bars.iloc[[*range(2050), 2060, *range(2050, 2060)]]
    with pytest.raises(BarsError):
        growing.next_bucket(bars, None)
    assert_same(growing.next_bucket(BARS.iloc[:2100], None), BARS.iloc[:2100], None, "quick")


def test_each_call_costs_the_new_bars_alone() -> None:
    """Counted, not timed: what is measured after the first call is a session or two, not the history."""
    measured: list[int] = []

    def counting(bars: pd.DataFrame) -> pd.DataFrame:
        measured.append(len(bars))
        return rv_alone(bars)

    growing = HourlyHistories(counting, "XNYS")
    for count in range(1900, 3900, 60):
        growing.next_bucket(BARS.iloc[:count], None)
    assert measured[0] == 1900
    # Two sessions, the bars of a holiday and of a half-day between them included.
    assert max(measured[1:]) <= 4 * 390
