r"""Covariance of many symbols for optimizers of portfolios: forecast volatilities, realized correlations.

A frame of variances and covariances by symbol is what PyPortfolioOpt's ``EfficientFrontier(None, covariance)`` and
Riskfolio's ``port.cov`` take; in skfolio it is the ``covariance`` of a ``ReturnDistribution``.
"""

from datetime import date
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array2D, time_index
from volcast.bars.frames import as_bars_frame
from volcast.counts import counted
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.horizons import Horizon, Kind
from volcast.markets.market import TradingMarket
from volcast.measures.correlations import fisher_averaged, half_hourly_returns, nearest_correlations
from volcast.packages import required_module

__all__ = ["Shrinkage", "covariance"]

Shrinkage = Literal["ledoit-wolf", "oas"]
_SHRINKERS = {"ledoit-wolf": "LedoitWolf", "oas": "OAS"}


def covariance(
    forecaster: VolatilityForecaster,
    bars: Any,
    asof: str | date | pd.Timestamp | None = None,
    *,
    horizon: Horizon = "1 session",
    kind: Kind = "total",
    sessions: int = 63,
    shrinkage: Shrinkage = "ledoit-wolf",
    allow_in_sample: bool = False,
) -> pd.DataFrame:
    r"""Annualized covariance of the symbols in `bars` as of a moment.

    :math:`\Sigma = D C D`: D has the forecast volatilities, C the realized correlations of half-hourly returns of the
    sessions before, averaged as Fisher did and shrunk towards none, by as much as scikit-learn's ``LedoitWolf`` (Ledoit
    and Wolf 2004, *Journal of Multivariate Analysis* 88) or ``OAS`` (Chen, Wiesel, Eldar and Hero 2010, *IEEE
    Transactions on Signal Processing* 58) finds right for as many symbols and returns.

    Parameters
    ----------
    forecaster
        What forecasts the volatilities.
    bars
        Of many symbols, indexed by (symbol, timestamp), or a long frame with columns ``unique_id`` and ``ds``. Holes
        are let be: each pair is measured where it has both.
    asof
        The moment; nothing that ended later is used. None is the end of the last bar.
    horizon, kind
        What is forecast, see `VolatilityForecaster.forecast`; with nights, unless told otherwise.
    sessions
        Of which correlations are realized: the last ones before `asof`, that of `asof` as far as it is over.
    shrinkage
        ``"ledoit-wolf"`` or ``"oas"``.
    allow_in_sample
        Whether the model may forecast a moment that it has seen in training.

    Returns
    -------
    DataFrame of symbols by symbols, positive definite, in the order of the bars.
    ``attrs["failed"]`` says of each symbol that is not in it why.

    Raises
    ------
    ConfigError
        There is no such shrinkage.
    NotEnoughDataError
        Fewer than two symbols can be forecast, or there is no session before.
    BarsError
        The bars are unusable.
    """
    if shrinkage not in get_args(Shrinkage):
        raise ConfigError(f"shrinkage is {shrinkage!r}; the rule is one of {', '.join(_SHRINKERS)}; use 'ledoit-wolf'.")
    frame = as_bars_frame(bars)
    panel = forecaster.forecast_panel(frame, asof, horizon, kind=kind, allow_in_sample=allow_in_sample)
    if len(panel) < 2:
        raise NotEnoughDataError(f"{len(panel)} symbol can be forecast; a covariance needs two; give bars of several.")
    moment = panel["asof"].iloc[0] if asof is None else forecaster.market.clock.moment(asof)
    returns = half_hourly_returns(
        _closes(frame, list(panel.index), moment, sessions, forecaster.market), forecaster.market
    )
    volatility = panel["annualized_volatility"].to_numpy(dtype=float)
    matrix = _shrunk(returns, shrinkage) * np.outer(volatility, volatility)
    result = pd.DataFrame(matrix, index=panel.index, columns=panel.index.rename(None))
    result.attrs["failed"] = panel.attrs["failed"]
    return result


def _closes(
    frame: pd.DataFrame, symbols: list[str], moment: pd.Timestamp, sessions: int, market: TradingMarket
) -> pd.DataFrame:
    """Closes of the symbols in the last `sessions` that had begun by a moment, indexed by the end of each bar."""
    schedule = market.schedule(moment - pd.Timedelta(days=2 * sessions + 14), moment)
    schedule = schedule[schedule["open"] < moment].iloc[-sessions:]
    first = schedule["open"].iloc[0]
    columns = {}
    for symbol in symbols:
        closes = frame["close"].xs(symbol, level=0)
        stamps = time_index(closes)
        closes = closes[(stamps >= first) & (stamps < moment)]
        steps = np.diff(time_index(closes).as_unit("us").asi8)
        length = pd.Timedelta(int(np.median(steps)) if len(steps) else 60_000_000, unit="us")
        ends = (time_index(closes) + length).tz_convert(market.zone)
        columns[symbol] = closes.set_axis(ends)[ends <= moment]
    table = pd.DataFrame(columns, columns=symbols)
    opens, closes_at = (pd.DatetimeIndex(schedule[side]) for side in ("open", "close"))
    ends = time_index(table)
    row = opens.searchsorted(ends, side="left") - 1
    inside = (row >= 0) & (ends <= closes_at[np.maximum(row, 0)])
    if not inside.any():
        raise NotEnoughDataError(
            f"no bar lies in the {counted(sessions, 'session')} before {moment}; correlations need some; give bars "
            "that reach it."
        )
    return table[inside]


def _shrunk(returns: pd.DataFrame, shrinkage: Shrinkage) -> Float64Array2D:
    """Correlations of the returns, positive definite, shape (k, k)."""
    shrinker = getattr(required_module("sklearn.covariance", "covariances", "train"), _SHRINKERS[shrinkage])
    values = returns.to_numpy(dtype=float)
    spread = np.sqrt(np.nanmean(np.where(np.isfinite(values).any(axis=0), values, 0.0) ** 2, axis=0))
    standardized = np.nan_to_num(values / np.where(spread > 0, spread, 1.0))
    share = float(shrinker(assume_centered=True).fit(standardized[np.isfinite(values).any(axis=1)]).shrinkage_)
    correlations = fisher_averaged(returns)
    return nearest_correlations((1.0 - share) * correlations + share * np.eye(len(correlations)))
