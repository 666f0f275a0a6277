"""Sessions cut out of bars, and the holes between them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.prices import close_to_close_returns, link_factors, regular_bars, session_prices
from volcast.errors import BarsError, NotEnoughDataError


def plain_sessions(bars: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Open, close and realized variance of each New York day, one bar after the other."""
    sessions: dict[str, tuple[float, float, float]] = {}
    for stamp, (_, bar) in zip(time_index(bars), bars.iterrows(), strict=True):
        day = str(stamp.tz_convert("America/New_York").date())
        opened, before, variance = sessions.get(day, (bar["open"], bar["open"], 0.0))
        sessions[day] = (opened, bar["close"], variance + math.log(bar["close"] / before) ** 2)
    return sessions


def test_sessions_are_those_of_a_plain_loop(some_bars: pd.DataFrame) -> None:
    prices, plain = session_prices(some_bars), plain_sessions(some_bars)
    exchange_days = [day for day in plain if day in {str(session.date()) for session in prices.index}]
    assert len(exchange_days) == len(prices) == len(plain) - 2  # Thanksgiving and Christmas are no sessions.
    for day, (_, row) in zip(time_index(prices), prices.iterrows(), strict=True):
        opened, closed, variance = plain[str(day.date())]
        half_day = str(day.date()) in ("2024-11-29", "2024-12-24")
        assert row["open"] == opened
        if not half_day:
            assert row["close"] == closed
            assert row["variance"] == pytest.approx(variance, rel=1e-12)
    nights = np.log(prices["open"].to_numpy()[1:] / prices["close"].to_numpy()[:-1])
    assert prices["night"].to_numpy()[1:] == pytest.approx(nights, rel=1e-12)


def test_bars_outside_the_session_are_not_looked_at() -> None:
    long, regular = (make_bars("2024-09-03", "2024-09-06", extended=extended) for extended in (True, False))
    cut = regular_bars(long)
    assert len(cut) == len(regular)
    assert (time_index(cut).tz_convert("UTC") == time_index(regular)).all()
    # A half-day ends at 13:00; 2024-11-29 was one.
    assert str(regular_bars(make_bars("2024-11-29", "2024-11-29")).index[-1].time()) == "12:59:00"
    with pytest.raises(NotEnoughDataError, match="of 390 bars none lies in a session of XNYS"):
        regular_bars(make_bars("2024-12-25", "2024-12-25"))


def test_a_return_over_a_hole_belongs_to_no_period(holed_bars: pd.DataFrame) -> None:
    prices = session_prices(holed_bars)
    (after,) = prices.index[prices["hole"]]
    assert str(after.date()) == "2024-11-22"
    assert math.isnan(prices.loc[after, "night"])
    returns = close_to_close_returns(prices)
    assert after not in returns.index
    assert len(returns) == len(prices) - 2
    assert returns.abs().max() < 0.2


def test_a_single_missing_session_is_a_hole_and_a_holiday_is_none(some_bars: pd.DataFrame) -> None:
    local = time_index(some_bars).tz_convert("America/New_York")
    without = some_bars[local.strftime("%Y-%m-%d") != "2024-10-09"]
    holes = session_prices(without)["hole"]
    assert [str(day.date()) for day in holes.index[holes]] == ["2024-10-10"]
    assert not session_prices(some_bars)["hole"].any()


def test_linked_prices_stand_still_over_a_hole(holed_bars: pd.DataFrame) -> None:
    prices = session_prices(holed_bars)
    linked = prices[["open", "close"]].mul(link_factors(prices), axis=0)
    row = int(np.flatnonzero(prices["hole"])[0])
    assert linked["open"].iloc[row] == pytest.approx(linked["close"].iloc[row - 1], rel=1e-12)
    within = prices["close"] / prices["open"]
    assert (linked["close"] / linked["open"]).to_numpy() == pytest.approx(within.to_numpy(), rel=1e-12)


def test_bars_without_a_zone_are_refused(some_bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match="without a time zone"):
        session_prices(some_bars.tz_localize(None))


def test_the_hole_of_five_months_is_no_return(shared_dir: Path) -> None:
    path = shared_dir / "data" / "SPY_1min.parquet"
    if not path.is_file():
        pytest.skip(f"no real bars at {path}")
    prices = session_prices(pd.read_parquet(path))
    returns = close_to_close_returns(prices)
    sharpe = returns.mean() / returns.std() * math.sqrt(252)
    naive = prices["close"].pct_change().dropna()
    assert naive.max() > 0.16
    assert returns.max() < 0.03
    assert sharpe == pytest.approx(0.65, abs=0.01)
    assert naive.mean() / naive.std() * math.sqrt(252) == pytest.approx(1.02, abs=0.01)
