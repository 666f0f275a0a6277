"""A backtest from settings, bars and a forecaster: what the command and the dialogue both do."""

from pathlib import Path
from typing import Literal

import pandas as pd

from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.forecasts import baseline_forecasts, model_forecasts
from volcast.backtest.market import Market
from volcast.backtest.settings import BacktestSettings
from volcast.errors import BarsError
from volcast.forecaster import FALLBACK, VolatilityForecaster

__all__ = ["backtest_bars", "read_implied", "retraining_settings"]

_IMPLIED = "implied"
_HIGHEST = 5.0


def backtest_bars(
    settings: BacktestSettings,
    bars: pd.DataFrame,
    forecaster: VolatilityForecaster,
    implied: pd.Series | None = None,
    calendar: str = "XNYS",
) -> Backtest:
    """Run the strategy of `settings` on `bars`, beside the EWMA's twin and the benchmark.

    Parameters
    ----------
    settings
        What is traded, by which forecasts, and at what cost.
    bars
        One symbol's bars, or those of several, indexed by (symbol, timestamp).
    forecaster
        Makes the forecasts where these are a model's; with a schedule it trains on the way.
    implied
        Annualized implied volatility of the only symbol, by the moment from which it is known; None is assumed, where
        a strategy needs it.
    calendar
        Name of the exchange in `exchange_calendars`.
    """
    ewma = baseline_forecasts(FALLBACK, bars, calendar)
    if settings.forecasts == FALLBACK:
        tables, twin = ewma, None
    elif settings.forecasts == "model":
        models: Literal["serving", "as-of"] = "serving" if settings.retrain == "none" else "as-of"
        tables, twin = model_forecasts(forecaster, bars, models), ewma
    else:
        tables, twin = baseline_forecasts(settings.forecasts, bars, calendar), ewma
    market = Market.of(bars, tables, calendar=calendar, implied=implied)
    return run_backtest(settings.make_strategy(), market, settings.make_costs(), twin)


def retraining_settings(settings: BacktestSettings) -> dict[str, str]:
    """What a `VolatilityForecaster` must be told so that it retrains on the way as `settings` say."""
    return {} if settings.retrain == "none" else {"every": settings.retrain}


def read_implied(path: Path) -> pd.Series:
    """Implied volatility from a CSV or Parquet file: stamps in the first column, a column ``implied``.

    Returns
    -------
    Series, annualized decimals, indexed by the moment (UTC) from which each is known.

    Raises
    ------
    BarsError
        The file cannot be read, has no such column, stamps without a zone, or values that are no decimals.
    """
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BarsError(
            f"{path} cannot be read ({type(error).__name__}); implied volatility must be a CSV or Parquet file with "
            "stamps and a column 'implied'; give such a file."
        ) from error
    table = table.reset_index() if isinstance(table.index, pd.DatetimeIndex) else table
    if _IMPLIED not in table:
        columns = ", ".join(map(str, table))
        raise BarsError(f"{path} has no column {_IMPLIED!r} among {columns}; it needs one; rename it.")
    stamps = pd.to_datetime(table.iloc[:, 0], errors="coerce", format="ISO8601")
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype) or stamps.isna().any():
        raise BarsError(
            f"the stamps of {path} are not all times with a zone, as 2026-01-05T10:00:00-05:00; each value must say "
            "from when it was known; write them so."
        )
    values = pd.Series(pd.to_numeric(table[_IMPLIED], errors="coerce").to_numpy(), index=pd.DatetimeIndex(stamps))
    if not values.between(0.0, _HIGHEST, inclusive="neither").all():
        raise BarsError(
            f"implied volatility in {path} goes from {values.min():g} to {values.max():g}; it must be annualized "
            "decimals, 0.2 for 20 %; divide percents by 100."
        )
    return values.tz_convert("UTC").sort_index()
