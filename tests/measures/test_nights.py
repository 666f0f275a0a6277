"""What trades between sessions, held to sums that are written out, and to what had ended at each moment."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.arrays import time_index
from volcast.bars.arrays import SymbolBars
from volcast.bars.sources.simulator import simulate_bars
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.measures.nights import NIGHT_NAMES, NIGHT_PARTS, nights_after

PARTS = {
    "night_evening": ("16:00", "04:00"),
    "night_morning": ("04:00", "08:00"),
    "night_late": ("08:00", "09:30"),
    "night_release": ("08:30", "08:45"),
    "night_last": ("09:00", "09:30"),
}


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    # Half-days on the 3rd of July and the day after Thanksgiving lie outside; clocks change on the 10th of March.
    return simulate_bars("NIGHT", "2024-02-26", "2024-04-05", nights=True)


def moment(day: str, clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"{day} {clock}", tz="America/New_York")


def plain_variance(bars: pd.DataFrame, since: pd.Timestamp, until: pd.Timestamp) -> float:
    """Sum of squared returns of one-minute bars that end in (since, until], one bar after the other."""
    total, count = 0.0, 0
    earlier = None
    for started, bar in bars.iterrows():
        end = pd.Timestamp(str(started)) + pd.Timedelta(minutes=1)
        if since < end <= until:
            near = earlier is not None and end - earlier[0] <= pd.Timedelta(hours=1)
            before = earlier[1] if near and earlier is not None else bar["open"]
            total, count = total + math.log(bar["close"] / before) ** 2, count + 1
        earlier = end, bar["close"]
    return total if count else math.nan


@pytest.mark.parametrize(
    ("session", "following"), [("2024-02-28", "2024-02-29"), ("2024-03-08", "2024-03-11"), ("2024-03-28", "2024-04-01")]
)
def test_each_part_is_the_sum_of_its_returns(bars: pd.DataFrame, session: str, following: str) -> None:
    """From one day to the next, over a weekend in which clocks are set, and over a holiday."""
    measures = get_hourly_measures(bars, nights=True)
    row = measures.loc[moment(session, "16:00")]
    for name, (since, until) in PARTS.items():
        begins = moment(session if name == "night_evening" else following, since)
        near = bars[(bars.index >= moment(session, "15:00")) & (bars.index < moment(following, "10:00"))]
        assert row[name] == pytest.approx(plain_variance(near, begins, moment(following, until)), rel=1e-12)
    assert row["night_to_go"] == 0
    assert row["night_leads"] == (pd.Timestamp(following) - pd.Timestamp(session)).days


def test_nights_stand_in_the_last_row_of_a_session_alone(bars: pd.DataFrame) -> None:
    nights = get_hourly_measures(bars, nights=True)[list(NIGHT_NAMES)]
    last = time_index(nights).hour == 16
    assert nights[~last].isna().all(axis=None)
    assert nights[last].iloc[:-1].notna().all(axis=None)


def test_other_measures_are_the_same_with_nights(bars: pd.DataFrame) -> None:
    with_nights, without = get_hourly_measures(bars, nights=True), get_hourly_measures(bars)
    pd.testing.assert_frame_equal(with_nights[without.columns], without, check_exact=True)


def test_bars_of_sessions_alone_have_no_nights(bars: pd.DataFrame) -> None:
    regular = bars.tz_convert("America/New_York").between_time("09:30", "15:59")
    nights = get_hourly_measures(regular, nights=True)
    assert nights[list(NIGHT_PARTS)].isna().all(axis=None)


@settings(max_examples=25, deadline=None)
@given(minutes=st.integers(0, 18 * 60), missing=st.floats(0.0, 0.6), seed=st.integers(0, 99))
def test_a_night_so_far_is_that_of_the_bars_that_had_ended(minutes: int, missing: float, seed: int) -> None:
    """Whatever comes later, and whatever was before the session, changes no bit."""
    every = simulate_bars("NIGHT", "2024-03-04", "2024-03-08", nights=True)
    every = every[np.random.default_rng(seed).random(len(every)) >= missing]
    asof = moment("2024-03-05", "16:00") + pd.Timedelta(minutes=minutes)
    days = np.array([np.datetime64("2024-03-05", "D").astype(np.int64)])

    def measured(frame: pd.DataFrame) -> np.ndarray:
        ended = SymbolBars.of(frame[frame.index <= asof - pd.Timedelta(minutes=1)])
        return nights_after(ended.stamps, ended.prices, 60_000_000, days, asof.value // 1000, market_named("XNYS"))

    so_far = measured(every)
    later = np.asarray(every.index > asof - pd.Timedelta(minutes=1))
    noise = every * np.where(later, 3.0, 1.0)[:, None]
    np.testing.assert_array_equal(measured(noise), so_far)
    np.testing.assert_array_equal(measured(every[every.index >= moment("2024-03-05", "15:00")]), so_far)
    opens = moment("2024-03-06", "09:30")
    assert so_far[0, NIGHT_NAMES.index("night_to_go")] == max((opens - asof) / pd.Timedelta(minutes=1), 0)


def test_before_the_close_no_night_has_begun(bars: pd.DataFrame) -> None:
    ended = bars[bars.index < moment("2024-03-05", "15:59")]
    nights = get_hourly_measures(ended, nights=True)[list(NIGHT_NAMES)]
    assert nights.iloc[-1].isna().all()
