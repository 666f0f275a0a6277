"""A symbol held in inverse proportion to its forecast variance: the overlay of Moreira and Muir."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.statistics import RealizedUtility
from volcast.backtest.strategies.base import require_positive
from volcast.backtest.strategies.no_trade_band import band_widths, held_within

__all__ = ["VolatilityManaged"]

_BEFOREHAND = 22


@dataclass(frozen=True)
class VolatilityManaged:
    r"""The symbol itself, scaled by inverse variance so that all of the capital is held on average.

    .. math:: w_t = \min\left(\frac{c_t}{\hat\tau_t^2}, w_{max}\right), \quad
              c_t = \left( \frac{1}{t} \sum_{s \le t} \hat\tau_s^{-2} \right)^{-1}

    (Moreira and Muir 2017, *Journal of Finance* 72.) Their constant is fitted on the whole sample; this one knows the
    forecasts so far alone. The first 22 forecasts are watched and not traded.

    Attributes
    ----------
    max_leverage
        Largest position, as a multiple of capital.
    reference_volatility
        Annualized volatility of the investor for whom the no-trade band weighs costs, decimal.

    Raises
    ------
    ConfigError
        A setting breaks its rule.
    """

    title: ClassVar[str] = "volatility-managed"
    target_volatility: ClassVar[float | None] = None

    max_leverage: float = 2.0
    reference_volatility: float = 0.15

    def __post_init__(self) -> None:
        require_positive(max_leverage=self.max_leverage, reference_volatility=self.reference_volatility)

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Positions in the only symbol, decided at each session's open."""
        symbol = market.symbol
        outlook = market.outlook[symbol].set_index("asof")
        inverse = outlook["volatility"] ** -2.0
        outlook = outlook.assign(wanted=(inverse / inverse.expanding().mean()).clip(upper=self.max_leverage))
        outlook = outlook.iloc[_BEFOREHAND:]
        wanted, volatility = (outlook[name].to_numpy(dtype=float) for name in ("wanted", "volatility"))
        aversion = RealizedUtility(self.reference_volatility).risk_aversion
        widths = band_widths(np.diff(wanted, prepend=wanted[:1]), volatility, costs.trade_bps / 1e4, aversion)
        positions = held_within(wanted, widths)
        changed = np.append(True, np.diff(positions) != 0.0)[: len(positions)]
        orders = pd.DataFrame({symbol: np.where(changed, positions, np.nan)}, index=outlook.index)
        return market.plan_for(orders, outlook.assign(band=widths, position=positions))
