"""What trades between two sessions: extended hours of a stock, the night of a future.

A night begins with the close of a session and ends with the open of the next. What it says of the session to come
grows towards its end, so it is measured in parts, by how long before the open they lie: the realized variance of the
bars that end in each, as in `measures.bucketed`. A bar that follows another by more than an hour counts from its open
to its close; so does what trades first after hours in which nothing did.

The measures of a night stand in the row of the last bucket before it: whoever knows that row at the start of the next
bucket knows them too. They are as of a moment, and say how long after it the session opens.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D
from volcast.bars.arrays import Prices
from volcast.markets.market import TradingMarket
from volcast.measures.bucketed import LONGEST_RETURN

__all__ = ["NIGHT_LEADS", "NIGHT_NAMES", "NIGHT_PARTS", "NIGHT_TO_GO", "nights_after"]

NIGHT_PARTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "night_evening": (930, 330),
        "night_morning": (330, 90),
        "night_late": (90, 0),
        "night_release": (60, 45),
        "night_last": (30, 0),
    }
)
"""Minutes before the open between which each part lies: in New York 18:00 to 4:00, to 8:00, to 9:30, 8:30 to 8:45, when
statistics are released, and 9:00 to 9:30. To the first belongs all that traded since the close."""

NIGHT_TO_GO = "night_to_go"
"""Minutes from the moment of measuring to the open; 0 of a night that is over."""

NIGHT_LEADS = "night_leads"
"""Days from the session before a night to the one after it."""

NIGHT_NAMES = (*NIGHT_PARTS, NIGHT_TO_GO, NIGHT_LEADS)
"""What `nights_after` gives, in this order."""

_MINUTE = 60_000_000
_LONGEST_RETURN = LONGEST_RETURN // np.timedelta64(1, "us")
_FIRST_PART = next(iter(NIGHT_PARTS))


def nights_after(
    stamps: Int64Array1D, prices: Prices, length: int, days: Int64Array1D, moment: int, market: TradingMarket
) -> Float64Array2D:
    """What had traded by a moment in the nights after sessions, shape (n, len(NIGHT_NAMES)).

    Parameters
    ----------
    stamps, prices, length
        Bars of the whole day, as `SymbolBars` has them, which had ended by the moment.
    days
        Days of the sessions, as `SessionCalendar.session` counts them, shape (n,), rising.
    moment
        In microseconds since the epoch.
    market
        Whose sessions they are.

    Returns
    -------
    Variance of each part of `NIGHT_PARTS`, as far as it had passed, NaN where no bar ended in it; minutes to go; and
    days to the session that the night leads to. All are NaN where the night had not begun.
    """
    every = market.sessions
    place = every.session.searchsorted(days)
    following = np.minimum(place + 1, len(every.session) - 1)
    close, open_ = every.close[place], every.open[following]
    measures = np.full((len(days), len(NIGHT_NAMES)), np.nan)
    begun = close <= moment
    if not begun.any():
        return measures
    first = max(int(stamps.searchsorted(close[begun][0] - length, side="right")) - 1, 0)
    ends, squares = stamps[first:] + length, _squared_returns(stamps, prices, first)
    for column, (name, (begin, end)) in enumerate(NIGHT_PARTS.items()):
        since = close if name == _FIRST_PART else np.maximum(open_ - begin * _MINUTE, close)
        until = np.minimum(open_ - end * _MINUTE, moment)
        measures[:, column] = _sums(squares, ends, since, until)
    measures[:, -2] = np.maximum(open_ - moment, 0) / _MINUTE
    measures[:, -1] = every.session[following] - every.session[place]
    measures[~begun] = np.nan
    return measures


def _squared_returns(stamps: Int64Array1D, prices: Prices, first: int) -> Float64Array1D:
    """Squared log return of each bar from the one numbered `first` on, since the bar before it, or since its open."""
    close = np.log(prices["close"][first:])
    open_ = np.log(prices["open"][first:]) if "open" in prices else close
    before = np.append(open_[:1], close[:-1])
    apart = np.append(True, np.diff(stamps[first:]) > _LONGEST_RETURN)
    return np.asarray((close - np.where(apart, open_, before)) ** 2)


def _sums(values: Float64Array1D, ends: Int64Array1D, since: Int64Array1D, until: Int64Array1D) -> Float64Array1D:
    """Sums of the `values` that end in (since, until], each of these alone, shape (n,); NaN where there are none."""
    begin, stop = ends.searchsorted(since, side="right"), ends.searchsorted(until, side="right")
    has_any = stop > begin
    sums = np.full(len(since), np.nan)
    edges = np.column_stack([begin, stop])[has_any].ravel()
    if len(edges):
        sums[has_any] = np.add.reduceat(np.append(values, 0.0), edges)[::2]
    return sums
