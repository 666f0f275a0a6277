"""Frames of other libraries as those of pandas, and results as frames of the kind that the bars came in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.typing import IntoDataFrame

__all__ = ["Frame", "FrameLayout", "pandas_frame"]

Frame = TypeVar("Frame", bound="IntoDataFrame")
"""A frame of pandas, Polars, PyArrow or another library that narwhals knows: what comes in, and what is given back."""

_LONG = ("unique_id", "ds")


@dataclass(frozen=True)
class FrameLayout:
    """How a caller keeps frames.

    Attributes
    ----------
    library
        As narwhals calls it; None is pandas.
    is_long
        Whether rows name their symbol in a column ``unique_id`` and their moment in ``ds``, as Nixtla's libraries do.
    is_narwhals
        Whether frames are narwhals' own.
    """

    library: Any = None
    is_long: bool = False
    is_narwhals: bool = False

    @classmethod
    def of(cls, frame: object) -> "FrameLayout":
        """The layout of `frame`; of what is no frame, that of pandas."""
        if isinstance(frame, pd.DataFrame):
            return cls(is_long=set(_LONG) <= set(frame.columns))
        import narwhals as nw

        table = nw.from_native(frame, eager_only=True, pass_through=True)
        if not isinstance(table, nw.DataFrame):
            return cls()
        is_long = set(_LONG) <= set(table.columns)
        return cls(
            None if table.implementation.is_pandas() else table.implementation, is_long, isinstance(frame, nw.DataFrame)
        )

    def frame(self, result: pd.DataFrame | pd.Series, symbol: str | None = None) -> Any:
        """`result` in this layout.

        Parameters
        ----------
        result
            Indexed by moment, or by (symbol, moment).
        symbol
            Whose it is, for the column ``unique_id`` of a long frame.

        Returns
        -------
        Of pandas as it is. Otherwise the index becomes the first columns: those of its names, or ``unique_id`` and
        ``ds`` in a long frame. Numbers that are missing are NaN, moments keep their zone.
        """
        if self.is_long:
            result = _long(result, symbol)
        if self.library is None and not self.is_narwhals:
            return result
        if not self.is_long:
            result = result.reset_index()
        table = _narwhals_frame(pd.DataFrame(result), self.library)
        return table if self.is_narwhals else table.to_native()


def _long(result: pd.DataFrame | pd.Series, symbol: str | None) -> pd.DataFrame:
    frame = result.rename_axis(index=_LONG if result.index.nlevels > 1 else _LONG[1]).reset_index()
    if _LONG[0] not in frame:
        frame.insert(0, _LONG[0], symbol or "")
    frame.attrs = dict(result.attrs)
    return frame


def pandas_frame(frame: object) -> pd.DataFrame | None:
    """A frame of a library that narwhals knows as one of pandas, without Arrow; None is none of those."""
    if isinstance(frame, pd.DataFrame):
        return frame
    import narwhals as nw

    table = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(table, nw.DataFrame):
        return None
    if table.implementation.is_pandas():
        return table.to_pandas()
    return pd.DataFrame({name: _pandas_values(table[name]) for name in table.columns}, copy=False)


def _pandas_values(column: "nw.Series[Any]") -> Any:
    import narwhals as nw

    kind = column.dtype
    if isinstance(kind, nw.Datetime):
        # As numbers: numpy has no zones. What is missing is the smallest of them.
        unit: Literal["ns", "us"] = "ns" if kind.time_unit == "ns" else "us"
        moments = pd.DatetimeIndex(_whole_numbers(column.dt.timestamp(unit)).view(f"M8[{unit}]"))
        return moments if kind.time_zone is None else moments.tz_localize("UTC").tz_convert(kind.time_zone)
    if kind == nw.Date:
        return pd.DatetimeIndex(_whole_numbers(column.cast(nw.Datetime("us")).dt.timestamp("us")).view("M8[us]"))
    if kind.is_decimal():
        return column.cast(nw.Float64).to_numpy()
    if kind.is_numeric():
        return column.to_numpy()
    return pd.Series(column.to_list(), dtype=object)


def _whole_numbers(column: "nw.Series[Any]") -> npt.NDArray[np.int64]:
    return column.fill_null(int(np.iinfo(np.int64).min)).to_numpy().astype(np.int64)


def _narwhals_frame(frame: pd.DataFrame, library: Any) -> "nw.DataFrame[Any]":
    import narwhals as nw

    if library is None:
        return nw.from_native(frame, eager_only=True)
    # Not as narwhals' own: a library need not know these.
    columns = {str(name): _narwhals_series(str(name), values, library).to_native() for name, values in frame.items()}
    return nw.from_dict(columns, backend=library)


def _narwhals_series(name: str, values: pd.Series, library: Any) -> "nw.Series[Any]":
    import narwhals as nw

    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        numbers = pd.api.types.is_numeric_dtype(values.dtype)
        return nw.new_series(name, values.to_numpy() if numbers else values.to_list(), backend=library)
    index = pd.DatetimeIndex(values).as_unit("us")
    if index.tz is None:
        return nw.new_series(name, index.to_numpy(), nw.Datetime("us"), backend=library)
    moments = nw.new_series(
        name, index.tz_convert("UTC").tz_localize(None).to_numpy(), nw.Datetime("us"), backend=library
    )
    return moments.dt.replace_time_zone("UTC").dt.convert_time_zone(str(index.tz))
