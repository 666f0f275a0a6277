"""A live loop in any order of what happens to bars and models: a fresh forecaster is the oracle."""

from typing import Any

import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.bars import ROOT, make_bars
from tests.support.edits import edited
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import examples
from volcast import VolatilityForecaster

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

    @invariant()
    def and_of_total_volatility_both_do(self) -> None:
        asked: dict[str, Any] = {"horizon": "5 sessions", "kind": "total", "allow_in_sample": True}
        model, stream_model = self.models[-1], self.stream_model
        made = outcome(f"live total {model}", lambda: self.forecaster.forecast(self.frame, **asked))
        fresh = outcome(f"fresh total {model}", lambda: forecaster_of(model).forecast(self.frame, **asked))
        assert repr(made) == repr(fresh)
        streamed = outcome(f"stream total {stream_model}", lambda: self.stream.forecast(**asked))
        again = outcome("fresh total", lambda: forecaster_of(stream_model).forecast(self.streamed, **asked))
        assert repr(streamed) == repr(again)


TestLiveInAnyOrder = LiveInAnyOrder.TestCase
TestLiveInAnyOrder.settings = examples(3, steps=12)
