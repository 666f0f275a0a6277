"""Prices by session: what was paid at the open and the close, and where sessions are missing between two of them."""

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, time_index
from volcast.bars.arrays import SymbolBars
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.frames import as_bars_frame
from volcast.bars.rolls import roll_steps
from volcast.counts import counted
from volcast.errors import NotEnoughDataError
from volcast.markets.market import TradingMarket

__all__ = ["close_to_close_returns", "link_factors", "regular_bars", "session_prices"]


def regular_bars(bars: pd.DataFrame, market: str | TradingMarket | None = None) -> pd.DataFrame:
    """The bars that start and end inside a session of the market, in its time.

    Parameters
    ----------
    bars
        One symbol's bars, stamped at their start, tz-aware.
    market
        Whose hours they are, by name or itself: see `markets.registry`. None is the symbol's, see `markets.names`.

    Returns
    -------
    The same columns, and `session` (naive date), indexed by the start of each bar in the market's time.

    Raises
    ------
    BarsError
        The bars are unusable.
    NotEnoughDataError
        None lies in a session.
    """
    bars = as_bars_frame(bars, market=market)
    market = market_of_bars(bars, market=market)
    bars = SymbolBars.of(bars, market=market).frame
    starts = time_index(bars).tz_convert(market.zone)
    begins = starts.as_unit("us").asi8
    opens, closes = market.stretches
    row = opens.searchsorted(begins, side="right") - 1
    ends = begins + bar_length(time_index(bars)) // pd.Timedelta(microseconds=1)
    inside = (row >= 0) & (ends <= closes[row])
    if not inside.any():
        raise NotEnoughDataError(
            f"of {counted(len(bars), 'bar')} none lies in a session of {market.name}; a backtest trades in sessions; "
            "give bars of its hours, or name the market that they belong to."
        )
    regular = bars.loc[inside].set_axis(starts[inside])
    regular["session"] = market.dates(time_index(regular))
    return regular


def session_prices(bars: pd.DataFrame, market: str | TradingMarket | None = None) -> pd.DataFrame:
    r"""Open, close, and realized variance of each session that has bars.

    Parameters
    ----------
    bars
        One symbol's bars, stamped at their start, tz-aware; those outside regular sessions are not looked at.
    market
        Whose hours they are, by name or itself: see `markets.registry`. None is the symbol's, see `markets.names`.

    Returns
    -------
    DataFrame indexed by session (naive date), columns `opens_at` and `closes_at` (start of its first bar and end of its
    last), `open`, `close`, `variance` (realized, of the session: the sum of squared log returns of its
    bars, the first from its open), `night` (log return from the close of the session before; NaN in the first session
    and after a hole), `hole` (whether sessions of the market are missing before it, or a future went over to another
    contract, whose price is another).

    Raises
    ------
    BarsError
        The bars are unusable.
    NotEnoughDataError
        None lies in a session.
    """
    bars = as_bars_frame(bars, market=market)
    market = market_of_bars(bars, market=market)
    regular = regular_bars(bars, market)
    closes = regular["close"].to_numpy(dtype=float)
    opens = regular["open"].fillna(regular["close"]).to_numpy(dtype=float) if "open" in regular else closes
    sessions = regular["session"].to_numpy()
    first = np.append(0, np.flatnonzero(sessions[1:] != sessions[:-1]) + 1)
    last = np.append(first[1:], len(sessions)) - 1
    before = np.append(opens[:1], closes[:-1])
    before[first] = opens[first]
    hole = _follows_a_hole(pd.DatetimeIndex(sessions[first]), market)
    hole |= regular.index[first].isin(roll_steps(regular, market).index)
    night = np.log(opens[first] / np.append(np.nan, closes[last[:-1]]))
    return pd.DataFrame(
        {
            "opens_at": regular.index[first],
            "closes_at": time_index(regular)[last] + bar_length(time_index(bars)),
            "open": opens[first],
            "close": closes[last],
            "variance": np.add.reduceat(np.log(closes / before) ** 2, first),
            "night": np.where(hole, np.nan, night),
            "hole": hole,
        },
        index=pd.DatetimeIndex(sessions[first], name="session"),
    )


def close_to_close_returns(prices: pd.DataFrame) -> pd.Series:
    """Simple returns from close to close of `session_prices`; one over a hole belongs to no period and is cut out.

    Returns
    -------
    Series indexed by session, without the first session and without those after a hole.
    """
    returns = prices["close"].pct_change()
    return returns[~prices["hole"]].iloc[1:].rename("return")


def link_factors(prices: pd.DataFrame) -> pd.Series:
    """What prices are multiplied by so that nothing is won or lost over a hole: 1.0 up to the first one.

    An account that is kept in linked prices stands still while there are no sessions: what happened in the hole is
    cut out of it, and a position goes on behind it at the price that it had before.
    """
    ratios = np.where(prices["hole"], prices["close"].shift() / prices["open"], 1.0)
    return pd.Series(np.cumprod(ratios), index=prices.index, name="factor")


def _follows_a_hole(sessions: pd.DatetimeIndex, market: TradingMarket) -> BoolArray1D:
    numbers = market.sessions.session
    place = np.searchsorted(numbers, sessions.to_numpy().astype("datetime64[D]").astype(np.int64))
    return np.append(False, np.diff(place) > 1)
