"""The user's own bars: CSV or Parquet."""

import warnings
from pathlib import Path

import pandas as pd

from errors import BarsError, NotEnoughDataError

__all__ = ["read_bars_file"]

_STAMP_COLUMNS = ("timestamp", "datetime", "date", "time", "t")
_SUFFIXES = (".csv", ".parquet", ".pq")


def read_bars_file(path: str | Path, symbol: str | None = None, timezone: str | None = None) -> pd.DataFrame:
    """Bars of one symbol from a CSV or Parquet file, stamped at their start.

    Parameters
    ----------
    path
        Its columns, in any case: ``close`` at least, ``open``, ``high``, ``low``, ``volume`` if there; time stamps in
        the index or in a column ``timestamp``, ``datetime``, ``date``, ``time`` or ``t``.
    symbol
        Which to take where the file has a ``symbol`` column or level.
    timezone
        Zone of the stamps where they carry none.

    Returns
    -------
    DataFrame with lower-case columns, indexed by ``timestamp``; tz-aware if the file or `timezone` says so.

    Raises
    ------
    BarsError
        The file is missing, of another kind, no table, or lacks stamps or the symbol.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise BarsError(
            f"{path} is no file of bars; it must end in {', '.join(_SUFFIXES)}; convert it to one of these."
        )
    frame = _read_table(path)
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    frame = _one_symbol(_stamped(frame, path), symbol, path)
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise BarsError(
            f"{path} has no time stamps that can be read (found {frame.index.dtype}); bars need the start of each "
            "as an "
            f"index or in a column named {', '.join(_STAMP_COLUMNS)}; rename the column."
        )
    if frame.index.tz is None and timezone is not None:
        frame = frame.tz_localize(timezone, ambiguous="infer", nonexistent="shift_forward")
    return frame


def _read_table(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except FileNotFoundError:
        raise BarsError(f"there is no file {path}; give the path of a CSV or Parquet file of bars.") from None
    except pd.errors.EmptyDataError:
        raise NotEnoughDataError(f"{path} is empty; at least one bar is needed; check how it was written.") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BarsError(
            f"{path} cannot be read as a table ({reason}); it must be a whole CSV or Parquet file."
        ) from error
    if frame.empty:
        raise NotEnoughDataError(f"{path} holds no bars; at least one is needed; check how it was written.")
    return frame


def _stamped(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if isinstance(frame.index, pd.DatetimeIndex | pd.MultiIndex):
        return frame
    column = next((name for name in _STAMP_COLUMNS if name in frame.columns), None)
    if column is None:
        return frame
    try:
        with warnings.catch_warnings():
            # Mixed formats are a reason to refuse below, not to warn.
            warnings.simplefilter("ignore")
            stamps = _as_times(frame[column])
    except (ValueError, TypeError) as error:
        raise BarsError(
            f"{path} has stamps in '{column}' that are no times ({str(error).splitlines()[0]}); "
            "write them as 2024-12-31 09:30:00-05:00."
        ) from None
    return frame.drop(columns=column).set_index(pd.DatetimeIndex(stamps, name="timestamp"))


def _as_times(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if pd.api.types.is_numeric_dtype(column):
        raise ValueError(f"found the number {column.iloc[0]}")
    text = column.astype(str)
    # A year of New York stamps carries two offsets, which pandas reads only by way of UTC.
    zoned = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    return pd.to_datetime(text, utc=bool(zoned.all()), format="ISO8601")


def _one_symbol(frame: pd.DataFrame, symbol: str | None, path: Path) -> pd.DataFrame:
    if isinstance(frame.index, pd.MultiIndex):
        frame = frame.reset_index(level=0, names="symbol")
    if "symbol" not in frame.columns:
        return frame
    present = [str(name) for name in frame["symbol"].unique()]
    wanted = present[0] if symbol is None and len(present) == 1 else symbol
    if wanted not in present:
        raise BarsError(
            f"{path} holds {', '.join(present[:10])} and {wanted or 'no symbol'} was asked for; it must be in the "
            "file; "
            "name one that is there with --symbol."
        )
    return frame[frame["symbol"].astype(str) == wanted].drop(columns="symbol")
