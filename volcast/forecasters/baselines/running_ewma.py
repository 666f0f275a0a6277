r"""The deseasonalized EWMA, carried on from call to call: each costs the buckets that are new.

With :math:`s_{i,h}` the mean variance of hour h in the buckets up to i, the level follows
:math:`\ell_i = \lambda \ell_{i-1} + (1 - \lambda) RV_i^2 / s_{i,h(i)}`, and the forecast for an hour h is
:math:`\sqrt{\ell_i s_{i,h}}` (RiskMetrics 1996, deseasonalized). An hour not seen so far is taken as an average one.
What a bucket adds is the same to the last bit however many come at a time.
"""

from itertools import accumulate

import numpy as np

from volcast.arrays import Float64Array1D, Float64Array2D, FloatArray, GrowingArray, Int64Array1D
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import RV_FLOOR

__all__ = ["DECAY", "RunningEwma", "exponential_mean"]

DECAY = 0.94
"""What a day-old level counts, by RiskMetrics."""


class RunningEwma:
    """Forecasts for one table of measures that grows; whoever changes rows of it says so to `forget`.

    Parameters
    ----------
    table
        Hourly measures, ``rv_hourly`` among them.
    decay
        What a level counts against the next one.
    """

    def __init__(self, table: HourlyTable, decay: float = DECAY) -> None:
        self._table, self._decay = table, decay
        self._place = table.names.index("rv_hourly")
        # Of each row and all before it: sums of variances and numbers of buckets by clock hour, and of all hours.
        self._sums, self._counts = (GrowingArray(np.float64, table.market.slots) for _ in range(2))
        self._totals, self._levels = GrowingArray(np.float64), GrowingArray(np.float64)

    def forget(self, row: int) -> None:
        """Forget what was made of rows of the table from `row` on: they have changed."""
        for column in (self._sums, self._counts, self._totals, self._levels):
            column.cut(row)

    def forecast(self, labels: Int64Array1D, known: Int64Array1D) -> Float64Array1D:
        """Volatility of the buckets with these labels, in microseconds, each from its `known` leading rows, (n,)."""
        self._take_in()
        last, (hours, _) = known - 1, self._table.market.hours_and_days(labels)
        return np.asarray(np.sqrt(self._levels.values[last] * self._hour_variance(last, hours)))

    def levels(self, known: Int64Array1D) -> Float64Array2D:
        """The roots of the mean variance of each hour of day in the `known` leading rows, shape (len(known), 24).

        NaN for an hour that is not among them.
        """
        self._take_in()
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(self._sums.values[known - 1] / self._counts.values[known - 1]))

    def _hour_variance(self, rows: Int64Array1D, hours: Int64Array1D) -> Float64Array1D:
        """Mean variance of an hour of day up to a row; of all hours where it has not been seen."""
        counts = self._counts.values[rows, hours]
        means = self._sums.values[rows, hours] / np.maximum(counts, 1)
        return np.asarray(np.where(counts > 0, means, self._totals.values[rows] / (rows + 1)))

    def _take_in(self) -> None:
        """Add the rows of the table that are new."""
        done, table = len(self._levels), self._table
        rows = np.arange(done, len(table))
        if not len(rows):
            return
        variance, hours = np.maximum(table.values[done:, self._place], RV_FLOOR) ** 2, table.hours[done:]
        is_hour = hours[:, None] == np.arange(table.market.slots)
        self._sums.append(_summed(self._sums.values, np.where(is_hour, variance[:, None], 0.0)))
        self._counts.append(_summed(self._counts.values, is_hour.astype(float)))
        self._totals.append(_summed(self._totals.values, variance))
        relative = variance / self._hour_variance(rows, hours)
        before = self._levels.values[-1:].tolist()
        self._levels.append(exponential_mean([*before, *relative.tolist()], self._decay)[len(before) :])


def exponential_mean(values: list[float], decay: float) -> Float64Array1D:
    r""":math:`\ell_i = \lambda \ell_{i-1} + (1 - \lambda) x_i` of the `values` x, the first being the first."""
    # As pandas has it with ``adjust=False``, to the last bit.
    alpha = 1 - decay
    news = 1 / (1 + (1 - alpha) / alpha)
    fade = 1 - news
    whole = fade + news

    def following(level: float, value: float) -> float:
        return level if level == value else (fade * level + news * value) / whole

    return np.fromiter(accumulate(values, following), dtype=float, count=len(values))


def _summed(sums: FloatArray, rows: FloatArray) -> FloatArray:
    """Running sums over `rows` that go on after the last of `sums`."""
    return np.asarray(np.cumsum(np.concatenate([sums[-1:], rows]), axis=0)[len(sums[-1:]) :])
