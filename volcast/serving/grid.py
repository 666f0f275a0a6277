"""Which buckets can be forecast from given bars, the moment each forecast is made, and what is known by then."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, Int64Array1D
from volcast.forecasters.tables import HourlyTable
from volcast.markets.market import TradingMarket
from volcast.measures.hourly import Preset
from volcast.serving.history import HourlyHistory

__all__ = ["ForecastGrid", "NextBucket", "bucket_to_forecast", "forecast_grid"]

_HOUR = 3_600_000_000


@dataclass(frozen=True)
class ForecastGrid:
    """Buckets to forecast, one row each, in time order; the last is the first that ends after the bars' last moment.

    Attributes
    ----------
    measures
        Hourly measures of the buckets that had ended (see `measures.bucketed`), indexed by label, the market's time.
    labels
        The buckets to forecast (their ends, the market's time).
    asof
        The moment from which each forecast can be made: the start of its bucket.
    minutes
        Length of each bucket in minutes.
    known
        How many leading rows of `measures` each forecast may use.
    """

    measures: pd.DataFrame
    labels: pd.DatetimeIndex
    asof: pd.DatetimeIndex
    minutes: Int64Array1D
    known: Int64Array1D

    def where(self, rows: BoolArray1D) -> "ForecastGrid":
        """Only the rows that are true in `rows`."""
        return ForecastGrid(self.measures, self.labels[rows], self.asof[rows], self.minutes[rows], self.known[rows])


@dataclass(frozen=True)
class NextBucket:
    """The last row of a grid: the first bucket that ends after a moment.

    Attributes
    ----------
    label, start
        When the bucket ends and begins, in microseconds since the epoch.
    minutes
        Its length.
    rows_before
        How many leading rows of the table its forecast may use.
    """

    label: int
    start: int
    minutes: int
    rows_before: int


def bucket_to_forecast(table: HourlyTable, moment: int, preset: Preset, market: TradingMarket) -> NextBucket | None:
    """The bucket to forecast at a moment in microseconds, of a `table` of what had ended; None where there is none.

    Under `colab` every calendar hour is one; none before the first hour that is known.

    Raises
    ------
    ConfigError
        The exchange's sessions are not known so far ahead.
    """
    if preset == "colab":
        label = int(table.labels[-1]) + _HOUR if len(table) else None
        return None if label is None else NextBucket(label, label - _HOUR, 60, len(table))
    buckets = market.buckets
    row = int(buckets.label.searchsorted(moment, side="right"))
    if row == len(buckets.label):
        raise market.beyond_the_sessions(market.clock.time(moment))
    start = int(buckets.start[row])
    count = int(table.labels.searchsorted(start, side="right"))
    return NextBucket(int(buckets.label[row]), start, int(buckets.minutes[row]), count)


def forecast_grid(history: HourlyHistory, table: HourlyTable, preset: Preset, market: TradingMarket) -> ForecastGrid:
    """The grid of a `history` at the end of its last bar, its measures, and perhaps others beside them, in `table`.

    Under `session`, the buckets of every session that has a bar, and the next one. Under `colab`, every calendar
    hour; since its labels hold one bar that ends after them, a bucket is known, and the next one's forecast made, one
    bar length after the label.
    """
    if preset == "colab":
        starts, count = table.labels, len(table)
        asof = market.clock.times(starts + history.length)
        return ForecastGrid(
            table.frame, market.clock.times(starts + _HOUR), asof, np.full(count, 60), np.arange(1, count + 1)
        )
    buckets = market.buckets
    ahead = int(buckets.label.searchsorted(history.last_end, side="right"))
    _, days = market.hours_and_days(history.stamps + history.length)
    past = np.flatnonzero(np.isin(buckets.session[:ahead], np.unique(days)))
    rows = np.append(past, ahead)
    known = np.asarray(table.labels.searchsorted(buckets.start[rows], side="right"), dtype=np.int64)
    return ForecastGrid(table.frame, buckets.index[rows], buckets.starts[rows], buckets.minutes[rows], known)
