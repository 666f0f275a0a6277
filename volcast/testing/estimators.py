"""The rules of an estimator of variance, on simulated prices whose variance is known."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, time_index
from volcast.bars.arrays import SymbolBars
from volcast.errors import VolatilityError
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named
from volcast.measures.estimators import Estimator
from volcast.measures.hourly import HourlyMeasurement, get_hourly_rv
from volcast.testing.rules import require, require_equal

__all__ = ["check_estimator"]


_MINUTE_VOLATILITY = 5e-4
_STEPS = 16
_MOST_BIAS = 0.03
_ROUNDING = 1e-8
_PRICES = ["open", "high", "low", "close"]
_NEGLIGIBLE = 1e-9


def check_estimator(estimator: str | Estimator, share: float = 1.0) -> None:
    """Check an estimator, by its name or as it is, through the hourly volatilities that are made with it.

    - Of a Brownian motion without noise, its mean lies within 3 % of the variance, or of `share` of it.
    - One finite variance a bucket, zero or more, also where prices stand still or a bucket has one, two or three bars.
    - Twice the log returns give four times the variance; another level of prices changes nothing.
    - Bars after a bucket do not change it, not a bit; nor do the sessions before its own, but for rounding.
    - The last sessions alone, as a live loop has them, have the variances that they have in the whole.
    - Of several symbols, whose bars stand one symbol's behind the other's, each has the variances that it has alone.
    - Of bars of an hour, one a bucket, it makes variances, or refuses by a `VolatilityError`.

    Parameters
    ----------
    estimator
        A name in `measures.estimators.ESTIMATORS`, or an `Estimator` that is not there yet.
    share
        What share of the variance it estimates: a half for a semivariance.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which bucket.

    Examples
    --------
    >>> check_estimator("bipower")
    >>> check_estimator("down_semivariance", share=0.5)
    """
    bars = _brownian_bars()
    variance = _variance(estimator, bars)
    _check_bias(variance, share)
    typical = float(variance.mean())
    _check_scales(estimator, bars, variance)
    _check_its_bucket_alone(estimator, bars, variance)
    _check_its_symbol_alone(estimator, _first_weeks(bars))
    thin = _variance(estimator, _thinned(bars))
    _require_usable(thin, "in a bucket of few bars")
    still = bars.copy()
    still[_PRICES] = 100.0
    quiet = _variance(estimator, still)
    _require_usable(quiet, "where prices stand still")
    require(
        bool((quiet <= _NEGLIGIBLE * typical).all()),
        f"prices that stand still have a variance of {quiet.max():.3g}; the rule is none.",
    )
    _check_one_bar(estimator, _hourly(bars))


def _variance(estimator: str | Estimator, bars: pd.DataFrame) -> pd.Series:
    return get_hourly_rv(bars, estimator=estimator, min_bucket_coverage=0.0) ** 2


def _check_bias(variance: pd.Series, share: float) -> None:
    _require_usable(variance, "of a Brownian motion")
    minutes = np.where(time_index(variance).hour == 10, 30, 60)
    ratio = float(np.mean(variance.to_numpy() / (minutes * _MINUTE_VOLATILITY**2)))
    require(
        abs(ratio / share - 1) < _MOST_BIAS,
        f"of a Brownian motion it gives {ratio:.3f} of the variance; the rule is {share:g}, within 3 %.",
    )


def _check_scales(estimator: str | Estimator, bars: pd.DataFrame, variance: pd.Series) -> None:
    tolerance = _ROUNDING * float(variance.mean())
    doubled, dearer = bars.copy(), bars.copy()
    doubled[_PRICES] = bars[_PRICES] ** 2 / 100.0
    dearer[_PRICES] = bars[_PRICES] * 37.0
    for changed, factor, sentence in (
        (dearer, 1.0, "prices 37 times as high give another variance"),
        (doubled, 4.0, "twice the log returns do not give four times the variance"),
    ):
        _require_close(_variance(estimator, changed), factor * variance, sentence, factor * tolerance)


def _check_its_bucket_alone(estimator: str | Estimator, bars: pd.DataFrame, variance: pd.Series) -> None:
    days = time_index(variance).normalize().unique()
    tolerance = _ROUNDING * float(variance.mean())
    for label in (variance.index[3], variance.index[len(variance) // 2], variance.index[-2]):
        changed = _with_noise(bars, bars.index >= label)
        upto = variance.index <= label
        require_equal(
            _variance(estimator, changed).reindex(variance.index[upto]),
            variance[upto],
            f"bars after {label} change the variance of a bucket that has ended",
        )
    for day in (days[1], days[len(days) // 2], days[-2]):
        since = variance.index >= day
        changed = _with_noise(bars, bars.index < day)
        sentence = f"bars before {day:%Y-%m-%d} change the variance of a bucket of that day or later"
        _require_close(_variance(estimator, changed)[since], variance[since], sentence, tolerance)
        tail = _variance(estimator, bars[bars.index >= day])
        sentence = f"the sessions from {day:%Y-%m-%d} on have other variances alone than in the whole"
        _require_close(tail, variance[since], sentence, tolerance)


def _check_its_symbol_alone(estimator: str | Estimator, bars: pd.DataFrame) -> None:
    measurement = HourlyMeasurement(estimator=estimator, min_bucket_coverage=0.0)
    symbols = [SymbolBars.of(frame) for frame in (bars, _with_noise(bars, np.ones(len(bars), dtype=bool)))]

    def variances(of: Sequence[SymbolBars]) -> list[pd.Series]:
        rows = measurement.rows([(one.stamps, one.prices) for one in of], symbols[0].length)
        return [pd.Series(values[:, 0] ** 2, measurement.market.clock.times(labels)) for labels, values in rows]

    for together, one in zip(variances(symbols), symbols, strict=True):
        (alone,) = variances([one])
        sentence = "a symbol has other variances beside another one than alone"
        _require_close(together, alone, sentence, _ROUNDING * float(alone.mean()))


def _check_one_bar(estimator: str | Estimator, hourly: pd.DataFrame) -> None:
    try:
        variance = _variance(estimator, hourly)
    except VolatilityError:
        return
    except Exception as error:
        raise AssertionError(
            f"a bucket of one bar raises {type(error).__name__} ({error}); the rule is a variance, or a ConfigError or "
            "BarsError that says what is needed."
        ) from error
    _require_usable(variance, "in a bucket of one bar")


def _require_close(values: pd.Series, expected: pd.Series, sentence: str, tolerance: float) -> None:
    require(values.index.equals(expected.index), f"{sentence}: the buckets are others.")
    far = ((values - expected).abs() > tolerance).to_numpy() | values.isna().to_numpy()
    if far.any():
        first = int(np.argmax(far))
        raise AssertionError(
            f"{sentence}: the bucket {values.index[first]} has {values.iloc[first]:.6g} in place of "
            f"{expected.iloc[first]:.6g}."
        )


def _require_usable(variance: pd.Series, what: str) -> None:
    wrong = ~(np.isfinite(variance) & (variance >= 0)).to_numpy()
    if wrong.any():
        first = int(np.argmax(wrong))
        raise AssertionError(
            f"the variance {what} ({variance.index[first]}) is {float(variance.iloc[first])!r}; the rule is finite and "
            "not negative."
        )


@cache
def _brownian_bars() -> pd.DataFrame:
    """A year of one-minute bars of a Brownian motion without noise; highs and lows are those of continuous time.

    Between two steps of the simulation the extreme of a Brownian bridge is drawn.
    """
    schedule = market_named(DEFAULT_MARKET).schedule(pd.Timestamp("2023-01-03"), pd.Timestamp("2023-12-29"))
    lengths = (pd.TimedeltaIndex(schedule["close"] - schedule["open"]) // pd.Timedelta(minutes=1)).to_numpy()
    minutes = np.concatenate([np.arange(length) for length in lengths])
    stamps = pd.DatetimeIndex(np.repeat(schedule["open"].dt.tz_convert("UTC").array, lengths)) + pd.to_timedelta(
        minutes, unit="m"
    )
    random = np.random.default_rng(0)
    spread = _MINUTE_VOLATILITY / np.sqrt(_STEPS)
    moves = spread * random.standard_normal((len(stamps), _STEPS))
    path = np.cumsum(moves, axis=1)
    before = np.concatenate([np.zeros((len(path), 1)), path[:, :-1]], axis=1)
    reach = (path - before) ** 2
    over, under = (np.sqrt(reach - 2 * spread**2 * np.log(random.random(reach.shape))) for _ in range(2))
    ends = np.cumsum(path[:, -1])
    opens = ends - path[:, -1]
    logs = {
        "open": opens,
        "high": opens + ((before + path + over) / 2).max(axis=1),
        "low": opens + ((before + path - under) / 2).min(axis=1),
        "close": ends,
    }
    return pd.DataFrame({name: 100.0 * np.exp(values) for name, values in logs.items()}, index=stamps)


def _with_noise(bars: pd.DataFrame, where: BoolArray1D) -> pd.DataFrame:
    """The same bars, but those at `where` have other prices, each high the highest of its bar, each low the lowest."""
    changed = bars.copy()
    factors = np.exp(0.01 * np.random.default_rng(1).standard_normal((int(where.sum()), 1)))
    changed.loc[where, _PRICES] = bars.loc[where, _PRICES] * factors
    return changed


def _thinned(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars of some weeks, of which most hours keep one, two or three."""
    few = _first_weeks(bars)
    minute = time_index(few).minute
    hours = np.cumsum(minute == 0) % 4
    thinned: pd.DataFrame = few[(hours == 0) | (minute % 60 < 2 + hours) & (minute >= 2)]
    return thinned


def _first_weeks(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.iloc[: 20 * market_named(DEFAULT_MARKET).minutes_per_session]


def _hourly(bars: pd.DataFrame) -> pd.DataFrame:
    how = {"open": "first", "high": "max", "low": "min", "close": "last"}
    return bars.resample("1h").agg(how).dropna()
