"""The forecaster that runs inside a backtest: forecasts, swaps models while it runs, and trains new ones."""

import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from errors import ConfigError, LookAheadError, ModelMismatchWarning, ModelNotFoundError, NotEnoughDataError
from forecast_grid import ForecastGrid, forecast_grid
from model_store import ModelBundle, ModelStore, colab_bundle
from realized_volatility import Preset, annualize, select_symbol
from trading_sessions import EXCHANGE_TIMEZONE
from training_config import TrainingConfig
from volatility_baselines import diurnal_ewma

if TYPE_CHECKING:
    from local_training import TrainingResult
    from training_progress import SilentProgress

__all__ = ["FALLBACK", "Forecast", "VolatilityForecaster"]

FALLBACK = "ewma"
"""The version that forecasts without a model name, and the `model_path` that asks for it."""

_FALLBACK_MEMORY = 7
_Moment: TypeAlias = str | date | pd.Timestamp


@dataclass(frozen=True)
class Forecast:
    """One forecast.

    Attributes
    ----------
    asof
        The moment it was made for, New York time: nothing that ended later was used.
    bucket
        Label (end, New York time) of the bucket that is forecast: the first that ends after `asof`.
    volatility
        Volatility of that bucket, decimal, not annualized.
    annualized_volatility
        The same per year (0.25 is 25 %).
    lower, upper
        Where the bucket's volatility will lie with 90 % probability; NaN where the model does not say.
    model_version
        Name of the model that it came from.
    is_fallback
        Whether it came from the deseasonalized EWMA that serves without a model.
    horizon
        Buckets ahead: 1.
    """

    asof: pd.Timestamp
    bucket: pd.Timestamp
    volatility: float
    annualized_volatility: float
    lower: float
    upper: float
    model_version: str
    is_fallback: bool
    horizon: int = 1


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
        self._serving = self._find(model_path)
        self._served_before: list[ModelBundle | None] = []

    def forecast(
        self,
        bars: pd.DataFrame,
        asof: _Moment | None = None,
        horizon: int = 1,
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
            Buckets ahead; models of today forecast 1.
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
        _require_one_bucket(horizon)
        bundle = self._serving
        moment = None if asof is None else _new_york(asof)
        grid = self._grid(bars, bundle, moment)
        if not len(grid.labels) or grid.known[-1] < _memory(bundle):
            known = int(grid.known[-1]) if len(grid.known) else 0
            raise NotEnoughDataError(
                f"{known} hourly buckets had ended by {grid.moment}; {_version(bundle)} needs "
                f"{_memory(bundle)}; give bars that begin earlier."
            )
        if bundle is not None and not allow_in_sample:
            _refuse_look_ahead(bundle, grid.moment)
        last = np.arange(len(grid.labels)) == len(grid.labels) - 1
        row = self._forecast_rows(grid.where(last), bundle).iloc[0]
        return Forecast(
            asof=grid.moment,
            bucket=row.name,
            volatility=float(row["volatility"]),
            annualized_volatility=float(row["annualized_volatility"]),
            lower=float(row["lower"]),
            upper=float(row["upper"]),
            model_version=row["model_version"],
            is_fallback=bool(row["is_fallback"]),
        )

    def forecast_series(self, bars: pd.DataFrame, horizon: int = 1, *, allow_in_sample: bool = False) -> pd.DataFrame:
        """A forecast for every bucket of `bars`, each as of the bucket's start, and for the next one.

        Parameters
        ----------
        bars
            One symbol's bars, stamped at their start, tz-aware.
        horizon
            Buckets ahead; models of today forecast 1.
        allow_in_sample
            Whether to keep the rows that the model has seen in training; they are marked in a column ``in_sample``.

        Returns
        -------
        DataFrame indexed by bucket label (its end, New York time), columns `asof`, `volatility`,
        `annualized_volatility`, `lower`, `upper`, `model_version`, `is_fallback` as in `Forecast`.
        ``attrs["in_sample_left_out"]`` counts the rows left out because the model has seen them,
        ``attrs["without_history"]`` those with fewer known buckets than the model's memory.
        """
        _require_one_bucket(horizon)
        bundle = self._serving
        grid = self._grid(bars, bundle, None)
        enough = grid.known >= _memory(bundle)
        seen = np.zeros(len(grid.labels), dtype=bool)
        if bundle is not None and bundle.trained_through is not None:
            seen = np.asarray(grid.asof < bundle.trained_through)
        kept = enough if allow_in_sample else enough & ~seen
        frame = self._forecast_rows(grid.where(kept), bundle)
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
        loaded = bundle.for_serving() if isinstance(bundle, ModelBundle) else self._find(bundle)
        with self._change:
            self._served_before.append(self._serving)
            self._serving = loaded

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
        bundle = self._serving
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
            return colab_bundle(Path(model)).for_serving()
        return self._store.load(model)

    def _grid(self, bars: pd.DataFrame, bundle: ModelBundle | None, asof: pd.Timestamp | None) -> ForecastGrid:
        config = self._config if bundle is None else bundle.config
        preset: Preset = "session" if bundle is None else bundle.preset
        bars = _own_symbol(bars, bundle)
        _warn_of_mismatch(bars, bundle)
        return forecast_grid(
            bars, preset, asof, min_bucket_coverage=config.min_bucket_coverage, calendar=config.calendar
        )

    def _forecast_rows(self, grid: ForecastGrid, bundle: ModelBundle | None) -> pd.DataFrame:
        forecaster = diurnal_ewma if bundle is None else bundle.forecast
        volatility = forecaster(grid.rv, grid.labels, grid.known) if len(grid.labels) else np.empty(0)
        low, high = (np.nan, np.nan) if bundle is None else bundle.interval_factors
        preset: Preset = "session" if bundle is None else bundle.preset
        return pd.DataFrame(
            {
                "asof": grid.asof,
                "volatility": volatility,
                "annualized_volatility": annualize(volatility, grid.minutes, preset),
                "lower": volatility * low,
                "upper": volatility * high,
                "model_version": _version(bundle),
                "is_fallback": bundle is None,
            },
            index=grid.labels.rename("bucket"),
        )


def _version(bundle: ModelBundle | None) -> str:
    return FALLBACK if bundle is None else bundle.name


def _memory(bundle: ModelBundle | None) -> int:
    return _FALLBACK_MEMORY if bundle is None else bundle.memory


def _own_symbol(bars: pd.DataFrame, bundle: ModelBundle | None) -> pd.DataFrame:
    """Out of a frame of several symbols, the one that the model was trained on; else the only one."""
    own = None if bundle is None else bundle.manifest.get("symbol")
    several = isinstance(bars.index, pd.MultiIndex) and own in bars.index.get_level_values(0)
    return select_symbol(bars, own if several else None)


def _new_york(moment: _Moment) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    return stamp.tz_localize(EXCHANGE_TIMEZONE) if stamp.tzinfo is None else stamp.tz_convert(EXCHANGE_TIMEZONE)


def _require_one_bucket(horizon: int) -> None:
    if horizon != 1:
        raise ConfigError(f"horizon is {horizon}; models of today forecast one bucket ahead; ask for horizon=1.")


def _refuse_look_ahead(bundle: ModelBundle, asof: pd.Timestamp) -> None:
    if bundle.trained_through is not None and asof < bundle.trained_through:
        raise LookAheadError(
            f"a forecast as of {asof} was asked of {bundle.name}, which has seen data through "
            f"{bundle.trained_through}; "
            "forecasts may not be earlier than that; take a model trained on less, or pass allow_in_sample=True."
        )


def _warn_of_mismatch(bars: pd.DataFrame, bundle: ModelBundle | None) -> None:
    if bundle is None or "symbol" not in bars.attrs:
        return
    trained_on, served = bundle.manifest.get("symbol"), bars.attrs["symbol"]
    if trained_on is not None and trained_on != served:
        text = (
            f"{bundle.name} was trained on {trained_on} and is asked about {served}, whose level and day pattern differ"
        )
        warnings.warn(f"{text}; train one for this symbol.", ModelMismatchWarning, stacklevel=4)
    if bundle.simulated and not bars.attrs.get("simulated", False):
        text = f"{bundle.name} was trained on SIMULATED bars and is asked about real ones; train one on real bars."
        warnings.warn(text, ModelMismatchWarning, stacklevel=4)
