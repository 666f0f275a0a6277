"""Third Fridays: the days that exchanges have published, and as a loop over days has them."""

from datetime import date, timedelta

import numpy as np
import pytest

from volcast.markets.expiries import expiry_places, third_fridays
from volcast.markets.registry import market_named


def test_third_fridays_are_those_of_a_calendar() -> None:
    months = np.arange(np.datetime64("1999-12"), np.datetime64("2031-02"))
    for month, friday in zip(months, third_fridays(months), strict=True):
        first = date.fromisoformat(f"{month}-01")
        fridays = [day for day in (first + timedelta(days=n) for n in range(28)) if day.weekday() == 4]
        assert friday == np.datetime64(fridays[2])
    assert third_fridays(np.array(["2024-03-31"], dtype="M8[D]")).tolist() == [date(2024, 3, 15)]


@pytest.mark.parametrize(
    ("year", "expiries"),
    [
        # Good Friday 2025-04-18 moves April's to the Thursday; Juneteenth 2026-06-19 moves June's.
        ("2025", "01-17 02-21 03-21 04-17 05-16 06-20 07-18 08-15 09-19 10-17 11-21 12-19"),
        ("2026", "01-16 02-20 03-20 04-17 05-15 06-18 07-17 08-21 09-18 10-16 11-20 12-18"),
    ],
)
def test_expiries_are_those_that_the_exchange_has_published(year: str, expiries: str) -> None:
    every = market_named("XNYS").sessions.session
    sessions = every[every.astype("M8[D]").astype("M8[Y]") == np.datetime64(year)]
    days = sessions[expiry_places(sessions)].astype("M8[D]")
    assert [str(day)[5:] for day in days] == expiries.split()


def test_a_third_friday_outside_of_the_sessions_is_none() -> None:
    every = market_named("XNYS").sessions.session
    first = int(every.searchsorted(np.datetime64("2025-03-24").astype(np.int64)))
    for stop, count in ((first + 1, 0), (first + 18, 0), (first + 19, 0), (first + 20, 1)):
        assert len(expiry_places(every[first:stop])) == count
