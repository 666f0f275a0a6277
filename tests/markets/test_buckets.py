"""Buckets of other lengths: what a slow count of minutes gives, whose lags, slots and year follow from it."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from tests.support.coins import coin_bars
from volcast.arrays import time_index
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.features.windows import har_lags
from volcast.markets.hours import calendar_of
from volcast.markets.market import BUCKETS
from volcast.markets.registry import MARKETS, market_named
from volcast.measures.hourly import get_hourly_rv

SHORTER = [bucket for bucket in BUCKETS if bucket != "session"]


@pytest.mark.parametrize("bucket", SHORTER)
@pytest.mark.parametrize("name", list(MARKETS))
def test_each_minute_of_trading_is_in_the_one_bucket_that_a_slow_count_says(name: str, bucket: str) -> None:
    market, hours = market_named(name, bucket), market_named(name).hours
    buckets, length = market.buckets, BUCKETS[bucket]
    first = int(np.searchsorted(hours.session, int(np.datetime64("2024-03-04").astype("M8[D]").astype(int))))
    for row in range(first, first + 8):
        for end in range(int(hours.start[row]) + 1, int(hours.end[row]) + 1, 7):
            place = int(buckets.label.searchsorted(end * 60_000_000))
            shown = pd.Timestamp(end, unit="m", tz="UTC").tz_convert(market.zone)
            number = -(-(shown.hour * 60 + shown.minute) // length) % market.slots
            assert buckets.start[place] < end * 60_000_000 <= buckets.label[place]
            assert buckets.session[place] == hours.session[row]
            assert market.hours_and_days(buckets.label[place : place + 1])[0][0] == number


@pytest.mark.parametrize("bucket", list(BUCKETS))
@pytest.mark.parametrize("name", list(MARKETS))
def test_buckets_of_any_length_make_the_same_sessions(name: str, bucket: str) -> None:
    hourly, other = market_named(name), market_named(name, bucket)
    for field in ("session", "open", "close", "minutes"):
        np.testing.assert_array_equal(getattr(other.sessions, field), getattr(hourly.sessions, field))
    for field in ("begin", "minutes"):
        np.testing.assert_array_equal(getattr(other.regular_sessions, field), getattr(hourly.regular_sessions, field))
    assert (other.buckets.minutes <= max(other.bucket_minutes, 1440)).all()
    assert market_named(other.key) is other


def test_lags_are_a_bucket_a_session_a_week_and_a_month() -> None:
    lags = {bucket: har_lags(market_named("XNYS", bucket), 10_000) for bucket in BUCKETS}
    assert lags == {
        "5min": (1, 78, 390, 1716),
        "15min": (1, 26, 130, 572),
        "30min": (1, 13, 65, 286),
        "1h": (1, 7, 35, 154),
        "2h": (1, 4, 20, 88),
        "session": (1, 1, 5, 22),
    }
    # A week of coins has seven days.
    assert har_lags(market_named("24/7"), 10_000) == (1, 24, 168, 720)
    assert har_lags(market_named("24/7", "session"), 10_000) == (1, 1, 7, 30)
    assert har_lags(market_named("CMES"), 10_000) == (1, 23, 115, 506)


@pytest.mark.parametrize("bucket", list(BUCKETS))
def test_variances_of_a_session_add_up_whatever_the_buckets(bucket: str) -> None:
    bars = make_bars("2024-03-04", "2024-03-15")
    hourly, other = (get_hourly_rv(bars, market=market_named("XNYS", length)) for length in ("1h", bucket))
    sums = [(rv**2).groupby(time_index(rv).date).sum() for rv in (hourly, other)]
    np.testing.assert_allclose(sums[1], sums[0], rtol=1e-12)


@pytest.mark.parametrize("bucket", list(BUCKETS))
def test_what_lies_before_and_in_the_noon_of_tokyo_is_in_no_bucket(bucket: str) -> None:
    """Bars at noon, and the gap over it, count for nothing; the first bar of the afternoon does from its open on."""
    index = pd.date_range("2024-06-03 09:00", "2024-06-03 15:00", freq="min", tz="Asia/Tokyo", inclusive="left")
    close = 100 * np.exp(0.001 * np.arange(len(index)))
    bars = pd.DataFrame({"open": close * np.exp(-0.001), "close": close}, index)
    market = market_named("XTKS", bucket)
    minute = index.hour * 60 + index.minute
    for of_day in (bars, bars[(minute < 11 * 60 + 30) | (minute >= 12 * 60 + 30)]):
        assert (get_hourly_rv(of_day, market=market) ** 2).sum() == pytest.approx(300 * 0.001**2)


def test_a_market_opens_after_it_was_closed() -> None:
    days = np.arange("2024-06-03", "2024-06-15", dtype="M8[D]").astype(np.int64)
    week = [True, True, True, True, True, False, False] * 2
    for name, opens in (
        ("XNYS", week),
        ("CMES", week),  # each evening, after an hour
        ("24/5", [True, False, False, False, False, False, False] * 2),
        ("24/7", [False] * 14),
    ):
        openings = market_named(name).openings(np.append(days[0] - 1, days))
        assert (np.diff(openings) > 0).tolist() == opens[: len(days)]


def test_a_year_of_an_exchange_that_is_known_since_lately_has_as_many_sessions_as_its_years() -> None:
    assert 245 < market_named("XSAU").sessions_per_year < 255
    assert market_named("XSAU").sessions_per_week == 5


def test_exchanges_whose_sessions_cannot_be_made_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of Athens and Tel Aviv cannot with some releases of exchange_calendars."""

    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("a holiday that its rule has on a day without a session")

    monkeypatch.setattr("exchange_calendars.exchange_calendar.ExchangeCalendar.__init__", fail)
    with pytest.raises(ConfigError, match="exchange_calendars has XTAE, and cannot make its sessions"):
        calendar_of("XTAE")


def test_a_coin_has_a_bucket_a_day_from_midnight_to_midnight_utc() -> None:
    rv = get_hourly_rv(coin_bars("2024-06-01", days=4), market=market_named("24/7", "session"))
    assert [f"{label:%m-%d %H:%M}" for label in time_index(rv).tz_convert("UTC")] == [
        f"06-0{day} 00:00" for day in range(2, 6)
    ]


def test_a_length_that_is_none_and_bars_too_long_for_it_are_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match="bucket is '7min'; the rule is one of 5min"):
        market_named("XNYS", "7min")
    bars = make_bars("2024-03-04", "2024-03-08", minutes=5)
    said = r"bars are of 5 min, so that a bucket of 15 min holds 3 of them, .* needs 4"
    with pytest.raises(NotEnoughDataError, match=said):
        get_hourly_rv(bars, market=market_named("XNYS", "15min"))


@pytest.mark.parametrize("bucket", SHORTER)
def test_a_bucket_of_the_day_is_called_by_the_time_at_which_it_ends(bucket: str) -> None:
    market = market_named("XNYS", bucket)
    labels = market.bucket_table(pd.Timestamp("2024-06-03"), pd.Timestamp("2024-06-03")).index
    slots = market.hours_of_labels(pd.DatetimeIndex(labels))
    assert [market.time_of_slot(int(slot)) for slot in slots] == [f"{label.hour}:{label:%M}" for label in labels]
    assert market_named("XNYS", "session").time_of_slot(0) == "session"


def test_buckets_are_called_by_their_length() -> None:
    adjectives = [market_named("24/7", bucket).bucket_adjective for bucket in BUCKETS]
    assert adjectives == ["5-minute", "15-minute", "30-minute", "hourly", "2-hour", "session"]
