"""One retraining, in real time or in a backtest's: train a challenger, judge it, and write down what was decided."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length
from volcast.bars.provenance import data_provenance
from volcast.bars.symbols import cut_each_symbol, symbols_of
from volcast.config import Role, TrainingConfig
from volcast.errors import LookAheadError, ModelNotFoundError, VolatilityError
from volcast.files import file_name_of
from volcast.retraining.gate import has_decayed, judge
from volcast.retraining.policy import RetrainingPolicy, candidate_moments
from volcast.serving.served_model import ServedModel
from volcast.store.bundle import ModelBundle
from volcast.store.serving_log import Event, HistoryEntry
from volcast.store.store import ModelStore

__all__ = ["Retraining", "RetrainingOutcome", "bars_until", "first_start", "last_end"]


@dataclass(frozen=True)
class RetrainingOutcome:
    """What came of a retraining.

    Attributes
    ----------
    moment
        When it was due, market time.
    model_version
        The new model's name; None where there is none.
    promoted
        Whether it serves from then on.
    reason
        Why, in words.
    error
        What went wrong; None where nothing did.
    """

    moment: pd.Timestamp
    model_version: str | None
    promoted: bool
    reason: str
    error: VolatilityError | None = None


Hook = Callable[[RetrainingOutcome], None]
Train = Callable[[pd.DataFrame, str | None, str, pd.DataFrame | None], ModelBundle]
"""Trains on bars of a symbol (None: of the configured ones) and saves the model under a name; it does not serve yet.

Last come the bars of another symbol that tell of nights; None where there are none."""


@dataclass(frozen=True)
class Retraining:
    """How one forecaster retrains.

    Attributes
    ----------
    store
        Where models are and go.
    config
        What is trained.
    policy
        On which bars, and what the gate asks for.
    train
        Does the training.
    hook
        Is told of each outcome.
    overnight_bars
        Bars of another symbol that tell of nights, of which a training sees those that had ended; None where there are
        none.
    """

    store: ModelStore
    config: TrainingConfig
    policy: RetrainingPolicy
    train: Train
    hook: Hook
    overnight_bars: pd.DataFrame | None = None

    def run(
        self, bars: pd.DataFrame, moment: pd.Timestamp, champion: ServedModel | None, *, simulated_time: bool
    ) -> tuple[ServedModel | None, RetrainingOutcome]:
        """Train on `bars` that had ended by `moment`; returns what serves then, and what came of it.

        Bars are one symbol's, or, where the configuration names several, those of many.

        A model that the same settings and bars gave before is taken from the store. In simulated time nothing changes
        in what serves now; the history says what was decided all the same.
        """
        symbol = self.symbol_of(bars)
        window = self.policy.training_bars(bars, moment)
        try:
            name = self.name_of(window, moment, symbol)
            try:
                bundle = self.store.load(name)
            except ModelNotFoundError:
                bundle = self.train(window, symbol, name, self.overnight_until(moment))
        except VolatilityError as error:
            return champion, self.failed(champion, moment, error, simulated_time=simulated_time)
        return self.decide(bundle, bars, moment, champion, simulated_time=simulated_time)

    def decide(
        self,
        bundle: ModelBundle,
        bars: pd.DataFrame,
        moment: pd.Timestamp,
        champion: ServedModel | None,
        *,
        simulated_time: bool,
        symbol: str | None = None,
    ) -> tuple[ServedModel | None, RetrainingOutcome]:
        """Let the gate judge a trained model on `bars`; returns what serves from then on, and what was decided.

        `symbol` says which of several symbols in `bars` it was trained on; the others are the market of pooled models.
        """
        challenger = ServedModel.of(bundle, self.config)
        if challenger.trained_through is not None and challenger.trained_through > moment:
            raise LookAheadError(
                f"{challenger.version} has seen data through {challenger.trained_through} and was to serve from "
                f"{moment}; a model may serve after what it has seen alone; train it on bars that end earlier."
            )
        accept = self.config.accept_verdict
        decision = judge(
            champion,
            challenger,
            bars,
            self.policy,
            symbol,
            accept_verdict=accept,
            overnight_bars=self.overnight_bars,
        )
        details = {**decision.details, "scheduled_for": moment.isoformat()}
        event: Event = "promoted" if decision.promote else "kept out"
        asof = moment.isoformat() if simulated_time else None
        self._record(HistoryEntry.now(challenger.version, event, decision.reason, asof, details))
        outcome = RetrainingOutcome(moment, challenger.version, decision.promote, decision.reason)
        self.hook(outcome)
        return challenger if decision.promote else champion, outcome

    def failed(
        self, champion: ServedModel | None, moment: pd.Timestamp, error: VolatilityError, *, simulated_time: bool
    ) -> RetrainingOutcome:
        """Write down that a retraining failed, and tell the hook; what served serves on."""
        if champion is not None:
            asof = moment.isoformat() if simulated_time else None
            details = {"scheduled_for": moment.isoformat()}
            self._record(HistoryEntry.now(champion.version, "failed", str(error), asof, details))
        outcome = RetrainingOutcome(moment, None, False, "the retraining failed", error)
        self.hook(outcome)
        return outcome

    def moment_due(self, bars: pd.DataFrame, now: pd.Timestamp, champion: ServedModel | None) -> pd.Timestamp | None:
        """The schedule's last moment until `now` (real time), unless what came of it is known already."""
        first = first_start(bars)
        moments = candidate_moments(self.policy.every, first, now, self.config.effective_market)
        if not len(moments):
            return None
        moment = moments[-1]
        decided = [
            pd.Timestamp(entry.details["scheduled_for"])
            for entry in self.store.history()
            if entry.asof is None and entry.details and "scheduled_for" in entry.details
        ]
        last_bar = None if champion is None or champion.bundle is None else champion.bundle.last_bar
        if last_bar is not None:
            decided.append(last_bar)
        if any(decision >= moment for decision in decided):
            return None
        if self.policy.every == "decay" and champion is not None:
            latest = max(decided, default=None)
            return moment if self.decay_calls(bars_until(bars, moment), moment, champion, latest) else None
        return moment

    def decay_calls(
        self, bars: pd.DataFrame, moment: pd.Timestamp, champion: ServedModel, latest: pd.Timestamp | None
    ) -> bool:
        """Whether the champion has decayed, and a whole window has gone by since the retraining before (`latest`)."""
        market = self.config.effective_market
        rest = pd.Timedelta(days=self.policy.decay_window(market) / (market.buckets_per_week / 7))
        if latest is not None and moment - latest < rest:
            return False
        return has_decayed(champion, bars, self.policy, self.overnight_bars)

    def overnight_until(self, moment: pd.Timestamp) -> pd.DataFrame | None:
        """The bars that tell of nights and had ended by `moment`; None where no bars tell of them."""
        return None if self.overnight_bars is None else bars_until(self.overnight_bars, moment)

    def symbol_of(self, bars: pd.DataFrame) -> str | None:
        """Symbol of the bars, or else the configuration's; None of bars of the several that it names."""
        if isinstance(bars.index, pd.MultiIndex):
            return None
        return str(bars.attrs.get("symbol") or self.config.symbol)

    def name_of(self, window: pd.DataFrame, moment: pd.Timestamp, symbol: str | None) -> str:
        """Name of the model of these bars and this moment: equal for equal settings, so that none is trained twice."""
        settings = self.config.identity(Role.FORECAST, Role.SEARCH, Role.TRAINING)
        names = symbols_of(window)
        of_each = {name: data_provenance(cast(pd.DataFrame, window.xs(name)), name)["sha256"] for name in names}
        about = {"settings": settings, "bars": of_each or data_provenance(window, str(symbol))["sha256"]}
        overnight = self.overnight_until(moment)
        if overnight is not None and len(overnight):
            about["overnight"] = data_provenance(overnight, str(self.config.overnight_symbol))["sha256"]
        subject = file_name_of(symbol) if symbol else f"pooled-{len(names)}"
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        simulated = "SIMULATED-" if window.attrs.get("simulated") else ""
        return f"{simulated}{subject}-{moment:%Y%m%d}-{digest[:10]}"

    def _record(self, entry: HistoryEntry) -> None:
        """Once: a backtest that is run again decides the same again."""
        decided = ((old.name, old.event, old.asof) for old in self.store.history())
        if entry.asof is None or (entry.name, entry.event, entry.asof) not in decided:
            self.store.record(entry)


def bars_until(bars: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    """The bars that had ended by `moment`, of each symbol where there are many."""

    def ended(part: pd.DataFrame) -> pd.DataFrame:
        started = time_index(part)[: part.index.searchsorted(moment, side="right")]
        return part.iloc[: started.searchsorted(moment - bar_length(started), side="right")]

    return cut_each_symbol(bars, ended)


def first_start(bars: pd.DataFrame) -> pd.Timestamp:
    """When the first of the bars began, of any symbol, in UTC."""
    return pd.DatetimeIndex(bars.index.get_level_values(-1)).min().tz_convert("UTC")


def last_end(bars: pd.DataFrame) -> pd.Timestamp:
    """When the last of the bars ended, of any symbol, in UTC."""
    stamps = [time_index(bars.xs(name)) for name in symbols_of(bars)] or [time_index(bars)]
    return max(index[-1] + bar_length(index) for index in stamps).tz_convert("UTC")
