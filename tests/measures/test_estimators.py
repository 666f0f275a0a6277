"""Estimators on simulated diffusions whose variance is known: bias, efficiency, jumps, noise."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import BoolArray1D, Float64Array1D, Float64Array2D, FloatArray, Int64Array1D, time_index
from volcast.bars.cleaning import CLEANING_RULES, clean_bars
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.measures.bucketed import BucketedBars
from volcast.measures.estimators import ESTIMATORS
from volcast.measures.hourly import get_hourly_rv

HOURS, MINUTES, SIGMA = 10_000, 60, 0.004
VARIANCE = SIGMA**2


@cache
def minute_returns(seed: int = 0) -> Float64Array2D:
    """Hours of a Brownian motion, shape (hours, minutes)."""
    return float(SIGMA / np.sqrt(MINUTES)) * np.random.default_rng(seed).standard_normal((HOURS, MINUTES))


def bucketed(
    bucket: Int64Array1D,
    count: int,
    logs: dict[str, Float64Array1D],
    previous: Float64Array1D,
    counted: BoolArray1D | None = None,
    minutes: float = 1.0,
) -> BucketedBars:
    """Bars in buckets of no day in particular."""
    bars, length = len(bucket), round(minutes * 60_000_000)
    every = np.ones(bars, dtype=bool) if counted is None else counted
    hours = np.arange(count)
    return BucketedBars(
        hours, hours, np.zeros(count, int), hours, bucket, np.arange(bars) * length, length, np.zeros(bars, bool), logs,
        None, previous, np.zeros(bars), every,
    )  # fmt: skip


def of_returns(returns: Float64Array2D, minutes: float = 1.0) -> BucketedBars:
    count, length = returns.shape
    bucket = np.repeat(np.arange(count), length)
    return bucketed(bucket, count, {"close": returns.ravel()}, np.zeros(returns.size), minutes=minutes)


@cache
def hourly_bars(drift: float = 0.0, opening: float = 0.0, bars: int = 1, seed: int = 1) -> FloatArray:
    """Log open, high, low and close of hours of a Brownian motion, shape (hours, bars, 4).

    Highs and lows are those of the path in continuous time: between two steps of the simulation, the extreme of a
    Brownian bridge is drawn.
    """
    random = np.random.default_rng(seed)
    hours, steps = HOURS // 5 if bars > 1 else HOURS, 240
    spread = SIGMA / np.sqrt(steps * bars)
    moves = drift / (steps * bars) + spread * random.standard_normal((hours, bars, steps))
    path = np.concatenate([np.zeros((hours, bars, 1)), np.cumsum(moves, axis=2)], axis=2)
    before, after = path[..., :-1], path[..., 1:]
    reach = (after - before) ** 2
    tops, bottoms = (np.sqrt(reach - 2 * spread**2 * np.log(random.random(reach.shape))) for _ in range(2))
    high, low = ((before + after + tops) / 2).max(axis=2), ((before + after - bottoms) / 2).min(axis=2)
    jumps = opening * random.standard_normal((hours, bars))
    start = np.cumsum(jumps, axis=1) + np.cumsum(path[..., -1], axis=1) - path[..., -1]
    return np.stack([start, start + high, start + low, start + path[..., -1]], axis=2)


def of_prices(prices: FloatArray) -> BucketedBars:
    hours, bars, _ = prices.shape
    logs = dict(zip(("open", "high", "low", "close"), prices.reshape(-1, 4).T, strict=True))
    return bucketed(np.repeat(np.arange(hours), bars), hours, logs, logs["open"], minutes=60.0)


def bias(estimates: Float64Array1D, variance: float = VARIANCE) -> float:
    return float(estimates.mean() / variance - 1)


@pytest.mark.parametrize("name", ["close", "subsampled", "bipower", "medrv", "two_scale"])
def test_of_a_diffusion_without_noise_they_have_no_bias(name: str) -> None:
    assert abs(bias(ESTIMATORS[name](of_returns(minute_returns())))) < 0.01


def test_semivariances_are_half_each_and_sum_to_the_whole() -> None:
    bars = of_returns(minute_returns())
    down, up = ESTIMATORS["down_semivariance"](bars), ESTIMATORS["up_semivariance"](bars)
    np.testing.assert_allclose(down + up, ESTIMATORS["close"](bars), rtol=1e-12)
    assert abs(bias(down, VARIANCE / 2)) < 0.01


@pytest.mark.parametrize(
    ("name", "efficiency"),
    [
        ("bipower", 2 / 2.609),  # Barndorff-Nielsen and Shephard 2004: asymptotic variances 2 and 2.609
        ("medrv", 2 / 2.96),  # Andersen, Dobrev and Schaumburg 2012: 2.96
    ],
)
def test_what_robustness_to_jumps_costs_is_what_the_papers_say(name: str, efficiency: float) -> None:
    bars = of_returns(minute_returns())
    found = ESTIMATORS["close"](bars).var() / ESTIMATORS[name](bars).var()
    assert found == pytest.approx(efficiency, rel=0.05)


def test_subsampling_takes_a_third_off_the_variance_of_five_minute_returns() -> None:
    # Zhang, Mykland and Ait-Sahalia 2005: the limit is 2/3; with twelve returns an hour the ends cost a little of it.
    returns = minute_returns()
    sparse = (returns.reshape(HOURS, 12, 5).sum(axis=2) ** 2).sum(axis=1)
    ratio = ESTIMATORS["subsampled"](of_returns(returns)).var() / sparse.var()
    assert 0.64 < ratio < 0.76


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("parkinson", 4.7, 5.3),  # Parkinson 1980: 4.9, quoted as 5.2 by Garman and Klass
        ("garman_klass", 7.0, 7.8),  # Garman and Klass 1980: 7.4
        ("rogers_satchell", 5.7, 6.4),  # Rogers and Satchell 1991: 6.0
    ],
)
def test_ranges_are_as_efficient_as_the_papers_say(name: str, low: float, high: float) -> None:
    bars = of_prices(hourly_bars())
    estimates = ESTIMATORS[name](bars)
    assert abs(bias(estimates)) < 0.01
    assert low < ESTIMATORS["close"](bars).var() / estimates.var() < high


def test_rogers_satchell_and_yang_zhang_do_not_mind_a_drift_and_the_others_do() -> None:
    one = of_prices(hourly_bars(drift=SIGMA))
    assert abs(bias(ESTIMATORS["rogers_satchell"](one))) < 0.01
    assert bias(ESTIMATORS["parkinson"](one)) > 0.1
    assert bias(ESTIMATORS["close"](one)) > 0.5
    ten = of_prices(hourly_bars(drift=SIGMA, bars=10))
    assert abs(bias(ESTIMATORS["yang_zhang"](ten))) < 0.01


def test_yang_zhang_counts_the_steps_between_bars_and_is_efficient() -> None:
    opening = SIGMA / np.sqrt(40)
    bars = of_prices(hourly_bars(opening=opening, bars=10))
    total = VARIANCE + 10 * opening**2
    estimates = ESTIMATORS["yang_zhang"](bars)
    assert abs(bias(estimates, total)) < 0.01
    flat = hourly_bars(opening=opening, bars=10)
    closes = np.diff(np.concatenate([np.zeros((len(flat), 1)), flat[:, :, 3]], axis=1), axis=1)
    classical = 10 * closes.var(axis=1, ddof=1)
    # Yang and Zhang 2000: 7.3 for ten periods, at best; opening steps of a fifth of the variance cost some of it.
    assert 5 < classical.var() / estimates.var() < 14


def test_jumps_are_left_out_where_it_is_promised() -> None:
    returns = minute_returns().copy()
    random = np.random.default_rng(5)
    returns[np.arange(HOURS), random.integers(0, MINUTES, HOURS)] += 2 * SIGMA * random.choice([-1, 1], HOURS)
    bars = of_returns(returns)
    assert bias(ESTIMATORS["close"](bars)) == pytest.approx(4, rel=0.05)
    assert bias(ESTIMATORS["bipower"](bars)) < 0.65  # a jump still meets its two neighbours
    # The three medians that see it are the larger of two ordinary returns: 3 x 0.93 x 1.42 / 58 of the variance.
    assert bias(ESTIMATORS["medrv"](bars)) < 0.08


def test_two_scales_take_the_noise_of_single_prices_out() -> None:
    random = np.random.default_rng(6)
    hours, seconds = 1000, 3600
    path = np.cumsum(SIGMA / np.sqrt(seconds) * random.standard_normal((hours, seconds + 1)), axis=1)
    noisy = path + SIGMA / 40 * random.standard_normal(path.shape)
    bars = of_returns(np.diff(noisy, axis=1), minutes=1 / 60)
    assert bias(ESTIMATORS["close"](bars)) > 4
    assert abs(bias(ESTIMATORS["two_scale"](bars))) < 0.01


def slow(name: str, returns: list[float]) -> float:
    """One bucket's variance, term by term, as the papers print it."""
    n, size = len(returns), [abs(r) for r in returns]
    if name == "subsampled":
        sums = [sum(returns[i : i + 5]) ** 2 for i in range(n - 4)]
        return sum(sums) / 5 * n / (n - 4) if sums else sum(r * r for r in returns)
    if name == "bipower":
        products = [size[i] * size[i - 1] for i in range(1, n)]
        return np.pi / 2 * sum(products) * n / (n - 1) if products else sum(r * r for r in returns)
    if name == "medrv":
        middles = [sorted(size[i - 1 : i + 2])[1] ** 2 for i in range(1, n - 1)]
        factor = np.pi / (6 - 4 * 3**0.5 + np.pi)
        return factor * sum(middles) * n / (n - 2) if middles else sum(r * r for r in returns)
    return sum(r * r for r in returns if name == "close" or (r < 0) == (name == "down_semivariance"))


@pytest.mark.parametrize("name", ["close", "subsampled", "bipower", "medrv", "down_semivariance", "up_semivariance"])
def test_they_equal_their_formulas_bucket_by_bucket(name: str) -> None:
    random = np.random.default_rng(7)
    lengths = [60, 1, 2, 3, 4, 5, 6, 30, 0, 60]
    bucket = np.repeat(np.arange(len(lengths)), lengths)
    returns, counted = 1e-3 * random.standard_normal(len(bucket)), random.random(len(bucket)) > 0.1
    found = ESTIMATORS[name](bucketed(bucket, len(lengths), {"close": returns}, 0 * returns, counted))
    for number in range(len(lengths)):
        own = returns[(bucket == number) & counted].tolist()
        assert found[number] == pytest.approx(slow(name, own), rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "close"])
def test_get_hourly_rv_takes_every_estimator(name: str) -> None:
    bars = make_bars("2024-06-03", "2024-06-07")
    plain, other = get_hourly_rv(bars), get_hourly_rv(bars, estimator=name)
    assert other.index.equals(plain.index)
    assert not np.allclose(other, plain)


def test_hourly_bars_are_usable_by_their_range() -> None:
    minutes = make_bars("2024-06-03", "2024-06-28")
    halves = minutes.resample("60min", offset="30min").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    rv = get_hourly_rv(halves.dropna(), estimator="garman_klass")
    assert rv.groupby(time_index(rv).date).size().unique().tolist() == [6]
    assert rv.mean() == pytest.approx(get_hourly_rv(minutes).mean(), rel=0.3)


def test_what_an_estimator_cannot_do_is_said() -> None:
    bars = make_bars("2024-06-03", "2024-06-03")
    with pytest.raises(ConfigError, match="must be one of close"):
        get_hourly_rv(bars, estimator="garch")
    with pytest.raises(ConfigError, match="'close' only"):
        get_hourly_rv(bars, preset="colab", estimator="medrv")
    with pytest.raises(BarsError, match="no open, high and low"):
        get_hourly_rv(bars[["close"]], estimator="parkinson")
    hourly = bars.resample("60min").agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    with pytest.raises(NotEnoughDataError, match=r"holds 1 of them.*'yang_zhang' needs 2"):
        get_hourly_rv(hourly, estimator="yang_zhang")


@pytest.mark.parametrize("name", ["parkinson", "garman_klass", "rogers_satchell", "yang_zhang"])
def test_a_range_that_does_not_hold_open_and_close_is_refused_or_set_right(name: str) -> None:
    bars = make_bars("2024-12-02", "2024-12-03", minutes=5)
    bars["high"], bars["low"] = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    rounded, crossed = bars.copy(), bars.copy()
    rounded["high"] *= 1 - 5e-4
    crossed.loc[crossed.index[3], "high"] *= 0.99
    np.testing.assert_allclose(get_hourly_rv(rounded, estimator=name), get_hourly_rv(bars, estimator=name), rtol=1e-12)
    with pytest.raises(BarsError, match=r"1 bar\(s\) open or close beyond .* ends 2024-12-02 15:00 UTC"):
        get_hourly_rv(crossed, estimator=name)
    assert np.isfinite(get_hourly_rv(clean_bars(crossed, ["crossed"])[0], estimator=name)).all()


def test_an_hour_with_the_fewest_returns_makes_hardly_ever_nothing() -> None:
    random = np.random.default_rng(0)
    for name in (name for name, estimator in ESTIMATORS.items() if not estimator.from_ranges):
        returns = ESTIMATORS[name].fewest_returns
        variance = ESTIMATORS[name](of_returns(1e-3 * random.standard_normal((5_000, returns)), 60 / returns))
        assert (variance <= 0).mean() < 2e-3, name


def test_the_configuration_knows_every_estimator_and_every_rule() -> None:
    for name in ESTIMATORS:
        assert TrainingConfig.from_mapping({"rv_estimator": name}).rv_estimator == name
    assert TrainingConfig.from_mapping({"cleaning": ("all", *CLEANING_RULES)}).cleaning == ("all", *CLEANING_RULES)


def test_garman_klass_of_real_hours_goes_along_with_their_minutes(spy_bars: pd.DataFrame) -> None:
    hours = spy_bars.tz_convert("America/New_York").resample("60min", closed="left")
    hourly = hours.agg({"open": "first", "high": "max", "low": "min", "close": "last"}).dropna()
    both = pd.concat(
        [get_hourly_rv(spy_bars), get_hourly_rv(hourly, estimator="garman_klass")],
        axis=1,
        keys=["minutes", "hour"],
        sort=True,
    ).dropna()
    traded = both[(both > 0).all(axis=1)]
    correlation = np.corrcoef(np.log(traded.to_numpy()), rowvar=False)[0, 1]
    ratio = (both["hour"] ** 2).mean() / (both["minutes"] ** 2).mean()
    print(
        f"Garman-Klass of SPY's hours against 1-minute RV: correlation of logs {correlation:.3f}, variance {ratio:.3f}"
    )
    assert correlation > 0.8
    assert 0.8 < ratio < 1.2
