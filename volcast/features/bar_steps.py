"""What the networks of the default forecast see of the bars themselves: the half hour in which the last bucket ended.

Six steps of five minutes, each with

- ``range``: the log of its range, less the mean of that at this time of the day,
- ``return``: the size of its log return, in units of the range that is usual at this time,
- ``volume``: the log of its volume, less the mean of that at this time, and less how far volume has been from that over
  the last ten sessions: feeds differ, and levels drift,
- ``market_range``: the mean of ``range`` over all symbols, in a model of many,

and, the same in all six, when the bucket that is forecast is: its clock hour on a dial, and whether it is the first
after the market was closed. What is missing, a step without bars or bars without volume, counts as usual: 0.
"""

from collections.abc import Sequence

import numpy as np

from volcast.arrays import (
    BoolArray1D,
    Float32Array3D,
    Float64Array1D,
    Float64Array2D,
    Int64Array1D,
    parts_of,
    running_sums,
)
from volcast.measures.bucketed import STEPS

__all__ = [
    "MARKET_RANGE",
    "VOLUME_MEMORY",
    "deviations",
    "log_steps",
    "step_inputs_of",
    "step_windows",
    "usual_volume",
]

MARKET_RANGE = "market_range"
"""The input that only a model of many symbols has."""

VOLUME_MEMORY = 70
"""Buckets before, ten sessions' of seven each, whose volume is the level that a step's is compared with."""

_SMALLEST_RANGE = 2e-5
_LARGEST_RETURN, _LARGEST_VOLUME = 6.0, 4.0


def log_steps(columns: Float64Array2D) -> Float64Array2D:
    """Logs of range and volume of the steps, shape (n, 2 * STEPS), from `bucketed.STEP_MEASURES`; NaN where missing."""
    ranges, volumes = columns[:, :STEPS], columns[:, 2 * STEPS :]
    return np.asarray(np.log(np.concatenate([np.maximum(ranges, _SMALLEST_RANGE), np.maximum(volumes, 1.0)], axis=1)))


def deviations(columns: Float64Array2D, means: Float64Array2D) -> Float64Array2D:
    """Range, return and volume of each step as they differ from what is usual, shape (n, 3 * STEPS).

    Parameters
    ----------
    columns
        `bucketed.STEP_MEASURES` of n buckets.
    means
        Of `log_steps` in the clock hours of these buckets, shape (n, 2 * STEPS).
    """
    steps = log_steps(columns) - means
    returns = np.abs(columns[:, STEPS : 2 * STEPS]) / np.exp(means[:, :STEPS])
    unusual = np.concatenate([steps[:, :STEPS], np.minimum(returns, _LARGEST_RETURN), steps[:, STEPS:]], axis=1)
    return np.where(np.isnan(unusual), 0.0, unusual)


def usual_volume(volumes: Float64Array1D, last: Int64Array1D, count: int = VOLUME_MEMORY) -> Float64Array1D:
    """Mean of the `count` values before each of the rows `last`, of fewer where there are fewer; 0 of none.

    `volumes` are the mean deviations of volume of each bucket, shape (n,). Row by row, each from its own: a row is the
    same to the last bit whichever rows are made with it.
    """
    sums = np.empty(len(last))
    for part in parts_of(len(last), count):
        rows = last[part] - np.arange(count, 0, -1)[:, None]
        earlier = volumes.take(np.maximum(rows, 0))
        earlier[rows < 0] = 0.0
        (sums[part],) = running_sums(earlier, np.array([count]))
    return np.asarray(sums / np.clip(last, 1, count))


def step_inputs_of(columns: Float64Array2D, *, with_market: bool) -> tuple[str, ...]:
    """What a network can learn of these `bucketed.STEP_MEASURES`: nothing where bars are longer than a step."""
    present = [not np.isnan(part).all() for part in np.hsplit(columns, 3)]
    if not present[0]:
        return ()
    inputs = ("range", "return", *(("volume",) if present[2] else ()))
    return (*inputs, MARKET_RANGE) if with_market else inputs


def step_windows(
    unusual: Float64Array2D,
    volume: Float64Array1D,
    inputs: Sequence[str],
    hands: Float64Array2D,
    opens: BoolArray1D,
) -> Float32Array3D:
    """What a network takes, shape (n, STEPS, len(inputs) + 3).

    Parameters
    ----------
    unusual
        Of n buckets: `deviations`, and the market's ranges after them where there are any.
    volume
        The `usual_volume` of each.
    inputs
        Which of them, as `step_inputs_of` names them.
    hands
        Sine and cosine of the clock hour of the bucket that is forecast, shape (n, 2).
    opens
        Whether the market was closed before that bucket.
    """
    parts = dict(zip(("range", "return", "volume", MARKET_RANGE), _parts(unusual), strict=False))
    parts["volume"] = np.minimum(np.maximum(parts["volume"] - volume[:, None], -_LARGEST_VOLUME), _LARGEST_VOLUME)
    windows = np.empty((len(unusual), STEPS, len(inputs) + 3), dtype=np.float32)
    for place, name in enumerate(inputs):
        windows[:, :, place] = parts[name]
    windows[:, :, len(inputs) : len(inputs) + 2] = hands[:, None]
    windows[:, :, -1] = opens[:, None]
    return windows


def _parts(unusual: Float64Array2D) -> list[Float64Array2D]:
    return np.hsplit(unusual, unusual.shape[1] // STEPS)
