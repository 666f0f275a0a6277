"""Dated facts of the New York Stock Exchange."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.errors import ConfigError
from volcast.markets.registry import market_named

XNYS = market_named("XNYS")
NEW_YORK = "America/New_York"
CLOCK = ZoneInfo(NEW_YORK)
ZONES = st.sampled_from(["America/New_York", "UTC", "Asia/Kolkata", "Europe/London", "Pacific/Apia"]).map(ZoneInfo)
SPAN: dict[str, Any] = {"min_value": dt.datetime(1970, 1, 2), "max_value": dt.datetime(2199, 12, 30)}
# Hours around the two changes of a year, where most of what can go wrong does.
CHANGES = st.builds(
    lambda day, minutes: dt.datetime.fromisoformat(day) + dt.timedelta(minutes=minutes),
    st.sampled_from(["2024-03-10", "2024-11-03", "1987-04-05", "2006-10-29", "2150-03-08"]),
    st.integers(0, 300),
)


def labels_of(day: str) -> list[str]:
    buckets = XNYS.bucket_table(pd.Timestamp(day), pd.Timestamp(day))
    return [f"{label:%H:%M}" for label in buckets.index]


FULL_DAY = ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "16:00"]
HALF_DAY = ["10:00", "11:00", "12:00", "13:00"]


@pytest.mark.parametrize(
    ("day", "labels"),
    [
        ("2024-11-27", FULL_DAY),
        ("2024-11-28", []),  # Thanksgiving
        ("2024-11-29", HALF_DAY),  # the day after it closes at 13:00
        ("2025-07-03", HALF_DAY),  # the eve of Independence Day
        ("2025-01-09", []),  # ad-hoc closure: national day of mourning
        ("2018-12-05", []),  # ad-hoc closure: national day of mourning
        ("2025-03-10", FULL_DAY),  # first session of summer time
        ("2024-11-04", FULL_DAY),  # first session of winter time
        ("2025-03-08", []),  # a Saturday
    ],
)
def test_known_days_have_their_buckets(day: str, labels: list[str]) -> None:
    assert labels_of(day) == labels


def test_the_first_bucket_has_thirty_minutes_and_starts_at_the_open() -> None:
    buckets = XNYS.bucket_table(pd.Timestamp("2024-11-27"), pd.Timestamp("2024-11-27"))
    assert buckets["minutes"].tolist() == [30, 60, 60, 60, 60, 60, 60]
    assert buckets["start"].iloc[0] == pd.Timestamp("2024-11-27 09:30", tz=NEW_YORK)


@pytest.mark.parametrize(
    ("day", "open_utc"),
    [("2025-03-07", "14:30"), ("2025-03-10", "13:30"), ("2024-11-01", "13:30"), ("2024-11-04", "14:30")],
)
def test_the_open_moves_in_utc_when_clocks_change(day: str, open_utc: str) -> None:
    buckets = XNYS.bucket_table(pd.Timestamp(day), pd.Timestamp(day))
    assert f"{buckets['start'].iloc[0].tz_convert('UTC'):%H:%M}" == open_utc


@pytest.mark.parametrize(
    ("asof", "expected"),
    [
        ("2024-11-27 09:30", "2024-11-27 10:00"),
        ("2024-11-27 10:00", "2024-11-27 11:00"),  # a bucket that has ended is not ahead
        ("2024-11-27 10:30", "2024-11-27 11:00"),
        ("2024-11-27 16:00", "2024-11-29 10:00"),  # over Thanksgiving
        ("2024-11-29 13:00", "2024-12-02 10:00"),  # over the rest of a half-day and a weekend
        ("2001-09-10 16:00", "2001-09-17 10:00"),  # the longest closure since 1933
    ],
)
def test_the_next_bucket(asof: str, expected: str) -> None:
    assert XNYS.next_bucket(pd.Timestamp(asof, tz=NEW_YORK)).name == pd.Timestamp(expected, tz=NEW_YORK)


def hours_of_clock(moment: dt.datetime) -> set[dt.timedelta]:
    """The offsets at which New York's clocks show a naive moment, one after the other: none, one or two."""
    shown = set()
    for hours in (-5, -4):
        instant = moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
        if instant.astimezone(CLOCK).replace(tzinfo=None) == moment:
            shown.add(dt.timedelta(hours=hours))
    return shown


@given(CHANGES | st.datetimes(**SPAN), st.sampled_from([str, pd.Timestamp, np.datetime64, lambda moment: moment]))
def test_a_moment_without_a_zone_is_what_new_yorks_clocks_show_once(moment: dt.datetime, form: Any) -> None:
    offsets = hours_of_clock(moment)
    if len(offsets) != 1:
        with pytest.raises(ConfigError, match="show it twice" if offsets else "never show it"):
            XNYS.clock.moment(form(moment))
        return
    read = XNYS.clock.moment(form(moment))
    assert read.tz_localize(None) == moment
    assert read.utcoffset() == offsets.pop()


@given(st.datetimes(**SPAN, timezones=ZONES), st.integers(0, 999))
def test_a_moment_with_a_zone_is_that_instant_to_the_microsecond(moment: dt.datetime, nanoseconds: int) -> None:
    instant = pd.Timestamp(moment)
    read = XNYS.clock.moment(instant.as_unit("ns") + pd.Timedelta(nanoseconds, unit="ns"))
    assert read == instant
    assert str(read.tz) == NEW_YORK


@given(
    st.text(st.characters(exclude_categories=["Nd"]))
    | st.floats()
    | st.integers()
    | st.lists(st.dates())
    | st.datetimes(max_value=dt.datetime(1969, 12, 31))
    | st.datetimes(min_value=dt.datetime(2200, 1, 1))
    | st.sampled_from([pd.NaT, np.datetime64("NaT"), "now", "today", "", "3/4/2024", "2024-02-30", "2024-06-03 25:00"])
    | st.sampled_from([True, {}, object(), pd.Period("2024-06"), np.arange(3), pd.DataFrame(), "\ud800", "2024-06-03x"])
)
def test_what_is_no_moment_is_refused_in_one_sentence(moment: Any) -> None:
    for reader in (XNYS.clock.moment, XNYS.day_begin):
        with pytest.raises(ConfigError) as caught:
            reader(moment)
        assert "is no moment" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asof", ["2031-06-02 10:00", "2150-01-01 12:00"])
def test_no_bucket_follows_the_last_known_session(asof: str) -> None:
    with pytest.raises(ConfigError, match=r"XNYS are known from 1995-01-03 to .* ask for an earlier moment"):
        XNYS.next_bucket(pd.Timestamp(asof, tz=NEW_YORK))


def test_an_exchange_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="'XXXX' is no exchange"):
        market_named("XXXX")
