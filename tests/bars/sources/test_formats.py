"""Files as each vendor writes them, made here: the same bars out of all of them; what is ambiguous is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from tests.support.coins import coin_bars
from volcast.arrays import time_index
from volcast.bars.sources.files import read_bars_file
from volcast.bars.sources.simulator import simulate_bars
from volcast.bars.sources.stamps import EpochUnit
from volcast.errors import BarsError
from volcast.markets.registry import market_named

NEW_YORK = "America/New_York"
BARS = make_bars("2024-10-30", "2024-11-06", minutes=5).round(2)  # over the end of summer time
LOCAL = BARS.tz_convert(NEW_YORK)
PRICES = ["open", "high", "low", "close"]


def alpaca(path: Path) -> None:
    frame = BARS.assign(trade_count=5.0, vwap=BARS["close"])
    pd.concat({"SPY": frame}, names=["symbol", "timestamp"]).to_csv(path)


def alpaca_raw(path: Path) -> None:
    raw = BARS.rename(columns={name: name[0] for name in BARS.columns}).reset_index(names="t")
    raw.assign(t=raw["t"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"), n=3, vw=1.0).to_csv(path, index=False)


def yahoo(path: Path) -> None:
    frame = LOCAL.rename(columns=str.title).assign(**{"Adj Close": LOCAL["close"]})
    frame.rename_axis("Datetime").to_csv(path)


def yahoo_three_rows(path: Path) -> None:
    frame = BARS.rename(columns=str.title).rename_axis("Datetime")
    frame.columns = pd.MultiIndex.from_product([frame.columns, ["SPY"]], names=["Price", "Ticker"])
    frame.to_csv(path)


def yahoo_parquet(path: Path) -> None:
    frame = LOCAL.rename(columns=str.title).rename_axis("Datetime")
    frame.columns = pd.MultiIndex.from_product([frame.columns, ["SPY"]], names=["Price", "Ticker"])
    frame.to_parquet(path)


def stooq(path: Path) -> None:
    stamps = (time_index(BARS) + pd.Timedelta(minutes=5)).tz_convert("Europe/Warsaw")
    frame = pd.DataFrame(
        {"<TICKER>": "SPY.US", "<PER>": 5, "<DATE>": stamps.strftime("%Y%m%d"), "<TIME>": stamps.strftime("%H%M%S")}
    )
    for name, column in zip(("<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"), BARS.columns, strict=True):
        frame[name] = BARS[column].to_numpy()
    frame.assign(**{"<OPENINT>": 0}).to_csv(path, index=False)


def polygon_flat(path: Path) -> None:
    frame = pd.DataFrame({"ticker": "SPY", "volume": BARS["volume"], "open": BARS["open"], "close": BARS["close"]})
    frame = frame.assign(
        high=BARS["high"], low=BARS["low"], window_start=time_index(BARS).as_unit("ns").asi8, transactions=9
    )
    frame.to_csv(path, index=False)


def polygon_rest(path: Path) -> None:
    raw = BARS.rename(columns={name: name[0] for name in BARS.columns})
    raw.assign(t=time_index(BARS).as_unit("ms").asi8, n=2, vw=1.0).to_csv(path, index=False)


def databento(path: Path) -> None:
    whole = (BARS[PRICES] * 1e9).round().astype(np.int64)
    frame = pd.DataFrame(
        {"ts_event": time_index(BARS).as_unit("ns").asi8, "rtype": 33, "publisher_id": 2, "instrument_id": 7}
    )
    frame[PRICES] = whole.to_numpy()
    frame.assign(volume=BARS["volume"].to_numpy(), symbol="SPY").to_csv(path, index=False)


def databento_pretty(path: Path) -> None:
    stamps = [f"{stamp:%Y-%m-%dT%H:%M:%S}.000000000Z" for stamp in BARS.index]
    BARS.assign(ts_event=stamps, rtype=33).to_csv(path, index=False)


def interactive_brokers(path: Path) -> None:
    stamps = [f"{stamp:%Y%m%d  %H:%M:%S} US/Eastern" for stamp in LOCAL.index]
    BARS.assign(average=1.0, barCount=4, date=stamps).to_csv(path, index=False)


def interactive_brokers_epoch(path: Path) -> None:
    BARS.assign(wap=1.0, count=4, date=time_index(BARS).as_unit("s").asi8).to_csv(path, index=False)


def kibot(path: Path) -> None:
    frame = pd.DataFrame({"date": time_index(LOCAL).strftime("%m/%d/%Y"), "time": time_index(LOCAL).strftime("%H:%M")})
    frame[list(BARS.columns)] = BARS.to_numpy()
    frame.to_csv(path, index=False, header=False)


def headless(path: Path, stamps: "dict[str, str]", separator: str = ",", columns: int = 5) -> None:
    """No line of names: a date and its time in one field or two, then prices, then perhaps the volume."""
    frame = pd.DataFrame({name: time_index(LOCAL).strftime(written) for name, written in stamps.items()})
    frame[list(BARS.columns[:columns])] = BARS.iloc[:, :columns].to_numpy()
    frame.to_csv(path, sep=separator, index=False, header=False)


def hist_data(path: Path) -> None:
    headless(path, {"stamp": "%Y%m%d %H%M%S"}, ";")


def first_rate(path: Path) -> None:
    headless(path, {"stamp": "%Y-%m-%d %H:%M:%S"})


def metatrader_4(path: Path) -> None:
    headless(path, {"date": "%Y.%m.%d", "time": "%H:%M"})


def dates_and_times_as_numbers(path: Path) -> None:
    headless(path, {"date": "%Y%m%d", "time": "%H%M%S"}, "\t")


def prices_alone(path: Path) -> None:
    headless(path, {"stamp": "%Y-%m-%dT%H:%M"}, columns=4)


def newest_first(path: Path) -> None:
    LOCAL.tz_localize(None).iloc[::-1].to_csv(path, index_label="time")


WRITERS: list[tuple[Callable[[Path], None], str, str, dict[str, str]]] = [
    (alpaca, "csv", "Alpaca", {}),
    (alpaca_raw, "csv", "Alpaca", {}),
    (yahoo, "csv", "Yahoo", {}),
    (yahoo_three_rows, "csv", "Yahoo", {}),
    (yahoo_parquet, "parquet", "plain", {}),
    (stooq, "txt", "Stooq", {"timezone": "Europe/Warsaw", "stamps": "end"}),
    (polygon_flat, "csv.gz", "Polygon", {}),
    (polygon_rest, "csv", "Polygon", {}),
    (databento, "csv", "Databento", {}),
    (databento_pretty, "csv", "Databento", {}),
    (interactive_brokers, "csv", "Interactive Brokers", {}),
    (interactive_brokers_epoch, "csv", "Interactive Brokers", {}),
    (kibot, "txt", "Kibot", {}),
    (hist_data, "csv", "plain", {}),
    (first_rate, "txt", "plain", {}),
    (metatrader_4, "csv", "plain", {}),
    (dates_and_times_as_numbers, "txt", "plain", {}),
    (newest_first, "csv", "plain", {}),
]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame = BARS) -> None:
    assert time_index(found).tz is not None
    assert (found.index == expected.index).all()
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found[PRICES], expected[PRICES], rtol=1e-12)


@pytest.mark.parametrize(
    ("write", "suffix", "vendor", "flags"), WRITERS, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_same_bars_come_out_of_every_vendors_file(
    write: Callable[[Path], None], suffix: str, vendor: str, flags: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / f"bars.{suffix}")
    bars = read_bars_file(tmp_path / f"bars.{suffix}", "SPY", **flags)
    assert_same(bars)
    assert bars.attrs["understood"].startswith(f"Read {len(BARS)} bars from bars.{suffix}: {vendor}")


def test_a_table_without_a_header_may_have_no_volume(tmp_path: Path) -> None:
    prices_alone(tmp_path / "bars.csv")
    bars = read_bars_file(tmp_path / "bars.csv")
    assert "volume" not in bars or bars["volume"].isna().all()
    assert_same(bars[PRICES], BARS[PRICES])


@pytest.mark.parametrize("fields", [["open", "low", "high", "close"], ["open", "high", "low"]])
def test_other_orders_without_a_header_are_asked_about(fields: list[str], tmp_path: Path) -> None:
    LOCAL.tz_localize(None)[fields].to_csv(tmp_path / "bars.csv", header=False)
    with pytest.raises(BarsError, match=r"has no header .* write a first line"):
        read_bars_file(tmp_path / "bars.csv")


def test_kibots_futures_are_in_new_yorks_time_though_their_market_is_not(tmp_path: Path) -> None:
    bars = simulate_bars("ES", "2024-10-28", "2024-11-08", minutes=5, market="CMES")
    local = bars.tz_convert(NEW_YORK)
    stamps = time_index(local)
    table = pd.DataFrame({"date": stamps.strftime("%m/%d/%Y"), "time": stamps.strftime("%H:%M")})
    table[list(bars.columns)] = bars.to_numpy()
    table.to_csv(tmp_path / "ES.txt", index=False, header=False)
    read = read_bars_file(tmp_path / "ES.txt", market=market_named("CMES"))
    assert (read.index == bars.index).all()


def test_the_hour_that_clocks_repeat_is_told_where_the_newest_comes_first(tmp_path: Path) -> None:
    bars = coin_bars("2024-11-02", days=3)
    bars.tz_convert(NEW_YORK).tz_localize(None).iloc[::-1].to_csv(tmp_path / "coin.csv", index_label="time")
    read = read_bars_file(tmp_path / "coin.csv", timezone=NEW_YORK, market=market_named("24/7"))
    assert (read.index == bars.index).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_epoch_is_known_by_its_size(unit: EpochUnit, tmp_path: Path) -> None:
    BARS.assign(timestamp=time_index(BARS).as_unit(unit).asi8).to_csv(tmp_path / "bars.csv", index=False)
    bars = read_bars_file(tmp_path / "bars.csv")
    assert_same(bars)
    assert f"epoch in {unit}, UTC" in bars.attrs["understood"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather"])
def test_kinds_of_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bars.{suffix}"
    if suffix == "feather":
        BARS.reset_index().to_feather(path)
    else:
        BARS.to_parquet(path) if suffix == "parquet" else BARS.to_csv(path)
    assert_same(read_bars_file(path))


def test_a_directory_gives_the_files_of_the_symbol_and_a_glob_all_that_match(tmp_path: Path) -> None:
    for month in (10, 11):
        BARS[time_index(LOCAL).month == month].to_csv(tmp_path / f"SPY_2024-{month}.csv")
        (BARS * 2)[time_index(LOCAL).month == month].to_csv(tmp_path / f"QQQ_2024-{month}.csv")
    assert_same(read_bars_file(tmp_path, "SPY"))
    assert_same(read_bars_file(tmp_path, "qqq"), BARS * 2)
    assert_same(read_bars_file(tmp_path / "SPY_*.csv"))
    assert "2 files" in read_bars_file(tmp_path / "SPY_*.csv").attrs["understood"]
    with pytest.raises(BarsError, match=r"files of QQQ, SPY and TSLA was asked for.*--symbol"):
        read_bars_file(tmp_path, "TSLA")
    with pytest.raises(BarsError, match="no file matches"):
        read_bars_file(tmp_path / "*.parquet")


def test_files_of_several_kinds_are_not_mixed(tmp_path: Path) -> None:
    BARS.to_csv(tmp_path / "a.csv")
    databento(tmp_path / "b.csv")
    with pytest.raises(BarsError, match=r"several kinds \(Databento, plain\)"):
        read_bars_file(tmp_path / "*.csv", "SPY")


def naive(path: Path) -> None:
    LOCAL.tz_localize(None).to_csv(path)


def ends(path: Path) -> None:
    BARS.set_axis(BARS.index + pd.Timedelta(minutes=5)).rename_axis("timestamp").to_csv(path)


def odd_epoch(path: Path) -> None:
    BARS.assign(timestamp=time_index(BARS).as_unit("s").asi8 // 60).to_csv(path, index=False)


def early_in_the_month(path: Path) -> None:
    # One day, which is a session whichever number is the month; of several, the days tell.
    first = make_bars("2024-11-04", "2024-11-04", minutes=5).tz_convert(NEW_YORK)
    first.assign(timestamp=time_index(first).strftime("%m/%d/%Y %H:%M:%S")).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("write", "flag", "given"),
    [
        (stooq, "--bars-timezone", {"stamps": "end"}),
        (stooq, "--bars-stamps", {"timezone": "Europe/Warsaw"}),
        (ends, "--bars-stamps", {}),
        (odd_epoch, "--bars-epoch", {}),
        (early_in_the_month, "--bars-dates", {"timezone": NEW_YORK}),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_way_out(
    write: Callable[[Path], None], flag: str, given: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / "bars.csv")
    with pytest.raises(BarsError, match=flag):
        read_bars_file(tmp_path / "bars.csv", "SPY", **given)


def test_the_flags_make_it_clear(tmp_path: Path) -> None:
    naive(tmp_path / "naive.csv")
    assert_same(read_bars_file(tmp_path / "naive.csv", timezone=NEW_YORK))
    assert_same(read_bars_file(tmp_path / "naive.csv"))
    ends(tmp_path / "ends.csv")
    assert_same(read_bars_file(tmp_path / "ends.csv", stamps="end"))
    assert read_bars_file(tmp_path / "ends.csv", stamps="start").index[0] == BARS.index[0] + pd.Timedelta(minutes=5)


def test_dates_are_read_as_the_flag_says(tmp_path: Path) -> None:
    early_in_the_month(tmp_path / "bars.csv")
    first = read_bars_file(tmp_path / "bars.csv", timezone=NEW_YORK, dates="mdy").index[0]
    assert f"{first:%Y-%m-%d %H:%M}" == "2024-11-04 09:30"
    assert read_bars_file(tmp_path / "bars.csv", timezone=NEW_YORK, dates="dmy").index[0].month == 4


def test_days_beyond_the_twelfth_tell_the_month_from_the_day(tmp_path: Path) -> None:
    for form in ("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"):
        LOCAL.assign(timestamp=time_index(LOCAL).strftime(form)).to_csv(tmp_path / "bars.csv", index=False)
        assert_same(read_bars_file(tmp_path / "bars.csv", timezone=NEW_YORK))
