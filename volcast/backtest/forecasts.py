"""Session forecasts for a backtest: by the models of a forecaster along simulated time, or by a baseline's name."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.backtest.prices import regular_bars, session_prices
from volcast.bars.arrays import SymbolBars
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.frames import as_bars_frame
from volcast.counts import counted
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.forecasters.baselines.garch import diurnal_garch
from volcast.forecasters.baselines.har import diurnal_log_har, fewest_buckets
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.forecasters.horizons import TOTAL_HORIZONS, over_horizon
from volcast.forecasters.walk_forward import Forecaster
from volcast.markets.market import TradingMarket
from volcast.measures.hourly import get_hourly_measures

__all__ = ["BASELINE_FORECASTS", "baseline_forecasts", "model_forecasts", "perfect_foresight"]

BASELINE_FORECASTS: Mapping[str, tuple[Forecaster, Callable[[TradingMarket], int]]] = MappingProxyType(
    {
        FALLBACK: (diurnal_ewma, lambda market: market.buckets_per_session),
        "har": (diurnal_log_har, fewest_buckets),
        "garch": (diurnal_garch, fewest_buckets),
    }
)
"""What forecasts without a model, by name, and how many buckets of a market each needs before its first forecast."""


def model_forecasts(
    forecaster: VolatilityForecaster,
    bars: pd.DataFrame,
    models: Literal["serving", "as-of"] = "serving",
    *,
    overnight_bars: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """By symbol, forecasts of each session as of its open, made ahead for all of them.

    Parameters
    ----------
    forecaster
        Whose models forecast.
    bars
        One symbol's bars, or those of several, indexed by (symbol, timestamp).
    models
        ``"serving"``: the model that serves now, of what it has not seen; ``"as-of"``: the one that served, or could
        have, at each open. With a schedule (``every``) the forecaster trains on the way what would have been trained.
    overnight_bars
        Bars of another symbol, for models that are trained with its nights; see `VolatilityForecaster.forecast_series`.

    Returns
    -------
    `VolatilityForecaster.forecast_series` with ``horizon="session_end"``, and a column for each of
    `horizons.TOTAL_HORIZONS`: total volatility, not annualized, as of the close before; NaN where there is none.
    """
    bars = as_bars_frame(bars)
    return {
        name: _by_model(forecaster, bars, symbol, models, overnight_bars) for name, symbol in _symbols(bars).items()
    }


def baseline_forecasts(
    name: str, bars: pd.DataFrame, market: str | TradingMarket | None = None
) -> dict[str, pd.DataFrame]:
    """By symbol, a baseline's forecasts of each session as of its open, made from the bars alone.

    Columns are those of `VolatilityForecaster.forecast_series`.

    Parameters
    ----------
    name
        ``"ewma"``, ``"har"`` or ``"garch"``.
    bars
        One symbol's bars, or those of several, indexed by (symbol, timestamp).
    market
        Whose hours they are, by name or itself: see `markets.registry`. None is the symbol's, see `markets.names`.

    Raises
    ------
    ConfigError
        There is no such baseline.
    """
    bars = as_bars_frame(bars, market=market)
    market = market_of_bars(bars, market=market)
    if name not in BASELINE_FORECASTS:
        raise ConfigError(
            f"there is no baseline {name!r}; the rule is one of {', '.join(BASELINE_FORECASTS)}; name one of them."
        )
    forecaster, fewest = BASELINE_FORECASTS[name]
    return {
        title: _of_one(name, forecaster, fewest(market), SymbolBars.of(bars, symbol), market)
        for title, symbol in _symbols(bars).items()
    }


def perfect_foresight(bars: pd.DataFrame, market: str | TradingMarket | None = None) -> dict[str, pd.DataFrame]:
    """By symbol, what each session's volatility came to, dated as if it had been known at its open: an upper bound.

    Nobody can trade on it; it says how much a better forecast could be worth at the most.
    """
    bars = as_bars_frame(bars, market=market)
    market = market_of_bars(bars, market=market)
    tables = {}
    for name, symbol in _symbols(bars).items():
        prices = session_prices(SymbolBars.of(bars, symbol).frame, market)
        table = baseline_forecasts(FALLBACK, bars, market)[name]
        outcome = np.sqrt(prices["variance"]).rename("volatility")
        sessions = market.dates(pd.DatetimeIndex(table["asof"]))
        table["volatility"] = outcome.reindex(sessions).to_numpy()
        tables[name] = table.dropna(subset=["volatility"]).assign(model_version="perfect foresight")
    return tables


def _by_model(
    forecaster: VolatilityForecaster,
    bars: pd.DataFrame,
    symbol: str | None,
    models: Literal["serving", "as-of"],
    overnight_bars: pd.DataFrame | None,
) -> pd.DataFrame:
    series = partial(forecaster.forecast_series, bars, symbol=symbol, models=models, overnight_bars=overnight_bars)
    table = series(horizon="session_end")
    asof = pd.DatetimeIndex(table["asof"])
    for horizon in TOTAL_HORIZONS:
        totals = series(horizon=horizon, kind="total")
        # The session that is not over is the one that closes first.
        row = time_index(totals).searchsorted(asof, side="right")
        volatility = np.append(totals["volatility"], np.nan)[row]
        is_ahead = row < pd.DatetimeIndex(totals["asof"]).searchsorted(asof, side="right")
        table[horizon] = np.where(is_ahead, volatility, np.nan)
    return table


def _symbols(bars: pd.DataFrame) -> dict[str, str | None]:
    if isinstance(bars.index, pd.MultiIndex):
        return {str(name): str(name) for name in bars.index.get_level_values(0).unique()}
    return {str(bars.attrs.get("symbol", "the symbol")): None}


def _of_one(name: str, forecaster: Forecaster, fewest: int, bars: SymbolBars, market: TradingMarket) -> pd.DataFrame:
    measures = get_hourly_measures(bars, market=market)
    first = _first_buckets(bars.frame, market)
    known = np.asarray(measures.index.searchsorted(pd.DatetimeIndex(first["start"]), side="right"), dtype=np.int64)
    if len(known) == 0 or known[-1] < fewest:
        raise NotEnoughDataError(
            f"{counted(len(measures), f'{market.bucket_adjective} bucket')} make no forecast by {name}; the rule is "
            f"{fewest} before the first; give bars that begin earlier."
        )
    first, known = first[known >= fewest], known[known >= fewest]
    labels = pd.DatetimeIndex(first.index)
    volatility = over_horizon(forecaster, measures, labels, known, "session_end", market)
    table = pd.DataFrame({"asof": first["start"], "volatility": volatility, "model_version": name}, index=labels)
    table.attrs["horizon"] = "session_end"
    return table


def _first_buckets(bars: pd.DataFrame, market: TradingMarket) -> pd.DataFrame:
    """The first bucket of each session that has bars, and of the next one."""
    sessions = regular_bars(bars, market)["session"].unique()
    ahead = market.next_bucket(time_index(bars)[-1] + bar_length(time_index(bars)))
    buckets = market.bucket_table(bars.index[0], cast(pd.Timestamp, ahead.name))
    buckets = buckets[buckets["session"].isin([*sessions, ahead["session"]])]
    return buckets[~buckets["session"].duplicated()]
