"""Hourly measures as plain arrays, for work on a bucket at a time: a frame takes longer to make than a forecast."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.sessions import EXCHANGE_TIMEZONE

__all__ = ["HourlyRows"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HourlyRows:
    """Rows of hourly measures (see `measures.bucketed`), in time order.

    Attributes
    ----------
    labels
        When each bucket ends, in microseconds since the epoch, shape (n,).
    values
        Its measures, shape (n, k).
    names
        Of the measures, k of them.
    """

    labels: IntArray
    values: FloatArray
    names: pd.Index

    @classmethod
    def of(cls, measures: pd.DataFrame) -> "HourlyRows":
        """Those of a frame, indexed by label, which stays `frame`, its ``attrs`` with it."""
        rows = cls(_microseconds(measures.index), measures.to_numpy(dtype=float), measures.columns)
        vars(rows)["frame"] = measures
        return rows

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """As a frame, indexed by label, New York time."""
        index = pd.DatetimeIndex(self.labels.view("M8[us]"), tz="UTC").tz_convert(EXCHANGE_TIMEZONE)
        return pd.DataFrame(self.values, index=index, columns=self.names, copy=False)


def _microseconds(labels: pd.DatetimeIndex) -> IntArray:
    # An index that counts so already is not copied.
    stamps: IntArray = labels.asi8 if labels.unit == "us" else labels.as_unit("us").asi8
    return stamps
