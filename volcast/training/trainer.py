"""Training on the user's own machine: the trainer, usable step by step in a notebook, and the command line.

Shell: ``python local_training.py --help``.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.bars.handed_over import HandedOverBars
from volcast.bars.overnight import checked_overnight_bars
from volcast.bars.provenance import data_provenance
from volcast.config import TrainingConfig
from volcast.configured import bars_of, overnight_bars_of
from volcast.errors import ConfigError, TrainingError
from volcast.evaluation.evaluation import Evaluation, evaluate_bundle
from volcast.features.fed_decisions import beyond_the_list
from volcast.features.known_days import beyond_known_days
from volcast.features.windows import prepare_lstm_sequences, require_windows
from volcast.files import file_name_of
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.markets.names import DEFAULT_MARKET
from volcast.networks.architectures import HAR_LSTM_NETWORK, build_lstm_model_fast
from volcast.networks.keras_files import KerasNetwork
from volcast.networks.onnx import serving_network
from volcast.networks.schedule import seed_of_network
from volcast.networks.tensorflow import compute_device
from volcast.progress import SilentProgress
from volcast.search.search import SearchResult, discard_search, search_directory, search_hyperparameters
from volcast.store.bundle import ModelBundle, version_name
from volcast.store.store import ModelStore
from volcast.training.artifacts import describe_companions, describe_data, training_artifacts
from volcast.training.data import TrainingData, finished_recipe, prepare_training_data
from volcast.training.ensemble import Ensemble
from volcast.training.one_network import History, begun_network
from volcast.training.result import TrainingResult
from volcast.training.totals import learnt_totals

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
Days = tuple[date | None, date | None]


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
    require_windows(X_train, y_train, "train")
    if (X_val is None) != (y_val is None):
        raise ConfigError("only one of X_val and y_val is given; give both, or none to take the last part of X_train.")
    if X_val is None or y_val is None:
        first = int(np.floor(len(X_train) * (1.0 - settings.validation_split)))
        X_train, X_val, y_train, y_val = X_train[:first], X_train[first:], y_train[:first], y_train[first:]
        require_windows(X_train, y_train, "train")
    require_windows(X_val, y_val, "val", X_train.shape[1:])
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
    known_days
        Days of your own that are known ahead, such as of earnings, beside those that `config` names; see
        `features.known_days.known_days_in`.
    ray_address
        A Ray cluster, HOST:PORT, whose machines train the networks of a `har_lstm`, each for itself: the model is the
        same. None trains them in this process.

    Raises
    ------
    ConfigError
        `config` is none, or has a network that is searched for, beside a `ray_address`.

    Examples
    --------
    >>> trainer = LocalLSTMTrainer({"symbol": "SPY", "max_trials": 3})
    >>> data = trainer.prepare_data(bars=bars)  # doctest: +SKIP
    >>> model = trainer.build_model({"n_layers": 1, "units_0": 48, "lr": 0.005})  # doctest: +SKIP
    >>> history = trainer.train_model(data.X_train, data.y_train, data.X_val, data.y_val)  # doctest: +SKIP
    >>> trainer.evaluate_model(data.X_test, data.y_test).verdict  # doctest: +SKIP
    """

    def __init__(
        self,
        config: Mapping[str, Any] | TrainingConfig | None = None,
        *,
        progress: SilentProgress | None = None,
        known_days: pd.DataFrame | None = None,
        ray_address: str | None = None,
    ) -> None:
        self.config = TrainingConfig.from_mapping(config)
        self.progress = progress or SilentProgress()
        self._ray_address = ray_address
        if ray_address is not None and not self._is_har_lstm:
            raise ConfigError(
                f"the trials of a search (network {self.config.effective_network!r}) are not sent to Ray, but to "
                "workers; the networks of a har_lstm are; use --chief and --worker, or leave --ray out."
            )
        self._known_days = known_days
        self.data: TrainingData | None = None
        self.models: list[keras.Model] = []
        self.histories: list[History] = []
        self.search_result: SearchResult | None = None

    def prepare_data(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
        *,
        overnight_bars: pd.DataFrame | None = None,
    ) -> TrainingData:
        """Get bars (unless given), and make of them what a network is trained, selected and tested on.

        Parameters
        ----------
        symbol
            None takes the configuration's.
        start_date, end_date
            Days of the market, both included. None is the configuration's, and leaves `bars` as they are on that side.
        bars
            Bars to use instead of the configured source, cut to the days given here: one symbol's, or alpaca-py's
            layout, indexed by (symbol, timestamp), with the symbols in it that are to be trained on.
        overnight_bars
            Bars of another symbol, such as the future on an index, of which nights are measured in place of the bars'
            own. None takes those of the configuration's ``overnight_symbol``, if it names one.

        Raises
        ------
        ConfigError
            Several symbols are to be trained on, and the bars are one symbol's; or nobody says whose bars tell of
            nights, or what is trained sees none.
        BarsError, NotEnoughDataError, DataSourceError
            Why there is nothing to train on.
        """
        changes: dict[str, Any] = {} if symbol is None else {"symbol": symbol, "symbols": ()}
        days = {"start_date": start_date, "end_date": end_date} if bars is None else {}
        changes |= {name: day for name, day in days.items() if day is not None}
        self.config = self.config.with_overrides(**changes)
        symbols = self.config.symbols or (self.config.symbol,)
        # One symbol that nobody named is whichever the bars are of.
        is_named = symbol is not None or bool(self.config.symbols)
        handed_over = None if bars is None else HandedOverBars.of(bars, symbols if is_named else ())
        self._settle_market(handed_over)
        overnight = self._settle_overnight(overnight_bars)
        first, last = self._days_to_cut(start_date, end_date)

        def get_bars(name: str) -> pd.DataFrame:
            if handed_over is None:
                return bars_of(self.config, name, progress=self.progress)
            return handed_over.of_symbol(name, first, last, self.config.effective_market)

        companion_bars = self._companion_bars if self.config.companions else None
        self.data = prepare_training_data(get_bars, symbols, self.config, companion_bars, self._known_days, overnight)
        if companion_bars is not None:
            self.progress.say(describe_companions(self.data))
        return self.data

    def _companion_bars(self, symbol: str, last: date) -> pd.DataFrame:
        return bars_of(self.config.with_overrides(start_date=min(self.config.start_date, last), end_date=last), symbol)

    def _settle_overnight(self, bars: pd.DataFrame | None) -> SymbolBars | None:
        """The bars that tell of nights, and whose they are written down."""
        if bars is None:
            configured = overnight_bars_of(self.config, self.config.overnight_symbol, self.progress)
            return None if configured is None else checked_overnight_bars(configured, self.config.overnight_symbol)
        overnight = checked_overnight_bars(bars, self.config.overnight_symbol)
        if overnight.symbol is None:
            raise ConfigError(
                "overnight_bars do not say whose they are; a model remembers whose nights it has seen; set "
                "overnight_bars.attrs['symbol'] = 'NQ', or the setting overnight_symbol."
            )
        self.config = self.config.with_overrides(overnight_symbol=overnight.symbol)
        return overnight

    def _settle_market(self, handed_over: HandedOverBars | None) -> None:
        """Write the market down that the configuration leaves open: what the symbol's name tells, or the bars."""
        if self.config.market is not None:
            return
        name = self.config.market_name
        if handed_over is not None:
            name = handed_over.market_name(name)
        self.config = self.config.with_overrides(market=name)
        if name != DEFAULT_MARKET:
            market = self.config.effective_market
            self.progress.say(f"Sessions, hours and days are those of {name} ({market.title}); --market takes another.")

    def _days_to_cut(self, start_date: str | date | None, end_date: str | date | None) -> Days:
        """The days that bars are cut to, held to the configuration's rules; its own days say what to fetch."""
        first, last = start_date or end_date, end_date or start_date
        if first is None:
            return None, None
        checked = self.config.with_overrides(start_date=first, end_date=last)
        return checked.start_date if start_date else None, checked.end_date if end_date else None

    def build_model(self, hyperparams: Mapping[str, Any] = HAR_LSTM_NETWORK) -> "keras.Model":
        """The untrained, compiled network of `hyperparams`, initialized by the configured seed; it replaces others."""
        self.models, self.histories = [self._new_network(hyperparams, self.config.seed)], []
        return self.models[0]

    def _new_network(self, hyperparams: Mapping[str, Any], seed: int) -> "keras.Model":
        _, window, features = next(iter(self._prepared_data().windows.values())).shape
        if not features:
            raise ConfigError(
                "the bars are longer than five minutes, and the networks of a har_lstm see steps of five; there is "
                "nothing for them to see; train the roadmap's network (network='roadmap'), or take shorter bars."
            )
        return begun_network(self.config, hyperparams, seed, window, features)

    @property
    def _is_har_lstm(self) -> bool:
        return self.config.effective_network == "har_lstm"

    def train_model(self, X_train: np.ndarray, y_train: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> History:
        """Train the built network with early stopping, best weights restored; returns ``loss`` and ``val_loss``.

        Raises
        ------
        TrainingError
            There is no built network, or its losses are not finite.
        ConfigError
            The arrays are none that it takes.
        """
        shape = self._built_models()[-1].input_shape[1:]
        require_windows(X_train, y_train, "train", shape)
        require_windows(X_val, y_val, "val", shape)
        models, train, validation = self._built_models()[-1:], (X_train, y_train), (X_val, y_val)
        (history,) = Ensemble(
            models, [self.config.seed], train, validation, self.config, self.progress
        ).train_side_by_side()
        self.histories.append(history)
        return history

    def evaluate_model(self, X_val: np.ndarray | None = None, y_val: np.ndarray | None = None) -> Evaluation:
        """Judge the trained model beside the baselines on windows of the prepared data; None is its test part.

        Raises
        ------
        ConfigError
            `y_val` is no part of the prepared data, so the buckets that it belongs to are unknown.
        """
        data = self._prepared_data()
        part = "test" if y_val is None else data.part_of(y_val)
        if part is None:
            raise ConfigError(
                "the targets given are no part of the prepared data; the buckets they belong to must be known; "
                "pass data.X_val, data.y_val or data.X_test, data.y_test as prepare_data returned them."
            )
        return self._evaluated(self._bundle(), part)

    def _evaluated(self, bundle: ModelBundle, part: str) -> Evaluation:
        data = self._prepared_data()
        judged = data.measures if data.subject is None else {data.subject: data.measures[data.subject]}
        return evaluate_bundle(bundle, bundle.recipe.with_market(judged), data.positions(part))

    def save_model(self, name: str | None = None) -> ModelBundle:
        """Evaluate the trained model on the test part and save it, with all that explains it, in the store.

        It serves there from then on, unless its verdict is not to use it (setting ``accept_verdict``).
        """
        bundle = self._evaluate_and_save(name)[0]
        self._admit(bundle)
        return bundle

    def _admit(self, bundle: ModelBundle) -> bool:
        store = ModelStore(self.config.model_save_path)
        return store.admit(bundle, "newest training", accept_verdict=self.config.accept_verdict)

    def _evaluate_and_save(self, name: str | None) -> tuple[ModelBundle, Evaluation]:
        data, bundle = self._prepared_data(), self._bundle()
        evaluation = self._evaluated(bundle, "test")
        manifest = {**bundle.manifest, "evaluation": evaluation.to_dict()}
        store = ModelStore(self.config.model_save_path)
        attachments = training_artifacts(bundle, data, evaluation, self.histories, self.search_result)
        saved = store.save(replace(bundle, name=name or bundle.name, manifest=manifest), attachments)
        return saved, evaluation

    def run_training_pipeline(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
        *,
        overnight_bars: pd.DataFrame | None = None,
        name: str | None = None,
        promote: bool = True,
    ) -> TrainingResult:
        """Bars, hourly measures, search, training, evaluation, saved model; parameters as in `prepare_data`.

        `name` is the model's, None makes one; `promote` says whether it serves from then on in its store, if its
        verdict lets it (setting ``accept_verdict``). Nothing is saved unless all of it succeeds; an interrupted search
        goes on at the next call.
        """
        began = time.monotonic()
        with self.progress:
            data = self.prepare_data(symbol, start_date, end_date, bars, overnight_bars=overnight_bars)
            self.progress.say(describe_data(data, self.config))
            self.progress.say(f"Computing on the {compute_device(self.config.engine)}.")
            train, validation = (data.X_train, data.y_train), (data.X_val, data.y_val)
            if self._is_har_lstm:
                last = max(frame.index[-1] for frame in data.measures.values()).date()
                for sentence in (beyond_the_list(last), beyond_known_days(self.config.known_days, last)):
                    if sentence:
                        self.progress.say(sentence)
                self._train_ensemble(train, validation)
            else:
                self._search_and_train(train, validation)
            saved, evaluation = self._evaluate_and_save(name)
            serves = promote and self._admit(saved)
        if self.search_result is not None:
            discard_search(search_directory(self.config, train, validation))
        seconds = time.monotonic() - began
        return TrainingResult(saved, evaluation, self.search_result, data, self.histories, seconds, serves)

    def _train_ensemble(self, train: Arrays, validation: Arrays) -> None:
        """The networks of a `har_lstm`, which differ by their seeds alone; none of bars that show them nothing."""
        self.models, self.histories = [], []
        if not train[0].shape[2]:
            self.progress.say(
                "The bars are longer than the five minutes that networks see: the regression serves alone."
            )
            return
        seeds = [seed_of_network(self.config.seed, number) for number in range(self.config.networks)]
        self.models = [self._new_network(HAR_LSTM_NETWORK, seed) for seed in seeds]
        ensemble = Ensemble(self.models, seeds, train, validation, self.config, self.progress)
        if self._ray_address is None:
            self.histories = ensemble.train_side_by_side()
        else:
            self.histories = ensemble.train_on_ray(self._ray_address)

    def _search_and_train(self, train: Arrays, validation: Arrays) -> None:
        self.search_result = search_hyperparameters(self.config, train, validation, self.progress)
        if self.config.preset == "colab":
            self.models, self.histories = [self.search_result.best_model], []
        else:
            self.build_model(self.search_result.best_hyperparameters)
            self.train_model(*train, *validation)

    def _bundle(self) -> ModelBundle:
        data = self._prepared_data()
        models = self._built_models() if data.X_train.shape[2] else []
        # Their twins in ONNX Runtime: Keras would trace a graph for each number of windows.
        recipe = finished_recipe(data, [serving_network(model) for model in models])
        adds_nothing = isinstance(recipe, HarLstm) and not recipe.weight.supported
        networks = () if adds_nothing else tuple(KerasNetwork(model) for model in models)
        symbols, trained_on = list(data.measures), recipe.symbols if isinstance(recipe, HarLstm) else data.measures
        manifest = {
            "symbol": data.subject,
            "symbols": {name: {**about, "trained_on": name in trained_on} for name, about in data.provenance.items()},
            "failed": dict(data.failed),
            "overnight": None if data.overnight is None else _provenance_of_nights(data.overnight),
            "source": data.provenance[symbols[0]]["source"],
            "simulated": data.simulated,
            "horizon": 1,
            "seed": self.config.seed,
            "trained_through": data.trained_through.isoformat(),
            "network": self.config.effective_network,
            "hyperparameters": None if self.search_result is None else self.search_result.best_hyperparameters,
        }
        config = self.config if self.config.save_config else self.config.for_forecasting()
        subject = f"pooled-{len(trained_on)}" if data.subject is None else file_name_of(data.subject)
        name = version_name(subject, simulated=data.simulated)
        totals = learnt_totals(data.measures, data.trained_through, config.effective_market)
        return ModelBundle(name, networks, recipe, config, manifest, totals=totals)

    def _prepared_data(self) -> TrainingData:
        if self.data is None:
            raise TrainingError("there are no prepared data; they come first; call prepare_data().")
        return self.data

    def _built_models(self) -> "list[keras.Model]":
        if not self.models:
            raise TrainingError("there is no built network; it comes first; call build_model(hyperparams).")
        return self.models


def _provenance_of_nights(overnight: SymbolBars) -> dict[str, Any]:
    return data_provenance(overnight.frame, str(overnight.symbol))
