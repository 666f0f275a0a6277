"""Longer horizons of what forecasts single buckets."""

import numpy as np
import pandas as pd
import pytest

from volcast.arrays import time_index
from volcast.errors import ConfigError
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.forecasters.horizons import Horizon, over_horizon
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_rv


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_rv(bars).to_frame()


@pytest.mark.parametrize("horizon", [1, "session_end", 7, 35])
def test_a_horizon_is_the_root_of_its_buckets_variances(measures: pd.DataFrame, horizon: Horizon) -> None:
    rows = np.array([50, 51, 200, 400, 733])
    labels = time_index(measures)[rows]
    buckets = market_named("XNYS").bucket_table(time_index(measures)[0], measures.index[-1] + pd.Timedelta(days=30))
    for row, label, value in zip(
        rows, labels, over_horizon(diurnal_ewma, measures, labels, rows, horizon, market_named("XNYS")), strict=True
    ):
        first = int(buckets.index.get_indexer(pd.DatetimeIndex([label]))[0])
        ahead = buckets.iloc[first : first + (horizon if isinstance(horizon, int) else 7)]
        if horizon == "session_end":
            ahead = ahead[ahead["session"] == buckets["session"].iloc[first]]
        singles = [
            diurnal_ewma(measures, time_index(ahead)[[place]], np.array([row]))[0] for place in range(len(ahead))
        ]
        assert value == pytest.approx(np.sqrt(np.sum(np.square(singles))), rel=1e-12)


def test_hours_outside_sessions_have_no_longer_horizon(measures: pd.DataFrame) -> None:
    night = pd.DatetimeIndex([measures.index[-1] + pd.Timedelta(hours=5)])
    with pytest.raises(ConfigError, match="ends no bucket of a session"):
        over_horizon(diurnal_ewma, measures, night, np.array([len(measures)]), "session_end", market_named("XNYS"))


def test_nothing_to_forecast_is_no_error(measures: pd.DataFrame) -> None:
    assert over_horizon(
        diurnal_ewma, measures, time_index(measures)[:0], np.empty(0, dtype=np.int64), 7, market_named("XNYS")
    ).shape == (0,)
