"""Hourly measures against a slow version that goes bucket by bucket, and against the future."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import with_noise_after
from volcast.arrays import time_index
from volcast.measures.bucketed import HALF_LIVES, STEP_RETURNS
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv


@pytest.fixture(scope="module")
def month(bars: pd.DataFrame) -> pd.DataFrame:
    """November 2024, a half-day included, a few bars missing."""
    span = bars.loc["2024-11-01":"2024-12-02"]
    keep = np.random.default_rng(0).random(len(span)) > 0.02
    return span[keep]


def plain_measures(bars: pd.DataFrame, label: pd.Timestamp, close_before: float | None) -> dict[str, float]:
    """Measures of the bucket that ends at `label`, by the definitions, one bar after the other."""
    local = bars.tz_convert("America/New_York")
    session = local[(time_index(local).date == label.date()) & (time_index(local) + pd.Timedelta(minutes=1) <= label)]
    start = label - pd.Timedelta(hours=1)
    sums = dict.fromkeys(("parkinson", "negative", "fourth", "bipower", "return", "count"), 0.0)
    highs, lows, weighted, weights = [], [], dict.fromkeys(HALF_LIVES, 0.0), dict.fromkeys(HALF_LIVES, 0.0)
    previous, return_before = None, 0.0
    for stamp, (_, bar) in zip(time_index(session), session.iterrows(), strict=True):
        end = stamp + pd.Timedelta(minutes=1)
        opens = previous is None
        previous = bar["open"] if opens else previous
        log_return = math.log(bar["close"] / previous)
        high, low = max(bar["high"], bar["close"], previous), min(bar["low"], bar["close"], previous)
        squared_range = math.log(high / low) ** 2 / (4 * math.log(2))
        for half in HALF_LIVES:
            weight = 0.5 ** ((label - end) / pd.Timedelta(minutes=half))
            weighted[half] += weight * squared_range
            weights[half] += weight
        if end > start:
            sums["parkinson"] += squared_range
            sums["negative"] += log_return**2 if log_return < 0 else 0.0
            sums["fourth"] += log_return**4
            sums["bipower"] += 0.0 if opens else abs(log_return) * abs(return_before)
            sums["return"] += log_return
            sums["count"] += 1
            highs.append(high)
            lows.append(low)
        previous, return_before = bar["close"], log_return
    first = time_index(session[session.index + pd.Timedelta(minutes=1) > start])[0] == time_index(session)[0]
    gap = math.log(session["open"].iloc[0] / close_before) if first and close_before is not None else 0.0
    return {
        "parkinson_variance": sums["parkinson"],
        "negative_semivariance": sums["negative"],
        "quarticity": sums["count"] / 3 * sums["fourth"],
        "bipower_variance": math.pi / 2 * sums["bipower"],
        "bucket_return": sums["return"],
        "range_log": math.log(max(highs) / min(lows)),
        "overnight_return": gap,
        **{f"recent_variance_{half}": weighted[half] / weights[half] for half in HALF_LIVES},
    }


def test_measures_equal_the_plain_version(month: pd.DataFrame) -> None:
    measures = get_hourly_measures(month)
    local = month["close"].tz_convert("America/New_York")
    holiday = time_index(local).date == pd.Timestamp("2024-11-28").date()
    after_half_day = (time_index(local).date == pd.Timestamp("2024-11-29").date()) & (time_index(local).hour >= 13)
    closes = local[~holiday & ~after_half_day].groupby(lambda stamp: stamp.date()).last()
    half_day = int(np.flatnonzero(time_index(measures).date == pd.Timestamp("2024-11-29").date())[0])
    for row in (0, 1, 6, 7, 20, half_day, half_day + 3, len(measures) - 1):
        label = measures.index[row]
        before = closes[closes.index < label.date()]
        plain = plain_measures(month, label, float(before.iloc[-1]) if len(before) else None)
        for name, value in plain.items():
            assert measures[name].iloc[row] == pytest.approx(value, rel=1e-9, abs=1e-15), (name, label)


def test_rv_is_that_of_get_hourly_rv(month: pd.DataFrame) -> None:
    for preset in ("session", "colab"):
        measures, rv = get_hourly_measures(month, preset), get_hourly_rv(month, preset=preset)
        pd.testing.assert_series_equal(measures["rv_hourly"], rv)
    assert list(measures.columns) == ["rv_hourly"]


def test_the_parts_are_parts_of_the_whole(month: pd.DataFrame) -> None:
    measures = get_hourly_measures(month)
    variance = measures["rv_hourly"] ** 2
    assert (measures["negative_semivariance"] <= variance * (1 + 1e-12)).all()
    assert set(measures["minutes"]) == {30.0, 60.0}
    assert (measures.loc[time_index(measures).hour > 10, "overnight_return"] == 0).all()
    signed = ["bucket_return", "overnight_return", *STEP_RETURNS]
    assert (measures.drop(columns=signed) >= 0).all(axis=None)


def test_closes_alone_are_enough(month: pd.DataFrame) -> None:
    measures = get_hourly_measures(month[["close"]])
    # Without highs and lows a bar's range is its return.
    expected = measures["rv_hourly"] ** 2 / (4 * math.log(2))
    np.testing.assert_allclose(measures["parkinson_variance"], expected, rtol=1e-9)


def test_measures_do_not_see_the_future(month: pd.DataFrame) -> None:
    measures = get_hourly_measures(month)
    for label in measures.index[[3, 40, 90]]:
        changed = get_hourly_measures(with_noise_after(month, label))
        known = measures.index <= label
        pd.testing.assert_frame_equal(measures[known], changed[changed.index <= label], check_exact=True)
