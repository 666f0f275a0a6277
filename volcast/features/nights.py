r"""What traded since the last close, as the regression sees it before the first bucket of a session.

Half the log of the variance of each part of the night (`measures.nights`), less its mean over the nights that training
saw. Of a part that has not ended, the variance so far stands for all of it, :math:`\ln(v / s) / 2` with :math:`s` the
share of its minutes that has passed, and the deviation counts as this share: before the night it says nothing, at the
open all. Where nothing traded, nothing is unusual; so it is where a whole session lies between.
"""

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array2D, Int64Array1D, columns_of
from volcast.measures.hourly import RV_FLOOR
from volcast.measures.nights import NIGHT_LEADS, NIGHT_NAMES, NIGHT_PARTS, NIGHT_TO_GO

__all__ = ["have_nights", "log_nights", "night_deviations"]

_LARGEST = 3.0
_FEWEST_KNOWN = 0.5
_PARTS = len(NIGHT_PARTS)
_TO_GO, _LEADS = NIGHT_NAMES.index(NIGHT_TO_GO), NIGHT_NAMES.index(NIGHT_LEADS)
_BEGIN, _END = (np.array(side, dtype=float) for side in zip(*NIGHT_PARTS.values(), strict=True))


def have_nights(measures: pd.DataFrame) -> bool:
    """Whether at least half of the nights in hourly measures that are over have bars."""
    if not set(NIGHT_NAMES) <= set(measures.columns):
        return False
    nights = columns_of(measures, NIGHT_NAMES)
    over = nights[nights[:, _TO_GO] == 0, :_PARTS]
    return len(over) > 0 and float((~np.isnan(over)).any(axis=1).mean()) >= _FEWEST_KNOWN


def log_nights(measures: pd.DataFrame) -> Float64Array2D:
    """Half the log of the variance of each part of the nights that are over, shape (n, len(NIGHT_PARTS)); else NaN.

    The night after the last row counts as one that is not: it ends after all that the rows show.
    """
    nights = columns_of(measures, NIGHT_NAMES)
    logs = np.where(nights[:, _TO_GO, None] == 0, _half_log(nights[:, :_PARTS]), np.nan)
    logs[-1:] = np.nan
    return logs


def night_deviations(nights: Float64Array2D, means: Float64Array2D, days_ahead: Int64Array1D) -> Float64Array2D:
    """How nights differ from what is usual, shape (n, len(NIGHT_PARTS)), before buckets so many days ahead.

    Parameters
    ----------
    nights
        `NIGHT_NAMES` of the rows after which the buckets follow, shape (n, len(NIGHT_NAMES)).
    means
        Of `log_nights`, shape (n, len(NIGHT_PARTS)).
    days_ahead
        From the day of the row to that of the bucket, shape (n,): 0 inside of a session.
    """
    to_go = nights[:, _TO_GO, None]
    passed = np.clip((_BEGIN - to_go) / (_BEGIN - _END), 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = _half_log(nights[:, :_PARTS] / passed) - means
        unusual = passed * np.clip(apart, -_LARGEST, _LARGEST)
    leads_there = nights[:, _LEADS] == days_ahead
    return np.asarray(np.where(leads_there[:, None], np.nan_to_num(unusual, nan=0.0), 0.0))


def _half_log(variance: Float64Array2D) -> Float64Array2D:
    return np.asarray(0.5 * np.log(np.maximum(variance, RV_FLOOR**2)))
