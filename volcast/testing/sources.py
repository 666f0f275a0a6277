"""The rules of a source of bars: what `fetch` gives, for a span with bars, a part of it, and one without any."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.bars.checks import bar_length, validate_bars
from volcast.bars.sources.registry import BarSource, minutes_of
from volcast.errors import VolatilityError
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named
from volcast.testing.rules import require

__all__ = ["check_source"]

_PRICES = ["open", "high", "low", "close"]
_NO_SYMBOL = "NO.SUCH.SYMBOL"


def check_source(
    source: BarSource,
    symbol: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    timeframe: str = "1Min",
    *,
    market: str = DEFAULT_MARKET,
) -> None:
    """Check a source by asking it for a symbol and a span in which it has bars.

    - Bars are indexed by the moment at which each starts: tz-aware, increasing, without duplicates, inside the span,
      as far apart as `timeframe` says, the first of a session at its opening.
    - ``close`` is there, and prices are positive and finite; a high is the highest of its bar, a low the lowest.
    - The same question has the same answer, in whatever zone its moments are written.
    - A part of the span has the bars that start in it: at its first moment, and not at its end.
    - A span or a symbol without bars gives an empty frame or a `VolatilityError`, nothing else.

    Parameters
    ----------
    source
        What is checked.
    symbol
        One that it has.
    start, end
        Two sessions of the market at least, in which it has bars; tz-aware. It is asked six times.
    timeframe
        Length of a bar: ``1Min`` to ``59Min``, ``1Hour``.
    market
        Whose sessions, by name: see `markets.registry`.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which bar.
    """
    require(isinstance(source, BarSource), f"{type(source).__name__} has no method fetch; a source must have one.")
    bars = source.fetch(symbol, start, end, timeframe)
    _check_frame(bars, start, end)
    _check_prices(bars)
    _check_length(bars, pd.Timedelta(minutes=minutes_of(timeframe)))
    _check_openings(bars, start, end, market)
    again = source.fetch(symbol, start.tz_convert("Asia/Tokyo"), end.tz_convert("Asia/Tokyo"), timeframe)
    _require_same(again, bars, "the same moments written in another zone have other bars")
    first, stop = len(bars) // 4, len(bars) // 2
    part = source.fetch(symbol, bars.index[first], bars.index[stop], timeframe)
    sentence = "a part [start, end) of the span has others than the bars of the whole that start in it"
    _require_same(part, bars.iloc[first:stop], sentence)
    weekend = start.normalize() + pd.offsets.Week(weekday=5)
    if market_named(market).schedule(weekend, weekend).empty:
        _check_nothing(source, symbol, (weekend, weekend + pd.Timedelta(hours=12)), timeframe, "a Saturday")
    _check_nothing(source, symbol, (start, start), timeframe, "a span that is empty")
    _check_nothing(source, _NO_SYMBOL, (start, end), timeframe, f"the symbol {_NO_SYMBOL}")


def _check_frame(bars: object, start: pd.Timestamp, end: pd.Timestamp) -> None:
    require(isinstance(bars, pd.DataFrame), f"fetch gives a {type(bars).__name__}; the rule is a DataFrame.")
    assert isinstance(bars, pd.DataFrame)
    try:
        validate_bars(bars)
    except VolatilityError as error:
        raise AssertionError(f"what fetch gives is unusable: {error}") from None
    outside = (bars.index < start) | (bars.index >= end)
    require(
        not outside.any(),
        f"the bar at {bars.index[int(outside.argmax())]} is outside the span from {start} to {end}; the rule is bars "
        "that start in [start, end).",
    )


def _check_prices(bars: pd.DataFrame) -> None:
    present = [name for name in _PRICES if name in bars.columns]
    prices = bars[present].to_numpy(dtype=float)
    for name, reach in (("high", prices.max(axis=1)), ("low", prices.min(axis=1))):
        if name not in present:
            continue
        wrong = bars[name].to_numpy(dtype=float) != reach
        require(
            not wrong.any(),
            f"the {name} of the bar at {bars.index[int(wrong.argmax())]} is {bars[name].iloc[int(wrong.argmax())]} and "
            f"another of its prices goes beyond it; the rule is the {name}est price of the bar.",
        )


def _check_length(bars: pd.DataFrame, length: pd.Timedelta) -> None:
    require(
        len(bars) < 2 or bar_length(time_index(bars)) == length,
        f"bars are {bar_length(time_index(bars))} apart; the rule is the {length} that was asked for.",
    )
    steps = np.diff(time_index(bars).as_unit("us").asi8)
    close = steps < length // pd.Timedelta(microseconds=1)
    require(
        not close.any(),
        f"the bar after {bars.index[int(close.argmax())]} begins before that one has ended; bars may not overlap.",
    )


def _check_openings(bars: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, market: str) -> None:
    opens = pd.DatetimeIndex(market_named(market).schedule(start, end)["open"])
    asked = opens[(opens >= start) & (opens < end)]
    require(len(asked) >= 2, f"{len(asked)} session(s) open from {start} to {end}; two at least are needed to check.")
    require(
        bool(asked.isin(bars.index).any()),
        f"no session has a bar that starts at its opening (the first bar is stamped {bars.index[0]}); the rule is the "
        "start of a bar: stamps of its end are to be moved back by its length.",
    )


def _require_same(bars: pd.DataFrame, expected: pd.DataFrame, sentence: str) -> None:
    same = len(bars) == len(expected) and bool((bars.index == expected.index).all())
    require(same, f"{sentence}: {_span_of(bars)} in place of {_span_of(expected)}.")
    columns: Sequence[str] = list(expected.columns)
    require(list(bars.columns) == columns, f"{sentence}: columns {list(bars.columns)} in place of {list(columns)}.")
    require(
        bool((bars.to_numpy() == expected.to_numpy()).all() or bars.equals(expected.set_axis(bars.index))),
        f"{sentence}: the prices differ.",
    )


def _span_of(bars: pd.DataFrame) -> str:
    return f"{len(bars)} bars from {bars.index[0]} to {bars.index[-1]}" if len(bars) else "none"


def _check_nothing(
    source: BarSource, symbol: str, span: tuple[pd.Timestamp, pd.Timestamp], timeframe: str, what: str
) -> None:
    try:
        bars = source.fetch(symbol, *span, timeframe)
    except VolatilityError:
        return
    except Exception as error:
        raise AssertionError(
            f"{what} raises {type(error).__name__} ({error}); the rule is an empty frame, or a DataSourceError that "
            "says what is missing."
        ) from error
    require(
        isinstance(bars, pd.DataFrame) and bars.empty,
        f"{what} has bars; the rule is an empty frame, or a DataSourceError that says what is missing.",
    )
