"""Bars that are handed over: on which market they are traded, and those of a symbol on days of that market."""

from datetime import date

import pandas as pd
import pytest

from volcast.arrays import time_index
from volcast.bars.handed_over import HandedOverBars
from volcast.bars.sources.simulator import simulate_bars
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.markets.registry import market_named


def bars_of(market: str, symbol: str | None = None) -> pd.DataFrame:
    bars = simulate_bars("CHECK", "2024-03-04", "2024-03-28", minutes=5, market=market)
    bars.attrs = {} if symbol is None else {"symbol": symbol}
    return bars


@pytest.mark.parametrize(
    ("market", "symbol", "named", "configured", "told"),
    [
        ("XNYS", None, (), "XNYS", "XNYS"),
        # By the bars' own name, before that of the configured symbol.
        ("XNYS", "NQ", (), "XNYS", "CMES"),
        ("XNYS", "NQ", ("NQ",), "XNYS", "XNYS"),
        ("XNYS", None, ("NQ",), "CMES", "CMES"),
        # By their hours, where names tell nothing.
        ("24/7", None, (), "XNYS", "24/7"),
        ("24/7", "SPY", (), "XNYS", "24/7"),
        ("24/7", None, ("SPY",), "XNYS", "24/7"),
        # A name that tells another market than New York's stands against hours.
        ("24/7", "VOD.L", (), "XNYS", "XLON"),
    ],
)
def test_names_tell_the_market_and_else_hours(
    market: str, symbol: str | None, named: tuple[str, ...], configured: str, told: str
) -> None:
    assert HandedOverBars.of(bars_of(market, symbol), named).market_name(configured) == told


def test_days_are_those_of_the_market() -> None:
    market, bars = market_named("CMES"), bars_of("CMES")
    expected = bars[market.dates(time_index(bars)).isin(pd.date_range("2024-03-11", "2024-03-15"))]
    cut = HandedOverBars.of(bars, ()).of_symbol("any", date(2024, 3, 11), date(2024, 3, 15), market)
    pd.testing.assert_frame_equal(cut, expected)
    # The first of them begins on the evening before.
    assert time_index(cut)[0].tz_convert("America/Chicago").day == 10


def test_each_symbol_that_was_named_is_taken_out_of_the_bars_of_several() -> None:
    one, market = bars_of("XNYS"), market_named("XNYS")
    several = HandedOverBars.of(pd.concat({"AAA": one, "BBB": one * 2}, names=["symbol", "timestamp"]), ("AAA", "BBB"))
    pd.testing.assert_frame_equal(several.of_symbol("BBB", None, None, market), one * 2)
    with pytest.raises(BarsError, match="the bars hold AAA, BBB and CCC was asked for"):
        several.of_symbol("CCC", None, None, market)


def test_bars_that_are_not_those_of_the_symbols_are_refused() -> None:
    market = market_named("XNYS")
    with pytest.raises(ConfigError, match="one symbol's and AAA, BBB are to be trained on"):
        HandedOverBars.of(bars_of("XNYS"), ("AAA", "BBB")).of_symbol("AAA", None, None, market)
    with pytest.raises(NotEnoughDataError, match="the dates must overlap"):
        HandedOverBars.of(bars_of("XNYS"), ()).of_symbol("AAA", date(2025, 1, 1), None, market)
    with pytest.raises(BarsError, match="the bars are a list"):
        HandedOverBars.of([1.0, 2.0], ())
