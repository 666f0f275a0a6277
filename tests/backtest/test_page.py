"""The page of a backtest, read as text and seen by a browser."""

import re
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from tests.support.browser import views
from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.figures import PICTURES
from volcast.backtest.files import save_trades
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.page import backtest_page, save_page
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import ConfigError
from volcast.pictures import page_picture


@pytest.fixture(scope="module")
def backtest(holed_bars: pd.DataFrame) -> Backtest:
    tables = baseline_forecasts("ewma", holed_bars)
    renamed = tables["XYZ"].assign(model_version=["a<b>"] * 40 + ["second"] * (len(tables["XYZ"]) - 40))
    return run_backtest(VolatilityTarget(0.08), Market.of(holed_bars, renamed), None, tables)


def test_the_page_says_what_came_out_and_marks_what_is_missing(backtest: Backtest) -> None:
    page = backtest_page(backtest, about=["Bars of <XYZ>."])
    assert "SIMULATED bars" in page
    assert "Bars of &lt;XYZ&gt;." in page
    assert "a&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count(">sessions missing</text>") == page.count(">new model</text>") == len(PICTURES)
    assert "No sessions between 2024-11-07 16:00 and 2024-11-22 09:30" in page
    for run in backtest.runs:
        assert f"<th>{run.name}</th>" in page
    assert f"{backtest.strategy.statistics['turnover_a_year']:.1f}" in page


def test_the_page_asks_for_nothing_from_elsewhere(backtest: Backtest) -> None:
    page = backtest_page(backtest)
    assert "<script" not in page
    # Names of XML vocabularies are no addresses that a browser would open.
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"(src|href)=\"(?!#|data:)|@import|url\((?!#)|https?:", without_names)


def test_its_pictures_are_those_that_a_user_draws(backtest: Backtest) -> None:
    page = backtest_page(backtest)
    assert page.count("<svg") == len(PICTURES)
    for picture in PICTURES:
        assert page_picture(picture, partial(backtest.plot, picture)) in page


def test_a_browser_shows_it_without_an_error_or_a_sideways_scroll(backtest: Backtest, tmp_path: Path) -> None:
    save_page(backtest, tmp_path / "page.html")
    for view in views(tmp_path / "page.html"):
        view.page.locator("summary").click()
        view.check()


@pytest.mark.parametrize("name", ["trades.csv", "trades.parquet"])
def test_trades_are_saved_whole(backtest: Backtest, tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    save_trades(backtest.strategy.trades, path)
    read = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    assert list(read.columns) == ["moment", "instrument", "units", "price", "value", "cost", "model_version"]
    assert read["cost"].sum() == pytest.approx(backtest.strategy.account.costs)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_what_cannot_be_written_is_said(backtest: Backtest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in .xlsx; trades are saved as .csv or .parquet"):
        save_trades(backtest.strategy.trades, tmp_path / "trades.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        save_page(backtest, tmp_path / "file" / "page.html")
