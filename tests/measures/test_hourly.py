"""Hourly RV held against slow, obvious versions of both presets."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, place_of, with_noise_after
from tests.support.plain_measures import plain_colab_rv, plain_session_rv
from volcast.arrays import time_index
from volcast.errors import BarsError, ConfigError
from volcast.markets.registry import market_named
from volcast.measures.hourly import Preset, annualize, get_hourly_rv, minutes_per_year

NEW_YORK = "America/New_York"


def thinned(bars: pd.DataFrame, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    kept = random.random(len(bars)) > 0.02
    kept[200:290] = False  # a halt of an hour and a half
    kept[800:815] = False
    return bars[kept]


@pytest.mark.parametrize("seed", [0, 1])
def test_session_rv_equals_the_plain_version(seed: int) -> None:
    bars = thinned(make_bars("2024-11-25", "2024-12-03", seed=seed, extended=seed == 1), seed)
    bars = bars[time_index(bars).tz_convert(NEW_YORK).strftime("%m-%d") != "11-28"]
    rv, plain = get_hourly_rv(bars), plain_session_rv(bars)
    assert rv.index.equals(pd.DatetimeIndex(plain.index))
    np.testing.assert_allclose(rv, plain, rtol=1e-12)


@pytest.mark.parametrize("extended", [False, True])
def test_colab_rv_equals_the_notebooks_steps(extended: bool) -> None:
    bars = thinned(make_bars("2024-10-28", "2024-11-08", extended=extended), 3)  # over the change of clocks
    rv, plain = get_hourly_rv(bars, preset="colab"), plain_colab_rv(bars)
    assert (rv.index == plain.index).all()
    np.testing.assert_allclose(rv, plain, rtol=0, atol=1e-15)
    assert rv.name == "rv_hourly"


def test_colab_rv_equals_the_notebooks_own_pandas_calls_bit_for_bit() -> None:
    bars = make_bars("2024-10-28", "2024-11-08", extended=True)
    closes = bars["close"].tz_convert(NEW_YORK).sort_index()
    returns = closes.pct_change().dropna()
    expected = np.sqrt((returns**2).resample("1h", label="right", closed="right").sum().to_numpy())
    assert (get_hourly_rv(bars, preset="colab").to_numpy() == expected).all()


@pytest.mark.parametrize("preset", ["session", "colab"])
def test_both_layouts_of_alpaca_give_the_same(preset: Preset) -> None:
    bars = make_bars("2024-06-03", "2024-06-07", extended=True)
    other = make_bars("2024-06-03", "2024-06-07", seed=5)
    stacked = pd.concat({"SPY": bars, "QQQ": other}, names=["symbol", "timestamp"])
    expected = get_hourly_rv(bars, preset=preset)
    pd.testing.assert_series_equal(get_hourly_rv(stacked, "SPY", preset=preset), expected)
    only = pd.concat({"SPY": bars}, names=["symbol", "timestamp"])
    pd.testing.assert_series_equal(get_hourly_rv(only, preset=preset), expected)


def test_several_symbols_and_none_named_is_refused() -> None:
    bars = make_bars("2024-06-03", "2024-06-04")
    stacked = pd.concat({"SPY": bars, "QQQ": bars}, names=["symbol", "timestamp"])
    with pytest.raises(BarsError, match="SPY, QQQ"):
        get_hourly_rv(stacked)


def test_what_was_left_out_is_counted() -> None:
    bars = make_bars("2024-11-27", "2024-11-29", extended=True)
    hour = (time_index(bars).tz_convert(NEW_YORK).strftime("%m-%d %H") == "11-29 11") & (time_index(bars).minute < 30)
    rv = get_hourly_rv(bars[~hour])
    assert f"{pd.Timestamp('2024-11-29 12:00', tz=NEW_YORK)}" not in map(str, rv.index)
    assert rv.attrs["left_out"] == {
        # 390 of the 960 minutes of a day are the session's, 210 of a half-day's, none of Thanksgiving's
        "bars_outside_sessions": (960 - 390) + 960 + (960 - 210),
        "returns_overnight": 1,
        "returns_over_an_hour": 0,
        "buckets_without_bars": 0,
        "buckets_under_coverage": 1,
    }


def test_bars_are_counted_where_they_end() -> None:
    bars = make_bars("2024-06-03", "2024-06-03")
    before = get_hourly_rv(bars)
    at_ten = pd.Timestamp("2024-06-03 10:00", tz=NEW_YORK)
    changed = bars.copy()
    changed.loc[changed.index == at_ten, "close"] *= 1.05  # the bar from 10:00 to 10:01
    after = get_hourly_rv(changed)
    assert after[at_ten] == before[at_ten]
    assert after[at_ten + pd.Timedelta(hours=1)] > before[at_ten + pd.Timedelta(hours=1)]


def test_the_overnight_gap_is_no_part_of_any_bucket() -> None:
    bars = make_bars("2024-06-03", "2024-06-04")
    gapped = bars.copy()
    second = time_index(gapped).tz_convert(NEW_YORK).day == 4
    gapped.loc[second, ["open", "high", "low", "close"]] *= 1.3
    np.testing.assert_allclose(get_hourly_rv(gapped), get_hourly_rv(bars), rtol=1e-9)


@pytest.mark.parametrize("preset", ["session", "colab"])
def test_the_future_changes_nothing_before_it(preset: Preset) -> None:
    bars = make_bars("2024-10-28", "2024-11-15")
    rv = get_hourly_rv(bars, preset=preset)
    random = np.random.default_rng(0)
    for moment in bars.index[random.integers(400, len(bars), 50)]:
        changed = get_hourly_rv(with_noise_after(bars, moment), preset=preset)
        # Under `colab` a label's last bar ends one minute after it.
        seen = rv.index <= (moment if preset == "session" else moment - pd.Timedelta(minutes=1))
        assert (changed[seen].to_numpy() == rv[seen].to_numpy()).all()


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.01, 100), seed=st.integers(0, 10))
def test_the_price_level_does_not_matter(factor: float, seed: int) -> None:
    bars = make_bars("2024-06-03", "2024-06-04", seed=seed)
    np.testing.assert_allclose(get_hourly_rv(bars * factor), get_hourly_rv(bars), rtol=1e-7)


@settings(max_examples=20, deadline=None)
@given(zone=st.sampled_from(["UTC", NEW_YORK, "Europe/Zurich", "Asia/Tokyo"]))
def test_the_zone_of_the_bars_does_not_matter(zone: str) -> None:
    bars = make_bars("2024-06-03", "2024-06-04")
    pd.testing.assert_series_equal(get_hourly_rv(bars.tz_convert(zone)), get_hourly_rv(bars))


def test_a_frame_without_an_open_begins_with_its_second_bar() -> None:
    bars = make_bars("2024-06-03", "2024-06-03")
    with_open, without = get_hourly_rv(bars), get_hourly_rv(bars[["close"]])
    first_return = np.log(bars["close"].iloc[0] / bars["open"].iloc[0])
    np.testing.assert_allclose(with_open.iloc[0] ** 2 - without.iloc[0] ** 2, first_return**2, rtol=1e-6)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="session"):
        get_hourly_rv(make_bars("2024-06-03", "2024-06-03"), preset="daily")  # type: ignore[call-overload]


def test_a_year_of_constant_variance_annualizes_to_itself() -> None:
    labels = pd.DatetimeIndex(["2024-06-03 11:00-04:00"])
    (year,) = minutes_per_year("session", market_named("XNYS"), labels.as_unit("us").asi8).tolist()
    assert year == 252 * 390
    per_minute = 0.20 / math.sqrt(year)
    assert annualize(per_minute * math.sqrt(60), 60, year) == pytest.approx(0.20)
    assert annualize(per_minute * math.sqrt(30), 30, year) == pytest.approx(0.20)
    (clock_year,) = minutes_per_year("colab", market_named("XNYS"), labels.as_unit("us").asi8).tolist()
    assert annualize(0.01, 60, clock_year) == pytest.approx(0.01 * math.sqrt(365 * 24))


def test_real_bars_have_seven_buckets_on_full_days(spy_bars: pd.DataFrame) -> None:
    rv = get_hourly_rv(spy_bars)
    per_day = rv.groupby(time_index(rv).date).size()
    assert per_day.value_counts().idxmax() == 7
    assert per_day[pd.Timestamp("2024-11-29").date()] == 4
    assert pd.Timestamp("2025-01-09").date() not in per_day.index
    assert rv.attrs["left_out"]["buckets_under_coverage"] == 1  # 2025-04-02 ends at 15:23


def test_a_future_that_trades_at_night_equals_plain_pandas(shared_dir: Path) -> None:
    path = shared_dir / "data" / "NQ_1min.parquet"
    if not path.is_file():
        pytest.skip(f"no real bars at {path}: set VOLATILITY_SHARED_DATA to test with them")
    bars = pd.read_parquet(path)["2023-06-01":"2023-12-31"]
    rv = get_hourly_rv(bars)
    ends = (time_index(bars) + pd.Timedelta(minutes=1)).tz_convert(NEW_YORK)
    sessions = market_named("XNYS").schedule(ends[0], ends[-1]).reindex(ends.tz_localize(None).normalize())
    inside = (ends > pd.DatetimeIndex(sessions["open"])) & (ends <= pd.DatetimeIndex(sessions["close"]))
    bars, ends = bars[inside].set_axis(ends[inside]), ends[inside]
    returns = np.log(bars["close"]).groupby(ends.date).diff()
    returns = returns.fillna(np.log(bars["close"] / bars["open"]))
    returns[bars.index.to_series().diff().between(pd.Timedelta(minutes=61), pd.Timedelta(hours=7))] = np.nan
    hours = returns.groupby(ends.ceil("h"))
    plain = (returns**2).groupby(ends.ceil("h")).sum() ** 0.5
    plain = plain[hours.size() >= 0.8 * np.where(plain.index.hour == 10, 30, 60)]
    assert rv.index.equals(plain.index)
    np.testing.assert_allclose(rv, plain, rtol=1e-12)


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf, 5e-324, 1e300])
def test_the_notebooks_volatility_of_impossible_prices_is_refused(price: float) -> None:
    bars = make_bars("2024-11-18", "2024-11-19")
    bars.iloc[300, place_of(bars, "close")] = price
    with pytest.raises(BarsError):
        get_hourly_rv(bars, preset="colab")
