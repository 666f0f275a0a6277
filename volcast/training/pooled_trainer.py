"""Training one model over many symbols: from bars to a saved model, judged symbol by symbol."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volcast.bars.checks import select_symbol
from volcast.bars.handler import DataHandler
from volcast.bars.quality import assess_quality, require_acceptable
from volcast.bars.symbols import for_each_symbol
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.evaluation.pooled import PooledEvaluation, evaluate_pooled
from volcast.features.fed_decisions import beyond_the_list
from volcast.forecasters.har_lstm.pooled import PooledHarLstm
from volcast.measures.hourly import get_hourly_measures
from volcast.networks.architectures import POOLED_BATCH_SIZE, POOLED_NETWORK, build_lstm_from_values
from volcast.networks.fitting import fit_network
from volcast.networks.keras_files import KerasNetwork
from volcast.networks.onnx import serving_network
from volcast.networks.schedule import Schedule, seed_of_network
from volcast.networks.tensorflow import compute_device
from volcast.progress import SilentProgress
from volcast.sessions import EXCHANGE_TIMEZONE, new_york_midnight
from volcast.store.bundle import ModelBundle, version_name
from volcast.store.store import ModelStore
from volcast.training.artifacts import pooled_artifacts
from volcast.training.data import data_provenance
from volcast.training.pooled import PooledParts, finished_pooled_recipe, pooled_targets
from volcast.training.result import PooledResult

if TYPE_CHECKING:
    import keras

__all__ = ["PooledTrainer"]


class PooledTrainer:
    """Trains one `har_lstm` over many symbols.

    Parameters
    ----------
    symbols
        Two at least; their spans may differ and have holes.
    config
        What `TrainingConfig` takes; None is `TRAINING_CONFIG`. Its ``symbol`` is not looked at.
    progress
        What shows the progress; None is silent.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        config: Mapping[str, Any] | TrainingConfig | None = None,
        *,
        progress: SilentProgress | None = None,
    ) -> None:
        self.symbols = list(dict.fromkeys(symbol.upper() for symbol in symbols))
        self.config = TrainingConfig.from_mapping(config)
        self.progress = progress or SilentProgress()
        if len(self.symbols) < 2:
            raise ConfigError(f"{len(self.symbols)} symbol(s) are given to pool; the rule is two at least; name more.")
        if self.config.effective_network != "har_lstm":
            raise ConfigError("a pooled model is of the network 'har_lstm' under the preset 'session'; leave both out.")

    def run_training_pipeline(self, bars: pd.DataFrame | None = None) -> PooledResult:
        """Bars, hourly measures, training, evaluation, saved model.

        Parameters
        ----------
        bars
            Bars of all symbols, indexed by (symbol, timestamp), in place of the configured source.

        Raises
        ------
        DataSourceError, BarsError, NotEnoughDataError
            No symbol can be trained on.
        TrainingError
            The losses of a network are not finite.
        """
        began = time.monotonic()
        provenance: dict[str, dict[str, Any]] = {}
        with self.progress:
            measures, failed = for_each_symbol(lambda name: self._measures(name, bars, provenance), self.symbols)
            parts = _parts(measures, self.config)
            targets = pooled_targets(measures, parts, self.config.memory)
            self.progress.say(
                f"{len(measures)} symbols, {len(targets.train[1]):,} windows to train, {len(targets.validation[1]):,} "
                f"to validate; the test part begins on {parts.test:%Y-%m-%d}."
            )
            self.progress.say(f"Computing on the {compute_device(self.config.engine)}.")
            if sentence := beyond_the_list(max(frame.index[-1] for frame in measures.values()).date()):
                self.progress.say(sentence)
            models = self._train(targets.train, targets.validation)
            served = [serving_network(model) for model in models]
            recipe = finished_pooled_recipe(targets.recipe, served, measures, parts)
            bundle = self._bundle(models, recipe, {name: provenance[name] for name in measures}, failed)
            evaluation = _judged(bundle, recipe, measures, parts)
            saved = self._save(bundle, evaluation)
        return PooledResult(saved, evaluation, failed, time.monotonic() - began)

    def _measures(self, symbol: str, bars: pd.DataFrame | None, provenance: dict[str, dict[str, Any]]) -> pd.DataFrame:
        config = self.config
        if bars is None:
            own = DataHandler.from_config(config).get_stock_bars(
                symbol, *config.requested_span, timeframe=config.data_frequency
            )
        else:
            own = select_symbol(bars, symbol)
        require_acceptable(assess_quality(own, symbol, calendar=config.calendar), accept=config.accept_quality)
        provenance[symbol] = data_provenance(own, symbol)
        return get_hourly_measures(
            own,
            tz=config.timezone,
            min_bucket_coverage=config.min_bucket_coverage,
            calendar=config.calendar,
            estimator=config.rv_estimator,
        )

    def _train(
        self, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
    ) -> "list[keras.Model]":
        import keras

        config, models = self.config, []
        for number in range(1, config.networks + 1):
            seed = seed_of_network(config.seed, number - 1)
            keras.utils.set_random_seed(seed)
            model = build_lstm_from_values(POOLED_NETWORK, config.memory, features=train[0].shape[2], config=config)
            schedule = Schedule(
                config.epochs, POOLED_BATCH_SIZE, config.early_stopping_patience, seed=seed, engine=config.engine
            )
            self.progress.training_began(config.epochs, number, config.networks)
            fit_network(model, train, validation, schedule, self.progress.epoch_ended)
            models.append(model)
        return models

    def _bundle(
        self,
        models: "list[keras.Model]",
        recipe: PooledHarLstm,
        provenance: Mapping[str, Any],
        failed: Mapping[str, str],
    ) -> ModelBundle:
        simulated = any(about["simulated"] for about in provenance.values())
        manifest = {
            "symbol": None,
            "symbols": {name: {**about, "trained_on": name in recipe.symbols} for name, about in provenance.items()},
            "failed": dict(failed),
            "simulated": simulated,
            "source": next(iter(provenance.values()))["source"],
            "horizon": 1,
            "seed": self.config.seed,
            "network": "pooled_har_lstm",
            "hyperparameters": dict(POOLED_NETWORK),
            "trained_through": recipe.shared.trained_through.isoformat(),
        }
        config = self.config if self.config.save_config else self.config.for_forecasting()
        networks = tuple(KerasNetwork(model) for model in models)
        name = version_name(f"pooled-{len(recipe.symbols)}", simulated=simulated)
        return ModelBundle(name, networks, recipe, config, manifest)

    def _save(self, bundle: ModelBundle, evaluation: PooledEvaluation) -> ModelBundle:
        store = ModelStore(self.config.model_save_path)
        saved = store.save(bundle, pooled_artifacts(bundle, evaluation))
        store.promote(saved.name, "newest training")
        return saved


def _parts(measures: Mapping[str, pd.DataFrame], config: TrainingConfig) -> PooledParts:
    """The last `test_split` of all buckets, or those from `test_from` on, for test; one date for all symbols."""
    labels = np.sort(np.concatenate([frame.index.as_unit("us").asi8 for frame in measures.values()]))
    if config.test_from is None:
        test = _midnight(labels[int(len(labels) * (1 - config.test_split)) - 1])
    else:
        test = new_york_midnight(config.test_from)
    before = labels[labels < test.timestamp() * 1e6]
    if not len(before) or len(before) == len(labels):
        raise NotEnoughDataError(
            f"all buckets lie on one side of {test:%Y-%m-%d}, where the test part begins; some must lie on each; "
            "change test_from or test_split, or give a longer span."
        )
    return PooledParts(_midnight(before[int(len(before) * (1 - config.validation_split)) - 1]), test)


def _midnight(microseconds: int) -> pd.Timestamp:
    return new_york_midnight(pd.Timestamp(int(microseconds), unit="us", tz="UTC").tz_convert(EXCHANGE_TIMEZONE))


def _judged(
    bundle: ModelBundle, recipe: PooledHarLstm, measures: Mapping[str, pd.DataFrame], parts: PooledParts
) -> PooledEvaluation:
    """On the test part of each symbol."""
    frames = recipe.with_market(measures)
    begins = {name: int(frame.index.searchsorted(parts.test)) for name, frame in frames.items()}
    known = {name: begin for name, begin in begins.items() if begin >= recipe.memory}
    positions = {name: np.arange(begin, len(frames[name])) for name, begin in known.items()}
    return evaluate_pooled(bundle, frames, positions)
