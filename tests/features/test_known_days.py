"""Days that are known ahead: dated facts, whoever's days, and what a model makes of them."""

import csv
import json
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import USFederalHolidayCalendar
from pandas.tseries.offsets import CustomBusinessDay

from volcast.arrays import time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.cli.bars import main as bars_command
from volcast.config import TrainingConfig
from volcast.errors import ConfigError
from volcast.features.known_days import (
    KINDS,
    KnownDays,
    beyond_known_days,
    known_days_in,
    known_kinds,
)
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.training.data import known_days_of
from volcast.training.har_lstm import har_lstm_targets

LISTED = ("employment", "cpi", "gdp", "pce", "ism_manufacturing", "ism_services", "jobless_claims")
HOLIDAYS = USFederalHolidayCalendar().holidays("2016-01-01", "2026-12-31")


def moments_of(kind: str) -> pd.DatetimeIndex:
    moments = pd.DatetimeIndex(KINDS[kind].moments(market_named("XNYS")).view("M8[us]"), tz="UTC")
    return moments.tz_convert("America/New_York")


def days_of(kind: str) -> set[str]:
    return set(moments_of(kind).strftime("%Y-%m-%d"))


@pytest.mark.parametrize(
    ("kind", "days", "others"),
    [
        # Good Friday was the third Friday of April 2019.
        ("option_expiry", {"2019-04-18", "2024-05-17", "2024-07-19"}, {"2019-04-19", "2024-06-21"}),
        # Juneteenth moved none of 2024: it was a Wednesday.
        ("quarterly_expiry", {"2024-03-15", "2024-06-21", "2025-12-19"}, {"2024-05-17"}),
        # The 29th of March 2024 was Good Friday.
        ("month_end", {"2024-03-28", "2024-05-31", "2024-11-29"}, {"2024-03-29", "2024-03-27"}),
        ("half_day", {"2024-07-03", "2024-11-29", "2024-12-24"}, {"2024-07-05", "2024-12-23"}),
        # The shutdown of 2025 moved and cancelled releases; in March 2024 the first Friday came too early.
        ("employment", {"2016-01-08", "2024-03-08", "2025-11-20"}, {"2024-03-01", "2025-10-03", "2025-11-07"}),
        ("cpi", {"2016-01-20", "2025-10-24", "2026-02-13"}, {"2025-10-15", "2025-11-13", "2026-02-11"}),
        # The shutdowns of 2019 and 2025 put one estimate in the place of two.
        ("gdp", {"2016-02-26", "2019-02-28", "2025-12-23", "2026-01-22"}, {"2019-01-30", "2025-10-30", "2025-11-26"}),
        ("pce", {"2019-03-01", "2025-12-05", "2026-01-22"}, {"2019-01-31", "2025-10-31", "2025-11-26", "2025-12-19"}),
        # The institute's holidays are longer than the government's.
        ("ism_manufacturing", {"2016-01-04", "2024-01-03", "2024-09-03"}, {"2024-01-02", "2024-09-02"}),
        # A day of mourning, and Good Friday.
        ("ism_services", {"2018-12-06", "2026-04-06"}, {"2018-12-05", "2026-04-03"}),
        ("jobless_claims", {"2024-11-27", "2025-06-18", "2025-11-20"}, {"2024-11-28", "2025-06-19", "2025-11-06"}),
    ],
)
def test_dated_facts(kind: str, days: set[str], others: set[str]) -> None:
    assert days <= days_of(kind)
    assert not others & days_of(kind)


@pytest.mark.parametrize("kind", ["employment", "cpi"])
def test_a_release_comes_once_a_month_but_for_the_shutdown(kind: str) -> None:
    months = pd.Series(sorted(days_of(kind))).str[:7]
    assert months.is_unique
    counts = months.str[:4].value_counts()
    assert set(counts[[str(year) for year in range(2016, 2025)]]) == {12}
    assert counts["2025"] == 11


@pytest.mark.parametrize(
    ("kind", "place", "elsewhere"),
    [
        ("ism_manufacturing", 1, "2018-01 2019-01 2020-01 2021-01 2022-01 2023-01 2024-01 2025-01 2026-01"),
        (
            "ism_services",
            3,
            "2018-01 2018-12 2019-01 2020-01 2021-01 2022-01 2023-01 2024-01 2025-01 2026-01 2026-04",
        ),
    ],
)
def test_purchasing_managers_come_on_a_business_day_of_the_month(kind: str, place: int, elsewhere: str) -> None:
    """All but the months of `elsewhere`, by the government's holidays; those a business day late."""
    business = CustomBusinessDay(holidays=HOLIDAYS.to_list())
    days = {f"{day:%Y-%m}": day.tz_localize(None).normalize() for day in moments_of(kind)}
    assert list(days) == pd.period_range("2016-01", "2026-08", freq="M").astype(str).tolist()
    ruled = {month: pd.Timestamp(f"{month}-01") - pd.Timedelta(days=1) + place * business for month in days}
    assert [month for month in days if days[month] != ruled[month]] == elsewhere.split()
    assert all(days[month] == ruled[month] + business for month in elsewhere.split())


def test_claims_come_on_thursdays_or_before_their_holidays() -> None:
    """But in the shutdown of 2025, and in two weeks in which no second source has the day."""
    thursdays = pd.date_range("2016-01-07", "2026-08-06", freq="W-THU")
    left_out = pd.date_range("2025-10-02", "2025-11-13", freq="W-THU").union(
        pd.DatetimeIndex(["2020-12-24", "2025-01-09"])
    )
    of_weeks = thursdays.difference(left_out)
    ruled = of_weeks.where(~of_weeks.isin(HOLIDAYS), of_weeks - pd.Timedelta(days=1))
    assert days_of("jobless_claims") == set(ruled.strftime("%Y-%m-%d"))


def test_gdp_has_three_estimates_a_quarter_and_pce_a_day_a_month_but_for_shutdowns() -> None:
    counts = {kind: pd.Series(sorted(days_of(kind))).str[:4].value_counts().to_dict() for kind in ("gdp", "pce")}
    full = {str(year): 12 for year in range(2016, 2025)}
    assert counts["gdp"] == {**full, "2019": 11, "2025": 10, "2026": 8}
    assert counts["pce"] == {**full, "2019": 11, "2025": 10, "2026": 9}


def test_hours_of_releases() -> None:
    """Incomes come after GDP where both come on a day, until the bureau put them together in February 2026."""
    hours = {kind: set(moments_of(kind).strftime("%H:%M")) for kind in LISTED}
    assert hours == {
        **{kind: {"08:30"} for kind in LISTED},
        "pce": {"08:30", "10:00"},
        "ism_manufacturing": {"10:00"},
        "ism_services": {"10:00"},
    }
    late = {f"{moment:%Y-%m-%d}" for moment in moments_of("pce") if moment.hour == 10}
    assert late == {day for day in days_of("pce") & days_of("gdp") if day < "2026-02"} | {"2025-12-05"}


@pytest.mark.parametrize("kind", LISTED)
def test_a_listed_day_comes_once_between_2016_and_the_end_of_its_list(kind: str) -> None:
    days = moments_of(kind)
    assert days.is_monotonic_increasing
    assert days.normalize().is_unique
    assert (days.day_of_week < 5).all()
    assert days[0].year == 2016
    stated = known_kinds().loc[kind]
    assert (stated["days"], stated["last"]) == (len(days), f"{days[-1]:%Y-%m-%d}")


def test_the_table_names_the_sources_of_each_of_its_kinds() -> None:
    text = files("volcast.features").joinpath("releases.csv").read_text(encoding="utf-8")
    comments = "".join(line for line in text.splitlines() if line.startswith("#"))
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert {row["kind"] for row in rows} == set(LISTED)
    assert all(f"{kind}:" in comments or f"{kind}, " in comments for kind in LISTED)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)


@pytest.mark.parametrize(
    ("market", "days", "others"),
    [
        # Tokyo closes at 15:30 since November 2024, at 15:00 before.
        ("XTKS", set(), {"2024-10-31", "2024-11-05", "2024-11-06"}),
        # Hong Kong had longer noons until 2012; eves of its holidays end at noon.
        ("XHKG", {"2024-02-09", "2024-12-24"}, {"2010-06-15", "2012-03-02", "2024-02-08"}),
        ("24/7", set(), set()),
    ],
)
def test_half_days_are_those_of_the_market_at_that_time(market: str, days: set[str], others: set[str]) -> None:
    trading = market_named(market)
    half_days = set(trading.clock.times(KINDS["half_day"].moments(trading)).strftime("%Y-%m-%d"))
    assert days <= half_days
    assert not others & half_days
    stated = known_kinds(market).loc["half_day"]
    assert (stated["days"], stated["last"]) == (len(half_days), max(half_days, default=""))


def test_where_the_lists_end_is_said() -> None:
    last = known_kinds().loc["employment", "last"]
    assert last == "2026-07-02"
    assert beyond_known_days(["employment", "half_day"], date(2026, 7, 2)) == ""
    assert "employment are listed until 2026-07-02" in beyond_known_days(["employment"], date(2026, 7, 3))
    assert "jobless_claims are listed until 2026-08-06" in beyond_known_days(["jobless_claims"], date(2026, 8, 7))
    assert beyond_known_days(["half_day"], date(2099, 1, 1)) == ""


def buckets(day: str) -> pd.DatetimeIndex:
    return pd.date_range(f"{day} 10:00", f"{day} 16:00", freq="h", tz="America/New_York")


def own(rows: list[dict[str, str]]) -> KnownDays:
    days = known_days_in(pd.DataFrame(rows))
    return KnownDays(tuple(dict.fromkeys(day.kind for day in days)), days)


@pytest.mark.parametrize(
    ("moment", "session", "hour"),
    [
        (("2024-10-30", "16:05"), "2024-10-31", 10),
        (("2024-10-30", "16:00"), "2024-10-31", 10),
        (("2024-10-30", "15:59"), "2024-10-30", 16),
        (("2024-10-30", "14:00"), "2024-10-30", 15),
        (("2024-10-30", "08:30"), "2024-10-30", 10),
        (("2024-10-30", ""), "2024-10-30", 10),
        (("2024-07-03", "13:00"), "2024-07-05", 10),
        (("2024-11-02", "12:00"), "2024-11-04", 10),
    ],
)
def test_a_day_makes_itself_felt_where_it_happens(moment: tuple[str, str], session: str, hour: int) -> None:
    """After the close in the next session, before the open in the first bucket."""
    known = own([{"date": moment[0], "time": moment[1], "kind": "earnings", "symbol": "AAPL"}]).of_symbol("AAPL")
    labels = buckets(session)
    hours = labels.hour.to_numpy()
    before, within, after = known.dummies(labels.as_unit("us").asi8).T
    assert hours[within].tolist() == [hour]
    assert hours[before].tolist() == list(range(10, hour))
    assert hours[after].tolist() == list(range(hour + 1, 17))


def test_a_symbol_has_its_own_days_and_everybodys() -> None:
    rows = [
        {"date": "2024-10-30", "time": "", "kind": "earnings", "symbol": "aapl"},
        {"date": "2024-10-31", "time": "", "kind": "earnings", "symbol": "MSFT"},
        {"date": "2024-11-01", "time": "", "kind": "earnings", "symbol": ""},
    ]
    known = own(rows).of_symbol("AAPL")
    labels = [buckets(row["date"]).as_unit("us").asi8 for row in rows]
    assert [bool(known.dummies(of_day).any()) for of_day in labels] == [True, False, True]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"date": "31/10/2024", "kind": "earnings"}, "2024-10-30"),
        ({"date": "2024-10-31", "time": "noon", "kind": "earnings"}, "16:05"),
        ({"date": "2024-10-31", "kind": ""}, "a kind"),
        ({"date": "2024-10-31", "kind": "cpi"}, "your own"),
        ({"day": "2024-10-31", "kind": "earnings"}, "columns date and kind"),
    ],
)
def test_what_is_no_day_is_said(row: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        known_days_in(pd.DataFrame([row]))


def test_a_configuration_names_kinds_and_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("date,time,kind,symbol\n2024-10-30,16:05,earnings,AAPL\n")
    config = TrainingConfig.from_mapping({"known_days": f"month_end,{path}"})
    assert known_days_of(config).kinds == ("month_end", "earnings")
    for wrong, said in (("easter", "out of employment, cpi"), (str(tmp_path / "none.csv"), "cannot be read")):
        with pytest.raises(ConfigError, match=said):
            known_days_of(TrainingConfig.from_mapping({"known_days": wrong}))


def regression(measures: pd.DataFrame, known: KnownDays | None) -> HarLstm:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.2)
    return har_lstm_targets({"AAPL": measures}, {"AAPL": split}, known_days=known).regression


def forecasts(recipe: HarLstm, measures: pd.DataFrame) -> np.ndarray:
    positions = np.arange(len(measures) - 250, len(measures))
    return recipe.forecast((), measures, time_index(measures)[positions], positions).volatility


@pytest.fixture(scope="module")
def news() -> list[date]:
    every = pd.bdate_range("2023-01-02", "2024-12-31", freq="9B")
    return [day.date() for day in every]


@pytest.fixture(scope="module")
def measures(news: list[date]) -> pd.DataFrame:
    return get_hourly_measures(simulate_bars("AAPL", "2023-01-02", "2024-12-31", minutes=5, news=news))


def test_a_model_learns_what_its_days_do(measures: pd.DataFrame, news: list[date]) -> None:
    """Their first hour is twice as volatile in the first half hour; other hours it forecasts as without them."""
    known = own([{"date": str(day), "time": "08:30", "kind": "news", "symbol": ""} for day in news])
    learnt, plain = regression(measures, known), regression(measures, None)
    labels = time_index(measures)[-250:]
    of_news = np.array([day in news for day in labels.date]) & (labels.hour == 10)
    ratio = forecasts(learnt, measures) / forecasts(plain, measures)
    assert ratio[of_news].min() > 1.3
    assert np.abs(ratio[~of_news & (labels.hour > 11)] - 1).mean() < 0.02
    again = HarLstm.from_dict(learnt.to_dict())
    np.testing.assert_array_equal(forecasts(again, measures), forecasts(learnt, measures))


def test_one_such_day_in_training_does_no_harm(measures: pd.DataFrame, news: list[date]) -> None:
    once = [news[3], news[-2]]
    known = own([{"date": str(day), "time": "08:30", "kind": "news", "symbol": ""} for day in once])
    labels = time_index(measures)[-250:]
    of_day = labels.date == news[-2]
    ratio = forecasts(regression(measures, known), measures) / forecasts(regression(measures, None), measures)
    assert of_day.sum() == 7
    assert np.abs(ratio[of_day] - 1).max() < 0.05


def test_without_days_nothing_changes(measures: pd.DataFrame) -> None:
    plain, empty = regression(measures, None), regression(measures, KnownDays(("cpi",), (), "XNYS"))
    np.testing.assert_array_equal(forecasts(plain, measures), forecasts(regression(measures, KnownDays()), measures))
    assert not np.array_equal(forecasts(plain, measures), forecasts(empty, measures))


def test_the_command_lists_the_days_of_a_symbol_s_market(capsys: pytest.CaptureFixture[str]) -> None:
    assert bars_command(["days", "--symbol", "0700.HK,BTC/USD", "--json"]) == 0
    rows = {(row["market"], row["kind"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows["XHKG", "half_day"]["days"] == known_kinds("XHKG").loc["half_day", "days"]
    assert rows["24/7", "half_day"]["days"] == 0
    assert rows["24/7", "fed"] == {**rows["XHKG", "fed"], "market": "24/7"}
