"""What happens to a frame of bars between two forecasts."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st


def scale(bars: pd.DataFrame, rows: int | slice, columns: str | int | slice, factor: float) -> None:
    """Multiply numbers of `bars`, which lie in `rows` and `columns` by place or name, where they are."""
    places = bars.columns.get_loc(columns) if isinstance(columns, str) else columns
    cells: Any = bars.iloc  # of which pandas cannot say that they are numbers
    cells[rows, places] *= factor


def edited(bars: pd.DataFrame, data: st.DataObject) -> pd.DataFrame:
    """One edit of a frame, most of them in place."""
    row = data.draw(st.integers(1, len(bars) - 2))
    column = data.draw(st.sampled_from(["open", "high", "low", "close"]))
    kind = data.draw(st.sampled_from(["iloc", "loc", "column", "update", "drop", "insert", "shift", "rows", "append"]))
    if kind == "iloc":
        scale(bars, row, column, 1.01)
    elif kind == "loc":
        bars.loc[bars.index[row], ["open", "close"]] = bars["close"].iloc[row] * 0.99
    elif kind == "column":
        bars[column] = bars[column] * np.where(np.arange(len(bars)) < row, 1.0, 1.001)
    elif kind == "update":
        bars.update(pd.DataFrame({column: [bars[column].iloc[row] * 1.02]}, index=bars.index[[row]]))
    elif kind == "drop":
        return bars.drop(index=bars.index[[row]])
    elif kind == "insert":
        late = bars.iloc[[row]].set_axis(bars.index[[row]] + pd.Timedelta(seconds=30))
        return pd.concat([bars, late]).sort_index()
    elif kind == "shift":
        bars.index = bars.index + pd.Timedelta(minutes=data.draw(st.sampled_from([-60, -1, 1])))
    elif kind == "rows":
        bars.iloc[row : row + 40] = bars.iloc[row : row + 40].to_numpy() * 1.003
    else:
        bars.loc[bars.index[-1] + pd.Timedelta(minutes=1)] = bars.iloc[-1] * 1.001
    return bars
