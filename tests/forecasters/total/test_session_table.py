"""Sessions made of hourly measures are those that a plain sum over the bars of each day gives."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.session_table import MEASURES_READ, SessionTable
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures

NEW_YORK = "America/New_York"


def micros(moment: str) -> int:
    return pd.Timestamp(moment, tz=NEW_YORK).value // 1000


def sessions_of(bars: pd.DataFrame, moment: str = "2100-01-01") -> SessionTable:
    return SessionTable.of(HourlyTable.of(get_hourly_measures(bars)), micros(moment), market_named("XNYS"))


def plain_days(bars: pd.DataFrame) -> pd.DataFrame:
    """By day, its variance, return and night, from a loop over the bars of each."""
    local = bars.tz_convert(NEW_YORK)
    rows, close_before = {}, np.nan
    for day, of_day in local.groupby(time_index(local).date):
        prices = np.concatenate([[of_day["open"].iloc[0]], of_day["close"]])
        returns = np.diff(np.log(prices))
        rows[day] = {
            "variance": sum(returns**2),
            "return": np.log(prices[-1] / prices[0]),
            "night": np.log(prices[0] / close_before),
        }
        close_before = prices[-1]
    return pd.DataFrame(rows).T


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Seven weeks around Thanksgiving 2024: a holiday on 28 November, a half-day on the 29th."""
    whole = make_bars("2024-11-04", "2024-12-20", minutes=5).tz_convert(NEW_YORK)
    labels = time_index(whole)
    half_day = (labels.date == pd.Timestamp("2024-11-29").date()) & (labels.hour >= 13)
    holiday = labels.date == pd.Timestamp("2024-11-28").date()
    untraded: pd.DatetimeIndex = labels[half_day | holiday]
    return whole.drop(index=untraded)


def test_a_session_is_the_sum_of_its_bars_and_its_night(bars: pd.DataFrame) -> None:
    sessions, expected = sessions_of(bars), plain_days(bars)
    assert len(sessions) == len(expected)
    np.testing.assert_allclose(sessions.variance, expected["variance"], rtol=1e-9)
    np.testing.assert_allclose(sessions.day_return, expected["return"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(sessions.night, expected["night"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(sessions.total, expected["variance"] + expected["night"] ** 2, rtol=1e-9)


def test_a_session_closes_when_the_exchange_does(bars: pd.DataFrame) -> None:
    closes = pd.DatetimeIndex(sessions_of(bars).close.view("M8[us]"), tz="UTC").tz_convert(NEW_YORK)
    assert pd.Timestamp("2024-11-29 13:00", tz=NEW_YORK) in closes
    assert pd.Timestamp("2024-12-02 16:00", tz=NEW_YORK) in closes
    assert len(sessions_of(bars, "2024-12-02 15:59")) + 1 == len(sessions_of(bars, "2024-12-02 16:00"))


def test_a_night_over_a_hole_is_unknown_and_so_is_what_it_is_part_of(bars: pd.DataFrame) -> None:
    with_hole = bars[time_index(bars).date != pd.Timestamp("2024-11-12").date()]
    sessions = sessions_of(with_hole)
    day_after = int(np.flatnonzero(np.diff(sessions.number) == 2)[0]) + 1
    assert np.isnan(sessions.night[[0, day_after]]).all()
    assert np.isnan(sessions.night).sum() == 2
    whole = sessions_of(bars)
    outcomes, reference = sessions.outcomes(5), whole.outcomes(5)
    for place, (close, outcome) in enumerate(zip(sessions.close, outcomes, strict=True)):
        if place < day_after and place + 5 >= day_after:
            assert np.isnan(outcome)
        else:
            assert outcome == reference[whole.close == close] or np.isnan(outcome)


def test_an_outcome_is_the_root_of_the_days_after(bars: pd.DataFrame) -> None:
    sessions = sessions_of(bars)
    for count in (1, 5, 22):
        outcomes = sessions.outcomes(count)
        assert np.isnan(outcomes[-count:]).all()
        for row in range(len(sessions) - count):
            expected = np.sqrt(sum(sessions.total[row + 1 : row + 1 + count]))
            assert outcomes[row] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_a_session_with_too_few_hours_is_left_out_and_one_with_enough_is_scaled(bars: pd.DataFrame) -> None:
    labels = time_index(bars)
    day = labels.date == pd.Timestamp("2024-12-10").date()
    few, most = sessions_of(bars[~(day & (labels.hour >= 13))]), sessions_of(bars[~(day & (labels.hour >= 15))])
    whole = sessions_of(bars)
    close = micros("2024-12-10 16:00")
    assert close not in few.close
    measures = get_hourly_measures(bars)
    ended = time_index(measures)
    present = (ended.date == pd.Timestamp("2024-12-10").date()) & (ended.hour <= 15)
    expected = (measures["rv_hourly"].to_numpy()[present] ** 2).sum() * 390 / 330
    assert most.variance[most.close == close] == pytest.approx(expected)
    assert len(most) == len(whole) == len(few) + 1


def test_the_first_session_that_is_another_is_told(bars: pd.DataFrame) -> None:
    sessions = sessions_of(bars)
    assert sessions.first_unlike(sessions_of(bars)) == len(sessions)
    assert sessions.first_unlike(sessions_of(bars.iloc[:-78])) == len(sessions) - 1
    changed = bars.copy()
    changed.loc[time_index(bars).date == pd.Timestamp("2024-12-10").date(), ["high", "close"]] *= 1.01
    place = int(np.flatnonzero(sessions.close == micros("2024-12-10 16:00"))[0])
    assert sessions.first_unlike(sessions_of(changed)) == place


def test_no_bars_are_no_sessions() -> None:
    empty = SessionTable.of(HourlyTable(MEASURES_READ, market_named("XNYS")), 0, market_named("XNYS"))
    assert len(empty) == 0
    assert len(empty.outcomes(5)) == 0
