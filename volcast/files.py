"""Files that are there whole or not at all, and the names that symbols have in them."""

import hashlib
import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

__all__ = ["PARTIAL", "file_name_of", "flush", "json_bytes", "write_whole"]

PARTIAL = ".partial-"
"""How the name of a file or directory begins that is being written; what a killed writer left is called so, too."""

_SYMBOL = re.compile(r"[./^$]?[A-Za-z0-9][A-Za-z0-9.\-/^=$]{0,38}")
_PLAIN = re.compile(r"[A-Z0-9][A-Z0-9.\-]*")
_OTHER = re.compile(r"[^A-Z0-9.]")


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`: aside, flushed to the disk, and renamed, so that a reader sees the old or the new.

    Raises
    ------
    OSError
        It could not be written; what stood there before stands there still.
    """
    aside = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}")
    try:
        aside.write_bytes(content)
        flush(aside)
        os.replace(aside, path)
        flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or a directory's list of names, has reached the disk."""
    if os.name != "posix" and path.is_dir():  # Elsewhere directories cannot be opened.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON."""
    return (json.dumps(value, indent=2) + "\n").encode()


def file_name_of(symbol: str) -> str:
    """What files and directories of `symbol` are called: capitals, digits, dots and dashes, perhaps a checksum.

    Most symbols are their own names. In others each further character becomes a dash and six digits of a checksum
    follow, so that no two symbols share a name; small and capital letters are not told apart.

    Raises
    ------
    ValueError
        It is no symbol of a market.

    Examples
    --------
    >>> [file_name_of(symbol) for symbol in ("SPY", "BRK.B", "BTC/USD")]
    ['SPY', 'BRK.B', 'BTC-USD_7b4c96']
    """
    if _SYMBOL.fullmatch(symbol) is None:
        raise ValueError("must be a ticker of up to 40 letters, digits and any of . - / ^ = $")
    symbol = symbol.upper()
    if _PLAIN.fullmatch(symbol):
        return symbol
    digest = hashlib.sha256(symbol.encode()).hexdigest()[:6]
    return f"{_OTHER.sub('-', symbol).strip('.-')}_{digest}"
