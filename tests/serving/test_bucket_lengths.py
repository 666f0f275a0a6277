"""A default model of buckets of any length: as they come, as a series and by a single call the same, and blind."""

import numpy as np
import pandas as pd
import pytest

from tests.serving.test_stream import assert_equal, assert_same
from tests.support.bars import make_bars, with_noise_after
from tests.support.counted import CountingNetwork, counted_recipe
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.forecasters.baselines.har import fewest_buckets
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import Horizon, horizons_of
from volcast.markets.market import BUCKETS
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.serving.served_model import ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams
from volcast.store.bundle import ModelBundle

LENGTHS = [bucket for bucket in BUCKETS if bucket != "1h"]


@pytest.fixture(scope="module")
def bars() -> dict[str, pd.DataFrame]:
    """Years for buckets of a session, a few months for those of minutes."""
    first = {"5min": "2024-09-03", "2h": "2023-01-02", "session": "2023-01-02"}
    return {bucket: make_bars(first.get(bucket, "2024-07-01"), "2024-11-29", seed=3) for bucket in LENGTHS}


@pytest.fixture(scope="module")
def models(bars: dict[str, pd.DataFrame]) -> dict[str, ServedModel]:
    return {bucket: served(bars[bucket], bucket) for bucket in LENGTHS}


def served(bars: pd.DataFrame, bucket: str) -> ServedModel:
    config = TrainingConfig.from_mapping({"symbol": "SPY", "bucket": bucket})
    recipe = counted_recipe(get_hourly_measures(bars, market=config.effective_market))
    again = HarLstm.from_dict(recipe.to_dict())
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ServedModel(ModelBundle("counted", (CountingNetwork(),), again, config, seen), config)


def series_of(model: ServedModel, bars: pd.DataFrame, horizon: Horizon) -> pd.DataFrame:
    stream = ForecastStream.of(model, bars)
    return stream.series(stream.grid(), horizon, allow_in_sample=False)


@pytest.mark.parametrize("bucket", LENGTHS)
def test_bars_that_come_and_all_at_once_give_the_same(
    bucket: str, bars: dict[str, pd.DataFrame], models: dict[str, ServedModel]
) -> None:
    model, frame, live = models[bucket], bars[bucket], LiveStreams()
    for horizon in horizons_of(model.market):
        series = series_of(model, frame, horizon)
        assert (series["volatility"] > 0).all()
        for label, row in series.iloc[[0, 1, -1]].iterrows():
            asof = row["asof"]
            now = frame[frame.index < asof]
            grown = live.forecast(model, now, None, asof, horizon, allow_in_sample=False)
            assert grown.bucket == label
            assert_equal(grown, row)
            alone = LiveStreams().forecast(model, now, None, asof, horizon, allow_in_sample=False)
            assert_same(alone, grown)


@pytest.mark.parametrize("bucket", LENGTHS)
def test_no_forecast_changes_with_what_comes_after_it(
    bucket: str, bars: dict[str, pd.DataFrame], models: dict[str, ServedModel]
) -> None:
    model, frame = models[bucket], bars[bucket]
    for horizon in horizons_of(model.market):
        for asof in series_of(model, frame, horizon)["asof"].iloc[[3, -2]]:
            of_truth, of_noise = (
                LiveStreams().forecast(model, seen, None, asof, horizon, allow_in_sample=False)
                for seen in (frame, with_noise_after(frame, asof))
            )
            assert_same(of_noise, of_truth)


@pytest.mark.parametrize("bucket", LENGTHS)
def test_baselines_forecast_each_bucket_from_those_before_it(bucket: str, bars: dict[str, pd.DataFrame]) -> None:
    market = market_named("XNYS", bucket)
    measures = get_hourly_measures(bars[bucket], market=market)
    first = max(fewest_buckets(market), len(measures) - 60)
    moment = measures.index[first + 9]
    changed = get_hourly_measures(with_noise_after(bars[bucket], moment), market=market)
    targets, known = time_index(measures)[first : first + 10], np.arange(first, first + 10)
    for name, baseline in BASELINES.items():
        before, after = (baseline.forecast(rows.iloc[: first + 9], targets, known) for rows in (measures, changed))
        assert (before > 0).all(), name
        np.testing.assert_array_equal(after, before, err_msg=name)
