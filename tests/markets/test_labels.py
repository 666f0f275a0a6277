"""Measures that lost what they say of their market are of the one whose buckets their labels are."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.features.scaling import make_scaler
from volcast.forecasters.baselines.registry import BASELINES
from volcast.markets.registry import market_named, market_of
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv

MARKETS = ["XNYS", "XLON", "XETR", "XTKS", "XHKG", "XASX", "CMES", "IEPA", "24/5", "24/7"]


def joined(measures: pd.DataFrame) -> pd.DataFrame:
    """Both halves in one frame, as pandas joins what says different things of itself."""
    halves = [measures.iloc[: len(measures) // 2], measures.iloc[len(measures) // 2 :]]
    halves[0].attrs = {**measures.attrs, "left_out": {}}
    halves[1].attrs = {**measures.attrs, "left_out": {"bars_outside_sessions": 1}}
    both: pd.DataFrame = pd.concat(halves)
    assert "market" not in both.attrs
    return both


@pytest.mark.parametrize("bucket", ["session", "2h", "1h", "30min"])
@pytest.mark.parametrize("name", MARKETS)
def test_joined_measures_are_of_their_market(name: str, bucket: str) -> None:
    market = market_named(name, bucket)
    bars = simulate_bars("CHECK", "2024-01-02", "2024-03-28", minutes=5, market=name)
    measures = get_hourly_measures(bars, market=market)
    assert market_of(joined(measures)) is market
    kept = measures[np.random.default_rng(0).random(len(measures)) > 0.2]
    kept.attrs = {}
    assert market_of(kept) is market


def test_a_baseline_forecasts_joined_measures_as_it_does_whole_ones() -> None:
    bars = simulate_bars("CHECK", "2024-01-02", "2024-06-28", minutes=5, market="XLON")
    measures = get_hourly_measures(bars, market="XLON")
    positions = np.arange(len(measures) - 20, len(measures))
    targets = time_index(measures)[positions]
    for name, baseline in BASELINES.items():
        expected = baseline.forecast(measures, targets, positions)
        np.testing.assert_array_equal(baseline.forecast(joined(measures), targets, positions), expected, err_msg=name)
    scalers = [make_scaler("diurnal_log").fit(frame["rv_hourly"]) for frame in (measures, joined(measures))]
    assert scalers[0].to_dict() == scalers[1].to_dict()


def test_what_tells_nothing_is_new_yorks() -> None:
    bars = make_bars("2024-06-03", "2024-08-30", minutes=5)
    rv, of_all_hours = get_hourly_rv(bars), get_hourly_rv(bars, preset="colab")
    rv.attrs, of_all_hours.attrs = {}, {}
    for series in (rv, rv.iloc[:3], rv.tz_convert("UTC"), of_all_hours):
        assert market_of(series) is market_named("XNYS")
    assert market_of(pd.Series([1.0, 2.0])) is market_named("XNYS")


def test_labels_in_utc_are_told_apart() -> None:
    bars = simulate_bars("CHECK", "2024-01-02", "2024-03-28", minutes=5, market="XLON")
    rv = get_hourly_rv(bars, market="XLON", tz="UTC")
    rv.attrs = {}
    assert market_of(rv) is market_named("XLON")
