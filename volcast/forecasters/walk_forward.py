"""Folds of a walk-forward: which rows a forecaster may be fitted on before which targets it forecasts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named

__all__ = ["Forecaster", "Refit", "WalkForwardFold", "walk_forward"]


Forecaster = Callable[[pd.DataFrame, pd.DatetimeIndex, Int64Array1D], Float64Array1D]
"""``forecast(measures, targets, known)``: hourly volatilities, shape (len(targets),). `measures` has a row a bucket
(see `measures.bucketed`), `targets` are the labels of the buckets to forecast, in time order, and ``known[i]`` is how
many leading rows of `measures` the forecast for ``targets[i]`` may use."""

Refit = Literal["day", "week", "month"]

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
    targets: pd.DatetimeIndex, known: Int64Array1D, *, refit: Refit = "day", market: TradingMarket | None = None
) -> list[WalkForwardFold]:
    """Folds in time order, the same for whatever is fitted on them: each on all rows that are known when it begins.

    Parameters
    ----------
    targets
        Labels of the buckets to forecast, in time order.
    known
        How many leading rows are known before each of them, never decreasing.
    refit
        A new fold begins with the first target of each ``"day"``, ``"week"`` (from Monday) or ``"month"``.
    market
        Whose days; None is New York's.

    Raises
    ------
    ConfigError
        `refit` is none of these.
    NotEnoughDataError
        The first fold would have nothing to be fitted on.
    """
    if refit not in get_args(Refit):
        raise ConfigError(f"refit is {refit!r}; the rule is one of {', '.join(get_args(Refit))}; use 'day'.")
    if len(targets) == 0:
        return []
    starts = _first_of_each(targets, refit, market or market_named(DEFAULT_MARKET))
    if known[starts[0]] < 1:
        raise NotEnoughDataError(
            "0 buckets are there to be fitted on before the first forecast; the rule is 1 at least; give a longer span "
            "of bars or begin later."
        )
    stops = np.append(starts[1:], len(targets))
    return [
        WalkForwardFold(slice(0, int(known[first])), slice(int(first), int(stop)))
        for first, stop in zip(starts, stops, strict=True)
    ]


def _first_of_each(targets: pd.DatetimeIndex, refit: Refit, market: TradingMarket) -> Int64Array1D:
    days = pd.DatetimeIndex(market.days_of_labels(targets).astype("M8[D]"))
    periods = days.to_period(_PERIODS[refit]).asi8
    return np.append(0, np.flatnonzero(np.diff(periods)) + 1)
