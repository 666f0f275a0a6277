"""Bars of dated days land in the right hourly buckets, and their forecasts are of the right ones."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.forecaster import VolatilityForecaster
from volcast.measures.hourly import get_hourly_rv

NEW_YORK = "America/New_York"
FULL = ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "16:00"]
HALF = FULL[:4]


def labels_on(rv: pd.Series, day: str) -> list[str]:
    return [f"{label:%H:%M}" for label in rv.index if f"{label:%Y-%m-%d}" == day]


@pytest.mark.parametrize(
    ("first", "last", "day", "labels"),
    [
        ("2024-11-27", "2024-12-02", "2024-11-29", HALF),  # closes at 13:00, the day after Thanksgiving
        ("2025-07-02", "2025-07-07", "2025-07-03", HALF),  # closes at 13:00, the eve of Independence Day
        ("2025-01-08", "2025-01-10", "2025-01-09", []),  # closed: national day of mourning
        ("2025-03-07", "2025-03-11", "2025-03-10", FULL),  # first session of summer time: opens at 13:30 UTC
        ("2024-11-01", "2024-11-05", "2024-11-04", FULL),  # first session of winter time: opens at 14:30 UTC
        ("2025-03-06", "2025-03-07", "2025-03-07", FULL),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
def test_buckets_of_known_days(first: str, last: str, day: str, labels: list[str], extended: bool) -> None:
    # These bars go on to 16:00 or 20:00 on every weekday, whatever the exchange does.
    bars = make_bars(first, last, extended=extended)
    assert labels_on(get_hourly_rv(bars), day) == labels


@pytest.mark.parametrize("day", ["2025-03-07", "2025-03-10", "2024-11-01", "2024-11-04"])
def test_a_jump_at_half_past_ten_is_in_the_bucket_of_eleven_before_and_after_clocks_change(day: str) -> None:
    bars = make_bars(day, day, extended=True)
    jump = pd.Timestamp(f"{day} 10:30", tz=NEW_YORK)
    moved = bars.copy()
    moved.loc[moved.index >= jump, ["open", "high", "low", "close"]] *= 1.05
    before, after = get_hourly_rv(bars), get_hourly_rv(moved)
    changed = [f"{label:%H:%M}" for label in before.index[~np.isclose(after, before, rtol=1e-9)]]
    assert changed == ["11:00"]


@pytest.mark.parametrize(
    ("first", "asof", "bucket"),
    [
        ("2024-11-18", "2024-11-29 13:00", "2024-12-02 10:00"),  # the half-day is over at 13:00
        ("2024-11-18", "2024-11-29 12:59", "2024-11-29 13:00"),
        ("2025-06-23", "2025-07-03 13:00", "2025-07-07 10:00"),  # over Independence Day and a weekend
        ("2024-12-30", "2025-01-08 16:00", "2025-01-10 10:00"),  # over the closure
        ("2025-02-24", "2025-03-07 16:00", "2025-03-10 10:00"),
        ("2024-10-21", "2024-11-01 16:00", "2024-11-04 10:00"),
    ],
)
def test_the_next_bucket_of_known_days_is_forecast(first: str, asof: str, bucket: str) -> None:
    moment = pd.Timestamp(asof, tz=NEW_YORK)
    bars = make_bars(first, asof[:10])
    forecast = VolatilityForecaster("ewma").forecast(bars, moment)
    assert (forecast.asof, forecast.bucket) == (moment, pd.Timestamp(bucket, tz=NEW_YORK))


def test_half_days_and_closures_have_as_many_forecasts_as_buckets() -> None:
    bars = make_bars("2024-11-18", "2024-12-03")
    series = VolatilityForecaster("ewma").forecast_series(bars)
    per_day = series.groupby(time_index(series).strftime("%m-%d")).size()
    assert per_day["11-29"] == 4
    assert "11-28" not in per_day
    assert (per_day.drop(["11-19", "11-29", "12-04"], errors="ignore") == 7).all()
