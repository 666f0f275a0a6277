"""Cleaning: each rule on bars with its flaw, no harm to clean ones, no look-ahead, and the same RV as by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, with_noise_after
from tests.support.edits import scale
from volcast.arrays import time_index
from volcast.bars.cleaning import CLEANING_RULES, clean_bars, split_steps
from volcast.bars.handler import DataHandler
from volcast.bars.sources.simulator import simulate_bars
from volcast.bars.sources.stamps import EpochUnit
from volcast.errors import BarsError, ConfigError
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_rv

WEEK = make_bars("2024-06-03", "2024-06-07")
PRICES = ["open", "high", "low", "close"]
RULES_OF_STOCKS = [rule for rule in CLEANING_RULES if rule != "rolls"]
"""What futures alone need is in `test_rolls`."""


def flawed(rule: str) -> tuple[pd.DataFrame, int]:
    """A week with one flaw, and how many bars it concerns."""
    bars = WEEK.copy()
    if rule == "missing":
        bars.iloc[[5, 700], 3] = np.nan
        bars.iloc[9, 0] = np.nan
        return bars, 3
    if rule == "zero":
        bars.iloc[5, 3], bars.iloc[6, 2], bars.iloc[7, 1] = 0.0, -1.0, np.inf
        return bars, 3
    if rule == "order":
        return bars.iloc[[*range(100), 101, 102, 100, *range(103, len(bars))]], 1
    if rule == "duplicates":
        return pd.concat([bars, bars.iloc[[3, 3, 900]]]).sort_index(kind="stable"), 3
    if rule == "crossed":
        bars.iloc[20, [1, 2]] = bars.iloc[[20], [2, 1]].to_numpy()[0] + np.array([-1.0, 1.0])
        bars.iloc[21, 3] = bars["high"].iloc[21] * 1.05
        return bars, 2
    if rule == "outside":
        return make_bars("2024-07-02", "2024-07-05", extended=True), 4 * 960 - 390 * 2 - 210
    if rule == "splits":
        bars.iloc[780:, :4] /= 4
        return bars, 780
    if rule == "stale":
        bars.iloc[215:230, :4] = bars["close"].iloc[214]
        bars.iloc[215:230, 4] = 0.0
        return bars, 14
    if rule == "wicks":
        scale(bars, 40, "high", 1.02)
        scale(bars, 500, "low", 0.97)
        return bars, 2
    if rule == "untraded":
        return bars.drop(bars.index[[40, 41, *range(100, 130), 389, 390, 1000]]), 2 + 15 + 1 + 1
    bars.iloc[[40, 500], 3] *= [1.02, 0.97]
    return bars, 2


@pytest.mark.parametrize("rule", RULES_OF_STOCKS)
def test_each_rule_finds_its_flaw_counts_it_and_can_be_left_out(rule: str) -> None:
    bars, count = flawed(rule)
    cleaned, cleaning = clean_bars(bars, [rule])
    assert cleaning.counts == {rule: count}
    assert rule in cleaning.sentence()
    changes = {"order": 0, "splits": 0, "wicks": 0, "untraded": count}
    assert len(cleaned) == len(bars) + changes.get(rule, -count)
    others = [other for other in CLEANING_RULES if other != rule]
    assert rule not in clean_bars(bars, others)[1].counts
    pd.testing.assert_frame_equal(clean_bars(bars, [])[0], bars)


@pytest.mark.parametrize("rule", ["order", "duplicates", "splits", "missing", "zero", "ticks", "wicks"])
def test_what_was_mended_is_near_what_it_was(rule: str) -> None:
    cleaned, _ = clean_bars(flawed(rule)[0])
    plain = WEEK.loc[cleaned.index]
    if rule == "splits":
        plain = plain.assign(**{name: plain[name] / 4 for name in PRICES})
    np.testing.assert_allclose(cleaned["close"], plain["close"], rtol=1e-12)
    if rule == "wicks":
        np.testing.assert_allclose(cleaned[PRICES], plain[PRICES], rtol=1e-3)


def test_clean_bars_are_left_as_they_are() -> None:
    bars = simulate_bars("SPY", "2023-01-03", "2024-12-31", seed=3)
    cleaned, cleaning = clean_bars(bars)
    assert not any(cleaning.counts.values())
    assert cleaning.sentence() == ""
    assert cleaned is bars


def test_versions_of_one_bar_become_their_median_and_copies_count_once() -> None:
    bars = WEEK.iloc[:50]
    other = bars.iloc[[10]] * 1.01
    far = bars.iloc[[10]] * 2.0
    cleaned, cleaning = clean_bars(pd.concat([bars, far, far, far, other]).sort_index(), ["duplicates"])
    assert cleaning.counts["duplicates"] == 4
    np.testing.assert_allclose(cleaned.iloc[10][PRICES], other.iloc[0][PRICES])


def test_a_true_move_is_no_wrong_tick() -> None:
    bars = WEEK.copy()
    bars.iloc[300:, :4] *= 1.03  # stays
    scale(bars, 50, "close", 1.03)  # comes back inside the next bar, as trades do
    scale(bars, 51, "open", 1.03)
    scale(bars, 88, "close", 1.03)  # the last bar of an hour: what follows is not known by its end
    assert bars.index[88].minute == 58
    scale(bars, 89, "close", 1.03)
    assert clean_bars(bars, ["ticks"])[1].counts["ticks"] == 0


def test_real_bars_have_next_to_no_wrong_ticks(spy_bars: pd.DataFrame) -> None:
    assert clean_bars(spy_bars, ["ticks", "stale", "crossed", "duplicates", "order"])[1].sentence() == ""
    assert clean_bars(spy_bars, ["wicks"])[1].counts["wicks"] <= 3


@pytest.mark.parametrize("rule", RULES_OF_STOCKS)
def test_the_future_changes_nothing_of_hours_that_have_ended(rule: str) -> None:
    if rule == "splits":
        pytest.skip("a split rescales what was before it, which changes no return inside a session")
    bars, _ = flawed(rule)
    rv = get_hourly_rv(clean_bars(bars, [rule, "order", "missing", "zero", "duplicates"])[0])
    for moment in rv.index[:: max(len(rv) // 12, 1)]:
        later = with_noise_after(bars, moment)
        changed = get_hourly_rv(clean_bars(later, [rule, "order", "missing", "zero", "duplicates"])[0])
        assert (changed[:moment].to_numpy() == rv[:moment].to_numpy()).all()


def test_splits_are_found_by_their_ratio_and_ordinary_nights_are_none(spy_bars: pd.DataFrame) -> None:
    bars = WEEK.copy()
    bars.iloc[390:, :4] /= 3
    bars.iloc[1170:, :4] *= 10
    assert split_steps(bars, market_named("XNYS")).round(6).to_list() == [round(1 / 3, 6), 10]
    assert split_steps(WEEK, market_named("XNYS")).empty
    assert split_steps(spy_bars, market_named("XNYS")).empty


def test_unknown_rules_and_stamps_without_a_zone_are_refused() -> None:
    with pytest.raises(ConfigError, match="'sort' is no rule of cleaning; they are missing, zero"):
        clean_bars(WEEK, ["sort"])
    with pytest.raises(BarsError, match="tz_localize"):
        clean_bars(WEEK.tz_localize(None))


def test_the_handler_cleans_by_the_rules_it_is_given_and_says_what_it_did(tmp_path: object) -> None:
    path = f"{tmp_path}/spy.parquet"
    pd.concat([WEEK.iloc[::-1], WEEK.iloc[:7]]).to_parquet(path)
    with pytest.raises(BarsError, match="--clean"):
        DataHandler("file", bars_path=path).get_stock_bars("SPY")
    bars = DataHandler("file", bars_path=path, cleaning=("all",)).get_stock_bars("SPY")
    pd.testing.assert_frame_equal(bars, WEEK, check_freq=False)
    assert bars.attrs["cleaning"]["duplicates"] == 7
    assert any(note.startswith("Cleaned the bars of SPY: order") for note in bars.attrs["notes"])


ZONES = ["UTC", "America/New_York", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe"]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    zone=st.sampled_from(ZONES),
    copies=st.lists(st.integers(0, len(WEEK) - 1), max_size=200),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_any_order_zone_and_duplicates_give_the_same_rv(
    seed: int, zone: str, copies: list[int], unit: EpochUnit
) -> None:
    rows = np.random.default_rng(seed).permutation(np.array([*range(len(WEEK)), *copies]))
    mixed = WEEK.iloc[rows].tz_convert(zone)
    mixed.index = time_index(mixed).as_unit(unit)
    cleaned, cleaning = clean_bars(mixed)
    assert cleaning.counts["duplicates"] == len(copies)
    rv = get_hourly_rv(cleaned)
    assert (rv.to_numpy() == get_hourly_rv(WEEK).to_numpy()).all()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rv_is_additive_over_splits_of_the_data_at_bucket_edges(data: st.DataObject) -> None:
    whole = get_hourly_rv(WEEK)
    cuts = sorted(data.draw(st.sets(st.sampled_from(list(whole.index)), max_size=6)))
    bounds = [None, *cuts, None]
    parts = []
    for first, last in itertools.pairwise(bounds):
        # A bar belongs to the bucket in which it ends; a part in the middle of a session keeps the close before it.
        ends = time_index(WEEK) + pd.Timedelta(minutes=1)
        inside = (ends > first if first is not None else True) & (ends <= last if last is not None else True)
        part = WEEK[inside] if not isinstance(inside, bool) else WEEK
        if part.empty:
            continue
        part = part.copy()
        position = int(WEEK.index.get_indexer(part.index[:1])[0])
        if first is not None and f"{first:%H:%M}" != "16:00":
            part.iloc[0, 0] = WEEK["close"].iloc[position - 1]
        parts.append(get_hourly_rv(part))
    joined = pd.concat(parts)
    assert joined.index.equals(whole.index)
    np.testing.assert_allclose(joined, whole, rtol=1e-12)
    assert float((joined**2).sum()) == pytest.approx(float((whole**2).sum()), rel=1e-12)
