"""Columns of bars, whatever they are called and however their numbers are written."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D
from volcast.errors import BarsError

__all__ = [
    "FIELDS",
    "PRICES",
    "SYMBOL",
    "DecimalMark",
    "count_out_of_range",
    "named_columns",
    "numbers_of",
    "plain_name",
    "require_prices_in_range",
    "text_of",
]

DecimalMark = Literal[".", ","]

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume")
SYMBOL = "symbol"

_NAMES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o", "op", "open price", "price open", "opening price", "1 open"),
    "high": ("high", "h", "hi", "high price", "price high", "2 high"),
    "low": ("low", "l", "lo", "low price", "price low", "3 low"),
    "close": (
        "close",
        "c",
        "cl",
        "close price",
        "price close",
        "closing price",
        "4 close",
        "last",
        "ltp",
        "close last",
        "last price",
        "latest",
        "price",
    ),
    # Brokers' files have the number of ticks beside a volume that is zero for most of their markets.
    "volume": ("volume", "tickvol", "tick volume", "vol", "v", "5 volume", "total volume", "volume traded"),
    SYMBOL: ("symbol", "ticker", "sym", "tic", "contract", "unique id"),
}
"""What vendors call each field, as `plain_name` writes it; the first that is there is taken."""

_OF_CURRENCY = re.compile(r"volume [a-z0-9]{2,6}")
_MOST_OUTSIDE = 0.9
_ONE_TICK = 0.0101

_GROUPS = {".": r"[,'\u2019\s\u00a0\u202f]", ",": r"[.'\u2019\s\u00a0\u202f]"}
_NUMBER = {
    mark: re.compile(
        rf"[+-]?(?:\d{{1,3}}(?:{_GROUPS[mark]}\d{{2,3}})*(?:{_GROUPS[mark]}\d{{3}})|\d+)?(?:{re.escape(mark)}\d*)?"
        r"(?:e[+-]?\d+)?"
    )
    for mark in _GROUPS
}
_CURRENCY = r"[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20bf\ufffd]|\b(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|INR)\b"
_SCALES = {"k": "e3", "m": "e6", "b": "e9"}


def plain_name(name: object) -> str:
    """A column's name in lower case, its words parted by single spaces, without brackets and other signs."""
    return re.sub(r"[^a-z0-9]+", " ", str(name).lower()).strip()


def named_columns(columns: Iterable[object], name: str) -> dict[str, int]:
    """Where each field is among `columns`: the number of its column, by ``open``, ``high`` ... ``symbol``.

    Raises
    ------
    BarsError
        Two columns have one name; `name` is what the message calls the table.
    """
    spelt = list(columns)
    plain = [plain_name(column) for column in spelt]
    places: dict[str, int] = {}
    for field, names in _NAMES.items():
        for candidate in names:
            matches = [place for place, text in enumerate(plain) if text == candidate]
            if len(matches) > 1:
                both = " and ".join(repr(str(spelt[place])) for place in matches[:2])
                raise BarsError(
                    f"{name} has two columns for '{field}', {both}; it must be one; rename or remove the other."
                )
            if matches:
                places[field] = matches[0]
                break
    if "volume" not in places:
        # Of a pair's two currencies, as in "Volume BTC" and "Volume USDT", the one that is traded comes first.
        of_currencies = [place for place, text in enumerate(plain) if _OF_CURRENCY.fullmatch(text)]
        if of_currencies:
            places["volume"] = of_currencies[0]
    return places


def numbers_of(column: pd.Series, mark: DecimalMark | None, name: str) -> pd.Series:
    """The numbers of a column, whatever holds them; what is no number is NaN.

    Parameters
    ----------
    column
        Numbers, decimals, categories of either, or text with currency signs, groups of thousands, or K, M and B.
    mark
        What parts whole from decimals in text; None tells it by the text.
    name
        What to call the table in an error.

    Raises
    ------
    BarsError
        The column holds something else than numbers or text, or text whose commas can be read in two ways.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = column.dtype
    if pd.api.types.is_float_dtype(kind) or (pd.api.types.is_integer_dtype(kind)):
        return column if isinstance(kind, np.dtype) else column.astype(float)
    if pd.api.types.is_bool_dtype(kind) or not (pd.api.types.is_object_dtype(kind) or _is_text(column)):
        return _from_arrow(column, name)
    if not _is_text(column):
        column = column.map(lambda value: value if value is None or isinstance(value, str) else _written(value))
    return _from_text(text_of(column), mark, name)


def text_of(column: pd.Series) -> "pd.Series[str]":
    """Each entry as text, in objects of Python: pandas' own text is read by what happens to be installed beside it.

    What is missing is None, which an older pandas would write out as 'nan'.
    """
    return column.astype("str").astype(object).where(column.notna(), None)


def count_out_of_range(bars: pd.DataFrame | Mapping[str, Float64Array1D]) -> dict[str, int]:
    """How many of the bars, as columns, have a ``close`` or an ``open`` outside their high and low, by its name.

    Nothing is said of what is not there. Adjusted prices are rounded one by one, so a tick outside is inside.
    """
    if not {"high", "low", "close"} <= set(bars):
        return {}
    high, low = np.asarray(bars["high"], dtype=float), np.asarray(bars["low"], dtype=float)
    counts = {}
    for name in [name for name in ("close", "open") if name in bars]:
        prices = np.asarray(bars[name], dtype=float)
        rows = (prices > high) | (prices < low)
        counts[name] = 0
        if rows.any():
            slack = np.minimum(_ONE_TICK, 1e-3 * prices[rows])
            outside = (prices[rows] > high[rows] + slack) | (prices[rows] < low[rows] - slack)
            counts[name] = int(np.count_nonzero(outside))
    return counts


def require_prices_in_range(out_of_range: Mapping[str, int], count: int, name: str) -> None:
    """Refuse `count` bars of which nearly all have a close, or an open, outside their high and low.

    Raises
    ------
    BarsError
        As where one of them is adjusted for splits or dividends and the others are not.
    """
    for field, outside in out_of_range.items():
        if outside > _MOST_OUTSIDE * count:
            raise BarsError(
                f"the {field} lies outside of high and low in {outside:,} of {count:,} rows of {name}, as where "
                "only one of them is adjusted; all prices must be of one kind; take all of them adjusted, or all raw."
            )


def _is_text(column: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(column.dtype)) and not pd.api.types.is_object_dtype(column.dtype)


def _written(value: object) -> str | None:
    """A decimal or another number as text, to be read like all others."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if np.isnan(number) else repr(number)


def _from_arrow(column: pd.Series, name: str) -> pd.Series:
    kind = str(column.dtype)
    if kind.startswith("decimal"):
        return column.astype(float)
    raise BarsError(f"{name} holds {kind} in '{column.name}'; prices and volume must be numbers; convert the column.")


def _from_text(text: "pd.Series[str]", mark: DecimalMark | None, name: str) -> "pd.Series[float]":
    plain = pd.to_numeric(text, errors="coerce")
    if mark != "," and plain.notna().sum() == text.notna().sum():
        return plain.astype(float)
    bare = text.str.replace(_CURRENCY, "", regex=True, flags=re.IGNORECASE).str.strip()
    # Accountants write what is negative in brackets.
    bare = bare.str.replace(r"^\((.*)\)$", r"-\1", regex=True).str.lower()
    for letter, exponent in _SCALES.items():
        bare = bare.str.replace(rf"(?<=\d)\s?{letter}$", exponent, regex=True)
    mark = mark or _mark_of(bare, str(text.name), name)
    is_number = bare.str.fullmatch(_NUMBER[mark].pattern, na=False).astype(bool)
    digits = bare.where(is_number).str.replace(_GROUPS[mark], "", regex=True)
    return pd.to_numeric(digits.str.replace(",", ".", regex=False), errors="coerce").astype(float)


def _mark_of(text: "pd.Series[str]", column: str, name: str) -> DecimalMark:
    """What parts whole from decimals in numbers that a comma is in."""
    numbers = text[text.str.contains(r"\d,\d", regex=True, na=False).astype(bool)]
    if numbers.empty:
        return "."
    dotted = numbers.str.contains(".", regex=False)
    if dotted.any():
        last = numbers[dotted]
        return "." if (last.str.rfind(".") > last.str.rfind(",")).all() else ","
    if not numbers.str.fullmatch(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+").all():
        return ","
    if numbers.str.count(",").gt(1).any() or plain_name(column) in _NAMES["volume"]:
        return "."
    raise BarsError(
        f"{name} has numbers such as {numbers.iloc[0]} in '{column}', whose comma parts thousands or decimals; it must "
        "be known which; write them with a point, as 1234.5."
    )
