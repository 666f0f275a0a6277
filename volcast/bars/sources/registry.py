"""Sources of bars that are asked by one method: the library's own and those of installed packages."""

from importlib.metadata import EntryPoint
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from volcast.config import BAR_SOURCES, BAR_SOURCES_GROUPS
from volcast.errors import ConfigError, DataSourceError
from volcast.registry import Registry

__all__ = ["SOURCES", "BarSource", "load_source"]


@runtime_checkable
class BarSource(Protocol):
    """Whatever can give bars."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Bars of `symbol` that start in [`start`, `end`), both tz-aware.

        Returns
        -------
        DataFrame indexed by the start of each bar (tz-aware, increasing, unique), columns ``close`` at least, and
        ``open``, ``high``, ``low``, ``volume`` where there are; empty where there are no bars. `timeframe` is written
        as ``1Min``, ``5Min``, ``1Hour``. ``attrs["notes"]`` may hold sentences that the user should read.
        """


SOURCES = Registry(
    "source of bars",
    object,
    {"yahoo": EntryPoint("yahoo", "volcast.bars.sources.yahoo:YahooBars", BAR_SOURCES_GROUPS[0])},
    *BAR_SOURCES_GROUPS,
)
"""By name what makes each, called without arguments; loaded when it is asked for."""


def load_source(name: str) -> BarSource:
    """The source of that name in `SOURCES`.

    Raises
    ------
    DataSourceError
        No installed package offers it, it cannot be loaded, or it has no ``fetch``.
    """
    if name not in SOURCES:
        names = ", ".join(dict.fromkeys((*BAR_SOURCES, *SOURCES)))
        raise DataSourceError(f"there is no source of bars named {name!r}; it must be one of {names}.")
    try:
        make: Any = SOURCES.named(name)
        source = make()
    except ConfigError as error:
        raise DataSourceError(str(error)) from error
    except Exception as error:
        raise DataSourceError(
            f"the source {name!r} cannot be made ({type(error).__name__}: {error}); called without arguments it must "
            "give a source; install its package again."
        ) from error
    if not isinstance(source, BarSource):
        raise DataSourceError(f"the source {name!r} ({type(source).__name__}) has no method fetch; it must have one.")
    return source
