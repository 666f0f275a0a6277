"""Pictures of whatever it is, on whatever axes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.support.bars import make_bars
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import SCALARS, TEXT, bars_frames, damaged_frames, examples, mostly, strange_frames
from tests.support.trainings import training_result
from volcast import VolatilityForecaster
from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.figures import PICTURES
from volcast.backtest.market import Market
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.forecasters.baselines.registry import BASELINES
from volcast.measures.hourly import get_hourly_measures
from volcast.serving.figures import plot_forecasts

HISTORY = make_bars("2024-10-07", "2024-11-29", minutes=5)
FORECASTS = VolatilityForecaster("ewma").forecast_series(HISTORY, "session_end")
HOURLY = VolatilityForecaster("ewma").forecast_series(HISTORY)
AXES = mostly(st.builds(lambda: Figure().add_subplot()), SCALARS.filter(lambda value: value is not None))
ROWS = st.lists(st.integers(0, len(HOURLY) - 1), max_size=20, unique=True)
SERIES = mostly(
    ROWS.map(HOURLY.iloc.__getitem__) | st.just(HOURLY["volatility"]) | st.just(FORECASTS),
    bars_frames() | damaged_frames() | strange_frames() | SCALARS,
)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    measures = get_hourly_measures(HISTORY)
    return compare_with_baselines(measures, np.arange(200, len(measures)), BASELINES["ewma"])


@pytest.fixture(scope="module")
def backtest() -> Backtest:
    bars = HISTORY.copy()
    bars.attrs["symbol"] = "XYZ"
    return run_backtest(VolatilityTarget(0.1), Market.of(bars, {"XYZ": FORECASTS}))


@examples(40)
@given(
    mostly(st.sampled_from(["newest", "all", "daily", "calibration", "hours", "symbols", *PICTURES]), TEXT | SCALARS),
    AXES,
    st.lists(st.lists(st.floats(), min_size=1, max_size=3), max_size=3),
)
def test_results_are_drawn_on_whatever_it_is(
    evaluation: Evaluation, backtest: Backtest, picture: Any, ax: Any, losses: list[list[float]]
) -> None:
    result = training_result("SPY", {"qlike": 0.1}, losses)
    for door, call in (
        ("Evaluation.plot", lambda: evaluation.plot(picture, ax=ax)),
        ("Backtest.plot", lambda: backtest.plot(picture, ax=ax)),
        ("TrainingResult.plot", lambda: result.plot(ax=ax)),
    ):
        drawn = outcome(door, call)
        assert isinstance(drawn, Refusal) or (drawn is ax and drawn.get_lines() + list(drawn.patches))
    curves = outcome("Backtest.curves", lambda: backtest.curves(picture))
    assert isinstance(curves, Refusal) or curves.index.equals(backtest.strategy.sessions.index)


@examples(40)
@given(SERIES, mostly(st.none() | st.just(get_hourly_measures(HISTORY)["rv_hourly"]), SERIES), AXES)
def test_forecasts_are_drawn_whatever_they_are(forecasts: Any, realized: Any, ax: Any) -> None:
    drawn = outcome("plot_forecasts", lambda: plot_forecasts(forecasts, realized, ax=ax))
    assert isinstance(drawn, Refusal | Axes)
    assert isinstance(drawn, Refusal) or isinstance(forecasts, pd.DataFrame)
