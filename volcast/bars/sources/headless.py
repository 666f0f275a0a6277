"""Tables without a header: what their columns are, told by how many fields a row has and what lies between what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D
from volcast.bars.columns import FIELDS, PRICES
from volcast.errors import BarsError

__all__ = ["EPOCH", "headless_columns", "is_headless"]

EPOCH = r"1\d{9}(?:\.\d+)?|1\d{12}|1\d{15}|1\d{18}"
"""A moment of 2001 to 2033 counted from 1970 in s, ms, us or ns; no date that is written as a number looks so."""

_KIBOT_DATE = r"\d{1,2}/\d{1,2}/\d{4}"
_DATE = r"\d{8}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_MOST = 0.9

_Numbers = dict[str, Float64Array1D]


@dataclass(frozen=True)
class _Layout:
    """The fields of a vendor's row, the first of them an epoch, and what its numbers keep beside."""

    vendor: str
    columns: Sequence[str]
    keeps: Callable[[_Numbers], bool] = lambda numbers: True


def _counts_trades(numbers: _Numbers) -> bool:
    # A mean price in place of the volume would lie between low and high.
    return _are_counts(numbers["trades"]) and not _in_range(numbers, "volume").all()


def _has_mean_prices(numbers: _Numbers) -> bool:
    # Where nothing was traded there is none.
    mean = _in_range(numbers, "vwap") | (numbers["vwap"] == 0)
    return _are_counts(numbers["trades"]) and bool(mean.all())


def _closes_later(numbers: _Numbers) -> bool:
    return _are_counts(numbers["count"]) and bool((numbers["close_time"] > numbers["open_time"]).all())


_LAYOUTS = (
    _Layout("ccxt", ("timestamp", *FIELDS)),
    # Where these two fit, open is low in every bar, and they are the same bars.
    _Layout("Coinbase", ("time", "low", "high", "open", "close", "volume")),
    _Layout("Kraken", ("time", *FIELDS, "trades"), _counts_trades),
    _Layout("Kraken", ("time", "open", "high", "low", "close", "vwap", "volume", "trades"), _has_mean_prices),
    _Layout(
        "Binance",
        (
            "open_time", *FIELDS, "close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume",
            "ignore",
        ),
        _closes_later,
    ),
)  # fmt: skip


def is_headless(table: pd.DataFrame) -> bool:
    """Whether the columns of a table are called by their numbers alone."""
    return list(map(str, table.columns)) == [str(number) for number in range(table.shape[1])] and table.shape[1] > 1


def headless_columns(table: pd.DataFrame, name: str) -> tuple[str, Sequence[str]]:
    """The vendor of a table without a header, ``"plain"`` where it may be anyone's, and what its columns are called.

    Parameters
    ----------
    table
        Its columns in the order of the file.
    name
        What to call it in an error.

    Raises
    ------
    BarsError
        Its rows are no stamp, open, high, low, close and perhaps volume, nor any vendor's.
    """
    if not _mostly(table.iloc[:, 0], EPOCH):
        return _dated_columns(table, name)
    for layout in _LAYOUTS:
        if table.shape[1] == len(layout.columns) and _fits(table, layout):
            return layout.vendor, layout.columns
    raise BarsError(_sentence(table, name, "is like those of no exchange that is recognized"))


def _dated_columns(table: pd.DataFrame, name: str) -> tuple[str, Sequence[str]]:
    """Of rows that begin with a date and its time of day, in one field or two; behind it prices in the usual order."""
    first = table.iloc[:, 0]
    stamps = ("date", "time") if _mostly(first, _DATE) else ("datetime",)
    fields = FIELDS[: max(table.shape[1] - len(stamps), 0)]
    if len(stamps) + len(fields) != table.shape[1] or len(fields) < len(PRICES):
        raise BarsError(_sentence(table, name, "is no stamp, open, high, low, close and perhaps volume"))
    values = table.iloc[:, len(stamps) :].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    numbers = dict(zip(fields, values.T, strict=True))
    if np.mean(_in_range(numbers, "open") & _in_range(numbers, "close")) <= _MOST:
        raise BarsError(_sentence(table, name, "has no open, high, low and close in this order behind its stamp"))
    return "Kibot" if _mostly(first, _KIBOT_DATE) else "plain", (*stamps, *fields)


def _sentence(table: pd.DataFrame, name: str, what: str) -> str:
    row = ",".join(str(value) for value in table.iloc[0])[:80]
    return (
        f"{name} has no header and its row of {table.shape[1]} fields ({row}) {what}; which field is what must be "
        "known; write a first line such as time,open,high,low,close,volume."
    )


def _mostly(column: pd.Series, pattern: str) -> bool:
    text = column.dropna().iloc[:1000].astype("str").str.replace(r"\.0+$", "", regex=True)
    return bool(len(text) and text.str.fullmatch(pattern).mean() > 0.5)


def _fits(table: pd.DataFrame, layout: _Layout) -> bool:
    """Whether all whole rows are a vendor's: epochs in order, prices between low and high, and what else it keeps."""
    values = table.apply(pd.to_numeric, errors="coerce").dropna().to_numpy(dtype=float)
    if not len(values):
        return False
    numbers = dict(zip(layout.columns, values.T, strict=True))
    steps = np.diff(values[:, 0])
    ordered = not len(steps) or max(np.mean(steps >= 0), np.mean(steps <= 0)) > _MOST
    inside = _in_range(numbers, "open") & _in_range(numbers, "close")
    return bool(ordered and inside.all() and (numbers["volume"] >= 0).all() and layout.keeps(numbers))


def _in_range(numbers: _Numbers, field: str) -> BoolArray1D:
    return np.asarray((numbers["low"] <= numbers[field]) & (numbers[field] <= numbers["high"]))


def _are_counts(numbers: Float64Array1D) -> bool:
    return bool(((numbers % 1 == 0) & (numbers >= 0)).all())
