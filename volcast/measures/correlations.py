r"""Realized correlations of many symbols, from returns of half an hour inside of sessions.

Half-hourly returns are long enough for prices that do not move at the same second (Epps 1979, *Journal of the American
Statistical Association* 74); nights are not in them.
"""

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array2D, time_index
from volcast.markets.market import TradingMarket

__all__ = ["fisher_averaged", "half_hourly_returns", "nearest_correlations"]

_SAMPLING = pd.Timedelta(minutes=30)
_FEWEST_RETURNS = 4
_NEARLY_ONE = 0.999
_SMALLEST_EIGENVALUE = 1e-4


def half_hourly_returns(prices: pd.DataFrame, market: TradingMarket) -> pd.DataFrame:
    """Log returns of half hours.

    Parameters
    ----------
    prices
        A column a symbol, indexed by the moment at which each was paid, tz-aware; NaN where there is none.
    market
        Whose sessions they are.

    Returns
    -------
    DataFrame indexed by (session, half hour's end); NaN in each session's first half hour and beside holes.
    """
    path = pd.DataFrame(np.log(prices))
    moments = time_index(prices)
    days = market.dates(moments - pd.Timedelta(microseconds=1))
    grid = path.groupby([days, moments.ceil(_SAMPLING)]).last()
    returns: pd.DataFrame = grid.groupby(level=0).diff()
    return returns


def fisher_averaged(returns: pd.DataFrame) -> Float64Array2D:
    r"""Mean of the sessions' correlations, each pair's over the sessions that have both.

    The mean is of :math:`z = \operatorname{artanh} \rho`, which is nearly normal whatever :math:`\rho` is (Fisher 1921,
    *Metron* 1), weighted by how many returns each session has beyond three, one over the variance of z.

    Parameters
    ----------
    returns
        As `half_hourly_returns` gives them.

    Returns
    -------
    Correlations, shape (k, k), ones on the diagonal; 0 where a pair has no session together. It may have eigenvalues
    below nothing: `nearest_correlations` mends that.
    """
    count = returns.shape[1]
    sums, weights = np.zeros((count, count)), np.zeros((count, count))
    for _, session in returns.groupby(level=0):
        values = session.to_numpy(dtype=float)
        present = np.isfinite(values)
        together = present.T.astype(float) @ present
        filled = np.where(present, values, 0.0)
        squares = (filled**2).T @ present
        spread = np.sqrt(squares * squares.T)
        is_known = (together >= _FEWEST_RETURNS) & (spread > 0)
        correlation = np.divide(filled.T @ filled, spread, out=np.zeros_like(spread), where=is_known)
        weight = np.where(is_known, together - 3, 0.0)
        sums += weight * np.arctanh(np.clip(correlation, -_NEARLY_ONE, _NEARLY_ONE))
        weights += weight
    average = np.tanh(np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0))
    np.fill_diagonal(average, 1.0)
    return np.asarray(average)


def nearest_correlations(matrix: Float64Array2D) -> Float64Array2D:
    """A positive definite matrix of correlations beside a symmetric one, shape (k, k): itself where it is one.

    Eigenvalues below a small number become that number, and the diagonal one again.
    """
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= _SMALLEST_EIGENVALUE:
        return matrix
    mended = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
    spread = np.sqrt(np.diag(mended))
    mended = mended / np.outer(spread, spread)
    return np.asarray((mended + mended.T) / 2)
