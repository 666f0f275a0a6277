"""Training on the user's own machine: the trainer, usable step by step in a notebook, and the command line.

Shell: ``python local_training.py --help``.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.bars.handler import DataHandler
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, TrainingError
from volcast.evaluation.bundles import evaluate_bundle
from volcast.evaluation.evaluation import Evaluation
from volcast.features.fed_decisions import beyond_the_list
from volcast.features.windows import prepare_lstm_sequences
from volcast.networks.architectures import (
    HAR_LSTM_BATCH_SIZE,
    HAR_LSTM_NETWORK,
    architecture_of,
    build_from_values,
    build_lstm_model_fast,
)
from volcast.networks.fitting import fit_network
from volcast.networks.keras_files import KerasNetwork
from volcast.networks.onnx import serving_network
from volcast.networks.schedule import Schedule, seed_of_network
from volcast.networks.tensorflow import compute_device
from volcast.progress import SilentProgress
from volcast.search.search import SearchResult, discard_search, search_directory, search_hyperparameters
from volcast.store.bundle import ModelBundle, version_name
from volcast.store.store import ModelStore
from volcast.training.artifacts import describe_data, training_artifacts
from volcast.training.data import TrainingData, finished_recipe, prepare_training_data
from volcast.training.result import TrainingResult

if TYPE_CHECKING:
    import keras

__all__ = [
    "LocalLSTMTrainer",
    "SearchResult",
    "build_lstm_model_fast",
    "prepare_lstm_sequences",
    "train_with_hyperparameter_tuning",
]

Arrays = tuple[np.ndarray, np.ndarray]


def train_with_hyperparameter_tuning(
    X_train: np.ndarray,
    y_train: np.ndarray,
    X_val: np.ndarray | None = None,
    y_val: np.ndarray | None = None,
    config: Mapping[str, Any] | TrainingConfig | None = None,
    *,
    progress: SilentProgress | None = None,
) -> SearchResult:
    """Search for the best network with Keras Tuner.

    Parameters
    ----------
    X_train, y_train
        Scaled windows, shape (n, memory, 1), and targets, shape (n,), in time order.
    X_val, y_val
        What the trials are judged on; None takes the last ``validation_split`` of the training windows, as Keras does.
    config
        Space, tuner, schedule and seed; None is `TRAINING_CONFIG`.
    progress
        What shows the progress; None is silent.

    Raises
    ------
    ConfigError
        The arrays' shapes do not fit each other, or only one of `X_val` and `y_val` is given.
    TrainingError
        No trial ended with a usable network.
    """
    settings = TrainingConfig.from_mapping(config)
    if X_train.ndim != 3 or X_train.shape[:1] != y_train.shape:
        raise ConfigError(
            f"X_train has shape {X_train.shape} and y_train {y_train.shape}; the rule is (n, memory, 1) and (n,); "
            "prepare_lstm_sequences makes them."
        )
    if (X_val is None) != (y_val is None):
        raise ConfigError("only one of X_val and y_val is given; give both, or none to take the last part of X_train.")
    if X_val is None or y_val is None:
        first = int(np.floor(len(X_train) * (1.0 - settings.validation_split)))
        X_train, X_val, y_train, y_val = X_train[:first], X_train[first:], y_train[:first], y_train[first:]
    settings = settings.with_overrides(memory=X_train.shape[1])
    return search_hyperparameters(settings, (X_train, y_train), (X_val, y_val), progress)


class LocalLSTMTrainer:
    """Trains the volatility network on this machine, from bars to a saved model.

    Each step can be called alone; `run_training_pipeline` calls them all.

    Parameters
    ----------
    config
        What `TrainingConfig` takes; None is `TRAINING_CONFIG`.
    progress
        What shows the progress; None is silent.

    Examples
    --------
    >>> trainer = LocalLSTMTrainer({"symbol": "SPY", "max_trials": 3})
    >>> data = trainer.prepare_data(bars=bars)  # doctest: +SKIP
    >>> model = trainer.build_model({"n_layers": 1, "units_0": 48, "lr": 0.005})  # doctest: +SKIP
    >>> history = trainer.train_model(data.X_train, data.y_train, data.X_val, data.y_val)  # doctest: +SKIP
    >>> trainer.evaluate_model(data.X_test, data.y_test).verdict  # doctest: +SKIP
    """

    def __init__(
        self, config: Mapping[str, Any] | TrainingConfig | None = None, *, progress: SilentProgress | None = None
    ) -> None:
        self.config = TrainingConfig.from_mapping(config)
        self.progress = progress or SilentProgress()
        self.data: TrainingData | None = None
        self.models: list[keras.Model] = []
        self.histories: list[dict[str, list[float]]] = []
        self.search_result: SearchResult | None = None

    def prepare_data(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
    ) -> TrainingData:
        """Get bars (unless given), and make of them what a network is trained, selected and tested on.

        Parameters
        ----------
        symbol, start_date, end_date
            None takes the configuration's.
        bars
            Bars to use instead of the configured source: one symbol's, or alpaca-py's layout with `symbol` in it.

        Raises
        ------
        BarsError, NotEnoughDataError, DataSourceError
            Why there is nothing to train on.
        """
        given = {"symbol": symbol, "start_date": start_date, "end_date": end_date}
        self.config = self.config.with_overrides(**{name: value for name, value in given.items() if value is not None})
        if bars is None:
            bars = DataHandler.from_config(self.config, self.progress).get_stock_bars(
                self.config.symbol, *self.config.requested_span, timeframe=self.config.data_frequency
            )
        self.data = prepare_training_data(bars, self.config, symbol)
        return self.data

    def build_model(self, hyperparams: Mapping[str, Any] = HAR_LSTM_NETWORK) -> "keras.Model":
        """The untrained, compiled network of `hyperparams`, initialized by the configured seed; it replaces others."""
        self.models, self.histories = [self._new_network(hyperparams, self.config.seed)], []
        return self.models[0]

    def _new_network(self, hyperparams: Mapping[str, Any], seed: int) -> "keras.Model":
        import keras

        keras.utils.set_random_seed(seed)
        features = self._prepared_data().X.shape[2]
        architecture = architecture_of(self.config)
        return build_from_values(architecture, hyperparams, self.config.memory, features=features, config=self.config)

    def train_model(
        self, X_train: np.ndarray, y_train: np.ndarray, X_val: np.ndarray, y_val: np.ndarray
    ) -> dict[str, list[float]]:
        """Train the built network with early stopping, best weights restored; returns ``loss`` and ``val_loss``.

        Raises
        ------
        TrainingError
            There is no built network, or its losses are not finite.
        """
        self.progress.training_began(self.config.epochs, 1, 1)
        self.histories.append(
            self._trained(self._built_models()[-1], (X_train, y_train), (X_val, y_val), self.config.seed)
        )
        return self.histories[-1]

    def _trained(self, model: "keras.Model", train: Arrays, validation: Arrays, seed: int) -> dict[str, list[float]]:
        config = self.config
        batch_size = HAR_LSTM_BATCH_SIZE if config.effective_network == "har_lstm" else config.batch_size
        schedule = Schedule(config.epochs, batch_size, config.early_stopping_patience, seed=seed, engine=config.engine)
        return fit_network(model, train, validation, schedule, self.progress.epoch_ended)

    def evaluate_model(self, X_val: np.ndarray | None = None, y_val: np.ndarray | None = None) -> Evaluation:
        """Judge the trained model beside the baselines on windows of the prepared data; None is its test part.

        Raises
        ------
        ConfigError
            `y_val` is no part of the prepared data, so the buckets that it belongs to are unknown.
        """
        data = self._prepared_data()
        y_val = data.y_test if y_val is None else y_val
        labels = data.labels_of(y_val)
        if labels is None:
            raise ConfigError(
                "the targets given are no part of the prepared data; the buckets they belong to must be known; "
                "pass data.X_val, data.y_val or data.X_test, data.y_test as prepare_data returned them."
            )
        first = data.rv.index.get_loc(labels[0])
        return self._evaluated(self._bundle(), np.arange(first, first + len(labels)))

    def _evaluated(self, bundle: ModelBundle, positions: npt.NDArray[np.int64]) -> Evaluation:
        return evaluate_bundle(bundle, self._prepared_data().measures, positions)

    def save_model(self, name: str | None = None) -> ModelBundle:
        """Evaluate the trained model on the test part and save it, with all that explains it, in the store."""
        return self._evaluate_and_save(name)[0]

    def _evaluate_and_save(self, name: str | None = None, *, promote: bool = True) -> tuple[ModelBundle, Evaluation]:
        data, bundle = self._prepared_data(), self._bundle()
        evaluation = self._evaluated(bundle, np.arange(data.split.test.start, data.split.test.stop))
        manifest = {**bundle.manifest, "evaluation": evaluation.to_dict()}
        store = ModelStore(self.config.model_save_path)
        attachments = training_artifacts(bundle, data, evaluation, self.histories, self.search_result, self.config)
        saved = store.save(replace(bundle, name=name or bundle.name, manifest=manifest), attachments)
        if promote:
            store.promote(saved.name, "newest training")
        return saved, evaluation

    def run_training_pipeline(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
        *,
        name: str | None = None,
        promote: bool = True,
    ) -> TrainingResult:
        """Bars, hourly measures, search, training, evaluation, saved model; parameters as in `prepare_data`.

        `name` is the model's, None makes one; `promote` says whether it serves from then on in its store. Nothing is
        saved unless all of it succeeds; an interrupted search goes on at the next call.
        """
        began = time.monotonic()
        with self.progress:
            data = self.prepare_data(symbol, start_date, end_date, bars)
            self.progress.say(describe_data(data, self.config))
            self.progress.say(f"Computing on the {compute_device(self.config.engine)}.")
            train, validation = (data.X_train, data.y_train), (data.X_val, data.y_val)
            if self.config.effective_network == "har_lstm":
                if sentence := beyond_the_list(data.measures.index[-1].date()):
                    self.progress.say(sentence)
                self._train_ensemble(train, validation)
            else:
                self._search_and_train(train, validation)
            saved, evaluation = self._evaluate_and_save(name, promote=promote)
        if self.search_result is not None:
            discard_search(search_directory(self.config, train, validation))
        return TrainingResult(saved, evaluation, self.search_result, data, self.histories, time.monotonic() - began)

    def _train_ensemble(self, train: Arrays, validation: Arrays) -> None:
        """The networks of a `har_lstm`, which differ by their seeds alone."""
        seeds = [seed_of_network(self.config.seed, number) for number in range(self.config.networks)]
        self.models = [self._new_network(HAR_LSTM_NETWORK, seed) for seed in seeds]
        self.histories = []
        for number, (model, seed) in enumerate(zip(self.models, seeds, strict=True), start=1):
            self.progress.training_began(self.config.epochs, number, len(seeds))
            self.histories.append(self._trained(model, train, validation, seed))

    def _search_and_train(self, train: Arrays, validation: Arrays) -> None:
        self.search_result = search_hyperparameters(self.config, train, validation, self.progress)
        if self.config.preset == "colab":
            self.models, self.histories = [self.search_result.best_model], []
        else:
            self.build_model(self.search_result.best_hyperparameters)
            self.train_model(*train, *validation)

    def _bundle(self) -> ModelBundle:
        data = self._prepared_data()
        models = self._built_models()
        networks = tuple(KerasNetwork(model) for model in models)
        # Their twins in ONNX Runtime: Keras would trace a graph for each number of windows.
        recipe = finished_recipe(data, [serving_network(model) for model in models])
        manifest = {
            **data.provenance,
            "horizon": 1,
            "seed": self.config.seed,
            "trained_through": data.trained_through.isoformat(),
            "network": self.config.effective_network,
            "hyperparameters": None if self.search_result is None else self.search_result.best_hyperparameters,
        }
        config = self.config if self.config.save_config else self.config.for_forecasting()
        name = version_name(data.provenance["symbol"], simulated=data.provenance["simulated"])
        return ModelBundle(name, networks, recipe, config, manifest)

    def _prepared_data(self) -> TrainingData:
        if self.data is None:
            raise TrainingError("there are no prepared data; they come first; call prepare_data().")
        return self.data

    def _built_models(self) -> "list[keras.Model]":
        if not self.models:
            raise TrainingError("there is no built network; it comes first; call build_model(hyperparams).")
        return self.models
