r"""Hourly measures by session: what a day's variance was, from the close before it to its own.

.. math:: T_s = RV_s + r_s^2

with :math:`RV_s` the sum of the squared returns of the session's hours and :math:`r_s` the return of the night before
it, from close to open: the measure that Hansen and Lunde (2005, *Journal of Financial Econometrics* 3) begin with. They
weigh its parts for the least noise; a forecast weighs them in its regression, and is judged on their plain sum, which
is free of bias.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.forecasters.tables import HourlyTable
from volcast.markets.market import TradingMarket

__all__ = ["MEASURES_READ", "SessionTable"]

MEASURES_READ = (
    "rv_hourly",
    "parkinson_variance",
    "bucket_return",
    "minutes",
    "overnight_return",
    "recent_variance_30",
)
"""The hourly measures that sessions are made of."""

_LEAST_COVERAGE = 0.8


@dataclass(frozen=True)
class SessionTable:
    """Sessions that have closed, in time order, arrays of shape (n,); those with too few hours are left out.

    Attributes
    ----------
    close
        When each closed, in microseconds since the epoch.
    number
        Its position among the market's sessions: those of neighbours differ by one.
    variance, parkinson
        Realized and Parkinson variance of its hours, scaled to the whole session where hours are missing.
    ending
        Variance of a whole session at the pace of its last half hour.
    day_return
        Log return of its hours.
    night
        Log return from the close before it to its open; NaN where the session before it or its first hour is missing.
    market
        Whose sessions.
    """

    close: Int64Array1D
    number: Int64Array1D
    variance: Float64Array1D
    parkinson: Float64Array1D
    ending: Float64Array1D
    day_return: Float64Array1D
    night: Float64Array1D
    market: TradingMarket

    @classmethod
    def of(cls, table: HourlyTable, moment: int, market: TradingMarket) -> "SessionTable":
        """The sessions in hourly measures that had closed by a moment in microseconds since the epoch."""
        sessions = market.sessions
        begins = np.flatnonzero(table.opens())
        number = sessions.session.searchsorted(table.days[begins])
        columns = table.values[:, [table.names.index(name) for name in MEASURES_READ]]
        columns[:, 0] **= 2
        # A break at noon is a night's kin: what it brought is part of the session's variance and return.
        breaks = np.where(table.opens(), 0.0, columns[:, 4])
        columns[:, 0] += breaks**2
        columns[:, 2] += breaks
        variance, parkinson, day_return, minutes, _, _ = (
            np.add.reduceat(columns, begins) if len(begins) else columns[:0]
        ).T
        length = sessions.minutes[number]
        chosen = (minutes >= _LEAST_COVERAGE * length) & (sessions.close[number] <= moment)
        scale = length / minutes
        ends = np.append(begins, len(table))[1:] - 1
        night = np.where(table.labels[begins] == sessions.first_label[number], columns[begins, 4], np.nan)
        number = number[chosen]
        follows = np.diff(number, prepend=-1) == 1
        return cls(
            sessions.close[number],
            number,
            (variance * scale)[chosen],
            (parkinson * scale)[chosen],
            columns[ends, 5][chosen] * sessions.minutes[number],
            day_return[chosen],
            np.where(follows, night[chosen], np.nan),
            market,
        )

    def __len__(self) -> int:
        return len(self.close)

    @property
    def total(self) -> Float64Array1D:
        """Variance of each day from close to close; NaN where its night is unknown."""
        return self.variance + self.night**2

    def outcomes(self, count: int) -> Float64Array1D:
        """Volatility from close to close over the `count` sessions that follow each; NaN where it is not known."""
        ended = max(len(self) - count, 0)
        volatility = np.full(len(self), np.nan)
        windows = self.total[np.arange(ended)[:, None] + np.arange(1, count + 1)]
        whole = self.number[count:] - self.number[:ended] == count
        volatility[:ended] = np.where(whole, np.sqrt(windows.sum(axis=1)), np.nan)
        return volatility

    def first_unlike(self, other: "SessionTable") -> int:
        """Position of the first session that is another than in `other`, or that only one of them has."""
        both = min(len(self), len(other))
        alike = np.ones(both, dtype=bool)
        for one, another in zip(self.columns(), other.columns(), strict=True):
            first, second = one[:both], another[:both]
            alike &= (first == second) | ((first != first) & (second != second))
        return both if alike.all() else int(np.argmin(alike))

    def leading(self, count: int) -> "SessionTable":
        """The first `count` sessions alone."""
        return replace(self, **{one.name: getattr(self, one.name)[:count] for one in fields(self)[:-1]})

    def columns(self) -> Iterator[npt.NDArray[np.float64] | npt.NDArray[np.int64]]:
        """The arrays, in the order of the attributes."""
        return (getattr(self, one.name) for one in fields(self)[:-1])
