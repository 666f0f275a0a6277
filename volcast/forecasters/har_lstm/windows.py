"""What the networks of the default forecast take, carried on as a table of measures grows."""

from typing import Protocol

import numpy as np

from volcast.arrays import BoolArray1D, Float32Array3D, GrowingArray, Int64Array1D
from volcast.features.intraday import IntradayFeatures
from volcast.forecasters.tables import HourlyTable
from volcast.measures.bucketed import STEPS

__all__ = ["NetworkWindows", "StateWindows", "StepWindows"]


class NetworkWindows(Protocol):
    """Windows of one table's rows."""

    def windows(self, last: Int64Array1D, next_hours: Int64Array1D, next_opens: BoolArray1D) -> Float32Array3D:
        """What a network takes, shape (n, window, F), to forecast the buckets after the rows `last`.

        `next_hours` and `next_opens` are of these buckets: their clock hour, and whether the market was closed before.
        """

    def take_in(self) -> None:
        """Add the rows of the table that are new."""

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows alone."""


class StepWindows:
    """The last steps of the bars of a bucket; see `features.bar_steps`.

    Parameters
    ----------
    features
        Of the model.
    table
        Hourly measures.
    """

    def __init__(self, features: IntradayFeatures, table: HourlyTable) -> None:
        self._features, self._table = features, table
        names = features.step_columns_read(table.names)
        self._places = [table.names.index(name) for name in names]
        width = features.unusual_steps(np.empty((0, len(names))), np.empty(0, dtype=np.int64)).shape[1]
        self._unusual, self._volumes = GrowingArray(np.float64, width), GrowingArray(np.float64)

    def windows(self, last: Int64Array1D, next_hours: Int64Array1D, next_opens: BoolArray1D) -> Float32Array3D:
        """What a network takes, shape (n, STEPS, F); see `NetworkWindows`."""
        return self._features.step_windows(self._unusual.values, self._volumes.values, last, next_hours, next_opens)

    def take_in(self) -> None:
        """Add the rows of the table that are new."""
        begin = len(self._volumes)
        columns = self._table.values[begin:, self._places]
        unusual = self._features.unusual_steps(columns, self._table.hours[begin:])
        self._unusual.append(unusual)
        self._volumes.append(unusual[:, 2 * STEPS : 3 * STEPS].sum(axis=1) / STEPS)

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows alone."""
        self._unusual.cut(rows)
        self._volumes.cut(rows)


class StateWindows:
    """The states of the last buckets, for networks that earlier releases trained.

    Parameters
    ----------
    features, window
        Of the model.
    table
        Hourly measures.
    states
        Those of the table's rows.
    """

    def __init__(
        self, features: IntradayFeatures, window: int, table: HourlyTable, states: "GrowingArray[np.float64]"
    ) -> None:
        self._features, self._window, self._table, self._states = features, window, table, states
        # Of each row but the last: a step tells when the next bucket is.
        self._steps = GrowingArray(np.float32, len(features.state_mean) + 3)

    def windows(self, last: Int64Array1D, next_hours: Int64Array1D, next_opens: BoolArray1D) -> Float32Array3D:
        """What a network takes, shape (n, window, F); see `NetworkWindows`."""
        final = self._features.steps(self._states.values[last], next_hours, next_opens)
        earlier = self._steps.values[(last - self._window + 1)[:, None] + np.arange(self._window - 1)]
        return np.concatenate([earlier, final[:, None]], axis=1)

    def take_in(self) -> None:
        """Add the rows of the table that are new, but the last, which waits for the row behind it."""
        table, done, stop = self._table, len(self._steps), len(self._states) - 1
        hours, days = table.hours[done + 1 :], table.days[done:]
        self._steps.append(self._features.steps(self._states.values[done:stop], hours, days[1:] != days[:-1]))

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows alone."""
        self._steps.cut(max(rows - 1, 0))
