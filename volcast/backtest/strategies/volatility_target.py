"""Holds more of a symbol when its day ahead is forecast calm, less when it is forecast wild."""

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
from volcast.errors import ConfigError

__all__ = ["VolatilityTarget"]


@dataclass(frozen=True)
class VolatilityTarget:
    r"""A position such that the day ahead, from close to close, has the volatility that is aimed at.

    .. math:: w_t = \min(\sigma^* / \hat\tau_t, w_{max})

    decided once a session, at its open, with :math:`\hat\tau_t` the forecast volatility of the day: root of the sum of
    the session's forecast variances, and the night's. It is kept until the wanted position is further away than a
    no-trade band, and then moved to the band's edge.

    Attributes
    ----------
    target_volatility
        Annualized, decimal: 0.15 is 15 %.
    max_leverage
        Largest position, as a multiple of capital: 2.0 holds up to 200 % of it, 1.0 never borrows.
    band
        Half-width of the no-trade band, as a share of capital; None weighs costs against tracking error, see
        `no_trade_band`; 0.0 trades every change.

    Raises
    ------
    ConfigError
        A setting breaks its rule.
    """

    title: ClassVar[str] = "volatility target"

    target_volatility: float = 0.15
    max_leverage: float = 2.0
    band: float | None = None

    def __post_init__(self) -> None:
        require_positive(target_volatility=self.target_volatility, max_leverage=self.max_leverage)
        if self.band is not None and not (np.isfinite(self.band) and self.band >= 0):
            raise ConfigError(f"band is {self.band}; the rule is a number, 0 or above; 0.0 trades every change.")

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Positions in the only symbol, decided at each session's open."""
        symbol = market.symbol
        outlook = market.outlook[symbol].set_index("asof")
        # The forecast at which the cap binds: below it the position is the cap, also for a forecast of zero.
        annualized = outlook["annualized_volatility"].clip(lower=self.target_volatility / self.max_leverage)
        wanted = (self.target_volatility / annualized).to_numpy(dtype=float)
        widths = self._widths(wanted, outlook["volatility"].to_numpy(dtype=float), costs)
        positions = held_within(wanted, widths)
        decisions = outlook.assign(wanted=wanted, band=widths, position=positions)
        changed = np.append(True, np.diff(positions) != 0.0)[: len(positions)]
        orders = pd.DataFrame({symbol: np.where(changed, positions, np.nan)}, index=outlook.index)
        return market.plan_for(orders, decisions)

    def _widths(self, wanted: np.ndarray, volatility: np.ndarray, costs: Costs) -> np.ndarray:
        if self.band is not None:
            return np.full(len(wanted), self.band)
        aversion = RealizedUtility(self.target_volatility).risk_aversion
        return band_widths(np.diff(wanted, prepend=wanted[:1]), volatility, costs.trade_bps / 1e4, aversion)
