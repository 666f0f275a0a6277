"""The future replaced by noise on markets that are not New York's: nothing that is as of a moment changes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import with_noise_after
from tests.support.markets import OTHERS, counted_bundle, history_of
from volcast.arrays import time_index
from volcast.features.scaling import make_scaler
from volcast.features.windows import har_lags, har_terms
from volcast.forecasters.baselines.har import fewest_buckets
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import horizons_of
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.measures.nights import NIGHT_NAMES
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream, LiveStreams

MOMENTS = 12
NEWEST_TARGETS = 25
STEP = pd.Timedelta(minutes=5)


@pytest.fixture(scope="module", params=OTHERS)
def market(request: pytest.FixtureRequest) -> TradingMarket:
    return market_named(request.param)


@pytest.fixture(scope="module")
def history(market: TradingMarket) -> pd.DataFrame:
    return history_of(market.name)


@pytest.fixture(scope="module")
def model(market: TradingMarket) -> ServedModel:
    bundle = counted_bundle(market.name)
    return ServedModel(bundle, bundle.config)


def some_moments(bars: pd.DataFrame, first: pd.Timestamp, market: TradingMarket, seed: int) -> Iterator[pd.Timestamp]:
    """Starts of bars from `first` on, and of sessions: a bar that starts at one of them has not ended."""
    begin = int(bars.index.searchsorted(first))
    opens = market.schedule(bars.index[begin], bars.index[-1])["open"].iloc[1:4]
    yield from bars.index[np.random.default_rng(seed).integers(begin, len(bars), MOMENTS)]
    yield from pd.DatetimeIndex(opens)


def test_measures_scalers_and_terms(market: TradingMarket, history: pd.DataFrame) -> None:
    measures = get_hourly_measures(history, market=market, nights=True)
    plain, lags = measures.drop(columns=list(NIGHT_NAMES)), har_lags(market, 0)
    for moment in some_moments(history, measures.index[len(measures) // 2], market, 1):
        changed = get_hourly_measures(with_noise_after(history, moment), market=market, nights=True)
        known = int((time_index(measures) <= moment).sum())
        before, after = plain.iloc[:known], changed[plain.columns].iloc[:known]
        pd.testing.assert_frame_equal(after, before, check_exact=True)
        assert not np.array_equal(changed["rv_hourly"].iloc[known:], measures["rv_hourly"].iloc[known:])
        # A night goes on behind the last bucket of its session, and is whole once the next session has begun.
        over = int(market.days_of_labels(time_index(measures)[:known]).searchsorted(_last_day(market, moment)))
        nights = changed[list(NIGHT_NAMES)].iloc[:over], measures[list(NIGHT_NAMES)].iloc[:over]
        pd.testing.assert_frame_equal(*nights, check_exact=True)
        for name in ("rv_hourly", "bipower_variance"):
            np.testing.assert_array_equal(har_terms(after[name], lags), har_terms(before[name], lags))
        scalers = [make_scaler("diurnal_log").fit(frame["rv_hourly"]).to_dict() for frame in (before, after)]
        assert scalers[0] == scalers[1]
        assert scalers[0]["market"] == market.name


def _last_day(market: TradingMarket, moment: pd.Timestamp) -> int:
    """The day of the last session that had begun by a moment."""
    sessions = market.sessions
    return int(sessions.session[sessions.open.searchsorted(moment.value // 1000, side="right") - 1])


def test_baselines(market: TradingMarket, history: pd.DataFrame) -> None:
    measures = get_hourly_measures(history, market=market)
    for moment in some_moments(history, measures.index[fewest_buckets(market)], market, 2):
        changed = get_hourly_measures(with_noise_after(history, moment), market=market)
        known = int((measures.index <= moment).sum())
        positions = np.arange(max(known - NEWEST_TARGETS, fewest_buckets(market)), min(known + 1, len(measures)))
        targets = time_index(measures)[positions]
        for name, baseline in BASELINES.items():
            expected = baseline.forecast(measures, targets, positions)
            np.testing.assert_array_equal(baseline.forecast(changed, targets, positions), expected, err_msg=name)


def test_a_default_model(market: TradingMarket, history: pd.DataFrame, model: ServedModel) -> None:
    """By one call, as a series and as a stream, of each horizon; total volatility, too."""
    assert model.bundle is not None
    through = pd.Timestamp(model.bundle.trained_through or 0)
    stream = ForecastStream.of(model, history)
    for horizon in (*horizons_of(market), "1 session"):
        series = stream.series(stream.grid(horizon), horizon, allow_in_sample=False)
        assert (series["volatility"] > 0).all()
        rows = np.random.default_rng(3).choice(len(series) - 1, 3, replace=False)
        for label, row in series.iloc[rows].iterrows():
            asof = row["asof"]
            assert asof > through
            noisy = with_noise_after(history, asof)
            for frame in (history, noisy, history[history.index < asof]):
                forecast = LiveStreams().forecast(model, frame, None, asof, horizon, allow_in_sample=False)
                assert (forecast.bucket, forecast.volatility) == (label, row["volatility"])
                assert (forecast.lower, forecast.upper) == (row["lower"], row["upper"]) or np.isnan(row["lower"])
            changed = ForecastStream.of(model, noisy)
            again = changed.series(changed.grid(horizon), horizon, allow_in_sample=False)
            upto = int((series["asof"] <= asof).sum())
            pd.testing.assert_frame_equal(again.iloc[:upto], series.iloc[:upto], check_exact=True)


def test_bars_that_come_one_by_one(market: TradingMarket, history: pd.DataFrame, model: ServedModel) -> None:
    first = int(len(history) * 0.9)
    stream = ForecastStream.of(model, history.iloc[:first])
    taken = first
    for stop in np.random.default_rng(5).integers(1, 40, 25).cumsum() + first:
        stream.update(history.iloc[taken : min(stop, len(history))])
        taken = min(stop, len(history))
        so_far = history.iloc[:taken]
        asof = so_far.index[-1] + STEP
        of_noise: Forecast = LiveStreams().forecast(
            model, with_noise_after(history, asof), None, asof, 1, allow_in_sample=True
        )
        assert repr(stream.forecast(asof)) == repr(of_noise)
        if taken == len(history):
            return
