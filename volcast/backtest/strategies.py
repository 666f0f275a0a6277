"""What a backtest does with a forecast: hold less of a symbol when its volatility is forecast high, more when low."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from volcast.bars.checks import bar_length, select_symbol
from volcast.bars.frames import as_bars_frame
from volcast.errors import ConfigError, LookAheadError, NotEnoughDataError
from volcast.sessions import EXCHANGE_TIMEZONE

__all__ = ["BENCHMARK", "STRATEGY", "VolatilityBacktest", "target_positions", "volatility_target_backtest"]

STRATEGY = "volatility target"
"""Column of the strategy in a backtest's tables."""

BENCHMARK = "buy and hold"
"""Column of its benchmark."""

SESSIONS_PER_YEAR = 252
_FEWEST_SESSIONS = 2
_FEWEST_SESSIONS_TO_ANNUALIZE_RETURN = 63
_CAPITAL = 1e6


@dataclass(frozen=True)
class VolatilityBacktest:
    """What a backtest gave.

    Attributes
    ----------
    decisions
        One row a forecast bucket in which the symbol traded, indexed by the time of its first trade in it (New York
        time), columns `asof` and `bucket` as in the forecasts, `annualized_volatility` (decimal), `position` (share of
        capital decided as of `asof`, 1.0 is all of it), `traded` (whether the position was changed), `price` (of the
        trade) and `model_version`.
    equity
        Capital after costs at the end of each session (New York time), 1.0 before the first trade; columns `STRATEGY`
        and `BENCHMARK`.
    statistics
        One row a figure, columns `STRATEGY` and `BENCHMARK`; decimals. ``annual_return`` is NaN under a quarter of a
        year, ``turnover_a_year`` in multiples of capital, ``costs`` in shares of the capital at the start.
    left_out
        Forecast buckets that were not traded, by reason: ``in_sample`` (the model has seen them), ``without_history``
        (too few buckets before them), ``without_bars`` (nothing traded in them).
    settings
        The keyword arguments that it was run with.
    symbol
        What was traded.
    simulated
        Whether the bars are simulated.
    """

    decisions: pd.DataFrame
    equity: pd.DataFrame
    statistics: pd.DataFrame
    left_out: Mapping[str, int]
    settings: Mapping[str, float]
    symbol: str
    simulated: bool


def target_positions(
    annualized_volatility: pd.Series,
    *,
    target_volatility: float = 0.15,
    max_leverage: float = 1.5,
    rebalance_band: float = 0.1,
) -> pd.Series:
    r"""Position for each forecast: target over forecast volatility, capped, changed only by more than a band.

    .. math:: w_t = \min(\sigma^* / \hat\sigma_t, w_{max}), \quad
              p_t = w_t \text{ if } |w_t - p_{t-1}| > b \text{ else } p_{t-1}

    (Moreira and Muir 2017, *Journal of Finance* 72, with volatility in place of variance; the band after
    Constantinides 1986, *Journal of Political Economy* 94.) A position depends on its own and earlier forecasts alone.

    Parameters
    ----------
    annualized_volatility
        Forecasts in time order, decimal (0.25 is 25 %).
    target_volatility
        Annualized volatility that the position aims at, decimal: 0.15 is 15 %.
    max_leverage
        Largest position, as a multiple of capital: 1.5 holds up to 150 % of it, 1.0 never borrows.
    rebalance_band
        Smallest change of position that is traded, as a share of capital: 0.1 is 10 %; 0.0 trades every change.

    Returns
    -------
    Series of positions, shares of capital, indexed as the forecasts.

    Raises
    ------
    ConfigError
        An argument breaks its rule.

    Examples
    --------
    >>> target_positions(pd.Series([0.30, 0.28, 0.05]), target_volatility=0.15).tolist()
    [0.5, 0.5, 1.5]
    """
    _require_settings(target_volatility, max_leverage, rebalance_band)
    # The forecast at which the cap binds: below it the position is the cap, also for a forecast of zero.
    wanted = target_volatility / annualized_volatility.clip(lower=target_volatility / max_leverage)
    positions = np.empty(len(wanted))
    held = -np.inf
    for row, position in enumerate(wanted.to_numpy(dtype=float)):
        if abs(position - held) > rebalance_band:
            held = position
        positions[row] = held
    return pd.Series(positions, index=annualized_volatility.index, name="position")


def volatility_target_backtest(
    bars: pd.DataFrame,
    forecasts: pd.DataFrame,
    *,
    target_volatility: float = 0.15,
    max_leverage: float = 1.5,
    rebalance_band: float = 0.1,
    commission_bps: float = 2.0,
) -> VolatilityBacktest:
    """Trade a symbol by its volatility forecasts, with costs, beside holding it from the first trade on.

    The position for a bucket is decided from the forecast as of the bucket's start and traded at the first price from
    then on: the open of the first bar that starts at or after `asof` (its close where bars have no opens). It is kept
    over night. Borrowing costs nothing and cash earns nothing.

    Parameters
    ----------
    bars
        One symbol's bars, stamped at their start, tz-aware; ``attrs["symbol"]`` and ``attrs["simulated"]`` are shown.
    forecasts
        What `VolatilityForecaster.forecast_series` made of these bars, without rows that the model has seen.
    target_volatility, max_leverage, rebalance_band
        As in `target_positions`.
    commission_bps
        Cost of a trade, commission and half the spread together, in basis points of what is traded: 2.0 is 0.02 %.
        It is part of the sum that is moved: 100 buy for 100 less the cost.

    Raises
    ------
    ConfigError
        An argument breaks its rule.
    LookAheadError
        There are forecasts of buckets that the model has seen in training.
    NotEnoughDataError
        Fewer than two sessions can be traded.
    """
    rule = {"target_volatility": target_volatility, "max_leverage": max_leverage, "rebalance_band": rebalance_band}
    _require_settings(**rule, commission_bps=commission_bps)
    _refuse_seen(forecasts)
    bars = select_symbol(as_bars_frame(bars))
    decisions = _tradable(bars, forecasts)
    closes = _session_closes(bars, decisions)
    left_out = _left_out(bars, forecasts, len(decisions))
    _require_sessions(len(closes), left_out)
    decisions["position"] = target_positions(decisions["annualized_volatility"], **rule)
    decisions["traded"] = decisions["position"].diff().ne(0.0)
    orders = {
        STRATEGY: decisions.loc[decisions["traded"], "position"],
        BENCHMARK: pd.Series(1.0, index=decisions.index[:1]),
    }
    prices = pd.concat([decisions["price"], closes]).sort_index()
    accounts = {name: _account(name, prices, order, commission_bps) for name, order in orders.items()}
    equity = pd.DataFrame({name: account.values.loc[closes.index] / _CAPITAL for name, account in accounts.items()})
    figures = pd.DataFrame({name: _figures(equity[name], account) for name, account in accounts.items()})
    figures.loc["mean_position"] = {STRATEGY: decisions["position"].mean(), BENCHMARK: 1.0}
    return VolatilityBacktest(
        decisions=decisions,
        equity=equity,
        statistics=figures,
        left_out=MappingProxyType(left_out),
        settings=MappingProxyType({**rule, "commission_bps": commission_bps}),
        symbol=str(bars.attrs.get("symbol", "the symbol")),
        simulated=bool(bars.attrs.get("simulated", False)),
    )


def _tradable(bars: pd.DataFrame, forecasts: pd.DataFrame) -> pd.DataFrame:
    """Forecast buckets in which a bar starts, by the start of the first, with the first price to be had in it."""
    begins = pd.DatetimeIndex(bars.index)
    first = begins.searchsorted(pd.DatetimeIndex(forecasts["asof"]), side="left")
    starts = begins[np.minimum(first, len(bars) - 1)].tz_convert(EXCHANGE_TIMEZONE)
    traded = np.asarray((first < len(bars)) & (starts < forecasts.index))
    frame = forecasts.loc[traded, ["asof", "annualized_volatility", "model_version"]].copy()
    frame.attrs = {}
    frame.insert(1, "bucket", frame.index)
    closes = bars["close"]
    frame["price"] = bars.get("open", closes).fillna(closes).to_numpy(dtype=float)[first[traded]]
    return frame.set_index(starts[traded].rename("traded_at"))


def _session_closes(bars: pd.DataFrame, decisions: pd.DataFrame) -> pd.Series:
    """Last close of each traded New York day up to the end of its last bucket, by that end."""
    begins, days = pd.DatetimeIndex(bars.index), pd.DatetimeIndex(decisions.index).normalize()
    ends = begins + bar_length(begins)
    labels = pd.DatetimeIndex(decisions["bucket"].groupby(days).last())
    last = ends.searchsorted(labels, side="right") - 1
    return pd.Series(bars["close"].to_numpy(dtype=float)[last], index=labels.rename("traded_at"), name="price")


def _account(name: str, prices: pd.Series, positions: pd.Series, commission_bps: float) -> Any:
    """The `bt` strategy after trading into `positions` at the moments of their index."""
    import bt

    asset = "asset"
    algos = [bt.algos.WeighTarget(positions.to_frame(asset)), bt.algos.Rebalance()]
    backtest = bt.Backtest(
        bt.Strategy(name, algos),
        prices.to_frame(asset),
        initial_capital=_CAPITAL,
        commissions=lambda quantity, price: abs(quantity) * price * commission_bps / 1e4,
        integer_positions=False,
    )
    backtest.run()
    return backtest.strategy


def _figures(equity: pd.Series, account: Any) -> dict[str, float]:
    values = np.concatenate([[1.0], equity.to_numpy(dtype=float)])
    returns = values[1:] / values[:-1] - 1.0
    sessions, spread = len(returns), float(np.std(returns, ddof=1))
    annual_return = float(values[-1] ** (SESSIONS_PER_YEAR / sessions) - 1.0) if values[-1] > 0 else -1.0
    outlays = account.outlays.abs().sum(axis=1)
    return {
        "total_return": float(values[-1] - 1.0),
        "annual_return": annual_return if sessions >= _FEWEST_SESSIONS_TO_ANNUALIZE_RETURN else float("nan"),
        "annual_volatility": spread * SESSIONS_PER_YEAR**0.5,
        "sharpe": float(np.mean(returns)) / spread * SESSIONS_PER_YEAR**0.5 if spread > 0 else float("nan"),
        "max_drawdown": float((values / np.maximum.accumulate(values)).min() - 1.0),
        "trades": float((outlays > 0).sum()),
        "turnover_a_year": float((outlays / account.values).sum()) * SESSIONS_PER_YEAR / sessions,
        "costs": float(account.fees.sum()) / _CAPITAL,
    }


def _left_out(bars: pd.DataFrame, forecasts: pd.DataFrame, traded: int) -> dict[str, int]:
    # The last forecast may be of a bucket after the bars' end: that one is still to be traded, not left out.
    begun = int((pd.DatetimeIndex(forecasts["asof"]) <= bars.index[-1]).sum())
    return {
        "in_sample": int(forecasts.attrs.get("in_sample_left_out", 0)),
        "without_history": int(forecasts.attrs.get("without_history", 0)),
        "without_bars": begun - traded,
    }


def _refuse_seen(forecasts: pd.DataFrame) -> None:
    if "in_sample" in forecasts and forecasts["in_sample"].any():
        raise LookAheadError(
            f"{int(forecasts['in_sample'].sum())} of the forecasts are of buckets that the model has seen in training; "
            "a backtest may trade none of these; make the forecasts without allow_in_sample."
        )


def _require_sessions(sessions: int, left_out: Mapping[str, int]) -> None:
    if sessions >= _FEWEST_SESSIONS:
        return
    raise NotEnoughDataError(
        f"{sessions} session(s) left to trade ({left_out['in_sample']} hourly buckets are left out because the model "
        f"has seen them, {left_out['without_history']} because too little comes before them); the rule is at least "
        f"{_FEWEST_SESSIONS}; give bars that go on longer, or take a model trained on less."
    )


def _require_settings(
    target_volatility: float, max_leverage: float, rebalance_band: float, commission_bps: float = 0.0
) -> None:
    rules = (
        ("target_volatility", target_volatility, target_volatility > 0, "above 0; 0.15 aims at 15 % a year"),
        ("max_leverage", max_leverage, max_leverage > 0, "above 0; 1.0 never borrows"),
        ("rebalance_band", rebalance_band, rebalance_band >= 0, "0 or above; 0.0 trades every change"),
        ("commission_bps", commission_bps, commission_bps >= 0, "0 or above; 2.0 costs 0.02 % of a trade"),
    )
    for name, value, kept, rule in rules:
        if not (kept and np.isfinite(value)):
            raise ConfigError(f"{name} is {value}; the rule is a finite number {rule}.")
