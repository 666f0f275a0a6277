"""Whatever is handed over as bars: made a frame of bars, or refused in one sentence."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bar_cases import NAIVE, PLAIN, PRICES
from tests.support.bars import of_symbol
from tests.support.strategies import SCALARS, strange_frames
from volcast.arrays import time_index
from volcast.bars.frames import as_bars_frame
from volcast.errors import BarsError, VolatilityError

UTC = PLAIN.tz_convert("UTC")


def assert_same(found: pd.DataFrame, expected: pd.DataFrame = UTC) -> None:
    assert (found.index == expected.index).all()
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found.astype(float), expected, rtol=1e-12)


def yfinance(levels: tuple[str, str] = ("Price", "Ticker"), tickers: tuple[str, ...] = ("SPY",)) -> pd.DataFrame:
    """What yfinance.download returns: capital letters, two levels of columns, an index named Datetime."""
    single = UTC.rename(columns=str.title).rename_axis("Datetime")
    wide = pd.concat(dict.fromkeys(tickers, single), axis=1, names=["Ticker", "Price"])
    return wide if levels[0] == "Ticker" else wide.swaplevel(axis=1).sort_index(axis=1)


def test_a_frame_of_bars_is_handed_back_itself() -> None:
    stacked = pd.concat({"QQQ": UTC, "SPY": UTC}, names=["symbol", "timestamp"])
    whole = UTC.astype({"volume": "int64"}).assign(vwap=1.0)
    for frame in (UTC, PLAIN, UTC[["close"]], stacked, whole, UTC.iloc[:0], pd.DataFrame()):
        assert as_bars_frame(frame) is frame


class ArrowTable:
    """A table of some library that hands it over as Arrow does."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


READ: dict[str, Any] = {
    "yfinance": yfinance(),
    "yfinance by ticker": yfinance(("Ticker", "Price")),
    "capital letters": UTC.rename(columns=str.upper),
    "a vendor's names": UTC.set_axis(["o", "h", "l", "c", "v"], axis=1),
    "decimals": UTC.assign(**{field: UTC[field].map(lambda price: Decimal(str(price))) for field in PRICES}),
    "categories": UTC.astype(dict.fromkeys(PRICES, "category")),
    "categories of text": UTC.astype(dict.fromkeys(PRICES, str)).astype(dict.fromkeys(PRICES, "category")),
    "text": UTC.map(str),
    "objects": UTC.astype(object),
    "nullable": UTC.convert_dtypes(),
    "arrow types": UTC.astype(dict.fromkeys(PRICES, "float64[pyarrow]")),
    "stamps as text": UTC.set_axis(UTC.index.astype(str)),
    "stamps as categories": UTC.set_axis(pd.CategoricalIndex(UTC.index)),
    "stamps as objects": UTC.set_axis(UTC.index.astype(object)),
    "stamps in a column": UTC.reset_index(),
    "stamps of two offsets": UTC.set_axis([stamp.isoformat() for stamp in PLAIN.index]),
    "an epoch": UTC.set_axis(time_index(UTC).as_unit("s").asi8).rename_axis("epoch"),
    "one symbol": UTC.assign(symbol="SPY"),
    "Arrow": pa.Table.from_pandas(UTC.reset_index()),
    "Arrow's batches": pa.Table.from_pandas(UTC.reset_index()).to_batches()[0],
    "another library's": ArrowTable(pa.Table.from_pandas(UTC.reset_index(), preserve_index=False)),
}


@pytest.mark.parametrize("name", READ)
def test_what_can_be_meant_is_read(name: str) -> None:
    assert_same(as_bars_frame(READ[name]))


def test_polars_is_read() -> None:
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    assert_same(as_bars_frame(polars.from_pandas(UTC.reset_index())))
    with pytest.raises(BarsError, match=r"LazyFrame.*collect\(\)"):
        as_bars_frame(polars.from_pandas(UTC.reset_index()).lazy())


def test_several_symbols_become_an_index() -> None:
    stacked = as_bars_frame(yfinance(tickers=("QQQ", "SPY")))
    assert stacked.index.names == ["symbol", "timestamp"]
    for symbol in ("QQQ", "SPY"):
        assert_same(of_symbol(stacked, symbol)[list(UTC.columns)])


REFUSED: dict[str, tuple[Any, str]] = {
    "None": (None, "are a NoneType"),
    "a list": ([1.0, 2.0], "are a list"),
    "numpy": (UTC.to_numpy(), "are a ndarray"),
    "a series": (UTC["close"], "are a Series"),
    "a path": ("bars.csv", "are a str"),
    "columns twice": (pd.concat([UTC, UTC[["close"]]], axis=1), "two columns for 'close'"),
    "columns twice in other letters": (UTC.assign(Close=UTC["close"]), "two columns for 'close', 'close' and 'Close'"),
    "periods": (
        NAIVE.set_index(pd.PeriodIndex(NAIVE["timestamp"].to_list(), freq="min"))[[*PRICES, "volume"]],
        "without a time zone",
    ),
    "no zone": (PLAIN.tz_localize(None), r"fit America/New_York.*tz_localize\('America/New_York'\)"),
    "UTC without its zone": (UTC.tz_localize(None), r"fit UTC.*tz_localize\('UTC'\)"),
    "words": (UTC.astype(object).assign(close="dear"), "no number in 'close'"),
    "a word": (
        UTC.astype(object).assign(close=[*UTC["close"][:-1], "halted"]),
        "are no bars, 1 of them",
    ),
    "truth": (UTC.assign(close=True), "bool in 'close'"),
    "complex": (UTC.astype({"close": complex}), "complex128 in 'close'"),
    "times for prices": (UTC.assign(close=UTC.index), "in 'close'"),
    "durations for stamps": (UTC.set_axis(UTC.index - UTC.index[0]), "timedelta"),
    "numbers for stamps": (UTC.reset_index(drop=True), "no time stamps"),
    "words for stamps": (UTC.set_axis([f"bar {row}" for row in range(len(UTC))]), "no times"),
    "levels of nothing": (pd.DataFrame(np.ones((3, 2)), columns=pd.MultiIndex.from_tuples([(1, 2), (3, 4)])), "levels"),
    "an unknown zone": (UTC.set_axis([f"{stamp:%Y-%m-%d %H:%M} Mars/Olympus" for stamp in UTC.index]), "Mars/Olympus"),
    "adjusted in part": (
        UTC.rename(columns=str.title).assign(Close=UTC["close"] * 0.97),
        "only one of them is adjusted",
    ),
    "no symbol": (UTC.assign(symbol=pd.Series("SPY", UTC.index[1:])), "1 of 1,170 rows without a symbol"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_is_refused_in_one_sentence(name: str) -> None:
    bars, said = REFUSED[name]
    with pytest.raises(BarsError, match=said) as caught:
        as_bars_frame(bars)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(strange_frames(), SCALARS))
def test_a_strange_frame_is_a_frame_of_bars_or_gets_one_sentence(bars: object) -> None:
    sentence = ""
    try:
        found = as_bars_frame(bars)
    except VolatilityError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert sentence or isinstance(found, pd.DataFrame)


def test_a_decimal_that_signals_is_said() -> None:
    with pytest.raises(BarsError, match="none with a stamp and prices"):
        as_bars_frame(UTC.assign(close=pd.Series(Decimal("sNaN"), UTC.index, dtype=object)))


@pytest.mark.parametrize("stamp", [b"\x80", Decimal("sNaN")])
def test_stamps_that_pandas_cannot_ask_about_are_said(stamp: object) -> None:
    frame = pd.DataFrame({"close": [1.0, 2.0]}, index=pd.Index([stamp, b"2024-01-02"], dtype=object))
    with pytest.raises(BarsError, match="no time"):
        as_bars_frame(frame)
