"""Bars by way of the cache: what is missing is fetched month by month, in parallel, and kept as it comes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.cache import BarCache, CachedMonth, DamagedBarsError, month_end, month_start, months_of
from volcast.errors import DataSourceError
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named

__all__ = [
    "FetchProgress",
    "MayHaveTraded",
    "SettledBars",
    "at_any_time",
    "bars_through_cache",
    "cached_bars",
    "in_extended_hours",
]

_WORKERS = 8
_LONGEST_REQUEST = pd.Timedelta(days=31)
_OVERLAP_BARS = 30
_SAME_PRICE = 1e-6
"""Bars fetched again are equal to the last digit unless they were rescaled or, one by one, revised."""
_FIRST_TRADE, _LAST_TRADE = pd.Timedelta(hours=4), pd.Timedelta(hours=20)
"""Extended hours, New York time; outside of them there is nothing to fetch."""


MayHaveTraded: TypeAlias = Callable[[pd.Timestamp, pd.Timestamp], bool]
"""Whether there may be bars between two moments."""


def at_any_time(start: pd.Timestamp, end: pd.Timestamp) -> bool:
    """Whether there may be bars from `start` to `end` of what trades round the clock, or at hours nobody knows."""
    return end > start


def in_extended_hours(start: pd.Timestamp, end: pd.Timestamp) -> bool:
    """Whether there may be bars from `start` to `end` of a stock: its days are New York's, from 4:00 to 20:00."""
    if end <= start:
        return False
    days = time_index(market_named(DEFAULT_MARKET).schedule(start, end)).tz_localize(DEFAULT_ZONE)
    return bool(((days + _FIRST_TRADE < end) & (days + _LAST_TRADE > start)).any())


@runtime_checkable
class SettledBars(Protocol):
    """A source of bars that says how far they are final."""

    def settled_until(self, timeframe: str) -> pd.Timestamp:
        """The moment up to which bars are served and not revised any more."""

    def stop(self) -> None:
        """Wait for nothing any more: fetches in other threads end soon, with an error."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        """Settled bars that start in [`start`, `end`), in time order, stamps unique; may be empty."""


class FetchProgress(Protocol):
    """What is told while bars are fetched."""

    def say(self, sentence: str) -> None:
        """One line to keep."""

    def fetch_began(self, symbol: str, months: int) -> None:
        """So many months of `symbol` are missing and fetched."""

    def fetch_advanced(self, months: int) -> None:
        """So many more of the missing months are there."""


class _RescaledError(Exception):
    """Bars fetched again differ from the cached ones by this factor: a split or a dividend came between."""

    def __init__(self, factor: float) -> None:
        super().__init__(factor)
        self.factor = factor


@dataclass(frozen=True)
class _Gap:
    """Bars that start in [`start`, `end`) are missing; both on month bounds or where a month is held so far."""

    start: pd.Timestamp
    end: pd.Timestamp

    @property
    def months(self) -> list[pd.Period]:
        return months_of(self.start, self.end)


def bars_through_cache(
    source: SettledBars,
    cache: BarCache,
    symbol: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    timeframe: str,
    progress: FetchProgress,
    *,
    may_have_traded: MayHaveTraded,
) -> pd.DataFrame:
    """Bars of `symbol` that start in [`start`, `end`), from the cache as far as it has them.

    What is missing is fetched in whole months, up to eight at once, and each month is kept when it has come: an
    interrupted fetch goes on where it was. A month that has ended is final; the running one is completed from its
    last bars. Every request reaches a little into cached neighbours: where these differ by a factor, prices were
    rescaled since (a split, a dividend), and all of the symbol is fetched anew. Nothing is asked for where nothing
    `may_have_traded`.

    Raises
    ------
    DataSourceError
        The source failed, or the cache cannot be written; what had come before is kept.
    """
    with cache.locked():
        return _Filling(source, cache, symbol, timeframe, progress, may_have_traded).bars(start, end)


def cached_bars(
    cache: BarCache, symbol: str, start: pd.Timestamp, end: pd.Timestamp, *, may_have_traded: MayHaveTraded
) -> pd.DataFrame:
    """Bars of `symbol` that start in [`start`, `end`), from the cache alone, as far as the newest month is held.

    Raises
    ------
    DataSourceError
        A month is not there, or its file is damaged.
    """
    held = cache.months()
    months = months_of(start, end)
    last = max(held, default=None)
    missing = [
        str(month)
        for month in months
        if (last is None or month < last)
        and (month not in held or may_have_traded(held[month].through, month_end(month)))
    ]
    if last is None or missing or not any(month in held for month in months):
        what = f"{', '.join(missing[:6])}{' ...' if len(missing) > 6 else ''}" if missing else "that span"
        raise DataSourceError(
            f"the cache has no bars of {symbol} for {what}, and offline nothing is fetched; run once without --offline."
        )
    try:
        frames = [held[month].read() for month in months if month in held]
    except DamagedBarsError as error:
        raise DataSourceError(
            f"{str(error)[:-1]}, and offline it cannot be fetched anew; run without --offline."
        ) from None
    return _between(pd.concat(frames), start, end)


class _Filling:
    """One call's work on a cache that is locked."""

    def __init__(
        self,
        source: SettledBars,
        cache: BarCache,
        symbol: str,
        timeframe: str,
        progress: FetchProgress,
        may_have_traded: MayHaveTraded,
    ) -> None:
        self._source, self._cache, self._progress = source, cache, progress
        self._may_have_traded = may_have_traded
        self._symbol, self._timeframe = symbol, timeframe
        self._held: dict[pd.Period, CachedMonth] = {}
        self._frames: dict[pd.Period, pd.DataFrame] = {}

    def bars(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        months = months_of(start, end)
        self._read(months)
        try:
            self._fill(months, end)
        except _RescaledError as error:
            self._progress.say(
                f"Prices of {self._symbol} were rescaled by {error.factor:.6g} since they were cached (a split or a "
                "dividend): all of them are fetched anew."
            )
            self._cache.discard()
            self._held, self._frames = {}, {}
            self._fill(months, end)
        frames = [self._frames[month] for month in months if month in self._frames]
        return _between(pd.concat(frames), start, end) if frames else pd.DataFrame()

    def _read(self, months: Sequence[pd.Period]) -> None:
        """Read the months, and their neighbours where something is missing; a damaged file counts as missing."""
        self._held = self._cache.months()
        complete = all(month in self._held and self._held[month].is_final for month in months)
        wanted = months if complete else [months[0] - 1, *months, months[-1] + 1]
        for month in wanted:
            if month not in self._held:
                continue
            try:
                self._frames[month] = self._held[month].read()
            except DamagedBarsError as error:
                self._progress.say(f"{_upper_first(str(error)[:-1])}: {month} is fetched anew.")
                self._held.pop(month).discard()

    def _fill(self, months: Sequence[pd.Period], end: pd.Timestamp) -> None:
        gaps = self._gaps(months, end, self._source.settled_until(self._timeframe))
        if not gaps:
            return
        self._progress.fetch_began(self._symbol, sum(len(gap.months) for gap in gaps))
        empty: list[tuple[pd.Period, pd.DataFrame, pd.Timestamp]] = []
        # Neighbours as they are before anything is stored: what comes at the same time must not be compared with.
        work = [(gap, *self._neighbours(gap), self._frames.get(gap.months[0])) for gap in gaps]
        with ThreadPoolExecutor(min(_WORKERS, len(gaps))) as pool:
            futures = {pool.submit(self._fetched, *arguments): arguments[0] for arguments in work}
            try:
                for future in as_completed(futures):
                    gap = futures[future]
                    for month, bars in future.result().items():
                        through = min(month_end(month), gap.end)
                        if bars.empty:
                            empty.append((month, bars, through))
                        else:
                            self._store(month, bars, through)
                    self._progress.fetch_advanced(len(gap.months))
            except BaseException as error:
                # Nobody wants the others any more, and leaving the pool waits for those that run.
                if not isinstance(error, _RescaledError):
                    self._source.stop()
                for future in futures:
                    future.cancel()
                raise
        # No bars in a month is an answer, but no bars at all is more likely a wrong symbol: that is not kept.
        if any(len(bars) for bars in self._frames.values()):
            for month, bars, through in empty:
                self._store(month, bars, through)

    def _store(self, month: pd.Period, bars: pd.DataFrame, through: pd.Timestamp) -> None:
        self._held[month] = self._cache.store(month, bars, through)
        self._frames[month] = bars

    def _neighbours(self, gap: _Gap) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        """The cached bars right before and right after `gap`, None where there are none."""
        first, last = gap.months[0], gap.months[-1]
        previous = self._held.get(first - 1)
        joined = previous is not None and not self._may_have_traded(previous.through, month_start(first))
        parts = [self._frames.get(first), self._frames.get(first - 1) if joined else None]
        before = next((bars.iloc[-_OVERLAP_BARS:] for bars in parts if bars is not None and len(bars)), None)
        after = self._frames.get(last + 1) if gap.end == month_end(last) else None
        return before, None if after is None or after.empty else after.iloc[:_OVERLAP_BARS]

    def _fetched(
        self, gap: _Gap, before: pd.DataFrame | None, after: pd.DataFrame | None, held: pd.DataFrame | None
    ) -> dict[pd.Period, pd.DataFrame]:
        """The months of `gap`, the first one with what is `held` of it; runs in a thread."""
        first = gap.start if before is None else before.index[0]
        last = gap.end if after is None else after.index[-1] + pd.Timedelta(microseconds=1)
        fetched = self._source.fetch(self._symbol, first, last, self._timeframe)
        for cached in (before, after):
            factor = 1.0 if cached is None else _factor(cached, fetched)
            if abs(factor - 1) > _SAME_PRICE:
                raise _RescaledError(factor)
        months = {month: _between(fetched, month_start(month), min(month_end(month), gap.end)) for month in gap.months}
        if held is not None:
            # What came again is newer: the last bars may have been revised.
            month = gap.months[0]
            months[month] = pd.concat([held[held.index < first], months[month]])
        return months

    def _gaps(self, months: Sequence[pd.Period], end: pd.Timestamp, settled: pd.Timestamp) -> list[_Gap]:
        """What is missing of `months` up to `end`, in pieces of a month at most."""
        gaps: list[_Gap] = []
        for month in months:
            have = self._held[month].through if month in self._held else month_start(month)
            want = min(month_end(month), settled)
            if not self._may_have_traded(have, min(want, end)):
                continue
            # The rest of one month and the beginning of the next are one request.
            if gaps and gaps[-1].end == have and want - gaps[-1].start <= _LONGEST_REQUEST:
                gaps[-1] = _Gap(gaps[-1].start, want)
            else:
                gaps.append(_Gap(have, want))
        return gaps


def _factor(cached: pd.DataFrame, fetched: pd.DataFrame) -> float:
    """Fetched over cached prices where both have a bar; 1 where neither says anything."""
    common = cached.index.intersection(fetched.index)
    # The newest bar may have been revised alone.
    common = common[:-1] if len(common) > 1 else common
    if len(common) == 0:
        return 1.0
    prices = ["open", "high", "low", "close"]
    return float(np.median(fetched.loc[common, prices].to_numpy() / cached.loc[common, prices].to_numpy()))


def _between(bars: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    return bars[(bars.index >= start) & (bars.index < end)]


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]
