"""Folds of a walk-forward: which rows a forecaster may be fitted on before which targets it forecasts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import ConfigError, NotEnoughDataError
from volcast.sessions import EXCHANGE_TIMEZONE

__all__ = ["Forecaster", "Refit", "WalkForwardFold", "forecast_by_fold", "walk_forward"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Forecaster = Callable[[pd.DataFrame, pd.DatetimeIndex, IntArray], FloatArray]
"""``forecast(measures, targets, known)``: hourly volatilities, shape (len(targets),). `measures` has a row a bucket
(see `measures.bucketed`), `targets` are the labels of the buckets to forecast, in time order, and ``known[i]`` is how
many leading rows of `measures` the forecast for ``targets[i]`` may use."""

Refit = Literal["once", "day", "week", "month"]

_PERIODS: dict[Refit, str] = {"day": "D", "week": "W", "month": "M"}


@dataclass(frozen=True)
class WalkForwardFold:
    """One fit, and the forecasts that are made with it.

    Attributes
    ----------
    train
        Rows of the measures that may be fitted on.
    targets
        Positions in the targets.
    """

    train: slice
    targets: slice


def walk_forward(
    targets: pd.DatetimeIndex, known: IntArray, *, refit: Refit = "day", window: int | None = None, gap: int = 0
) -> list[WalkForwardFold]:
    """Folds in time order, the same for whatever is fitted on them.

    Parameters
    ----------
    targets
        Labels of the buckets to forecast, in time order.
    known
        How many leading rows are known before each of them, never decreasing.
    refit
        A new fold begins with the first target of each New York ``"day"``, ``"week"`` (from Monday) or ``"month"``;
        ``"once"``: never again after the first.
    window
        Rolling: fit on the last `window` rows. None is expanding: on all of them.
    gap
        Rows left out between the last that is fitted on and the first target: what is forecast `horizon` buckets
        at once overlaps the `horizon` - 1 rows before it.

    Raises
    ------
    ConfigError
        `refit` is none of these, `window` is not positive or `gap` negative.
    NotEnoughDataError
        The first fold would have nothing, or less than a whole window, to be fitted on.
    """
    if refit not in get_args(Refit):
        raise ConfigError(f"refit is {refit!r}; the rule is one of {', '.join(get_args(Refit))}; use 'day'.")
    if gap < 0 or (window is not None and window < 1):
        raise ConfigError(f"window is {window} and gap {gap}; the rule is window >= 1 and gap >= 0; change them.")
    if len(targets) == 0:
        return []
    starts = _first_of_each(targets, refit)
    stops = np.append(starts[1:], len(targets))
    fitted = known[starts] - gap
    if fitted[0] < (window or 1):
        raise NotEnoughDataError(
            f"{max(fitted[0], 0)} buckets are there to be fitted on before the first forecast; the rule is "
            f"{window or 1} at least; give a longer span of bars or begin later."
        )
    return [
        WalkForwardFold(slice(0 if window is None else int(stop - window), int(stop)), slice(int(first), int(last)))
        for stop, first, last in zip(fitted, starts, stops, strict=True)
    ]


def forecast_by_fold(
    fit: Callable[[pd.DataFrame], Forecaster],
    measures: pd.DataFrame,
    targets: pd.DatetimeIndex,
    known: IntArray,
    folds: Sequence[WalkForwardFold],
) -> FloatArray:
    """Forecasts of `targets`, each fold's by the forecaster that `fit` makes of its training rows alone.

    While it forecasts, the forecaster sees the rows from the fold's first training row on, so whatever fits itself
    (a baseline) is rolling where the folds are: ``forecast_by_fold(lambda train: baseline, ...)``.
    """
    forecasts = np.empty(len(targets))
    for fold in folds:
        forecaster = fit(measures.iloc[fold.train])
        seen, first = measures.iloc[fold.train.start :], fold.train.start
        forecasts[fold.targets] = forecaster(seen, targets[fold.targets], known[fold.targets] - first)
    return forecasts


def _first_of_each(targets: pd.DatetimeIndex, refit: Refit) -> IntArray:
    if refit == "once":
        return np.zeros(1, dtype=np.int64)
    periods = targets.tz_convert(EXCHANGE_TIMEZONE).tz_localize(None).to_period(_PERIODS[refit]).asi8
    return np.append(0, np.flatnonzero(np.diff(periods)) + 1)
