"""A forecast carried on from call to call is the one made of the whole history at once, to the last bit."""

import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.counted import CountingNetwork, counted_recipe, thinned_bars
from volcast import processes
from volcast.arrays import Float32Array3D, Float64Array1D, Int64Array1D, time_index
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.forecasters.tables import HourlyTable
from volcast.markets.clocks import clock_of
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    return get_hourly_measures(thinned_bars())


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    return counted_recipe(measures)


def first_after_training(recipe: HarLstm, measures: pd.DataFrame) -> int:
    return int(measures.index.searchsorted(recipe.trained_through, side="right"))


def asked_at_once(recipe: HarLstm, measures: pd.DataFrame, positions: Int64Array1D, horizon: Horizon) -> Float64Array1D:
    made = recipe.forecast((CountingNetwork(),), measures, time_index(measures)[positions], positions, horizon)
    return np.column_stack([made.volatility, made.lower, made.upper])


class NotingNetwork(CountingNetwork):
    """Notes the threads in which it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def __call__(self, windows: Float32Array3D, side: object = None) -> Float64Array1D:
        self.threads.add(threading.current_thread().name)
        return super().__call__(windows, side)


class Asked:
    """A running forecast, asked with tables of which it is told what has changed."""

    def __init__(self, recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon) -> None:
        self.table = HourlyTable(list(measures.columns), market_named("XNYS"))
        self.running = RunningForecast(recipe.for_symbol("SPY", measures), (CountingNetwork(),), horizon, self.table)

    def __call__(self, measures: pd.DataFrame, labels: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        """Volatility and bounds, shape (n, 3)."""
        changed = self.table.replace(0, time_index(measures).as_unit("us").asi8, measures.to_numpy(dtype=float))
        self.running.forget(changed)
        made = self.running.forecast(labels.as_unit("us").asi8, known)
        return np.column_stack([made.volatility, made.lower, made.upper])


@pytest.mark.parametrize("horizon", HORIZONS)
def test_on_all_cores_they_are_what_they_are_on_one(
    measures: pd.DataFrame, recipe: HarLstm, horizon: Horizon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbol that was not in training, all of whose buckets are new."""
    numbers = recipe.symbols["SPY"].horizons[1]
    with_regression = replace(
        recipe.symbols["SPY"],
        horizons={**recipe.symbols["SPY"].horizons, 1: replace(numbers, of_symbol=recipe.horizons[1].regression)},
    )
    many = replace(recipe, symbols={"SPY": with_regression, "QQQ": with_regression})
    positions = np.arange(many.memory, len(measures))
    threads, forecasts = [], []
    for available in (1, 3):
        monkeypatch.setattr(processes, "cores", lambda available=available: available)
        network = NotingNetwork()
        made = many.forecast((network,), measures, time_index(measures)[positions], positions, horizon)
        forecasts.append([made.volatility, made.lower, made.upper])
        threads.append(network.threads)
    np.testing.assert_array_equal(forecasts[1], forecasts[0])
    if horizon == 1:
        here = threading.current_thread().name
        assert threads[0] == {here}
        assert threads[1] > {here}


@pytest.mark.parametrize("horizon", HORIZONS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_steps_give_what_one_step_gives(
    recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon, data: st.DataObject
) -> None:
    first = first_after_training(recipe, measures)
    positions = np.arange(first, len(measures))
    expected = asked_at_once(recipe, measures, positions, horizon)
    ask = Asked(recipe, measures, horizon)
    begin = 0
    while begin < len(positions):
        count = data.draw(st.sampled_from([1, 1, 1, 2, 5, 30]))
        asked = positions[begin : begin + count]
        forecasts = ask(measures.iloc[: asked[-1]], time_index(measures)[asked], asked)
        np.testing.assert_array_equal(forecasts, expected[begin : begin + count])
        begin += count


@pytest.mark.parametrize("horizon", HORIZONS)
def test_rows_that_are_revised_or_taken_back_are_forgotten(
    recipe: HarLstm, measures: pd.DataFrame, horizon: Horizon
) -> None:
    first = first_after_training(recipe, measures)
    ask = Asked(recipe, measures, horizon)
    random = np.random.default_rng(2)
    for position in (first, first + 40, first + 41, first + 20, first + 60, first - 5, first + 61):
        revised = measures.copy()
        changed = int(random.choice([1, 2, 9, 30, 200]))
        revised.iloc[position - changed : position] *= 1.2
        for table in (measures, revised, measures):
            asked = np.array([position])
            forecasts = ask(table.iloc[:position], time_index(table)[asked], asked)
            np.testing.assert_array_equal(forecasts, asked_at_once(recipe, table, asked, horizon))


def test_a_row_in_between_that_comes_late_is_taken_in(recipe: HarLstm, measures: pd.DataFrame) -> None:
    position = first_after_training(recipe, measures) + 50
    ask = Asked(recipe, measures, 1)
    for missing in (position - 3, position - 1):
        table = measures.drop(measures.index[missing])
        asked = np.array([position - 1])
        ask(table.iloc[: position - 1], table.index[asked], asked)
        asked = np.array([position])
        forecasts = ask(measures.iloc[:position], time_index(measures)[asked], asked)
        np.testing.assert_array_equal(forecasts, asked_at_once(recipe, measures, asked, 1))


def test_clocks_in_new_york_are_those_of_the_time_zone() -> None:
    moments = pd.date_range("1970-01-01", "2100-01-01", freq="433min", tz="UTC").as_unit("us")
    shown = moments.tz_convert("America/New_York").tz_localize(None)
    np.testing.assert_array_equal(clock_of("America/New_York").shown(moments.asi8), shown.as_unit("us").asi8)
