"""Which buckets can be forecast from given bars, the moment each forecast is made, and what is known by then."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.forecasters.tables import HourlyRows
from volcast.measures.hourly import Preset, bar_length
from volcast.sessions import EXCHANGE_TIMEZONE, next_bucket, session_buckets

__all__ = ["ForecastGrid", "Measure", "NextBucket", "forecast_grid"]

Measure = Callable[[pd.DataFrame], pd.DataFrame]
"""Makes hourly measures of one symbol's bars: a row a bucket, indexed by label; see `measures.bucketed`."""

_HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True)
class ForecastGrid:
    """Buckets to forecast, one row each, in time order; the last is the first that ends after the bars' last moment.

    Attributes
    ----------
    measures
        Hourly measures of the buckets that had ended (see `measures.bucketed`), indexed by label, New York time.
    labels
        The buckets to forecast (their ends, New York time).
    asof
        The moment from which each forecast can be made: the start of its bucket.
    minutes
        Length of each bucket in minutes.
    known
        How many leading rows of `measures` each forecast may use.
    moment
        As of when the grid was made, New York time.
    """

    measures: pd.DataFrame
    labels: pd.DatetimeIndex
    asof: pd.DatetimeIndex
    minutes: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]
    moment: pd.Timestamp

    def where(self, rows: npt.NDArray[np.bool_]) -> "ForecastGrid":
        """Only the rows that are true in `rows`."""
        return ForecastGrid(
            self.measures, self.labels[rows], self.asof[rows], self.minutes[rows], self.known[rows], self.moment
        )


@dataclass(frozen=True)
class NextBucket:
    """The last row of a grid: the first bucket that ends after a moment.

    Attributes
    ----------
    history
        Hourly measures of the buckets that had ended.
    label
        When the bucket ends, in microseconds since the epoch.
    minutes
        Its length.
    known
        How many leading rows of `history` its forecast may use.
    moment
        That moment, New York time.
    """

    history: HourlyRows
    label: int
    minutes: int
    known: int
    moment: pd.Timestamp

    @classmethod
    def of(cls, grid: ForecastGrid) -> "NextBucket":
        """That of a `grid` with at least one row."""
        label, minutes, known = grid.labels[-1], int(grid.minutes[-1]), int(grid.known[-1])
        return cls(HourlyRows.of(grid.measures), label.value // 1000, minutes, known, grid.moment)

    @property
    def bucket(self) -> pd.Timestamp:
        """When it ends, New York time."""
        return pd.Timestamp(self.label, unit="us", tz=EXCHANGE_TIMEZONE)

    @property
    def labels(self) -> pd.DatetimeIndex:
        """The same as an index of one."""
        return pd.DatetimeIndex([self.bucket])


def forecast_grid(
    bars: pd.DataFrame,
    preset: Preset,
    asof: pd.Timestamp | None = None,
    *,
    measure: Measure,
    calendar: str = "XNYS",
) -> ForecastGrid:
    """The grid of `bars` (one symbol) as of `asof`: bars that end later are not looked at.

    `measure` makes the hourly measures.

    Under `session`, the buckets of every session that has a bar, and the next one. Under `colab`, every calendar
    hour; since its labels hold one bar that ends after them, a bucket is known, and the next one's forecast made, one
    bar length after the label.

    Raises
    ------
    BarsError
        The bars are unusable, or none of them had ended at `asof`.
    """
    length = bar_length(bars.index if asof is None else bars.index[: bars.index.searchsorted(asof, side="right")])
    if asof is not None:
        bars = bars.iloc[: bars.index.searchsorted(asof - length, side="right")]
    measures = measure(bars)
    asof = (asof or bars.index[-1] + length).tz_convert(EXCHANGE_TIMEZONE)
    if preset == "colab":
        return _colab_grid(measures, asof, length)
    return _session_grid(bars, measures, asof, length, calendar)


def _session_grid(
    bars: pd.DataFrame, measures: pd.DataFrame, asof: pd.Timestamp, length: pd.Timedelta, calendar: str
) -> ForecastGrid:
    ahead = next_bucket(asof, calendar)
    buckets = session_buckets(bars.index[0], asof, calendar)
    traded = (bars.index + length).tz_convert(EXCHANGE_TIMEZONE).tz_localize(None).normalize().unique()
    past = buckets[(buckets.index <= asof) & buckets["session"].isin(traded)]
    labels = past.index.append(pd.DatetimeIndex([ahead.name]))
    starts = pd.DatetimeIndex(past["start"]).append(pd.DatetimeIndex([ahead["start"]]))
    measures = measures[measures.index <= asof]
    known = np.asarray(measures.index.searchsorted(starts, side="right"), dtype=np.int64)
    minutes = np.append(past["minutes"], ahead["minutes"]).astype(np.int64)
    return ForecastGrid(measures, labels, starts, minutes, known, asof)


def _colab_grid(measures: pd.DataFrame, asof: pd.Timestamp, length: pd.Timedelta) -> ForecastGrid:
    # Hours without a bar are zeros, also those between the last bar and `asof`.
    last_known = (asof - length).tz_convert("UTC").floor("h").tz_convert(EXCHANGE_TIMEZONE)
    hours = pd.date_range(measures.index[0], last_known, freq="h")
    measures = measures.reindex(hours, fill_value=0.0)
    labels = hours + _HOUR
    count = len(hours)
    return ForecastGrid(measures, labels, hours + length, np.full(count, 60), np.arange(1, count + 1), asof)
