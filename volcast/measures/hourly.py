r"""Hourly realized volatility from intraday bars.

Realized variance of a bucket is the sum of squared intraday log returns inside it,

.. math:: RV_b^2 = \sum_{i \in b} (\ln p_i - \ln p_{i-1})^2,

and realized volatility its square root (Andersen, Bollerslev, Diebold and Labys 2003, *Econometrica* 71).
Values are decimals per bucket (0.004 is 0.4 % over that hour) and never annualized here unless a name says so.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Float64Array1D, Float64Array2D, Int64Array1D, joined, time_index
from volcast.bars.arrays import Prices, SymbolBars
from volcast.bars.checks import market_of_bars, select_symbol
from volcast.bars.frames import as_bars_frame
from volcast.bars.layouts import Frame, FrameLayout
from volcast.bars.overnight import checked_overnight_bars
from volcast.bars.symbols import for_each_symbol
from volcast.counts import counted
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.markets.clocks import clock_of
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named
from volcast.measures.bucketed import MEASURE_NAMES, STEP_MEASURES, BucketedBars
from volcast.measures.estimators import ESTIMATORS, Estimator
from volcast.measures.nights import NIGHT_NAMES, nights_after

if TYPE_CHECKING:
    from volcast.bars.handler import DataHandler

__all__ = [
    "RV_FLOOR",
    "HourlyMeasurement",
    "Preset",
    "Rows",
    "annualize",
    "get_hourly_measures",
    "get_hourly_rv",
    "minutes_per_year",
    "panel",
]

Preset = Literal["session", "colab"]

RV_FLOOR = 1e-5
"""Hourly volatilities below this (a tenth of a basis point) count as this much before a logarithm is taken."""

_CLOCK_YEAR = 365 * 24 * 60

Rows = tuple[Int64Array1D, Float64Array2D]
"""Labels of buckets in microseconds since the epoch, shape (n,), and the measures of each, shape (n, k)."""


@dataclass(frozen=True)
class HourlyMeasurement:
    """What is measured of the bars of each hour, and how; parameters as in `get_hourly_rv`.

    Attributes
    ----------
    preset, estimator, min_bucket_coverage
        As in `get_hourly_rv`.
    market
        Whose buckets.
    nights
        Whether what trades between sessions is measured, too; see `measures.nights`.
    steps
        Whether the last steps of each bucket are, which networks see; see `measures.bucketed`.

    Raises
    ------
    ConfigError
        There is no such preset or estimator, or the estimator does not go with the preset.
    """

    preset: Preset = "session"
    estimator: str | Estimator = "close"
    min_bucket_coverage: float = 0.8
    market: TradingMarket = field(default_factory=lambda: market_named(DEFAULT_MARKET))
    nights: bool = False
    steps: bool = True

    def __post_init__(self) -> None:
        if self.preset not in get_args(Preset):
            choice = ", ".join(get_args(Preset))
            raise ConfigError(f"preset is {self.preset!r}; the rule is one of {choice}; use 'session'.")
        _ = self.variance_of
        if self.preset == "colab" and self.estimator != "close":
            raise ConfigError(
                f"preset is 'colab' and the estimator {self.estimator!r}; the notebook's is 'close' only."
            )

    @cached_property
    def variance_of(self) -> Estimator:
        """The estimator that makes variance of the bars of a bucket."""
        return self.estimator if isinstance(self.estimator, Estimator) else ESTIMATORS.named(self.estimator)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the measures, realized volatility first."""
        if self.preset == "colab":
            return ("rv_hourly",)
        steps, nights = STEP_MEASURES if self.steps else (), NIGHT_NAMES if self.nights else ()
        return ("rv_hourly", *MEASURE_NAMES, *steps, *nights)

    def rows(self, bars: Sequence[tuple[Int64Array1D, Prices]], length: int, *, are_tails: bool = False) -> list[Rows]:
        """The measures of the buckets of each of several symbols, whose bars have the same columns and `length`.

        Their stamps and prices are those of a `SymbolBars`; `are_tails` says that there are others before them. A
        session is measured the same whichever these are, but for the ``overnight_return``, which is since the session's
        bar before. Nights are yet to be measured (NaN), for they go on after the buckets: see `night_rows`.

        Raises
        ------
        BarsError, ConfigError
            The estimator needs other prices, or more bars.
        """
        if self.preset == "colab":
            return [_notebook_rows(pd.Series(of["close"], self.market.clock.times(stamps))) for stamps, of in bars]
        prices = {name: joined([of[name] for _, of in bars]) for name in bars[0][1]}
        counts = [len(stamps) for stamps, _ in bars]
        stamps = joined([stamps for stamps, _ in bars])
        bucketed = BucketedBars.of(stamps, prices, length, self.market, counts)
        if not are_tails:
            self.require_enough_bars(bucketed)
        variance, is_whole = self.variance(bucketed)
        columns = self.columns(bucketed, variance, is_whole)
        if self.nights:
            columns.append(np.full((len(columns[0]), len(NIGHT_NAMES)), np.nan))
        labels, values = bucketed.labels[is_whole], np.concatenate(columns, axis=1)
        edges = bucketed.symbol[is_whole].searchsorted(np.arange(len(bars) + 1)).tolist()
        return [(labels[begin:stop], values[begin:stop]) for begin, stop in itertools.pairwise(edges)]

    def columns(self, bars: BucketedBars, variance: Float64Array1D, is_whole: BoolArray1D) -> list[Float64Array2D]:
        """The measures of the buckets that count, but for those of nights, shape (n, k) each; see `variance`."""
        columns = [np.sqrt(variance)[:, None], bars.measures(), *([bars.step_measures()] if self.steps else [])]
        return [values[is_whole] for values in columns]

    def night_rows(
        self, stamps: Int64Array1D, prices: Prices, length: int, labels: Int64Array1D, moment: int
    ) -> tuple[Int64Array1D, Float64Array2D]:
        """Which of the buckets with these labels are the last of their sessions, and the measures of the nights after.

        Bars, all that had ended by a `moment` in microseconds, as in `rows`; they may be of another symbol.
        """
        _, days = self.market.hours_and_days(labels)
        last = np.flatnonzero(np.append(days[1:] != days[:-1], True)[: len(days)])
        return last, nights_after(stamps, prices, length, days[last], moment, self.market)

    def require_enough_bars(self, bars: BucketedBars) -> None:
        """Refuse `bars` of which the estimator can make nothing; see `Estimator.require_enough_bars`."""
        self.variance_of.require_enough_bars(bars, self.estimator if isinstance(self.estimator, str) else "yours")

    def variance(self, bars: BucketedBars) -> tuple[Float64Array1D, BoolArray1D]:
        """Realized variance of each bucket, and whether bars enough are there for it to count, shape (count,) each."""
        # A range estimator makes a variance of a single bar, the others of a return.
        usable = np.ones(len(bars.bucket), dtype=bool) if self.variance_of.from_ranges else bars.counted
        has_any = np.bincount(bars.bucket, weights=usable, minlength=bars.count) > 0
        is_covered = bars.filled >= self.min_bucket_coverage * bars.expected
        return self.variance_of(bars), has_any & is_covered


@overload
def get_hourly_rv(
    bars_df: pd.DataFrame,
    symbol: str | None = None,
    price_col: str = "close",
    tz: str | None = None,
    preset: Preset = "session",
    *,
    min_bucket_coverage: float = 0.8,
    market: str | TradingMarket | None = None,
    estimator: str | Estimator = "close",
) -> pd.Series: ...


@overload
def get_hourly_rv(
    bars_df: Frame,
    symbol: str | None = None,
    price_col: str = "close",
    tz: str | None = None,
    preset: Preset = "session",
    *,
    min_bucket_coverage: float = 0.8,
    market: str | TradingMarket | None = None,
    estimator: str | Estimator = "close",
) -> Frame: ...


def get_hourly_rv(
    bars_df: Any,
    symbol: str | None = None,
    price_col: str = "close",
    tz: str | None = None,
    preset: Preset = "session",
    *,
    min_bucket_coverage: float = 0.8,
    market: str | TradingMarket | None = None,
    estimator: str | Estimator = "close",
) -> Any:
    """Hourly realized volatility of one symbol, not annualized.

    Parameters
    ----------
    bars_df
        Bars stamped at their start, tz-aware: one symbol's frame, or alpaca-py's with a (symbol, timestamp) index; of
        pandas, or of another library that narwhals knows.
    symbol
        Which symbol to take from a frame with several; may be left out when there is one.
    price_col
        Column of prices.
    tz
        Time zone of the returned labels; None is the market's.
    preset
        ``"session"``: regular hours of the market, bars counted at their end, overnight returns left out,
        buckets without bars absent, buckets under `min_bucket_coverage` dropped. A session's first bar counts with
        its return from open to close where bars have an ``open``.
        ``"colab"``: the notebook's recipe: simple returns of all consecutive bars at their start stamps, every
        calendar hour between first and last bar a row, 0.0 where nothing traded.
    min_bucket_coverage
        Share of a bucket's expected bars that must be there (`session` only).
    market
        Whose hours they are, by name or itself: see `markets.registry` (`session` only). None is that of the symbol,
        see `markets.names`.
    estimator
        How variance is made of the bars of a bucket (`session` only): a name in `measures.estimators.ESTIMATORS`, or
        an `Estimator` of your own.

    Returns
    -------
    Series named ``rv_hourly``, indexed by bucket label (its end) in `tz`; of bars of another library a frame of its
    own, with columns ``bucket`` and ``rv_hourly``. ``attrs["market"]`` names the market; under `session`,
    ``attrs["left_out"]`` counts what was left out and why.

    Raises
    ------
    BarsError
        The frame is empty, has no `price_col`, a naive, unsorted or duplicated index, or impossible prices; or it
        lacks open, high and low for an estimator that needs them.
    ConfigError
        There is no such preset, estimator or time zone, or the estimator does not go with the preset.
    """
    frame = as_bars_frame(bars_df, symbol=symbol, market=market)
    trading = market_of_bars(frame, symbol, market)
    measurement = HourlyMeasurement(preset, estimator, min_bucket_coverage, trading)
    zone = _zone_of(tz, trading)
    frame = select_symbol(frame, symbol)
    if price_col != "close":
        frame = frame[frame.columns.intersection([price_col])].rename(columns={price_col: "close"})
    rv = _hourly_rv(SymbolBars.of(frame, market=trading), measurement, zone)
    if isinstance(bars_df, pd.DataFrame):
        return rv
    return FrameLayout.of(bars_df).frame(rv, symbol or frame.attrs.get("symbol"))


def _hourly_rv(checked: SymbolBars, measurement: HourlyMeasurement, zone: str) -> pd.Series:
    if measurement.preset == "colab":
        rv = _colab_hourly_rv(checked, zone)
        rv.attrs["market"] = measurement.market.key
        return rv
    bars = _bucketed(checked, measurement)
    variance, is_whole = measurement.variance(bars)
    labels = clock_of(zone).times(bars.labels[is_whole]).rename("bucket")
    rv = pd.Series(np.sqrt(variance[is_whole]), index=labels, name="rv_hourly")
    rv.attrs = {"market": measurement.market.key, "left_out": _left_out(bars, is_whole)}
    return rv


def get_hourly_measures(
    bars: pd.DataFrame | SymbolBars,
    preset: Preset = "session",
    *,
    tz: str | None = None,
    min_bucket_coverage: float = 0.8,
    market: str | TradingMarket | None = None,
    estimator: str | Estimator = "close",
    nights: bool = False,
    overnight_bars: pd.DataFrame | SymbolBars | None = None,
) -> pd.DataFrame:
    """Hourly measures of one symbol's bars, checked already or not; arguments as in `get_hourly_rv`.

    `nights` asks for what trades between sessions, too (`session` only). `overnight_bars` are those of another symbol,
    such as the future on an index: nights are measured of these, in place of the bars themselves.

    Returns
    -------
    DataFrame with the rows of `get_hourly_rv`: its series as column ``rv_hourly``, and under `session` also
    ``parkinson_variance``, ``negative_semivariance``, ``quarticity``, ``bipower_variance``, ``bucket_return`` (log),
    ``range_log`` (log high less log low of the bucket), ``minutes`` (its length), ``overnight_return`` (log, over the
    night or the break before it; else 0), ``recent_variance_3``, ``_10`` and ``_30`` (a minute), and of the
    bucket's last six steps of five minutes ``step_range_1`` to ``_6`` (log), ``step_return_1`` to ``_6`` (log) and
    ``step_volume_1`` to ``_6``, NaN where no bar is; see `measures.bucketed`. Where bars have no highs and lows, their
    closes stand in. With `nights`, the columns `measures.nights.NIGHT_NAMES` of the night after the session, in the
    row of its last bucket, as of the end of the last bar, of whichever symbol; NaN in other rows. ``attrs`` are those
    of the series.

    Raises
    ------
    BarsError, NotEnoughDataError
        As `get_hourly_rv`.
    ConfigError
        As `get_hourly_rv`; or there are `overnight_bars` under `colab`, or without `nights`.
    """
    if overnight_bars is not None and (preset == "colab" or not nights):
        raise ConfigError(
            f"overnight_bars are given, with the preset {preset!r} and nights={nights}; they tell of nights between "
            "sessions, which must be asked for; pass preset='session' and nights=True, or leave them out."
        )
    if preset == "colab":
        frame = bars.frame if isinstance(bars, SymbolBars) else bars
        return get_hourly_rv(frame, tz=tz, preset=preset, market=market, estimator=estimator).to_frame()
    frame = bars.frame if isinstance(bars, SymbolBars) else as_bars_frame(bars, market=market)
    trading = market_of_bars(frame, market=market)
    measurement = HourlyMeasurement(preset, estimator, min_bucket_coverage, trading, nights)
    zone, checked = (
        _zone_of(tz, trading),
        SymbolBars.of(bars if isinstance(bars, SymbolBars) else frame, market=trading),
    )
    bucketed = _bucketed(checked, measurement)
    variance, is_whole = measurement.variance(bucketed)
    whole = bucketed.labels[is_whole]
    columns = measurement.columns(bucketed, variance, is_whole)
    if nights:
        overnight = None if overnight_bars is None else checked_overnight_bars(overnight_bars)
        columns.append(_nights(checked, measurement, whole, overnight))
    labels = clock_of(zone).times(whole).rename("bucket")
    measures = pd.DataFrame(np.hstack(columns), index=labels, columns=list(measurement.names))
    measures.attrs = {"market": measurement.market.key, "left_out": _left_out(bucketed, is_whole)}
    return measures


def panel(
    handler: "DataHandler",
    symbols: Sequence[str],
    start_date: str | date | None = None,
    end_date: str | date | None = None,
    timeframe: str = "1Min",
    *,
    min_bucket_coverage: float = 0.8,
    market: str | TradingMarket | None = None,
    rv_estimator: str = "close",
) -> pd.DataFrame:
    """Hourly RV of many symbols side by side, of which only the hourly rows stay in memory.

    Parameters
    ----------
    handler
        Where bars come from.
    symbols
        One that fails does not stop the others.
    start_date, end_date, timeframe
        As in `DataHandler.get_stock_bars`.
    min_bucket_coverage, market, rv_estimator
        As in `get_hourly_rv`, where the last is ``estimator``.

    Returns
    -------
    DataFrame indexed by bucket label (the market's time), a column for each symbol, NaN where it has no value.
    ``attrs["failed"]`` says for each symbol that is missing why; ``attrs["left_out"]`` what was left out of each.

    Raises
    ------
    DataSourceError
        Not one of them could be got.
    """

    def hours_of(symbol: str) -> pd.Series:
        bars = handler.get_stock_bars(symbol, start_date, end_date, timeframe)
        return get_hourly_rv(bars, min_bucket_coverage=min_bucket_coverage, market=market, estimator=rv_estimator)

    series, failed = for_each_symbol(hours_of, symbols)
    left_out = {symbol: rv.attrs.pop("left_out") for symbol, rv in series.items()}
    side_by_side = pd.DataFrame(series).sort_index()
    side_by_side.attrs = {"failed": failed, "left_out": left_out}
    return side_by_side


def minutes_per_year(preset: Preset, market: TradingMarket, labels: Int64Array1D) -> Int64Array1D:
    """Minutes of a year in which variance accrues, at the time of buckets that end at `labels`, shape (n,).

    `labels` are in microseconds since the epoch. The minutes are those of the market's sessions, as long as they are
    then; under the preset ``"colab"`` all that a year has.
    """
    if preset == "colab":
        return np.full(len(labels), _CLOCK_YEAR)
    return market.minutes_per_year(labels)


@overload
def annualize(volatility: float, minutes: float, year: float) -> float: ...


@overload
def annualize(volatility: pd.Series, minutes: float | pd.Series, year: float | Int64Array1D) -> pd.Series: ...


@overload
def annualize(
    volatility: Float64Array1D, minutes: Float64Array1D | Int64Array1D, year: float | Int64Array1D
) -> Float64Array1D: ...


def annualize(volatility: Any, minutes: Any, year: Any) -> Any:
    """Annualized volatility (decimal; 0.25 is 25 %) of a `volatility` that accrued over `minutes`.

    Variance per minute times the minutes of a `year` in which variance accrues, see `minutes_per_year`.
    """
    return volatility * (year / minutes) ** 0.5


def _colab_hourly_rv(bars: SymbolBars, tz: str) -> pd.Series:
    if len(bars.stamps) < 2:
        raise NotEnoughDataError(
            f"found {counted(len(bars.stamps), 'bar')}; the rule is two at least, for one return; give a longer span."
        )
    return _notebook_rv(bars.frame["close"].tz_convert(tz))


def _notebook_rows(closes: pd.Series) -> Rows:
    rv = _notebook_rv(closes)
    return time_index(rv).as_unit("us").asi8, rv.to_numpy(dtype=float)[:, None]


def _notebook_rv(prices: pd.Series) -> pd.Series:
    squared_returns = prices.pct_change(fill_method=None).dropna() ** 2
    rv = squared_returns.resample("1h", closed="right", label="right").sum() ** 0.5
    if not np.isfinite(rv).all():
        raise BarsError(
            f"the closes of the hour until {rv.index[~np.isfinite(rv)][0]} step beyond all numbers; they must be "
            "prices of one scale; look at them with assess_quality."
        )
    return rv.rename("rv_hourly")


def _bucketed(bars: SymbolBars, measurement: HourlyMeasurement) -> BucketedBars:
    bucketed = BucketedBars.of(bars.stamps, bars.prices, bars.length, measurement.market)
    measurement.require_enough_bars(bucketed)
    return bucketed


def _nights(
    bars: SymbolBars, measurement: HourlyMeasurement, labels: Int64Array1D, overnight: SymbolBars | None
) -> Float64Array2D:
    """Measures of the night after each bucket, shape (n, len(NIGHT_NAMES)), NaN where it is not a session's last."""
    nights = np.full((len(labels), len(NIGHT_NAMES)), np.nan)
    trading = bars if overnight is None else overnight
    moment = max(int(one.stamps[-1]) + one.length for one in (bars, trading))
    last, values = measurement.night_rows(trading.stamps, trading.prices, trading.length, labels, moment)
    nights[last] = values
    return nights


def _zone_of(tz: str | None, market: TradingMarket) -> str:
    if tz is None:
        return market.zone
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ConfigError(
            f"tz is {str(tz)[:60]!r}; it must be the name of a time zone; use '{DEFAULT_ZONE}' or 'UTC'."
        ) from None
    return tz


def _left_out(bars: BucketedBars, is_whole: BoolArray1D) -> dict[str, int]:
    """What is in no row, and why: bars, returns and buckets of the sessions that have bars."""
    bars_in = bars.number(bars.bucket)
    traded = np.isin(bars.session, bars.session[bars.bucket])
    return {
        "bars_outside_sessions": bars.outside,
        "returns_overnight": max(int(bars.opens.sum()) - 1, 0),
        "returns_over_an_hour": int((~bars.counted & ~bars.opens).sum()),
        "buckets_without_bars": int(((bars_in == 0) & traded).sum()),
        "buckets_under_coverage": int(((bars_in > 0) & ~is_whole).sum()),
    }
