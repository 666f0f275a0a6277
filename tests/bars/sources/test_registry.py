"""Bars from Yahoo, from other packages' sources, and panels of many symbols."""

from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast import registry
from volcast.bars.handler import DataHandler
from volcast.bars.sources import yahoo as yahoo_bars
from volcast.bars.sources.registry import BarSource
from volcast.config import TrainingConfig
from volcast.configured import handler_of
from volcast.errors import DataSourceError, NotEnoughDataError
from volcast.measures.hourly import get_hourly_rv, panel

NOW = datetime(2024, 7, 1, 20, tzinfo=UTC)


class Yahoo:
    """What `yfinance.download` gives, and what it was asked for."""

    def __init__(self, minutes: int) -> None:
        self.bars = make_bars("2022-06-01" if minutes > 1 else "2024-05-01", "2024-07-01", minutes=minutes)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, symbol: str, **asked: Any) -> pd.DataFrame:
        self.asked.append(asked)
        local = self.bars.tz_convert("America/New_York")
        found: pd.DataFrame = local[(local.index >= asked["start"]) & (local.index < asked["end"])]
        return found.rename(columns=str.title).assign(**{"Adj Close": found["close"]})


def handler(monkeypatch: pytest.MonkeyPatch, server: Yahoo) -> DataHandler:
    monkeypatch.setattr(yahoo_bars, "_yfinance_download", lambda: server)
    monkeypatch.setattr(yahoo_bars, "_utc_now", lambda: NOW)
    return DataHandler("yahoo")


def test_yahoo_gives_a_month_of_minutes_and_says_that_it_is_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Yahoo(1)
    bars = handler(monkeypatch, server).get_stock_bars("SPY", "2024-05-01", "2024-07-01")
    assert bars.index[0] >= pd.Timestamp("2024-06-03", tz="UTC")
    assert all((asked["end"] - asked["start"]).days <= 7 for asked in server.asked)
    wanted = server.bars[server.bars.index >= bars.index[0]]
    pd.testing.assert_frame_equal(bars, wanted, check_freq=False, check_index_type=False)
    (note,) = bars.attrs["notes"]
    assert "last 30 days only" in note
    assert "too little for the default model" in note


def test_yahoos_hours_of_two_years_make_volatilities(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = handler(monkeypatch, Yahoo(60)).get_stock_bars("SPY", "2022-08-01", "2024-07-01", "1Hour")
    rv = get_hourly_rv(bars, estimator="garman_klass")
    assert len(rv) > 2500
    assert (rv > 0).all()


def test_what_yahoo_has_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotEnoughDataError, match=r"last 30 days .* ends on 2022-12-31.*1Hour"):
        handler(monkeypatch, Yahoo(1)).get_stock_bars("SPY", "2022-01-03", "2022-12-31")
    with pytest.raises(DataSourceError, match="Yahoo has 1Min, 2Min"):
        handler(monkeypatch, Yahoo(1)).get_stock_bars("SPY", "2024-06-03", "2024-06-28", "3Min")

    def broken(symbol: str, **asked: Any) -> pd.DataFrame:
        raise ConnectionError("https://query2.finance.yahoo.com")

    monkeypatch.setattr(yahoo_bars, "_yfinance_download", lambda: broken)
    with pytest.raises(DataSourceError, match="Yahoo failed to answer"):
        DataHandler("yahoo").get_stock_bars("SPY", "2024-06-10", "2024-06-28")


class MyBroker:
    """As in the documents."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        bars = make_bars("2024-06-03", "2024-06-14", minutes=int(timeframe.removesuffix("Min")))
        return bars[(bars.index >= start) & (bars.index < end)]


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{value}", "local_volatility_training.bar_sources")
        for name, value in (("mybroker", "MyBroker"), ("broken", "Nothing"), ("empty", "NOW.date"))
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


@pytest.mark.usefixtures("_installed")
def test_a_source_of_another_package_is_found_by_its_name() -> None:
    assert isinstance(MyBroker(), BarSource)
    bars = DataHandler("mybroker").get_stock_bars("SPY", "2024-06-04", "2024-06-05", "5Min")
    assert len(bars) == 2 * 78
    assert bars.attrs["source"] == "mybroker"
    config = TrainingConfig.from_mapping({"bars_source": "mybroker"})
    assert handler_of(config).source == "mybroker"
    with pytest.raises(NotEnoughDataError, match="mybroker has no bars of SPY"):
        DataHandler("mybroker").get_stock_bars("SPY", "2023-06-04", "2023-06-05", "5Min")


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [("other", "one of alpaca, file, simulator, yahoo"), ("broken", "cannot be loaded"), ("empty", "no method fetch")],
)
def test_a_source_that_is_none_is_said(name: str, said: str) -> None:
    with pytest.raises(DataSourceError, match=said):
        DataHandler(name)


def test_a_panel_aligns_symbols_on_buckets_and_reports_who_is_missing(tmp_path: Path) -> None:
    early, late = make_bars("2024-06-03", "2024-06-07"), make_bars("2024-06-05", "2024-06-11", seed=3)
    early.to_parquet(tmp_path / "AAA_1min.parquet")
    late.to_parquet(tmp_path / "BBB_1min.parquet")
    side_by_side = panel(DataHandler("file", bars_path=str(tmp_path)), ["AAA", "CCC", "BBB"])
    assert list(side_by_side.columns) == ["AAA", "BBB"]
    assert list(side_by_side.attrs["failed"]) == ["CCC"]
    assert side_by_side.index.is_monotonic_increasing
    for name, bars in (("AAA", early), ("BBB", late)):
        rv = get_hourly_rv(bars)
        np.testing.assert_array_equal(side_by_side[name].dropna(), rv)
        assert side_by_side[name].dropna().index.equals(rv.index)
    with pytest.raises(DataSourceError, match="of 1 symbol none"):
        panel(DataHandler("file", bars_path=str(tmp_path)), ["CCC"])
