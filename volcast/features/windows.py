"""What a forecaster is fed: scalers, the hour-of-day profile, HAR terms, windows, and splits in time order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from errors import ConfigError, NotEnoughDataError
from trading_sessions import EXCHANGE_TIMEZONE

__all__ = [
    "RV_FLOOR",
    "DiurnalLogScaler",
    "RangeScaler",
    "Scaler",
    "TimeSplit",
    "har_terms",
    "hour_of_day_profile",
    "make_scaler",
    "prepare_lstm_sequences",
    "scaler_from_dict",
    "session_hours",
    "split_in_time",
]

FloatArray = npt.NDArray[np.float64]

RV_FLOOR = 1e-5
"""Hourly volatilities below this (a tenth of a basis point) count as this much before a logarithm is taken."""


_TICKS_AN_HOUR = {"s": 3600, "ms": 3_600_000, "us": 3_600_000_000, "ns": 3_600_000_000_000}


class Scaler(Protocol):
    """Maps hourly RV to the numbers that a network is fed, and back. Fitted on training data alone."""

    kind: str

    def fit(self, rv: pd.Series) -> "Scaler":
        """Learn the scaler's numbers from `rv`, a series of hourly RV indexed by bucket label; returns itself."""

    def scale(self, rv: pd.Series) -> FloatArray:
        """Scaled values, shape (n,), of hourly RV indexed by bucket label."""

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> FloatArray:
        """Hourly RV, shape (n,), of scaled values that belong to the buckets `labels`."""

    def to_dict(self) -> dict[str, Any]:
        """The scaler's numbers, ready for JSON; `scaler_from_dict` reads them."""


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

    def scale(self, rv: pd.Series) -> FloatArray:
        """Scaled values, shape (n,)."""
        return self.transform(rv.to_numpy())

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> FloatArray:
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
    residuals are known.
    """

    profile: dict[int, float] = field(default_factory=dict)
    spread: float = 1.0
    smearing: float = 1.0
    kind: str = field(default="diurnal_log", init=False)

    def fit(self, rv: pd.Series) -> "DiurnalLogScaler":
        """Learn the profile and the spread of `rv` around it."""
        self.profile = hour_of_day_profile(rv)
        self.spread = float(np.std(_log(rv) - self._profile_at(rv.index))) or 1.0
        return self

    def scale(self, rv: pd.Series) -> FloatArray:
        """Scaled values, shape (n,)."""
        return (_log(rv) - self._profile_at(rv.index)) / self.spread

    def unscale(self, scaled: npt.ArrayLike, labels: pd.DatetimeIndex) -> FloatArray:
        """Hourly RV, shape (n,), smearing included."""
        return np.exp(np.asarray(scaled, dtype=float) * self.spread + self._profile_at(labels)) * self.smearing

    def fit_smearing(self, scaled_target: npt.ArrayLike, scaled_forecast: npt.ArrayLike) -> None:
        """Learn `smearing` from forecasts of buckets that the network was fitted or selected on."""
        residual = (np.asarray(scaled_target, dtype=float) - np.asarray(scaled_forecast, dtype=float)) * self.spread
        self.smearing = float(np.sqrt(np.mean(np.exp(2.0 * residual))))

    def to_dict(self) -> dict[str, Any]:
        """The scaler's numbers, ready for JSON."""
        profile = {str(hour): mean for hour, mean in sorted(self.profile.items())}
        return {"kind": self.kind, "profile": profile, "spread": self.spread, "smearing": self.smearing}

    def _profile_at(self, labels: pd.DatetimeIndex) -> FloatArray:
        # An hour that training never saw (another exchange's, say) is taken as an average one.
        by_hour = np.full(24, np.mean(list(self.profile.values())))
        by_hour[list(self.profile)] = list(self.profile.values())
        return np.asarray(by_hour[session_hours(labels)], dtype=float)


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
        return DiurnalLogScaler(profile, float(numbers["spread"]), float(numbers["smearing"]))
    raise ConfigError(f"scaler kind is {numbers.get('kind')!r}; the rule is one of {', '.join(_SCALERS)}.")


def session_hours(labels: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """New York clock hour of each bucket label: 10 for the first bucket of a session, 16 for the last."""
    # Most labels are in New York time already, and a forecast of one bucket feels a conversion.
    if getattr(labels.tz, "key", None) != EXCHANGE_TIMEZONE:
        labels = labels.tz_convert(EXCHANGE_TIMEZONE)
    local = labels.tz_localize(None)
    return np.asarray(local.asi8 // _TICKS_AN_HOUR[local.unit] % 24, dtype=np.int64)


def hour_of_day_profile(rv: pd.Series) -> dict[int, float]:
    """Mean log RV of each hour of the day in `rv`, keyed by New York clock hour of the label."""
    means = pd.Series(_log(rv)).groupby(session_hours(rv.index)).mean()
    return {int(hour): float(mean) for hour, mean in means.items()}


def har_terms(values: npt.ArrayLike, lags: tuple[int, ...]) -> FloatArray:
    """Means of the last `lags` values up to and including each position: shape (n, len(lags)), NaN where too few.

    The regressors of the heterogeneous autoregression (Corsi 2009, *Journal of Financial Econometrics* 7).
    """
    series = pd.Series(np.asarray(values, dtype=float))
    return np.column_stack([series.rolling(lag).mean().to_numpy() for lag in lags])


def prepare_lstm_sequences(
    rv_series: pd.Series,
    memory: int = 60,
    scaler: Scaler | None = None,
    *,
    dtype: npt.DTypeLike = np.float32,
) -> tuple[np.ndarray, np.ndarray, Scaler]:
    """Windows of the last `memory` buckets and the value that follows each.

    Parameters
    ----------
    rv_series
        Hourly RV indexed by bucket label, shape (n + memory,).
    memory
        Buckets in a window.
    scaler
        A fitted scaler; None fits a `RangeScaler` on the whole of `rv_series`, as the notebook did.
    dtype
        float32 is what networks compute in; float64 keeps the scaler's exact values.

    Returns
    -------
    X
        Shape (n, memory, 1), a read-only view: ``X[i] = scaled[i : i + memory]``.
    y
        Shape (n,), a view: ``y[i] = scaled[i + memory]``.
    scaler
        The scaler that was used.

    Raises
    ------
    NotEnoughDataError
        There are no more than `memory` values.
    """
    if len(rv_series) <= memory:
        raise NotEnoughDataError(
            f"found {len(rv_series)} hourly values; the rule is more than memory = {memory}; "
            "give a longer span of bars or a smaller memory."
        )
    if scaler is None:
        scaler = RangeScaler().fit(rv_series)
    scaled = scaler.scale(rv_series).astype(dtype)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, memory)[:-1, :, None]
    return windows, scaled[memory:], scaler


@dataclass(frozen=True)
class TimeSplit:
    """Positions, in a series of buckets, of the targets of each part; in time order with a gap between them."""

    train: slice
    validation: slice
    test: slice


def split_in_time(
    count: int, *, validation_split: float, test_split: float, test_start: int | None = None, gap: int = 1
) -> TimeSplit:
    """Split `count` buckets: the last `test_split` for test, the last `validation_split` of the rest to validate.

    `test_start` is the position of the first test bucket, in place of `test_split`.

    `gap` buckets between two parts are nobody's target, so that no target of one part overlaps the next part's.
    """
    test_start = count - int(count * test_split) if test_start is None else test_start
    validation_stop = test_start - gap if test_start < count else count
    validation_start = validation_stop - int(validation_stop * validation_split)
    return TimeSplit(
        slice(0, validation_start - gap), slice(validation_start, validation_stop), slice(test_start, count)
    )


def _log(rv: pd.Series) -> FloatArray:
    logs: FloatArray = np.log(np.maximum(rv.to_numpy(dtype=float), RV_FLOOR))
    return logs
