"""Sources of bars that are asked by one method: the library's own and those of installed packages."""

import re
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from volcast.errors import ConfigError, DataSourceError
from volcast.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BAR_SOURCES", "SOURCES", "BarSource", "load_source", "minutes_of", "source_names"]

BAR_SOURCES = {
    "alpaca": "Alpaca (keys in APCA_API_KEY_ID and APCA_API_SECRET_KEY, or in a .env file; coins need none)",
    "file": "Own file (CSV, Parquet or Feather)",
    "simulator": "Simulated",
    "yahoo": "Yahoo, of the last 30 days",
    "binance": "Binance, coins such as BTC/USDT",
    "coinbase": "Coinbase, coins such as BTC/USD",
    "kraken": "Kraken, the last 720 bars of coins",
}
"""What people are told of the library's own sources."""

_GROUPS = ("volcast.sources", "local_volatility_training.bar_sources")
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
        as ``1Min``, ``5Min``, ``1Hour``. ``attrs["notes"]`` may hold sentences that the user should read.
        """


SOURCES = Registry(
    "source of bars",
    object,
    {
        "yahoo": EntryPoint("yahoo", "volcast.bars.sources.yahoo:YahooBars", _GROUPS[0]),
        **{
            name: EntryPoint(name, f"volcast.bars.sources.exchanges:{name}", _GROUPS[0])
            for name in ("binance", "coinbase", "kraken")
        },
    },
    *_GROUPS,
)
"""By name what makes each, called without arguments; loaded when it is asked for."""


def source_names() -> tuple[str, ...]:
    """The sources that there are: the library's own and those of installed packages."""
    return tuple(dict.fromkeys((*BAR_SOURCES, *SOURCES)))


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
    """The source of that name in `SOURCES`.

    Raises
    ------
    DataSourceError
        No installed package offers it, it cannot be loaded, or it has no ``fetch``.
    """
    if name not in SOURCES:
        names = ", ".join(source_names())
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
