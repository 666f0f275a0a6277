"""Third Fridays of the month, on which most options, and every quarter futures on indices and currencies, expire."""

import numpy as np
import numpy.typing as npt

from volcast.arrays import Int64Array1D

__all__ = ["expiry_places", "third_fridays"]


def third_fridays(months: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """The third Friday of each of the `months`, as days; what is finer counts as its month. Shape (n,) each."""
    first = months.astype("M8[M]").astype("M8[D]")
    return np.asarray(np.busday_offset(first, 2, roll="forward", weekmask="Fri"))


def expiry_places(sessions: Int64Array1D) -> Int64Array1D:
    """Positions of the sessions on which monthly options expire: third Fridays, or the session before a holiday's.

    `sessions` are days counted from 1970-01-01, rising; third Fridays from the first to the last of them count.
    """
    ends = sessions[[0, -1]].astype("M8[D]").astype("M8[M]")
    fridays = third_fridays(np.arange(ends[0], ends[1] + 1)).astype(np.int64)
    fridays = fridays[(fridays >= sessions[0]) & (fridays <= sessions[-1])]
    return np.asarray(np.unique(sessions.searchsorted(fridays, side="right") - 1), dtype=np.int64)
