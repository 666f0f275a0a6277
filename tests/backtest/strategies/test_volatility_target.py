"""The volatility target: its positions, and the volatility that comes of them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volcast.backtest.accounts import Costs
from volcast.backtest.engine import run_backtest, run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import ConfigError


def test_the_position_is_target_over_the_days_forecast_up_to_the_cap(some_market: Market) -> None:
    decisions = VolatilityTarget(0.08, 1.0, band=0.0).plan(some_market, Costs()).decisions
    expected = np.minimum(0.08 / decisions["annualized_volatility"].to_numpy(), 1.0)
    assert decisions["position"].to_numpy() == pytest.approx(expected)
    assert (decisions["position"] < 1.0).any()
    assert (decisions["position"] <= 1.0).all()


def test_costs_widen_the_band_and_lower_the_turnover(some_market: Market) -> None:
    free, dear = (run_strategy(VolatilityTarget(0.08), some_market, Costs(bps)) for bps in (0.0, 20.0))
    assert (free.plan.decisions["band"] == 0).all()
    assert dear.statistics["turnover_a_year"] < free.statistics["turnover_a_year"]
    assert dear.statistics["trades"] < free.statistics["trades"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("target_volatility", 0.0), ("target_volatility", math.nan), ("max_leverage", -1.0), ("band", -0.1)],
)
def test_a_setting_that_breaks_its_rule_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; the rule is"):
        VolatilityTarget(**{name: value})


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["SPY_1min", "NQ_1min", *(f"panel_5min/{name}_5min" for name in ("AAPL", "COST", "NVDA", "TSLA", "SPY"))]
)
def test_realized_volatility_is_within_five_percent_of_the_target(shared_dir: Path, file: str) -> None:
    path = shared_dir / "data" / f"{file}.parquet"
    if not path.is_file():
        pytest.skip(f"no real bars at {path}")
    bars = pd.read_parquet(path)
    backtest = run_backtest(VolatilityTarget(), Market.of(bars, baseline_forecasts("har", bars)))
    assert backtest.strategy.statistics["volatility_to_target"] == pytest.approx(1.0, abs=0.05)
    assert backtest.strategy.statistics["turnover_a_year"] < 25
