"""A forecast from bars as they come is the one from all of them, whatever comes, and whatever becomes of what came."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, with_noise_after
from tests.support.counted import CountingNetwork, counted_recipe, thinned_bars
from tests.support.edits import edited, scale
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.errors import BarsError, LookAheadError, ModelMismatchWarning, NotEnoughDataError
from volcast.features.scaling import make_scaler
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams
from volcast.store.bundle import ModelBundle


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return thinned_bars()


@pytest.fixture(scope="module")
def recipe(bars: pd.DataFrame) -> HarLstm:
    return counted_recipe(get_hourly_measures(bars))


def served(recipe: HarLstm, *networks: CountingNetwork) -> ServedModel:
    config = TrainingConfig.from_mapping({"symbol": "SPY"})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ServedModel(ModelBundle("counted", networks or (CountingNetwork(),), recipe, config, seen), config)


@pytest.fixture(scope="module")
def models(bars: pd.DataFrame, recipe: HarLstm) -> Mapping[str, ServedModel]:
    """One of each kind of recipe for one symbol."""
    config = TrainingConfig.from_mapping({"memory": 20})
    windows = ScaledWindows(make_scaler("diurnal_log").fit(get_hourly_rv(bars)), 20, (0.5, 2.0))
    notebook = TrainingConfig.from_mapping({"memory": 20, "preset": "colab"})
    scaled = ScaledWindows(make_scaler("minmax").fit(get_hourly_rv(bars, preset="colab")), 20, (0.5, 2.0))
    return {
        "default": served(recipe),
        "roadmap": ServedModel(ModelBundle("roadmap", (CountingNetwork(),), windows, config), config),
        "colab": ServedModel(ModelBundle("colab", (CountingNetwork(),), scaled, notebook), notebook),
        "ewma": ServedModel.of(None, TrainingConfig()),
    }


def series_of(model: ServedModel, bars: pd.DataFrame, horizon: Horizon = 1) -> pd.DataFrame:
    stream = ForecastStream.of(model, bars)
    return stream.series(stream.grid(), horizon, allow_in_sample=False)


def at_once(model: ServedModel, bars: pd.DataFrame, asof: pd.Timestamp | None = None, horizon: Horizon = 1) -> Forecast:
    """The forecast of whoever sees these bars for the first time."""
    return LiveStreams().forecast(model, bars, None, asof, horizon, allow_in_sample=True)


def assert_same(one: Forecast, other: Forecast) -> None:
    """To the last bit; a bound that is not known is no number, and equals none."""
    assert repr(one) == repr(other)


def said(forecast: Callable[[pd.DataFrame], Forecast], bars: pd.DataFrame) -> str:
    """What comes of bars: a forecast, or what is wrong with them."""
    try:
        return repr(forecast(bars))
    except BarsError as error:
        return str(error)


def assert_equal(one: Forecast, row: pd.Series) -> None:
    for name in ("volatility", "lower", "upper", "annualized_volatility"):
        assert getattr(one, name) == row[name]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_bars_that_grow_give_the_series(recipe: HarLstm, bars: pd.DataFrame, horizon: Horizon) -> None:
    """Bucket by bucket, another symbol's bars in between, and moments before and after a bucket's last bar is there."""
    model, other, live = served(recipe), make_bars("2024-07-01", "2024-11-29", seed=4), LiveStreams()
    series = series_of(model, bars, horizon)
    for label, row in series.iloc[:60].iterrows():
        asof = row["asof"]
        count = int(bars.index.searchsorted(asof - pd.Timedelta(minutes=1), side="right"))
        # Without its last two bars the bucket before is not what it will be.
        live.forecast(model, bars.iloc[: count - 2], None, asof, horizon, allow_in_sample=False)
        live.forecast(model, other, None, asof, horizon, allow_in_sample=False)
        one = live.forecast(model, bars.iloc[:count], None, asof, horizon, allow_in_sample=False)
        assert one.bucket == label
        assert_equal(one, row)


def test_a_moment_that_moves_over_one_frame_gives_the_series(recipe: HarLstm, bars: pd.DataFrame) -> None:
    model, live = served(recipe), LiveStreams()
    series = series_of(model, bars)
    for row in np.random.default_rng(1).permutation(len(series))[:40]:
        one = live.forecast(model, bars, None, series["asof"].iloc[row], 1, allow_in_sample=False)
        assert_equal(one, series.iloc[row])


def test_what_is_carried_on_does_not_see_the_future(recipe: HarLstm, bars: pd.DataFrame) -> None:
    model, live = served(recipe), LiveStreams()
    for asof in series_of(model, bars)["asof"].iloc[[3, 40, 41, 90]]:
        changed = with_noise_after(bars, asof)
        of_noise = at_once(model, changed, asof)
        assert_same(live.forecast(model, bars, None, asof, 1, allow_in_sample=False), of_noise)
        assert_same(live.forecast(model, changed, None, asof, 1, allow_in_sample=False), of_noise)


def test_each_call_costs_one_window(recipe: HarLstm, bars: pd.DataFrame) -> None:
    """Counted, not timed: the first call forecasts every bucket since training, each later one the next bucket."""
    network, live = CountingNetwork(), LiveStreams()
    model = served(recipe, network)
    for asof in ForecastStream.of(model, bars).grid().asof[-50:]:
        count = int(bars.index.searchsorted(asof - pd.Timedelta(minutes=1), side="right"))
        live.forecast(model, bars.iloc[:count], None, asof, 1, allow_in_sample=False)
    assert network.counts[0] > 50
    # Now and then a bucket that is left out makes no row, and two forecasts from one history.
    assert max(network.counts[2:]) == 1
    assert len(network.counts) <= 52
    series = CountingNetwork()
    whole = series_of(served(recipe, series), bars)
    assert sum(series.counts) <= len(whole) + 1


@pytest.mark.parametrize("kind", ["default", "roadmap", "colab", "ewma"])
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_edit_of_bars_that_were_seen_gives_what_fresh_eyes_see(
    models: Mapping[str, ServedModel], bars: pd.DataFrame, kind: str, data: st.DataObject
) -> None:
    model, live = models[kind], LiveStreams()
    # The default's regression grows after training alone, which ends in October.
    frame = bars.iloc[: -data.draw(st.integers(1, 2000))].copy()
    for _ in range(4):
        assert said(lambda bars: live.forecast(model, bars, None, None, 1, allow_in_sample=True), frame) == said(
            lambda bars: at_once(model, bars), frame
        )
        frame = edited(frame, data)


@pytest.mark.parametrize("kind", ["default", "roadmap", "colab", "ewma"])
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_stream_gives_what_all_bars_so_far_give(
    models: Mapping[str, ServedModel], bars: pd.DataFrame, kind: str, data: st.DataObject
) -> None:
    model, begin = models[kind], len(bars) - data.draw(st.integers(2500, 4000))
    frame = bars.iloc[:begin]
    stream = ForecastStream.of(model, frame)
    for _ in range(6):
        count = data.draw(st.sampled_from([1, 1, 1, 7, 60, 400]))
        new = bars.iloc[begin : begin + count]
        begin += len(new)
        stream.update(new)
        frame = pd.concat([frame, new])
        if data.draw(st.booleans()):
            # A late correction, of the bars that came last and of some before.
            revised = frame.iloc[-data.draw(st.integers(1, 500)) :: 3] * 1.002
            frame = pd.concat([frame.drop(index=revised.index), revised]).sort_index()
            stream.update(revised)
        late = pd.Timedelta(minutes=data.draw(st.sampled_from([1, 30])))
        asof = data.draw(st.sampled_from([None, frame.index[-1] + late]))
        assert_same(stream.forecast(asof, allow_in_sample=True), at_once(model, frame, asof))


def test_a_stream_says_what_it_cannot_take(models: Mapping[str, ServedModel], bars: pd.DataFrame) -> None:
    stream = ForecastStream.of(models["ewma"], bars.iloc[:3000])
    with pytest.raises(LookAheadError, match="may not be earlier"):
        stream.forecast(bars.index[2000])
    with pytest.raises(BarsError, match="begin another stream"):
        stream.update(bars.iloc[3000:3001][["close"]])
    with pytest.raises(BarsError, match="zero or less"):
        stream.update(-bars.iloc[3000:3001])
    with pytest.raises(NotEnoughDataError, match="empty"):
        stream.update(bars.iloc[:0])
    assert_same(stream.forecast(), at_once(models["ewma"], bars.iloc[:3000]))
    several = pd.concat({"SPY": bars, "QQQ": bars}, names=["symbol", "timestamp"])
    with pytest.raises(BarsError, match="SPY, QQQ"):
        ForecastStream.of(models["ewma"], several)


def test_the_forecasters_stream_stays_with_its_model(bars: pd.DataFrame, models: Mapping[str, ServedModel]) -> None:
    forecaster, bundle = VolatilityForecaster("ewma"), models["default"].bundle
    stream = forecaster.stream(bars.iloc[:-1])
    assert bundle is not None
    forecaster.swap(bundle)
    stream.update(bars.iloc[-1:])
    assert_same(stream.forecast(), at_once(models["ewma"], bars))
    assert_same(forecaster.stream(bars).forecast(), at_once(models["default"], bars))
    assert_same(forecaster.forecast(bars), at_once(models["default"], bars))


def test_a_volume_that_was_revised_is_seen(recipe: HarLstm, bars: pd.DataFrame) -> None:
    assert "volume" in recipe.features.step_inputs
    model, streams, frame = served(recipe), LiveStreams(), bars.copy()
    last = int(np.flatnonzero(time_index(frame).tz_convert("America/New_York").hour == 11)[-1])
    before = streams.forecast(model, frame.iloc[: last + 1], None, None, 1, allow_in_sample=True)
    scale(frame, last - 5, "volume", 1000.0)
    after = streams.forecast(model, frame.iloc[: last + 1], None, None, 1, allow_in_sample=True)
    assert_same(after, at_once(model, frame.iloc[: last + 1].copy()))
    assert repr(after) != repr(before)


def test_bars_whose_first_has_no_volume_are_followed(recipe: HarLstm, bars: pd.DataFrame) -> None:
    network, streams, frame = CountingNetwork(), LiveStreams(), bars.copy()
    scale(frame, 0, "volume", np.nan)
    model = served(recipe, network)
    for stop in (-3000, -2900, -2800):
        streams.forecast(model, frame.iloc[:stop].copy(), None, None, 1, allow_in_sample=True)
    assert sum(network.counts[-2:]) < 10


def test_bars_without_volume_are_said(recipe: HarLstm, bars: pd.DataFrame) -> None:
    with pytest.warns(ModelMismatchWarning, match="without, which it takes for usual"):
        at_once(served(recipe), bars.drop(columns="volume"))
