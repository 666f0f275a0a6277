"""Many symbols side by side on hourly buckets, a few symbols' bars in memory at a time."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from volcast.bars.symbols import for_each_symbol
from volcast.measures.hourly import get_hourly_rv

if TYPE_CHECKING:
    from volcast.bars.handler import DataHandler

__all__ = ["panel"]


def panel(
    handler: "DataHandler",
    symbols: Sequence[str],
    start_date: str | date | None = None,
    end_date: str | date | None = None,
    timeframe: str = "1Min",
    *,
    min_bucket_coverage: float = 0.8,
    calendar: str = "XNYS",
    rv_estimator: str = "close",
) -> pd.DataFrame:
    """Hourly RV of `symbols`, of which only the hourly rows stay in memory.

    Parameters
    ----------
    handler
        Where bars come from.
    symbols
        One that fails does not stop the others.
    start_date, end_date, timeframe
        As in `DataHandler.get_stock_bars`.
    min_bucket_coverage, calendar, rv_estimator
        As in `get_hourly_rv`, where the last is ``estimator``.

    Returns
    -------
    DataFrame indexed by bucket label (New York time), a column for each symbol, NaN where it has no value.
    ``attrs["failed"]`` says for each symbol that is missing why; ``attrs["left_out"]`` what was left out of each.

    Raises
    ------
    DataSourceError
        Not one of them could be got.
    """

    def hours_of(symbol: str) -> pd.Series:
        bars = handler.get_stock_bars(symbol, start_date, end_date, timeframe)
        return get_hourly_rv(bars, min_bucket_coverage=min_bucket_coverage, calendar=calendar, estimator=rv_estimator)

    found, failed = for_each_symbol(hours_of, symbols)
    left_out = {symbol: rv.attrs.pop("left_out") for symbol, rv in found.items()}
    side_by_side = pd.DataFrame(found).sort_index()
    side_by_side.attrs = {"failed": failed, "left_out": left_out}
    return side_by_side
