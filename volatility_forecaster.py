"""The forecaster that runs inside a backtest: forecasts, swaps models while it runs, and trains new ones."""

import os
import threading
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from errors import ModelNotFoundError
from forecast_horizons import Horizon, horizon_named
from model_store import ModelBundle, ModelStore, colab_bundle
from served_model import FALLBACK, Forecast, ServedModel
from trading_sessions import EXCHANGE_TIMEZONE
from training_config import TrainingConfig

if TYPE_CHECKING:
    from local_training import TrainingResult
    from training_progress import SilentProgress

__all__ = ["FALLBACK", "Forecast", "VolatilityForecaster"]

_Moment: TypeAlias = str | date | pd.Timestamp


class VolatilityForecaster:
    """Forecasts the volatility of the next hourly bucket.

    Parameters
    ----------
    model_path
        A saved model's directory, a model's name in the store, or the ``.h5`` of a Colab pair. None takes the model
        that serves in the store (the newest, unless another was promoted), or, in an empty store, the fallback;
        ``"ewma"`` asks for the fallback: a deseasonalized EWMA of the bars themselves.
    retraining_config
        What `TrainingConfig` takes, for `train_locally`; its ``model_save_path`` is the store.

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
    ) -> None:
        self._config = TrainingConfig.from_mapping(retraining_config)
        self._store = ModelStore(self._config.model_save_path)
        self._change = threading.Lock()
        # One reference holds network, scaler and configuration: whoever forecasts reads it once.
        self._serving = ServedModel.of(self._find(model_path), self._config)
        self._served_before: list[ServedModel] = []

    def forecast(
        self,
        bars: pd.DataFrame,
        asof: _Moment | None = None,
        horizon: Horizon = 1,
        *,
        allow_in_sample: bool = False,
    ) -> Forecast:
        """Forecast the first bucket that ends after `asof` from the bars that had ended by then.

        Parameters
        ----------
        bars
            One symbol's bars, stamped at their start, tz-aware; at least the model's memory in hourly buckets.
        asof
            The moment of the forecast; without a time zone it is New York time. None is the end of the last bar.
        horizon
            What is forecast, see `forecast_horizons`: 1, the next bucket; ``"session_end"``, the rest of its session;
            7, one session; 35, five sessions.
        allow_in_sample
            Whether a moment that the model has already seen in training may be forecast.

        Raises
        ------
        LookAheadError
            `asof` is before the model's ``trained_through``, and `allow_in_sample` is false.
        NotEnoughDataError
            Fewer buckets had ended by `asof` than the model's memory.
        BarsError
            The bars are unusable.
        """
        horizon_named(horizon)
        moment = None if asof is None else _new_york(asof)
        return self._serving.forecast(bars, moment, horizon, allow_in_sample=allow_in_sample)

    def forecast_series(
        self, bars: pd.DataFrame, horizon: Horizon = 1, *, allow_in_sample: bool = False
    ) -> pd.DataFrame:
        """A forecast for every bucket of `bars`, each as of the bucket's start, and for the next one.

        Parameters
        ----------
        bars
            One symbol's bars, stamped at their start, tz-aware.
        horizon
            What is forecast, see `forecast_horizons`: 1, the next bucket; ``"session_end"``, the rest of its session;
            7, one session; 35, five sessions.
        allow_in_sample
            Whether to keep the rows that the model has seen in training; they are marked in a column ``in_sample``.

        Returns
        -------
        DataFrame indexed by bucket label (its end, New York time), columns `asof`, `volatility`,
        `annualized_volatility`, `lower`, `upper`, `model_version`, `is_fallback` as in `Forecast`.
        ``attrs["in_sample_left_out"]`` counts the rows left out because the model has seen them,
        ``attrs["without_history"]`` those with fewer known buckets than the model's memory.
        """
        horizon_named(horizon)
        served = self._serving
        grid = served.grid(bars)
        enough = grid.known >= served.memory
        seen = np.zeros(len(grid.labels), dtype=bool)
        if served.trained_through is not None:
            seen = np.asarray(grid.asof < served.trained_through)
        kept = enough if allow_in_sample else enough & ~seen
        frame = served.rows(grid.where(kept), horizon)
        if allow_in_sample:
            frame["in_sample"] = seen[kept]
        frame.attrs["in_sample_left_out"] = 0 if allow_in_sample else int((enough & seen).sum())
        frame.attrs["without_history"] = int((~enough).sum())
        return frame

    def forecast_volatility(
        self, price_data: pd.DataFrame, forecast_date: _Moment, *, allow_in_sample: bool = False
    ) -> float:
        """Annualized volatility (decimal) of the first bucket that ends after `forecast_date`.

        A date without a time means its midnight in New York: the forecast of that day's first bucket from the bars of
        the days before. Raises what `forecast` raises.
        """
        return self.forecast(price_data, forecast_date, allow_in_sample=allow_in_sample).annualized_volatility

    def train_locally(
        self,
        symbol: str | None = None,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        bars: pd.DataFrame | None = None,
        *,
        progress: "SilentProgress | None" = None,
    ) -> "TrainingResult":
        """Train a new model in this process, save it in the store, and let it serve from then on.

        Network and scaler change as one, once the model is saved; a training that fails or is interrupted leaves
        the old ones serving.

        Parameters
        ----------
        symbol, start_date, end_date
            What to train on; None takes the configuration's.
        bars
            The bars to train on; None fetches them from the configured source.
        progress
            What shows the progress; None is silent.

        Raises
        ------
        VolatilityError
            Why there is no new model; the old one goes on serving.
        """
        from local_training import LocalLSTMTrainer

        trainer = LocalLSTMTrainer(self._config, progress=progress)
        result = trainer.run_training_pipeline(symbol=symbol, start_date=start_date, end_date=end_date, bars=bars)
        self.swap(result.bundle)
        return result

    def swap(self, bundle: ModelBundle | str | os.PathLike[str]) -> None:
        """Let another model serve from now on: a bundle, a model's name or its path. `rollback` undoes it."""
        found = bundle if isinstance(bundle, ModelBundle) else self._find(bundle)
        served = ServedModel.of(found, self._config)
        with self._change:
            self._served_before.append(self._serving)
            self._serving = served

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
        if Path(model).suffix == ".h5":
            return colab_bundle(Path(model))
        return self._store.load(model)


def _new_york(moment: _Moment) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    return stamp.tz_localize(EXCHANGE_TIMEZONE) if stamp.tzinfo is None else stamp.tz_convert(EXCHANGE_TIMEZONE)
