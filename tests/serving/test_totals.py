"""Total volatility as it is served: the same from a series, a single call and a stream, and never from the future."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, LookAheadError, NotEnoughDataError
from volcast.features.scaling import make_scaler
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import get_hourly_rv
from volcast.serving.served_model import ServedModel
from volcast.serving.stream import ForecastStream
from volcast.store.bundle import ModelBundle

NEW_YORK = "America/New_York"
COLUMNS = ["volatility", "annualized_volatility", "lower", "upper"]


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Sixty sessions of five-minute bars, a hole of some days among them."""
    whole = make_bars("2024-08-01", "2024-10-31", minutes=5, seed=4)
    return whole[(whole.index < "2024-09-03") | (whole.index > "2024-09-06")]


@pytest.fixture(scope="module")
def series(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    forecaster = VolatilityForecaster("ewma")
    return {name: forecaster.forecast_series(bars, name, kind="total") for name in TOTAL_HORIZONS}


def with_noise_from(bars: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    """The same bars, but those that end after a moment hold noise."""
    changed, later = bars.copy(), time_index(bars) + pd.Timedelta(minutes=5) > moment
    factors = np.exp(np.random.default_rng(5).normal(0, 0.2, int(later.sum())))
    changed.loc[later, ["open", "high", "low", "close"]] *= factors[:, None]
    return changed


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_noise_in_the_future_changes_no_bit(bars: pd.DataFrame, series: dict[str, pd.DataFrame], horizon: str) -> None:
    whole = series[horizon]
    for moment in whole["asof"].iloc[[0, 3, 11, 20, -2]]:
        changed = VolatilityForecaster("ewma").forecast_series(with_noise_from(bars, moment), horizon, kind="total")
        before = whole["asof"] <= moment
        pd.testing.assert_frame_equal(changed.loc[changed["asof"] <= moment, COLUMNS], whole.loc[before, COLUMNS])
        assert (changed.loc[changed["asof"] > moment, "volatility"] != whole.loc[~before, "volatility"]).all()


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_a_single_call_a_stream_and_a_series_say_the_same(
    bars: pd.DataFrame, series: dict[str, pd.DataFrame], horizon: str
) -> None:
    forecaster, whole = VolatilityForecaster("ewma"), series[horizon]
    stream = forecaster.stream(bars.iloc[: 30 * 78])
    for first in range(30 * 78, len(bars), 30):
        stream.update(bars.iloc[first : first + 30])
        live = stream.forecast(horizon=horizon, kind="total")
        alone = forecaster.forecast(bars, live.asof, horizon, kind="total")
        row = whole.loc[[live.bucket]]
        assert live == alone
        assert [getattr(live, name) for name in COLUMNS] == row[COLUMNS].to_numpy()[0].tolist()
        assert row["asof"].iloc[0] <= live.asof < live.bucket


def test_a_bar_that_is_revised_is_noticed(bars: pd.DataFrame) -> None:
    stream = VolatilityForecaster("ewma").stream(bars)
    before = stream.forecast(horizon="5 sessions", kind="total")
    revised = bars.iloc[[-100]] * 1.01
    stream.update(revised)
    changed = bars.copy()
    changed.iloc[-100] *= 1.01
    after = stream.forecast(horizon="5 sessions", kind="total")
    assert after != before
    assert after == VolatilityForecaster("ewma").forecast(changed, horizon="5 sessions", kind="total")


def test_a_forecast_says_its_kind_and_its_sessions(bars: pd.DataFrame, series: dict[str, pd.DataFrame]) -> None:
    forecast = VolatilityForecaster("ewma").forecast(bars, "2024-10-15 11:00", 22, kind="total")
    assert (forecast.kind, forecast.horizon) == ("total", "22 sessions")
    assert forecast.bucket == pd.Timestamp("2024-10-15 16:00", tz=NEW_YORK)
    assert forecast.annualized_volatility == pytest.approx(forecast.volatility * np.sqrt(252 / 22))
    assert forecast.deseasonalized_volatility == forecast.annualized_volatility
    assert forecast.lower < forecast.volatility < forecast.upper
    assert "kind='total'" in repr(forecast)
    assert series["22 sessions"].attrs["kind"] == "total"
    assert series["22 sessions"].attrs["horizon"] == "22 sessions"
    hourly = VolatilityForecaster("ewma").forecast_series(bars)
    assert hourly.attrs["kind"] == VolatilityForecaster("ewma").forecast(bars).kind == "hourly"


def test_it_is_as_of_the_close_before_until_the_session_closes(bars: pd.DataFrame) -> None:
    forecaster = VolatilityForecaster("ewma")
    moments = ["2024-10-14 16:00", "2024-10-14 23:00", "2024-10-15 09:45", "2024-10-15 15:59"]
    volatilities = {forecaster.forecast(bars, moment, "5 sessions", kind="total").volatility for moment in moments}
    assert len(volatilities) == 1
    after = forecaster.forecast(bars, "2024-10-15 16:00", "5 sessions", kind="total")
    assert after.bucket == pd.Timestamp("2024-10-16 16:00", tz=NEW_YORK)
    assert after.volatility not in volatilities


def test_a_series_has_a_row_a_session(bars: pd.DataFrame, series: dict[str, pd.DataFrame]) -> None:
    rows = series["1 session"]
    assert rows.attrs["without_history"] == 22
    assert (time_index(rows).hour == 16).all()
    assert pd.Timestamp("2024-09-05 16:00", tz=NEW_YORK) not in rows.index
    assert rows.index[-1] == pd.Timestamp("2024-11-01 16:00", tz=NEW_YORK)
    assert (rows["asof"].iloc[1:].to_numpy() >= rows.index[:-1].to_numpy()).all()


@pytest.mark.parametrize("horizon", ["22", 7, 2, "session_end", True, None])
def test_a_horizon_that_is_none_of_total_volatility_is_refused(bars: pd.DataFrame, horizon: object) -> None:
    with pytest.raises(ConfigError, match="the rule for total volatility is one of '1 session'"):
        VolatilityForecaster("ewma").forecast(bars, horizon=horizon, kind="total")  # type: ignore[arg-type]


def test_a_kind_that_there_is_not_is_refused_and_one_that_is_meant_is_named(bars: pd.DataFrame) -> None:
    forecaster = VolatilityForecaster("ewma")
    with pytest.raises(ConfigError, match="kind is 'daily'; the rule is one of hourly, total"):
        forecaster.forecast_series(bars, kind="daily")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the rule is one of hourly, total"):
        forecaster.forecast(bars, kind=np.array(["total", "hourly"]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="add kind='total' for this one"):
        forecaster.forecast(bars, horizon="22 sessions")


def test_too_few_sessions_are_said(bars: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match="21 sessions had closed by 2024-08-29 16:00"):
        VolatilityForecaster("ewma").forecast(bars, "2024-08-29 16:00", "1 session", kind="total")
    assert VolatilityForecaster("ewma").forecast(bars, "2024-08-30 16:00", "1 session", kind="total").volatility > 0


def model_on(bars: pd.DataFrame, preset: str, **manifest: str) -> ServedModel:
    config = TrainingConfig.from_mapping({"memory": 20, "preset": preset})
    kind = "minmax" if preset == "colab" else "diurnal_log"
    scaler = make_scaler(kind).fit(get_hourly_rv(bars, preset=config.preset))
    return ServedModel(ModelBundle("windows", (), ScaledWindows(scaler, 20), config, manifest), config)


def test_a_model_that_knows_nothing_of_it_forecasts_from_the_bars_alone(
    bars: pd.DataFrame, series: dict[str, pd.DataFrame]
) -> None:
    stream = ForecastStream.of(model_on(bars, "session"), bars)
    forecast = stream.forecast(horizon="10 sessions", kind="total")
    assert forecast.volatility == series["10 sessions"]["volatility"].iloc[-1]
    assert (forecast.model_version, forecast.is_fallback) == ("windows", False)


def test_the_notebooks_model_says_that_it_has_no_sessions(bars: pd.DataFrame) -> None:
    stream = ForecastStream.of(model_on(bars, "colab"), bars)
    with pytest.raises(ConfigError, match="total volatility is made of sessions; train a model"):
        stream.forecast(kind="total")


def test_what_the_model_has_seen_is_not_forecast(bars: pd.DataFrame) -> None:
    model = model_on(bars, "session", trained_through="2024-10-15T16:00:00-04:00")
    stream = ForecastStream.of(model, bars)
    rows = stream.series(stream.grid("1 session"), "1 session", allow_in_sample=False)
    assert rows["asof"].min() == pd.Timestamp("2024-10-15 16:00", tz=NEW_YORK)
    assert rows.attrs["in_sample_left_out"] > 0
    early = ForecastStream.of(model, bars[bars.index < "2024-10-15 18:00"])
    with pytest.raises(LookAheadError, match="has seen data through"):
        early.forecast("2024-10-15 15:00", kind="total")
    assert early.forecast("2024-10-15 15:00", kind="total", allow_in_sample=True).volatility > 0
