"""Other people's sources of bars: one method, found by their packages' entry points."""

from typing import Protocol, runtime_checkable

import pandas as pd

from volcast.config import BAR_SOURCES, BAR_SOURCES_GROUPS
from volcast.errors import DataSourceError
from volcast.registry import offered

__all__ = ["BarSource", "load_source"]


@runtime_checkable
class BarSource(Protocol):
    """Whatever can give bars."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), both tz-aware.

        Returns
        -------
        DataFrame indexed by the start of each bar (tz-aware, increasing, unique), columns ``close`` at least, and
        ``open``, ``high``, ``low``, ``volume`` where there are; empty where there are no bars. `timeframe` is written
        as ``1Min``, ``5Min``, ``1Hour``.
        """


def load_source(name: str) -> BarSource:
    """The source of that name: its entry point called without arguments.

    Raises
    ------
    DataSourceError
        No installed package offers it, it cannot be loaded, or it has no ``fetch``.
    """
    points = offered(*BAR_SOURCES_GROUPS)
    if name not in points:
        names = ", ".join((*BAR_SOURCES, *sorted(points)))
        raise DataSourceError(f"there is no source of bars named {name!r}; it must be one of {names}.")
    try:
        source = points[name].load()()
    except Exception as error:
        raise DataSourceError(
            f"the source {name!r} ({points[name].value}) cannot be loaded ({type(error).__name__}: {error}); its "
            "package must be whole; install it again."
        ) from error
    if not isinstance(source, BarSource):
        raise DataSourceError(f"the source {name!r} ({points[name].value}) has no method fetch; it must have one.")
    return source
