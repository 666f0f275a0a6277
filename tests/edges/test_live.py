"""A live loop in any order of what happens to bars and models: a fresh forecaster is the oracle."""

from typing import Any

import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.bars import make_bars
from tests.support.edits import edited
from tests.support.markets import SAVED, counted_bundle, forecaster_of, history_of
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import MARKETS, examples

NEW_YORK = make_bars("2024-10-21", "2024-12-20", minutes=5)
BEGIN = 33 * 78


def models_and_bars(market: str) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Models of a market, and bars that they are handed."""
    return (SAVED[:3], NEW_YORK) if market == "XNYS" else (("ewma", "default"), history_of(market))


class LiveInAnyOrder(RuleBasedStateMachine):
    """Bars that come, are revised, inserted or removed, and models that are swapped, rolled back or lost."""

    @initialize(market=MARKETS)
    def begin(self, market: str) -> None:
        self.market, (self.of_market, self.bars) = market, models_and_bars(market)
        self.models = ["ewma"]
        self.forecaster = forecaster_of("ewma", market)
        self.frame = self.bars.iloc[:BEGIN].copy()
        self.come = BEGIN
        self.stream_model = "ewma"
        self.streamed = self.frame.copy()
        self.stream = self.forecaster.stream(self.frame)

    @rule(count=st.sampled_from([1, 1, 1, 12, 78]))
    def append(self, count: int) -> None:
        new = self.bars.iloc[self.come : self.come + count]
        self.come += len(new)
        self.frame = pd.concat([self.frame[self.frame.index < new.index[0]], new]) if len(new) else self.frame
        if len(new):
            outcome("ForecastStream.update", lambda: self.stream.update(new))
            self.streamed = pd.concat([self.streamed, new])

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        self.frame = edited(self.frame.copy() if data.draw(st.booleans()) else self.frame, data)

    @rule(back=st.integers(1, 600), step=st.integers(1, 5))
    def revise_what_was_streamed(self, back: int, step: int) -> None:
        revised = self.streamed.iloc[-back::step] * 1.002
        outcome("ForecastStream.update", lambda: self.stream.update(revised))
        self.streamed = pd.concat([self.streamed.drop(index=revised.index), revised]).sort_index()

    @rule(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(self.of_market[1:]))
        self.forecaster.swap(counted_bundle(self.market) if model == "default" else model)
        self.models.append(model)

    @rule()
    def roll_back(self) -> None:
        found = outcome("VolatilityForecaster.rollback", self.forecaster.rollback)
        assert isinstance(found, Refusal) == (len(self.models) == 1)
        self.models = self.models[:-1] or self.models
        # Of many swaps the last few can be undone.
        version = self.forecaster.model_info()["version"]
        assert version == self.models[-1].replace("default", "counted")

    @precondition(lambda self: len(self.models) > 4)
    @rule()
    def start_anew(self) -> None:
        self.forecaster = forecaster_of(self.models[-1], self.market)
        # Of another market the default is no saved model, but swapped into a forecaster by EWMA.
        self.models = ["ewma", "default"] if self.models[-1] == "default" else self.models[-1:]

    @rule()
    def begin_another_stream(self) -> None:
        stream = outcome("VolatilityForecaster.stream", lambda: self.forecaster.stream(self.frame))
        if not isinstance(stream, Refusal):
            self.stream, self.stream_model, self.streamed = stream, self.models[-1], self.frame.copy()
            self.come = int(self.bars.index.searchsorted(self.frame.index[-1], side="right"))

    @invariant()
    def a_fresh_forecaster_agrees(self) -> None:
        model = self.models[-1]
        made = outcome(f"live {model}", lambda: self.forecaster.forecast(self.frame, allow_in_sample=True))
        fresh = outcome(
            f"fresh {model}", lambda: forecaster_of(model, self.market).forecast(self.frame, allow_in_sample=True)
        )
        assert repr(made) == repr(fresh)

    @invariant()
    def so_does_a_fresh_stream(self) -> None:
        made = outcome(
            f"ForecastStream.forecast {self.stream_model}", lambda: self.stream.forecast(allow_in_sample=True)
        )
        fresh = forecaster_of(self.stream_model, self.market)
        again = outcome("fresh", lambda: fresh.forecast(self.streamed, allow_in_sample=True))
        assert repr(made) == repr(again)

    @invariant()
    def and_of_total_volatility_both_do(self) -> None:
        asked: dict[str, Any] = {"horizon": "5 sessions", "kind": "total", "allow_in_sample": True}
        model, stream_model = self.models[-1], self.stream_model
        made = outcome(f"live total {model}", lambda: self.forecaster.forecast(self.frame, **asked))
        fresh = outcome(f"fresh total {model}", lambda: forecaster_of(model, self.market).forecast(self.frame, **asked))
        assert repr(made) == repr(fresh)
        streamed = outcome(f"stream total {stream_model}", lambda: self.stream.forecast(**asked))
        again = outcome(
            "fresh total", lambda: forecaster_of(stream_model, self.market).forecast(self.streamed, **asked)
        )
        assert repr(streamed) == repr(again)


TestLiveInAnyOrder = LiveInAnyOrder.TestCase
TestLiveInAnyOrder.settings = examples(4, steps=12)
