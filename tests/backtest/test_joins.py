"""Forecasts joined to moments by when they were known, and the three ways in which that goes wrong elsewhere."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.arrays import time_index
from volcast.backtest.joins import align_to, positions_for
from volcast.errors import BarsError, LookAheadError
from volcast.forecaster import VolatilityForecaster


@pytest.fixture(scope="module")
def forecasts(some_bars: pd.DataFrame) -> pd.DataFrame:
    return VolatilityForecaster("ewma").forecast_series(some_bars)


def test_each_moment_gets_the_newest_forecast_that_was_known(forecasts: pd.DataFrame, some_bars: pd.DataFrame) -> None:
    stamps = pd.DatetimeIndex(some_bars.index[::17])
    joined = align_to(forecasts, stamps)
    for stamp, row in joined.iterrows():
        known = forecasts[forecasts["asof"] <= stamp]
        if known.empty:
            assert row.isna().all()
            continue
        assert row["bucket"] == known.index[-1]
        assert row["annualized_volatility"] == known["annualized_volatility"].iloc[-1]


def test_a_join_by_labels_would_have_been_an_hour_late(forecasts: pd.DataFrame) -> None:
    stamps = pd.DatetimeIndex(forecasts["asof"].iloc[8:40])
    late = forecasts["annualized_volatility"].reindex(stamps, method="ffill")
    joined = align_to(forecasts, stamps)["annualized_volatility"]
    assert joined.tolist() == forecasts["annualized_volatility"].iloc[8:40].tolist()
    assert late.tolist() == forecasts["annualized_volatility"].iloc[7:39].tolist()


def test_times_without_a_zone_are_refused_on_either_side(forecasts: pd.DataFrame) -> None:
    stamps = pd.DatetimeIndex(forecasts["asof"])
    with pytest.raises(BarsError, match="the moments have no time zone"):
        align_to(forecasts, stamps.tz_localize(None))
    with pytest.raises(BarsError, match="the forecasts' asof have no time zone"):
        align_to(forecasts.assign(asof=forecasts["asof"].dt.tz_localize(None)), stamps)


def test_zones_may_differ(forecasts: pd.DataFrame) -> None:
    stamps = pd.DatetimeIndex(forecasts["asof"])
    there, here = (align_to(forecasts, stamps.tz_convert(zone)) for zone in ("Asia/Tokyo", "America/New_York"))
    assert there["annualized_volatility"].tolist() == here["annualized_volatility"].tolist()


def test_a_forecast_dated_after_its_bucket_is_refused(forecasts: pd.DataFrame) -> None:
    with pytest.raises(LookAheadError, match="said to be made as of"):
        align_to(forecasts.assign(asof=forecasts.index), pd.DatetimeIndex(forecasts.index))


def test_a_days_own_mean_joined_to_that_day_is_refused(some_bars: pd.DataFrame) -> None:
    local = some_bars.tz_convert("America/New_York")
    by_day = local["close"].groupby(time_index(local).normalize()).mean()
    with pytest.raises(BarsError, match=r"dated by day .* a day's own figures are known at its close"):
        positions_for(by_day / by_day.mean(), some_bars)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True), st.integers(1, 300))
def test_positions_are_those_decided_by_the_bars_start(minutes: list[int], count: int) -> None:
    opening = pd.Timestamp("2024-09-03 09:30", tz="America/New_York")
    moments = pd.DatetimeIndex([opening + pd.Timedelta(minutes=minute) for minute in sorted(minutes)])
    positions = pd.Series(np.arange(1.0, len(moments) + 1), index=moments)
    starts = pd.date_range(opening.tz_convert("UTC"), periods=count, freq="min")
    held = positions_for(positions, pd.DataFrame({"close": 1.0}, index=starts))
    for start, value in held.items():
        decided = positions[positions.index <= start]
        assert value == (decided.iloc[-1] if len(decided) else 0.0)


def test_without_a_forecast_nothing_is_known(forecasts: pd.DataFrame) -> None:
    moments = pd.DatetimeIndex(forecasts["asof"])
    joined = align_to(forecasts.iloc[:0], moments)
    assert joined.index.equals(moments)
    assert joined.isna().to_numpy().all()
