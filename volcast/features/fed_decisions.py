"""When the Federal Reserve says what it has decided: moments that everybody knows long before, and that move prices.

The Federal Open Market Committee meets eight times a year, on days that it publishes more than a year ahead. Its
statement comes at 14:00 New York time on a meeting's last day, a press conference half an hour later, the minutes at
the same hour three weeks after, or a few days earlier or later where a holiday is in the way. What is announced on
schedule moves volatility on schedule (Andersen and Bollerslev 1998, *Journal of Finance* 53). The list begins with 2016
and ends with 2027; later buckets are taken for ordinary ones.
"""

from datetime import date

import numpy as np

from volcast.arrays import BoolArray2D, Int64Array1D
from volcast.markets.clocks import HOUR, clock_of
from volcast.markets.names import DEFAULT_ZONE

__all__ = ["DECISION_KINDS", "beyond_the_list", "decision_dummies", "fed_span"]


DECISION_KINDS = ("before a decision", "with a decision", "after a decision", "with minutes")
"""What `decision_dummies` tells apart, in the order of its columns."""

# The meeting of March 2020 is not here: three days before, it was known that there would be none.
_MONTHS_AND_DAYS = {
    2016: "01-27 03-16 04-27 06-15 07-27 09-21 11-02 12-14",
    2017: "02-01 03-15 05-03 06-14 07-26 09-20 11-01 12-13",
    2018: "01-31 03-21 05-02 06-13 08-01 09-26 11-08 12-19",
    2019: "01-30 03-20 05-01 06-19 07-31 09-18 10-30 12-11",
    2020: "01-29 04-29 06-10 07-29 09-16 11-05 12-16",
    2021: "01-27 03-17 04-28 06-16 07-28 09-22 11-03 12-15",
    2022: "01-26 03-16 05-04 06-15 07-27 09-21 11-02 12-14",
    2023: "02-01 03-22 05-03 06-14 07-26 09-20 11-01 12-13",
    2024: "01-31 03-20 05-01 06-12 07-31 09-18 11-07 12-18",
    2025: "01-29 03-19 05-07 06-18 07-30 09-17 10-29 12-10",
    2026: "01-28 03-18 04-29 06-17 07-29 09-16 10-28 12-09",
    2027: "01-27 03-17 04-28 06-09 07-28 09-15 10-27 12-08",
}
_DATES = [f"{year}-{date}" for year, dates in _MONTHS_AND_DAYS.items() for date in dates.split()]
_DECISIONS = np.array(_DATES, dtype="datetime64[D]").astype(np.int64)
_UNTIL_MINUTES = 21
# Minutes that holidays moved, by the decision that they are of.
_MOVED_MINUTES = {
    "2019-12-11": "2020-01-03",
    "2020-11-05": "2020-11-25",
    "2024-11-07": "2024-11-26",
    "2025-12-10": "2025-12-30",
}
_IN_TIME = np.isin(_DATES, list(_MOVED_MINUTES), invert=True)
_MINUTES = np.append(
    _DECISIONS[_IN_TIME] + _UNTIL_MINUTES,
    np.array(list(_MOVED_MINUTES.values()), dtype="datetime64[D]").astype(np.int64),
)
_CLOCK = clock_of(DEFAULT_ZONE)
_BUCKET = 15

# By day from the day before the first decision on to the day after the last minutes: 1 with a decision, 2 with minutes.
_FIRST = int(_DECISIONS[0]) - 1
_KIND_OF_DAY = np.zeros(int(_DECISIONS[-1]) + _UNTIL_MINUTES + 2 - _FIRST, dtype=np.int64)
_KIND_OF_DAY[_DECISIONS - _FIRST] = 1
_KIND_OF_DAY[_MINUTES - _FIRST] = 2
# By kind of day and clock hour, named by its end.
_DUMMIES = np.zeros((3, 25, len(DECISION_KINDS)), dtype=bool)
_DUMMIES[1, :_BUCKET, 0] = _DUMMIES[1, _BUCKET, 1] = _DUMMIES[1, _BUCKET + 1 :, 2] = _DUMMIES[2, _BUCKET, 3] = True


def decision_dummies(labels: Int64Array1D) -> BoolArray2D:
    """Which buckets stand before, with or after a decision on its day, or with minutes, shape (n, 4).

    Parameters
    ----------
    labels
        When the buckets end, in microseconds since the epoch, shape (n,): one that ends in the hour to 15:00
        in New York is with the statement.
    """
    ended = (_CLOCK.shown(labels) - 1) // HOUR
    days, hours = ended // 24, ended % 24 + 1
    place = np.minimum(np.maximum(days - _FIRST, 0), len(_KIND_OF_DAY) - 1)
    return np.asarray(_DUMMIES[_KIND_OF_DAY[place], hours])


def fed_span() -> dict[str, str | int]:
    """How many days are listed, ``days``, of decisions and minutes, and the ``first`` and ``last`` of them."""
    days = np.sort(np.append(_DECISIONS, _MINUTES))
    first, last = days[[0, -1]].view("M8[D]").astype(str)
    return {"days": len(days), "first": str(first), "last": str(last)}


def beyond_the_list(day: date) -> str:
    """A sentence for bars of a `day` after the last decision that is listed; empty before."""
    if day <= date.fromisoformat(_DATES[-1]):
        return ""
    return (
        f"The bars reach {day}, and the Fed's decisions are listed until {_DATES[-1]}: later ones are taken for "
        "ordinary hours; update the library."
    )
