"""The user's own bars: CSV, Parquet or Feather; a file, a directory, or a glob."""

import glob
import gzip
import re
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from volcast.bars.checks import bar_length
from volcast.bars.sources.formats import (
    SYMBOL_COLUMNS,
    DateOrder,
    EpochUnit,
    StampedTable,
    StampFlags,
    StampSide,
    stamped_table,
)
from volcast.errors import BarsError, NotEnoughDataError
from volcast.sessions import session_schedule

__all__ = ["read_bars_file"]

_SUFFIXES = (".csv", ".txt", ".csv.gz", ".parquet", ".pq", ".feather", ".arrow")
_TEXT = (".csv", ".txt", ".gz")
_LOOKS_LIKE_END = 0.8
_FEWEST_DAYS = 3


def read_bars_file(
    path: str | Path,
    symbol: str | None = None,
    timezone: str | None = None,
    stamps: str | None = None,
    epoch: str | None = None,
    dates: str | None = None,
) -> pd.DataFrame:
    """Bars of one symbol from the user's files, stamped at their start.

    Parameters
    ----------
    path
        A file, a directory, or a glob (``"bars/SPY_*.parquet"``). The vendors in `bars.sources.formats` are recognized
        by their columns; any other table needs ``close`` and a column or index of stamps.
    symbol
        Which to take where a file holds several, or a directory holds files of several.
    timezone
        Zone of the stamps where they carry none.
    stamps
        ``"start"`` or ``"end"`` of a bar; None is what the vendor does, and start for a plain table.
    epoch
        ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` for stamps that are numbers; None tells it by their size.
    dates
        ``"mdy"`` or ``"dmy"`` for dates with slashes; None tells it where a day is beyond the twelfth.

    Returns
    -------
    DataFrame with lower-case columns, indexed by ``timestamp``, the start of each bar; tz-aware if the file or
    `timezone` says so. ``attrs["understood"]`` says in a sentence how the files were read.

    Raises
    ------
    BarsError
        A file is missing, of another kind, no table, lacks stamps or the symbol, or is ambiguous: then the message
        names the flag to give.
    """
    flags = StampFlags(
        timezone, cast(StampSide | None, stamps), cast(EpochUnit | None, epoch), cast(DateOrder | None, dates)
    )
    paths = _files(Path(path), symbol)
    tables = [stamped_table(_read_table(file, symbol), str(file), flags) for file in paths]
    frame = _one_symbol(_joined(tables, str(path)), symbol, str(path))
    first = tables[0]
    frame.index.name = "timestamp"
    if first.side is None and frame.index.tz is not None:
        _require_starts(frame.index, str(path))
    if first.side == "end":
        frame.index = frame.index - bar_length(frame.index.sort_values())
    files = f"{len(paths)} files" if len(paths) > 1 else paths[0].name
    of_whom = "plain columns" if first.vendor == "plain" else f"{first.vendor}'s columns"
    side = f"stamps are the {first.side or 'start'} of a bar"
    frame.attrs["understood"] = f"Read {len(frame):,} bars from {files}: {of_whom}, {side}, {first.clock}."
    return frame


def _files(path: Path, symbol: str | None) -> list[Path]:
    if path.is_dir():
        return _of_symbol([file for file in sorted(path.iterdir()) if _suffix(file)], symbol, path)
    if glob.has_magic(str(path)):
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not found:
            raise BarsError(f"no file matches {path}; one at least must; check the pattern.")
        return found
    return [path]


def _of_symbol(files: list[Path], symbol: str | None, folder: Path) -> list[Path]:
    """Those of a directory whose names begin with the symbol; all, where names say nothing of symbols."""
    if not files:
        raise BarsError(f"{folder} holds no file of bars; one must end in {', '.join(_SUFFIXES)}; check the path.")
    words = {file: re.split(r"[_\-. ]", file.name.upper())[0] for file in files}
    named = [file for file, word in words.items() if symbol is not None and word == symbol.upper()]
    if named or len(files) == 1 or len(set(words.values())) == 1 or all(not word.isalpha() for word in words.values()):
        return named or files
    raise BarsError(
        f"{folder} holds files of {', '.join(sorted(set(words.values()))[:10])} and {symbol or 'no symbol'} was asked "
        "for; their names must begin with it; name another with --symbol, or give a glob."
    )


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)


def _read_table(path: Path, symbol: str | None) -> pd.DataFrame:
    if _suffix(path) is None:
        raise BarsError(
            f"{path} is no file of bars; it must end in {', '.join(_SUFFIXES)}; convert it to one of these."
        )
    try:
        if path.suffix.lower() in _TEXT:
            frame = pd.read_csv(path, header=None if _begins_with_a_bar(path) else "infer")
        elif path.suffix.lower() in (".feather", ".arrow"):
            frame = pd.read_feather(path)
        else:
            frame = _read_parquet(path, symbol)
    except BarsError:
        raise
    except FileNotFoundError:
        raise BarsError(f"there is no file {path}; give the path of a CSV, Parquet or Feather file of bars.") from None
    except pd.errors.EmptyDataError:
        raise NotEnoughDataError(f"{path} is empty; at least one bar is needed; check how it was written.") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BarsError(
            f"{path} cannot be read as a table ({reason}); it must be a whole CSV, Parquet or Feather file."
        ) from error
    if frame.empty:
        raise NotEnoughDataError(f"{path} holds no bars; at least one is needed; check how it was written.")
    return frame


def _read_parquet(path: Path, symbol: str | None) -> pd.DataFrame:
    """A Parquet file, or of one that holds many symbols the rows of `symbol` alone, however large the file is."""
    names = pq.read_schema(path).names
    column = next((name for name in names if name.lower() in SYMBOL_COLUMNS), None)
    if symbol is None or column is None:
        return pd.read_parquet(path)
    distinct: set[str] = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[column]):
            distinct.update(batch.column(0).unique().to_pylist())
    distinct.discard(None)
    spellings = [spelt for spelt in distinct if _ticker(spelt) == symbol.upper()]
    if not spellings:
        raise _symbol_missing(sorted({_ticker(spelt) for spelt in distinct}), symbol.upper(), str(path))
    return pd.read_parquet(path, filters=[(column, "in", spellings)])


def _ticker(spelt: str) -> str:
    # Stooq writes SPY.US.
    return spelt.upper().removesuffix(".US")


def _symbol_missing(present: list[str], wanted: str, name: str) -> BarsError:
    return BarsError(
        f"{name} holds {', '.join(present[:10])} and {wanted or 'no symbol'} was asked for; it must be in the file; "
        "name one that is there with --symbol."
    )


def _begins_with_a_bar(path: Path) -> bool:
    """Whether the first line is a bar and no header."""
    with gzip.open(path, "rt") if path.suffix.lower() == ".gz" else open(path) as file:
        return re.match(r"\d{1,2}/\d{1,2}/\d{4},", file.readline()) is not None


def _joined(tables: list[StampedTable], name: str) -> pd.DataFrame:
    meanings = {(table.vendor, table.side, table.frame.index.tz is None) for table in tables}
    if len(meanings) > 1:
        vendors = ", ".join(sorted({table.vendor for table in tables}))
        raise BarsError(
            f"{name} holds files of several kinds ({vendors}), with and without zones or with other stamps; one kind "
            "is needed; give a glob that matches one."
        )
    if len(tables) == 1:
        return tables[0].frame
    frames = [table.frame if table.frame.index.tz is None else table.frame.tz_convert("UTC") for table in tables]
    return pd.concat(sorted(frames, key=lambda frame: frame.index[0]))


def _one_symbol(frame: pd.DataFrame, symbol: str | None, name: str) -> pd.DataFrame:
    if "symbol" not in frame.columns:
        return frame
    names = frame["symbol"].map(_ticker)
    present = list(names.unique())
    wanted = present[0] if symbol is None and len(present) == 1 else (symbol or "").upper()
    if wanted not in present:
        raise _symbol_missing(present, wanted, name)
    return frame[(names == wanted).to_numpy()].drop(columns="symbol")


def _require_starts(index: pd.DatetimeIndex, name: str) -> None:
    """Refuse plain stamps that look like ends: days that begin one bar after the open and end with the close."""
    ordered = index.sort_values().unique()
    schedule = session_schedule(ordered[0], ordered[-1])
    if len(schedule) < _FEWEST_DAYS or len(ordered) < 2:
        return
    opens, closes = (pd.DatetimeIndex(schedule[side]).tz_convert(ordered.tz) for side in ("open", "close"))
    traded = np.asarray(ordered.searchsorted(closes, side="right") > ordered.searchsorted(opens))
    ends = np.asarray(closes.isin(ordered) & ~opens.isin(ordered))
    if traded.sum() >= _FEWEST_DAYS and ends[traded].mean() > _LOOKS_LIKE_END:
        raise BarsError(
            f"{name} has stamps at the close of most sessions and none at their open, as if they were the end of each "
            "bar, and does not say so; it must be known; give --bars-stamps end (or start)."
        )
