"""Days on which the Federal Reserve decides: dated facts, and what the default forecast makes of them."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.features.fed_decisions import DECISION_KINDS, beyond_the_list, decision_dummies
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import horizon_outcomes
from volcast.forecasters.recipe import recipe_from_dict
from volcast.measures.hourly import get_hourly_measures
from volcast.store.store import ModelStore
from volcast.training.har_lstm import har_lstm_targets, with_networks

DECIDED = ("2024-05-01", "2024-06-12", "2024-07-31", "2024-09-18", "2024-11-07", "2024-12-18")


def kinds_of(labels: list[str]) -> list[str]:
    index = pd.DatetimeIndex(labels).tz_localize("America/New_York")
    found = decision_dummies(index.as_unit("us").asi8)
    return [", ".join(np.array(DECISION_KINDS)[row]) for row in found]


def test_decisions_and_minutes_by_their_dates() -> None:
    assert kinds_of(["2024-12-18 10:00", "2024-12-18 14:00", "2024-12-18 15:00", "2024-12-18 16:00"]) == [
        "before a decision", "before a decision", "with a decision", "after a decision",
    ]  # fmt: skip
    # The week of an election: a Thursday.
    assert kinds_of(["2024-11-06 15:00", "2024-11-07 15:00"]) == ["", "with a decision"]
    assert kinds_of(["2025-01-08 14:00", "2025-01-08 15:00", "2025-01-08 16:00"]) == ["", "with minutes", ""]
    # Thanksgiving moved the minutes of November.
    assert kinds_of(["2024-11-26 15:00", "2024-11-27 15:00", "2024-11-29 13:00"]) == ["with minutes", "", ""]
    # Planned for this day, and held three days before.
    assert kinds_of(["2020-03-18 15:00"]) == [""]
    # Before the list begins, and after it ends.
    assert kinds_of(["2015-12-16 15:00", "2027-12-08 15:00", "2028-01-26 15:00"]) == ["", "with a decision", ""]


def test_eight_decisions_a_year_on_trading_days() -> None:
    days = pd.date_range("2016-01-01", "2027-12-31 15:00", freq="B", tz="America/New_York") + pd.Timedelta(hours=15)
    decided = decision_dummies(days.as_unit("us").asi8)[:, 1]
    counts = pd.Series(decided, days).groupby(days.year).sum()
    assert (counts.drop(2020) == 8).all()
    assert counts[2020] == 7


def test_bars_after_the_last_listed_decision_are_said() -> None:
    assert beyond_the_list(date(2027, 12, 8)) == ""
    assert "listed until 2027-12-08" in beyond_the_list(date(2027, 12, 9))


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    """Bars that move three times as much in the hour after each decision."""
    bars = make_bars("2024-04-01", "2024-12-31", seed=2)
    local = time_index(bars).tz_convert("America/New_York")
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

    made = har_lstm_targets({"SPY": measures}, {"SPY": split})

    def network(windows: Any, side: Any = None) -> Any:
        return np.zeros(len(windows))

    return with_networks(made.regression, (network,), {"SPY": measures}, {"SPY": split})


def test_a_decision_is_foreseen(recipe: HarLstm, measures: pd.DataFrame) -> None:
    day = time_index(measures).strftime("%Y-%m-%d") == "2024-12-18"
    positions = np.flatnonzero(day)
    made = recipe.forecast((), measures, time_index(measures)[positions], positions).volatility
    hours = time_index(measures).hour[positions]
    assert made[hours == 15] > 2 * made[hours == 14]
    assert made[hours == 15] > 2 * made[hours == 16]
    realized = measures["rv_hourly"].to_numpy()[positions]
    assert made[hours == 15] == pytest.approx(realized[hours == 15], rel=0.4)
    # What is left of the session holds the hour after the decision.
    ahead = recipe.forecast((), measures, time_index(measures)[positions], positions, "session_end").volatility
    outcomes = horizon_outcomes(measures, "session_end")
    np.testing.assert_allclose(ahead[hours < 15], outcomes.volatility[positions][hours < 15], rtol=0.4)


def test_a_model_of_a_release_without_decisions_goes_on_as_it_did() -> None:
    """``tests/data`` keeps one as that release wrote it; forecasts of a day with a decision are as then."""
    bundle = ModelStore(ROOT / "tests" / "data").load("schema-2-har-lstm")
    measures = get_hourly_measures(make_bars("2024-05-01", "2024-12-31", minutes=5))
    positions = np.flatnonzero(time_index(measures).strftime("%Y-%m-%d") == "2024-12-18")[-3:]
    found = bundle.forecast(measures, time_index(measures)[positions], positions)
    np.testing.assert_allclose(found.volatility, [0.0044564067, 0.0042248313, 0.0044835390], rtol=1e-6)
    np.testing.assert_allclose(found.lower, [0.0026312989, 0.0022641922, 0.0029784283], rtol=1e-6)
    np.testing.assert_allclose(found.upper, [0.0059589053, 0.0059556793, 0.0056134399], rtol=1e-6)
    again = recipe_from_dict(bundle.recipe.to_dict())
    assert isinstance(again, HarLstm)
    assert not again.features.with_decisions
    assert not again.features.with_falls
