"""The forecaster that runs inside a backtest: forecasts, swaps models while it runs, and trains new ones."""

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.bars.checks import validate_bars
from volcast.bars.frames import as_bars_frame
from volcast.bars.layouts import Frame, FrameLayout
from volcast.bars.overnight import checked_overnight_bars
from volcast.bars.symbols import cut_each_symbol, symbols_of
from volcast.config import TrainingConfig
from volcast.configured import bars_of, overnight_bars_of
from volcast.errors import BarsError, ConfigError, ModelKeptOutWarning, ModelNotFoundError, VolatilityError
from volcast.forecasters.horizons import Horizon, Kind, horizon_named, kind_of
from volcast.markets.market import TradingMarket
from volcast.reprs import OneLineRepr
from volcast.retraining.background import ProgressHook, RetrainingJob
from volcast.retraining.policy import RetrainingPolicy
from volcast.retraining.retraining import Retraining, RetrainingOutcome, bars_until, last_end
from volcast.retraining.timeline import ModelTimeline
from volcast.serving.panel import panel_forecasts
from volcast.serving.served_model import FALLBACK, Forecast, ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams
from volcast.store.bundle import CONDEMNED
from volcast.store.colab import colab_bundle
from volcast.store.store import ModelBundle, ModelStore

if TYPE_CHECKING:
    from volcast.progress import SilentProgress
    from volcast.training.result import TrainingResult

__all__ = ["FALLBACK", "Forecast", "VolatilityForecaster"]

_Moment: TypeAlias = str | date | pd.Timestamp
_Models: TypeAlias = Literal["serving", "as-of"]
_MOST_TO_ROLL_BACK = 4


class VolatilityForecaster(OneLineRepr):
    """Forecasts the volatility of the next hourly bucket.

    Parameters
    ----------
    model_path
        A saved model's directory, a model's name in the store, or the ``.h5`` of a Colab pair. None takes the model
        that serves in the store (the newest, unless another was promoted), or, in an empty store, the fallback;
        ``"ewma"`` asks for the fallback: a deseasonalized EWMA of the bars themselves.
    retraining_config
        What `TrainingConfig` takes, for all trainings, its ``model_save_path`` being the store; and what
        `RetrainingPolicy` takes, such as ``{"every": "month", "window": 365, "gate": "better"}``.
    on_retraining
        Is told of each scheduled or asynchronous retraining: a `RetrainingOutcome`, failures included.

    Examples
    --------
    >>> forecaster = VolatilityForecaster("ewma")
    >>> forecaster.model_info()["is_fallback"]
    True
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        retraining_config: Mapping[str, Any] | TrainingConfig | None = None,
        *,
        on_retraining: Callable[[RetrainingOutcome], None] | None = None,
    ) -> None:
        policy = RetrainingPolicy()
        if isinstance(retraining_config, Mapping):
            policy, retraining_config = RetrainingPolicy.split(retraining_config)
        self._set_up(TrainingConfig.from_mapping(retraining_config), policy, on_retraining or _say_nothing)
        # One reference holds networks, recipe and configuration: whoever forecasts reads it once.
        self._serving = ServedModel.of(self._find(model_path), self._config)
        self._served_before: deque[ServedModel] = deque(maxlen=_MOST_TO_ROLL_BACK)

    def _facts(self) -> dict[str, object]:
        return {"model": self._serving.version, "store": self._store.path}

    def __getstate__(self) -> dict[str, object]:
        # What it is, for another process; what it remembers of bars, threads and simulated time begins anew there.
        return {
            "settings": self._config.as_dict(),
            "policy": self._retraining.policy,
            "on_retraining": self._on_retraining,
            "serving": self._serving,
            "served_before": self._served_before,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(TrainingConfig.from_mapping(state["settings"]), state["policy"], state["on_retraining"])
        self._serving, self._served_before = state["serving"], state["served_before"]

    def _set_up(
        self, config: TrainingConfig, policy: RetrainingPolicy, on_retraining: Callable[[RetrainingOutcome], None]
    ) -> None:
        self._config, self._on_retraining = config, on_retraining
        self._store = ModelStore(config.model_save_path)
        self._retraining = Retraining(self._store, config, policy, self._train_for_schedule, on_retraining)
        self._timelines = threading.local()
        self._change = threading.Lock()
        self._streams = LiveStreams()

    def forecast(
        self,
        bars: pd.DataFrame,
        asof: _Moment | None = None,
        horizon: Horizon = 1,
        *,
        symbol: str | None = None,
        allow_in_sample: bool = False,
        models: _Models = "serving",
        kind: Kind = "hourly",
        overnight_bars: pd.DataFrame | None = None,
    ) -> Forecast:
        """Forecast the first bucket that ends after `asof` from the bars that had ended by then.

        Parameters
        ----------
        bars
            One symbol's bars, stamped at their start, tz-aware; at least the model's memory in hourly buckets. A pooled
            model also takes those of many symbols, indexed by (symbol, timestamp): they are the market it looks at.
        asof
            The moment of the forecast; without a time zone it is the market's time. None is the end of the last bar, of
            `overnight_bars` as well.
        horizon
            What is forecast, see `forecasters.horizons`: 1, the next bucket; ``"session_end"``, the rest of its
            session; 7, one session; 35, five sessions. Of the kind ``"total"``: ``"1 session"``, ``"5 sessions"``,
            ``"10 sessions"`` or ``"22 sessions"``; the number alone will do.
        symbol
            Which of several symbols in `bars` is forecast; None is the only one, or the model's own.
        allow_in_sample
            Whether a moment that the model has already seen in training may be forecast.
        models
            ``"serving"``: the model that serves now. ``"as-of"``: the one that served, or could have been trained, at
            `asof`; with a schedule (``every``), models that are due by then are trained first, on the bars before.
        kind
            ``"hourly"``: of hours of sessions, without nights. ``"total"``: from close to close, nights included, over
            the session that closes first after `asof` and those that follow; of the sessions that had closed before
            it, 22 at least must be in `bars`.
        overnight_bars
            Bars of another symbol, such as the future on an index, for a model that was trained with its nights; None
            for one that was not. Of ``"as-of"``, those of such models, and of the trainings on the way.

        Raises
        ------
        LookAheadError
            `asof` is before the model's ``trained_through``, and `allow_in_sample` is false.
        NotEnoughDataError
            Fewer buckets had ended by `asof` than the model's memory.
        BarsError
            The bars are unusable; or there are no `overnight_bars`, and the model was trained with such.
        ConfigError
            There are `overnight_bars`, and the model was trained without.
        """
        horizon = horizon_named(horizon, kind, self.market)
        moment = None if asof is None else self.market.clock.moment(asof)
        model = self._serving
        if _are_of_their_time(models):
            model = self._model_as_of(bars, symbol, moment, overnight_bars)
            overnight_bars = model.overnight_among(overnight_bars)
        return self._streams.forecast(
            model,
            bars,
            symbol,
            moment,
            horizon,
            allow_in_sample=allow_in_sample,
            overnight_bars=overnight_bars,
        )

    def forecast_series(
        self,
        bars: Frame,
        horizon: Horizon = 1,
        *,
        symbol: str | None = None,
        allow_in_sample: bool = False,
        models: _Models = "serving",
        kind: Kind = "hourly",
        overnight_bars: pd.DataFrame | None = None,
    ) -> Frame:
        """A forecast for every bucket of `bars`, each as of the bucket's start, and for the next one.

        The last row is what `forecast` gives without a moment: of a night that goes on, where the model looks at
        nights, it has what there is by the end of the last bar.

        Parameters
        ----------
        bars
            One symbol's bars, stamped at their start, tz-aware: a frame of pandas, Polars, PyArrow or another that
            narwhals knows, or, with columns ``unique_id`` and ``ds``, a long one.
        horizon
            What is forecast, see `forecasters.horizons`: 1, the next bucket; ``"session_end"``, the rest of its
            session; 7, one session; 35, five sessions. Of the kind ``"total"``: ``"1 session"``, ``"5 sessions"``,
            ``"10 sessions"`` or ``"22 sessions"``; the number alone will do.
        symbol
            Which of several symbols in `bars` is forecast; None is the only one, or the model's own.
        allow_in_sample
            Whether to keep the rows that the model has seen in training; they are marked in a column ``in_sample``.
        models
            ``"serving"``: the model that serves now makes all forecasts. ``"as-of"``: each is made by the model that
            served, or could have been trained, at that time, as in `forecast`: a backtest with retraining in one call.
        kind
            ``"hourly"``: of hours of sessions, without nights. ``"total"``: a row a session, indexed by its close, with
            the close before it as its ``asof``: nights included, over that session and those that follow.
        overnight_bars
            Bars of another symbol, such as the future on an index, for a model that was trained with its nights; None
            for one that was not. Of ``"as-of"``, those of such models, and of the trainings on the way.

        Returns
        -------
        A frame of the kind that `bars` are, of pandas indexed by bucket label (its end, market time), of others with
        it in a column `bucket` (`ds` in a long one); columns `asof`, `volatility`,
        `annualized_volatility`, `lower`, `upper`, `model_version`, `is_fallback`, `deseasonalized_volatility` as in
        `Forecast`: the last is without the day's U-shape and can be compared across hours, `annualized_volatility` of
        single buckets carries it.
        ``attrs["in_sample_left_out"]`` counts the rows left out because the model has seen them,
        ``attrs["without_history"]`` those with fewer known buckets than the model's memory; ``attrs["horizon"]`` and
        ``attrs["kind"]`` say of what the forecasts are.
        """
        horizon = horizon_named(horizon, kind, self.market)
        layout, table = FrameLayout.of(bars), as_bars_frame(bars)
        if _are_of_their_time(models):
            series = self._series_as_of(table, symbol, horizon, overnight_bars)
        else:
            stream = ForecastStream.of(self._serving, table, symbol, overnight_bars)
            series = stream.series(stream.grid(horizon), horizon, allow_in_sample=allow_in_sample)
        return cast(Frame, layout.frame(series, symbol or table.attrs.get("symbol")))

    def forecast_panel(
        self,
        bars: Frame,
        asof: _Moment | None = None,
        horizon: Horizon = 1,
        *,
        allow_in_sample: bool = False,
        kind: Kind = "hourly",
        overnight_bars: pd.DataFrame | None = None,
    ) -> Frame:
        """A forecast of every symbol in `bars`, all as of one moment, each what `forecast` gives of it.

        Parameters
        ----------
        bars
            Of many symbols, indexed by (symbol, timestamp), or a frame of another library with a column ``symbol``, or
            a long one with columns ``unique_id`` and ``ds``.
        asof
            The moment, without a time zone the market's time. None is the end of the last bar of any symbol.
        horizon, kind
            What is forecast, see `forecast`.
        allow_in_sample
            Whether a moment that the model has already seen in training may be forecast.
        overnight_bars
            Bars of one more symbol, for a model that was trained with its nights; see `forecast`.

        Returns
        -------
        A frame of the kind that `bars` are, of pandas indexed by symbol; columns as the fields of `Forecast`. A long
        one has the bucket in ``ds``. ``attrs["failed"]``, of pandas, says of each symbol that is not in it why.

        Raises
        ------
        VolatilityError
            None of the symbols can be forecast: what is wrong with the first.
        """
        layout, moment = FrameLayout.of(bars), None if asof is None else self.market.clock.moment(asof)
        panel = panel_forecasts(
            self._serving,
            as_bars_frame(bars),
            moment,
            horizon_named(horizon, kind, self.market),
            allow_in_sample=allow_in_sample,
            overnight_bars=overnight_bars,
        )
        return cast(Frame, layout.frame(panel.set_index("bucket", append=True) if layout.is_long else panel))

    @property
    def market(self) -> TradingMarket:
        """The market whose hours the serving model forecasts."""
        return self._serving.market

    def stream(
        self, bars: pd.DataFrame, symbol: str | None = None, *, overnight_bars: pd.DataFrame | None = None
    ) -> ForecastStream:
        """A stream of forecasts that begins with `bars`, for live loops and event-driven backtests.

        Where `forecast` takes all bars so far each time, a stream is handed the new ones: a minute that ends no bucket
        costs less than a look at the bars before it. It stays with the model that serves now.

        Parameters
        ----------
        bars
            The history to begin with: one symbol's bars, stamped at their start, tz-aware. Of a model of many symbols
            also those of many, indexed by (symbol, timestamp): they are the market that it looks at.
        symbol
            Which of several symbols in `bars` is forecast; None is the only one, or the model's own.
        overnight_bars
            Bars of another symbol to begin with, for a model that was trained with its nights; see `forecast`.

        Returns
        -------
        The stream: ``stream.update(bars)`` takes bars that are new or were revised, and ``overnight_bars`` beside or
        without them; ``stream.forecast(asof, horizon)`` gives what `forecast` gives from all bars so far.

        Raises
        ------
        BarsError, NotEnoughDataError
            The bars are unusable, or there are none.

        Examples
        --------
        >>> from volcast.bars.handler import DataHandler
        >>> bars = DataHandler("simulator").get_stock_bars("TSLA", "2024-01-02", "2024-01-31")
        >>> stream = VolatilityForecaster("ewma").stream(bars.iloc[:-1])
        >>> stream.update(bars.iloc[-1:])
        >>> stream.forecast().volatility == VolatilityForecaster("ewma").forecast(bars).volatility
        True
        """
        return ForecastStream.of(self._serving, bars, symbol, overnight_bars)

    def forecast_volatility(
        self,
        price_data: pd.DataFrame,
        forecast_date: _Moment,
        *,
        allow_in_sample: bool = False,
        overnight_bars: pd.DataFrame | None = None,
    ) -> float:
        """Annualized volatility (decimal) of the first bucket that ends after `forecast_date`.

        A date without a time means its midnight on the market's clock: the forecast of that day's first bucket from the
        bars of the days before. It carries the day's U-shape: ``forecast(...).deseasonalized_volatility`` can be
        compared with other hours'. Raises what `forecast` raises.
        """
        return self.forecast(
            price_data, forecast_date, allow_in_sample=allow_in_sample, overnight_bars=overnight_bars
        ).annualized_volatility

    def train_locally(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
        *,
        overnight_bars: pd.DataFrame | None = None,
        progress: "SilentProgress | None" = None,
    ) -> "TrainingResult":
        """Train a new model in this process, save it in the store, and let it serve from then on.

        Network and scaler change as one, once the model is saved; a training that fails or is interrupted leaves
        the old ones serving. So does one whose verdict is not to use it, also where no model served before (the
        fallback serves on, marked as such) and on simulated bars: it is saved, ``result.serves`` is False, a
        `ModelKeptOutWarning` says so, and ``swap(result.bundle)`` or the setting ``accept_verdict`` lets it serve all
        the same.

        Parameters
        ----------
        symbol
            What to train on; None takes the configuration's, where ``symbols`` may be several.
        start_date, end_date
            Days of the market, both included. None is the configuration's, and leaves `bars` as they are on that side.
        bars
            The bars to train on, cut to the days given here; None fetches them from the configured source.
        overnight_bars
            Bars of another symbol, such as the future on an index for its fund, of which nights are measured in place
            of the bars' own; forecasts then need them, too. None takes those of the configured ``overnight_symbol``,
            if there is one.
        progress
            What shows the progress; None is silent.

        Raises
        ------
        VolatilityError
            Why there is no new model; the old one goes on serving.
        """
        from volcast.training.trainer import LocalLSTMTrainer

        trainer = LocalLSTMTrainer(self._config, progress=progress)
        result = trainer.run_training_pipeline(symbol, start_date, end_date, bars, overnight_bars=overnight_bars)
        if result.serves:
            self.swap(result.bundle)
        else:
            warnings.warn(
                f"{result.bundle.name} is saved and does not serve, since {CONDEMNED}; {self._serving.version} serves "
                "on; swap(result.bundle) lets it serve all the same.",
                ModelKeptOutWarning,
                stacklevel=2,
            )
        return result

    def retrain_async(
        self,
        symbol: str | None = None,
        bars: pd.DataFrame | None = None,
        *,
        overnight_bars: pd.DataFrame | None = None,
        on_progress: ProgressHook | None = None,
    ) -> RetrainingJob:
        """Train a new model in a process of its own, at the lowest priority; it serves if the gate lets it.

        Forecasts go on meanwhile. A training that was cancelled or killed goes on after its finished trials when the
        same is asked again.

        Parameters
        ----------
        symbol
            What to train on; None takes the bars' own, or else the configuration's.
        bars
            The bars to train on; None fetches them from the configured source. Those of many symbols, indexed by
            (symbol, timestamp), are the market in which the gate sees a pooled model.
        overnight_bars
            Bars of another symbol, of which nights are measured; None takes those of the configured
            ``overnight_symbol``, if there is one.
        on_progress
            Is told of each step, in another thread.

        Returns
        -------
        The job: ``job.progress``, ``job.wait()``, ``job.cancel()``.
        """
        bars = bars_of(self._config, symbol) if bars is None else as_bars_frame(bars)
        if overnight_bars is None:
            overnight_bars = overnight_bars_of(self._config, self._config.overnight_symbol)
        return self._start_job(bars, symbol, None, on_progress, self._retraining_with(overnight_bars))

    def retrain_if_due(
        self,
        bars: pd.DataFrame,
        asof: _Moment | None = None,
        *,
        background: bool = True,
        overnight_bars: pd.DataFrame | None = None,
    ) -> RetrainingJob | RetrainingOutcome | None:
        """Retrain if the schedule says so, and let the new model serve if the gate lets it.

        Call it as often as you like, with all bars so far, in real time or a simulation's. What is due was decided
        once when the history says so: a training that failed is tried again at the schedule's next moment.

        Parameters
        ----------
        bars
            One symbol's bars; where the configuration names several ``symbols``, theirs, indexed by (symbol,
            timestamp).
        asof
            Now; None is the end of the last bar.
        background
            Whether to train in a process of its own (see `retrain_async`) instead of in this call.
        overnight_bars
            Bars of another symbol, of which nights are measured, for a model that was or will be trained with such.

        Returns
        -------
        The job or the outcome; None where nothing is due.
        """
        bars = cut_each_symbol(as_bars_frame(bars), validate_bars)
        now = last_end(bars) if asof is None else self.market.clock.moment(asof)
        retraining = self._retraining_with(overnight_bars)
        moment = retraining.moment_due(bars, now.tz_convert(self.market.zone), self._champion)
        if moment is None:
            return None
        past = bars_until(bars, moment)
        past.attrs = bars.attrs
        if background:
            return self._start_job(past, None, moment, None, retraining)
        served, outcome = retraining.run(past, moment, self._champion, simulated_time=False)
        return self._take_over(served, outcome)

    def swap(self, bundle: ModelBundle | str | os.PathLike[str]) -> None:
        """Let another model serve from now on: a bundle, a model's name or its path. `rollback` undoes it."""
        successor = bundle if isinstance(bundle, ModelBundle) else self._find(bundle)
        served = ServedModel.of(successor, self._config)
        with self._change:
            self._served_before.append(self._serving)
            self._serving = served
            # The old model's streams would keep its bars in memory.
            self._streams = LiveStreams()

    def rollback(self) -> None:
        """Let the model that served before the last swap serve again.

        Raises
        ------
        ModelNotFoundError
            Nothing was swapped so far.
        """
        with self._change:
            if not self._served_before:
                raise ModelNotFoundError(
                    "no model served before this one in this forecaster; there is nothing to roll back to."
                )
            self._serving = self._served_before.pop()
            self._streams = LiveStreams()

    def model_info(self) -> dict[str, Any]:
        """What serves: version, preset, memory, symbol, source, ``trained_through``, figures of its test part."""
        bundle = self._serving.bundle
        if bundle is None:
            return {
                "version": FALLBACK,
                "is_fallback": True,
                "simulated": False,
                "preset": "session",
                "trained_through": None,
            }
        manifest = bundle.manifest
        return {
            "version": bundle.name,
            "is_fallback": False,
            "path": bundle.path,
            "preset": bundle.preset,
            "memory": bundle.memory,
            "symbol": manifest.get("symbol"),
            "source": manifest.get("source"),
            "overnight_symbol": self._serving.overnight_symbol,
            "simulated": bundle.simulated,
            "created": manifest.get("created"),
            "trained_through": bundle.trained_through,
            "evaluation": manifest.get("evaluation"),
        }

    def _find(self, model: str | os.PathLike[str] | None) -> ModelBundle | None:
        if model is None:
            model = self._store.serving() or FALLBACK
        if model == FALLBACK:
            return None
        if isinstance(model, str | os.PathLike) and Path(model).suffix == ".h5":
            return colab_bundle(Path(model))
        return self._store.load(model)

    @property
    def _champion(self) -> ServedModel | None:
        return None if self._serving.bundle is None else self._serving

    @property
    def _timeline(self) -> ModelTimeline:
        return cast(ModelTimeline, self._timelines.__dict__.setdefault("own", ModelTimeline(self._retraining)))

    def _model_as_of(
        self, bars: pd.DataFrame, symbol: str | None, asof: pd.Timestamp | None, overnight_bars: pd.DataFrame | None
    ) -> ServedModel:
        bars, overnight = as_bars_frame(bars), self._named_overnight(overnight_bars)
        frames = [_bars_of_symbol(bars, symbol), *([] if overnight is None else [overnight])]
        moment = asof if asof is not None else max(map(last_end, frames))
        trained_on = self._bars_to_train_on(bars, symbol)
        model = self._timeline.at(trained_on, moment.tz_convert(self.market.zone), overnight)
        self._refuse_unused(overnight, [model])
        return model

    def _series_as_of(
        self, bars: pd.DataFrame, symbol: str | None, horizon: Horizon, overnight_bars: pd.DataFrame | None
    ) -> pd.DataFrame:
        """Each model's rows of the span in which it served; none has seen them, since it served after what it saw."""
        symbol_bars, overnight = _bars_of_symbol(bars, symbol), self._named_overnight(overnight_bars)
        last = ForecastStream.of(ServedModel.of(None, self._config), symbol_bars).grid().asof[-1]
        spans = list(self._timeline.spans(self._bars_to_train_on(bars, symbol), last, overnight))
        self._refuse_unused(overnight, [model for _, _, model in spans])
        parts = []
        for begin, end, model in spans:
            stream = ForecastStream.of(model, bars, symbol, model.overnight_among(overnight))
            grid = stream.grid(horizon)
            within = np.asarray((grid.asof >= begin) & (True if end is None else grid.asof < end))
            if within.any():
                parts.append(stream.series(grid.where(within), horizon, allow_in_sample=False))
        series = pd.concat(parts)
        for count in ("in_sample_left_out", "without_history"):
            series.attrs[count] = sum(part.attrs[count] for part in parts)
        series.attrs["horizon"], series.attrs["kind"] = horizon, kind_of(horizon)
        return series

    def _named_overnight(self, bars: pd.DataFrame | None) -> pd.DataFrame | None:
        """The bars that tell of nights, checked, as a frame that says whose they are where somebody does."""
        return None if bars is None else _named_frame(checked_overnight_bars(bars, self._config.overnight_symbol))

    def _refuse_unused(self, overnight: pd.DataFrame | None, models: Sequence[ServedModel]) -> None:
        """Refuse overnight bars at which neither one of the `models` looks nor a training on the way."""
        used = self._retraining.policy.every is not None or any(model.overnight_symbol for model in models)
        if overnight is not None and not used:
            models[-1].require_overnight(is_given=True)

    def _retraining_with(self, overnight_bars: pd.DataFrame | None) -> Retraining:
        """How it retrains, with bars that tell of nights: without them no model that looks at such can be judged."""
        if overnight_bars is None and self._config.overnight_symbol is not None:
            raise BarsError(
                f"overnight_symbol is {self._config.overnight_symbol!r} and overnight_bars are missing; a retraining "
                "needs them, to train and to judge; give them beside the bars."
            )
        if overnight_bars is None:
            self._serving.require_overnight(is_given=False)
        return replace(self._retraining, overnight_bars=self._named_overnight(overnight_bars))

    def _bars_to_train_on(self, bars: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
        """The bars of all symbols where the configuration names several, or else those of `symbol`."""
        trains_many = len(self._config.symbols) > 1 and bool(symbols_of(bars))
        return bars if trains_many else _bars_of_symbol(bars, symbol)

    def _train_for_schedule(
        self, bars: pd.DataFrame, symbol: str | None, name: str, overnight_bars: pd.DataFrame | None
    ) -> ModelBundle:
        from volcast.training.trainer import LocalLSTMTrainer

        trainer = LocalLSTMTrainer(self._config)
        return trainer.run_training_pipeline(
            symbol, bars=bars, overnight_bars=overnight_bars, name=name, promote=False
        ).bundle

    def _start_job(
        self,
        bars: pd.DataFrame,
        symbol: str | None,
        due: pd.Timestamp | None,
        on_progress: ProgressHook | None,
        retraining: Retraining,
    ) -> RetrainingJob:
        """Train on the symbol's bars; None is due at their end."""
        symbol_bars = self._bars_to_train_on(bars, symbol) if symbol is None else _bars_of_symbol(bars, symbol)
        moment = (last_end(symbol_bars) if due is None else due).tz_convert(self.market.zone)

        def settle(result: str | VolatilityError) -> RetrainingOutcome:
            champion = self._champion
            if isinstance(result, VolatilityError):
                return retraining.failed(champion, moment, result, simulated_time=False)
            bundle = self._store.load(result)
            return self._take_over(
                *retraining.decide(bundle, bars, moment, champion, simulated_time=False, symbol=symbol)
            )

        window = retraining.policy.training_bars(symbol_bars, moment)
        trained_on = retraining.symbol_of(symbol_bars)
        name = retraining.name_of(window, moment, trained_on)
        overnight = retraining.overnight_until(moment)
        return RetrainingJob(self._config, window, trained_on, name, settle, overnight, on_progress)

    def _take_over(self, served: ServedModel | None, outcome: RetrainingOutcome) -> RetrainingOutcome:
        if outcome.promoted and served is not None and served.bundle is not None:
            self.swap(served.bundle)
        return outcome


def _bars_of_symbol(bars: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
    """One symbol's bars, with its name where `symbol` or the index says it."""
    return _named_frame(SymbolBars.of(bars, symbol))


def _named_frame(symbol_bars: SymbolBars) -> pd.DataFrame:
    frame = symbol_bars.frame.copy(deep=False)
    if symbol_bars.symbol is not None:
        frame.attrs = {**frame.attrs, "symbol": symbol_bars.symbol}
    return frame


def _are_of_their_time(models: str) -> bool:
    """Whether each forecast is asked of the model of its time, not of the one that serves now."""
    if models not in get_args(_Models):
        raise ConfigError(f"models is {models!r}; the rule is 'serving' or 'as-of'; use one of these.")
    return models == "as-of"


def _say_nothing(outcome: RetrainingOutcome) -> None:
    """Where nobody wants to be told."""
