"""A forecast carried on from call to call is the one made of the whole history at once, to the last bit."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, with_noise_after
from volcast.config import TrainingConfig
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.horizons import HORIZONS, Horizon, IntervalForecast
from volcast.forecasters.tables import HourlyRows
from volcast.measures.hourly import get_hourly_measures
from volcast.serving.served_model import Forecast, ServedModel
from volcast.sessions import new_york_clock
from volcast.store.bundle import ModelBundle
from volcast.training.har_lstm import har_lstm_targets, with_networks

WINDOW = 12


@dataclass
class CountingNetwork:
    """Stands in for a network: a fixed function of each window, which counts the windows that it was given."""

    counts: list[int] = field(default_factory=list)

    def __call__(self, windows: npt.NDArray[np.float32], side: Any = None) -> npt.NDArray[np.float64]:
        self.counts.append(len(windows))
        weights = np.cos(np.arange(windows[0].size)) / 10
        return np.array([float((window.ravel() * weights).sum()) for window in windows])


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Five months of bars; a twentieth is missing, and some buckets lack so many that they are left out."""
    bars = make_bars("2024-07-01", "2024-11-29", seed=3)
    random = np.random.default_rng(0)
    hours = bars.index.floor("h")
    thin = np.isin(hours, random.choice(hours.unique(), len(hours.unique()) // 15, replace=False))
    return bars[random.random(len(bars)) > np.where(thin, 0.4, 0.05)]


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.25)
    made = har_lstm_targets({"SPY": measures}, {"SPY": split}, WINDOW).regression
    return replace(with_networks(made, (CountingNetwork(),), {"SPY": measures}, {"SPY": split}), weight=0.5)


def served(recipe: HarLstm, *networks: CountingNetwork) -> ServedModel:
    config = TrainingConfig.from_mapping({"symbol": "SPY"})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ServedModel(ModelBundle("counted", networks or (CountingNetwork(),), recipe, config, seen), config)


def first_after_training(recipe: HarLstm, measures: pd.DataFrame) -> int:
    return int(measures.index.searchsorted(recipe.trained_through, side="right"))


def asked_at_once(
    recipe: HarLstm, measures: pd.DataFrame, positions: npt.NDArray[np.int64], horizon: Horizon
) -> npt.NDArray[np.float64]:
    made = recipe.forecast((CountingNetwork(),), measures, measures.index[positions], positions, horizon)
    return np.column_stack([made.volatility, made.lower, made.upper])


def ask(
    running: RunningForecast, measures: pd.DataFrame, labels: pd.DatetimeIndex, known: np.ndarray
) -> IntervalForecast:
    return running.forecast(HourlyRows.of(measures), labels.as_unit("us").asi8, known)


@pytest.mark.parametrize("horizon", HORIZONS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_steps_give_what_one_step_gives(
    recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon, data: st.DataObject
) -> None:
    first = first_after_training(recipe, measures)
    positions = np.arange(first, len(measures))
    expected = asked_at_once(recipe, measures, positions, horizon)
    running = RunningForecast(recipe, (CountingNetwork(),), horizon)
    begin = 0
    while begin < len(positions):
        count = data.draw(st.sampled_from([1, 1, 1, 2, 5, 30]))
        asked = positions[begin : begin + count]
        known = measures.iloc[: asked[-1]]
        made = ask(running, known if count > 1 else known.copy(), measures.index[asked], asked)
        found = np.column_stack([made.volatility, made.lower, made.upper])
        np.testing.assert_array_equal(found, expected[begin : begin + count])
        begin += count


@pytest.mark.parametrize("horizon", HORIZONS)
def test_rows_that_are_revised_or_taken_back_are_forgotten(
    recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon
) -> None:
    first = first_after_training(recipe, measures)
    running = RunningForecast(recipe, (CountingNetwork(),), horizon)
    random = np.random.default_rng(2)
    for position in (first, first + 40, first + 41, first + 20, first + 60, first - 5, first + 61):
        revised = measures.copy()
        changed = int(random.choice([1, 2, 9, 30, 200]))
        revised.iloc[position - changed : position] *= 1.2
        for table in (measures, revised, measures):
            asked = np.array([position])
            made = ask(running, table.iloc[:position], table.index[asked], asked)
            expected = asked_at_once(recipe, table, asked, horizon)
            np.testing.assert_array_equal([[made.volatility[0], made.lower[0], made.upper[0]]], expected)


def test_a_row_in_between_that_comes_late_is_taken_in(recipe: HarLstm, measures: pd.DataFrame) -> None:
    position = first_after_training(recipe, measures) + 50
    running = RunningForecast(recipe, (CountingNetwork(),), 1)
    for missing in (position - 3, position - 1):
        table = measures.drop(measures.index[missing])
        asked = np.array([position - 1])
        ask(running, table.iloc[: position - 1], table.index[asked], asked)
        asked = np.array([position])
        made = ask(running, measures.iloc[:position], measures.index[asked], asked)
        np.testing.assert_array_equal(made.volatility, asked_at_once(recipe, measures, asked, 1)[:, 0])


@pytest.mark.parametrize("horizon", HORIZONS)
def test_bars_that_grow_give_the_series(recipe: HarLstm, bars: pd.DataFrame, horizon: Horizon) -> None:
    """Bucket by bucket, another symbol's bars in between, and moments before and after a bucket's last bar is there."""
    model, other = served(recipe), make_bars("2024-07-01", "2024-11-29", seed=4)
    series = model.series(model.grid(bars), horizon, allow_in_sample=False)
    for label, row in series.iloc[:60].iterrows():
        asof = row["asof"]
        count = int(bars.index.searchsorted(asof - pd.Timedelta(minutes=1), side="right"))
        # Without its last two bars the bucket before is not what it will be.
        model.forecast(bars.iloc[: count - 2], asof, horizon, allow_in_sample=False)
        model.forecast(other, asof, horizon, allow_in_sample=False)
        one = model.forecast(bars.iloc[:count], asof, horizon, allow_in_sample=False)
        assert one.bucket == label
        assert_equal(one, row)


def test_a_moment_that_moves_over_one_frame_gives_the_series(recipe: HarLstm, bars: pd.DataFrame) -> None:
    model = served(recipe)
    series = model.series(model.grid(bars), allow_in_sample=False)
    for row in np.random.default_rng(1).permutation(len(series))[:40]:
        one = model.forecast(bars, series["asof"].iloc[row], allow_in_sample=False)
        assert_equal(one, series.iloc[row])


def assert_equal(one: Forecast, row: pd.Series) -> None:
    for name in ("volatility", "lower", "upper", "annualized_volatility"):
        assert getattr(one, name) == pytest.approx(row[name], rel=1e-9)


def test_what_is_carried_on_does_not_see_the_future(recipe: HarLstm, bars: pd.DataFrame) -> None:
    model = served(recipe)
    series = model.series(model.grid(bars), allow_in_sample=False)
    for asof in series["asof"].iloc[[3, 40, 41, 90]]:
        changed = with_noise_after(bars, asof)
        of_noise = served(recipe).forecast(changed, asof, allow_in_sample=False)
        assert model.forecast(bars, asof, allow_in_sample=False) == of_noise
        assert model.forecast(changed, asof, allow_in_sample=False) == of_noise


def test_each_call_costs_one_window(recipe: HarLstm, bars: pd.DataFrame) -> None:
    """Counted, not timed: the first call forecasts every bucket since training, each later one the next bucket."""
    network = CountingNetwork()
    model = served(recipe, network)
    ends = model.grid(bars).asof
    for asof in ends[-50:]:
        count = int(bars.index.searchsorted(asof - pd.Timedelta(minutes=1), side="right"))
        model.forecast(bars.iloc[:count], asof, allow_in_sample=False)
    assert network.counts[0] > 50
    # Now and then a bucket that is left out makes no row, and two forecasts from one history.
    assert max(network.counts[2:]) == 1
    assert len(network.counts) <= 52
    series = CountingNetwork()
    whole = served(recipe, series)
    made = whole.series(whole.grid(bars), allow_in_sample=False)
    assert sum(series.counts) <= len(made) + 1


def test_clocks_in_new_york_are_those_of_the_time_zone() -> None:
    moments = pd.date_range("1970-01-01", "2100-01-01", freq="433min", tz="UTC").as_unit("us")
    shown = moments.tz_convert("America/New_York").tz_localize(None)
    np.testing.assert_array_equal(new_york_clock(moments.asi8), shown.as_unit("us").asi8)
