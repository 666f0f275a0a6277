"""Session forecasts: by the EWMA that serves, by a baseline's name, and what foresight would say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.forecasts import baseline_forecasts, model_forecasts, perfect_foresight
from volcast.backtest.market import Market
from volcast.backtest.prices import session_prices
from volcast.errors import BarsError, ConfigError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.measures.hourly import get_hourly_rv


def test_the_serving_ewma_says_the_same_as_the_baseline(some_bars: pd.DataFrame) -> None:
    by_name = baseline_forecasts("ewma", some_bars)["XYZ"]
    served = model_forecasts(VolatilityForecaster("ewma"), some_bars)["XYZ"]
    assert served.attrs["horizon"] == by_name.attrs["horizon"] == "session_end"
    opens = served[served["asof"].isin(by_name["asof"])]
    assert opens["volatility"].to_numpy() == pytest.approx(by_name["volatility"].to_numpy(), rel=1e-12)


def test_a_session_is_the_root_of_its_buckets_variances(some_bars: pd.DataFrame) -> None:
    table = baseline_forecasts("ewma", some_bars)["XYZ"]
    measures = get_hourly_rv(some_bars).to_frame()
    row = table.iloc[50]
    known = int((measures.index <= row["asof"]).sum())
    labels = time_index(measures)[time_index(measures).normalize() == row["asof"].normalize()]
    buckets = [diurnal_ewma(measures, labels[[place]], np.array([known]))[0] for place in range(len(labels))]
    assert len(labels) == 7
    assert row["volatility"] == pytest.approx(np.sqrt(np.sum(np.square(buckets))), rel=1e-12)


def test_every_session_with_enough_before_it_has_one(some_bars: pd.DataFrame) -> None:
    bars = make_bars("2024-06-03", "2024-10-31", minutes=5)
    bars.attrs = {"symbol": "XYZ"}
    for name, fewest in (("ewma", 7), ("har", 308), ("garch", 308)):
        table = baseline_forecasts(name, bars)["XYZ"]
        sessions = session_prices(bars)
        before = 7 * np.arange(len(sessions)) - 3 * np.asarray(sessions.index > "2024-07-03")
        assert len(table) == (before >= fewest).sum() + 1
        assert (table["volatility"] > 0).all()
        assert set(table["model_version"]) == {name}


def test_foresight_is_what_came(some_bars: pd.DataFrame) -> None:
    table, prices = perfect_foresight(some_bars)["XYZ"], session_prices(some_bars)
    sessions = pd.DatetimeIndex(table["asof"]).tz_localize(None).normalize()
    assert table["volatility"].to_numpy() ** 2 == pytest.approx(prices["variance"].reindex(sessions).to_numpy())


def test_another_name_is_no_baseline(some_bars: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="there is no baseline 'oracle'; the rule is one of ewma, har, garch"):
        baseline_forecasts("oracle", some_bars)


@pytest.mark.parametrize("bars", [False, [1.0], None])
def test_what_are_no_bars_is_refused(bars: Any) -> None:
    doors: list[Callable[[], object]] = [
        lambda: model_forecasts(VolatilityForecaster("ewma"), bars),
        lambda: baseline_forecasts("ewma", bars),
        lambda: perfect_foresight(bars),
        lambda: Market.of(bars),
    ]
    for door in doors:
        with pytest.raises(BarsError):
            door()
