"""Files as exchanges of coins export them: with and without a header, in pages, newest first, of any size of price."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.coins import coin_bars
from volcast.arrays import time_index
from volcast.bars.frames import as_bars_frame
from volcast.bars.handler import DataHandler
from volcast.bars.quality import assess_quality
from volcast.bars.sources.files import read_bars_file
from volcast.errors import BarsError
from volcast.measures.hourly import get_hourly_rv

BARS = coin_bars("2024-12-31", days=2)
BINANCE = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def epochs(bars: pd.DataFrame, unit: str) -> pd.Index:
    return pd.Index(time_index(bars).as_unit(unit).asi8)  # type: ignore[arg-type]


def binance(bars: pd.DataFrame, unit: str = "ms") -> str:
    moments, minute = epochs(bars, unit), {"ms": 60_000, "us": 60_000_000}[unit]
    table = bars.assign(end=moments + minute - 1, quote=bars["volume"] * bars["close"], n=3, a=0.5, b=1.5, ignore=0)
    return str(table.set_axis(moments).to_csv(header=False))


def binance_with_a_header(bars: pd.DataFrame) -> str:
    return f"{BINANCE}\n{binance(bars)}"


def binance_over_the_change_of_units(bars: pd.DataFrame) -> str:
    return binance(bars.iloc[:1440]) + binance(bars.iloc[1440:], "us")


def kraken(bars: pd.DataFrame) -> str:
    return str(bars.assign(trades=range(len(bars))).set_axis(epochs(bars, "s")).to_csv(header=False))


def kraken_answers(bars: pd.DataFrame) -> str:
    mean = bars["close"].where(bars["volume"] > 0, 0.0)
    table = bars.assign(vwap=mean, trades=2)[["open", "high", "low", "close", "vwap", "volume", "trades"]]
    return str(table.set_axis(epochs(bars, "s")).to_csv(header=False))


def coinbase(bars: pd.DataFrame) -> str:
    table = bars.set_axis(epochs(bars, "s").rename("time"))[["low", "high", "open", "close", "volume"]]
    return str(table.iloc[::-1].to_csv())


def coinbase_without_a_header(bars: pd.DataFrame) -> str:
    return coinbase(bars).partition("\n")[2]


def coinbase_in_pages(bars: pd.DataFrame) -> str:
    """Pages of 300 and a bar, each with the newest first and the last bar of the one before."""
    pages = [coinbase(bars.iloc[first : first + 301]).partition("\n")[2] for first in range(0, len(bars), 300)]
    return "time,low,high,open,close,volume\n" + "".join(pages)


def crypto_data_download(bars: pd.DataFrame, pair: str = "BTC/USD") -> str:
    """Its address above the header, the newest first, a volume of each of the two currencies."""
    stamps = time_index(bars).strftime("%Y-%m-%d %H:%M:%S")
    table = bars.assign(quote=bars["volume"] * bars["close"]).reset_index(drop=True)
    table.insert(0, "unix", epochs(bars, "s"))
    table.insert(1, "date", stamps)
    table.insert(2, "symbol", pair)
    table.columns = pd.Index([*table.columns[:-2], "Volume BTC", "Volume USD"])
    return f"https://www.CryptoDataDownload.com\n{table.iloc[::-1].to_csv(index=False)}"


def ccxt(bars: pd.DataFrame) -> str:
    return str(bars.set_axis(epochs(bars, "ms")).to_csv(header=False))


EXPORTS: dict[str, tuple[Callable[[pd.DataFrame], str], str]] = {
    "Binance": (binance, "Binance's columns, told by their order and values without a header"),
    "Binance with a header": (binance_with_a_header, "Binance's columns, stamps are the start"),
    "Binance, ms and us": (binance_over_the_change_of_units, "epoch in ms and us"),
    "Kraken": (kraken, "Kraken's columns, told by"),
    "Kraken's answers": (kraken_answers, "Kraken's columns, told by"),
    "Coinbase": (coinbase, "Coinbase's columns, stamps are the start of a bar, epoch in s, UTC, sorted"),
    "Coinbase without a header": (coinbase_without_a_header, "Coinbase's columns, told by"),
    "Coinbase in pages": (coinbase_in_pages, "9 repeated rows left out, sorted with the newest last"),
    "ccxt": (ccxt, "ccxt's columns, told by"),
    "CryptoDataDownload": (
        crypto_data_download,
        "plain columns, stamps are the start of a bar, epoch in s, UTC, sorted",
    ),
}


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-11], ids=["bitcoin", "nine digits", "eleven zeros"])
@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_bars_come_out_of_every_export_and_it_is_said_what_was_understood(
    name: str, scale: float, tmp_path: Path
) -> None:
    bars = BARS.assign(**{field: BARS[field] * scale for field in ("open", "high", "low", "close")})
    write, said = EXPORTS[name]
    (tmp_path / "coin.csv").write_text(write(bars))
    handler = DataHandler("file", bars_path=str(tmp_path / "coin.csv"))
    read = handler.get_stock_bars("BTC/USD")
    assert said in read.attrs["notes"][0]
    pd.testing.assert_frame_equal(read, bars, check_freq=False, check_index_type=False, rtol=1e-15)


def test_minutes_without_a_trade_and_an_outage_stay_away(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sparse = BARS[random.random(len(BARS)) < 0.35]
    sparse = sparse[(sparse.index < "2024-12-31 08:00") | (sparse.index >= "2024-12-31 15:30")]
    (tmp_path / "coin.csv").write_text(kraken(sparse))
    read = read_bars_file(tmp_path / "coin.csv")
    pd.testing.assert_frame_equal(read, sparse, check_freq=False, check_index_type=False, rtol=1e-15)


def test_an_archive_of_one_file_is_read_and_one_of_several_is_not(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-12.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-12.csv", binance(BARS))
    pd.testing.assert_frame_equal(read_bars_file(path), BARS, check_freq=False, check_index_type=False, rtol=1e-15)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", "a")
    with pytest.raises(BarsError, match="an archive of 2 files; one is needed; unpack it"):
        read_bars_file(path)


def test_months_of_a_pair_are_those_of_its_symbol(tmp_path: Path) -> None:
    for pair, scale in (("BTCUSDT", 1.0), ("ETHUSDT", 0.1)):
        for number, part in enumerate((BARS.iloc[:1440], BARS.iloc[1440:])):
            (tmp_path / f"{pair}-1m-2024-{number}.csv").write_text(binance(part * scale))
    read = read_bars_file(tmp_path, "BTC/USDT")
    pd.testing.assert_frame_equal(read, BARS, check_freq=False, check_index_type=False, rtol=1e-15)


def test_the_lists_that_ccxt_gives_are_bars(tmp_path: Path) -> None:
    rows = [[moment, *row] for moment, row in zip(epochs(BARS, "ms"), BARS.to_numpy(), strict=True)]
    pd.testing.assert_frame_equal(as_bars_frame(pd.DataFrame(rows)), BARS, check_freq=False, check_index_type=False)


def without_order(bars: pd.DataFrame) -> str:
    return kraken(bars.sample(frac=1, random_state=0))


def with_fractions_of_trades(bars: pd.DataFrame) -> str:
    return str(bars.assign(n=0.5).set_axis(epochs(bars, "s")).to_csv(header=False))


def with_a_mean_price_for_the_volume(bars: pd.DataFrame) -> str:
    table = bars.assign(volume=bars["close"], n=7)
    return str(table.set_axis(epochs(bars, "s")).to_csv(header=False))


def with_closes_beyond_the_range(bars: pd.DataFrame) -> str:
    return kraken(bars.assign(close=bars["high"] * 1.01))


def of_eleven_fields(bars: pd.DataFrame) -> str:
    return "\n".join(line.rpartition(",")[0] for line in binance(bars).splitlines())


@pytest.mark.parametrize(
    "write",
    [without_order, with_fractions_of_trades, with_a_mean_price_for_the_volume, with_closes_beyond_the_range,
     of_eleven_fields],
)  # fmt: skip
def test_what_is_like_no_exchange_s_is_asked_about(write: Callable[[pd.DataFrame], str], tmp_path: Path) -> None:
    (tmp_path / "coin.csv").write_text(write(BARS))
    with pytest.raises(BarsError, match=r"has no header .* which field is what must be known; write a first line"):
        read_bars_file(tmp_path / "coin.csv")


def test_two_versions_of_a_bar_are_refused_as_in_any_file(tmp_path: Path) -> None:
    twice = pd.concat([BARS, BARS.iloc[-1:] * 1.001])
    (tmp_path / "coin.csv").write_text(kraken(twice))
    with pytest.raises(BarsError, match="--clean"):
        DataHandler("file", bars_path=str(tmp_path / "coin.csv")).get_stock_bars("BTC/USD")


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [("BTCUSDC_1m_kraken", 20_000, "Kraken's columns, told by"), ("BTCUSDT_1m_binance", 30_240, "Binance's columns")],
)
def test_the_real_exports_are_read_as_they_are(name: str, count: int, said: str, shared_dir: Path) -> None:
    path = shared_dir / "data" / "coins" / f"{name}.csv.gz"
    read = DataHandler("file", bars_path=str(path)).get_stock_bars("BTC/USD")
    assert len(read) - read.attrs["cleaning"].get("untraded", 0) == count
    assert said in read.attrs["notes"][0]
    # Nothing has to be set or accepted, and hardly an hour is lost.
    assert not assess_quality(read).is_bad
    hours = (read.index[-1] - read.index[0]) // pd.Timedelta(hours=1)
    assert len(get_hourly_rv(read)) >= 0.99 * hours
