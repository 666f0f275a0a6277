"""A good table in any dialect reads back as it was; one with something wrong is read or gets one sentence."""

import gzip
import string
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.sources.files import read_bars_file
from volcast.bars.sources.stamps import EpochUnit
from volcast.errors import VolatilityError

SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
FORMS = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "T": "%Y-%m-%dT%H:%M:%S",
    "minutes": "%Y-%m-%d %H:%M",
    "slashes": "%Y/%m/%d %H:%M",
    "dots": "%d.%m.%Y %H:%M:%S",
    "month first": "%m/%d/%Y %H:%M",
    "day first": "%d/%m/%Y %H:%M",
    "noon": "%m/%d/%Y %I:%M %p",
    "small noon": "%Y-%m-%d %I:%M:%S%p",
    "digits": "%Y%m%d %H%M%S",
    "all digits": "%Y%m%d%H%M",
    "word": "%d-%b-%Y %H:%M",
    "american": "%b %d %Y %I:%M %p",
}
NAMES = [
    ("timestamp", "open", "high", "low", "close", "volume"),
    ("Date Time", "O", "H", "L", "LTP", "Vol"),
    ("DateTime", "Open Price", "High Price", "Low Price", "Close Price", "Volume"),
    ("Time", "OPEN", "HIGH", "LOW", "LAST", "VOLUME"),
    ("Date", " Open", " High", " Low", " Close/Last", " Volume"),
    ("<DATETIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"),
    ("", "1. open", "2. high", "3. low", "4. close", "5. volume"),
]


@dataclass(frozen=True)
class Dialect:
    names: tuple[str, ...]
    stamps: str
    zone: str | None
    separator: str
    decimal: str
    money: str
    preamble: str
    ending: str
    encoding: str
    zipped: bool


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    stamps = draw(st.sampled_from([*FORMS, "s", "ms", "us", "ns"]))
    zone = draw(st.sampled_from([None, "offset", "name"])) if stamps in FORMS else "epoch"
    if stamps == "all digits":
        zone = None
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    return Dialect(
        draw(st.sampled_from(NAMES)),
        stamps,
        zone,
        separator,
        draw(st.sampled_from([".", ","])),
        draw(st.sampled_from(["", "$", " €", "thousands"])),
        draw(st.sampled_from(["", "# exported today\n", "sep=;\n# by someone\n\n", "// a, b, c\n"])),
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        draw(st.booleans()),
    )


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    first = pd.Timestamp(draw(st.sampled_from(["2024-03-06", "2024-10-30", "2025-07-14", "2019-01-15"])))
    bars = make_bars(
        f"{first:%Y-%m-%d}",
        f"{first + pd.Timedelta(days=5):%Y-%m-%d}",
        seed=draw(st.integers(0, 99)),
        minutes=draw(st.sampled_from([5, 15])),
    )
    scale = draw(st.sampled_from([0.3, 1.0, 13.7, 980.0]))
    prices = (bars[["open", "high", "low", "close"]] * scale).round(4)
    return prices.assign(volume=bars["volume"]).tz_convert("America/New_York")


def number(value: float, dialect: Dialect) -> str:
    text = f"{value:,.4f}" if dialect.money == "thousands" else f"{value:.4f}"
    if dialect.decimal == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    if dialect.money == "$":
        text = f"${text}"
    return f"{text}{dialect.money}" if dialect.money == " €" else text


def text_of(bars: pd.DataFrame, dialect: Dialect) -> str:
    local = time_index(bars)
    if dialect.stamps in FORMS:
        stamps = list(local.strftime(FORMS[dialect.stamps]))
        if dialect.zone == "offset":
            stamps = [f"{stamp} {offset}" for stamp, offset in zip(stamps, local.strftime("%z"), strict=True)]
        elif dialect.zone == "name":
            stamps = [f"{stamp} US/Eastern" for stamp in stamps]
    else:
        stamps = [str(moment) for moment in local.as_unit(cast(EpochUnit, dialect.stamps)).asi8]
    frame = pd.DataFrame({"stamp": stamps})
    for field in bars.columns:
        whole = field == "volume"
        frame[field] = [f"{value:.0f}" if whole else number(value, dialect) for value in bars[field]]
    table = frame.set_axis(dialect.names, axis=1).to_csv(index=False, sep=dialect.separator)
    return (dialect.preamble + str(table)).replace("\n", dialect.ending)


def read(content: bytes, suffix: str = ".csv", **flags: Any) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"bars{suffix}"
        path.write_bytes(content)
        return read_bars_file(path, **flags)


def bars_or_sentence(content: bytes, suffix: str = ".csv") -> pd.DataFrame | str:
    try:
        return read(content, suffix)
    except VolatilityError as error:
        return str(error)


def assert_one_sentence(text: str) -> None:
    assert "\n" not in text
    assert len(text) < 1_000


@SETTINGS
@given(tables(), dialects())
def test_a_good_table_in_any_dialect_reads_back_as_it_was(bars: pd.DataFrame, dialect: Dialect) -> None:
    content = text_of(bars, dialect).encode(dialect.encoding)
    found = read(gzip.compress(content) if dialect.zipped else content, ".csv.gz" if dialect.zipped else ".csv")
    assert (found.index == bars.index).all()
    np.testing.assert_allclose(found[bars.columns], bars, rtol=1e-12)
    assert found.attrs["left_out_rows"]["count"] == 0


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good table with something wrong anywhere: lines, fields, names, bytes."""
    dialect = draw(dialects())
    lines = text_of(draw(tables()).iloc[:200], dialect).splitlines()
    how = draw(st.sampled_from(["line", "field", "name", "cut", "bytes", "swap", "all"]))
    word = draw(st.text(string.printable, max_size=12))
    if how == "line":
        lines.insert(draw(st.integers(0, len(lines))), word)
    elif how == "all":
        column = draw(st.integers(0, 5))
        lines = [
            dialect.separator.join(
                word if place == column else part for place, part in enumerate(line.split(dialect.separator))
            )
            for line in lines
        ]
    elif how in ("field", "name"):
        place = draw(st.integers(0, min(len(lines) - 1, 3 if how == "name" else 199)))
        parts = lines[place].split(dialect.separator)
        parts[draw(st.integers(0, len(parts) - 1))] = word
        lines[place] = dialect.separator.join(parts)
    elif how == "swap":
        lines.reverse()
    content = "\n".join(lines).encode(dialect.encoding, errors="replace")
    if how == "cut":
        content = content[: draw(st.integers(0, len(content)))]
    elif how == "bytes":
        content = draw(st.binary(max_size=64)) + content
    return content


@SETTINGS
@given(broken())
def test_a_table_with_something_wrong_is_read_or_gets_one_sentence(content: bytes) -> None:
    found = bars_or_sentence(content)
    if isinstance(found, pd.DataFrame):
        assert time_index(found).tz is not None
        assert found[[field for field in ("open", "high", "low", "close") if field in found]].notna().all(axis=None)
    else:
        assert_one_sentence(found)


@SETTINGS
@given(st.binary(max_size=400), st.sampled_from([".csv", ".txt.gz", ".parquet", ".feather"]))
def test_bytes_that_are_no_table_get_one_sentence(content: bytes, suffix: str) -> None:
    found = bars_or_sentence(content, suffix)
    if isinstance(found, str):
        assert_one_sentence(found)
