"""Models that look at what trades between sessions: whoever asks, whenever, gets what the bars so far say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import with_noise_after
from tests.support.counted import CountingNetwork, counted_recipe
from tests.support.edits import edited
from volcast.arrays import time_index
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.measures.hourly import get_hourly_measures
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams
from volcast.store.bundle import ModelBundle

MINUTE = pd.Timedelta(minutes=1)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return simulate_bars("SPY", "2024-06-03", "2024-12-13", minutes=5, nights=True)


@pytest.fixture(scope="module")
def model(bars: pd.DataFrame) -> ServedModel:
    recipe = counted_recipe(get_hourly_measures(bars, nights=True))
    assert recipe.features.with_nights
    return served(recipe)


def served(recipe: HarLstm) -> ServedModel:
    config = TrainingConfig.from_mapping({"symbol": "SPY"})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ServedModel(ModelBundle("counted", (CountingNetwork(),), recipe, config, seen), config)


def at_once(model: ServedModel, bars: pd.DataFrame, asof: pd.Timestamp | None, horizon: Horizon = 1) -> Forecast:
    return LiveStreams().forecast(model, bars, None, asof, horizon, allow_in_sample=True)


def regular(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.tz_convert("America/New_York").between_time("09:30", "15:59").tz_convert("UTC")


def new_york(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="America/New_York")


@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_series_is_what_each_moment_forecasts(model: ServedModel, bars: pd.DataFrame, horizon: Horizon) -> None:
    """By bars that grow, by a moment that moves over one frame, and by bars that come one after the other."""
    stream = ForecastStream.of(model, bars)
    series = stream.series(stream.grid(), horizon, allow_in_sample=False)
    growing, moving = LiveStreams(), LiveStreams()
    first = int(bars.index.searchsorted(series["asof"].iloc[0]))
    live = ForecastStream.of(model, bars.iloc[: first - 5])
    taken = first - 5
    for label, row in series.iloc[:45].iterrows():
        asof = row["asof"]
        count = int(bars.index.searchsorted(asof - 5 * MINUTE, side="right"))
        live.update(bars.iloc[taken:count])
        taken = count
        for one in (
            growing.forecast(model, bars.iloc[:count], None, asof, horizon, allow_in_sample=False),
            moving.forecast(model, bars, None, asof, horizon, allow_in_sample=False),
            live.forecast(asof, horizon),
        ):
            assert one.bucket == label
            assert (one.volatility, one.lower, one.upper) == (row["volatility"], row["lower"], row["upper"])


def test_bars_of_the_night_change_the_first_bucket_as_they_come(model: ServedModel, bars: pd.DataFrame) -> None:
    """Each is what the bars so far say to whoever sees them for the first time; forward, and back."""
    moments = [new_york("2024-12-10 15:00") + 25 * MINUTE * step for step in range(50)]
    live, stream = LiveStreams(), ForecastStream.of(model, bars[bars.index < moments[0] - 5 * MINUTE])
    alone = [at_once(model, bars[bars.index <= asof - 5 * MINUTE], asof) for asof in moments]
    taken = moments[0] - 5 * MINUTE
    for asof, expected in zip(moments, alone, strict=True):
        new = bars[(bars.index >= taken) & (bars.index <= asof - 5 * MINUTE)]
        if len(new):
            stream.update(new)
            taken = new.index[-1] + MINUTE
        assert repr(stream.forecast(asof)) == repr(expected)
        assert repr(live.forecast(model, bars, None, asof, 1, allow_in_sample=True)) == repr(expected)
    for row in np.random.default_rng(0).permutation(len(moments)):
        one = live.forecast(model, bars, None, moments[row], 1, allow_in_sample=True)
        assert repr(one) == repr(alone[row])
    night = [one.volatility for one in alone if one.bucket == new_york("2024-12-11 10:00")]
    assert len(set(night)) > len(night) / 2


def test_what_ends_after_the_moment_changes_nothing(model: ServedModel, bars: pd.DataFrame) -> None:
    minutes = simulate_bars("SPY", "2024-06-03", "2024-12-13", nights=True)
    for asof in ("2024-12-03 16:00", "2024-12-03 19:17", "2024-12-04 08:44", "2024-12-04 09:29", "2024-12-04 11:00"):
        moment = new_york(asof)
        expected = at_once(model, minutes, moment)
        assert repr(at_once(model, with_noise_after(minutes, moment), moment)) == repr(expected)
        assert repr(at_once(model, minutes[minutes.index < moment], moment)) == repr(expected)


def test_a_volatile_night_makes_a_volatile_open(model: ServedModel, bars: pd.DataFrame) -> None:
    wild = bars.copy()
    night = (bars.index >= new_york("2024-12-04 04:00")) & (bars.index < new_york("2024-12-04 09:30"))
    wild.loc[night, ["open", "high", "low", "close"]] *= 1 + 0.002 * (np.arange(night.sum()) % 2)[:, None]
    first, second = new_york("2024-12-04 09:30"), new_york("2024-12-04 10:00")
    assert at_once(model, wild, first).volatility > 1.2 * at_once(model, bars, first).volatility
    assert at_once(model, wild, second).volatility == at_once(model, bars, second).volatility


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_whatever_becomes_of_bars_they_are_those_that_are_there(
    model: ServedModel, bars: pd.DataFrame, data: st.DataObject
) -> None:
    frame, live = bars.iloc[: int(bars.index.searchsorted(new_york("2024-12-04 09:00")))].copy(), LiveStreams()
    for _ in range(3):
        asof = data.draw(st.sampled_from([None, new_york("2024-12-03 18:00"), new_york("2024-12-04 08:50")]))
        one = said(live, model, frame, asof)
        assert one == said(LiveStreams(), model, frame, asof)
        frame = edited(frame, data)


def said(live: LiveStreams, model: ServedModel, bars: pd.DataFrame, asof: pd.Timestamp | None) -> str:
    try:
        return repr(live.forecast(model, bars, None, asof, 1, allow_in_sample=True))
    except BarsError as error:
        return str(error)


def test_bars_without_nights_are_refused_by_a_model_that_looks_at_them(model: ServedModel, bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"trained on bars that trade there.*nights='never'"):
        at_once(model, regular(bars), None)
    recipe = model.bundle.recipe if model.bundle is not None else None
    assert isinstance(recipe, HarLstm)
    measures = get_hourly_measures(bars)
    with pytest.raises(BarsError, match="nights=True"):
        recipe.forecast((CountingNetwork(),), measures, time_index(measures)[-1:], np.array([len(measures) - 1]))


def test_a_night_that_is_missing_counts_as_usual(model: ServedModel, bars: pd.DataFrame) -> None:
    night = (bars.index >= new_york("2024-12-03 16:00")) & (bars.index < new_york("2024-12-04 09:30"))
    assert 0 < at_once(model, bars[~night], new_york("2024-12-04 09:30")).volatility < 0.1


def test_a_model_without_nights_forecasts_as_if_there_were_none(bars: pd.DataFrame) -> None:
    plain = served(counted_recipe(get_hourly_measures(regular(bars), nights=True)))
    assert not plain.sees_nights
    for asof in ("2024-12-03 16:00", "2024-12-04 09:30", "2024-12-04 13:20"):
        whole, cut = (at_once(plain, frame, new_york(asof)) for frame in (bars, regular(bars)))
        assert repr(whole) == repr(cut)


def test_a_recipe_with_nights_is_the_same_from_json(model: ServedModel, bars: pd.DataFrame) -> None:
    assert model.bundle is not None
    assert isinstance(model.bundle.recipe, HarLstm)
    again = served(HarLstm.from_dict(model.bundle.recipe.to_dict()))
    asof = new_york("2024-12-04 09:10")
    assert repr(at_once(again, bars, asof)) == repr(at_once(model, bars, asof))
