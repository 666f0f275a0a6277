"""The user's own bars: CSV, Parquet or Feather; a file, a directory, or a glob."""

import glob
import re
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.clocks import fitting_zones, look_like_ends, whole_ends, zone_sentence
from volcast.bars.columns import SYMBOL, named_columns
from volcast.bars.sources.formats import StampedTable, stamped_table
from volcast.bars.sources.stamps import DateOrder, EpochUnit, StampFlags, StampSide, localized
from volcast.bars.sources.text import read_text_table
from volcast.bars.untraded import LEFT_OUT, UNTRADED, untraded
from volcast.counts import counted
from volcast.errors import BarsError, MissingPackageError
from volcast.markets.market import TradingMarket
from volcast.packages import required_module

__all__ = ["read_bars_file"]

_TEXT = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".zip")
_ARROW = (".feather", ".arrow")
_SUFFIXES = (*_TEXT, ".parquet", ".pq", *_ARROW)
_IN_PAGES = ("Binance", "Coinbase", "Kraken", "ccxt")
_LONGEST_LIST = 6
_MOST = 0.9


def read_bars_file(
    path: str | Path,
    symbol: str | None = None,
    timezone: str | None = None,
    stamps: str | None = None,
    epoch: str | None = None,
    dates: str | None = None,
    market: TradingMarket | None = None,
    *,
    of_several: bool = False,
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
    market
        Whose hours they are, which tell the zone of stamps that carry none; None is the symbol's.
    of_several
        Whether bars of other symbols are asked of the path, too: then it must say whose they are.

    Returns
    -------
    DataFrame with lower-case columns, indexed by ``timestamp`` (tz-aware), the start of each bar. Rows without a stamp
    or one of their prices are left out. ``attrs["understood"]`` says in a sentence how the files were read, and
    ``attrs["left_out_rows"]`` counts the rows that were left out and says where the first of them are; of the side of
    the stamps, which were asked about here, ``attrs["stamps"]`` says that they are starts; of an exchange of coins,
    ``attrs["untraded"]`` says what it does with minutes without a trade, see `bars.untraded`.

    Raises
    ------
    BarsError
        A file is missing, of another kind, no table, lacks stamps or the symbol, or is ambiguous: then the message
        names the flag to give.
    """
    flags = StampFlags(
        timezone, cast(StampSide | None, stamps), cast(EpochUnit | None, epoch), cast(DateOrder | None, dates)
    )
    name, market = str(path), market or market_of_bars(None, symbol)
    paths = _files(Path(path), symbol)
    tables = [_stamped(file, symbol, flags) for file in paths]
    joined = _joined(tables, name)
    if of_several and SYMBOL not in joined and not all(_begins_with(file, symbol) for file in paths):
        raise BarsError(
            f"{name} does not say whose bars it holds, and those of several symbols are asked for; each needs rows "
            "that name it or a file that begins with its name; ask for one symbol, or give a folder of such files."
        )
    frame, symbol_taken = _one_symbol(joined, symbol, name)
    first = tables[0]
    # Before the zone: the order tells the hours that clocks repeat.
    frame, changes = _in_order(frame, first.vendor)
    frame.index, clock = _with_zone(frame, first.zone, first.clock, name, market)
    if first.side is None:
        _require_starts(frame.index, name, market)
    if first.side == "end":
        frame.index = whole_ends(frame.index) - bar_length(frame.index.sort_values())
    files = f"{len(paths)} files" if len(paths) > 1 else paths[0].name
    side = f"stamps are the {first.side or 'start'} of a bar"
    if first.vendor.lower() in UNTRADED:
        frame.attrs["untraded"] = UNTRADED[first.vendor.lower()]
        changes += ", which leaves out minutes without a trade" * (frame.attrs["untraded"] == LEFT_OUT)
    frame.attrs["understood"] = (
        f"Read {counted(len(frame), 'bar')} from {files}: {_of_whom(first)}, {side}, {clock}{changes}."
    )
    frame.attrs["left_out_rows"] = _left_out(tables, symbol_taken)
    frame.attrs["stamps"] = "start"
    return frame


def _of_whom(table: StampedTable) -> str:
    if table.vendor == "plain":
        return "plain columns"
    return f"{table.vendor}'s columns" + (", told by their order and values without a header" * table.is_headless)


def _in_order(frame: pd.DataFrame, vendor: str) -> tuple[pd.DataFrame, str]:
    """The bars of a table that has the newest first in order of time, and those of exchanges, which come in pages, in
    any case, without whole copies of rows, as where pages join; and what was done, in words to go behind others.
    """
    index, changes = time_index(frame), ""
    if vendor not in _IN_PAGES:
        # Not all, since clocks repeat an hour.
        newest_first = len(index) > 1 and np.mean(np.diff(index.asi8) <= 0) > _MOST
        return (frame.iloc[::-1], ", sorted with the newest last") if newest_first else (frame, changes)
    if index.has_duplicates:
        copies = frame.reset_index().duplicated().to_numpy()
        if copies.any():
            frame, changes = frame[~copies], f", {counted(int(copies.sum()), 'repeated row')} left out"
            index = time_index(frame)
    if index.is_monotonic_increasing:
        return frame, changes
    return frame.sort_index(kind="stable"), f"{changes}, sorted with the newest last"


def _left_out(tables: list[StampedTable], symbol: str | None) -> dict[str, object]:
    """How many rows of `symbol` were left out, and where the first few of them are."""
    rows = pd.concat([table.left_out for table in tables], ignore_index=True)
    if symbol is not None:
        rows = rows[rows[SYMBOL].isna() | (rows[SYMBOL].map(_ticker) == symbol)]
    shown = rows.iloc[:_LONGEST_LIST]
    return {
        "count": len(rows),
        "first": [f"{place}: {what}" for place, what in zip(shown["row"], shown["what"], strict=True)],
    }


def _files(path: Path, symbol: str | None) -> list[Path]:
    try:
        if path.is_dir():
            return _of_symbol([file for file in sorted(path.iterdir()) if _suffix(file)], symbol, path)
        if not glob.has_magic(str(path)) or path.exists():
            return [path]
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    except OSError as error:
        raise BarsError(
            f"{_short(path)} cannot be read ({error.strerror}); it must be readable; check the path."
        ) from None
    except (ValueError, RecursionError, re.error):
        raise BarsError(f"{_short(path)} is no path or pattern that the system takes; give a shorter one.") from None
    if not matches:
        raise BarsError(f"no file matches {_short(path)}; one at least must; check the pattern.")
    return matches


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"


def _of_symbol(files: list[Path], symbol: str | None, folder: Path) -> list[Path]:
    """Those of a directory whose names begin with the symbol; all, where names say nothing of symbols."""
    if not files:
        raise BarsError(f"{folder} holds no file of bars; one must end in {', '.join(_SUFFIXES)}; check the path.")
    words = {file: _first_word(file) for file in files}
    named = [file for file in files if _begins_with(file, symbol)]
    if named or len(files) == 1 or len(set(words.values())) == 1 or all(not word.isalpha() for word in words.values()):
        return named or files
    raise BarsError(
        f"{folder} holds files of {', '.join(sorted(set(words.values()))[:10])} and {symbol or 'no symbol'} was asked "
        "for; their names must begin with it; name another with --symbol, or give a glob."
    )


def _first_word(path: Path) -> str:
    return re.split(r"[_\-. ]", path.name.upper())[0]


def _begins_with(path: Path, symbol: str | None) -> bool:
    return symbol is not None and _first_word(path) == symbol.upper().replace("/", "")


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)


def _stamped(path: Path, symbol: str | None, flags: StampFlags) -> StampedTable:
    """One file's table; the rows that are left out under their places in the file, in words."""
    suffix = _suffix(path)
    if suffix is None:
        raise BarsError(
            f"{_short(path)} is no file of bars; it must end in {', '.join(_SUFFIXES)}; convert it to one of these."
        )
    mark, unit, first = None, "row", 1
    try:
        if suffix in _TEXT:
            text = read_text_table(path)
            frame, mark, unit, first = text.frame, text.mark, "line", text.first_line
        else:
            frame = _read_arrow(path, suffix, symbol)
    except (BarsError, MissingPackageError):
        raise
    except FileNotFoundError:
        raise BarsError(f"there is no file {path}; give the path of a CSV, Parquet or Feather file of bars.") from None
    except Exception as error:
        raise BarsError(
            f"{_short(path)} cannot be read as a table ({_reason(error)}); it must be a whole CSV, Parquet or Feather "
            "file."
        ) from None
    table = stamped_table(frame, str(path), flags, mark)
    table.left_out["row"] = [f"{unit} {row + first} of {path.name}" for row in table.left_out["row"]]
    return table


def _reason(error: Exception) -> str:
    """What a library or the system says, in one line without the path and a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [""])[0].strip().rstrip(".")[:120] or type(error).__name__


def _read_arrow(path: Path, suffix: str, symbol: str | None) -> pd.DataFrame:
    """A Parquet or Feather file, or of Parquet that holds many symbols the rows of `symbol` alone."""
    pq = required_module("pyarrow.parquet", "Parquet and Feather files")
    if suffix in _ARROW:
        return pd.read_feather(path)
    names = pq.read_schema(path).names
    place = named_columns(names, str(path)).get(SYMBOL)
    if symbol is None or place is None:
        return pd.read_parquet(path)
    column = names[place]
    distinct: set[str] = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[column]):
            distinct.update(batch.column(0).unique().to_pylist())
    if None in distinct:
        return pd.read_parquet(path)
    spellings = [spelt for spelt in distinct if _ticker(spelt) == symbol.upper()]
    if not spellings:
        raise _symbol_missing(sorted({_ticker(spelt) for spelt in distinct}), symbol.upper(), str(path))
    return pd.read_parquet(path, filters=[(column, "in", spellings)])


def _ticker(spelt: object) -> str:
    # Stooq writes SPY.US.
    return str(spelt).upper().removesuffix(".US")


def _symbol_missing(present: list[str], wanted: str, name: str) -> BarsError:
    return BarsError(
        f"{name} holds {', '.join(present[:10])} and {wanted or 'no symbol'} was asked for; it must be in the file; "
        "name one that is there with --symbol."
    )


def _joined(tables: list[StampedTable], name: str) -> pd.DataFrame:
    meanings = {(table.vendor, table.side, time_index(table.frame).tz is None) for table in tables}
    if len(meanings) > 1:
        vendors = ", ".join(sorted({table.vendor for table in tables}))
        raise BarsError(
            f"{name} holds files of several kinds ({vendors}), with and without zones or with other stamps; one kind "
            "is needed; give a glob that matches one."
        )
    if len(tables) == 1:
        return tables[0].frame
    frames = [table.frame if time_index(table.frame).tz is None else table.frame.tz_convert("UTC") for table in tables]
    frames.sort(key=lambda frame: time_index(frame)[0])
    return pd.concat(frames)


def _one_symbol(frame: pd.DataFrame, symbol: str | None, name: str) -> tuple[pd.DataFrame, str | None]:
    """The bars of the symbol asked for, or of the only one there is, and which it is; None where rows name none."""
    if SYMBOL not in frame.columns:
        return frame, None
    names = frame[SYMBOL].map(_ticker)
    present = list(names.unique())
    wanted = present[0] if symbol is None and len(present) == 1 else (symbol or "").upper()
    if wanted not in present:
        raise _symbol_missing(present, wanted, name)
    return frame[(names == wanted).to_numpy()].drop(columns=SYMBOL), wanted


def _with_zone(
    frame: pd.DataFrame, timezone: str | None, clock: str, name: str, market: TradingMarket
) -> tuple[pd.DatetimeIndex, str]:
    """The stamps with their zone, and what says it, in words: the file, the user, or the hours of the market's day."""
    index = time_index(frame).rename("timestamp")
    if index.tz is not None:
        return index, clock
    # Some brokers let the last price stand while nothing trades.
    length, hours = bar_length(index.dropna().sort_values()), index[~untraded(frame)]
    zones = fitting_zones(hours, length, market)
    if timezone is not None:
        if "UTC" in zones and not fitting_zones(hours, length, market, likely=(timezone,)):
            raise BarsError(
                f"{name} has stamps whose hours are no session's in {timezone} and fit UTC; the zone must be theirs; "
                "give --bars-timezone UTC."
            )
        return localized(index, timezone), f"zone {timezone}"
    if zones[:1] == [market.zone]:
        return localized(index, market.zone), f"no zone in the stamps: {market.zone}, whose hours they fit"
    way_out = zones[0] if zones else market.zone if market.never_closes else "ZONE"
    raise BarsError(f"{name} has {zone_sentence(index, zones, market)}; give --bars-timezone {way_out}.")


def _require_starts(index: pd.DatetimeIndex, name: str, market: TradingMarket) -> None:
    if look_like_ends(index.sort_values(), market):
        raise BarsError(
            f"{name} has stamps at the close of most sessions and none at their open, as if they were the end of each "
            "bar, and does not say so; it must be known; give --bars-stamps end (or start)."
        )
