"""The cache of bars in any order of what happens to source and files: what a fresh fetch gives is the oracle."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import examples
from volcast.arrays import time_index
from volcast.bars.cache import BarCache, DamagedBarsError, month_end, month_start
from volcast.bars.fetching import bars_through_cache, cached_bars, in_extended_hours
from volcast.bars.handler import DataHandler
from volcast.errors import DataSourceError
from volcast.progress import SilentProgress

# On sessions alone: on other days the cache asks for nothing.
BARS = DataHandler("simulator").get_stock_bars("SPY", "2024-06-03", "2025-03-28", "30Min").tz_convert("UTC")
FIRST = pd.Timestamp("2024-06-01", tz="UTC")
MONTHS = [pd.Period("2024-06") + number for number in range(10)]


class Source:
    """Bars that are known until a moment, may be revised, and cannot be had at times."""

    def __init__(self) -> None:
        self.bars = BARS.copy()
        self.now = pd.Timestamp("2024-09-11 15:00", tz="UTC")
        self.answers: int | None = None

    def settled_until(self, timeframe: str) -> pd.Timestamp:
        return self.now

    def stop(self) -> None:
        """Nothing is under way in this source."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        if self.answers is not None:
            self.answers -= 1
            if self.answers < 0:
                raise DataSourceError("the source does not answer; it must; try again later.")
        return self.between(start, end)

    def between(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        stamps = time_index(self.bars)
        return self.bars[(stamps >= start) & (stamps < end) & (stamps < self.now)]


class CacheInAnyOrder(RuleBasedStateMachine):
    """Fetches, new bars, revisions, splits, harm to files, kills, and a source that fails."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.source = Source()
        self.cache = BarCache.of_symbol(self.root, "alpaca", "sip", "all", "30Min", "SPY")

    def teardown(self) -> None:
        self._folder.cleanup()

    def get(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame | Refusal:
        def through_the_cache() -> pd.DataFrame:
            return bars_through_cache(
                self.source, self.cache, "SPY", start, end, "30Min", SilentProgress(), may_have_traded=in_extended_hours
            )

        return outcome("bars through the cache", through_the_cache, self.root)

    def require_fresh(self, start: pd.Timestamp, end: pd.Timestamp) -> None:
        found = self.get(start, end)
        assert not isinstance(found, Refusal), found
        fresh = self.source.between(start, end)
        assert len(found) == len(fresh)
        if len(fresh):
            pd.testing.assert_frame_equal(found, fresh, check_freq=False)

    @rule(first=st.sampled_from(MONTHS), days=st.integers(1, 150))
    def fetch(self, first: pd.Period, days: int) -> None:
        start = min(month_start(first), self.source.now - pd.Timedelta(days=7))
        self.require_fresh(start, min(start + pd.Timedelta(days=days), self.source.now))

    @rule(days=st.integers(1, 40))
    def append(self, days: int) -> None:
        # A revision of the last bars may have gone beyond them, and time does not go back.
        self.source.now = max(self.source.now, min(self.source.now + pd.Timedelta(days=days), BARS.index[-1]))

    @rule(rows=st.integers(1, 20), factor=st.sampled_from([1.001, 0.98]))
    def revise_the_last_bars(self, rows: int, factor: float) -> None:
        """As Alpaca does half a minute later: whoever asks for the next bars of the month gets these again."""
        before, after = self.source.now, self.source.now + pd.Timedelta(days=4)
        self.require_fresh(before - pd.Timedelta(days=20), before)
        known = self.source.between(FIRST, before).index[-rows:]
        coming = BARS.index[
            (BARS.index >= before) & (BARS.index < min(after, month_end(pd.Period(f"{known[0]:%Y-%m}"))))
        ]
        if known[0].month == known[-1].month and len(coming):
            self.source.bars.loc[known, "close"] *= factor
            self.source.now = after
            self.require_fresh(after - pd.Timedelta(days=24), after)

    @rule(factor=st.sampled_from([0.5, 0.1, 0.997, 3.0]))
    def split(self, factor: float) -> None:
        """All prices of the past are others; whoever asks for the next bars notices."""
        if self.source.now + pd.Timedelta(days=4) > BARS.index[-1]:
            return
        self.source.now += pd.Timedelta(days=4)
        self.source.bars[["open", "high", "low", "close"]] *= factor
        self.require_fresh(FIRST, self.source.now)

    # What is drawn must not depend on what lies there: months come in the order of their threads.
    @rule(
        number=st.integers(0, 20),
        how=st.sampled_from(["remove", "empty", "garbage", "cut", "byte", "month", "directory", "plant"]),
        place=st.floats(0, 1, exclude_max=True),
        byte=st.integers(0, 255),
        month=st.sampled_from(MONTHS),
    )
    def harm(self, number: int, how: str, place: float, byte: int, month: pd.Period) -> None:
        """One thing that happens to what lies in the folder."""
        paths = sorted(self.cache.directory.glob("[!.]*"))
        if not paths:
            return
        path = paths[number % len(paths)]
        if path.is_dir():
            shutil.rmtree(path)
            return
        content = path.read_bytes()
        cut = int(place * len(content))
        if how == "remove":
            path.unlink()
        elif how == "directory":
            path.unlink()
            path.mkdir()
        elif how == "month" and not any(other.name.startswith(str(month)) for other in paths):
            path.rename(path.with_name(f"{month}{path.name[7:]}"))
        elif how == "plant":
            digest = hashlib.sha256(content[:cut]).hexdigest()
            path.rename(path.with_name(f"{path.name[:25]}{digest}.parquet")).write_bytes(content[:cut])
        else:
            changed = content[:cut] + bytes([byte]) + content[cut + 1 :]
            path.write_bytes({"empty": b"", "garbage": b"garbage" * 9, "cut": content[:cut]}.get(how, changed))

    @rule()
    def empty(self) -> None:
        with self.cache.locked():
            self.cache.discard()

    @rule(after=st.integers(0, 6))
    def kill_while_it_writes(self, after: int) -> None:
        renamed, count = os.replace, 0

        def stopped(source: Any, destination: Any) -> None:
            nonlocal count
            count += 1
            if count > after:
                raise KeyboardInterrupt
            renamed(source, destination)

        with mock.patch("volcast.files.os.replace", stopped), contextlib.suppress(KeyboardInterrupt):
            self.get(FIRST, self.source.now)

    @rule(answers=st.integers(0, 3))
    def fail(self, answers: int) -> None:
        self.source.answers = answers
        found = self.get(FIRST, self.source.now)
        self.source.answers = None
        if not isinstance(found, Refusal):
            pd.testing.assert_frame_equal(found, self.source.between(FIRST, self.source.now), check_freq=False)

    @rule()
    def ask_offline(self) -> None:
        found = outcome(
            "bars offline",
            lambda: cached_bars(self.cache, "SPY", FIRST, self.source.now, may_have_traded=in_extended_hours),
            self.root,
        )
        if not isinstance(found, Refusal):
            held = max(month.through for month in self.cache.months().values())
            pd.testing.assert_frame_equal(found, self.source.between(FIRST, held), check_freq=False)

    @invariant()
    def what_is_held_is_right_or_said_to_be_damaged(self) -> None:
        for month in self.cache.months().values():
            with contextlib.suppress(DamagedBarsError):
                wanted = self.source.between(month_start(month.month), min(month.through, month_end(month.month)))
                np.testing.assert_array_equal(month.read()["close"], wanted["close"])


TestCacheInAnyOrder = CacheInAnyOrder.TestCase
TestCacheInAnyOrder.settings = examples(6, steps=20)
