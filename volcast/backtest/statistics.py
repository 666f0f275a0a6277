r"""Figures of a backtest, by session: what it earned, how it moved, what it cost, and how sure that is.

Returns are simple, one a session that was traded; a session that is missing has none, and a year is as many of those
that are there as its market has. Without interest: a Sharpe ratio is mean over standard deviation.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array1D
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.evaluation.significance import long_run_covariance
from volcast.markets.names import DEFAULT_YEAR

__all__ = [
    "RealizedUtility",
    "mean_difference_t",
    "performance",
    "sharpe_standard_error",
    "tracking_error",
    "volatility_standard_error",
]

_FEWEST_SESSIONS_TO_ANNUALIZE_RETURN = 63


@dataclass(frozen=True)
class RealizedUtility:
    r"""What an investor gains who knows that risk is paid, by the risk that was really held.

    With a Sharpe ratio S that is the same at any volatility, and a mean-variance investor whose best volatility is
    :math:`\sigma^*`, a session in which a strategy's own realized variance was V and its costs c is worth

    .. math:: u = S \sqrt{V} - \tfrac{1}{2} \frac{S}{\sigma^*} V - c

    (Bollerslev, Hood, Huss and Pedersen 2018, *Review of Financial Studies* 31). It depends on the returns' signs in
    no way, so it tells forecasts apart within a few hundred sessions, which returns do not.

    Attributes
    ----------
    target_volatility
        :math:`\sigma^*`, annualized, decimal.
    sharpe
        S, of a year.
    year
        Sessions of a year.

    Raises
    ------
    ConfigError
        One of them is not above 0.
    """

    target_volatility: float
    sharpe: float = 0.4
    year: int = DEFAULT_YEAR

    def __post_init__(self) -> None:
        for name in ("target_volatility", "sharpe"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}; the rule is a finite number above 0; 0.15 is 15 % a year.")

    @property
    def risk_aversion(self) -> float:
        r""":math:`\gamma = S / \sigma^*`, with which :math:`\sigma^*` is the best volatility."""
        return self.sharpe / self.target_volatility

    def of(self, variance: pd.Series, costs: pd.Series) -> pd.Series:
        """Utility of each session, annualized (0.01 is a point a year).

        Parameters
        ----------
        variance
            The strategy's realized variance, from close to close, a session a row.
        costs
            What its trades cost, in shares of the capital, a session a row.
        """
        annual = variance * self.year
        reward = self.sharpe * np.sqrt(annual) - 0.5 * self.risk_aversion * annual
        utility: pd.Series = (reward - costs * self.year).rename("utility")
        return utility


def performance(returns: npt.ArrayLike, year: int = DEFAULT_YEAR) -> dict[str, float]:
    r"""What simple returns by session, shape (n,), come to, where a year has so many sessions.

    Returns
    -------
    ``total_return``; ``annual_return`` (geometric; NaN under 63 sessions); ``annual_volatility`` (of n - 1);
    ``sharpe`` and its ``sharpe_error``; ``sortino`` (mean over the root mean square of the losses, annualized; Sortino
    and Price 1994, *Journal of Investing* 3); ``max_drawdown`` (negative) and ``calmar`` (annual return over its size).
    NaN where there is nothing to divide by.

    Raises
    ------
    NotEnoughDataError
        There are fewer than two.
    """
    values = np.asarray(returns, dtype=float)
    if len(values) < 2:
        raise NotEnoughDataError(
            f"{len(values)} session(s) were traded; figures need two at least; give bars that go on longer."
        )
    capital = np.concatenate([[1.0], np.cumprod(1.0 + values)])
    count, mean, spread = len(values), float(values.mean()), float(values.std(ddof=1))
    losses = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    annual = float(capital[-1] ** (year / count) - 1.0) if capital[-1] > 0 else -1.0
    annual = annual if count >= _FEWEST_SESSIONS_TO_ANNUALIZE_RETURN else math.nan
    drawdown = float((capital / np.maximum.accumulate(capital)).min() - 1.0)
    root = math.sqrt(year)
    return {
        "total_return": float(capital[-1] - 1.0),
        "annual_return": annual,
        "annual_volatility": spread * root,
        "sharpe": _ratio(mean * root, spread),
        "sharpe_error": sharpe_standard_error(values) * root,
        "sortino": _ratio(mean * root, losses),
        "max_drawdown": drawdown,
        "calmar": _ratio(annual, -drawdown),
    }


def sharpe_standard_error(returns: Float64Array1D) -> float:
    r"""Standard error of the Sharpe ratio of one session (Lo 2002, *Financial Analysts Journal* 58, equation 14).

    With :math:`z_t = (r_t - \mu) / \sigma` and the long-run covariance :math:`\Sigma` of :math:`(z_t, z_t^2 - 1)`
    (Newey and West), the ratio :math:`S = \mu / \sigma` has the variance :math:`g' \Sigma g / n`,
    :math:`g = (1, -S / 2)`: fat tails, skew and autocorrelation of `returns`, shape (n,), are in it. NaN where nothing
    moved or there are under three.
    """
    mean, spread = float(returns.mean()), float(returns.std(ddof=0))
    if len(returns) < 3 or spread == 0:
        return math.nan
    scores = (returns - mean) / spread
    gradient = np.array([1.0, -mean / spread / 2.0])
    variance = float(gradient @ long_run_covariance(np.column_stack([scores, scores**2 - 1.0])) @ gradient)
    return math.sqrt(max(variance, 0.0) / len(returns))


def volatility_standard_error(returns: pd.Series, year: int = DEFAULT_YEAR) -> float:
    r"""Standard error of the annualized volatility of simple returns by session; NaN where nothing moved.

    By the delta method :math:`\sqrt{\Sigma / n} / (2 \sigma)`, with the long-run variance :math:`\Sigma` of squared
    deviations (Newey and West): fat tails and volatility that comes in clusters are in it.
    """
    deviations = (returns - returns.mean()).to_numpy(dtype=float)
    spread = float(deviations.std())
    if len(deviations) < 3 or spread == 0:
        return math.nan
    variance = float(long_run_covariance((deviations**2 - spread**2)[:, None])[0, 0])
    return math.sqrt(year * max(variance, 0.0) / len(deviations)) / (2 * spread)


def mean_difference_t(first: pd.Series, second: pd.Series) -> float:
    """t of equal means of two series by session, robust to autocorrelation (Newey and West); NaN without a difference.

    Sessions that only one of them has are left out.
    """
    difference = (first - second).dropna().to_numpy(dtype=float)
    if len(difference) < 3:
        return math.nan
    deviations = (difference - difference.mean())[:, None]
    variance = float(long_run_covariance(deviations)[0, 0])
    return _ratio(float(difference.mean()), math.sqrt(max(variance, 0.0) / len(difference)))


def tracking_error(variance: pd.Series, target_volatility: float, year: int = DEFAULT_YEAR) -> float:
    """Root mean square, over sessions, of realized volatility less the target, both annualized.

    `variance` is the strategy's realized variance from close to close, a session a row.
    """
    volatility = np.sqrt(variance.to_numpy(dtype=float) * year)
    return float(np.sqrt(np.mean((volatility - target_volatility) ** 2)))


def _ratio(value: float, divisor: float) -> float:
    return value / divisor if divisor > 0 else math.nan
