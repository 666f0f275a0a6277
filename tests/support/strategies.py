"""What Hypothesis makes for the doors: frames, moments, symbols, settings and files, of right and of wrong kinds."""

import string
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.bar_cases import CASES, PLAIN
from tests.support.bars import make_bars, place_of
from tests.support.markets import OTHERS
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TRAINING_CONFIG

__all__ = [
    "JSON",
    "MARKETS",
    "MOMENTS",
    "SCALARS",
    "SETTINGS",
    "SYMBOLS",
    "TEXT",
    "bars_frames",
    "bars_texts",
    "damaged_frames",
    "examples",
    "mostly",
    "strange_frames",
    "with_its_bars",
]

_TIMES_IN_FUZZING = 15
_ZONES = ["UTC", "America/New_York", "Europe/Zurich", "Asia/Tokyo"]
_PRICES = ["open", "high", "low", "close"]
_UTC = PLAIN.tz_convert("UTC")
_WEEKS = make_bars("2024-11-18", "2024-12-06", extended=False)
_MONTHS = make_bars("2024-10-07", "2024-12-06", seed=2, minutes=5)
_LONG_DAYS = make_bars("2024-11-27", "2024-12-03", seed=1, extended=True)
_NEW_YORK = "XNYS"


def examples(count: int, steps: int = 50) -> settings:
    """Settings of a test at the edges: `count` examples, always the same; under the profile ``fuzz`` new ones and more.

    `steps` is how many a machine of states takes at most.
    """
    fuzzing = settings.default == settings.get_profile("fuzz")
    return settings(
        max_examples=count * _TIMES_IN_FUZZING if fuzzing else count,
        derandomize=not fuzzing,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def mostly(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Three times out of four what is `right`: a door that is never passed shows nothing of what lies behind it."""
    return st.integers(0, 3).flatmap(lambda turn: wrong if turn == 3 else right)


MARKETS = st.sampled_from([_NEW_YORK, *OTHERS])
"""Markets by name."""


def with_its_bars(
    frames: Callable[[str], st.SearchStrategy[Any]], markets: st.SearchStrategy[str] = MARKETS
) -> st.SearchStrategy[tuple[str, Any]]:
    """A market by name, and what `frames` makes of it."""
    return markets.flatmap(lambda market: st.tuples(st.just(market), frames(market)))


TEXT = st.one_of(
    st.text(max_size=12),
    st.text(string.printable, max_size=12),
    st.sampled_from(["", " ", "nan", "None", "../x", "/", "~", "\0", "a" * 300, "\ud800", "é", "%s", "{0}", "[/red]"]),
)
"""Words, of letters and of anything else."""

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(), st.text(max_size=8), st.decimals(),
    st.datetimes(), st.timedeltas(), st.dates(), st.binary(max_size=4), st.lists(st.integers(), max_size=2),
)  # fmt: skip
"""Single values of every kind."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
"""What a file of JSON may hold."""

SYMBOLS = mostly(
    st.sampled_from(["SPY", "QQQ", "BRK.B", "BTC/USD", "^VIX", "ES=F", "A$B", "spy"]),
    st.sampled_from([".", "..", "CON"]) | TEXT,
)
"""Symbols, and what is none."""

_DAYS = st.datetimes(pd.Timestamp("2024-11-18").to_pydatetime(), pd.Timestamp("2024-12-10").to_pydatetime())
_ODD_MOMENTS = st.sampled_from(
    [
        pd.NaT, "now", "5", 5, "2024-03-10 02:30", "2024-11-03 01:30", "1600-01-01", "3000-01-01", "2027-12-30",
        "2199-12-31 23:59", np.nan, np.datetime64("NaT"), ["2024-12-02"], pd.Timestamp.max, pd.Timestamp.min,
    ]
)  # fmt: skip
_WRITTEN_MOMENTS = st.sampled_from(
    [
        "2024-12-02 11:00", "2024-12-02", "2024-11-29T13:00:00-05:00", date(2024, 12, 3),
        pd.Timestamp("2024-12-02 15:00", tz="UTC"), pd.Timestamp("2024-12-02 11:00:00.123456789"),
        np.datetime64("2024-12-02T11:00"),
    ]
)  # fmt: skip
MOMENTS: st.SearchStrategy[Any] = mostly(_DAYS.map(pd.Timestamp) | _WRITTEN_MOMENTS, _ODD_MOMENTS | SCALARS)
"""Moments, most of them of the days of `bars_frames`, and what is none."""

_RANGES = st.tuples(st.integers(-1, 9), st.integers(-1, 9)) | st.lists(st.floats(), max_size=3)
_RIGHT_SETTINGS = st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in TRAINING_CONFIG.items()})
_SOME_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.integers(1, 200), "epochs": st.integers(1, 50), "preset": st.sampled_from(["session", "colab"]),
        "network": st.sampled_from([None, "har_lstm", "roadmap"]), "start_date": st.dates(), "end_date": st.dates(),
        "validation_split": st.floats(0, 1), "test_split": st.floats(0, 1), "units_range": _RANGES, "symbol": SYMBOLS,
        "symbols": st.lists(SYMBOLS, max_size=3), "bars_source": TEXT, "seed": st.integers(), "workers": st.integers(),
    },
)  # fmt: skip
_WRONG_SETTINGS = st.dictionaries(
    st.sampled_from([*TRAINING_CONFIG, "max_trails", "x"]), JSON | SCALARS | _RANGES, max_size=4
)
SETTINGS = mostly(_RIGHT_SETTINGS | _SOME_SETTINGS, _WRONG_SETTINGS)
"""Settings of a training, most of them right."""


@cache
def _of_market(market: str, *, months: bool) -> tuple[pd.DataFrame, ...]:
    """Bars that frames of a market are cut out of."""
    if market == _NEW_YORK:
        return (_MONTHS,) if months else (_WEEKS, _LONG_DAYS)
    first, minutes = ("2024-10-07", 5) if months else ("2024-11-25", 1)
    return (simulate_bars("CHECK", first, "2024-12-06", minutes=minutes, market=market),)


@st.composite
def bars_frames(draw: st.DrawFn, *, months: bool = False, market: str = _NEW_YORK) -> pd.DataFrame:
    """Bars as they should be, some missing, in any zone: a few days of minutes, or two months of five minutes."""
    source = draw(st.sampled_from(_of_market(market, months=months)))
    first = draw(st.integers(0, len(source) // 5))
    longest = len(source) - first if months else 1_200
    frame = source.iloc[first : first + draw(st.integers(longest * 3 // 4 if months else 200, longest))]
    hole = draw(st.integers(0, len(frame))), draw(st.integers(0, 90))
    missing = np.random.default_rng(draw(st.integers(0, 9))).random(len(frame)) < draw(st.sampled_from([0, 0, 0.03]))
    missing[hole[0] : sum(hole)] = True
    frame = frame[~missing].tz_convert(draw(st.sampled_from(_ZONES)))
    return frame * draw(st.sampled_from([0.01, 1.0, 250.0]))


@st.composite
def damaged_frames(draw: st.DrawFn, *, months: bool = False, market: str = _NEW_YORK) -> pd.DataFrame:
    """Bars of which a few rows, values or stamps are not as they should be, or all of them a little."""
    frame = draw(bars_frames(months=months, market=market))
    for _ in range(draw(st.integers(1, 2))):
        row = draw(st.integers(0, len(frame) - 1))
        column = draw(st.sampled_from(_PRICES))
        how = draw(
            st.sampled_from(["value", "order", "twice", "naive", "columns", "split", "empty", "constant", "nat"])
        )
        if how == "value":
            frame.iloc[row, place_of(frame, column)] = draw(
                st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e300, 1e-300, 5e-324, 1e308, 101.0]) | st.floats()
            )
        elif how == "order":
            frame = pd.concat([frame.iloc[row:], frame.iloc[:row]])
        elif how == "twice":
            frame = frame.iloc[np.sort(np.append(np.arange(len(frame)), row))]
        elif how == "naive":
            frame = frame.tz_localize(None)
        elif how == "columns":
            return frame[draw(st.lists(st.sampled_from(frame.columns.to_list()), max_size=5, unique=True))]
        elif how == "split":
            frame.iloc[row:, :4] /= draw(st.sampled_from([2, 3, 10, 20, 0.1]))
        elif how == "empty":
            return frame.iloc[:0]
        elif how == "constant":
            frame[column] = frame[column].iloc[row]
        else:
            frame.index = frame.index.where(np.arange(len(frame)) != row, pd.NaT)
    return frame


@st.composite
def strange_frames(draw: st.DrawFn) -> pd.DataFrame:
    """Frames whose names, index, kinds of columns or single values are not those of bars."""
    frame = _UTC.iloc[:40].copy()
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["value", "column", "index", "name", "drop"]))
        place = draw(st.integers(0, max(frame.shape[1] - 1, 0)))
        if how == "value":
            column = frame.iloc[:, place].astype(object).to_list()
            column[draw(st.integers(0, 39))] = draw(SCALARS)
            frame = frame.drop(columns=frame.columns[place]).assign(
                **{str(frame.columns[place]): pd.Series(column, frame.index, dtype=object)}
            )
        elif how == "column":
            frame[frame.columns[place]] = pd.Series([draw(SCALARS)] * len(frame), frame.index, dtype=object)
        elif how == "index":
            frame.index = pd.Index([draw(SCALARS)] * len(frame), dtype=object)
        elif how == "name":
            names: list[Any] = list(frame.columns)
            names[place] = draw(st.sampled_from(["close", "Close", "date", "symbol", "", "x", 7, None]))
            frame.columns = pd.Index(names)
        elif frame.shape[1] > 1:
            frame = frame.iloc[:, [number for number in range(frame.shape[1]) if number != place]]
    return frame


@st.composite
def bars_texts(draw: st.DrawFn) -> bytes:
    """A file of bars as people have them, whole or with bytes cut, replaced, doubled or put in."""
    content = CASES[draw(st.sampled_from(sorted(CASES)))]().encode()
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, min(len(content), 4_000)))
        how = draw(st.sampled_from(["cut", "replace", "insert", "double"]))
        inserted = draw(st.binary(max_size=6) | TEXT.map(lambda text: text.encode(errors="replace")))
        if how == "cut":
            content = content[:place]
        elif how == "double":
            content = content[:place] + content
        else:
            content = content[:place] + inserted + content[place + (len(inserted) if how == "replace" else 0) :]
    return content
