"""Tables as sites, brokers and spreadsheets export them, each of the same bars."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bar_cases import NAIVE, PLAIN, PRICES
from volcast.arrays import time_index
from volcast.bars.sources.files import read_bars_file

UTC = PLAIN.tz_convert("UTC")
CLOCK = NAIVE["timestamp"]


def written(form: Callable[[float], str], scale: float = 1.0) -> pd.DataFrame:
    """The bars with their prices as text."""
    return NAIVE.assign(**{field: (NAIVE[field] * scale).map(form) for field in PRICES})


def swapped(text: str) -> str:
    return text.translate(str.maketrans(",.", ".,"))


def investing() -> str:
    frame = written("{:,.4f}".format)
    frame["volume"] = [f"{volume / 1000:.3f}K" for volume in NAIVE["volume"]]
    frame["timestamp"] = CLOCK.dt.strftime("%m/%d/%Y %H:%M")
    frame = frame[["timestamp", "close", "open", "high", "low", "volume"]].assign(change="0.1%")
    names = ["Date", "Price", "Open", "High", "Low", "Vol.", "Change %"]
    return str(frame.set_axis(names, axis=1).iloc[::-1].to_csv(index=False, quoting=1))


def crypto_data_download() -> str:
    frame = NAIVE.assign(
        unix=time_index(UTC).as_unit("ms").asi8, date=time_index(UTC).strftime("%Y-%m-%d %H:%M:%S"), symbol="ABC"
    )
    table = frame[["unix", "date", "symbol", *PRICES, "volume"]].assign(**{"Volume USD": 2.0}).to_csv(index=False)
    return f"https://www.CryptoDataDownload.com\n{table}"


def barchart() -> str:
    frame = NAIVE.assign(timestamp=CLOCK.dt.strftime("%m/%d/%Y %H:%M"))
    table = frame.set_axis(["Time", "Open", "High", "Low", "Latest", "Volume"], axis=1).to_csv(index=False)
    return f'{table}"Downloaded from Barchart.com as of 03-11-2025 08:12am CDT"\n'


def trade_station() -> str:
    frame = NAIVE.assign(date=CLOCK.dt.strftime("%m/%d/%Y"), time=CLOCK.dt.strftime("%H%M"))
    names = ["Date", "Time", "Open", "High", "Low", "Close", "Vol"]
    return str(frame[["date", "time", *PRICES, "volume"]].set_axis(names, axis=1).to_csv(index=False))


def meta_trader_with_two_volumes() -> str:
    frame = NAIVE.assign(date=CLOCK.dt.strftime("%Y.%m.%d"), time=CLOCK.dt.strftime("%H:%M"), real=0, spread=3)
    names = ["<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>", "<VOL>", "<SPREAD>"]
    columns = ["date", "time", *PRICES, "volume", "real", "spread"]
    return str(frame[columns].set_axis(names, axis=1).to_csv(index=False, sep="\t"))


def german() -> str:
    frame = written(lambda price: f"{swapped(f'{price:,.4f}')} €").assign(timestamp=CLOCK.dt.strftime("%d.%m.%Y %H:%M"))
    return str(frame.to_csv(index=False, sep=";"))


def parted_by_spaces() -> str:
    table = NAIVE.set_axis(["date time", *NAIVE.columns[1:]], axis=1).to_csv(
        index=False, sep=" ", quoting=3, escapechar="\\"
    )
    return str(table).replace("\\", "")


def stamped(stamps: "list[str] | pd.Series | np.ndarray | pd.Index") -> str:
    return str(NAIVE.assign(timestamp=stamps).to_csv(index=False))


EXPORTS: dict[str, Callable[[], str]] = {
    "investing.com": investing,
    "Dukascopy": lambda: stamped(time_index(UTC).strftime("%d.%m.%Y %H:%M:%S.000")).replace("timestamp", "Gmt time"),
    "CryptoDataDownload": crypto_data_download,
    "Binance": lambda: stamped(time_index(UTC).as_unit("ms").asi8).replace("timestamp", "open_time"),
    "Alpha Vantage": lambda: str(NAIVE.iloc[::-1].to_csv(index=False)),
    "Barchart": barchart,
    "TradingView": lambda: stamped(time_index(UTC).as_unit("s").asi8).replace("timestamp", "time"),
    "TradeStation": trade_station,
    "MetaTrader": meta_trader_with_two_volumes,
    "German": german,
    "Swiss": lambda: str(written(lambda price: f"{price:,.4f}".replace(",", "'")).to_csv(index=False)),
    "parted by spaces": parted_by_spaces,
    "blank lines": lambda: "\n\n" + str(NAIVE.to_csv(index=False)).replace("\n", "\n\n", 5) + "\n\n",
    "separators at the end": lambda: str(NAIVE.to_csv(index=False)).replace("\n", ",\n"),
    "separators at the end of rows": lambda: (
        str(NAIVE.to_csv(index=False)).replace("\n", ",\n").replace("volume,", "volume", 1)
    ),
    "zones in brackets": lambda: stamped([f"{stamp.isoformat()}[America/New_York]" for stamp in PLAIN.index]),
    "EST and EDT": lambda: stamped(time_index(PLAIN).strftime("%Y-%m-%d %H:%M:%S %Z")),
    "months by name": lambda: stamped(time_index(PLAIN).strftime("%b %d, %Y %I:%M %p ET")),
    "a spreadsheet's days": lambda: stamped((CLOCK - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1)),
    "years of two digits": lambda: stamped(CLOCK.dt.strftime("%m/%d/%y %I:%M:%S %p")),
    "epochs with a point": lambda: stamped([f"{moment:.1f}" for moment in time_index(UTC).as_unit("s").asi8]),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_bars_come_out_of_every_export(name: str, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(EXPORTS[name]())
    bars = read_bars_file(tmp_path / "bars.csv", "ABC").sort_index()
    assert (bars.index == PLAIN.index).all()
    np.testing.assert_allclose(bars[PLAIN.columns], PLAIN, rtol=1e-12)
    assert bars.attrs["left_out_rows"]["count"] == (name == "Barchart")


@pytest.mark.parametrize(
    ("form", "separator", "scale"),
    [
        (lambda price: f"{price:.3f}".replace(".", ","), ";", 0.1),
        ("{:,.0f}".format, ",", 10.0),
        ("{:,.0f}".format, "\t", 1_000.0),
    ],
    ids=["three decimals behind a comma", "thousands in quotes", "millions"],
)
def test_a_comma_is_what_the_other_numbers_say(
    form: Callable[[float], str], separator: str, scale: float, tmp_path: Path
) -> None:
    written(form, scale).to_csv(tmp_path / "bars.csv", index=False, sep=separator)
    bars = read_bars_file(tmp_path / "bars.csv")
    np.testing.assert_allclose(bars[PRICES], PLAIN[PRICES] * scale, rtol=0, atol=0.000501 if scale < 1 else 0.501)
