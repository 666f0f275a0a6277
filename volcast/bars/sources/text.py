"""Tables of text in whatever dialect: separators, decimal marks, comments above the header, encodings, gzip and zip."""

import csv
import gzip
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pandas as pd

from volcast.bars.columns import DecimalMark
from volcast.bars.sources.headless import EPOCH
from volcast.bars.sources.stamps import is_stamp, is_stamp_name
from volcast.counts import counted
from volcast.errors import BarsError, NotEnoughDataError

__all__ = ["TextTable", "read_text_table"]

_SAMPLE_BYTES, _SAMPLE_LINES = 65_536, 200
_SEPARATORS = (",", ";", "\t", "|", r"\s+")
_COMMENT = re.compile(r"\s*(?:#|//|--|%|;\s|sep=|$)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+|[+-]?\d+,\d+")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_ZIPPED: dict[bytes, Literal["gzip", "zip"]] = {b"\x1f\x8b": "gzip", b"PK": "zip"}


@dataclass(frozen=True)
class TextTable:
    """A table that was text.

    Attributes
    ----------
    frame
        Its rows; stamps are text as in the file, numbers are numbers where they could be read at once.
    mark
        What parts whole from decimals; None where the sample does not tell.
    first_line
        Line of the file, counted from 1, that the first row is on.
    """

    frame: pd.DataFrame
    mark: DecimalMark | None
    first_line: int


@dataclass(frozen=True)
class _Dialect:
    separator: str
    mark: DecimalMark | None
    skipped: int
    header: list[str] | None
    encoding: str
    compression: Literal["gzip", "zip"] | None


def read_text_table(path: Path) -> TextTable:
    """Read a table whose dialect its first lines tell.

    Raises
    ------
    NotEnoughDataError
        The file is empty.
    BarsError
        Its rows have more fields than its header has names.
    OSError, ValueError
        As reading raises them.
    """
    dialect = _dialect(path)
    header = dialect.header
    # Stamps stay text: of nanoseconds beside an empty field the last digits would be lost, and 2025.03.06 is no number.
    stamps = {} if header is None else {place: "str" for place, name in enumerate(header) if is_stamp_name(name)}
    with warnings.catch_warnings():
        # Separators at the ends of lines, and columns whose chunks differ in kind, are dealt with.
        warnings.simplefilter("ignore", (pd.errors.ParserWarning, pd.errors.DtypeWarning))
        with _unzipped(path, dialect.compression) as file:
            frame = pd.read_csv(
                # By its path pandas reads faster.
                path if dialect.compression is None else file,
                sep=dialect.separator,
                decimal="," if dialect.mark == "," and dialect.separator != "," else ".",
                skiprows=dialect.skipped + (header is not None),
                header=None,
                names=None if header is None else range(len(header)),
                dtype=stamps,
                encoding=dialect.encoding,
                encoding_errors="replace",
                skip_blank_lines=False,
                skipinitialspace=True,
                index_col=False,
            )
    if header is not None:
        frame.columns = pd.Index([name or f"unnamed: {place}" for place, name in enumerate(header)])
    return TextTable(frame, dialect.mark, dialect.skipped + 1 + (header is not None))


def _dialect(path: Path) -> _Dialect:
    with open(path, "rb") as raw:
        compression = _ZIPPED.get(raw.read(2))
    with _unzipped(path, compression) as file:
        sample = file.read(_SAMPLE_BYTES)
    encoding = "utf-16" if sample[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = sample.decode(encoding, errors="replace").removeprefix("\ufeff")
    lines = text.splitlines()
    # A sample may end inside of a line.
    lines = lines[:-1] if len(sample) == _SAMPLE_BYTES else lines
    numbered = [(number, line) for number, line in enumerate(lines[:_SAMPLE_LINES]) if not _COMMENT.match(line)]
    if not lines and text:
        raise BarsError(
            f"{path} is no table of lines (it begins with {text[:20]!r}); a line for each bar is needed; convert it."
        )
    if not numbered:
        raise NotEnoughDataError(f"{path} is empty; at least one bar is needed; check how it was written.")
    separator, width = _separator([line for _, line in numbered])
    rows = [(number, _fields(line, separator)) for number, line in numbered]
    first = _first_row(rows, width, str(path))
    number, header = rows[first]
    is_headless = _is_a_bar(header)
    values = [fields for _, fields in rows[first + (not is_headless) :]]
    mark = _mark(values, header, separator)
    return _Dialect(separator, mark, number, None if is_headless else header, encoding, compression)


@contextmanager
def _unzipped(path: Path, compression: Literal["gzip", "zip"] | None) -> Iterator[BinaryIO]:
    """The text of a file, as bytes.

    Raises
    ------
    BarsError
        It is an archive of several files.
    """
    if compression == "zip":
        with zipfile.ZipFile(path) as archive:
            # Without folders, and what macOS writes beside each file.
            names = [name for name in archive.namelist() if name[-1] != "/" and not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise BarsError(f"{path} is an archive of {len(names)} files; one is needed; unpack it and name one.")
            with archive.open(names[0]) as file:
                yield cast(BinaryIO, file)
        return
    with gzip.open(path, "rb") if compression == "gzip" else open(path, "rb") as plain:
        yield cast(BinaryIO, plain)


def _is_a_bar(fields: list[str]) -> bool:
    """Whether the first line of a table is a bar: a row of numbers behind an epoch, a date or a date and a time."""
    if not re.fullmatch(EPOCH, fields[0]) and not is_stamp(fields[0]):
        return False
    behind = fields[2:] if _TIME_OF_DAY.fullmatch(fields[1]) else fields[1:]
    return all(map(_NUMBER.fullmatch, behind))


def _first_row(rows: list[tuple[int, list[str]]], width: int, name: str) -> int:
    """Where the table begins among `rows`: at its header, or without one at the first that is as wide as most are."""
    # Excel fills lines of a title up with separators.
    begin = next((place for place, (_, fields) in enumerate(rows) if 2 * sum(map(bool, fields)) >= width), 0)
    for place, (number, fields) in enumerate(rows[begin:], begin):
        if len(fields) == width:
            return place
        if sum(map(is_stamp_name, fields)) and len(fields) > 2:
            if any(any(wider[len(fields) :]) for _, wider in rows[place + 1 :]):
                raise BarsError(
                    f"{name} has {counted(len(fields), 'name')} in its header (line {number + 1}) and "
                    f"{counted(width, 'field')} in its rows; each field needs a name; put numbers with a "
                    "decimal comma in quotes, or part fields with ';'."
                )
            return place
    raise AssertionError("some row is as wide as most rows are")


def _separator(lines: list[str]) -> tuple[str, int]:
    """What parts the fields, and how many there are: the separator that makes most lines equally long."""
    best, fit = (_SEPARATORS[0], 1), 0.0
    for separator in _SEPARATORS:
        counts = Counter(len(_fields(line, separator)) for line in lines)
        width, often = max(counts.items(), key=lambda item: (item[1], item[0]))
        share = often / len(lines) if width > 1 else 0.0
        if share > fit:
            best, fit = (separator, width), share
    return best


def _fields(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def _mark(rows: list[list[str]], header: list[str], separator: str) -> DecimalMark | None:
    """The decimal mark, as far as the numbers of the sample tell it."""
    stamps = [is_stamp_name(name) for name in header]
    fields = [field for row in rows for field, is_stamp in zip(row, stamps, strict=False) if not is_stamp]
    # Without currency signs and the like.
    numbers = [re.sub(r"[^\d.,+-]", "", field) for field in fields if re.search(r"\d,\d", field)]
    if not numbers:
        return "."
    is_grouped = [_GROUPED.fullmatch(number) is not None for number in numbers]
    if not all(_DECIMAL_COMMA.fullmatch(number) for number in numbers):
        return None
    if not all(is_grouped):
        return ","
    if separator == ",":
        return "."
    # Who groups 1,234 does not write 1234.
    return "," if any(re.fullmatch(r"\d{4,}", field) for field in fields) else None
