"""Dated facts of markets that are not New York's."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from volcast.arrays import time_index
from volcast.markets.fit import best_fit
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_YEAR, DEFAULT_ZONE, default_market
from volcast.markets.registry import MARKETS, market_named
from volcast.measures.hourly import annualize, get_hourly_measures, get_hourly_rv, minutes_per_year
from volcast.testing import check_market

MICROSECONDS = 60_000_000


def labels_of(market: str, day: str) -> list[str]:
    table = market_named(market).bucket_table(pd.Timestamp(day), pd.Timestamp(day))
    return [f"{label:%d %H:%M}" for label in table.index]


def minutes_of(market: str, day: str, start: str, end: str) -> pd.DataFrame:
    """Bars of a minute from `start` to `end` of the market's clock, each return 1 %."""
    index = pd.date_range(f"{day} {start}", f"{day} {end}", freq="min", tz=market_named(market).zone, inclusive="left")
    close = 100 * np.exp(0.01 * np.arange(len(index)))
    return pd.DataFrame({"open": close * np.exp(-0.01), "close": close}, index)


@pytest.mark.parametrize("market", [*MARKETS, "XBOM", "XTSE"])
def test_every_market_keeps_the_rules(market: str) -> None:
    check_market(market)


@pytest.mark.parametrize(
    ("market", "day", "labels"),
    [
        ("XTKS", "2024-06-03", ["10:00", "11:00", "11:30", "13:00", "14:00", "15:00"]),
        ("XTKS", "2024-11-05", ["10:00", "11:00", "11:30", "13:00", "14:00", "15:00", "15:30"]),  # half an hour more
        ("XHKG", "2024-12-24", ["10:00", "11:00", "12:00"]),  # the eve has no afternoon
        ("XLON", "2024-12-24", ["09:00", "10:00", "11:00", "12:00", "12:30"]),
        ("XASX", "2024-06-03", ["11:00", "12:00", "13:00", "14:00", "15:00", "16:00"]),
        ("XBOM", "2024-06-03", ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "15:30"]),  # at UTC and a half
    ],
)
def test_hours_are_those_of_the_clock(market: str, day: str, labels: list[str]) -> None:
    assert [label[3:] for label in labels_of(market, day)] == labels


def test_a_future_rests_an_hour_and_its_day_begins_in_the_evening() -> None:
    labels = labels_of("CMES", "2024-06-03")
    assert (labels[0], labels[-1], len(labels)) == ("02 18:00", "03 16:00", 23)
    cmes = market_named("CMES")
    assert cmes.day_begin("2024-06-03") == pd.Timestamp("2024-06-02 17:00", tz="America/Chicago")
    assert labels_of("CMES", "2024-11-29")[-1] == "29 12:00"  # the day after Thanksgiving is cut short


def test_currencies_trade_from_sunday_to_friday_in_new_york() -> None:
    zone = "America/New_York"
    market = market_named("24/5")
    friday = pd.Timestamp("2024-03-08 17:00", tz=zone)
    assert market.next_bucket(friday)["start"] == pd.Timestamp("2024-03-10 17:00", tz=zone)  # clocks are set between
    assert labels_of("24/5", "2024-12-25") == labels_of("24/5", "2025-01-01") == []


CHANGES = {
    "XTKS": {"1997-01-06": 300, "2024-11-05": 330},  # closes at 15:30
    "XHKG": {"1995-01-03": 300, "2011-03-07": 330},  # opens at 9:30
    "XKRX": {"1995-01-03": 240, "1998-12-07": 300, "2000-05-22": 360, "2016-08-01": 390},
    "BVMF": {"1995-01-03": 420, "2019-11-04": 480},  # closes at 18:00
    "XNYS": {"1995-01-03": 390},
    "CMES": {"1995-01-03": 1380},
}


@pytest.mark.parametrize("market", CHANGES)
def test_the_days_on_which_regular_sessions_became_longer(market: str) -> None:
    regular = market_named(market).regular_sessions
    days = market_named(market).dates(market_named(market).clock.times(regular.begin))
    changes = {f"{day:%Y-%m-%d}": minutes for day, minutes in zip(days, regular.minutes.tolist(), strict=True)}
    assert changes == CHANGES[market]


def test_sessions_of_no_regular_length_break_a_rule_of_markets() -> None:
    hours = market_named("XNYS").hours
    shorter = replace(hours, end=hours.end - 60 * (hours.session % 3 == 0))
    with pytest.raises(AssertionError, match="% of the sessions of XNYS are not as long as regular ones then are"):
        check_market(replace(market_named("XNYS"), hours_of=lambda: shorter))


@pytest.mark.parametrize("bucket", ["1h", "session"])
@pytest.mark.parametrize(
    ("market", "before", "after"), [("XTKS", "2024-11-01", "2024-11-05"), ("XNYS", *["2024-11-01"] * 2)]
)
def test_a_session_is_annualized_by_the_sessions_of_its_time(market: str, before: str, after: str, bucket: str) -> None:
    """Of 20 % a year in the days before and after the change, and so in each bucket of them."""
    trading = market_named(market, bucket)
    table = trading.bucket_table(pd.Timestamp(before), pd.Timestamp(after))
    minutes = table["minutes"].astype(float)
    of_session = minutes.groupby(table["session"]).transform("sum")
    volatility = 0.20 * np.sqrt(minutes / of_session / trading.sessions_per_year)
    year = minutes_per_year("session", trading, time_index(table).as_unit("us").asi8)
    np.testing.assert_allclose(annualize(volatility, minutes, year), 0.20, rtol=1e-12)


def test_the_default_year_is_the_default_markets() -> None:
    assert market_named(DEFAULT_MARKET).sessions_per_year == DEFAULT_YEAR
    assert market_named(DEFAULT_MARKET).zone == DEFAULT_ZONE


def test_coins_never_rest_and_their_days_are_utcs() -> None:
    market = market_named("24/7")
    assert market.never_closes
    assert market.minutes_per_year(market.buckets.label[-1:]).tolist() == [365 * 24 * 60]
    assert labels_of("24/7", "2024-06-02")[0] == "02 01:00"
    assert labels_of("24/7", "2024-06-02")[-1] == "03 00:00"


def test_a_return_over_lunch_is_in_no_bucket() -> None:
    morning, noon = (
        minutes_of("XTKS", "2024-06-03", "09:00", "11:30"),
        minutes_of("XTKS", "2024-06-03", "12:30", "15:00"),
    )
    noon[["open", "close"]] *= 3.0
    measures = get_hourly_measures(pd.concat([morning, noon]), market="XTKS")
    np.testing.assert_allclose(measures["rv_hourly"], 0.01 * np.sqrt(measures["minutes"]))
    after = time_index(measures).hour == 13
    gap = np.log(noon["open"].iloc[0] / morning["close"].iloc[-1])
    np.testing.assert_allclose(measures["overnight_return"], np.where(after, gap, 0.0), atol=1e-12)


@pytest.mark.parametrize(("market", "close", "late"), [("XASX", "16:00", "16:12"), ("XLON", "16:30", "16:37")])
def test_bars_after_the_close_belong_to_no_bucket(market: str, close: str, late: str) -> None:
    until, beyond = (minutes_of(market, "2024-06-03", "10:00", end) for end in (close, late))
    measured = get_hourly_rv(beyond, market=market)
    pd.testing.assert_series_equal(measured, get_hourly_rv(until, market=market), check_exact=True)
    assert measured.attrs["left_out"]["bars_outside_sessions"] == len(beyond) - len(until)


def test_a_day_of_coins_goes_on_from_the_one_before() -> None:
    bars = minutes_of("24/7", "2024-06-02", "00:00", "23:59")
    bars = pd.concat([bars, minutes_of("24/7", "2024-06-03", "00:00", "05:00") * bars["close"].iloc[-1] / 100])
    measures = get_hourly_measures(bars, market="24/7")
    assert (measures["overnight_return"] == 0).all()
    # The first return of a day is since the last bar of the day before, however it opens.
    bars.iloc[1439, 0] *= 1.5
    pd.testing.assert_frame_equal(get_hourly_measures(bars, market="24/7")[["rv_hourly"]], measures[["rv_hourly"]])


@pytest.mark.parametrize(
    ("symbol", "source", "market"),
    [
        ("SPY", "auto", "XNYS"),
        ("BRK.B", "auto", "XNYS"),
        ("BTC/USD", "alpaca", "24/7"),
        ("ethusdt", "file", "24/7"),
        ("ANYTHING", "binance", "24/7"),
        ("EURUSD", "file", "24/5"),
        ("USDJPY=X", "yahoo", "24/5"),
        ("ES", "file", "CMES"),
        ("NQ", "auto", "CMES"),
        ("NQH24", "file", "CMES"),
        ("CL", "alpaca", "XNYS"),  # where Alpaca has bars, it is a maker of soap
        ("CL=F", "yahoo", "CMES"),
        ("BZ=F", "yahoo", "IEPA"),
        ("VOD.L", "yahoo", "XLON"),
        ("7203.T", "yahoo", "XTKS"),
        ("BHP.AX", "yahoo", "XASX"),
        ("SAP.DE", "yahoo", "XETR"),
    ],
)
def test_symbols_tell_their_market(symbol: str, source: str, market: str) -> None:
    assert default_market(symbol, source) == market
    assert market_named(market).buckets_per_session > 0


@pytest.mark.parametrize("market", ["XNYS", "XLON", "XTKS", "XHKG", "XASX", "CMES", "24/5", "24/7"])
def test_bars_of_a_markets_hours_fit_it_best(market: str) -> None:
    starts, ends = market_named(market).stretches
    rows = slice(-300, -250)
    stamps = np.concatenate([np.arange(a, b, MICROSECONDS) for a, b in zip(starts[rows], ends[rows], strict=True)])
    assert best_fit(stamps, MICROSECONDS).market.name == market
