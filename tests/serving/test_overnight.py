"""Models that look at the nights of another symbol: whoever asks, whenever, gets what both symbols' bars so far say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import with_noise_after
from tests.support.counted import CountingNetwork, counted_recipe
from tests.support.edits import edited
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, LookAheadError, ModelMismatchWarning, NotEnoughDataError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import HORIZONS, Horizon
from volcast.measures.hourly import get_hourly_measures
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams
from volcast.store.bundle import ModelBundle

STEP = pd.Timedelta(minutes=5)


@pytest.fixture(scope="module")
def whole_days() -> pd.DataFrame:
    """Bars that trade from 4:00 to 20:00."""
    return simulate_bars("QQQ", "2024-06-03", "2024-12-13", minutes=5, nights=True)


@pytest.fixture(scope="module")
def bars(whole_days: pd.DataFrame) -> pd.DataFrame:
    """The same of regular hours alone, as of a fund."""
    return whole_days.tz_convert("America/New_York").between_time("09:30", "15:59").tz_convert("UTC")


@pytest.fixture(scope="module")
def future(whole_days: pd.DataFrame) -> pd.DataFrame:
    """The same on another scale, as of a future that goes with the fund."""
    future = whole_days * 40
    future.attrs = {"symbol": "NQ"}
    return future


def served(recipe: HarLstm, overnight_symbol: str | None = "NQ") -> ServedModel:
    config = TrainingConfig.from_mapping({"symbol": "QQQ", "overnight_symbol": overnight_symbol})
    seen = {"trained_through": recipe.trained_through.isoformat()}
    return ServedModel(ModelBundle("counted", (CountingNetwork(),), recipe, config, seen), config)


@pytest.fixture(scope="module")
def model(bars: pd.DataFrame, future: pd.DataFrame) -> ServedModel:
    recipe = counted_recipe(get_hourly_measures(bars, nights=True, overnight_bars=future))
    assert recipe.features.with_nights
    return served(recipe)


def at_once(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame, asof: pd.Timestamp | None, horizon: Horizon = 1
) -> Forecast:
    return LiveStreams().forecast(model, bars, None, asof, horizon, allow_in_sample=True, overnight_bars=future)


def new_york(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="America/New_York")


def ended(bars: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    return bars[bars.index <= moment - STEP]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_series_is_what_each_moment_forecasts(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame, horizon: Horizon
) -> None:
    """By bars that grow, by a moment that moves over one frame, and by bars that come one after the other."""
    stream = ForecastStream.of(model, bars, overnight_bars=future)
    series = stream.series(stream.grid(), horizon, allow_in_sample=False)
    growing, moving = LiveStreams(), LiveStreams()
    taken = series["asof"].iloc[0]
    live = ForecastStream.of(model, ended(bars, taken), overnight_bars=ended(future, taken))
    for label, row in series.iloc[1:40].iterrows():
        asof = row["asof"]
        new, of_night = (one[(one.index > taken - STEP) & (one.index <= asof - STEP)] for one in (bars, future))
        live.update(new if len(new) else None, overnight_bars=of_night)
        taken = asof
        options = {"allow_in_sample": False}
        for one in (
            growing.forecast(
                model, ended(bars, asof), None, asof, horizon, overnight_bars=ended(future, asof), **options
            ),
            moving.forecast(model, bars, None, asof, horizon, overnight_bars=future, **options),
            live.forecast(asof, horizon),
        ):
            assert one.bucket == label
            assert (one.volatility, one.lower, one.upper) == (row["volatility"], row["lower"], row["upper"])


def test_the_last_row_of_a_series_knows_the_night_until_the_last_bar(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    forecasts = []
    for moment in map(new_york, ("2024-12-12 17:00", "2024-12-13 04:30", "2024-12-13 08:40", "2024-12-13 09:25")):
        frames = ended(bars, moment), ended(future, moment)
        stream = ForecastStream.of(model, frames[0], overnight_bars=frames[1])
        last = stream.series(stream.grid(), allow_in_sample=True).iloc[-1]
        asked = at_once(model, *frames, None)
        assert asked.asof == moment
        assert [last[name] for name in ("volatility", "lower", "upper")] == [asked.volatility, asked.lower, asked.upper]
        forecasts.append(asked.volatility)
    assert len(set(forecasts)) == len(forecasts)


def test_the_table_of_a_stream_is_that_of_all_bars_at_once(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    grid = ForecastStream.of(model, bars, overnight_bars=future).grid()
    measures = get_hourly_measures(bars, nights=True, overnight_bars=future)
    pd.testing.assert_frame_equal(grid.measures, measures, check_exact=True, check_names=False)


def test_a_symbols_own_nights_are_nights_like_anothers(
    model: ServedModel, bars: pd.DataFrame, whole_days: pd.DataFrame
) -> None:
    """Handed over apart from regular hours they are measured, and forecast from, as in bars of the whole day."""
    apart = get_hourly_measures(bars, nights=True, overnight_bars=whole_days)
    pd.testing.assert_frame_equal(apart, get_hourly_measures(whole_days, nights=True), check_exact=True)
    assert model.bundle is not None
    assert isinstance(model.bundle.recipe, HarLstm)
    alone = served(model.bundle.recipe, None)
    for asof in ("2024-12-03 16:00", "2024-12-04 08:50", "2024-12-04 09:30", "2024-12-04 13:20"):
        moment = new_york(asof)
        with pytest.warns(ModelMismatchWarning, match="those of QQQ"):
            one = at_once(model, bars, whole_days, moment)
        assert repr(one) == repr(LiveStreams().forecast(alone, whole_days, None, moment, 1, allow_in_sample=True))


def test_the_night_of_the_future_changes_the_first_bucket_as_it_comes(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    """The fund's bars end at the close; forward, and back, each is what whoever sees them for the first time gets."""
    moments = [new_york("2024-12-10 15:00") + 5 * STEP * step for step in range(50)]
    stream = ForecastStream.of(model, ended(bars, moments[0]), overnight_bars=ended(future, moments[0]))
    live, taken = LiveStreams(), moments[0]
    alone = [at_once(model, ended(bars, asof), ended(future, asof), asof) for asof in moments]
    for asof, expected in zip(moments, alone, strict=True):
        new, of_night = (one[(one.index > taken - STEP) & (one.index <= asof - STEP)] for one in (bars, future))
        if len(new) or len(of_night):
            stream.update(new if len(new) else None, overnight_bars=of_night if len(of_night) else None)
        taken = asof
        assert repr(stream.forecast(asof)) == repr(expected)
        one = live.forecast(model, bars, None, asof, 1, allow_in_sample=True, overnight_bars=future)
        assert repr(one) == repr(expected)
    for row in np.random.default_rng(0).permutation(len(moments)):
        one = live.forecast(model, bars, None, moments[row], 1, allow_in_sample=True, overnight_bars=future)
        assert repr(one) == repr(alone[row])
    night = [one.volatility for one in alone if one.bucket == new_york("2024-12-11 10:00")]
    assert len(set(night)) > len(night) / 2


def test_the_moment_is_the_end_of_the_last_bar_of_either(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    close, dawn = new_york("2024-12-10 16:00"), new_york("2024-12-11 08:00")
    one = at_once(model, ended(bars, close), ended(future, dawn), None)
    assert one.asof == dawn
    assert repr(one) == repr(at_once(model, bars, future, dawn))
    stream = ForecastStream.of(model, ended(bars, close), overnight_bars=ended(future, dawn))
    assert repr(stream.forecast(allow_in_sample=True)) == repr(one)
    with pytest.raises(LookAheadError, match="taken in bars until 2024-12-11 08:00"):
        stream.forecast(close)


def test_what_ends_after_the_moment_changes_nothing(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    for asof in ("2024-12-03 16:00", "2024-12-03 19:15", "2024-12-04 08:45", "2024-12-04 09:25", "2024-12-04 11:00"):
        moment = new_york(asof)
        expected = at_once(model, bars, future, moment)
        noise = with_noise_after(future, moment)
        assert not noise.equals(future)
        assert repr(at_once(model, bars, noise, moment)) == repr(expected)
        assert repr(at_once(model, bars, ended(future, moment), moment)) == repr(expected)
    whole = ForecastStream.of(model, bars, overnight_bars=future)
    series = whole.series(whole.grid(), allow_in_sample=True)
    for moment in series["asof"].iloc[[-40, -23, -15]]:
        changed = ForecastStream.of(model, bars, overnight_bars=with_noise_after(future, moment))
        again = changed.series(changed.grid(), allow_in_sample=True)
        known = series["asof"] <= moment
        pd.testing.assert_frame_equal(again[known], series[known], check_exact=True)
        assert not again.equals(series)


def test_a_volatile_night_makes_a_volatile_open(model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame) -> None:
    wild = future.copy()
    night = (wild.index >= new_york("2024-12-04 04:00")) & (wild.index < new_york("2024-12-04 09:30"))
    wild.loc[night, ["open", "high", "low", "close"]] *= 1 + 0.002 * (np.arange(night.sum()) % 2)[:, None]
    first, second = new_york("2024-12-04 09:30"), new_york("2024-12-04 10:00")
    assert at_once(model, bars, wild, first).volatility > 1.2 * at_once(model, bars, future, first).volatility
    assert at_once(model, bars, wild, second).volatility == at_once(model, bars, future, second).volatility


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_whatever_becomes_of_both_frames_they_are_those_that_are_there(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame, data: st.DataObject
) -> None:
    morning, live = new_york("2024-12-04 09:00"), LiveStreams()
    frame, nights = ended(bars, morning).copy(), ended(future, morning).copy()
    for _ in range(4):
        asof = data.draw(st.sampled_from([None, new_york("2024-12-03 18:00"), new_york("2024-12-04 08:50")]))
        assert said(live, model, frame, nights, asof) == said(LiveStreams(), model, frame, nights, asof)
        if data.draw(st.booleans()):
            nights = edited(nights, data)
        else:
            frame = edited(frame, data)


def said(
    live: LiveStreams, model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame, asof: pd.Timestamp | None
) -> str:
    try:
        return repr(live.forecast(model, bars, None, asof, 1, allow_in_sample=True, overnight_bars=future))
    except BarsError as error:
        return str(error)


def test_revised_bars_of_the_night_are_taken_in(model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame) -> None:
    asof = new_york("2024-12-11 09:00")
    stream = ForecastStream.of(model, ended(bars, asof), overnight_bars=ended(future, asof))
    before = stream.forecast(asof)
    revised = ended(future, asof).iloc[-60:-20:3] * 1.004
    stream.update(overnight_bars=revised)
    whole = pd.concat([ended(future, asof).drop(index=revised.index), revised]).sort_index()
    assert repr(stream.forecast(asof)) == repr(at_once(model, bars, whole, asof)) != repr(before)


def test_missing_and_superfluous_overnight_bars_are_refused_in_a_sentence(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    with pytest.raises(BarsError, match=r"counted was trained with the nights of NQ.*give the bars of NQ"):
        LiveStreams().forecast(model, bars, None, None, 1, allow_in_sample=True)
    with pytest.raises(BarsError, match="trained with the nights of NQ"):
        ForecastStream.of(model, bars)
    plain = served(counted_recipe(get_hourly_measures(bars, nights=True)), None)
    fallback = VolatilityForecaster("ewma")
    with pytest.raises(ConfigError, match="trained without another symbol's nights"):
        at_once(plain, bars, future, None)
    for call in (fallback.forecast, fallback.forecast_series, fallback.stream):
        with pytest.raises(ConfigError, match="leave them out"):
            call(bars, overnight_bars=future)
    stream = fallback.stream(bars)
    with pytest.raises(ConfigError, match="leave them out"):
        stream.update(overnight_bars=future)
    with pytest.raises(BarsError, match="neither bars nor overnight_bars"):
        stream.update()


def test_what_is_wrong_with_overnight_bars_is_said_of_them(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    day = future.iloc[-300:]
    for wrong, kind, said_of in (
        (day[::-1], BarsError, "not in time order"),
        (day.iloc[:0], NotEnoughDataError, "are empty"),
        (day.drop(columns="close"), BarsError, "have no 'close'"),
        (day.tz_localize(None), BarsError, "time"),
    ):
        with pytest.raises(kind, match=f"^overnight_bars: .*{said_of}"):
            at_once(model, bars, wrong, None)
    both = pd.concat({"ES": future, "RTY": future}, names=["symbol", "timestamp"])
    with pytest.raises(BarsError, match="hold ES, RTY"):
        at_once(model, bars, both, None)
    stream = ForecastStream.of(model, bars, overnight_bars=future)
    before = repr(stream.forecast())
    later = future.iloc[-1:].set_axis(future.index[-1:] + STEP)
    with pytest.raises(BarsError, match=r"^overnight_bars: they have close, and the stream began with open"):
        stream.update(overnight_bars=later[["close"]])
    with pytest.raises(BarsError, match="zero or less"):
        stream.update(bars.iloc[-1:] * -1, overnight_bars=later)
    assert repr(stream.forecast()) == before


def test_nights_that_are_long_over_are_refused(model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match=r"no bars in the last \d nights?.*overnight_bars must"):
        at_once(model, bars, future[:"2024-11-22"], None)


def test_another_symbols_nights_than_those_of_training_are_warned_of(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    other = future.copy()
    other.attrs = {"symbol": "ES"}
    with pytest.warns(ModelMismatchWarning, match="the nights of NQ and is asked with those of ES"):
        at_once(model, bars, other, None)


def test_of_many_symbols_the_one_that_is_meant_is_taken(
    model: ServedModel, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    both = pd.concat({"ES": future * 1.5 + 1, "NQ": future}, names=["symbol", "timestamp"])
    assert repr(at_once(model, bars, both, None)) == repr(at_once(model, bars, future, None))


def test_a_pooled_model_sees_one_future_beside_all_symbols(bars: pd.DataFrame, future: pd.DataFrame) -> None:
    frames = {name: bars * (1 + 0.1 * place) for place, name in enumerate(("AAA", "BBB", "CCC"))}
    measures = get_hourly_measures(bars, nights=True, overnight_bars=future)
    recipe = counted_recipe(measures)
    many = replace(recipe, symbols={name: next(iter(recipe.symbols.values())) for name in frames})
    model, panel = served(many), pd.concat(frames, names=["symbol", "timestamp"])
    moments = [new_york("2024-12-10 16:00"), new_york("2024-12-11 07:00"), new_york("2024-12-11 09:30")]
    live = LiveStreams()
    for asof in (*moments, *moments[::-1]):
        for symbol in frames:
            options: dict[str, Any] = {"allow_in_sample": True, "overnight_bars": future}
            one = live.forecast(model, panel, symbol, asof, 1, **options)
            assert repr(one) == repr(LiveStreams().forecast(model, panel, symbol, asof, 1, **options))
    night = {live.forecast(model, panel, "BBB", asof, 1, **options).volatility for asof in moments}
    assert len(night) == len(moments)
