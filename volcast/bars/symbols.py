"""Symbols as users list them, and work on many, of which some may fail."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import pandas as pd

from volcast.counts import counted
from volcast.errors import ConfigError, DataSourceError, VolatilityError, describe_os_error
from volcast.files import file_name_of

__all__ = ["cut_each_symbol", "for_each_symbol", "read_symbols", "stacked_bars", "symbols_in", "symbols_of"]

_SYMBOLS_AT_ONCE = 4
_OF_ALL = ("untraded", "rolls")
"""What several symbols' bars say in `attrs` where each of them says the same."""

Result = TypeVar("Result")


def for_each_symbol(work: Callable[[str], Result], symbols: Sequence[str]) -> tuple[dict[str, Result], dict[str, str]]:
    """The result of each symbol, in the order asked, and the sentence of each that failed; four are worked on at once.

    Raises
    ------
    DataSourceError
        All of them failed.
    """
    results: dict[str, Result] = {}
    failed: dict[str, str] = {}
    unique = list(dict.fromkeys(symbols))
    with ThreadPoolExecutor(max(min(_SYMBOLS_AT_ONCE, len(unique)), 1)) as pool:
        futures = {symbol: pool.submit(work, symbol) for symbol in unique}
        for symbol in unique:
            try:
                results[symbol] = futures.pop(symbol).result()
            except VolatilityError as error:
                failed[symbol] = str(error)
    if not results:
        reasons = "; ".join(f"{' '.join(symbol.split())}: {reason}" for symbol, reason in list(failed.items())[:3])
        raise DataSourceError(
            f"of {counted(len(unique), 'symbol')} none could be got; one at least is needed: {reasons}"
        )
    return results, failed


def symbols_of(bars: pd.DataFrame) -> list[str]:
    """Names of the symbols in a frame indexed by (symbol, timestamp), in its order; none in bars of one symbol."""
    return list(bars.index.get_level_values(0).unique()) if isinstance(bars.index, pd.MultiIndex) else []


def cut_each_symbol(bars: pd.DataFrame, cut: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """What `cut` leaves of each symbol's bars, as one frame of the layout of `bars`; symbols without bars are left out.

    `bars` are one symbol's, or those of many, indexed by (symbol, timestamp).
    """
    names = symbols_of(bars)
    if not names:
        return cut(bars)
    parts = {name: cut(cast(pd.DataFrame, bars.xs(name))) for name in names}
    remaining = {name: part for name, part in parts.items() if len(part)}
    stacked = pd.concat(remaining, names=bars.index.names) if remaining else bars.iloc[:0]
    stacked.attrs = dict(bars.attrs)
    return stacked


def stacked_bars(bars_by_symbol: dict[str, pd.DataFrame], failed: dict[str, str]) -> pd.DataFrame:
    """Bars of several symbols as one frame, indexed by (symbol, timestamp), with what `attrs` say of each."""
    stacked = pd.concat(bars_by_symbol, names=["symbol", "timestamp"])
    first = next(iter(bars_by_symbol.values()))
    stacked.attrs = {
        "source": first.attrs.get("source"),
        "detail": first.attrs.get("detail"),
        "simulated": any(bars.attrs.get("simulated", False) for bars in bars_by_symbol.values()),
        "notes": [note for bars in bars_by_symbol.values() for note in bars.attrs.get("notes", [])],
        "failed": failed,
    }
    for name in _OF_ALL:
        values = {bars.attrs.get(name) for bars in bars_by_symbol.values()}
        if len(values) == 1 and values != {None}:
            (stacked.attrs[name],) = values
    return stacked


def read_symbols(path: str | Path) -> list[str]:
    """The symbols in a file: one a line, or with commas; what follows a ``#`` is a comment.

    Raises
    ------
    ConfigError
        There is no such file, or no symbol in it.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"the file of symbols cannot be read: {describe_os_error(error)}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the file of symbols {path} is no text; write one symbol a line.") from None
    return symbols_in(text, str(path))


def symbols_in(text: str, name: str) -> list[str]:
    """The symbols in `text`, written as in a file of symbols; `name` is what to call it in an error.

    Raises
    ------
    ConfigError
        There is no symbol in it, or what is no symbol.
    """
    lines = text.splitlines()
    words = [word.strip().upper() for line in lines for word in line.partition("#")[0].split(",")]
    symbols = list(dict.fromkeys(word for word in words if word))
    if not symbols:
        raise ConfigError(f"{name} names no symbol; one at least is needed; write one a line.")
    for symbol in symbols:
        try:
            file_name_of(symbol)
        except ValueError as error:
            raise ConfigError(f"{name} names {symbol[:60]!r}, but a symbol {error}; mend it there.") from None
    return symbols
