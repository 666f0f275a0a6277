"""What networks see of bars: against a slow plain version, against the future, and with what is missing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import make_bars, with_noise_after
from volcast.arrays import time_index
from volcast.features.bar_steps import VOLUME_MEMORY, step_inputs_of, usual_volume
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.windows import StepWindows
from volcast.forecasters.tables import HourlyTable
from volcast.measures.bucketed import STEP_MEASURES, STEP_RANGES, STEP_RETURNS, STEP_VOLUMES, STEPS
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Four months of minutes, some of which are missing, with their volume."""
    frame = make_bars("2024-08-01", "2024-11-29", seed=8)
    random = np.random.default_rng(0)
    frame = frame.assign(volume=np.exp(random.normal(8, 1, len(frame))).round())
    return frame[random.random(len(frame)) > 0.1]


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


@pytest.fixture(scope="module")
def recipe(measures: pd.DataFrame) -> HarLstm:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.25)
    return har_lstm_targets({"SPY": measures}, {"SPY": split}).regression


def plain_steps(bars: pd.DataFrame, label: pd.Timestamp) -> dict[str, float]:
    """The steps of the bucket that ends at `label`, each from its own minutes."""
    ends = time_index(bars) + pd.Timedelta(minutes=1)
    steps = {}
    for step in range(1, STEPS + 1):
        until = label - pd.Timedelta(minutes=5 * (STEPS - step))
        rows = np.flatnonzero((ends > until - pd.Timedelta(minutes=5)) & (ends <= until))
        if not len(rows):
            continue
        first = rows[0]
        opens_session = ends[first - 1].date() != ends[first].date()
        before = bars["open"].iloc[first] if opens_session else bars["close"].iloc[first - 1]
        inside = bars.iloc[rows]
        steps[f"step_range_{step}"] = np.log(max(inside["high"].max(), before) / min(inside["low"].min(), before))
        steps[f"step_return_{step}"] = np.log(inside["close"].iloc[-1] / before)
        steps[f"step_volume_{step}"] = inside["volume"].sum()
    return steps


def test_steps_are_those_of_their_minutes(bars: pd.DataFrame, measures: pd.DataFrame) -> None:
    for row in np.random.default_rng(1).integers(5, len(measures), 40):
        plain = plain_steps(bars, measures.index[row])
        made = measures[list(STEP_MEASURES)].iloc[row].dropna()
        assert made.index.tolist() == [name for name in STEP_MEASURES if name in plain]
        np.testing.assert_allclose(made, [plain[name] for name in made.index], rtol=1e-9, atol=1e-15)


def test_bars_of_five_minutes_say_what_their_minutes_say(bars: pd.DataFrame) -> None:
    whole = make_bars("2024-08-01", "2024-08-30", seed=8).assign(volume=100.0)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    longer = whole.resample("5min").agg(how).dropna()
    columns = [*STEP_RANGES, *STEP_RETURNS, *STEP_VOLUMES]
    minutes, fives = (get_hourly_measures(frame)[columns] for frame in (whole, longer))
    pd.testing.assert_frame_equal(minutes, fives, rtol=1e-9, atol=1e-14)


def test_longer_bars_and_bars_without_volume_show_less(bars: pd.DataFrame) -> None:
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    for frame, inputs in (
        (bars, ("range", "return", "volume")),
        (bars.drop(columns="volume"), ("range", "return")),
        (bars.resample("15min").agg(how).dropna(), ()),
    ):
        steps = get_hourly_measures(frame)[list(STEP_MEASURES)].to_numpy()
        assert step_inputs_of(steps, with_market=False) == inputs


@pytest.mark.parametrize("wrong", [np.inf, -5.0])
def test_what_can_be_no_volume_is_missing(bars: pd.DataFrame, wrong: float) -> None:
    rows = np.arange(len(bars)) // 200 == 25
    broken, missing = (bars.assign(volume=np.where(rows, volume, bars["volume"])) for volume in (wrong, np.nan))
    one, other = (get_hourly_measures(frame)[list(STEP_VOLUMES)] for frame in (broken, missing))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_windows_equal_the_plain_version(recipe: HarLstm, measures: pd.DataFrame) -> None:
    """The inputs by their definitions, one bucket and one step after the other."""
    features, table = recipe.features, HourlyTable.of(measures)
    steps = StepWindows(features, table)
    steps.take_in()
    hours, profile = time_index(measures).hour, features.profile[:, 6:]

    def volume(row: int, step: int) -> float:
        traded = measures[f"step_volume_{step + 1}"].iloc[row]
        return 0.0 if np.isnan(traded) else float(np.log(max(traded, 1)) - profile[hours[row], STEPS + step])

    for row in np.random.default_rng(2).integers(VOLUME_MEMORY + 1, len(measures) - 1, 20):
        opens = measures.index[row + 1].date() != measures.index[row].date()
        window = steps.windows(np.array([row]), hours[row + 1 : row + 2].to_numpy(), np.array([opens]))[0]
        level = np.mean(
            [[volume(earlier, step) for step in range(STEPS)] for earlier in range(row - VOLUME_MEMORY, row)]
        )
        for step in range(STEPS):
            spread = measures[f"step_range_{step + 1}"].iloc[row]
            moved = measures[f"step_return_{step + 1}"].iloc[row]
            usual = profile[hours[row], step]
            plain = [
                0.0 if np.isnan(spread) else np.log(max(spread, 2e-5)) - usual,
                0.0 if np.isnan(moved) else min(abs(moved) / np.exp(usual), 6),
                np.clip(volume(row, step) - level, -4, 4),
            ]
            np.testing.assert_allclose(window[step, :3], plain, rtol=1e-5, atol=1e-6)
        assert (window[:, -1] == opens).all()


def test_windows_do_not_see_the_future(recipe: HarLstm, bars: pd.DataFrame, measures: pd.DataFrame) -> None:
    moment = measures.index[-60]
    noise = with_noise_after(bars, moment)
    noise.loc[noise.index >= moment, "volume"] *= 7
    windows = []
    for frame in (measures, get_hourly_measures(noise)):
        table = HourlyTable.of(frame)
        steps = StepWindows(recipe.features, table)
        steps.take_in()
        rows = np.arange(VOLUME_MEMORY, int(frame.index.searchsorted(moment, side="right")))
        windows.append(steps.windows(rows, table.hours[rows], table.opens()[rows]))
    assert (windows[0] == windows[1]).all()


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=200), st.data())
def test_the_usual_volume_is_a_mean_of_what_came_before(values: list[float], data: st.DataObject) -> None:
    volumes, row = np.array(values), data.draw(st.integers(0, len(values) - 1))
    before = values[max(row - VOLUME_MEMORY, 0) : row]
    level = usual_volume(volumes, np.array([row]))
    np.testing.assert_allclose(level, np.mean(before) if before else 0.0, atol=1e-12)
    everywhere = usual_volume(volumes, np.arange(len(values)))
    assert everywhere[row] == level[0]
