"""The deseasonalized EWMA that is carried on is that of all rows at once, to the last bit."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.arrays import time_index
from volcast.forecasters.baselines.running_ewma import RunningEwma, exponential_mean
from volcast.forecasters.baselines.simple import diurnal_ewma
from volcast.forecasters.tables import HourlyTable
from volcast.markets.registry import market_named

BUCKETS = market_named("XNYS").bucket_table(pd.Timestamp("2024-06-03"), pd.Timestamp("2024-07-12"))
LABELS = time_index(BUCKETS).as_unit("us").asi8


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_that_come_and_change_leave_no_trace(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    table = HourlyTable(["minutes", "rv_hourly"], market_named("XNYS"))
    running = RunningEwma(table)
    for _ in range(6):
        begin = data.draw(st.integers(max(len(table) - 9, 0), len(table)))
        end = data.draw(st.integers(begin, min(begin + 40, len(LABELS) - 1)))
        table.cut(begin)
        table.append(LABELS[begin:end], random.lognormal(-6, 1, (end - begin, 2)))
        running.forget(begin)
        if len(table):
            known = np.array([data.draw(st.integers(1, len(table))), len(table)])
            of_all = diurnal_ewma(table.frame, time_index(BUCKETS)[known], known)
            np.testing.assert_array_equal(running.forecast(LABELS[known], known), of_all)
            fresh = RunningEwma(table)
            np.testing.assert_array_equal(running.levels(known), fresh.levels(known))


def test_levels_are_the_mean_variance_of_each_hour() -> None:
    rv = np.random.default_rng(3).lognormal(-6, 1, len(LABELS))
    table = HourlyTable(["rv_hourly"], market_named("XNYS"))
    table.append(LABELS, rv[:, None])
    known = np.array([1, 5, len(LABELS)])
    levels = RunningEwma(table).levels(known)
    for row, count in enumerate(known):
        means = pd.Series(rv[:count] ** 2).groupby(table.hours[:count]).mean() ** 0.5
        np.testing.assert_allclose(levels[row, means.index], means)
        assert np.isnan(np.delete(levels[row], means.index)).all()


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([1e-10, 2.5, 2.5, 1e4]) | st.floats(1e-12, 1e12), min_size=1),
    decay=st.floats(0.01, 0.99),
)
def test_the_exponential_mean_is_that_of_pandas(values: list[float], decay: float) -> None:
    expected = pd.Series(values).ewm(alpha=1 - decay, adjust=False).mean()
    np.testing.assert_array_equal(exponential_mean(values, decay), expected)
