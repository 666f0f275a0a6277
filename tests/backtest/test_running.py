"""Implied volatility from files."""

from pathlib import Path

import pandas as pd
import pytest

from volcast.backtest.running import read_implied
from volcast.errors import BarsError


@pytest.fixture
def table() -> pd.DataFrame:
    stamps = pd.date_range("2024-09-03 10:00", periods=4, freq="D", tz="America/New_York")
    return pd.DataFrame({"implied": [0.2, 0.21, 0.19, 0.2]}, index=stamps.rename("timestamp"))


@pytest.mark.parametrize("name", ["implied.csv", "implied.parquet"])
def test_stamps_and_values_are_read(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
    read = read_implied(path)
    assert read.tolist() == table["implied"].tolist()
    assert list(read.index) == list(table.index)


def test_what_is_wrong_with_a_file_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "implied.csv"
    with pytest.raises(BarsError, match="cannot be read"):
        read_implied(path)
    for frame, said in (
        (table.rename(columns={"implied": "iv"}), "has no column 'implied' among timestamp, iv"),
        (table.tz_localize(None), "not all times with a zone"),
        (100 * table, "from 19 to 21; it must be annualized decimals"),
    ):
        frame.to_csv(path)
        with pytest.raises(BarsError, match=said):
            read_implied(path)
