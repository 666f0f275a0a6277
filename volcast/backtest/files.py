"""What a backtest leaves on the disk: the page, the trades, whole or not at all."""

import os
import uuid
from pathlib import Path

import pandas as pd

from volcast.errors import ConfigError, StoreError

__all__ = ["require_table_format", "save_trades", "write_whole"]

_FORMATS = (".csv", ".parquet")


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` aside and rename it, so that a reader sees the old or the new.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    aside = path.with_name(f".partial-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); its folder must be writable; name another place."
        ) from error


def save_trades(trades: pd.DataFrame, path: Path) -> None:
    """Save a run's trades as CSV or Parquet, as the name of the file ends.

    Raises
    ------
    ConfigError
        It ends otherwise.
    StoreError
        The file cannot be written.
    """
    require_table_format(path)
    table = trades.reset_index()
    content = table.to_csv(index=False).encode() if path.suffix == ".csv" else table.to_parquet(index=False)
    write_whole(path, content)


def require_table_format(path: Path) -> None:
    """Raise a ConfigError unless `path` ends in .csv or .parquet."""
    if path.suffix not in _FORMATS:
        raise ConfigError(
            f"{path} ends in {path.suffix or 'nothing'}; trades are saved as .csv or .parquet; name such a file."
        )
