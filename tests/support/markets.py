"""Markets that are not New York's: round the clock, through the week, through the night, abroad."""

from functools import cache

import pandas as pd

from tests.support.bars import ROOT
from tests.support.counted import CountingNetwork, counted_recipe
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.har import fewest_buckets
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.store.bundle import ModelBundle

__all__ = ["OTHERS", "SAVED", "counted_bundle", "forecaster_of", "history_of"]

SAVED = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")
"""Models of New York that were saved, and the fallback."""

OTHERS = ("24/7", "24/5", "CMES", "XLON", "XTKS", "XASX")
"""Their names; of each there are simulated bars."""


@cache
def history_of(name: str) -> pd.DataFrame:
    """Bars of five minutes, long enough for a first forecast of the HAR and for half as much again."""
    market = market_named(name)
    sessions = fewest_buckets(market) * 3 // (2 * market.buckets_per_session) + 25
    days = market.schedule(pd.Timestamp("2024-02-01"), pd.Timestamp("2024-12-31")).index
    return simulate_bars("CHECK", f"{days[0]:%Y-%m-%d}", f"{days[sessions]:%Y-%m-%d}", minutes=5, market=market)


@cache
def counted_bundle(name: str) -> ModelBundle:
    """A default model of a market, fitted on three quarters of its history, whose network counts its windows."""
    config = TrainingConfig.from_mapping({"symbol": "CHECK", "market": name})
    recipe = counted_recipe(get_hourly_measures(history_of(name), market=name))
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ModelBundle("counted", (CountingNetwork(),), recipe, config, seen)


def forecaster_of(model: str, market: str = "XNYS") -> VolatilityForecaster:
    """A new forecaster: by one of `SAVED`, or on another market by ``"ewma"`` or the ``"default"`` model."""
    if model != "default":
        return VolatilityForecaster(model, {"model_save_path": str(ROOT / "tests" / "data"), "market": market})
    forecaster = VolatilityForecaster("ewma", {"market": market})
    forecaster.swap(counted_bundle(market))
    return forecaster
