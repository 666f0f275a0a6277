"""Whether bars are of a market's hours, and of whose they are if not."""

from dataclasses import dataclass

import numpy as np

from volcast.arrays import Int64Array1D
from volcast.markets.market import TradingMarket
from volcast.markets.registry import MARKETS

__all__ = ["MarketFit", "best_fit", "fit_of"]


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


def best_fit(starts: Int64Array1D, length: int) -> MarketFit:
    """The market of `MARKETS` whose sessions such bars fit best; the first of several that they fit as well."""
    return max((fit_of(market, starts, length) for market in MARKETS.values()), key=lambda fit: fit.score)
