"""Dated facts of the New York Stock Exchange."""

import pandas as pd
import pytest

from volcast.sessions import next_bucket, session_buckets

NEW_YORK = "America/New_York"


def labels_of(day: str) -> list[str]:
    buckets = session_buckets(pd.Timestamp(day), pd.Timestamp(day))
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
    buckets = session_buckets(pd.Timestamp("2024-11-27"), pd.Timestamp("2024-11-27"))
    assert buckets["minutes"].tolist() == [30, 60, 60, 60, 60, 60, 60]
    assert buckets["start"].iloc[0] == pd.Timestamp("2024-11-27 09:30", tz=NEW_YORK)


@pytest.mark.parametrize(
    ("day", "open_utc"),
    [("2025-03-07", "14:30"), ("2025-03-10", "13:30"), ("2024-11-01", "13:30"), ("2024-11-04", "14:30")],
)
def test_the_open_moves_in_utc_when_clocks_change(day: str, open_utc: str) -> None:
    buckets = session_buckets(pd.Timestamp(day), pd.Timestamp(day))
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
    assert next_bucket(pd.Timestamp(asof, tz=NEW_YORK)).name == pd.Timestamp(expected, tz=NEW_YORK)
