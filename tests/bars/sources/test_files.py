"""The user's own CSV and Parquet through `DataHandler`. What is refused is in the tests of the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.handler import DataHandler
from volcast.errors import BarsError, DataSourceError, NotEnoughDataError

NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def week() -> pd.DataFrame:
    """Bars over the end of summer time."""
    return make_bars("2024-10-31", "2024-11-06", minutes=5)


def read(path: Path, symbol: str = "SPY", timezone: str | None = None) -> pd.DataFrame:
    return DataHandler("file", bars_path=str(path), bars_timezone=timezone).get_stock_bars(symbol)


def assert_same_bars(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert (found.index == expected.index).all()
    assert found.index.name == "timestamp"
    for column in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-15)


def test_parquet_and_csv_give_the_same_bars(week: pd.DataFrame, tmp_path: Path) -> None:
    week.to_parquet(tmp_path / "spy.parquet")
    week.to_csv(tmp_path / "spy.csv")
    for name in ("spy.parquet", "spy.csv"):
        bars = read(tmp_path / name)
        assert_same_bars(bars, week)
        assert bars.attrs["symbol"] == "SPY"
        assert bars.attrs["source"] == "file"
        assert bars.attrs["simulated"] is False


def test_stamps_in_new_york_time_with_both_offsets_are_read(week: pd.DataFrame, tmp_path: Path) -> None:
    week.tz_convert(NEW_YORK).to_csv(tmp_path / "spy.csv")
    text = (tmp_path / "spy.csv").read_text()
    assert "-04:00" in text
    assert "-05:00" in text
    assert_same_bars(read(tmp_path / "spy.csv"), week)


def test_stamps_without_a_zone_are_of_the_zone_given_or_of_new_york_if_they_fit(
    week: pd.DataFrame, tmp_path: Path
) -> None:
    week.tz_convert(NEW_YORK).tz_localize(None).to_csv(tmp_path / "naive.csv")
    assert_same_bars(read(tmp_path / "naive.csv", timezone=NEW_YORK), week)
    assert_same_bars(read(tmp_path / "naive.csv"), week)
    week.tz_convert("Europe/Berlin").tz_localize(None).to_csv(tmp_path / "berlin.csv")
    assert_same_bars(read(tmp_path / "berlin.csv", timezone="Europe/Berlin"), week)
    with pytest.raises(BarsError, match="--bars-timezone Europe/Berlin"):
        read(tmp_path / "berlin.csv")


@pytest.mark.parametrize("name", ["timestamp", "datetime", "Date", "TIME", "t"])
def test_usual_names_of_columns_in_any_case_are_understood(week: pd.DataFrame, tmp_path: Path, name: str) -> None:
    frame = week.reset_index(names=name).rename(columns=str.title if name == "Date" else str)
    frame.to_csv(tmp_path / "spy.csv", index=False)
    assert_same_bars(read(tmp_path / "spy.csv"), week)


def test_out_of_several_symbols_the_one_asked_for_is_taken(week: pd.DataFrame, tmp_path: Path) -> None:
    other = make_bars("2024-10-31", "2024-11-06", seed=9, minutes=5)
    stacked = pd.concat({"QQQ": other, "SPY": week}, names=["symbol", "timestamp"])
    stacked.to_parquet(tmp_path / "both.parquet")
    stacked.reset_index().to_csv(tmp_path / "both.csv", index=False)
    for name in ("both.parquet", "both.csv"):
        assert_same_bars(read(tmp_path / name), week)
        assert_same_bars(read(tmp_path / name, "QQQ"), other)
        with pytest.raises(BarsError, match=r"(QQQ, SPY|TSLA).*(TSLA|QQQ, SPY)"):
            read(tmp_path / name, "TSLA")


def test_of_a_file_of_many_symbols_only_the_one_asked_for_is_read(week: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    stacked = pd.concat(dict.fromkeys(("AAPL", "SPY", "TSLA"), week), names=["symbol", "timestamp"]).reset_index()
    stacked.to_parquet(path, row_group_size=len(week), index=False)
    with pq.ParquetFile(path) as file:
        others = [file.metadata.row_group(group).column(2) for group in (0, 2)]
    content = bytearray(path.read_bytes())
    for damaged in others:
        first = damaged.dictionary_page_offset or damaged.data_page_offset
        content[first : first + damaged.total_compressed_size] = bytes(damaged.total_compressed_size)
    path.write_bytes(content)
    assert_same_bars(read(path, "spy"), week)
    with pytest.raises(BarsError, match="cannot be read"):
        read(path, "TSLA")


def test_a_file_of_closes_alone_is_enough(week: pd.DataFrame, tmp_path: Path) -> None:
    week[["close"]].to_parquet(tmp_path / "spy.parquet")
    assert (read(tmp_path / "spy.parquet")["close"].to_numpy() == week["close"].to_numpy()).all()


def test_days_cut_the_file_in_new_york_time_and_are_both_included(week: pd.DataFrame, tmp_path: Path) -> None:
    week.to_parquet(tmp_path / "spy.parquet")
    handler = DataHandler("file", bars_path=str(tmp_path / "spy.parquet"))
    bars = handler.get_stock_bars("SPY", "2024-11-01", "2024-11-04")
    assert [f"{day:%m-%d}" for day in time_index(bars).tz_convert(NEW_YORK).normalize().unique()] == ["11-01", "11-04"]
    assert len(handler.get_stock_bars("SPY", start_date="2024-11-04")) == 3 * 78
    assert len(handler.get_stock_bars("SPY", end_date="2024-11-01")) == 2 * 78
    with pytest.raises(NotEnoughDataError, match=r"from 2024-10-31 to 2024-11-06 and none from 2025-01-01"):
        handler.get_stock_bars("SPY", "2025-01-01", "2025-02-01")


def test_a_handler_without_a_file_or_of_an_unknown_source_is_refused() -> None:
    with pytest.raises(DataSourceError, match="bars_path"):
        DataHandler("file")
    with pytest.raises(DataSourceError, match="carrier pigeon"):
        DataHandler("carrier pigeon")
