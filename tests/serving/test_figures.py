"""Forecasts are drawn as they were given, over what came."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.support.bars import make_bars
from volcast import VolatilityForecaster, get_hourly_rv
from volcast.arrays import time_index
from volcast.errors import BarsError
from volcast.serving.figures import plot_forecasts

BARS = make_bars("2024-10-07", "2024-11-29", minutes=5)
FORECASTER = VolatilityForecaster("ewma")
HOURLY = FORECASTER.forecast_series(BARS)


def lines_of(forecasts: Any, realized: Any = None) -> dict[str, np.ndarray]:
    axes = plot_forecasts(forecasts, realized, ax=Figure().add_subplot())
    unit = {"unit": np.array(axes.get_ylabel())}
    return unit | {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()}


def test_the_next_bucket_is_drawn_over_what_came() -> None:
    lines = lines_of(HOURLY[-70:], get_hourly_rv(BARS))
    np.testing.assert_array_equal(lines["forecast"], 100 * HOURLY["volatility"][-70:])
    expected = get_hourly_rv(BARS).reindex(HOURLY.index[-70:])
    np.testing.assert_array_equal(lines["realized"], 100 * expected)
    # The last forecast is of a bucket that is still to come.
    assert np.isnan(lines["realized"][-1])
    assert str(lines["unit"]) == "hourly volatility, %"


def test_longer_horizons_are_drawn_per_year() -> None:
    total = FORECASTER.forecast_series(BARS, "5 sessions", kind="total")
    lines = lines_of(total)
    np.testing.assert_allclose(lines["forecast"], 100 * total["annualized_volatility"])
    assert str(lines["unit"]) == "annualized volatility, %"


def test_frames_of_other_kinds_are_drawn_alike() -> None:
    columns = BARS.reset_index()
    pl = pytest.importorskip("polars", reason="Polars is not installed")
    other = pl.DataFrame({name: columns[name].to_numpy() for name in columns if name != "timestamp"}).with_columns(
        pl.Series("timestamp", time_index(BARS).tz_localize(None).to_numpy()).dt.replace_time_zone("UTC")
    )
    long = columns.rename(columns={"timestamp": "ds"}).assign(unique_id="SPY")
    expected = lines_of(HOURLY, get_hourly_rv(BARS))
    for bars in (other, long):
        lines = lines_of(FORECASTER.forecast_series(bars), get_hourly_rv(bars))
        np.testing.assert_array_equal(lines["forecast"], expected["forecast"])
        np.testing.assert_array_equal(lines["realized"], expected["realized"])


@pytest.mark.parametrize(
    ("forecasts", "sentence"),
    [
        (BARS, "lack the columns annualized_volatility"),
        (HOURLY.iloc[:0], "have no row"),
        (7, "the forecasts are a int"),
        (pd.concat([HOURLY, HOURLY]), "a moment of its own"),
        (HOURLY.reset_index(drop=True), "a moment of its own"),
        (HOURLY[["volatility", *HOURLY.columns]], "columns of one name"),
    ],
)
def test_what_is_no_series_of_forecasts_is_refused(forecasts: Any, sentence: str) -> None:
    with pytest.raises(BarsError, match=sentence):
        plot_forecasts(forecasts)
