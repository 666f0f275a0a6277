"""What hours tell of zones, and of starts and ends."""

from pathlib import Path

import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.market import Market
from volcast.backtest.prices import session_prices
from volcast.bars.checks import validate_bars
from volcast.bars.cleaning import clean_bars
from volcast.bars.clocks import LIKELY_ZONES, fitting_zones, look_like_ends
from volcast.bars.handler import DataHandler
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import BarsError, NotEnoughDataError
from volcast.forecaster import VolatilityForecaster
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv
from volcast.training.trainer import LocalLSTMTrainer

MINUTE = pd.Timedelta(minutes=1)


@pytest.mark.parametrize("zone", LIKELY_ZONES)
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("minutes", [1, 5, 30])
def test_the_zone_of_a_year_is_told_by_its_hours(zone: str, extended: bool, minutes: int) -> None:
    stamps = time_index(make_bars("2024-02-05", "2024-04-19", minutes=minutes, extended=extended))
    found = fitting_zones(stamps.tz_convert(zone).tz_localize(None), minutes * MINUTE)
    assert found[:1] == [zone]


@pytest.mark.parametrize(
    ("first", "last"), [("2023-12-03", "2024-04-26"), ("2024-01-03", "2024-12-20"), ("2024-04-08", "2024-09-27")]
)
def test_a_clock_without_summer_time_is_told_from_new_yorks(first: str, last: str) -> None:
    """As the files of a vendor of currencies are written; their weeks begin an hour later in half of the year."""
    market = market_named("24/5")
    stamps = time_index(simulate_bars("EURUSD", first, last, minutes=5, market="24/5"))
    zones = {
        zone: fitting_zones(stamps.tz_convert(zone).tz_localize(None), 5 * MINUTE, market)
        for zone in ("America/New_York", "Etc/GMT+5")
    }
    assert zones["America/New_York"][0] == "America/New_York"
    assert "America/New_York" not in zones["Etc/GMT+5"]
    assert "Etc/GMT+5" in zones["Etc/GMT+5"]


@pytest.mark.parametrize("zone", ["Etc/GMT-1", "Etc/GMT-2", "Europe/Athens", "Europe/Berlin"])
def test_a_broker_s_clock_without_summer_time_is_told_from_its_neighbours(zone: str) -> None:
    stamps = time_index(simulate_bars("EURUSD", "2023-06-01", "2024-04-30", minutes=15, market="24/5"))
    naive = stamps.tz_convert(zone).tz_localize(None)
    assert fitting_zones(naive, 15 * MINUTE, market_named("24/5"))[0] == zone


def test_a_price_that_stands_over_weekends_hides_no_zone(tmp_path: Path) -> None:
    week = simulate_bars("EURUSD", "2024-01-08", "2024-03-08", minutes=15, market="24/5")
    close = week["close"].resample("15min").last().ffill()
    weekends = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close)).assign(volume=0.0)
    flat = pd.concat([week, weekends[~weekends.index.isin(week.index)]]).sort_index()
    flat.tz_localize(None).to_csv(tmp_path / "eurusd.csv", index_label="timestamp")
    handler = DataHandler("file", bars_path=str(tmp_path / "eurusd.csv"))
    with pytest.raises(BarsError, match="--bars-timezone UTC"):
        handler.get_stock_bars("EURUSD")


@pytest.mark.parametrize("minutes", [1, 5])
def test_the_zone_of_weeks_is_told_however_many_bars_there_are(minutes: int) -> None:
    stamps = time_index(simulate_bars("EURUSD", "2024-01-03", "2024-06-28", minutes=minutes, market="24/5"))
    naive = stamps.tz_convert("America/New_York").tz_localize(None)
    assert fitting_zones(naive, minutes * MINUTE, market_named("24/5")) == ["America/New_York"]


def test_hours_round_the_clock_tell_no_zone() -> None:
    assert fitting_zones(pd.date_range("2024-02-05", "2024-03-05", freq="min"), MINUTE) == []


@pytest.mark.parametrize("minutes", [1, 5, 15, 30])
@pytest.mark.parametrize("extended", [False, True])
def test_ends_are_told_from_starts(minutes: int, extended: bool) -> None:
    bars = make_bars("2024-06-03", "2024-06-21", minutes=minutes, extended=extended)
    assert not look_like_ends(time_index(bars))
    ends = bars.set_axis(bars.index + minutes * MINUTE)
    assert look_like_ends(time_index(ends))
    with pytest.raises(BarsError, match=r"end of each bar.*attrs\['stamps'\] = 'start'"):
        validate_bars(ends)
    with pytest.raises(BarsError, match="end of each bar"):
        get_hourly_rv(ends)
    ends.attrs["stamps"] = "start"
    assert validate_bars(ends) is ends


def test_bars_without_a_zone_are_told_how_to_get_one() -> None:
    with pytest.raises(BarsError, match=r"without a time zone .* use bars\.tz_localize\('America/New_York'\)"):
        validate_bars(make_bars("2024-06-03", "2024-06-04").tz_localize(None))


def test_hours_by_the_clock_are_no_ends() -> None:
    hours = make_bars("2024-06-03", "2024-06-21", minutes=60, extended=True)
    assert not look_like_ends(time_index(hours))
    assert not look_like_ends(time_index(make_bars("2024-06-03", "2024-06-21")).tz_convert("Asia/Tokyo"))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_daily_bars_are_called_too_long_whatever_midnight_they_have(zone: str) -> None:
    minutes = make_bars("2024-06-03", "2024-08-30").tz_convert(zone)
    daily = minutes[["close"]].resample("1D").last().dropna()
    assert not look_like_ends(time_index(daily))
    with pytest.raises(NotEnoughDataError, match="bars are of 1440 min"):
        get_hourly_rv(daily)


def of_market(market: str, last: str = "2024-09-13", minutes: int = 5) -> pd.DataFrame:
    return simulate_bars("CHECK", "2024-07-01", last, minutes=minutes, market=market)


@pytest.mark.parametrize("market", ["XLON", "XETR", "XPAR", "XTKS", "XHKG", "XASX", "CMES", "24/5"])
@pytest.mark.parametrize("written_in", ["its own", "UTC", "America/New_York"])
def test_the_zone_of_any_market_is_told_by_its_hours(market: str, written_in: str) -> None:
    trading = market_named(market)
    zone = trading.zone if written_in == "its own" else written_in
    stamps = time_index(of_market(market)).tz_convert(zone).tz_localize(None)
    assert fitting_zones(stamps, 5 * MINUTE, trading)[:1] == [zone]


def test_a_market_that_never_closes_tells_no_zone() -> None:
    coins, trading = of_market("24/7", "2024-07-19"), market_named("24/7")
    assert fitting_zones(time_index(coins).tz_localize(None), 5 * MINUTE, trading) == []
    with pytest.raises(BarsError, match=r"tell none, since 24/7 never closes.*tz_localize\('UTC'\)"):
        get_hourly_rv(coins.tz_localize(None), market="24/7")


def test_naive_stamps_are_asked_about_by_the_hours_of_their_market() -> None:
    london = of_market("XLON").tz_convert("Europe/London").tz_localize(None)
    for call in (
        lambda: get_hourly_rv(london, market="XLON"),
        lambda: session_prices(london, "XLON"),
        lambda: clean_bars(london, ["ticks"], market="XLON"),
        lambda: get_hourly_rv(london.rename_axis("timestamp"), symbol="VOD.L"),
    ):
        with pytest.raises(BarsError, match=r"whose hours fit Europe/London.*tz_localize\('Europe/London'\)"):
            call()


def test_a_file_without_a_zone_is_read_by_the_hours_of_its_market(tmp_path: Path) -> None:
    bars = of_market("XTKS")
    bars.tz_convert("Asia/Tokyo").tz_localize(None).to_csv(tmp_path / "bars.csv")
    read = DataHandler("file", bars_path=str(tmp_path / "bars.csv"), market="XTKS").get_stock_bars("7203")
    assert "no zone in the stamps: Asia/Tokyo, whose hours they fit" in read.attrs["notes"][0]
    assert (time_index(read) == time_index(bars)).all()
    with pytest.raises(BarsError, match="fit no session of XNYS"):
        DataHandler("file", bars_path=str(tmp_path / "bars.csv"), market="XNYS").get_stock_bars("7203")


@pytest.mark.parametrize("market", ["XLON", "XTKS", "CMES", "24/5"])
def test_ends_are_told_from_starts_in_any_market(market: str) -> None:
    bars, trading = of_market(market), market_named(market)
    assert not look_like_ends(time_index(bars), trading)
    ends = bars.set_axis(bars.index + 5 * MINUTE)
    assert look_like_ends(time_index(ends), trading)
    for call in (
        lambda: get_hourly_rv(ends, market=market),
        lambda: session_prices(ends, market),
        lambda: LocalLSTMTrainer({"market": market, "accept_quality": True}).prepare_data(bars=ends),
        lambda: VolatilityForecaster("ewma", {"market": market}).forecast(ends),
    ):
        with pytest.raises(BarsError, match="end of each bar"):
            call()


def test_stamps_of_coins_are_neither() -> None:
    coins, trading = of_market("24/7", "2024-07-19"), market_named("24/7")
    assert not look_like_ends(time_index(coins), trading)
    assert not look_like_ends(time_index(coins) + 5 * MINUTE, trading)


def test_the_symbol_tells_whose_hours_are_measured() -> None:
    coins = simulate_bars("BTC/USD", "2024-07-01", "2024-07-05", minutes=5)
    rv = get_hourly_rv(coins)
    assert rv.attrs["market"] == get_hourly_measures(coins).attrs["market"] == "24/7"
    assert len(rv) == 5 * 24
    assert get_hourly_rv(coins, market="XNYS").attrs["market"] == "XNYS"
    assert DataHandler("simulator").get_stock_bars("EURUSD", "2024-07-01", "2024-07-05").index[0].hour == 21
    assert Market.of(coins).trading.name == "24/7"
    panel = pd.concat({"VOD.L": of_market("XLON")})
    assert Market.of(panel).trading.name == "XLON"
