"""The sources that fetch keep the rules, and the suite finds each way to break one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn
from tests.support.bars import make_bars
from volcast.bars.sources.alpaca import AlpacaBars
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaCredentials
from volcast.bars.sources.yahoo import YahooBars
from volcast.errors import DataSourceError
from volcast.testing.sources import check_source

START, END = pd.Timestamp("2024-06-03", tz="America/New_York"), pd.Timestamp("2024-06-08", tz="America/New_York")
BARS = make_bars("2024-05-28", "2024-06-14", minutes=5)


class Broker:
    """A source that keeps the rules."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        if symbol != "SPY":
            raise DataSourceError(f"the broker has no {symbol}; SPY is all that it has.")
        return BARS[(BARS.index >= start) & (BARS.index < end)]


def test_a_source_that_keeps_the_rules_passes() -> None:
    check_source(Broker(), "SPY", START, END, "5Min")


def test_alpaca_keeps_the_rules() -> None:
    with AlpacaStandIn({"SPY": BARS}, page=200) as server:
        access = AlpacaAccess(AlpacaCredentials(KEY, SECRET), url_override=server.url)
        check_source(AlpacaBars(access), "SPY", START, END, "5Min")


def test_yahoo_keeps_the_rules() -> None:
    def download(symbol: str, *, start: datetime, end: datetime, **settings: Any) -> pd.DataFrame:
        local = BARS.tz_convert("America/New_York")
        found = local[(local.index >= start) & (local.index < end)] if symbol == "SPY" else local.iloc[:0]
        return found.rename(columns=str.title).assign(**{"Adj Close": found["close"]})

    source = YahooBars(clock=lambda: datetime(2024, 6, 20, 20, tzinfo=UTC), download=download)
    check_source(source, "SPY", START, END, "5Min")


def naive(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.tz_localize(None)


def backwards(bars: pd.DataFrame) -> pd.DataFrame:
    return bars[::-1]


def twice(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([bars, bars]).sort_index()


def without_closes(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.drop(columns="close")


def of_its_end(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.set_axis(bars.index + pd.Timedelta(minutes=5))


def later(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.set_axis(bars.index + pd.Timedelta(minutes=2))


def swapped(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.rename(columns={"high": "low", "low": "high"})


def too_low(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(high=bars["close"])


def every_second(bars: pd.DataFrame) -> pd.DataFrame:
    return bars[::2]


def one_between(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([bars, bars.iloc[3:4].set_axis(bars.index[3:4] + pd.Timedelta(minutes=2))]).sort_index()


def free(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(close=0.0)


def a_list(bars: pd.DataFrame) -> Any:
    return bars.to_dict("records")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (naive, "without a time zone"),
        (backwards, "not in time order"),
        (twice, "duplicated time stamps"),
        (without_closes, "no 'close'"),
        (of_its_end, "as if they were the end of each bar"),
        (later, "no session has a bar that starts at its opening"),
        (swapped, "the close lies outside of high and low"),
        (too_low, "the high of the bar at .* the rule is the highest"),
        (every_second, "bars are 0 days 00:10:00 apart"),
        (one_between, "begins before that one has ended"),
        (free, "a price of zero or less"),
        (a_list, "fetch gives a list"),
    ],
)
def test_broken_bars_are_found(change: Callable[[pd.DataFrame], Any], said: str) -> None:
    class Broken(Broker):
        def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> Any:
            bars = super().fetch(symbol, start, end, timeframe)
            return change(bars)

    with pytest.raises(AssertionError, match=said):
        check_source(Broken(), "SPY", START, END, "5Min")


class WithTheEnd(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        return super().fetch(symbol, start, end + pd.Timedelta(minutes=1), timeframe)


class WholeDays(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        return super().fetch(symbol, start.tz_convert("UTC").normalize(), end.tz_convert("UTC").normalize(), timeframe)


class OfTheWrittenTime(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        start, end = (moment.tz_localize(None).tz_localize("America/New_York") for moment in (start, end))
        return super().fetch(symbol, start, end, timeframe)


class Wanders(Broker):
    calls = 0

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        self.calls += 1
        return super().fetch(symbol, start, end, timeframe)[["close"]] * (1 + 1e-9 * self.calls)


class AnySymbol(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        return super().fetch("SPY", start, end, timeframe)


class Traceback(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        return super().fetch({"SPY": "SPY"}[symbol], start, end, timeframe)


class NothingIsAnError(Broker):
    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        bars = super().fetch(symbol, start, end, timeframe)
        bars.index[0]
        return bars


class Nothing:
    pass


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (WithTheEnd(), "a part .* has others than the bars"),
        (WholeDays(), "a part .* has others than the bars"),
        (OfTheWrittenTime(), "the same moments written in another zone"),
        (Wanders(), "the prices differ"),
        (AnySymbol(), "the symbol NO.SUCH.SYMBOL has bars"),
        (Traceback(), "the symbol NO.SUCH.SYMBOL raises KeyError"),
        (NothingIsAnError(), "a Saturday raises IndexError"),
        (Nothing(), "Nothing has no method fetch"),
    ],
)
def test_a_broken_source_is_found(source: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_source(source, "SPY", START, END, "5Min")


def test_a_span_of_one_session_is_too_short_to_check_with() -> None:
    with pytest.raises(AssertionError, match="two at least are needed"):
        check_source(Broker(), "SPY", START, START + pd.Timedelta(days=1), "5Min")
