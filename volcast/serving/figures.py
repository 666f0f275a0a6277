"""What can be drawn of forecasts."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from volcast.bars.layouts import pandas_frame
from volcast.errors import BarsError
from volcast.markets.registry import market_of
from volcast.pictures import axes_or_new, draw_forecasts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_forecasts"]

_LABELS = ("bucket", "ds")


def plot_forecasts(forecasts: Any, realized: Any = None, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a series of forecasts with its interval, and what came.

    Parameters
    ----------
    forecasts
        What `VolatilityForecaster.forecast_series` gave, or rows of it, a frame of any library. Those of the next
        bucket are drawn as they are, all others per year (their ``attrs`` say of what they are).
    realized
        What came, a series in the same unit indexed by label, such as `get_hourly_rv` gives of the next bucket; None
        draws the forecasts alone.
    ax
        Axes of Matplotlib's to draw on; None makes a figure, which a notebook shows.

    Returns
    -------
    The axes, for titles and limits.

    Raises
    ------
    BarsError
        They are no series of forecasts, or there are none; or what came is not by label.
    ConfigError
        `ax` is no axes.
    MissingPackageError
        Matplotlib is not installed.

    Examples
    --------
    >>> from volcast import DataHandler, VolatilityForecaster, get_hourly_rv
    >>> bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-02-28")
    >>> forecasts = VolatilityForecaster("ewma").forecast_series(bars)
    >>> axes = plot_forecasts(forecasts[-70:], get_hourly_rv(bars))  # doctest: +SKIP
    """
    table = _by_label(forecasts, "the forecasts")
    missing = {"volatility", "annualized_volatility", "lower", "upper"} - set(table.columns)
    if missing or table.empty:
        lacks = f"lack the columns {', '.join(sorted(missing))}" if missing else "have no row"
        raise BarsError(f"the forecasts {lacks}; they must be such as forecast_series gives; draw what it gives.")
    of_next_bucket = table.attrs.get("horizon", 1) == 1
    scale = 1.0 if of_next_bucket else table["annualized_volatility"] / table["volatility"]
    shown = table[["volatility", "lower", "upper"]].mul(scale, axis=0).rename(columns={"volatility": "forecast"})
    if realized is not None:
        shown["realized"] = _by_label(realized, "what came").iloc[:, 0].reindex(shown.index)
    axes = axes_or_new(ax)
    draw_forecasts(
        axes, shown, f"{market_of(table).bucket_adjective} volatility" if of_next_bucket else "annualized volatility"
    )
    return axes


def _by_label(values: Any, what: str) -> pd.DataFrame:
    """A frame of any library, or a series, as a frame of pandas indexed by label."""
    frame = values.to_frame() if isinstance(values, pd.Series) else pandas_frame(values)
    if frame is None:
        raise BarsError(f"{what} are a {type(values).__name__}; a frame or a series is needed; give such a one.")
    if not frame.columns.is_unique:
        raise BarsError(f"{what} have columns of one name; each must have its own; drop what is there twice.")
    label = next((name for name in _LABELS if name in frame), None)
    indexed = (frame if label is None else frame.set_index(label)).select_dtypes("number")
    if not isinstance(indexed.index, pd.DatetimeIndex) or not indexed.index.is_unique or not indexed.columns.size:
        raise BarsError(f"{what} are no numbers by label; each row must have a moment of its own; give one symbol's.")
    indexed.attrs = dict(getattr(values, "attrs", {}))
    return indexed.sort_index()
