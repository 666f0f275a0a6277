"""An hourly history that grows with the bars is the history of all bars, whatever comes and in whichever order."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, place_of
from tests.support.edits import edited, scale
from volcast.arrays import Int64Array1D, time_index
from volcast.bars.arrays import FrameArrays, Prices
from volcast.bars.sources.stamps import EpochUnit
from volcast.errors import BarsError, NotEnoughDataError
from volcast.forecaster import VolatilityForecaster
from volcast.measures.estimators import ESTIMATORS
from volcast.measures.hourly import HourlyMeasurement, Rows, get_hourly_measures, get_hourly_rv
from volcast.serving.history import HourlyHistory, history_of, measure

BARS = make_bars("2024-11-25", "2024-12-06")
SUMMED_UP = ("subsampled", "two_scale")
"""Estimators that add returns up along all bars: what comes before changes their last bits."""


class Followed:
    """A history, and the frames that it followed."""

    def __init__(self, measurement: HourlyMeasurement) -> None:
        self.measurement = measurement
        self.history: HourlyHistory | None = None
        self.before: FrameArrays | None = None

    def follow(self, bars: pd.DataFrame, asof: pd.Timestamp | None = None) -> pd.DataFrame:
        """The table as of a moment, of bars as `volcast.serving.stream` hands them over."""
        arrays = FrameArrays.of(bars, self.before)
        if self.history is None or self.history.names != arrays.names:
            self.history, self.before = history_of(self.measurement, arrays.names), None
        before, self.before = self.before, None
        moment = None if asof is None else asof.value // 1000
        is_same = before is not None and arrays.lies_where(before)
        self.history.follow(arrays, None, moment, before, is_same=is_same)
        self.before = arrays
        measure([self.history], self.history.last_end if moment is None else moment)
        return self.history.table.frame


def measured(bars: pd.DataFrame, asof: pd.Timestamp | None, measurement: HourlyMeasurement) -> pd.DataFrame:
    """The rows of the buckets that had ended, as the public functions make them of the bars that had."""
    moment = bars.index[-1] + pd.Timedelta(minutes=1) if asof is None else asof
    bars = bars[time_index(bars) + pd.Timedelta(minutes=1) <= moment]
    table = get_hourly_measures(bars, measurement.preset, estimator=measurement.estimator)
    return table.loc[table.index <= moment]


def assert_same(table: pd.DataFrame, bars: pd.DataFrame, asof: pd.Timestamp | None, how: HourlyMeasurement) -> None:
    expected = measured(bars, asof, how)
    assert list(table.columns) == list(expected.columns)
    assert (table.index == expected.index).all()
    if how.estimator in SUMMED_UP:
        np.testing.assert_allclose(table, expected, rtol=1e-9)
    else:
        np.testing.assert_array_equal(table, expected)


def table_or_sentence(measure: Callable[[pd.DataFrame], pd.DataFrame], bars: pd.DataFrame) -> pd.DataFrame | str:
    """What is measured of bars, or what is wrong with them."""
    try:
        return measure(bars)
    except BarsError as error:
        return str(error)


MEASUREMENTS = {name: HourlyMeasurement(estimator=name) for name in ESTIMATORS}


@pytest.mark.parametrize("name", MEASUREMENTS)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_bars_that_grow_give_what_all_of_them_give(name: str, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kept = random.random(len(BARS)) > data.draw(st.sampled_from([0.0, 0.05, 0.3]))
    hole = data.draw(st.integers(0, len(BARS) - 700))
    kept[hole : hole + 600] &= data.draw(st.booleans())
    bars = BARS[kept]
    if name == "close" and data.draw(st.booleans()):
        bars = bars.drop(columns="open")
    followed = Followed(MEASUREMENTS[name])
    for count in sorted(random.integers(900, len(bars), 12)):
        given_bars = bars.iloc[:count]
        if data.draw(st.booleans()):
            given_bars = given_bars.copy()
        late = pd.Timedelta(minutes=data.draw(st.sampled_from([1, 2, 45, 1000])))
        asof = given_bars.index[-1] + late if data.draw(st.booleans()) else None
        assert_same(followed.follow(given_bars, asof), given_bars, asof, MEASUREMENTS[name])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_edit_of_bars_that_were_seen_is_noticed(data: st.DataObject) -> None:
    bars, how = BARS.iloc[: data.draw(st.sampled_from([900, 1500, 2500]))].copy(), HourlyMeasurement()
    followed = Followed(how)
    for _ in range(8):
        asof = data.draw(st.sampled_from([None, bars.index[-1], bars.index[len(bars) // 2]]))
        expected = table_or_sentence(partial(measured, asof=asof, measurement=how), bars)
        found = table_or_sentence(partial(followed.follow, asof=asof), bars)
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected
            return
        np.testing.assert_array_equal(found, expected)
        bars = edited(bars, data)


@pytest.mark.parametrize("name", ["close", "yang_zhang"])
def test_a_moment_that_moves_over_one_frame_is_a_frame_that_grows(name: str) -> None:
    followed = Followed(MEASUREMENTS[name])
    for minutes in (2000, 2001, 2045, 2060, 2500, 1500, 2600):
        asof = BARS.index[minutes]
        assert_same(followed.follow(BARS, asof), BARS, asof, MEASUREMENTS[name])


def test_a_later_moment_and_an_earlier_one_see_the_same_bars() -> None:
    """A bucket whose last bar is missing is there as soon as it has ended, and gone at a moment before."""
    bars, how, followed = BARS.iloc[: 390 + 55], HourlyMeasurement(), Followed(HourlyMeasurement())
    end = bars.index[-1] + pd.Timedelta(minutes=1)
    for minutes in (0, 5, 300, 2, 40):
        asof = end + pd.Timedelta(minutes=minutes)
        assert_same(followed.follow(bars, asof), bars, asof, how)


def test_the_notebooks_hours_grow_too() -> None:
    how = HourlyMeasurement("colab")
    followed = Followed(how)
    for count in (100, 101, 130, 500, 1300, 700):
        bars = BARS.iloc[:count]
        asof = bars.index[-1] + pd.Timedelta(minutes=200)
        table = followed.follow(bars, asof)
        expected = get_hourly_rv(bars, preset="colab")
        last = (asof - pd.Timedelta(minutes=1)).floor("h").tz_convert("America/New_York")
        hours = pd.date_range(expected.index[0], last, freq="h")
        np.testing.assert_array_equal(table["rv_hourly"], expected.reindex(hours, fill_value=0.0))
        assert (table.index == hours).all()


@pytest.mark.parametrize("laid_out", ["in one piece", "column by column", "of two types", "in small floats"])
def test_columns_may_lie_anywhere_in_memory(laid_out: str) -> None:
    bars, how = BARS[["open", "high", "low", "close"]].copy(), HourlyMeasurement()
    if laid_out == "column by column":
        bars = pd.DataFrame({name: bars[name].to_numpy().copy() for name in bars}, index=bars.index, copy=False)
    elif laid_out == "of two types":
        bars["volume"] = 100
    elif laid_out == "in small floats":
        bars = bars.astype("float32")
    followed = Followed(how)
    for count in (1900, 1930, 2100):
        assert_same(followed.follow(bars.iloc[:count]), bars.iloc[:count], None, how)
    # Earlier highs in other memory, and the same slices with a high of the past changed.
    assert_same(followed.follow(bars.iloc[:2160].copy()), bars.iloc[:2160], None, how)
    changed = bars.copy()
    scale(changed, 1000, "high", 1.01)
    assert_same(followed.follow(changed.iloc[:2200]), changed.iloc[:2200], None, how)


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_every_unit_of_time_stamps_is_read(unit: EpochUnit) -> None:
    bars, how = BARS.copy(), HourlyMeasurement()
    bars.index = time_index(bars).as_unit(unit)
    followed = Followed(how)
    for count in (1900, 1930, 2100):
        assert_same(followed.follow(bars.iloc[:count]), bars.iloc[:count], None, how)


@pytest.mark.parametrize("wrong", ["price", "order"])
def test_wrong_bars_among_the_new_are_refused(wrong: str) -> None:
    followed, how = Followed(HourlyMeasurement()), HourlyMeasurement()
    followed.follow(BARS.iloc[:2000])
    bars = BARS.iloc[:2100].copy()
    if wrong == "price":
        bars.iloc[2050, place_of(bars, "close")] = -1.0
    else:
        bars = bars.iloc[[*range(2050), 2060, *range(2050, 2060)]]
    with pytest.raises(BarsError):
        followed.follow(bars)
    assert_same(followed.follow(BARS.iloc[:2100]), BARS.iloc[:2100], None, how)


def test_no_bar_that_had_ended_is_said() -> None:
    with pytest.raises(NotEnoughDataError, match="empty"):
        Followed(HourlyMeasurement()).follow(BARS, BARS.index[0])


def test_an_estimator_that_needs_two_bars_says_so_of_all_bars_only() -> None:
    halves = BARS.resample("30min").agg({"open": "first", "high": "max", "low": "min", "close": "last"}).dropna()
    how = HourlyMeasurement(estimator="yang_zhang")
    with pytest.raises(NotEnoughDataError, match="needs 2 at least"):
        Followed(how).follow(halves[time_index(halves).minute == 30])
    followed = Followed(how)
    followed.follow(BARS.iloc[:390])
    # The next session begins with a bucket that holds one bar.
    assert len(followed.follow(BARS.iloc[[*range(390), 419, *range(450, 460)]])) == 7


def test_each_call_costs_the_new_bars_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: what is measured after the first call is a session, not the history."""
    counts: list[int] = []
    rows = HourlyMeasurement.rows

    def counting(
        self: HourlyMeasurement,
        bars: Sequence[tuple[Int64Array1D, Prices]],
        length: int,
        *,
        are_tails: bool = False,
    ) -> list[Rows]:
        counts.append(sum(len(stamps) for stamps, _ in bars))
        return rows(self, bars, length, are_tails=are_tails)

    monkeypatch.setattr(HourlyMeasurement, "rows", counting)
    followed = Followed(HourlyMeasurement())
    for count in range(1900, 3900, 10):
        followed.follow(BARS.iloc[:count])
    assert counts[0] == 1900
    # The session from its first bar on, and the bar before it; the bars of a holiday and of a half-day's afternoon.
    assert max(counts[1:]) <= 3 * 390
    # Only where a bucket has ended.
    assert len(counts) < 60


@pytest.mark.parametrize("name", ["close", "bipower", "garman_klass"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_many_symbols_are_measured_at_once_as_each_alone(name: str, data: st.DataObject) -> None:
    """Whatever there is of each: bars of other lengths, holes, minutes without a trade, none that are new."""
    random, how = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), MEASUREMENTS[name]
    frames = [
        BARS.iloc[::step][random.random(len(BARS.iloc[::step])) > data.draw(st.sampled_from([0.0, 0.3]))]
        for step in data.draw(st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=2, max_size=6))
    ]
    for frame in frames[1:]:
        frame *= random.uniform(0.5, 2.0)
        frame.loc[random.random(len(frame)) > 0.7, "volume"] = 0.0
    names = tuple(BARS.columns) if data.draw(st.booleans()) or name == "garman_klass" else ("close", "volume")
    together, alone = ([history_of(how, names) for _ in frames] for _ in range(2))
    moments = BARS.index[np.sort(random.integers(800, len(BARS), 5))]
    for since, moment in itertools.pairwise([BARS.index[0], *moments]):
        for histories in zip(together, alone, strict=True):
            frame = frames[together.index(histories[0])]
            new = frame.loc[(frame.index >= since) & (frame.index < moment)] if data.draw(st.booleans()) else frame[:0]
            stamps = time_index(new).as_unit("us").asi8
            for history in histories:
                later = stamps > history.last_end
                added = len(history), stamps[later], {name: new[name].to_numpy()[later] for name in names}
                history.put(*added, history.require_whole(*added))
        measure(together, moment.value // 1000)
        for one, other in zip(together, alone, strict=True):
            measure([other], moment.value // 1000)
            np.testing.assert_array_equal(one.table.labels, other.table.labels)
            np.testing.assert_array_equal(one.table.values, other.table.values)
            assert one.take_changed() == other.take_changed()


@pytest.mark.parametrize("asof", ["2024-12-16 11:00", None])
@pytest.mark.parametrize("again", [False, True])
def test_a_bar_that_comes_after_later_ones_is_not_passed_over(asof: str | None, again: bool) -> None:
    bars = make_bars("2024-11-04", "2024-12-18", minutes=5)
    disordered = pd.concat([bars.iloc[1:], bars.iloc[:1]])
    forecaster = VolatilityForecaster("ewma")
    if again:
        forecaster.forecast(bars, asof)
    with pytest.raises(BarsError, match="not in time order"):
        forecaster.forecast(disordered, asof)


def test_disorder_among_what_came_later_changes_no_forecast() -> None:
    bars = make_bars("2024-11-04", "2024-12-18", minutes=5)
    disordered = pd.concat([bars.iloc[:-40], bars.iloc[:-41:-1]])
    forecaster = VolatilityForecaster("ewma")
    for asof in ("2024-12-16 11:00", "2024-12-16 12:00", "2024-12-13 11:00"):
        assert repr(forecaster.forecast(disordered, asof)) == repr(VolatilityForecaster("ewma").forecast(bars, asof))
