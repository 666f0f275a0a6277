"""Many symbols, each given the same part of the portfolio's forecast risk, and together a volatility to aim at."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Float64Array2D, Float64Array3D
from volcast.backtest.accounts import Costs
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.statistics import RealizedUtility
from volcast.backtest.strategies.base import require_positive
from volcast.backtest.strategies.no_trade_band import band_widths
from volcast.errors import ConfigError
from volcast.measures.correlations import half_hourly_returns

__all__ = ["RiskParity", "equal_risk_weights", "realized_correlations"]

_STEPS = 500


@dataclass(frozen=True)
class RiskParity:
    r"""Equal risk contributions on forecast volatilities and realized correlations, scaled to a target.

    With :math:`\Sigma_t = D_t C_t D_t`, D the forecast volatilities of the day and C the realized correlations of
    half-hourly returns over the sessions before, weights solve :math:`w_i (\Sigma w)_i` equal for all i (Maillard,
    Roncalli and Teiletche 2010, *Journal of Portfolio Management* 36), and are scaled so that
    :math:`\sqrt{w' \Sigma w}` is the target.

    The no-trade band is one for all weights (see `no_trade_band`), since symbols stray together: how far the weights
    are astray, d, is counted as the volatility of d, :math:`\sqrt{d' \Sigma d}`, in units of
    the portfolio's. Beyond the band all are moved towards the wanted ones, in proportion, to its edge.

    Attributes
    ----------
    target_volatility
        Annualized, of the portfolio, decimal.
    max_leverage
        Largest sum of the weights, as a multiple of capital.
    correlation_sessions
        Sessions of which correlations are realized.

    Raises
    ------
    ConfigError
        A setting breaks its rule.
    """

    title: ClassVar[str] = "risk parity"

    target_volatility: float = 0.15
    max_leverage: float = 3.0
    correlation_sessions: int = 63

    def __post_init__(self) -> None:
        require_positive(
            target_volatility=self.target_volatility,
            max_leverage=self.max_leverage,
            correlation_sessions=self.correlation_sessions,
        )

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Weights of all symbols, decided at each session's open."""
        if len(market.symbols) < 2:
            raise ConfigError("there are bars of one symbol; risk parity needs two at least; give bars of several.")
        volatility = pd.concat({name: market.outlook[name]["volatility"] for name in market.symbols}, axis=1).dropna()
        correlations = realized_correlations(market, self.correlation_sessions)
        sessions = [session for session in volatility.index if session in correlations]
        count = len(market.symbols)
        covariances = np.array([correlations[day] * np.outer(*2 * [volatility.loc[day]]) for day in sessions])
        covariances = covariances.reshape(len(sessions), count, count)
        wanted = np.array([self._weights(covariance) for covariance in covariances]).reshape(len(sessions), count)
        asof = pd.DatetimeIndex(market.outlook[market.symbols[0]]["asof"].reindex(sessions))
        held = pd.DataFrame(self._held(wanted, covariances, costs), index=asof, columns=list(market.symbols))
        orders = held.where(held.diff().ne(0.0))
        versions = pd.concat([market.outlook[name]["model_version"] for name in market.symbols], axis=1).loc[sessions]
        by = [", ".join(dict.fromkeys(map(str, row))) for row in versions.to_numpy()]
        return market.plan_for(orders.dropna(how="all"), held.assign(model_version=by))

    def _held(self, wanted: Float64Array2D, covariances: Float64Array3D, costs: Costs) -> Float64Array2D:
        """Weights, (n, k), that are moved to the band's edge when they leave it; `covariances` are (n, k, k)."""
        portfolio = _volatility(wanted, covariances)
        changes = _volatility(np.diff(wanted, axis=0, prepend=wanted[:1]), covariances) / portfolio
        cost = costs.trade_bps / 1e4 * wanted.sum(axis=1)
        widths = band_widths(changes, portfolio, cost, RealizedUtility(self.target_volatility).risk_aversion)
        held = wanted.copy()
        for row in range(1, len(wanted)):
            astray = held[row - 1] - wanted[row]
            distance = float(_volatility(astray[None], covariances[row : row + 1])[0] / portfolio[row])
            held[row] += astray * min(1.0, widths[row] / distance) if distance else 0.0
        return held

    def _weights(self, covariance: Float64Array2D) -> Float64Array1D:
        weights = equal_risk_weights(covariance)
        scale = self.target_volatility / np.sqrt(252 * (weights @ covariance @ weights))
        return np.asarray(weights * min(scale, self.max_leverage / weights.sum()))


def _volatility(weights: Float64Array2D, covariances: Float64Array3D) -> Float64Array1D:
    """Of the portfolios with these weights, (n, k), by `covariances`, (n, k, k)."""
    return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", weights, covariances, weights)))


def equal_risk_weights(covariance: Float64Array2D) -> Float64Array1D:
    r"""Weights, shape (k,), that sum to 1 and contribute equally to the risk of `covariance`, (k, k).

    Cyclical coordinate descent on :math:`\frac12 w' \Sigma w - \frac1k \sum_i \ln w_i` (Griveau-Billion, Richard and
    Roncalli 2013): each step is the positive root of a quadratic equation, and the descent converges from anywhere.
    """
    count = len(covariance)
    weights = 1.0 / np.sqrt(np.diag(covariance))
    weights /= np.sqrt(weights @ covariance @ weights)
    for _ in range(_STEPS):
        before = weights.copy()
        for row in range(count):
            rest = covariance[row] @ weights - covariance[row, row] * weights[row]
            root = np.sqrt(rest**2 + 4.0 * covariance[row, row] / count)
            weights[row] = (root - rest) / (2.0 * covariance[row, row])
        if np.abs(weights - before).max() <= 1e-12 * weights.max():
            break
    return np.asarray(weights / weights.sum())


def realized_correlations(market: Market, sessions: int) -> dict[pd.Timestamp, Float64Array2D]:
    """Correlations, (k, k), realized over the last `sessions` sessions before each one; nights are not in them.

    Sessions with fewer before them are absent.
    """
    returns = half_hourly_returns(market.paths, market.trading).dropna()
    products = returns.groupby(level=0).apply(lambda day: day.to_numpy().T @ day.to_numpy())
    sums = np.cumsum(np.stack(list(products)), axis=0)
    result = {}
    for row in range(sessions, len(sums)):
        total = sums[row - 1] - (sums[row - 1 - sessions] if row > sessions else 0.0)
        spread = np.sqrt(np.diag(total))
        result[products.index[row]] = np.asarray(total / np.outer(spread, spread))
    return result
