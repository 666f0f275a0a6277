"""What hours tell of zones, and of starts and ends."""

import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.checks import validate_bars
from volcast.bars.clocks import LIKELY_ZONES, fitting_zones, look_like_ends
from volcast.errors import BarsError, NotEnoughDataError
from volcast.measures.hourly import get_hourly_rv

MINUTE = pd.Timedelta(minutes=1)


@pytest.mark.parametrize("zone", LIKELY_ZONES)
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("minutes", [1, 5, 30])
def test_the_zone_of_a_year_is_told_by_its_hours(zone: str, extended: bool, minutes: int) -> None:
    stamps = time_index(make_bars("2024-02-05", "2024-04-19", minutes=minutes, extended=extended))
    found = fitting_zones(stamps.tz_convert(zone).tz_localize(None), minutes * MINUTE)
    assert found[:1] == [zone]


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
