"""Other people's sources of bars: one method, found by their packages' entry points."""

import re
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from volcast.errors import DataSourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BAR_SOURCES", "BarSource", "load_source", "minutes_of", "source_names"]

BAR_SOURCES = {
    "alpaca": "Alpaca (keys in APCA_API_KEY_ID and APCA_API_SECRET_KEY, or in a .env file)",
    "file": "Own file (CSV, Parquet or Feather)",
    "simulator": "Simulated",
    "yahoo": "Yahoo, of the last 30 days",
}
"""Where bars can come from without another package, and what people are told of it."""

_GROUP = "local_volatility_training.bar_sources"
_FREQUENCY = re.compile(r"(\d{1,2})(Min|Hour)")
_MINUTES = {"Min": 1, "Hour": 60}


@runtime_checkable
class BarSource(Protocol):
    """Whatever can give bars."""

    def fetch(self, symbol: str, start: "pd.Timestamp", end: "pd.Timestamp", timeframe: str) -> "pd.DataFrame":
        """Bars of `symbol` that start in [`start`, `end`), both tz-aware.

        Returns
        -------
        DataFrame indexed by the start of each bar (tz-aware, increasing, unique), columns ``close`` at least, and
        ``open``, ``high``, ``low``, ``volume`` where there are; empty where there are no bars. `timeframe` is written
        as ``1Min``, ``5Min``, ``1Hour``.
        """


def source_names() -> tuple[str, ...]:
    """The sources that there are: `BAR_SOURCES` and those of installed packages."""
    return (*BAR_SOURCES, *sorted(point.name for point in entry_points(group=_GROUP)))


def minutes_of(frequency: str) -> int:
    """Minutes of a bar whose length is written as Alpaca does: ``1Min`` to ``59Min``, or ``1Hour``.

    Raises
    ------
    ValueError
        It is not.
    """
    match = _FREQUENCY.fullmatch(frequency)
    minutes = int(match[1]) * _MINUTES[match[2]] if match else 0
    if not 1 <= minutes <= 60:
        raise ValueError("must be 1Min to 59Min, or 1Hour")
    return minutes


def load_source(name: str) -> BarSource:
    """The source of that name: its entry point called without arguments.

    Raises
    ------
    DataSourceError
        No installed package offers it, it cannot be loaded, or it has no ``fetch``.
    """
    points: list[EntryPoint] = [point for point in entry_points(group=_GROUP) if point.name == name]
    if not points:
        names = ", ".join(source_names())
        raise DataSourceError(f"there is no source of bars named {name!r}; it must be one of {names}.")
    try:
        source = points[0].load()()
    except Exception as error:
        raise DataSourceError(
            f"the source {name!r} ({points[0].value}) cannot be loaded ({type(error).__name__}: {error}); its package "
            "must be whole; install it again."
        ) from error
    if not isinstance(source, BarSource):
        raise DataSourceError(f"the source {name!r} ({points[0].value}) has no method fetch; it must have one.")
    return source
