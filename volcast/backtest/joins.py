"""Forecasts joined to prices, once and right: by the moment at which they were known, never by a bucket's label.

A forecast's label is the end of the hour that it is about; joined by it, a forecast comes an hour late, and a day's
mean joined to that day comes from its end. What is known at a moment is the last row whose ``asof`` is not after it.
"""

import numpy as np
import pandas as pd

from volcast.bars.checks import bar_length
from volcast.errors import BarsError, LookAheadError
from volcast.markets.names import DEFAULT_ZONE

__all__ = ["align_to", "positions_for"]


def align_to(forecasts: pd.DataFrame, stamps: pd.DatetimeIndex) -> pd.DataFrame:
    """What was known at each moment: the newest row of `forecasts` with ``asof`` at or before it.

    Parameters
    ----------
    forecasts
        What `VolatilityForecaster.forecast_series` made: a column ``asof`` (tz-aware, in time order) and any others.
    stamps
        Moments, tz-aware, in time order, in any zone.

    Returns
    -------
    DataFrame indexed by `stamps`, the columns of `forecasts` and ``bucket`` (its label); missing values where nothing
    was known.

    Raises
    ------
    BarsError
        One side's times have no zone, or are out of order.
    LookAheadError
        A forecast is said to be made at or after the end of the bucket that it is about.

    Examples
    --------
    >>> forecasts = pd.DataFrame(
    ...     {"asof": pd.to_datetime(["2026-01-05 10:00-05:00"]), "annualized_volatility": [0.2]},
    ...     index=pd.to_datetime(["2026-01-05 11:00-05:00"]),
    ... )
    >>> moments = pd.to_datetime(["2026-01-05 14:59Z", "2026-01-05 15:00Z"])
    >>> align_to(forecasts, moments)["annualized_volatility"].tolist()
    [nan, 0.2]
    """
    _require_order(stamps, "the moments")
    asof = _require_order(_asof_of(forecasts), "the forecasts' asof")
    labels = _require_order(forecasts.index, "the forecasts' labels")
    late = np.asarray(asof >= labels)
    if late.any():
        raise LookAheadError(
            f"the forecast of {labels[late][0]} is said to be made as of {asof[late][0]}; a forecast must be made "
            "before its bucket ends; pass the rows of forecast_series as they are, with their own asof."
        )
    if forecasts.empty:
        return forecasts.assign(bucket=labels).reindex(stamps)
    row = asof.searchsorted(stamps, side="right") - 1
    joined = forecasts.assign(bucket=labels).iloc[np.maximum(row, 0)].set_axis(stamps)
    return joined.where(pd.Series(row >= 0, index=stamps), axis=0)


def positions_for(positions: pd.Series, bars: pd.DataFrame) -> pd.Series:
    """Position held over each bar: the last one decided at or before the bar's start.

    Multiplied with the bar's own return from open to close, it looks at nothing that came later.

    Parameters
    ----------
    positions
        Shares of capital, indexed by the moment of the decision (tz-aware, in time order).
    bars
        One symbol's bars, stamped at their start, tz-aware.

    Returns
    -------
    Series indexed as `bars`; 0.0 before the first decision.

    Raises
    ------
    BarsError
        One side's times have no zone or are out of order, or decisions are days without a time, whose moment nobody
        can tell.
    """
    moments = _require_order(getattr(positions, "index", None), "the positions")
    starts = _require_order(getattr(bars, "index", None), "the bars")
    local = moments.tz_convert(DEFAULT_ZONE)
    if len(local) and bool((local == local.normalize()).all()) and bar_length(starts) < pd.Timedelta(days=1):
        raise BarsError(
            f"the positions are dated by day ({local[0]:%Y-%m-%d} and on), so each would be held before what it was "
            "decided from; positions must be dated by the moment of their decision; a day's own figures are known at "
            "its close."
        )
    row = moments.searchsorted(starts, side="right") - 1
    values = positions.to_numpy(dtype=float)[np.maximum(row, 0)] if len(moments) else np.zeros(len(starts))
    return pd.Series(np.where(row >= 0, values, 0.0), index=bars.index, name="position")


def _asof_of(forecasts: object) -> pd.Index | None:
    """The column ``asof``; None where there is none."""
    return pd.Index(forecasts["asof"]) if isinstance(forecasts, pd.DataFrame) and "asof" in forecasts else None


def _require_order(times: object, whose: str) -> pd.DatetimeIndex:
    if not isinstance(times, pd.DatetimeIndex):
        raise BarsError(
            f"{whose} are given by {type(times).__name__}; a join of times needs a DatetimeIndex on both sides; pass "
            "what forecast_series and bars have."
        )
    if times.tz is None:
        raise BarsError(
            f"{whose} have no time zone; a join of times needs one on both sides, or it is off by hours; give them "
            f"theirs by tz_localize, such as {DEFAULT_ZONE}."
        )
    if not times.is_monotonic_increasing:
        raise BarsError(f"{whose} are not in time order; a join of times needs that; sort them.")
    return times
