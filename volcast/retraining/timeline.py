"""Which model serves at each moment of a backtest: never one that could not have been there."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from volcast.bars.arrays import FrameArrays
from volcast.errors import VolatilityError
from volcast.markets.clocks import clock_of
from volcast.markets.names import DEFAULT_ZONE
from volcast.retraining.policy import candidate_moments
from volcast.retraining.retraining import Retraining, bars_until, first_start
from volcast.serving.served_model import ServedModel
from volcast.store.bundle import is_condemned
from volcast.store.serving_log import serving_stack
from volcast.store.store import ModelStore

__all__ = ["ModelTimeline"]

_LOOK_AHEAD = pd.Timedelta(days=62)
_BEGINNING = pd.Timestamp("1900-01-01", tz="UTC")


class ModelTimeline:
    """The models that serve along simulated time, in order.

    With a schedule, a model is trained at each moment that is due, from the bars before it, and serves if the gate
    lets it. Without one, the store's models serve: the one that served at that time, by the store's history; before
    the history begins, the one of those that could have been trained by then that has seen most.

    Asked with bars of the same symbol that carry on those of the call before, it goes on from where it was.
    """

    def __init__(self, retraining: Retraining) -> None:
        self._retraining = retraining
        self._fallback = ServedModel.of(None, retraining.config)
        self._overnight: FrameArrays | None = None
        self._begin(None, "")

    def at(self, bars: pd.DataFrame, asof: pd.Timestamp, overnight_bars: pd.DataFrame | None = None) -> ServedModel:
        """The model that serves at `asof`; of `bars`, those that had ended by then are looked at, and no others.

        Bars are one symbol's, here and in `spans`; ``attrs["symbol"]`` says whose, or else the configuration does.
        Where it names several, they are those of many, indexed by (symbol, timestamp). `overnight_bars` are those of
        another symbol that tells of nights.
        """
        self._walk(bars, asof, overnight_bars)
        return self._models[bisect_right(self._moments, asof) - 1]

    def spans(
        self, bars: pd.DataFrame, last: pd.Timestamp, overnight_bars: pd.DataFrame | None = None
    ) -> Iterator[tuple[pd.Timestamp, pd.Timestamp | None, ServedModel]]:
        """Each model that serves until `last`, from when, and until when (None: on and on)."""
        self._walk(bars, last, overnight_bars)
        ends = [*self._moments[1:], None]
        yield from zip(self._moments, ends, self._models, strict=True)

    def _begin(self, bars: FrameArrays | None, symbol: str | None) -> None:
        self._bars, self._symbol = bars, symbol
        self._moments, self._models = [_BEGINNING], [self._fallback]
        self._due: list[pd.Timestamp] = []
        self._due_through = _BEGINNING
        self._retrained: pd.Timestamp | None = None
        # How many of each symbol's bars it rests on, and of those that tell of nights.
        self._used: dict[str | None, int] = {}
        self._used_overnight: dict[str | None, int] = {}

    def _walk(self, bars: pd.DataFrame, asof: pd.Timestamp, overnight_bars: pd.DataFrame | None) -> None:
        arrays, symbol = FrameArrays.of(bars, self._bars), self._retraining.symbol_of(bars)
        overnight = None if overnight_bars is None else FrameArrays.of(overnight_bars, self._overnight)
        if self._bars is None or symbol != self._symbol or not arrays.begins_with(self._bars, self._used):
            self._begin(arrays, symbol)
        if not self._nights_go_on(overnight):
            self._begin(arrays, symbol)
        self._bars, self._overnight = arrays, overnight
        self._retraining = replace(self._retraining, overnight_bars=overnight_bars)
        if self._retraining.policy.every is None:
            self._walk_store(asof)
            return
        first = first_start(bars)
        if asof > self._due_through:
            every, market = self._retraining.policy.every, self._retraining.config.effective_market
            moments = candidate_moments(every, first, asof + _LOOK_AHEAD, market)
            self._due += list(moments[moments > self._due_through])
            self._due_through = asof + _LOOK_AHEAD
        while self._due and self._due[0] <= asof:
            self._decide(bars, self._due.pop(0))

    def _nights_go_on(self, overnight: FrameArrays | None) -> bool:
        """Whether what it rests on of nights is in `overnight`, too."""
        before = self._overnight
        if before is None or overnight is None:
            return overnight is before
        return overnight.begins_with(before, self._used_overnight)

    def _decide(self, bars: pd.DataFrame, moment: pd.Timestamp) -> None:
        """Retrain at a moment that is due, if it is; the bars before it are those that this timeline rests on."""
        past = bars_until(bars, moment)
        if past.empty:
            return
        before, self._used = self._used, _counts(past)
        overnight = self._retraining.overnight_until(moment)
        self._used_overnight = _counts(overnight) if overnight is not None and len(overnight) else {}
        if self._used == before:  # In a hole of months the same model would come out again.
            return
        champion = self._models[-1] if self._models[-1].bundle is not None else None
        retraining = self._retraining
        decay = retraining.policy.every == "decay" and champion is not None
        if decay and not retraining.decay_calls(past, moment, self._models[-1], self._retrained):
            return
        served, outcome = retraining.run(past, moment, champion, simulated_time=True)
        if outcome.promoted and served is not None:
            self._moments.append(moment)
            self._models.append(served)
        if served is not None:
            self._retrained = moment

    def _walk_store(self, asof: pd.Timestamp) -> None:
        if asof <= self._due_through:
            return
        self._begin(self._bars, self._symbol)
        for moment, name in _store_timeline(self._retraining.store, self._symbol):
            try:
                model = ServedModel.of(self._retraining.store.load(name), self._retraining.config)
            except VolatilityError as error:
                self._retraining.failed(self._models[-1], moment, error, simulated_time=True)
                continue
            self._moments.append(moment)
            self._models.append(model)
        self._due_through = pd.Timestamp.max.tz_localize("UTC")


def _counts(bars: pd.DataFrame) -> dict[str | None, int]:
    return {name: rows.stop - rows.start for name, rows in FrameArrays.of(bars).symbols.items()}


def _store_timeline(store: ModelStore, symbol: str | None) -> list[tuple[pd.Timestamp, str]]:
    """Moments at which the serving model changed, and to which; a model never serves before what it has seen."""
    manifests = [
        manifest
        for manifest in store.list()
        if (manifest.get("trained_through") and symbol is None) or manifest.get("symbol") in (None, symbol)
    ]
    through = {manifest["name"]: pd.Timestamp(manifest["trained_through"]) for manifest in manifests}
    history = [entry for entry in store.history() if entry.asof is None]
    kept_out = {entry.name for entry in store.history() if entry.event == "kept out"}
    kept_out |= {manifest["name"] for manifest in manifests if is_condemned(manifest)}
    decided = [clock_of(DEFAULT_ZONE).moment(entry.since) for entry in history]
    timeline: list[tuple[pd.Timestamp, str]] = []
    for moment in sorted({*through.values(), *decided}):
        stack = serving_stack(history[: bisect_right(decided, moment)], through)
        able = [name for name, seen in through.items() if seen <= moment]
        free = [name for name in able if name not in kept_out]
        serving = stack[-1] if stack else max(free, key=lambda name: through[name], default=None)
        if serving is not None and serving in able and (not timeline or timeline[-1][1] != serving):
            timeline.append((moment, serving))
    return timeline
