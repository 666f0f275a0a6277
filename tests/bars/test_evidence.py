"""What bars tell as a whole is the same in whichever pieces they come."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.evidence import Evidence
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import BarsError
from volcast.markets.registry import market_named

PRICES = ("open", "high", "low", "close")
FIVE_MINUTES = make_bars("2024-06-03", "2024-06-14", minutes=5, extended=True)


def evidence_of(bars: pd.DataFrame, cuts: list[int]) -> Evidence:
    """What `bars` tell that come in the pieces between `cuts`."""
    evidence = Evidence()
    for begin, end in itertools.pairwise([0, *sorted(cuts), len(bars)]):
        piece = bars.iloc[begin:end]
        prices = {name: piece[name].to_numpy(dtype=float) for name in PRICES if name in piece}
        evidence = evidence.followed_by(time_index(piece).as_unit("us").asi8, prices)
    return evidence


def plainly_ends(stamps: pd.DatetimeIndex) -> bool:
    """Whether stamps look like ends, day by day."""
    verdicts = []
    local = stamps.tz_convert("America/New_York")
    for day, hours in market_named("XNYS").schedule(local[0], local[-1]).iterrows():
        today = local[local.tz_localize(None).normalize() == day]
        if not len(today):
            continue
        first, last, midnight = today[0], today[-1], today[0].normalize()
        of_session = first > hours["open"] and last == hours["close"]
        of_day = first > midnight + pd.Timedelta(hours=4) and last == midnight + pd.Timedelta(hours=20)
        verdicts.append(first < last and (of_session or of_day))
    return len(verdicts) >= 3 and sum(verdicts) / len(verdicts) > 0.8


@st.composite
def some_bars(draw: st.DrawFn) -> pd.DataFrame:
    """Bars of a few days, of a session or longer, moved to their ends or not, of which some are missing."""
    bars = FIVE_MINUTES
    begin, end = draw(st.sampled_from([("04:00", "19:55"), ("09:30", "15:55"), ("00:00", "23:55"), ("09:30", "16:00")]))
    bars = bars.iloc[time_index(bars).tz_convert("America/New_York").indexer_between_time(begin, end)]
    bars = bars.set_axis(bars.index + pd.Timedelta(minutes=draw(st.sampled_from([0, 5]))))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return bars[random.random(len(bars)) > draw(st.sampled_from([0.0, 0.02, 0.5, 0.97]))]


@settings(max_examples=60, deadline=None)
@given(bars=some_bars(), data=st.data())
def test_bars_in_pieces_tell_what_they_tell_at_once(bars: pd.DataFrame, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(bars)), max_size=8))
    in_pieces, at_once = evidence_of(bars, cuts), evidence_of(bars, [])
    assert in_pieces.count == at_once.count
    assert in_pieces.out_of_range == at_once.out_of_range
    assert in_pieces.days.look_like_ends == at_once.days.look_like_ends == plainly_ends(time_index(bars))


def test_bar_by_bar_is_at_once() -> None:
    ends = FIVE_MINUTES.set_axis(FIVE_MINUTES.index + pd.Timedelta(minutes=5))
    evidence = evidence_of(ends, list(range(len(ends))))
    assert evidence.days.look_like_ends
    assert (evidence.days.past, evidence.days.past_ends) == (9, 9)
    with pytest.raises(BarsError, match="end of each bar"):
        evidence.require_one_kind({})
    evidence.require_one_kind({"stamps": "start"})


def test_prices_out_of_range_are_counted_piece_by_piece() -> None:
    adjusted = FIVE_MINUTES.assign(close=FIVE_MINUTES["close"] / 4)
    evidence = evidence_of(adjusted, [1, 700])
    assert evidence.out_of_range == {"close": len(adjusted), "open": 0}
    with pytest.raises(BarsError, match=f"close lies outside of high and low in {len(adjusted):,} of"):
        evidence.require_one_kind({})
    few = pd.concat([adjusted, *[FIVE_MINUTES] * 2])
    few.index = pd.date_range("2024-06-03", periods=len(few), freq="5min", tz="UTC")
    evidence_of(few, [5]).require_one_kind({})


@pytest.mark.parametrize("market", ["24/7", "24/5", "CMES", "XLON", "XTKS"])
def test_pieces_of_any_market_tell_what_they_tell_at_once(market: str) -> None:
    trading = market_named(market)
    bars = simulate_bars("CHECK", "2024-06-03", "2024-06-28", minutes=30, market=market)
    for moved in (bars, bars.set_axis(bars.index + pd.Timedelta(minutes=30))):
        stamps = time_index(moved).as_unit("us").asi8
        whole = Evidence.of_market(trading).followed_by(stamps, {})
        for size in (1, 7, 100):
            in_pieces = Evidence.of_market(trading)
            for begin in range(0, len(stamps), size):
                in_pieces = in_pieces.followed_by(stamps[begin : begin + size], {})
            assert (in_pieces.days.past, in_pieces.days.past_ends) == (whole.days.past, whole.days.past_ends)
            assert in_pieces.days.look_like_ends == whole.days.look_like_ends
        assert whole.days.look_like_ends == (moved is not bars and not trading.never_closes)
