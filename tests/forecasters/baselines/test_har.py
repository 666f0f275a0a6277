"""The reference of a market with hundreds of buckets a session is a plain regression with as many dummies."""

from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.features.windows import har_lags, har_terms
from volcast.forecasters.baselines.har import diurnal_log_har, fewest_buckets
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_named

MARKET = market_named("24/7", "5min")
DAYS = 3


def measures_of(market: TradingMarket) -> pd.DataFrame:
    """Volatilities with a day's shape and memory; the last bucket of a day is missing until the first forecast."""
    count, random = fewest_buckets(market) + DAYS * market.buckets_per_session, np.random.default_rng(3)
    first = int(market.buckets.index.searchsorted(pd.Timestamp("2024-03-04", tz="UTC"))) + 1
    labels = market.buckets.index[first : first + count]
    slots = market.hours_of_labels(labels)
    level = np.convolve(random.standard_normal(count), 0.97 ** np.arange(300))[:count]
    logs = -7 + 0.5 * np.cos(2 * np.pi * slots / market.slots) + 0.1 * level
    frame = pd.DataFrame({"rv_hourly": np.exp(logs)}, index=labels)
    frame.attrs["market"] = market.key
    is_late = np.arange(count) >= count - 2 * market.buckets_per_session
    return cast(pd.DataFrame, frame[(slots != slots[-1]) | is_late])


def plain_forecasts(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """With a column a dummy, fitted before each day's first forecast."""
    hours, at = (MARKET.hours_of_labels(labels) for labels in (time_index(measures), targets))
    logs, days = np.log(measures["rv_hourly"].to_numpy()), MARKET.days_of_labels(targets)
    profile = np.full(MARKET.slots, np.nan)
    for slot in np.unique(hours[: known[0]]):
        profile[slot] = logs[: known[0]][hours[: known[0]] == slot].mean()
    dummies = np.flatnonzero(~np.isnan(profile))
    profile[np.isnan(profile)] = profile[dummies].mean()
    values, lags = logs - profile[hours], har_lags(MARKET, int(known[0]))
    terms = har_terms(values, lags)
    forecasts = []
    for target, rows in enumerate(known):
        stop = known[np.flatnonzero(days == days[target])[0]]
        past = np.arange(lags[-1], stop)
        design = np.column_stack([terms[past - 1], hours[past, None] == dummies])
        beta = np.linalg.lstsq(design, values[past], rcond=None)[0]
        smearing = np.sqrt(np.mean(np.exp(2 * (values[past] - design @ beta))))
        row = np.append(terms[rows - 1], at[target] == dummies)
        forecasts.append(np.exp(row @ beta + profile[at[target]]) * smearing)
    return np.array(forecasts)


def test_levels_of_hundreds_of_buckets_are_eliminated() -> None:
    measures = measures_of(MARKET)
    # One of each of the last days; the last is of the bucket that was not there before.
    known = len(measures) - 1 - np.array([577, 289, 0])
    targets = time_index(measures)[known]
    forecasts = diurnal_log_har(measures, targets, known)
    np.testing.assert_allclose(forecasts, plain_forecasts(measures, targets, known), rtol=1e-9)


def test_bars_after_a_forecast_change_nothing_of_it() -> None:
    measures = measures_of(MARKET)
    known = np.arange(len(measures) - 400, len(measures) - 350)
    targets, noise = time_index(measures)[known], measures.copy()
    noise.iloc[known[-1] :] *= np.random.default_rng(4).lognormal(size=(len(measures) - known[-1], 1))
    np.testing.assert_array_equal(diurnal_log_har(measures, targets, known), diurnal_log_har(noise, targets, known))
