"""Settings of a backtest, and the strategies that they name."""

import dataclasses

import pytest

from volcast.backtest.accounts import Costs
from volcast.backtest.forecasts import BASELINE_FORECASTS
from volcast.backtest.settings import BacktestSettings
from volcast.backtest.strategies.base import Strategy
from volcast.backtest.strategies.registry import STRATEGIES, strategy_named
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import ConfigError


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_name_is_a_strategy(name: str) -> None:
    strategy = BacktestSettings(strategy=name).make_strategy()
    assert isinstance(strategy, Strategy)
    assert dataclasses.is_dataclass(strategy)


def test_a_strategy_gets_the_settings_that_it_has() -> None:
    settings = BacktestSettings.from_mapping({"target_volatility": "0.1", "band": "0.2", "max_leverage": 1.0})
    assert settings.make_strategy() == VolatilityTarget(0.1, 1.0, 0.2)
    assert settings.with_answer("band", "auto").make_strategy() == VolatilityTarget(0.1, 1.0, None)
    assert settings.make_costs() == Costs(1.0, 0.01)


def test_every_baseline_can_be_chosen() -> None:
    for name in BASELINE_FORECASTS:
        assert BacktestSettings.from_mapping({"forecasts": name}).forecasts == name


def test_everyday_words_for_periods_are_taken() -> None:
    assert BacktestSettings.from_mapping({"retrain": "monthly"}).retrain == "month"
    assert BacktestSettings.from_mapping({"retrain": "weekly"}).retrain == "week"


def test_only_what_makes_a_difference_applies() -> None:
    asked = {name: BacktestSettings(strategy=name) for name in STRATEGIES}
    assert asked["vol-target"].applies("target_volatility")
    assert not asked["straddle"].applies("target_volatility")
    assert asked["straddle"].applies("option_share")
    assert not asked["vol-target"].applies("option_share")
    assert asked["straddle"].applies("implied")
    assert not asked["vol-managed"].applies("implied")
    assert all(settings.applies("benchmark") for settings in asked.values())
    assert not asked["risk-parity"].applies("band")
    assert asked["vol-target"].shown("band") == "auto"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("strategy", "martingale", "must be one of vol-target, vol-managed, risk-parity, straddle"),
        ("forecasts", "oracle", "should be 'model', 'ewma', 'har' or 'garch'"),
        ("retrain", "daily", "should be 'none', 'week', 'month' or 'decay'"),
        ("target_volatility", "0", "should be greater than 0"),
        ("trade_bps", "-1", "should be greater than or equal to 0"),
        ("band", "wide", "should be a valid number"),
        ("stop_loss", "1", "Extra inputs are not permitted"),
        ("max_leverage", "inf", "should be a finite number"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is '{value}', but .*{rule}"):
        BacktestSettings.from_mapping({name: value})


def test_another_name_is_no_strategy() -> None:
    with pytest.raises(ConfigError, match="there is no strategy named 'martingale'; it must be one of vol-target"):
        strategy_named("martingale")
