"""Scalers, windows and splits."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler

from volcast.arrays import time_index
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.features.scaling import (
    DiurnalLogScaler,
    RangeScaler,
    Scaler,
    hour_of_day_profile,
    make_scaler,
    scaler_from_dict,
)
from volcast.features.windows import har_terms, prepare_lstm_sequences, split_in_time
from volcast.measures.hourly import get_hourly_rv


@pytest.fixture(scope="module")
def rv(bars: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(bars)


def test_windows_are_the_plain_ones(rv: pd.Series) -> None:
    X, y, scaler = prepare_lstm_sequences(rv, 60, dtype=float)
    scaled = MinMaxScaler((0, 1)).fit_transform(rv.to_numpy().reshape(-1, 1)).ravel()
    plain_X = np.array([scaled[i : i + 60] for i in range(len(rv) - 60)])[:, :, None]
    plain_y = np.array([scaled[i + 60] for i in range(len(rv) - 60)])
    assert (plain_X == X).all()
    assert (y == plain_y).all()
    assert isinstance(scaler, RangeScaler)


def test_windows_are_views_of_one_float32_array(rv: pd.Series) -> None:
    X, y, _ = prepare_lstm_sequences(rv, 60)
    assert X.dtype == y.dtype == np.float32
    assert np.shares_memory(X, y)
    assert X.strides[0] == X.strides[1] == 4
    assert not X.flags.writeable


def test_a_given_scaler_is_used_and_not_fitted_again(rv: pd.Series) -> None:
    fitted = RangeScaler().fit(rv.iloc[:100])
    _, y, scaler = prepare_lstm_sequences(rv, 60, fitted, dtype=float)
    assert scaler is fitted
    np.testing.assert_array_equal(y, fitted.transform(rv.to_numpy()[60:]))


def test_no_more_values_than_memory_is_refused(rv: pd.Series) -> None:
    with pytest.raises(NotEnoughDataError, match="found 60 values"):
        prepare_lstm_sequences(rv.iloc[:60], 60)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_range_scaling_is_scikit_learns(values: list[float]) -> None:
    series = pd.Series(values)
    ours, theirs = RangeScaler().fit(series), MinMaxScaler((0, 1)).fit(series.to_numpy().reshape(-1, 1))
    column = series.to_numpy().reshape(-1, 1)
    assert (ours.transform(column) == theirs.transform(column)).all()
    assert (ours.inverse_transform(column) == theirs.inverse_transform(column)).all()


@pytest.mark.parametrize("kind", ["minmax", "diurnal_log"])
def test_scaling_and_back_gives_the_same(rv: pd.Series, kind: str) -> None:
    scaler = make_scaler(kind).fit(rv)
    np.testing.assert_allclose(scaler.unscale(scaler.scale(rv), time_index(rv)), rv, rtol=1e-12)


@pytest.mark.parametrize("kind", ["minmax", "diurnal_log"])
def test_a_scaler_survives_json(rv: pd.Series, kind: str) -> None:
    scaler: Scaler = make_scaler(kind).fit(rv)
    again = scaler_from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert again == scaler
    assert (again.scale(rv) == scaler.scale(rv)).all()


def test_an_unknown_scaler_is_refused() -> None:
    with pytest.raises(ConfigError, match="diurnal_log"):
        make_scaler("robust")
    with pytest.raises(ConfigError, match="pickle"):
        scaler_from_dict({"kind": "pickle"})


def test_diurnal_scaling_takes_the_hours_mean_out(rv: pd.Series) -> None:
    scaled = pd.Series(DiurnalLogScaler().fit(rv).scale(rv), index=rv.index)
    np.testing.assert_allclose(scaled.groupby(time_index(rv).hour).mean(), 0, atol=1e-12)
    assert scaled.std(ddof=0) == pytest.approx(1)


def test_the_profile_is_the_plain_one(rv: pd.Series) -> None:
    profile = hour_of_day_profile(rv)
    assert sorted(profile) == [10, 11, 12, 13, 14, 15, 16]
    for hour, mean in profile.items():
        logs = [np.log(value) for label, value in zip(time_index(rv), rv, strict=True) if label.hour == hour]
        assert mean == pytest.approx(sum(logs) / len(logs), rel=1e-12)


def test_an_hour_that_was_not_seen_counts_as_an_average_one(rv: pd.Series) -> None:
    morning = DiurnalLogScaler().fit(rv[time_index(rv).hour < 13])
    level = morning.unscale([0.0], pd.DatetimeIndex([time_index(rv)[time_index(rv).hour == 16][0]]))
    assert level[0] == pytest.approx(np.exp(np.mean(list(morning.profile.values()))))


def test_smearing_makes_the_variance_unbiased(rv: pd.Series) -> None:
    scaler = DiurnalLogScaler().fit(rv)
    nothing = np.zeros(len(rv))
    scaler.fit_smearing(scaler.scale(rv), nothing)
    ratio = (rv / scaler.unscale(nothing, time_index(rv))) ** 2
    assert ratio.mean() == pytest.approx(1)


def test_har_terms_are_plain_means_of_the_past(rv: pd.Series) -> None:
    values = rv.to_numpy()
    terms = har_terms(values, (1, 7, 35))
    for i in (34, 35, 200, len(values) - 1):
        plain = [values[i - lag + 1 : i + 1].mean() for lag in (1, 7, 35)]
        np.testing.assert_allclose(terms[i], plain, rtol=1e-9)
    assert np.isnan(terms[33, 2])


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(160, 400), seed=st.integers(0, 5))
def test_no_feature_looks_ahead(cut: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.exp(random.standard_normal(600))
    changed = values.copy()
    changed[cut:] = np.exp(3 * random.standard_normal(600 - cut))
    lags = (1, 7, 35, 154)
    np.testing.assert_array_equal(har_terms(changed, lags)[:cut], har_terms(values, lags)[:cut])


@settings(max_examples=60, deadline=None)
@given(count=st.integers(60, 5000), validation=st.floats(0.05, 0.4), test=st.floats(0.05, 0.4), gap=st.integers(1, 35))
def test_parts_are_in_time_order_with_a_gap(count: int, validation: float, test: float, gap: int) -> None:
    split = split_in_time(count, validation_split=validation, test_split=test, gap=gap)
    assert split.train.start == 0
    assert split.validation.start - split.train.stop == gap
    assert split.test.start - split.validation.stop == gap
    assert split.test.stop == count
    assert split.test.stop - split.test.start == int(count * test)
