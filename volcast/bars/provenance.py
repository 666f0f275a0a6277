"""Whose bars they are, and which: what a model remembers of them."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length
from volcast.errors import BarsError
from volcast.files import file_name_of

__all__ = ["data_provenance"]


def data_provenance(bars: pd.DataFrame, symbol: str) -> dict[str, Any]:
    """What a model remembers of the bars that it was trained on: symbol, source, span (UTC), count and SHA-256.

    Raises
    ------
    BarsError
        They are called what no symbol is called.
    """
    attrs = bars.attrs
    symbol = str(attrs.get("symbol") or symbol)
    try:
        file_name_of(symbol)
    except ValueError as error:
        raise BarsError(f"the bars are of {symbol[:60]!r}, but a symbol {error}; change attrs['symbol'].") from None
    digest = hashlib.sha256(np.ascontiguousarray(time_index(bars).as_unit("us").asi8).tobytes())
    for column in bars.columns:
        digest.update(str(column).encode())
        if pd.api.types.is_numeric_dtype(bars[column]):
            digest.update(np.ascontiguousarray(bars[column].to_numpy(dtype=float)).tobytes())
    return {
        "symbol": symbol,
        "source": {"name": attrs.get("source", "caller's bars"), "detail": attrs.get("detail", "")},
        "simulated": bool(attrs.get("simulated", False)),
        "notes": list(attrs.get("notes", [])),
        "first_bar": bars.index[0].tz_convert("UTC").isoformat(),
        "last_bar": bars.index[-1].tz_convert("UTC").isoformat(),
        "bars": len(bars),
        "bar_minutes": bar_length(time_index(bars)) / pd.Timedelta(minutes=1),
        "sha256": digest.hexdigest(),
    }
