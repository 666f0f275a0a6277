"""Bars kept on disk, a Parquet file for each symbol and month, each with its checksum in its name.

``<root>/<source>/<feed>/<adjustment>/<timeframe>/<SYMBOL>/2024-03_20240401T040000Z_<sha256>.parquet`` holds March 2024
(New York time) as far as the moment in its name. A file appears by a rename and is never changed: its name says what it
must hold, whoever is killed at whatever moment, and the file says whose bars it holds, whoever moves or renames it.
Months are New York's whatever market bars are of: they bound files alone, and no day of a market; others would make
strangers of the files that people have.
"""

import contextlib
import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pandas as pd

from volcast.errors import DataSourceError
from volcast.files import PARTIAL, file_name_of, write_whole
from volcast.markets.names import DEFAULT_ZONE
from volcast.packages import required_module

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BarCache",
    "CachedMonth",
    "CachedSymbol",
    "DamagedBarsError",
    "cached_symbols",
    "default_cache_directory",
    "month_end",
    "month_start",
    "months_of",
]

_APPLICATION = "local-volatility-training"
_NAME = re.compile(r"(?P<month>\d{4}-\d{2})_(?P<through>\d{8}T\d{6}Z)_(?P<sha256>[0-9a-f]{64})\.parquet")
_STAMP = "%Y%m%dT%H%M%SZ"
_LOCK = ".lock"
_IDENTITY = b"volcast.bars"
_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")


class DamagedBarsError(DataSourceError):
    """A cached file does not hold what its checksum promises."""


def default_cache_directory() -> Path:
    """Where bars are kept unless told otherwise: the user's cache directory, as the system has it."""
    import platformdirs

    return Path(platformdirs.user_cache_dir(_APPLICATION)) / "bars"


def months_of(start: pd.Timestamp, end: pd.Timestamp) -> list[pd.Period]:
    """The months, New York time, that [`start`, `end`) touches."""
    last = (end - pd.Timedelta(microseconds=1)).tz_convert(DEFAULT_ZONE).tz_localize(None)
    return list(pd.period_range(start.tz_convert(DEFAULT_ZONE).tz_localize(None), last, freq="M"))


@dataclass(frozen=True)
class CachedMonth:
    """One file: the bars of `month` that start in [`start`, `through`).

    Attributes
    ----------
    path
        The file.
    month
        New York time.
    through
        The moment (UTC) up to which the month is held; its end where it is final.
    sha256
        Of the file.
    """

    path: Path
    month: pd.Period
    through: pd.Timestamp
    sha256: str

    @property
    def is_final(self) -> bool:
        """Whether the month is held to its end."""
        return bool(self.through >= month_end(self.month))

    def read(self) -> pd.DataFrame:
        """Read the bars of the month.

        Raises
        ------
        DamagedBarsError
            The file is not what its name and place promise, or cannot be read.
        """
        pq = required_module("pyarrow.parquet", "cached bars")
        import pyarrow as pa

        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise DamagedBarsError(f"the cached file {self.path} cannot be read ({error.strerror}).") from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DamagedBarsError(f"the cached file {self.path} is damaged (its checksum differs).")
        try:
            table = pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError, ValueError):
            raise DamagedBarsError(f"the cached file {self.path} is no Parquet file.") from None
        self._require_own(table)
        frame: pd.DataFrame = table.to_pandas()
        return frame.set_index("timestamp")

    def discard(self) -> None:
        """Remove the file, or whatever else has its name.

        Raises
        ------
        DataSourceError
            It cannot be removed.
        """
        _remove(self.path)

    def _require_own(self, table: "pa.Table") -> None:
        """Refuse bars of another symbol, source, month or span than the file's place and name say."""
        if (table.schema.metadata or {}).get(_IDENTITY) != _identity(self.path.parent, self.month, self.through):
            raise DamagedBarsError(
                f"the cached file {self.path} does not say that it holds these bars (it was moved, renamed, or written "
                "by another version)."
            )
        if not set(_COLUMNS) <= set(table.column_names):
            raise DamagedBarsError(f"the cached file {self.path} lacks columns of bars.")


@dataclass(frozen=True)
class CachedSymbol:
    """What is kept of one symbol, by its name in files, in one feed, adjustment and timeframe."""

    source: str
    feed: str
    adjustment: str
    timeframe: str
    symbol: str
    months: tuple[CachedMonth, ...]
    cache: "BarCache"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(month.path.stat().st_size for month in self.months)


@dataclass(frozen=True)
class BarCache:
    """The files of one symbol, source, feed, adjustment and timeframe, in one directory, made when it is needed."""

    directory: Path

    @classmethod
    def of_symbol(cls, root: Path, source: str, feed: str, adjustment: str, timeframe: str, symbol: str) -> Self:
        """The symbol's files under `root`, the directory of all cached bars.

        Raises
        ------
        DataSourceError
            It is no symbol.
        """
        try:
            return cls(root / source / feed / adjustment / timeframe / file_name_of(symbol))
        except ValueError as error:
            raise DataSourceError(f"{symbol!r} is no symbol: it {error}; check it.") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold these files against other processes and threads; what a killed process left unfinished is removed."""
        import filelock

        # Before anything is fetched, which could not be kept then.
        required_module("pyarrow.parquet", "cached bars")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.directory / _LOCK)
            lock.acquire()
        except OSError as error:
            raise DataSourceError(
                f"the cache {self.directory} cannot be written ({error.strerror}); it must be; set cache_dir to a "
                "directory that can."
            ) from None
        try:
            for path in self.directory.glob(f"{PARTIAL}*"):
                _remove(path)
            yield
        finally:
            lock.release()

    def months(self) -> dict[pd.Period, CachedMonth]:
        """What is held, by month; of two files of a month, the one that reaches further."""
        held: dict[pd.Period, CachedMonth] = {}
        for path in sorted(self.directory.glob("*.parquet")):
            month = _parsed(path)
            if month is not None and (month.month not in held or held[month.month].through <= month.through):
                held[month.month] = month
        return held

    def store(self, month: pd.Period, bars: pd.DataFrame, through: pd.Timestamp) -> CachedMonth:
        """Keep `bars` as those of `month` up to `through`, in place of what was kept of it.

        Raises
        ------
        DataSourceError
            The file could not be written.
        """
        content = _as_parquet(bars, _identity(self.directory, month, through))
        digest = hashlib.sha256(content).hexdigest()
        path = self.directory / f"{month}_{through.tz_convert('UTC').strftime(_STAMP)}_{digest}.parquet"
        try:
            write_whole(path, content)
            for other in self.directory.glob(f"{month}_*.parquet"):
                if other != path:
                    _remove(other)
        except OSError as error:
            raise DataSourceError(
                f"bars could not be kept in {self.directory} ({error.strerror}); it must be writable and have room; "
                "free some, or set cache_dir."
            ) from None
        return CachedMonth(path, month, through, digest)

    def discard(self) -> None:
        """Remove all months."""
        for path in self.directory.glob("*.parquet"):
            _remove(path)


def month_start(month: pd.Period) -> pd.Timestamp:
    """The first moment of a month, New York time, in UTC."""
    return month.start_time.tz_localize(DEFAULT_ZONE).tz_convert("UTC")


def month_end(month: pd.Period) -> pd.Timestamp:
    """The first moment after a month, New York time, in UTC."""
    return month_start(month + 1)


def cached_symbols(root: Path) -> list[CachedSymbol]:
    """Everything kept under `root`, in the order of its names."""
    symbols = []
    for directory in sorted({path.parent for path in root.glob("*/*/*/*/*/*.parquet")}):
        source, feed, adjustment, timeframe, symbol = directory.relative_to(root).parts
        cache = BarCache(directory)
        if months := tuple(cache.months().values()):
            symbols.append(CachedSymbol(source, feed, adjustment, timeframe, symbol, months, cache))
    return symbols


def _parsed(path: Path) -> CachedMonth | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        month, through = pd.Period(match["month"], freq="M"), pd.Timestamp(match["through"])
    except ValueError:
        # No month and no moment: a name that was never given here.
        return None
    return CachedMonth(path, month, through.tz_convert("UTC"), match["sha256"])


def _identity(directory: Path, month: pd.Period, through: pd.Timestamp) -> bytes:
    """Whose bars a file holds: source, feed, adjustment, timeframe, symbol, month, and the moment that it reaches."""
    return "/".join([*directory.parts[-5:], str(month), through.tz_convert("UTC").strftime(_STAMP)]).encode()


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DataSourceError(
            f"{path} of the cache cannot be removed ({error.strerror}); it must be, as it is none of its files; remove "
            "it, or set cache_dir."
        ) from None


def _as_parquet(bars: pd.DataFrame, identity: bytes) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Other attributes of a frame would be written along, and bars with the same content must be the same file.
    plain = pd.DataFrame(bars.reset_index())
    plain.attrs = {}
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(plain, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _IDENTITY: identity})
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
