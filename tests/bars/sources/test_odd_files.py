"""Files that are odd or wrong in one way each: read as they are meant, or refused in one sentence that says why."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bar_cases import CASES, NAIVE, PLAIN, PRICES, write_case
from volcast.arrays import time_index
from volcast.bars.handler import DataHandler
from volcast.bars.sources.files import read_bars_file
from volcast.cli import backtest as backtest_cli
from volcast.cli import bars as data_cli
from volcast.cli import train as train_cli
from volcast.config import TrainingConfig
from volcast.errors import BarsError, DataSourceError, NotEnoughDataError
from volcast.measures.hourly import get_hourly_rv
from volcast.training.data import prepare_training_data

SAME = ["good", "am_pm", "short_names", "dollars", "decimal_comma", "comments", "metatrader", "epoch"]
LEFT_OUT = {
    "stamp_missing": "no time stamp from 1990 to 2099",
    "stamp_of_1677": "no time stamp from 1990 to 2099",
    "words": "no price in 'close'",
}
REFUSED = {
    "utc_without_zone": "fit UTC.*--bars-timezone UTC",
    "kolkata_without_zone": "fit Asia/Kolkata.*--bars-timezone Asia/Kolkata",
    "close_outside_range": "close lies outside of high and low in 1,170 of 1,170 rows.*only one of them is adjusted",
    "unknown_zone": "zone 'Mars/Olympus' is none that is known",
    "same_name_twice": "two columns for 'close', 'close' and 'Close'",
    "symbol_missing": "1,002 of 1,170 rows without a symbol",
    "header_alone": "holds no bars",
}


def get(name: str, folder: Path) -> pd.DataFrame:
    return DataHandler("file", bars_path=str(write_case(f"{name}.csv", folder))).get_stock_bars("ABC")


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, name: str) -> None:
    assert (found.index == expected.index).all()
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.005001 if name == "dollars" else 1e-9)


def test_every_case_has_its_answer() -> None:
    others = {"split_inside_session", "daily", "hourly", "quarter_hours"}
    assert {f"{name}.csv" for name in {*SAME, *LEFT_OUT, *REFUSED, *others}} == set(CASES)


@pytest.mark.parametrize("name", SAME)
def test_the_same_bars_come_out_of_every_dialect(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bars = get(name, tmp_path)
    assert_same(bars, PLAIN, name)
    if name not in ("good", "epoch"):
        assert "no zone in the stamps: America/New_York" in bars.attrs["notes"][0]
    tolerance = 0.02 if name == "dollars" else 1e-9
    np.testing.assert_allclose(get_hourly_rv(bars), get_hourly_rv(PLAIN), rtol=tolerance)
    assert data_cli.main(["quality", "--bars", str(tmp_path / f"{name}.csv"), "--symbol", "ABC"]) == 0
    assert "Nothing to report." in capsys.readouterr().out


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_row_that_is_no_bar_is_left_out_and_counted_with_its_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = get(name, tmp_path)
    assert_same(bars, PLAIN.drop(PLAIN.index[39]), name)
    assert bars.attrs["left_out_rows"] == {"count": 1, "first": [f"line 41 of {name}.csv: {LEFT_OUT[name]}"]}
    assert len(get_hourly_rv(bars)) == 21
    assert data_cli.main(["quality", "--bars", str(tmp_path / f"{name}.csv"), "--symbol", "ABC", "--json"]) == 0
    (finding, *_) = json.loads(capsys.readouterr().out)[0]["findings"]
    assert (finding["kind"], finding["level"]) == ("left out", "flaw")
    assert f"line 41 of {name}.csv" in finding["sentence"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BarsError, match=REFUSED[name]) as caught:
        get(name, tmp_path)
    assert_one_sentence(str(caught.value))
    path = str(tmp_path / f"{name}.csv")
    assert data_cli.main(["quality", "--bars", path, "--symbol", "ABC"]) == 1
    assert capsys.readouterr().err.strip() == str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert train_cli.main(["--bars", path, "--symbol", "ABC"]) == 1
    assert str(caught.value) in " ".join(capsys.readouterr().err.split("\n"))


def assert_one_sentence(text: str) -> None:
    assert "\n" not in text
    assert ". " not in text


def test_a_split_inside_a_session_is_named_and_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = get("split_inside_session", tmp_path)
    path = str(tmp_path / "split_inside_session.csv")
    assert data_cli.main(["quality", "--bars", path, "--symbol", "ABC"]) == 1
    assert "20:1 at 2025-03-07 12:17" in capsys.readouterr().out
    config = TrainingConfig.from_mapping({"symbol": "ABC", "memory": 2})
    with pytest.raises(BarsError, match=r"20:1 at 2025-03-07 12:17.*--accept-quality"):
        prepare_training_data(lambda symbol: bars, ["ABC"], config)


@pytest.mark.parametrize(("name", "minutes", "returns"), [("daily", "1440", 0), ("hourly", "60", 1)])
def test_bars_that_are_too_long_are_read_called_coarse_and_refused(
    name: str, minutes: str, returns: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = get(name, tmp_path)
    assert (
        time_index(bars).tz_convert("America/New_York").normalize().unique() == time_index(PLAIN).normalize().unique()
    ).all()
    assert data_cli.main(["quality", "--bars", str(tmp_path / f"{name}.csv"), "--symbol", "ABC"]) == 0
    assert f"Bars of {minutes} min are coarse: an hour holds {returns} return" in capsys.readouterr().out
    with pytest.raises(NotEnoughDataError, match=rf"holds {returns} of them.*'close' needs 4 at least"):
        get_hourly_rv(bars)
    with pytest.raises(NotEnoughDataError, match=rf"holds {returns} of them.*'close' needs 4 at least"):
        prepare_training_data(lambda symbol: bars, ["ABC"], TrainingConfig.from_mapping({"symbol": "ABC"}))


@pytest.mark.parametrize("estimator", ["two_scale", "down_semivariance", "up_semivariance"])
def test_estimators_that_quarter_hours_make_zero_of_refuse_them(
    estimator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = get("quarter_hours", tmp_path)
    assert len(get_hourly_rv(bars)) == 21
    assert data_cli.main(["quality", "--bars", str(tmp_path / "quarter_hours.csv"), "--symbol", "ABC"]) == 0
    assert "Bars of 15 min are coarse: an hour holds 4 returns" in capsys.readouterr().out
    with pytest.raises(NotEnoughDataError, match=rf"holds 4 of them.*'{estimator}' needs \d+ at least"):
        get_hourly_rv(bars, estimator=estimator)


def test_yahoos_hours_make_a_range() -> None:
    hourly = PLAIN.resample("1h", offset="30min").agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    assert len(get_hourly_rv(hourly.dropna(), estimator="garman_klass")) == 18


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize("name", [*SAME, *LEFT_OUT, "utc_without_zone", "close_outside_range", "symbol_missing"])
def test_tables_of_arrow_of_these_shapes_get_the_same_answers(name: str, suffix: str, tmp_path: Path) -> None:
    separator = {"decimal_comma": ";", "metatrader": "\t"}.get(name, ",")
    source = write_case(f"{name}.csv", tmp_path)
    frame = pd.read_csv(source, sep=separator, comment="#")
    path = tmp_path / f"{name}.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_feather(path)
    if name in REFUSED:
        with pytest.raises(BarsError, match=REFUSED[name]):
            read_bars_file(path, "ABC")
        return
    bars = read_bars_file(path, "ABC")
    assert_same(bars, PLAIN.drop(PLAIN.index[39]) if name in LEFT_OUT else PLAIN, name)
    if name in LEFT_OUT:
        assert bars.attrs["left_out_rows"]["first"] == [f"row 40 of {path.name}: {LEFT_OUT[name]}"]


@pytest.mark.parametrize("kind", ["decimal", "text", "category", "whole"])
def test_prices_of_every_kind_of_column_are_numbers(kind: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = PLAIN.reset_index()
    if kind == "decimal":
        table = pa.Table.from_pandas(frame)
        for place, field in enumerate(frame.columns[1:5], start=1):
            table = table.set_column(place, field, table[field].cast(pa.decimal128(12, 4)))
        pq.write_table(table, tmp_path / "bars.parquet")
    else:
        how: Any = {"text": str, "category": "category", "whole": float}[kind]
        expected = frame.astype(dict.fromkeys(PRICES, how))
        expected.to_parquet(tmp_path / "bars.parquet")
    assert_same(read_bars_file(tmp_path / "bars.parquet"), PLAIN, kind)


def test_a_path_that_cannot_be_read_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("x" * 5_000 + "*.csv", "[" * 3_000 + "*", str(tmp_path) + "/" + "y" * 300 + ".csv", "a\0b*.csv"):
        with pytest.raises(BarsError) as caught:
            read_bars_file(path)
        assert_one_sentence(str(caught.value))
        assert len(str(caught.value)) < 1_000

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BarsError, match="Permission denied"):
        read_bars_file(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BarsError):
        read_bars_file(tmp_path / "folder.csv" / "*.csv")


def test_a_header_with_fewer_names_than_fields_is_not_guessed_at(tmp_path: Path) -> None:
    text = NAIVE.to_csv(index=False, decimal=",").replace('"', "")
    (tmp_path / "bars.csv").write_text(text)
    with pytest.raises(BarsError, match="6 names in its header"):
        read_bars_file(tmp_path / "bars.csv")


def test_a_zone_that_is_given_and_cannot_be_it_is_refused(tmp_path: Path) -> None:
    path = write_case("utc_without_zone.csv", tmp_path)
    with pytest.raises(BarsError, match="--bars-timezone UTC"):
        read_bars_file(path, timezone="America/New_York")
    assert_same(read_bars_file(path, timezone="UTC"), PLAIN, "")


def test_stamps_of_extended_hours_without_a_zone_are_told_apart(tmp_path: Path) -> None:
    index = pd.DatetimeIndex(
        [
            moment
            for day in ("2025-03-06", "2025-03-07")
            for moment in pd.date_range(f"{day} 04:00", f"{day} 19:59", freq="min", tz="America/New_York")
        ],
        name="timestamp",
    )
    frame = pd.DataFrame({"close": 100 + np.arange(len(index)) * 1e-3}, index)
    for zone in ("America/New_York", "America/Chicago", "UTC"):
        frame.tz_convert(zone).tz_localize(None).to_csv(tmp_path / "bars.csv")
        if zone == "America/New_York":
            assert (read_bars_file(tmp_path / "bars.csv").index == index).all()
        else:
            with pytest.raises(BarsError, match=f"--bars-timezone {zone}"):
                read_bars_file(tmp_path / "bars.csv")
    around = pd.date_range("2025-03-03", periods=5 * 1440, freq="min", name="timestamp")
    pd.DataFrame({"close": 100 + np.arange(len(around)) * 1e-3}, around).to_csv(tmp_path / "bars.csv")
    with pytest.raises(BarsError, match="fit no session of XNYS in any likely one"):
        read_bars_file(tmp_path / "bars.csv")


@pytest.mark.parametrize("tail", ["2025-03-06T15:45:00", "2025-03-06T15:45:00,1,1,1,1,5"])
def test_one_stamp_without_the_zone_that_the_others_have_is_left_out(tmp_path: Path, tail: str) -> None:
    rows = [f"2025-03-06T{9 + row // 4:02d}:{15 * (row % 4):02d}:00-05:00,1,1,1,1,5" for row in range(2, 24)]
    path = tmp_path / "cut.csv"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, tail]))
    bars = DataHandler("file", bars_path=str(path)).get_stock_bars("X", timeframe="15Min")
    assert len(bars) == len(rows)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def good() -> bytes:
    return CASES["good.csv"]().encode()


def test_an_archive_of_one_file_may_have_folders_and_what_macos_adds(tmp_path: Path) -> None:
    beside: list[dict[str, bytes]] = [{"data/": b""}, {"__MACOSX/._good.csv": b"\0\1"}, {}]
    for number, others in enumerate(beside):
        path = zipped(tmp_path / f"{number}.zip", {**others, "data/good.csv": good()})
        assert_same(read_bars_file(path), PLAIN, "good")
    two = zipped(tmp_path / "two.zip", {"a.csv": good(), "b.csv": good()})
    with pytest.raises(BarsError, match="an archive of 2 files"):
        read_bars_file(two)


def test_lines_of_a_title_that_excel_filled_up_are_no_header(tmp_path: Path) -> None:
    path = tmp_path / "titled.csv"
    path.write_bytes(b"Ticker: ABC,,,,,\nExported: 2025-04-12,,,,,\n" + good())
    assert_same(read_bars_file(path), PLAIN, "good")


def test_a_file_without_lines_is_called_no_table(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(PLAIN.reset_index().to_json(orient="records"))
    with pytest.raises(BarsError, match=r"no table of lines \(it begins with '\[\{\"timestamp") as caught:
        read_bars_file(path)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("early", [pd.Timedelta(seconds=1), pd.Timedelta(milliseconds=1)])
def test_ends_that_lie_just_before_whole_minutes_are_asked_about_and_are_ends(
    early: pd.Timedelta, tmp_path: Path
) -> None:
    path = tmp_path / "closing.csv"
    closing = PLAIN.set_axis((time_index(PLAIN) + pd.Timedelta(minutes=1) - early).map(lambda stamp: stamp.isoformat()))
    closing.to_csv(path, index_label="timestamp")
    with pytest.raises(BarsError, match="as if they were the end of each bar"):
        read_bars_file(path)
    with pytest.raises(BarsError, match="as if they were the end of each bar"):
        get_hourly_rv(PLAIN.set_axis(time_index(PLAIN) + pd.Timedelta(minutes=1) - early))
    assert_same(read_bars_file(path, stamps="end"), PLAIN, "good")


def test_sessions_that_nobody_knows_yet_are_named_where_no_zone_fits(tmp_path: Path) -> None:
    path = tmp_path / "future.csv"
    NAIVE.assign(timestamp=NAIVE["timestamp"] + pd.Timedelta(days=3653)).to_csv(path, index=False)
    with pytest.raises(BarsError, match=r"fit none, since the sessions of XNYS are known until 20\d\d-\d\d-\d\d"):
        read_bars_file(path)


def test_a_file_that_does_not_say_whose_bars_it_holds_is_of_one_symbol_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_case("good.csv", tmp_path)
    handler = DataHandler("file", bars_path=str(path))
    with pytest.raises(DataSourceError, match=r"of 2 symbols none .* does not say whose bars it holds"):
        handler.get_stock_bars(["ABC", "XYZ"])
    assert_same(handler.get_stock_bars("XYZ"), PLAIN, "good")
    assert data_cli.main(["quality", "--bars", str(path), "--symbol", "ABC,XYZ"]) == 1
    assert capsys.readouterr().err.count("does not say whose bars it holds") == 2
    arguments = ["--bars", str(path), "--symbol", "XYZ", "--forecasts", "ewma", "--benchmark", "SPY"]
    assert backtest_cli.main(arguments) == 1
    assert "does not say whose bars it holds" in capsys.readouterr().err
    for symbol in ("abc", "xyz"):
        (tmp_path / f"{symbol}_1min.csv").write_bytes(path.read_bytes())
    path.unlink()
    both = DataHandler("file", bars_path=str(tmp_path)).get_stock_bars(["ABC", "XYZ"])
    assert list(both.index.get_level_values(0).unique()) == ["ABC", "XYZ"]
