"""Days on which the Federal Reserve decides: dated facts, and what the default forecast makes of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_bars

from fed_decisions import DECISION_KINDS, decision_dummies
from forecast_horizons import HORIZONS, HorizonOutcomes, horizon_outcomes
from forecast_recipe import recipe_from_dict
from har_lstm import HarLstm
from har_lstm_training import har_lstm_targets, with_networks
from hourly_measures import get_hourly_measures
from intraday_features import new_york_days
from volatility_features import session_hours, split_in_time

DECIDED = ("2024-05-01", "2024-06-12", "2024-07-31", "2024-09-18", "2024-11-07", "2024-12-18")


def kinds_of(labels: list[str]) -> list[str]:
    index = pd.DatetimeIndex(labels).tz_localize("America/New_York")
    found = decision_dummies(new_york_days(index), session_hours(index))
    return [", ".join(np.array(DECISION_KINDS)[row]) for row in found]


def test_decisions_and_minutes_by_their_dates() -> None:
    assert kinds_of(["2024-12-18 10:00", "2024-12-18 14:00", "2024-12-18 15:00", "2024-12-18 16:00"]) == [
        "before a decision", "before a decision", "with a decision", "after a decision",
    ]  # fmt: skip
    # The week of an election: a Thursday.
    assert kinds_of(["2024-11-06 15:00", "2024-11-07 15:00"]) == ["", "with a decision"]
    assert kinds_of(["2025-01-08 14:00", "2025-01-08 15:00", "2025-01-08 16:00"]) == ["", "with minutes", ""]
    # Planned for this day, and held three days before.
    assert kinds_of(["2020-03-18 15:00"]) == [""]
    # Before the list begins, and after it ends.
    assert kinds_of(["2015-12-16 15:00", "2027-12-08 15:00", "2028-01-26 15:00"]) == ["", "with a decision", ""]


def test_eight_decisions_a_year_on_trading_days() -> None:
    days = pd.date_range("2016-01-01", "2027-12-31 15:00", freq="B", tz="America/New_York") + pd.Timedelta(hours=15)
    decided = decision_dummies(new_york_days(days), session_hours(days))[:, 1]
    counts = pd.Series(decided, days).groupby(days.year).sum()
    assert (counts.drop(2020) == 8).all()
    assert counts[2020] == 7


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    """Bars that move three times as much in the hour after each decision."""
    bars = make_bars("2024-04-01", "2024-12-31", seed=2)
    local = bars.index.tz_convert("America/New_York")
    leaps = np.isin(local.strftime("%Y-%m-%d"), DECIDED) & (local.hour == 14)
    returns = np.log(bars["close"]).diff().fillna(0.0) * np.where(leaps, 3, 1)
    close = 100 * np.exp(returns.cumsum())
    open_ = close.shift(fill_value=100.0)
    ends = pd.DataFrame({"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close)})
    return get_hourly_measures(ends.assign(close=close, volume=bars["volume"]))


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    """The regression alone, trained before the decision of December."""
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.15)

    def network(windows: Any, side: Any = None) -> Any:
        return np.zeros(len(windows))

    return with_networks(har_lstm_targets(measures, split, 20).regression, (network,), measures, split)


def test_a_decision_is_foreseen(recipe: HarLstm, measures: pd.DataFrame) -> None:
    day = measures.index.strftime("%Y-%m-%d") == "2024-12-18"
    positions = np.flatnonzero(day)
    made = recipe.forecast((), measures, measures.index[positions], positions)
    hours = measures.index.hour[positions]
    assert made[hours == 15] > 2 * made[hours == 14]
    assert made[hours == 15] > 2 * made[hours == 16]
    realized = measures["rv_hourly"].to_numpy()[positions]
    assert made[hours == 15] == pytest.approx(realized[hours == 15], rel=0.4)
    # What is left of the session holds the hour after the decision.
    ahead = recipe.forecast_horizon((), measures, measures.index[positions], positions, "session_end").volatility
    outcomes: HorizonOutcomes = horizon_outcomes(measures, "session_end")
    np.testing.assert_allclose(ahead[hours < 15], outcomes.volatility[positions][hours < 15], rtol=0.4)


def test_a_model_of_an_earlier_release_goes_on_as_it_did(recipe: HarLstm, measures: pd.DataFrame) -> None:
    """It was saved without decisions, and forecasts without them to the last bit."""

    def without(numbers: dict[str, Any]) -> dict[str, Any]:
        regression, kinds = numbers["regression"], len(DECISION_KINDS)
        gram = [row[:-kinds] for row in regression["gram"][:-kinds]]
        cut = {name: regression[name][:-kinds] for name in ("moment", "penalty")}
        return {**numbers, "regression": {**regression, "gram": gram, **cut}}

    saved = recipe.to_dict()
    del saved["features"]["with_decisions"]
    saved["horizons"] = {name: without(state) for name, state in saved["horizons"].items()}
    loaded = recipe_from_dict(saved)
    assert isinstance(loaded, HarLstm)
    assert recipe.features.with_decisions
    assert not loaded.features.with_decisions
    positions = np.arange(len(measures) - 100, len(measures))
    for horizon in HORIZONS:
        found = loaded.forecast_horizon((), measures, measures.index[positions], positions, horizon).volatility
        expected = replace(recipe, features=replace(recipe.features, with_decisions=False), horizons=loaded.horizons)
        again = expected.forecast_horizon((), measures, measures.index[positions], positions, horizon).volatility
        np.testing.assert_array_equal(found, again)
        assert np.isfinite(found).all()
