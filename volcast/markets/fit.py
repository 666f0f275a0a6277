"""Whether bars are of a market's hours, and of whose they are if not."""

from dataclasses import dataclass

import numpy as np

from volcast.arrays import Int64Array1D
from volcast.markets.market import TradingMarket
from volcast.markets.registry import MARKETS

__all__ = ["MOST_CLOSED", "MarketFit", "best_fit", "better_fit", "fit_of", "some_weeks"]

MOST_CLOSED = 0.1
"""Share of bars on days without a session, above which they cannot be a market's."""

_MOST_INSIDE, _GOOD_FIT, _CLEARLY = 0.8, 0.9, 0.1
_HOUR = 60 * 60 * 1_000_000
_WEEK = 7 * 24 * _HOUR
_SATURDAY = (2 * 24 + 12) * _HOUR
"""Noon of the first one of 1970: in no zone does a market that closes on weekends trade then."""

_SAMPLE = 50_000


@dataclass(frozen=True)
class MarketFit:
    """How bars lie on a market's sessions.

    Attributes
    ----------
    market
        Whose sessions.
    inside
        Share of the bars that lie in sessions.
    filled
        Share of the hours of sessions, on days that have bars, that have a bar.
    closed
        Share of the bars on days without a session.
    """

    market: TradingMarket
    inside: float
    filled: float
    closed: float

    @property
    def score(self) -> float:
        """Both shares as one, from 0 to 1: their harmonic mean."""
        return 2 * self.inside * self.filled / max(self.inside + self.filled, 1e-9)


def fit_of(market: TradingMarket, starts: Int64Array1D, length: int) -> MarketFit:
    """How bars of `length` that begin at `starts`, both in microseconds, in time order, lie on a market's sessions."""
    buckets, ends = market.buckets, starts + length
    place = np.minimum(buckets.label.searchsorted(ends), len(buckets.label) - 1)
    is_inside = (ends > buckets.start[place]) & (ends <= buckets.label[place])
    _, days = market.hours_and_days(ends)
    here = np.isin(buckets.session, np.unique(days))
    filled = len(np.unique(place[is_inside])) / max(int(here.sum()), 1)
    closed = ~np.isin(days, market.sessions.session)
    return MarketFit(market, float(is_inside.mean()), filled, float(closed.mean()))


def better_fit(market: TradingMarket, starts: Int64Array1D, length: int) -> tuple[MarketFit, MarketFit] | None:
    """How bars lie on a market's sessions and on those of another, which they clearly fit better; None where none is.

    Of many bars the other is looked for among some of the weeks. Stocks that trade before and after their sessions fit
    no other market well.
    """
    fit = fit_of(market, starts, length)
    if fit.inside >= _MOST_INSIDE:
        return None
    best = best_fit(some_weeks(starts), length)
    return (fit, best) if best.score >= _GOOD_FIT and fit.score <= best.score - _CLEARLY else None


def some_weeks(moments: Int64Array1D) -> Int64Array1D:
    """Moments of whole weeks, evenly over the span, a few ten thousand; all where there are no more.

    `moments` are microseconds since the epoch, of some clock or other. A week goes from Saturday's noon to the next, so
    that it has all that a market trades which closes on weekends.
    """
    weeks = (moments - _SATURDAY) // _WEEK
    present = np.unique(weeks)
    few = max(_SAMPLE * len(present) // len(moments), 1)
    if few >= len(present):
        return moments
    return moments[np.isin(weeks, present[np.linspace(0, len(present) - 1, few).astype(int)])]


def best_fit(starts: Int64Array1D, length: int) -> MarketFit:
    """The market of `MARKETS` whose sessions such bars fit best; the first of several that they fit as well."""
    return max((fit_of(market, starts, length) for market in MARKETS.values()), key=lambda fit: fit.score)
