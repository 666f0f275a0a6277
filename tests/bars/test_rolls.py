"""Rolls of continuous futures: steps are found, taken out and cut out; prices tell how others took them out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import with_noise_after
from volcast.arrays import time_index
from volcast.backtest.market import Market
from volcast.backtest.prices import close_to_close_returns, session_prices
from volcast.bars.cleaning import clean_bars
from volcast.bars.handler import DataHandler
from volcast.bars.quality import Finding, assess_quality
from volcast.bars.rolls import are_of_ratios, roll_steps, roll_weeks
from volcast.bars.sources.simulator import simulate_bars
from volcast.cli.backtest import main as backtest_command
from volcast.cli.bars import main as bars_command
from volcast.errors import BarsError, ConfigError
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.training.trainer import LocalLSTMTrainer

CMES = market_named("CMES")
PRICES = ["open", "high", "low", "close"]
ROLLS = {"2024-03-14": 1.012, "2024-06-13": 0.994}
TICK = 0.25


def as_of_ratios(bars: pd.DataFrame, steps: dict[str, float]) -> pd.DataFrame:
    """The bars with a step at the beginning of each of these sessions."""
    stepped = bars.copy()
    for day, step in steps.items():
        stepped.loc[bars.index >= CMES.schedule(*[pd.Timestamp(day)] * 2)["open"].iloc[0], PRICES] *= step
    return stepped


@pytest.fixture(scope="module")
def adjusted() -> pd.DataFrame:
    """Half a year of a future without a step, on no grid; its nights are as calm as its hours."""
    bars = simulate_bars("NQ", "2024-01-02", "2024-06-28", minutes=5, market="CMES")
    first = np.flatnonzero(np.diff(CMES.dates(time_index(bars)).asi8) > 0) + 1
    logs, opens = np.log(bars["close"].to_numpy()), np.log(bars["open"].to_numpy())
    night = np.zeros(len(bars))
    night[first] = 0.9 * (opens[first] - logs[first - 1])
    bars[PRICES] = (bars[PRICES] * 150).mul(np.exp(-np.cumsum(night)), axis=0)
    bars.attrs = {"symbol": "NQ"}
    return bars


@pytest.fixture(scope="module")
def traded(adjusted: pd.DataFrame) -> pd.DataFrame:
    """The same as it traded: with a step at two rolls, on ticks."""
    stepped = as_of_ratios(adjusted, ROLLS)
    stepped[PRICES] = (stepped[PRICES] / TICK).round() * TICK
    return stepped


def finding(bars: pd.DataFrame, market: str = "CMES") -> Finding | None:
    return next((one for one in assess_quality(bars, market=market).findings if one.kind == "roll"), None)


def test_the_weeks_of_rolls_are_those_before_third_fridays() -> None:
    year = pd.date_range("2024-01-01", "2024-12-31")
    weeks = year[roll_weeks(year)]
    assert [f"{day:%m-%d}" for day in weeks[weeks.month == 3]] == [f"03-{day:02}" for day in range(6, 19)]
    assert set(weeks.month) == {3, 6, 9, 12}
    # Equity index futures of June 2024 expired on the 21st and went over on the 13th.
    assert pd.Timestamp("2024-06-13") in weeks


def test_steps_are_found_by_day_and_size(traded: pd.DataFrame) -> None:
    steps = roll_steps(traded, CMES)
    assert [f"{day:%Y-%m-%d}" for day in CMES.dates(time_index(steps))] == list(ROLLS)
    assert steps.to_numpy() == pytest.approx(list(ROLLS.values()), abs=2e-3)
    found = finding(traded)
    assert found is not None
    assert found.level == "bad"
    assert found.days == tuple(ROLLS)
    assert "+1." in found.sentence
    with pytest.raises(BarsError, match="step at 2 rolls from one contract to the next"):
        LocalLSTMTrainer({"symbol": "NQ"}).prepare_data(bars=traded)


def test_no_step_is_found_where_nothing_rolls(traded: pd.DataFrame, adjusted: pd.DataFrame) -> None:
    assert roll_steps(traded, market_named("24/5")).empty
    stocks = simulate_bars("SPY", "2024-01-02", "2024-06-28", minutes=5)
    assert finding(stocks, "XNYS") is None
    assert roll_steps(adjusted, CMES).empty


def test_whether_a_step_is_one_does_not_depend_on_what_came_later(traded: pd.DataFrame) -> None:
    whole = roll_steps(traded, CMES)
    for stop in range(len(traded) // 3, len(traded), 2_000):
        so_far = roll_steps(traded.iloc[:stop], CMES)
        pd.testing.assert_series_equal(so_far, whole[whole.index <= traded.index[stop - 1]])


def test_cleaning_takes_the_steps_out_and_leaves_all_other_returns(traded: pd.DataFrame) -> None:
    cleaned, cleaning = clean_bars(traded, ["rolls"], market="CMES")
    assert cleaning.counts["rolls"] > 0
    assert roll_steps(cleaned, CMES).empty
    before, after = (np.log(frame["close"]).diff().to_numpy()[1:] for frame in (traded, cleaned))
    changed = np.flatnonzero(~np.isclose(before, after, rtol=0, atol=1e-12))
    assert list(CMES.dates(time_index(traded)[changed + 1]).strftime("%Y-%m-%d")) == list(ROLLS)
    measures = [get_hourly_measures(frame, market="CMES") for frame in (traded, cleaned)]
    pd.testing.assert_series_equal(measures[0]["rv_hourly"], measures[1]["rv_hourly"], rtol=1e-9)
    nights = measures[0]["overnight_return"] - measures[1]["overnight_return"]
    assert (nights.abs() > 1e-9).sum() == len(ROLLS)
    assert measures[1]["overnight_return"].abs().max() < 0.005


def test_a_roll_is_no_return_of_a_backtest(traded: pd.DataFrame, adjusted: pd.DataFrame) -> None:
    prices = session_prices(traded, "CMES")
    assert [f"{day:%Y-%m-%d}" for day in prices.index[prices["hole"]]] == list(ROLLS)
    assert prices.loc[list(ROLLS), "night"].isna().all()
    returns = close_to_close_returns(prices)
    true = close_to_close_returns(session_prices(adjusted, "CMES")).reindex(returns.index)
    assert np.abs((returns - true).to_numpy(dtype=float)).max() < 2e-3
    holes = Market.of(traded, market="CMES").holes
    assert list(CMES.dates(pd.DatetimeIndex(holes["first"])).strftime("%Y-%m-%d")) == list(ROLLS)


def test_steps_that_a_backtest_cuts_out_make_no_bars_bad_there(
    traded: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traded.to_parquet(tmp_path / "nq.parquet")
    arguments = ["--symbol", "NQ", "--bars", str(tmp_path / "nq.parquet")]
    assert bars_command(["quality", *arguments]) == 1
    capsys.readouterr()
    assert backtest_command([*arguments, "--forecasts", "ewma"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "a roll to another contract, between" in shown
    assert "ACCEPTED" not in shown


def test_a_series_of_ratios_is_told_by_its_grid(traded: pd.DataFrame, adjusted: pd.DataFrame) -> None:
    of_ratios = adjusted.assign(**{name: (adjusted[name] * 1.1437).round(4) for name in PRICES})
    assert are_of_ratios(of_ratios["close"].to_numpy())
    assert not are_of_ratios(traded["close"].to_numpy())
    found = finding(of_ratios)
    assert found is not None
    assert (found.level, "by ratios" in found.sentence) == ("fact", True)


def test_a_series_of_differences_is_asked_about(adjusted: pd.DataFrame) -> None:
    shifted = adjusted.assign(**{name: (adjusted[name] / TICK).round() * TICK + 500 for name in PRICES})
    found = finding(shifted)
    assert found is not None
    assert (found.level, "shifted by differences" in found.sentence) == ("flaw", True)
    below = shifted.assign(**{name: shifted[name] - float(shifted["low"].quantile(0.2)) for name in PRICES})
    found = finding(below)
    assert found is not None
    assert (found.level, "go to zero and below" in found.sentence) == ("bad", True)


def test_noise_after_a_moment_leaves_the_steps_before_it(traded: pd.DataFrame) -> None:
    moment = traded.index[len(traded) * 3 // 4]
    noisy = roll_steps(with_noise_after(traded, moment), CMES)
    whole = roll_steps(traded, CMES)
    pd.testing.assert_series_equal(noisy[noisy.index < moment], whole[whole.index < moment])


MONTHLY = {"2024-02-20": 1.009, "2024-04-19": 0.988}
"""Steps in weeks in which futures on oil go over, and no others do."""


@pytest.fixture(scope="module")
def monthly(adjusted: pd.DataFrame) -> pd.DataFrame:
    """A future with two steps at the beginning of sessions, and one at a bar inside of one."""
    stepped = as_of_ratios(adjusted, MONTHLY)
    stepped[PRICES] = stepped[PRICES].mul(np.where(stepped.index >= INSIDE, 1.015, 1.0), axis=0)
    return stepped


INSIDE = pd.Timestamp("2024-03-20 09:30", tz="America/Chicago")
DAYS = (*MONTHLY, "2024-03-20T09:30")


def handler(bars: pd.DataFrame, path: Path, *days: str) -> DataHandler:
    bars.to_parquet(path)
    return DataHandler("file", bars_path=str(path), roll_days=days)


def test_rolls_of_any_month_and_inside_a_session_are_taken_out_where_they_are_said(
    monthly: pd.DataFrame, adjusted: pd.DataFrame, tmp_path: Path
) -> None:
    assert roll_steps(monthly, CMES).empty
    bars = handler(monthly, tmp_path / "future.parquet", *DAYS).get_stock_bars("NQ")
    measures, true = (get_hourly_measures(frame, market="CMES") for frame in (bars, adjusted))
    untold = get_hourly_measures(monthly, market="CMES")
    label = INSIDE.ceil("h")
    assert untold["rv_hourly"][label] > 2 * true["rv_hourly"][label]
    # The return of the bar before which the series went over is gone with the step: it had been zero but for that.
    np.testing.assert_allclose(measures["rv_hourly"], true["rv_hourly"], rtol=1e-3)
    prices = session_prices(bars, "CMES")
    assert not prices["hole"].any()
    assert prices.loc[list(MONTHLY), "night"].to_numpy() == pytest.approx(0.0, abs=1e-12)
    quality = assess_quality(bars)
    assert not any(one.kind == "roll" and one.level == "bad" for one in quality.findings)


def test_days_come_from_a_file_and_those_without_bars_are_passed_over(monthly: pd.DataFrame, tmp_path: Path) -> None:
    days, frame = tmp_path / "rolls.csv", handler(monthly, tmp_path / "future.parquet", *DAYS).get_stock_bars("NQ")
    days.write_text(
        "# of an exchange\ndate,time\n2019-05-20,\n2024-02-20,\n2024-03-20,09:30\n2024-04-19,\n2031-01-02,\n"
    )
    of_file = handler(monthly, tmp_path / "future.parquet", str(days)).get_stock_bars("NQ")
    pd.testing.assert_frame_equal(of_file, frame)
    days.write_text("day\n2024-02-20\n")
    with pytest.raises(ConfigError, match="has no column date; it needs one"):
        DataHandler("file", bars_path="future.parquet", roll_days=[str(days)])
    with pytest.raises(ConfigError, match=r"cannot be read \(FileNotFoundError\); it must be a CSV"):
        DataHandler("file", bars_path="future.parquet", roll_days=[str(tmp_path / "none.csv")])
    for wrong in ("soon", "2024-02-30", "14.03.2024"):
        with pytest.raises(ConfigError, match=r"roll day|is no moment"):
            handler(monthly, tmp_path / "future.parquet", wrong).get_stock_bars("NQ")


def test_a_true_step_in_the_week_of_a_roll_is_accepted_where_it_is_said(traded: pd.DataFrame, tmp_path: Path) -> None:
    bars = handler(traded, tmp_path / "future.parquet", "never").get_stock_bars("NQ")
    pd.testing.assert_frame_equal(bars, traded, check_freq=False)
    quality = assess_quality(bars)
    assert not any(one.kind == "roll" for one in quality.findings)
    LocalLSTMTrainer({"symbol": "NQ"}).prepare_data(bars=bars)
    prices = session_prices(bars, "CMES")
    assert not prices["hole"].any()
    steps = np.exp(prices.loc[list(ROLLS), "night"].to_numpy(dtype=float))
    assert steps == pytest.approx(list(ROLLS.values()), abs=3e-3)


def test_of_steps_that_are_looked_for_one_may_be_a_roll_and_one_not(traded: pd.DataFrame, tmp_path: Path) -> None:
    (roll, true_step) = ROLLS
    bars = handler(traded, tmp_path / "future.parquet", roll).get_stock_bars("NQ")
    night = session_prices(bars, "CMES")["night"]
    assert night[roll] == pytest.approx(0.0, abs=1e-12)
    assert np.exp(night[true_step]) == pytest.approx(ROLLS[true_step], abs=3e-3)


def test_bars_of_one_s_own_say_it_themselves(traded: pd.DataFrame) -> None:
    bars = traded.copy()
    bars.attrs["rolls"] = (pd.Timestamp("2024-03-14").date(), pd.Timestamp("2024-06-13"))
    pd.testing.assert_series_equal(roll_steps(bars, CMES), roll_steps(traded, CMES))
    cleaned, _ = clean_bars(bars, ["rolls"], market=CMES)
    pd.testing.assert_frame_equal(cleaned, clean_bars(traded, ["rolls"], market=CMES)[0])
    assert roll_steps(cleaned, CMES).empty
    assert bars.attrs["rolls"]


@pytest.mark.slow
def test_the_real_future_is_one_of_ratios(shared_dir: object) -> None:
    bars = pd.read_parquet(f"{shared_dir}/data/NQ_1min.parquet")
    found = finding(bars)
    assert found is not None
    assert found.level == "fact"
