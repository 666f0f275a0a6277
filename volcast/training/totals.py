"""What a training remembers of total volatility: the forecast, carried through the bars that it may see."""

from collections.abc import Mapping

import pandas as pd

from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.session_table import MEASURES_READ
from volcast.forecasters.total.state import TotalState, typical_state
from volcast.forecasters.total.terms import FEWEST_SESSIONS
from volcast.markets.market import TradingMarket

__all__ = ["learnt_totals"]


def learnt_totals(
    measures: Mapping[str, pd.DataFrame], trained_through: pd.Timestamp, market: TradingMarket
) -> dict[str, TotalState]:
    """By symbol, what its sessions until `trained_through` leave to later forecasts.

    Each is forecast as it would have been at its close, so bounds and ratios are those of forecasts that had not seen
    their outcomes. A symbol with fewer than `FEWEST_SESSIONS`, or measures without nights (the preset ``"colab"``), has
    none.
    """
    states = {}
    for symbol, frame in measures.items():
        if set(MEASURES_READ) <= set(frame.columns):
            totals = RunningTotals(typical_state(), HourlyTable.of(frame), market)
            totals.follow(trained_through.value // 1000)
            if len(totals.sessions) >= FEWEST_SESSIONS:
                states[symbol] = totals.learnt()
    return states
