"""Scalers: hourly RV to the numbers that a network is fed, and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array1D, FloatArray, time_index
from volcast.errors import ConfigError
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named, market_of
from volcast.measures.hourly import RV_FLOOR

__all__ = ["DiurnalLogScaler", "RangeScaler", "Scaler", "hour_of_day_profile", "make_scaler", "scaler_from_dict"]


class Scaler(Protocol):
    """Maps hourly RV to the numbers that a network is fed, and back. Fitted on training data alone."""

    kind: str

    def fit(self, rv: pd.Series) -> "Scaler":
        """Learn the scaler's numbers from `rv`, a series of hourly RV indexed by bucket label; returns itself."""

    def scale(self, rv: pd.Series) -> Float64Array1D:
        """Scaled values, shape (n,), of hourly RV indexed by bucket label."""

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> Float64Array1D:
        """Hourly RV, shape (n,), of scaled values that belong to the buckets `labels`."""

    def to_dict(self) -> dict[str, Any]:
        """The scaler's numbers, ready for JSON; `scaler_from_dict` reads them."""

    @property
    def hour_profile(self) -> Float64Array1D:
        """Mean log volatility by clock hour of the label, shape (24,); NaN where it is not known."""


@dataclass
class RangeScaler:
    """Maps [data_min, data_max] of hourly RV onto [0, 1], arithmetic as in scikit-learn's `MinMaxScaler`.

    `transform` and `inverse_transform` take and give arrays of any shape, so scripts that were written against the
    notebook's scaler go on working.
    """

    data_min_: float = 0.0
    data_max_: float = 1.0
    n_samples_seen_: int = 0
    kind: str = field(default="minmax", init=False)

    @property
    def scale_(self) -> float:
        """Factor of the map."""
        data_range = self.data_max_ - self.data_min_
        return 1.0 / (data_range if data_range > 10 * np.finfo(float).eps else 1.0)

    @property
    def min_(self) -> float:
        """Offset of the map."""
        return 0.0 - self.data_min_ * self.scale_

    @property
    def hour_profile(self) -> Float64Array1D:
        """NaN, shape (24,): all hours are one to it."""
        return np.full(24, np.nan)

    def fit(self, rv: pd.Series) -> "RangeScaler":
        """Learn minimum and maximum of `rv`."""
        self.data_min_, self.data_max_, self.n_samples_seen_ = float(rv.min()), float(rv.max()), len(rv)
        return self

    def transform(self, values: npt.ArrayLike) -> FloatArray:
        """Scaled `values`, same shape."""
        return np.asarray(values, dtype=float) * self.scale_ + self.min_

    def inverse_transform(self, values: npt.ArrayLike) -> FloatArray:
        """Hourly RV of scaled `values`, same shape."""
        return (np.asarray(values, dtype=float) - self.min_) / self.scale_

    def scale(self, rv: pd.Series) -> Float64Array1D:
        """Scaled values, shape (n,)."""
        return self.transform(rv.to_numpy())

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> Float64Array1D:
        """Hourly RV, shape (n,); negative ones, which a linear output layer can give, become 0."""
        return np.maximum(self.inverse_transform(scaled), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The scaler's numbers, ready for JSON."""
        return {
            "kind": self.kind,
            "data_min": self.data_min_,
            "data_max": self.data_max_,
            "n_samples_seen": self.n_samples_seen_,
        }


@dataclass
class DiurnalLogScaler:
    """Standardized log RV without its hour-of-day mean: ``(ln rv - profile[hour]) / spread``.

    `smearing` turns the exponential of a forecast logarithm into a volatility whose square is unbiased for the
    variance: the root of the mean of ``exp(2 * residual)`` (Duan 1983, *JASA* 78). It is 1 until a fitted network's
    residuals are known. Hours are those of `market`'s clock, which `fit` takes from ``rv.attrs["market"]``.
    """

    profile: dict[int, float] = field(default_factory=dict)
    spread: float = 1.0
    smearing: float = 1.0
    market: str = DEFAULT_MARKET
    kind: str = field(default="diurnal_log", init=False)

    @property
    def hour_profile(self) -> Float64Array1D:
        """Mean log volatility by clock hour of the label, shape (24,); NaN where training saw none."""
        return np.array([self.profile.get(hour, np.nan) for hour in range(market_named(self.market).slots)])

    def fit(self, rv: pd.Series) -> "DiurnalLogScaler":
        """Learn the profile and the spread of `rv` around it."""
        self.profile, self.market = hour_of_day_profile(rv), market_of(rv).key
        self.spread = float(np.std(_log(rv) - self._profile_at(time_index(rv)))) or 1.0
        return self

    def scale(self, rv: pd.Series) -> Float64Array1D:
        """Scaled values, shape (n,)."""
        return (_log(rv) - self._profile_at(time_index(rv))) / self.spread

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> Float64Array1D:
        """Hourly RV, shape (n,), smearing included."""
        return np.exp(np.asarray(scaled, dtype=float) * self.spread + self._profile_at(labels)) * self.smearing

    def fit_smearing(self, scaled_target: npt.ArrayLike, scaled_forecast: npt.ArrayLike) -> None:
        """Learn `smearing` from forecasts of buckets that the network was fitted or selected on."""
        residual = (np.asarray(scaled_target, dtype=float) - np.asarray(scaled_forecast, dtype=float)) * self.spread
        self.smearing = float(np.sqrt(np.mean(np.exp(2.0 * residual))))

    def to_dict(self) -> dict[str, Any]:
        """The scaler's numbers, ready for JSON."""
        profile = {str(hour): mean for hour, mean in sorted(self.profile.items())}
        return {
            "kind": self.kind,
            "profile": profile,
            "spread": self.spread,
            "smearing": self.smearing,
            "market": self.market,
        }

    def _profile_at(self, labels: pd.DatetimeIndex) -> Float64Array1D:
        # An hour that training never saw (another exchange's, say) is taken as an average one.
        by_hour = np.full(market_named(self.market).slots, np.mean(list(self.profile.values())))
        by_hour[list(self.profile)] = list(self.profile.values())
        return np.asarray(by_hour[market_named(self.market).hours_of_labels(labels)], dtype=float)


_SCALERS: dict[str, Callable[[], Scaler]] = {"minmax": RangeScaler, "diurnal_log": DiurnalLogScaler}


def make_scaler(kind: str) -> Scaler:
    """An unfitted scaler: ``"minmax"`` or ``"diurnal_log"``."""
    if kind not in _SCALERS:
        raise ConfigError(f"scaling is {kind!r}; the rule is one of {', '.join(_SCALERS)}; use 'diurnal_log'.")
    return _SCALERS[kind]()


def scaler_from_dict(numbers: Mapping[str, Any]) -> Scaler:
    """The scaler whose `to_dict` gave `numbers`."""
    if numbers.get("kind") == "minmax":
        return RangeScaler(float(numbers["data_min"]), float(numbers["data_max"]), int(numbers["n_samples_seen"]))
    if numbers.get("kind") == "diurnal_log":
        profile = {int(hour): float(mean) for hour, mean in numbers["profile"].items()}
        market = str(numbers.get("market", DEFAULT_MARKET))
        return DiurnalLogScaler(profile, float(numbers["spread"]), float(numbers["smearing"]), market)
    raise ConfigError(f"scaler kind is {numbers.get('kind')!r}; the rule is one of {', '.join(_SCALERS)}.")


def hour_of_day_profile(rv: pd.Series) -> dict[int, float]:
    """Mean log RV of each hour of the day in `rv`, keyed by clock hour of the label on the market's clock."""
    means = pd.Series(_log(rv)).groupby(market_of(rv).hours_of_labels(time_index(rv))).mean()
    return {int(hour): float(mean) for hour, mean in zip(means.index, means, strict=True)}


def _log(rv: pd.Series) -> Float64Array1D:
    logs: Float64Array1D = np.log(np.maximum(rv.to_numpy(dtype=float), RV_FLOOR))
    return logs
