r"""GARCH and its kin on hourly returns without their hour-of-day pattern, estimated by `arch` every week.

A bucket's return over the root of its hour's mean realized variance, :math:`z_i = r_i / \sqrt{s_{h(i)}}` with s from
the buckets known at the very first forecast, has mean zero and conditional variance :math:`\sigma_i^2`; the forecast
for an hour h is :math:`\sigma_i \sqrt{s_h}` (Andersen and Bollerslev 1997, *Journal of Empirical Finance* 4, on the
pattern). Overnight returns are left out, as they are of realized volatility. Parameters come from normal quasi maximum
likelihood on all that was known before the first forecast of each week; between estimations the variance is carried on.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.forecasters.baselines.har import hourly_variance_profile, require_history
from volcast.forecasters.walk_forward import walk_forward
from volcast.markets.registry import market_of

__all__ = [
    "diurnal_egarch",
    "diurnal_garch",
    "diurnal_gjr_garch",
    "egarch_variance",
    "garch_parameters",
    "gjr_garch_variance",
]


_BACKCAST_BUCKETS = 75
_LARGEST_LOG = 50.0
"""Where an explosive EGARCH is held, so that its exponential stays finite."""


def diurnal_garch(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """GARCH(1,1) (Bollerslev 1986, *Journal of Econometrics* 31) on deseasonalized hourly returns.

    Raises
    ------
    NotEnoughDataError
        The measures have no ``bucket_return``, or too few rows.
    """
    return _weekly(measures, targets, known, "GARCH", 0, _garch_variance)


def diurnal_gjr_garch(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """GJR-GARCH(1,1,1): falls may count more (Glosten, Jagannathan and Runkle 1993, *Journal of Finance* 48).

    Raises
    ------
    NotEnoughDataError
        As `diurnal_garch`.
    """
    return _weekly(measures, targets, known, "GARCH", 1, gjr_garch_variance)


def diurnal_egarch(measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
    """EGARCH(1,1,1): an autoregression of the logarithm (Nelson 1991, *Econometrica* 59).

    Raises
    ------
    NotEnoughDataError
        As `diurnal_garch`.
    """
    return _weekly(measures, targets, known, "EGARCH", 1, egarch_variance)


def gjr_garch_variance(parameters: Float64Array1D, returns: Float64Array1D) -> Float64Array1D:
    r"""Conditional variances of `returns` and of the one that follows, shape (len(returns) + 1,).

    :math:`\sigma_i^2 = \omega + (\alpha + \gamma 1[r_{i-1} < 0]) r_{i-1}^2 + \beta \sigma_{i-1}^2`, `parameters` in
    this order; before the first stands `arch`'s backcast, a mean of the first 75 squares that fades.
    """
    omega, alpha, gamma, beta = parameters
    before = _backcast(returns)
    news = np.concatenate([[(alpha + 0.5 * gamma) * before], (alpha + gamma * (returns < 0)) * returns**2])
    variance = np.empty(len(returns) + 1)
    for i, shock in enumerate(news):
        before = variance[i] = omega + shock + beta * before
    return variance


def egarch_variance(parameters: Float64Array1D, returns: Float64Array1D) -> Float64Array1D:
    r"""Conditional variances of `returns` and of the one that follows, shape (len(returns) + 1,).

    :math:`\ln \sigma_i^2 = \omega + \alpha (|e_{i-1}| - \sqrt{2 / \pi}) + \gamma e_{i-1} + \beta \ln \sigma_{i-1}^2`
    with :math:`e_i = r_i / \sigma_i`, `parameters` in this order; the backcast as in `gjr_garch_variance`.
    """
    omega, alpha, gamma, beta = parameters
    mean = np.sqrt(2 / np.pi)
    logs = np.empty(len(returns) + 1)
    logs[0] = omega + beta * np.log(_backcast(returns))
    for i, value in enumerate(returns):
        shock = value * np.exp(-0.5 * logs[i])
        following = omega + alpha * (abs(shock) - mean) + gamma * shock + beta * logs[i]
        logs[i + 1] = min(max(following, -_LARGEST_LOG), _LARGEST_LOG)
    return np.exp(logs)


def garch_parameters(
    returns: Float64Array1D, family: Literal["GARCH", "EGARCH"], asymmetry: int, before: Float64Array1D | None
) -> Float64Array1D:
    """Parameters of a GARCH of `returns`, near 1 in size, by maximum likelihood of `arch`: omega, alpha, gamma, beta.

    Gamma is there with an `asymmetry` of 1 alone. Where the search does not converge, those that were there `before`.
    """
    from arch import arch_model

    model = arch_model(returns, mean="Zero", vol=family, p=1, o=asymmetry, q=1, rescale=False)
    result = model.fit(disp="off", show_warning=False)
    if result.convergence_flag != 0 and before is not None:
        return before
    return np.asarray(result.params.to_numpy(), dtype=float)


def _garch_variance(parameters: Float64Array1D, returns: Float64Array1D) -> Float64Array1D:
    omega, alpha, beta = parameters
    return gjr_garch_variance(np.array([omega, alpha, 0.0, beta]), returns)


def _weekly(
    measures: pd.DataFrame,
    targets: pd.DatetimeIndex,
    known: Int64Array1D,
    family: Literal["GARCH", "EGARCH"],
    asymmetry: int,
    variance: Callable[[Float64Array1D, Float64Array1D], Float64Array1D],
) -> Float64Array1D:
    require_history(measures, known, "bucket_return")
    pattern = hourly_variance_profile(measures, known[0])
    market = market_of(measures)
    returns = measures["bucket_return"].to_numpy(dtype=float) / np.sqrt(
        pattern[market_of(measures).hours_of_labels(time_index(measures))]
    )
    parameters = None
    variances = np.empty(len(targets))
    for fold in walk_forward(targets, known, refit="week", market=market):
        parameters = garch_parameters(returns[fold.train], family, asymmetry, parameters)
        of_fold = known[fold.targets]
        # The recursion is run here and not by `arch`, whose bounds on a filtered variance depend on later returns.
        variances[fold.targets] = variance(parameters, returns[: of_fold[-1]])[of_fold]
    return np.asarray(np.sqrt(variances * pattern[market.hours_of_labels(targets)]))


def _backcast(returns: Float64Array1D) -> float:
    weights = 0.94 ** np.arange(min(_BACKCAST_BUCKETS, len(returns)))
    return float(np.sum(returns[: len(weights)] ** 2 * weights) / np.sum(weights))
