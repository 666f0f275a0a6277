"""Bars of other libraries, and forecasts that come back as frames of the kind that the bars came in."""

from datetime import date
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.bars import make_bars
from volcast import VolatilityForecaster, get_hourly_rv
from volcast.bars.frames import as_bars_frame
from volcast.bars.layouts import FrameLayout, pandas_frame
from volcast.errors import BarsError

BARS = make_bars("2024-10-01", "2024-11-29", minutes=5).tz_convert("America/New_York")
COLUMNS = BARS.reset_index()
LONG = COLUMNS.rename(columns={"timestamp": "ds"}).assign(unique_id="SPY")


def polars() -> Any:
    return pytest.importorskip("polars", reason="Polars is not installed")


def tables(frame: pd.DataFrame) -> dict[str, Any]:
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    return {"Arrow": arrow, "Polars": polars().from_arrow(arrow), "narwhals": nw.from_native(arrow)}


@pytest.fixture(scope="module")
def forecaster() -> VolatilityForecaster:
    return VolatilityForecaster("ewma")


@pytest.mark.parametrize("library", ["Arrow", "Polars", "narwhals"])
def test_forecasts_come_back_in_the_kind_of_the_bars(forecaster: VolatilityForecaster, library: str) -> None:
    plain = forecaster.forecast_series(BARS)
    bars = tables(COLUMNS)[library]
    series = forecaster.forecast_series(bars)
    assert type(series) is type(bars)
    back = nw.from_native(series, eager_only=True).to_pandas()
    assert list(back.columns) == ["bucket", *plain.columns]
    for name in ("volatility", "annualized_volatility", "deseasonalized_volatility"):
        np.testing.assert_array_equal(back[name], plain[name])
    assert (pd.DatetimeIndex(back["bucket"]) == plain.index).all()
    assert str(pd.DatetimeIndex(back["asof"]).tz) == "America/New_York"
    assert forecaster.forecast(bars).volatility == forecaster.forecast(BARS).volatility


@pytest.mark.parametrize("library", ["Arrow", "Polars"])
def test_hourly_volatility_comes_back_in_the_kind_of_the_bars(library: str) -> None:
    bars = tables(COLUMNS)[library]
    rv = get_hourly_rv(bars)
    assert type(rv) is type(bars)
    back = nw.from_native(rv, eager_only=True).to_pandas()
    np.testing.assert_array_equal(back["rv_hourly"], get_hourly_rv(BARS))


@pytest.mark.parametrize("library", ["pandas", "Arrow", "Polars"])
def test_long_frames_come_back_long(forecaster: VolatilityForecaster, library: str) -> None:
    bars = LONG if library == "pandas" else tables(LONG)[library]
    series = nw.from_native(forecaster.forecast_series(bars), eager_only=True).to_pandas()
    plain = forecaster.forecast_series(BARS)
    assert list(series.columns)[:3] == ["unique_id", "ds", "asof"]
    assert set(series["unique_id"]) == {"SPY"}
    np.testing.assert_array_equal(series["volatility"], plain["volatility"])
    if library != "pandas":
        rv = nw.from_native(get_hourly_rv(bars), eager_only=True).to_pandas()
        assert list(rv.columns) == ["unique_id", "ds", "rv_hourly"]
        assert set(rv["unique_id"]) == {"SPY"}


def test_many_symbols_in_a_long_frame_become_an_index() -> None:
    other = LONG.assign(
        unique_id="QQQ", close=LONG["close"] * 2, high=LONG["high"] * 2, low=LONG["low"], open=LONG["open"]
    )
    stacked = as_bars_frame(pd.concat([LONG, other]))
    assert stacked.index.names == ["symbol", "timestamp"]
    assert set(stacked.index.get_level_values(0)) == {"SPY", "QQQ"}


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_moments_of_any_unit_and_zone_are_the_same_moments(unit: str, zone: str) -> None:
    table = (
        polars()
        .from_pandas(COLUMNS)
        .with_columns(polars().col("timestamp").dt.convert_time_zone(zone).dt.cast_time_unit(unit))
    )
    assert (as_bars_frame(table).index == BARS.index).all()


def test_moments_without_a_zone_are_refused_and_dates_are_days() -> None:
    naive = polars().from_pandas(COLUMNS.assign(timestamp=COLUMNS["timestamp"].dt.tz_localize(None)))
    with pytest.raises(BarsError, match="without a time zone"):
        as_bars_frame(naive)
    days = pandas_frame(polars().DataFrame({"date": [date(2024, 11, 1), None], "close": [1.0, 2.0]}))
    assert days is not None
    assert list(days["date"]) == [pd.Timestamp("2024-11-01"), pd.NaT]


def test_categories_decimals_and_what_is_missing() -> None:
    pl = polars()
    table = pl.DataFrame(
        {"symbol": ["A", "B", None], "close": ["1.5", "2.5", None], "volume": [1, None, 3]}
    ).with_columns(pl.col("symbol").cast(pl.Categorical), pl.col("close").cast(pl.Decimal(10, 2)))
    frame = pandas_frame(table)
    assert frame is not None
    assert list(frame["symbol"]) == ["A", "B", None]
    np.testing.assert_array_equal(frame["close"], [1.5, 2.5, np.nan])
    np.testing.assert_array_equal(frame["volume"], [1, np.nan, 3])


def test_what_is_no_frame_has_no_layout() -> None:
    assert FrameLayout.of([1, 2]) == FrameLayout() == FrameLayout.of(BARS)
    assert pandas_frame("bars.csv") is None
