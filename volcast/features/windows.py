"""What a forecaster is fed: HAR terms, windows, and splits in time order."""

import reprlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array2D
from volcast.counts import counted
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.features.scaling import RangeScaler, Scaler
from volcast.markets.market import TradingMarket

__all__ = [
    "HAR_LAGS",
    "TimeSplit",
    "har_lags",
    "har_terms",
    "prepare_lstm_sequences",
    "require_windows",
    "split_in_time",
]


def har_terms(values: npt.ArrayLike, lags: tuple[int, ...]) -> Float64Array2D:
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
    BarsError
        `rv_series` is no series of finite numbers.
    ConfigError
        `memory` is no whole number, 1 or more.
    """
    _require_series(rv_series, memory)
    if len(rv_series) <= memory:
        raise NotEnoughDataError(
            f"found {counted(len(rv_series), 'value')}; the rule is more than memory = {memory}; "
            "give a longer span of bars or a smaller memory."
        )
    if scaler is None:
        scaler = RangeScaler().fit(rv_series)
    scaled = scaler.scale(rv_series).astype(dtype)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, memory)[:-1, :, None]
    return windows, scaled[memory:], scaler


def _require_series(rv_series: object, memory: object) -> None:
    if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < 1:
        raise ConfigError(f"memory is {reprlib.repr(memory)}; the rule is a whole number, 1 or more; 60 is usual.")
    if not isinstance(rv_series, pd.Series):
        raise BarsError(
            f"the hourly volatilities are a {type(rv_series).__name__}; a series of numbers is needed; give what "
            "get_hourly_rv returns."
        )
    if not pd.api.types.is_numeric_dtype(rv_series) or not np.isfinite(rv_series.to_numpy(dtype=float)).all():
        raise BarsError(
            "the hourly volatilities are not all finite numbers; each must be; drop the others with dropna(), or give "
            "what get_hourly_rv returns."
        )


def require_windows(windows: object, targets: object, part: str, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what are no windows of shape (n, memory, F) and their targets, shape (n,), of numbers, n at least 1.

    Parameters
    ----------
    windows, targets
        What a caller handed over.
    part
        What ends their names: ``X_train`` and ``y_train`` are of the part ``"train"``.
    shape
        Of a window, (memory, F), where a network is there that takes no other.

    Raises
    ------
    ConfigError
        Both shapes, and the rule.
    """
    arrays = {f"X_{part}": windows, f"y_{part}": targets}
    numbers = all(isinstance(values, np.ndarray) and values.dtype.kind in "fiu" for values in arrays.values())
    if numbers and isinstance(windows, np.ndarray) and isinstance(targets, np.ndarray):
        fits = windows.ndim == 3 and windows.shape[:1] == targets.shape and 0 not in windows.shape
        if fits and (shape is None or windows.shape[1:] == shape):
            return
    said = " and ".join(f"{name} has {_shape_of(values)}" for name, values in arrays.items())
    rule = "(n, memory, F)" if shape is None else f"(n, {', '.join(map(str, shape))})"
    raise ConfigError(
        f"{said}; the rule is numbers of the shapes {rule} and (n,), n at least 1; prepare_lstm_sequences makes them."
    )


def _shape_of(values: object) -> str:
    if not isinstance(values, np.ndarray):
        return f"a {type(values).__name__}"
    return f"shape {values.shape}" + ("" if values.dtype.kind in "fiu" else f" of {values.dtype}")


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


HAR_LAGS = (1, 7, 35, 154)
"""Those of the hours of New York's exchange: an hour, a session, a week and a month of sessions."""

# Of New York's five sessions a week a month has twenty-two.
_WEEKS_A_MONTH = 22 / 5
_MANY_BUCKETS = 12


def har_lags(market: TradingMarket, count: int) -> tuple[int, ...]:
    """Buckets in one, a session, a week and a month of sessions of a market, where `count` of them are there.

    A bucket may be a session. Where trading goes on through the night, a month is hundreds of buckets: without twice
    as many, it is left out.
    """
    session, month = market.buckets_per_session, int(market.sessions_per_week * _WEEKS_A_MONTH)
    lags = (1, session, market.buckets_per_week, month * session)
    return lags[:-1] if session > _MANY_BUCKETS and count < 2 * lags[-1] else lags
