"""Bars laid on the exchange's sessions: what is there of each, and what is missing."""

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, begins_run, time_index
from volcast.bars.checks import bar_length
from volcast.markets.market import TradingMarket

__all__ = ["SessionSheet"]

_GAP_MINUTES, _GAP_BARS = 15, 3
_MINUTE_US = 60_000_000


class SessionSheet:
    """Bars laid on the exchange's sessions.

    Attributes
    ----------
    length
        Of a bar.
    sessions
        A row for each session from the first to the last with a bar, indexed by date (naive): `minutes`,
        `regular_minutes` (of a regular session at that time), `expected` bars, `bars`, `coverage`, `volume` (median of
        bars with any), `gap` (minutes in gaps of a quarter of an hour and more), `gaps`, `longest_gap`.
    outside
        Bars outside sessions: their days (naive).
    """

    def __init__(self, bars: pd.DataFrame, market: TradingMarket) -> None:
        self.length = bar_length(time_index(bars))
        self.bars = bars
        schedule = market.schedule(bars.index[0], bars.index[-1] + self.length)
        starts = time_index(bars).tz_convert("UTC")
        begins, ends = market.stretches
        moments = starts.as_unit("us").asi8
        stretch = begins.searchsorted(moments + self.length // pd.Timedelta(microseconds=1), side="left") - 1
        inside = (stretch >= 0) & (moments < ends[stretch])
        numbers = schedule.index.to_numpy().astype("M8[D]").astype(np.int64)
        session = numbers.searchsorted(market.hours.session[stretch])
        self.outside = market.dates(starts[~inside])
        self._of_bar = session[inside]
        starts = starts[inside]
        rows = market.sessions.session.searchsorted(numbers)
        minutes = market.sessions.minutes[rows].astype(float)
        count = len(schedule)
        bars_held = np.bincount(self._of_bar, minlength=count)
        expected = np.ceil(minutes / (self.length / pd.Timedelta(minutes=1)))
        frame = pd.DataFrame({"minutes": minutes, "expected": expected, "bars": bars_held}, index=schedule.index)
        frame["regular_minutes"] = market.regular_sessions.minutes_at(market.sessions.close[rows])
        traded = np.flatnonzero(bars_held)
        frame["coverage"] = np.minimum(bars_held / expected, 1.0)
        volume = bars["volume"].to_numpy(dtype=float)[inside] if "volume" in bars else np.zeros(len(starts))
        volume[~(volume > 0)] = np.nan
        frame["volume"] = pd.Series(volume).groupby(self._of_bar).median().reindex(range(count)).to_numpy()
        gaps = self._gaps(starts, stretch[inside], market)
        for name, how in (("gap", "sum"), ("gaps", "count"), ("longest_gap", "max")):
            frame[name] = gaps.groupby(level=0).agg(how).reindex(range(count), fill_value=0).to_numpy()
        self.sessions = frame.iloc[traded[0] : traded[-1] + 1] if len(traded) else frame.iloc[:0]

    def _gaps(self, starts: pd.DatetimeIndex, stretch: Int64Array1D, market: TradingMarket) -> "pd.Series[float]":
        """Minutes of each gap inside a stretch of trading that has bars, indexed by the session's number."""
        day, minutes = self._of_bar, self.length / pd.Timedelta(minutes=1)
        begin = starts.as_unit("us").asi8 / _MINUTE_US
        open_, close = (moments[stretch] / _MINUTE_US for moments in market.stretches)
        first = begins_run(stretch)
        last = np.append(first[1:], True)[: len(day)]
        before = np.concatenate([begin[:1], begin[:-1] + minutes])
        inner = begin - np.where(first, open_, before)
        ending = close[last] - (begin[last] + minutes)
        gaps = pd.Series(np.concatenate([inner, ending]), index=np.concatenate([day, day[last]]), dtype=float)
        return gaps[gaps >= max(_GAP_MINUTES, _GAP_BARS * minutes)]

    @property
    def holes(self) -> list[tuple[pd.Timestamp, pd.Timestamp, int]]:
        """Runs of sessions without a bar: first, last, how many."""
        missing = (self.sessions["bars"] == 0).to_numpy()
        edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
        days = self.sessions.index
        return [(days[a], days[b - 1], int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
