"""How far prices fell, against its definition in prices, and what the default forecast makes of it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import make_bars
from tests.support.counted import counted_recipe
from volcast.arrays import time_index
from volcast.features.falls import CHANGE_MEASURES, falls, price_changes
from volcast.features.windows import TimeSplit, split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets, with_networks

LAGS = (1, 3, 9, 20)


@given(
    changes=st.lists(st.floats(-3, 3), min_size=9, max_size=40),
    level=st.floats(-2, 2),
    rows=st.integers(1, 20),
)
def test_falls_are_distances_from_the_highest_price(changes: list[float], level: float, rows: int) -> None:
    """Each row against a walk through the prices; all rows at a time as each alone, to the last bit."""
    array = np.array(changes)
    last = np.arange(8, len(array))[-rows:]
    # As they are handed over: a column among others.
    levels = np.full((len(last), 3), level)[:, 1]
    together = falls(array, levels, last, LAGS)
    prices = np.concatenate([[0.0], np.cumsum(array)])
    for row, place in enumerate(last):
        for column, lag in enumerate((3, 9)):
            now, highest = prices[place + 1], max(prices[place + 1 - lag : place + 2])
            assert together[row, column] == pytest.approx(
                max((now - highest) / np.exp(level) / lag**0.5, -8.0), abs=1e-9
            )
        alone = falls(array[: place + 1], levels[row : row + 1], last[row : row + 1], LAGS)
        assert alone[0].tolist() == together[row].tolist()


def test_a_bucket_that_is_a_session_has_one_span_a_lag() -> None:
    changes = np.array([1.0, -1.0, -2.0, 0.5, -1.0, 1.0])
    made = falls(changes, np.zeros(2), np.array([4, 5]), (1, 1, 5, 22))
    np.testing.assert_allclose(made, [[-1.0, -3.5 / 5**0.5], [0.0, -2.5 / 5**0.5]])


def test_changes_count_nights_and_pass_over_what_is_missing() -> None:
    returns = np.array([[0.02, np.nan], [-0.01, -0.03], [np.nan, np.nan]])
    np.testing.assert_allclose(price_changes(returns, 0.01), [2.0, -4.0, 0.0])


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    """A year whose volatility is by half higher where prices lie far below the highest of the week."""
    plain = get_hourly_measures(make_bars("2024-01-02", "2024-12-31", seed=5, minutes=5))
    prices = (plain["bucket_return"].fillna(0) + plain["overnight_return"].fillna(0)).cumsum().to_numpy()
    below = prices - pd.Series(prices).rolling(35, min_periods=1).max().to_numpy()
    after = np.append(0.0, below[:-1])
    raised = np.where(after < np.median(after), 1.5, 1.0)
    changed = plain.copy()
    for name in plain.columns:
        if name in ("rv_hourly", "range_log") or name.startswith("step_range"):
            changed[name] = plain[name] * raised
        elif "variance" in name:
            changed[name] = plain[name] * raised**2
    return changed


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.25)
    parts = {"SPY": measures}, {"SPY": split}
    return with_networks(har_lstm_targets(*parts).regression, [], *parts)


def test_volatility_is_forecast_higher_after_a_fall(recipe: HarLstm, measures: pd.DataFrame) -> None:
    """Measures of volatility alike, the sign of the last session's returns alone is another."""
    label, known = time_index(measures)[-1:], np.array([len(measures) - 1])
    fallen, risen = measures.copy(), measures.copy()
    size = measures["rv_hourly"].to_numpy()[-36:]
    for frame, sign in ((fallen, -1.0), (risen, 1.0)):
        frame.loc[frame.index[-36:], "bucket_return"] = sign * size
    after_fall, after_rise = (
        float(recipe.forecast((), frame, label, known).volatility[0]) for frame in (fallen, risen)
    )
    assert after_fall > 1.1 * after_rise


@pytest.mark.parametrize("name", CHANGE_MEASURES)
def test_what_fell_long_ago_is_forgotten(name: str) -> None:
    """Of a week and more ago, returns change no forecast."""
    measures = get_hourly_measures(make_bars("2024-06-03", "2024-12-31", minutes=5))
    recipe = counted_recipe(measures)
    label, known = time_index(measures)[-1:], np.array([len(measures) - 1])
    changed = measures.copy()
    changed.loc[changed.index[:-36], name] = -0.5
    trained = int(measures.index.searchsorted(recipe.trained_through, side="right"))
    # Rows since training are what the day's regression is fitted on, so the table begins a month before.
    first = len(measures) - 1 - recipe.memory
    assert first > trained
    before, after = (
        recipe.forecast((), frame.iloc[first:], label, known - first).volatility[0] for frame in (measures, changed)
    )
    assert before == after


@pytest.mark.parametrize(("buckets", "is_enough"), [(13 * 35 - 1, False), (13 * 35, True)])
def test_less_than_a_quarter_says_nothing_of_falls(measures: pd.DataFrame, buckets: int, is_enough: bool) -> None:
    """Buckets to train on; those that validate do not count, also where the regression is fitted on both at last."""
    frame = measures.iloc[: buckets + 120]
    splits = {"SPY": TimeSplit(slice(0, buckets), slice(buckets, buckets + 80), slice(buckets + 80, len(frame)))}
    recipe = with_networks(har_lstm_targets({"SPY": frame}, splits).regression, [], {"SPY": frame}, splits)
    assert recipe.features.with_falls is is_enough
    assert HarLstm.from_dict(recipe.to_dict()).features.with_falls is is_enough
