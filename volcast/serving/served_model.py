"""A model that serves, or the fallback where there is none: bars in, forecasts out."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.bars.checks import select_symbol
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, LookAheadError, ModelMismatchWarning, NotEnoughDataError
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.running import RunningForecasts
from volcast.forecasters.horizons import Horizon, IntervalForecast, horizon_minutes
from volcast.measures.bucketed import get_hourly_measures
from volcast.measures.hourly import Preset, annualize, get_hourly_rv
from volcast.measures.quick import quick_session_measures, quick_session_rv
from volcast.reprs import OneLineRepr
from volcast.serving.grid import ForecastGrid, NextBucket, forecast_grid
from volcast.serving.history import HourlyHistories
from volcast.store.bundle import ModelBundle

__all__ = ["FALLBACK", "Forecast", "ServedModel"]

FALLBACK = "ewma"
"""The version that forecasts without a model name, and the `model_path` that asks for it."""

_FALLBACK_MEMORY = 7


@dataclass(frozen=True, repr=False)
class Forecast(OneLineRepr):
    """One forecast.

    Attributes
    ----------
    asof
        The moment it was made for, New York time: nothing that ended later was used.
    bucket
        Label (end, New York time) of the bucket that is forecast: the first that ends after `asof`.
    volatility
        Volatility of that bucket, or of the whole horizon that it begins, decimal, not annualized.
    annualized_volatility
        The same per year (0.25 is 25 %).
    lower, upper
        Where the bucket's volatility will lie with 90 % probability; NaN where the model does not say.
    model_version
        Name of the model that it came from.
    is_fallback
        Whether it came from the deseasonalized EWMA that serves without a model.
    horizon
        What is forecast: 1 is that bucket, 7 and 35 that many from it on, ``"session_end"`` those left of its session.
    """

    asof: pd.Timestamp
    bucket: pd.Timestamp
    volatility: float
    annualized_volatility: float
    lower: float
    upper: float
    model_version: str
    is_fallback: bool
    horizon: Horizon = 1

    def _facts(self) -> dict[str, object]:
        return {
            "bucket": self.bucket,
            "horizon": self.horizon,
            "volatility": self.volatility,
            "annualized_volatility": self.annualized_volatility,
            "lower": self.lower,
            "upper": self.upper,
            "model_version": self.model_version,
        }


@dataclass(frozen=True)
class ServedModel:
    """One bundle in the state in which it serves; immutable, so a forecast comes wholly from one.

    Attributes
    ----------
    bundle
        The model; None is the fallback.
    config
        The bundle's configuration; the forecaster's for the fallback.
    """

    bundle: ModelBundle | None
    config: TrainingConfig

    @classmethod
    def of(cls, bundle: ModelBundle | None, config: TrainingConfig) -> "ServedModel":
        """What serves of a bundle, its networks in ONNX Runtime; `config` is for the fallback."""
        return cls(None, config) if bundle is None else cls(bundle.for_serving(), bundle.config)

    @property
    def version(self) -> str:
        """What forecasts name as the model that they came from."""
        return FALLBACK if self.bundle is None else self.bundle.name

    @property
    def memory(self) -> int:
        """Buckets that must be known before it can forecast."""
        return _FALLBACK_MEMORY if self.bundle is None else self.bundle.memory

    @property
    def preset(self) -> Preset:
        """Which hourly RV it forecasts."""
        return "session" if self.bundle is None else self.bundle.preset

    @cached_property
    def trained_through(self) -> pd.Timestamp | None:
        """Last moment (New York time) whose data it has seen; None where nobody wrote it down."""
        return None if self.bundle is None else self.bundle.trained_through

    @cached_property
    def histories(self) -> HourlyHistories:
        """Hourly histories that grow with the bars from call to call."""
        config = self.config
        quick = quick_session_rv if self._needs_rv_alone else quick_session_measures
        plain = config.rv_estimator == "close"
        return HourlyHistories(self.measure, config.calendar, quick(config.min_bucket_coverage) if plain else None)

    @cached_property
    def running(self) -> RunningForecasts | None:
        """Forecasts that are carried on as these histories grow; None where each costs next to nothing anyway."""
        if self.bundle is None or not isinstance(self.bundle.recipe, HarLstm):
            return None
        return RunningForecasts(self.bundle.recipe, self.bundle.networks)

    def measure(self, bars: pd.DataFrame) -> pd.DataFrame:
        """The hourly measures of one symbol's bars that this model is fed."""
        config = self.config
        measures = _rv_alone if self._needs_rv_alone else get_hourly_measures
        return measures(
            bars,
            preset=self.preset,
            min_bucket_coverage=config.min_bucket_coverage,
            calendar=config.calendar,
            estimator=config.rv_estimator,
        )

    def forecast(
        self, bars: pd.DataFrame, asof: pd.Timestamp | None, horizon: Horizon = 1, *, allow_in_sample: bool
    ) -> Forecast:
        """The forecast of what begins with the first bucket that ends after `asof`; see `VolatilityForecaster`."""
        bars = self._own_symbol(bars)
        self._warn_of_mismatch(bars)
        ahead = self._next_bucket(bars, asof)
        if ahead.known < self.memory:
            raise self._too_few(ahead.known, ahead.moment)
        if not allow_in_sample:
            self._refuse_look_ahead(ahead.moment)
        made = self._forecast_of(ahead, horizon)
        volatility = float(made.volatility[0])
        minutes = ahead.minutes
        if horizon != 1:
            minutes = int(horizon_minutes(ahead.labels, horizon, self.config.calendar)[0])
        return Forecast(
            asof=ahead.moment,
            bucket=ahead.bucket,
            volatility=volatility,
            annualized_volatility=float(annualize(volatility, minutes, self.preset)),
            lower=float(made.lower[0]),
            upper=float(made.upper[0]),
            model_version=self.version,
            is_fallback=self.bundle is None,
            horizon=horizon,
        )

    def grid(self, bars: pd.DataFrame, asof: pd.Timestamp | None = None) -> ForecastGrid:
        """Every bucket of `bars` that this model could be asked about."""
        bars = self._own_symbol(bars)
        self._warn_of_mismatch(bars)
        return forecast_grid(bars, self.preset, asof, measure=self.measure, calendar=self.config.calendar)

    def rows(self, grid: ForecastGrid, horizon: Horizon = 1) -> pd.DataFrame:
        """Forecasts of every row of a grid; columns as in `VolatilityForecaster.forecast_series`."""
        made = self._forecasts(grid.measures, grid.labels, grid.known, horizon)
        minutes = grid.minutes if horizon == 1 else horizon_minutes(grid.labels, horizon, self.config.calendar)
        return pd.DataFrame(
            {
                "asof": grid.asof,
                "volatility": made.volatility,
                "annualized_volatility": annualize(made.volatility, minutes, self.preset),
                "lower": made.lower,
                "upper": made.upper,
                "model_version": self.version,
                "is_fallback": self.bundle is None,
            },
            index=grid.labels.rename("bucket"),
        )

    def series(self, grid: ForecastGrid, horizon: Horizon = 1, *, allow_in_sample: bool) -> pd.DataFrame:
        """Forecasts of the rows of a grid that have enough history; see `VolatilityForecaster.forecast_series`."""
        enough = grid.known >= self.memory
        seen = np.zeros(len(grid.labels), dtype=bool)
        if self.trained_through is not None:
            seen = np.asarray(grid.asof < self.trained_through)
        kept = enough if allow_in_sample else enough & ~seen
        frame = self.rows(grid.where(kept), horizon)
        if allow_in_sample:
            frame["in_sample"] = seen[kept]
        frame.attrs["in_sample_left_out"] = 0 if allow_in_sample else int((enough & seen).sum())
        frame.attrs["without_history"] = int((~enough).sum())
        return frame

    @property
    def _needs_rv_alone(self) -> bool:
        return self.bundle is None or self.bundle.recipe.needs_rv_alone

    def _forecast_of(self, ahead: NextBucket, horizon: Horizon) -> IntervalForecast:
        if self.bundle is not None and self.running is not None:
            with np.errstate(all="ignore"):
                forecast = self.running.forecast(ahead.history, ahead.label, ahead.known, horizon)
            return self.bundle.sound(forecast)
        return self._forecasts(ahead.history.frame, ahead.labels, np.array([ahead.known]), horizon)

    def _forecasts(
        self, measures: pd.DataFrame, labels: pd.DatetimeIndex, known: npt.NDArray[np.int64], horizon: Horizon
    ) -> IntervalForecast:
        if self.bundle is not None:
            return self.bundle.forecast_horizon(measures, labels, known, horizon)
        if horizon != 1:
            raise ConfigError(
                f"horizon is {horizon!r}; the rule for the EWMA that serves without a model is 1, the next bucket; "
                "train a model for longer ones."
            )
        volatility = diurnal_ewma(measures, labels, known) if len(labels) else np.empty(0)
        unknown = np.full(len(volatility), np.nan)
        return IntervalForecast(volatility, unknown, unknown)

    def _next_bucket(self, bars: pd.DataFrame, asof: pd.Timestamp | None) -> NextBucket:
        if self.preset == "session":
            return self.histories.next_bucket(bars, asof)
        return self._last_of_grid(bars, asof)

    def _last_of_grid(self, bars: pd.DataFrame, asof: pd.Timestamp | None) -> NextBucket:
        grid = forecast_grid(bars, self.preset, asof, measure=self.measure, calendar=self.config.calendar)
        if not len(grid.labels):
            raise self._too_few(0, grid.moment)
        return NextBucket.of(grid)

    def _too_few(self, known: int, moment: pd.Timestamp) -> NotEnoughDataError:
        return NotEnoughDataError(
            f"{known} hourly buckets had ended by {moment}; {self.version} needs {self.memory}; "
            "give bars that begin earlier."
        )

    def _own_symbol(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Out of a frame of several symbols, the one that the model was trained on; else the only one."""
        own = None if self.bundle is None else self.bundle.manifest.get("symbol")
        several = isinstance(bars.index, pd.MultiIndex) and own in bars.index.get_level_values(0)
        return select_symbol(bars, own if several else None)

    def _refuse_look_ahead(self, asof: pd.Timestamp) -> None:
        if self.trained_through is not None and asof < self.trained_through:
            raise LookAheadError(
                f"a forecast as of {asof} was asked of {self.version}, which has seen data through "
                f"{self.trained_through}; forecasts may not be earlier than that; take a model trained on less, or "
                "pass allow_in_sample=True."
            )

    def _warn_of_mismatch(self, bars: pd.DataFrame) -> None:
        if self.bundle is None or "symbol" not in bars.attrs:
            return
        trained_on, served = self.bundle.manifest.get("symbol"), bars.attrs["symbol"]
        if trained_on is not None and trained_on != served:
            text = f"{self.version} was trained on {trained_on} and is asked about {served}, whose level and day"
            warnings.warn(f"{text} pattern differ; train one for this symbol.", ModelMismatchWarning, stacklevel=4)
        if self.bundle.simulated and not bars.attrs.get("simulated", False):
            text = f"{self.version} was trained on SIMULATED bars and is asked about real ones"
            warnings.warn(f"{text}; train one on real bars.", ModelMismatchWarning, stacklevel=4)


def _rv_alone(
    bars: pd.DataFrame, *, preset: Preset, min_bucket_coverage: float, calendar: str, estimator: str
) -> pd.DataFrame:
    """Hourly RV as the only column of a frame."""
    return get_hourly_rv(
        bars, preset=preset, min_bucket_coverage=min_bucket_coverage, calendar=calendar, estimator=estimator
    ).to_frame()
