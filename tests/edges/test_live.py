"""A live loop and a cache of bars in any order of what happens to them: the fresh one is the oracle."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.alpaca_stand_in import AlpacaStandIn
from tests.support.bars import ROOT, make_bars
from tests.support.edits import edited
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import JSON, examples
from volcast import DataHandler, VolatilityForecaster
from volcast.bars.cache import cached_symbols
from volcast.bars.sources import alpaca
from volcast.bars.sources.http import Patience, RequestLimiter
from volcast.cli.bars import main as bars_command

SAMPLES = str(ROOT / "tests" / "data")
MODELS = st.sampled_from(["ewma", "schema-2", "schema-2-har-lstm"])
MINUTES = make_bars("2024-10-21", "2024-12-20", minutes=5)
BEGIN = 33 * 78


def forecaster_of(model: str) -> VolatilityForecaster:
    return VolatilityForecaster(model, {"model_save_path": SAMPLES})


class LiveInAnyOrder(RuleBasedStateMachine):
    """Bars that come, are revised, inserted or removed, and models that are swapped, rolled back or lost."""

    def __init__(self) -> None:
        super().__init__()
        self.models = ["ewma"]
        self.forecaster = forecaster_of("ewma")
        self.frame = MINUTES.iloc[:BEGIN].copy()
        self.come = BEGIN
        self.stream_model = "ewma"
        self.streamed = self.frame
        self.stream = self.forecaster.stream(self.frame)

    @rule(count=st.sampled_from([1, 1, 1, 12, 78]))
    def append(self, count: int) -> None:
        new = MINUTES.iloc[self.come : self.come + count]
        self.come += len(new)
        self.frame = pd.concat([self.frame[self.frame.index < new.index[0]], new]) if len(new) else self.frame
        if len(new):
            outcome("stream.update", lambda: self.stream.update(new))
            self.streamed = pd.concat([self.streamed, new])

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        self.frame = edited(self.frame.copy() if data.draw(st.booleans()) else self.frame, data)

    @rule(back=st.integers(1, 600), step=st.integers(1, 5))
    def revise_what_was_streamed(self, back: int, step: int) -> None:
        revised = self.streamed.iloc[-back::step] * 1.002
        outcome("stream.update", lambda: self.stream.update(revised))
        self.streamed = pd.concat([self.streamed.drop(index=revised.index), revised]).sort_index()

    @rule(model=MODELS)
    def swap(self, model: str) -> None:
        if model != "ewma":
            self.forecaster.swap(model)
            self.models.append(model)

    @rule()
    def roll_back(self) -> None:
        found = outcome("VolatilityForecaster.rollback", self.forecaster.rollback)
        assert isinstance(found, Refusal) == (len(self.models) == 1)
        self.models = self.models[:-1] or self.models
        # Of many swaps the last few can be undone.
        assert self.forecaster.model_info()["version"] == self.models[-1]

    @precondition(lambda self: len(self.models) > 4)
    @rule()
    def start_anew(self) -> None:
        self.models = self.models[-1:]
        self.forecaster = forecaster_of(self.models[0])

    @rule()
    def begin_another_stream(self) -> None:
        stream = outcome("stream", lambda: self.forecaster.stream(self.frame))
        if not isinstance(stream, Refusal):
            self.stream, self.stream_model, self.streamed = stream, self.models[-1], self.frame.copy()
            self.come = int(MINUTES.index.searchsorted(self.frame.index[-1], side="right"))

    @invariant()
    def a_fresh_forecaster_agrees(self) -> None:
        model = self.models[-1]
        made = outcome(f"live {model}", lambda: self.forecaster.forecast(self.frame, allow_in_sample=True))
        fresh = outcome(f"fresh {model}", lambda: forecaster_of(model).forecast(self.frame, allow_in_sample=True))
        assert repr(made) == repr(fresh)

    @invariant()
    def so_does_a_fresh_stream(self) -> None:
        made = outcome(f"stream {self.stream_model}", lambda: self.stream.forecast(allow_in_sample=True))
        fresh = forecaster_of(self.stream_model)
        again = outcome("fresh", lambda: fresh.forecast(self.streamed, allow_in_sample=True))
        assert repr(made) == repr(again)


HALF_HOURS = make_bars("2024-06-03", "2025-01-31", minutes=30).tz_convert("UTC").round(2)
HASTY = Patience(connect_seconds=2, read_seconds=2, attempts=2, first_wait_seconds=0.001, longest_wait_seconds=0.002)
SPANS = st.sampled_from(
    [
        ("2024-06-03", "2024-07-31"),
        ("2024-07-15", "2024-10-02"),
        ("2024-11-25", "2024-12-31"),
        ("2024-06-03", "2025-01-31"),
    ]
)
TROUBLES = st.sampled_from(["500", "forbidden", "unauthorized", "unknown symbol", "cut json", "null"]) | JSON.map(
    lambda value: f"body {value!r}"
)


class CacheInAnyOrder(RuleBasedStateMachine):
    """Fetched, grown, harmed, cleared, asked for in vain: the bars are those of the market, or one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name) / "cache"
        alpaca._LIMITER = RequestLimiter(100_000, 60)
        self.server = AlpacaStandIn({"SPY": HALF_HOURS}).__enter__()
        self.now = datetime(2024, 9, 3, 16, tzinfo=UTC)

    def teardown(self) -> None:
        self.server.__exit__(None, None, None)
        self._folder.cleanup()

    def get(self, span: tuple[str, str], *, offline: bool = False) -> pd.DataFrame | Refusal:
        handler = DataHandler(
            "alpaca", cache_dir=str(self.root), url_override=self.server.url, patience=HASTY, clock=lambda: self.now,
            offline=offline,
        )  # fmt: skip
        door = "get_stock_bars offline" if offline else "get_stock_bars of Alpaca"
        return outcome(door, lambda: handler.get_stock_bars("SPY", *span, "30Min"), self.root)

    def market(self, span: tuple[str, str]) -> pd.DataFrame:
        settled = pd.Timestamp(self.now) - pd.Timedelta(minutes=15)
        days = HALF_HOURS.tz_convert("America/New_York").loc[span[0] : span[1]].tz_convert("UTC")
        return days[days.index + pd.Timedelta(minutes=30) <= settled]

    @rule(span=SPANS)
    def fetch(self, span: tuple[str, str]) -> None:
        self.server.script = ()
        bars, market = self.get(span), self.market(span)
        if market.empty:
            assert isinstance(bars, Refusal)
        else:
            assert not isinstance(bars, Refusal), bars
            pd.testing.assert_frame_equal(bars, market, check_freq=False, check_index_type=False)

    @rule(span=SPANS, trouble=TROUBLES, after=st.integers(0, 3))
    def fetch_in_trouble(self, span: tuple[str, str], trouble: str, after: int) -> None:
        self.server.requests.clear()
        self.server.script = lambda number, query: "ok" if number < after else trouble
        bars = self.get(span)
        self.server.script = ()
        if not isinstance(bars, Refusal) and trouble not in ("null", "empty page"):
            pd.testing.assert_frame_equal(bars, self.market(span), check_freq=False, check_index_type=False)

    @rule(span=SPANS)
    def read_offline(self, span: tuple[str, str]) -> None:
        asked = len(self.server.requests)
        bars = self.get(span, offline=True)
        assert len(self.server.requests) == asked
        if not isinstance(bars, Refusal):
            market = self.market(span)
            pd.testing.assert_frame_equal(bars, market.loc[bars.index], check_freq=False, check_index_type=False)

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 20]))
    def let_time_pass(self, hours: int) -> None:
        self.now = min(self.now + timedelta(hours=hours), datetime(2025, 1, 31, 16, tzinfo=UTC))

    @rule(data=st.data(), how=st.sampled_from(["remove", "cut", "byte", "junk", "directory", "partial"]))
    def harm(self, data: st.DataObject, how: str) -> None:
        files = sorted(self.root.glob("*/*/*/*/*/*.parquet"))
        if not files:
            return
        path = files[data.draw(st.integers(0, len(files) - 1))]
        content = path.read_bytes() if path.is_file() else b""
        if how == "partial":
            (path.parent / ".partial-killed").write_bytes(content[:9])
            return
        if path.is_file():
            path.unlink()
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        harmed: dict[str, Callable[[], Any]] = {
            "remove": lambda: None,
            "cut": lambda: path.write_bytes(content[:place]),
            "byte": lambda: path.write_bytes(content[:place] + b"\0" + content[place + 1 :]),
            "junk": lambda: path.write_bytes(b"junk"),
            "directory": lambda: path.mkdir(exist_ok=True),
        }
        if not path.is_dir():
            harmed[how]()

    @rule()
    def clear(self) -> None:
        assert bars_command(["clear", "--all", "--cache-dir", str(self.root)]) == 0
        assert cached_symbols(self.root) == []


TestLiveInAnyOrder = LiveInAnyOrder.TestCase
TestLiveInAnyOrder.settings = examples(3, steps=12)
TestCacheInAnyOrder = CacheInAnyOrder.TestCase
TestCacheInAnyOrder.settings = examples(3, steps=12)
