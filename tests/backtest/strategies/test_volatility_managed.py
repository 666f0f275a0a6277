"""The overlay of inverse variance."""

import pytest

from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.strategies.volatility_managed import VolatilityManaged


def test_the_position_is_inverse_variance_over_its_mean_so_far(some_market: Market) -> None:
    decisions = VolatilityManaged().plan(some_market, Costs(0.0)).decisions
    inverse = (some_market.outlook["XYZ"]["volatility"] ** -2.0).to_numpy()
    expected = [min(inverse[row] / inverse[: row + 1].mean(), 2.0) for row in range(22, len(inverse))]
    assert decisions["position"].to_numpy() == pytest.approx(expected)
