"""A model that serves, or the fallback where there is none: what it measures, and what it makes of it."""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import pandas as pd

from volcast.bars.checks import other_hours, symbol_among
from volcast.config import TrainingConfig
from volcast.counts import counted
from volcast.errors import BarsError, BarsWarning, ConfigError, LookAheadError, ModelMismatchWarning, NotEnoughDataError
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.horizons import Horizon, Kind
from volcast.forecasters.total.state import TotalState, typical_state
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, default_market
from volcast.measures.hourly import HourlyMeasurement, Preset
from volcast.reprs import OneLineRepr
from volcast.store.bundle import ModelBundle

__all__ = ["FALLBACK", "Forecast", "ServedModel"]

FALLBACK = "ewma"
"""The version that forecasts without a model name, and the `model_path` that asks for it."""


@dataclass(frozen=True, repr=False)
class Forecast(OneLineRepr):
    """One forecast.

    Attributes
    ----------
    asof
        The moment it was made for, market time: nothing that ended later was used.
    bucket
        Label (end, market time) of the bucket that is forecast: the first that ends after `asof`.
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
        What is forecast: 1 is that bucket, another number that many from it on, ``"session_end"`` those left of its
        session.
    deseasonalized_volatility
        Annualized volatility, decimal, of the whole session that the forecast implies. ``annualized_volatility`` of one
        bucket carries the day's U-shape: it falls until noon and rises after, whatever happens. This one is without it,
        so it can be compared with that of any other hour; size positions by it. NaN where the model has no hour-of-day
        profile. Of total volatility it is `annualized_volatility`.
    kind
        ``"hourly"``: of hours of sessions, without nights. ``"total"``: from close to close, over the sessions that
        `horizon` counts, as an option sees it; `bucket` is the close of the first of them.
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
    deseasonalized_volatility: float = math.nan
    kind: Kind = "hourly"

    def to_dict(self) -> dict[str, object]:
        """The fields by name, for JSON and rows of tables: moments as ISO 8601, what is NaN as None."""
        plain: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, pd.Timestamp):
                value = value.isoformat()
            plain[item.name] = None if isinstance(value, float) and math.isnan(value) else value
        return plain

    def _facts(self) -> dict[str, object]:
        return {
            "bucket": self.bucket,
            "kind": self.kind,
            "horizon": self.horizon,
            "volatility": self.volatility,
            "annualized_volatility": self.annualized_volatility,
            "deseasonalized_volatility": self.deseasonalized_volatility,
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
        """Name of the model in the forecasts that come from it."""
        return FALLBACK if self.bundle is None else self.bundle.name

    @property
    def memory(self) -> int:
        """Buckets that must be known before the model can forecast."""
        return self.market.buckets_per_session if self.bundle is None else self.bundle.memory

    @property
    def preset(self) -> Preset:
        """Preset of the hourly RV that the model forecasts."""
        return "session" if self.bundle is None else self.bundle.preset

    @property
    def many(self) -> HarLstm | None:
        """The recipe of a model of many symbols; None of others."""
        recipe = None if self.bundle is None else self.bundle.recipe
        return recipe if isinstance(recipe, HarLstm) and len(recipe.symbols) > 1 else None

    @cached_property
    def state(self) -> HarLstmState | None:
        """The numbers of a model of one symbol, whose bars it is asked about; None of others, and of other recipes."""
        recipe = None if self.bundle is None else self.bundle.recipe
        if self.many is not None or not isinstance(recipe, HarLstm):
            return None
        # It learns nothing from measures.
        return recipe.for_symbol(None, pd.DataFrame())

    def symbol_of(self, present: Sequence[str], symbol: str | None) -> str:
        """The one of the symbols `present` in bars that is asked for; None is the model's own, or the only one.

        Raises
        ------
        BarsError
            The one asked for is not among them, or none of several was.
        """
        return symbol_among(present, self.symbol if symbol is None and self.symbol in present else symbol)

    @property
    def symbol(self) -> str | None:
        """The symbol that the model is of; None of a model of many, and of none."""
        symbol: str | None = None if self.bundle is None else self.bundle.manifest.get("symbol")
        return symbol

    @cached_property
    def trained_through(self) -> pd.Timestamp | None:
        """Last moment (market time) whose data the model saw; None where nobody wrote it down."""
        return None if self.bundle is None else self.bundle.trained_through

    @cached_property
    def measurement(self) -> HourlyMeasurement:
        """How the bars of each hour are measured that the model is fed with."""
        config = self.config
        return HourlyMeasurement(
            self.preset,
            config.rv_estimator,
            config.min_bucket_coverage,
            config.effective_market,
            self.sees_nights,
            self.sees_steps,
        )

    @property
    def sees_nights(self) -> bool:
        """Whether the model looks at what trades between sessions."""
        recipe = None if self.bundle is None else self.bundle.recipe
        return isinstance(recipe, HarLstm) and recipe.features.with_nights

    @property
    def sees_steps(self) -> bool:
        """Whether the model looks at the last steps of the bars of a bucket."""
        recipe = None if self.bundle is None else self.bundle.recipe
        return isinstance(recipe, HarLstm) and bool(recipe.features.step_inputs)

    @property
    def overnight_symbol(self) -> str | None:
        """The other symbol whose nights the model looks at; None where it looks at none, or at the bars' own."""
        return None if self.bundle is None else self.config.overnight_symbol

    def overnight_among(self, bars: pd.DataFrame | None) -> pd.DataFrame | None:
        """The overnight `bars` that are at hand, where the model looks at such; None of one that does not."""
        return None if self.overnight_symbol is None else bars

    def require_overnight(self, *, is_given: bool) -> None:
        """Refuse overnight bars that the model has no use for, and none where it was trained with such.

        Raises
        ------
        BarsError
            There are none, and the model was trained with such.
        ConfigError
            There are some, and it was not.
        """
        symbol = self.overnight_symbol
        if symbol is not None and not is_given:
            raise BarsError(
                f"{self.version} was trained with the nights of {symbol} and is asked about bars without them; it must "
                f"see these; give the bars of {symbol} as overnight_bars."
            )
        if symbol is None and is_given:
            raise ConfigError(
                f"overnight_bars are given, and {self.version} was trained without another symbol's nights; they would "
                "change nothing; leave them out, or train a model with overnight_bars."
            )

    def warn_of_other_nights(self, attrs: Mapping[Any, Any]) -> None:
        """Warn where overnight bars, of which `attrs` tell, are not of the symbol that the model was trained with."""
        served = str(attrs.get("symbol") or self.overnight_symbol).upper()
        if served != self.overnight_symbol:
            text = f"{self.version} was trained with the nights of {self.overnight_symbol} and is asked with those of"
            warnings.warn(f"{text} {served}; train one with these.", ModelMismatchWarning, stacklevel=5)

    @cached_property
    def market(self) -> TradingMarket:
        """Whose buckets are forecast."""
        return self.config.effective_market

    def total_state(self, symbol: str | None) -> TotalState:
        """What the forecast of a symbol's total volatility begins with."""
        return typical_state() if self.bundle is None else self.bundle.total_state(symbol)

    def too_few(self, count: int, moment: pd.Timestamp) -> NotEnoughDataError:
        """What to raise where `count` buckets, all that had ended by `moment`, are fewer than the model's memory."""
        other = "" if count else f", in sessions of {self.market.name} (the setting market is for bars of another)"
        return NotEnoughDataError(
            f"{counted(count, f'{self.market.bucket_adjective} bucket')} had ended by {moment}; {self.version} needs "
            f"{self.memory}; give bars that begin earlier{other}."
        )

    def refuse_look_ahead(self, asof: pd.Timestamp) -> None:
        """Raise `LookAheadError` where a forecast as of that moment would be of what the model has seen."""
        if self.trained_through is not None and asof < self.trained_through:
            raise LookAheadError(
                f"a forecast as of {asof} was asked of {self.version}, which has seen data through "
                f"{self.trained_through}; forecasts may not be earlier than that; take a model trained on less, or "
                "pass allow_in_sample=True."
            )

    @property
    def reads_volume(self) -> bool:
        """Whether networks of the model see the volume of bars."""
        recipe = None if self.bundle is None else self.bundle.recipe
        return isinstance(recipe, HarLstm) and recipe.weight.supported > 0 and "volume" in recipe.features.step_inputs

    def _warn_of_another_market(self, symbol: str, source: str) -> None:
        """Warn where nobody chose the market whose hours are forecast, and the symbol tells another."""
        told = default_market(symbol, source)
        if self.config.market is None and told != self.market.name:
            text = f"{self.version} forecasts hours of {self.market.name} and is asked about {symbol}, which is traded"
            warnings.warn(
                f"{text} on {told}; say so by the setting market='{told}'.", ModelMismatchWarning, stacklevel=5
            )

    def warn_of_other_hours(self, bars: pd.DataFrame) -> None:
        """Warn where nobody chose the market whose hours are forecast, and `bars` fit another's."""
        if self.bundle is not None or self.config.market is not None or self.config.market_name != DEFAULT_MARKET:
            return
        sentence = other_hours(bars)
        if sentence is not None:
            text = f"{self.version} forecasts hours of {DEFAULT_MARKET}, where nobody says otherwise: {sentence}."
            warnings.warn(text, ModelMismatchWarning, stacklevel=4)

    def warn_of_old_bars(self, symbol: str | None, last_end: int, now: int) -> None:
        """Warn where whole sessions lie between the end of a symbol's last bar and now, in microseconds."""
        sessions = self.market.sessions
        missed = int(sessions.close.searchsorted(now, side="right") - sessions.open.searchsorted(last_end))
        if missed > 0:
            of_symbol = "" if symbol is None else f" of {symbol}"
            count = f"{missed} whole session{'' if missed == 1 else 's'} of {self.market.name}"
            text = f"the last bar{of_symbol} ended {self.market.clock.time(last_end)}, {count} before the moment of the"
            warnings.warn(
                f"{text} forecast, which knows nothing since; give newer bars, or leave out what trades no more.",
                BarsWarning,
                stacklevel=5,
            )

    def warn_of_mismatch(self, attrs: Mapping[Any, Any], columns: Collection[str]) -> None:
        """Warn where bars with these `columns`, of which `attrs` tell, are not such as the model was trained on."""
        if self.reads_volume and "volume" not in columns:
            text = f"{self.version} was trained on bars with volume and is asked about bars without, which it takes for"
            warnings.warn(f"{text} usual; give bars with their volume.", ModelMismatchWarning, stacklevel=4)
        if "symbol" not in attrs:
            return
        served = attrs["symbol"]
        if self.bundle is None:
            self._warn_of_another_market(str(served), str(attrs.get("source", "auto")))
            return
        if self.symbol is not None and served != self.symbol and (self.many is None or served not in self.many.symbols):
            text = f"{self.version} was trained on {self.symbol} and is asked about {served}, whose level and day"
            warnings.warn(f"{text} pattern differ; train one for this symbol.", ModelMismatchWarning, stacklevel=4)
        if self.bundle.simulated and not attrs.get("simulated", False):
            text = f"{self.version} was trained on SIMULATED bars and is asked about real ones"
            warnings.warn(f"{text}; train one on real bars.", ModelMismatchWarning, stacklevel=4)
