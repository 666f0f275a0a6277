"""The trades of a backtest as a file."""

from pathlib import Path

import pandas as pd

from volcast.errors import ConfigError
from volcast.files import write_whole
from volcast.packages import required_module

__all__ = ["require_table_format", "save_trades"]

_FORMATS = (".csv", ".parquet")


def save_trades(trades: pd.DataFrame, path: Path) -> None:
    """Save a run's trades as CSV or Parquet, as the name of the file ends, whole or not at all.

    Raises
    ------
    ConfigError
        It ends otherwise.
    OSError
        The file cannot be written.
    """
    require_table_format(path)
    if path.suffix == ".parquet":
        required_module("pyarrow", "Parquet files")
    table = trades.reset_index()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, table.to_csv(index=False).encode() if path.suffix == ".csv" else table.to_parquet(index=False))


def require_table_format(path: Path) -> None:
    """Raise a ConfigError unless `path` ends in .csv or .parquet."""
    if path.suffix not in _FORMATS:
        raise ConfigError(
            f"{path} ends in {path.suffix or 'nothing'}; trades are saved as .csv or .parquet; name such a file."
        )
