"""Continuous futures, which go over from one contract to the next: their steps that are no returns, and how one told
from prices alone whether somebody has taken them out.

A contract of the next quarter costs more or less than the one that ends; where a series goes over from one to the
other, its price steps, and nobody has earned that. Series are sold as they traded, or with all prices before a step
shifted by its difference or multiplied by its ratio. Ratios leave returns as they were, and prices that no exchange
ever quoted: their grid is finer than any tick. Differences keep the grid, and make returns of long ago too small or too
large.

When a series went over is looked for near the ends of quarters, at the beginning of sessions, or said by its user, who
may know other days, moments inside a session, or that large steps are true: ``attrs["rolls"]`` of bars holds them.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, time_index
from volcast.errors import ConfigError
from volcast.markets.expiries import third_fridays
from volcast.markets.market import TradingMarket

__all__ = ["are_of_ratios", "roll_days_of", "roll_moments", "roll_steps", "roll_weeks"]

_TICKS = np.array([1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.025, 0.02, 0.01, 0.005, 0.0025, 0.001, 5e-4, 1e-4, 5e-5, 1e-5])
_ON_GRID, _ROUNDING = 0.999, 1e-3
_FINEST_TICK = 5e-6
"""Of a price; ticks of futures are two and more hundred-thousandths of it."""
_MONTHS = (3, 6, 9, 12)
_BEFORE, _AFTER = 9, 3
"""Days around the third Friday of the month in which index and currency futures go over."""
_WEEKEND = 86_400_000_000
_WINDOW, _FEWEST = 60, 10
_TIMES_USUAL, _SMALLEST = 5.0, 5e-4
_TO_DEVIATION = 1.4826
_SAMPLE = 5_000
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?: 00:00:00)?")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ]?(\d{2}:\d{2}.*)")


def are_of_ratios(closes: Float64Array1D) -> bool:
    """Whether closes of a future, shape (n,), lie on a finer grid than any tick: they were multiplied, not traded."""
    for tick in _TICKS:
        if np.mean(np.abs(closes / tick - np.round(closes / tick)) < _ROUNDING) >= _ON_GRID:
            return bool(tick / np.median(closes) < _FINEST_TICK)
    return True


def roll_weeks(days: pd.DatetimeIndex) -> BoolArray1D:
    """Whether futures on indices and currencies go over on each of the `days` (naive dates): near a quarter's end."""
    dates = days.to_numpy().astype("M8[D]")
    after = (dates - third_fridays(dates)).astype(np.int64)
    return np.asarray(days.month.isin(_MONTHS) & (after >= -_BEFORE) & (after <= _AFTER))


def roll_days_of(days: Sequence[str]) -> tuple[str, ...]:
    """The days among `days`, and those in the files among them: CSV with a column ``date``, and perhaps ``time``.

    Raises
    ------
    ConfigError
        A file cannot be read as one of days.
    """
    return tuple(day for name in days for day in (_days_in(name) if name.lower().endswith(".csv") else (name,)))


def _days_in(path: str) -> list[str]:
    try:
        table = pd.read_csv(path, dtype=str, comment="#", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the file of roll days {path[:200]!r} cannot be read ({type(error).__name__}); it must be a CSV; check "
            "the path."
        ) from None
    if "date" not in table.columns:
        raise ConfigError(
            f"the file of roll days {path[:200]!r} has no column date; it needs one, and may have time; name them so."
        )
    times = table["time"] if "time" in table.columns else [""] * len(table)
    return [f"{day} {time}".strip() for day, time in zip(table["date"], times, strict=True)]


def roll_moments(days: Sequence[object], market: TradingMarket) -> Int64Array1D:
    """When a future goes over, in microseconds since the epoch, rising: a day at its beginning, a moment as it is.

    `days` are dates or texts such as ``"2024-03-14"``, or moments such as ``"2024-03-14 09:30"``, in the market's time.

    Raises
    ------
    ConfigError
        One is neither.
    """
    moments = [_moment(" ".join(str(day).split()), market) for day in days]
    return np.unique(np.array(moments, dtype=np.int64))


def _moment(text: str, market: TradingMarket) -> int:
    if day := _DAY.fullmatch(text):
        return market.day_begin(day[1]).value // 1000
    if moment := _MOMENT.fullmatch(text):
        return market.clock.moment(f"{moment[1]} {moment[2]}").value // 1000
    raise ConfigError(
        f"the roll day {text[:60]!r} is no day; it must be one such as 2024-03-14, a moment such as 2024-03-14T09:30, "
        "or a .csv file of them; say 'never' alone where no step is one."
    )


def roll_steps(bars: pd.DataFrame, market: TradingMarket) -> "pd.Series[float]":
    """Steps of a future's price from one contract to the next; `bars` in time order.

    Where ``attrs["rolls"]`` holds days and moments (see `roll_moments`), they are those: from the bar before each to
    the first one at or after it. Else they are looked for, at the beginning of a session in the weeks of rolls: a step
    is five times what is usual of the sixty sessions before, nights and weekends apart, and a twentieth of a percent at
    least. A true return may be as large, so whoever takes them out is asked.

    Returns
    -------
    Series of new over old price, indexed by the first bar after the step. Where they are looked for it is empty where
    nothing rolls on the market, or ratios were taken out.

    Raises
    ------
    ConfigError
        What ``attrs["rolls"]`` holds is no day and no moment.
    """
    index = time_index(bars)
    if "rolls" in bars.attrs:
        return _steps_at(roll_moments(bars.attrs["rolls"], market), bars)
    if not market.rolls:
        return pd.Series(dtype=float, index=index[:0])
    closes = bars["close"].to_numpy(dtype=float)
    opens = bars["open"].to_numpy(dtype=float) if "open" in bars.columns else closes
    days = market.dates(index)
    first = np.flatnonzero(np.diff(days.asi8) > 0) + 1
    step = np.log(opens[first] / closes[first - 1])
    stamps: Int64Array1D = index.as_unit("us").asi8
    over_weekend = stamps[first] - stamps[first - 1] > _WEEKEND
    usual = np.where(over_weekend, _usual(step, over_weekend), _usual(step, ~over_weekend))
    is_roll = roll_weeks(days[first]) & (np.abs(step) > np.maximum(_TIMES_USUAL * usual, _SMALLEST))
    # By the prices before it, so that what comes later makes none of it.
    is_roll[is_roll] = [not are_of_ratios(closes[max(at - _SAMPLE, 0) : at]) for at in first[is_roll]]
    return pd.Series(np.exp(step[is_roll]), index=index[first[is_roll]], dtype=float)


def _steps_at(moments: Int64Array1D, bars: pd.DataFrame) -> "pd.Series[float]":
    """The step to the first bar at or after each moment from the one before; moments outside of the bars have none."""
    index = time_index(bars)
    closes = bars["close"].to_numpy(dtype=float)
    opens = bars["open"].to_numpy(dtype=float) if "open" in bars.columns else closes
    places = np.unique(index.as_unit("us").asi8.searchsorted(moments))
    places = places[(places > 0) & (places < len(bars))]
    return pd.Series(opens[places] / closes[places - 1], index=index[places], dtype=float)


def _usual(step: Float64Array1D, chosen: BoolArray1D) -> Float64Array1D:
    """The deviation of the chosen steps before each of them, as their median tells it; infinity where there are few."""
    sizes = pd.Series(np.abs(step[chosen]))
    usual = np.full(len(step), np.inf)
    medians = sizes.rolling(_WINDOW, min_periods=_FEWEST).median().shift()
    usual[chosen] = _TO_DEVIATION * medians.fillna(np.inf).to_numpy()
    return usual
