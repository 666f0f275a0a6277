"""A backtest from settings, bars and a forecaster: what the command and the dialogue both do."""

from pathlib import Path
from typing import Literal

import pandas as pd

from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.forecasts import baseline_forecasts, model_forecasts
from volcast.backtest.implied import read_implied, traded_implied
from volcast.backtest.market import Market
from volcast.backtest.prices import session_prices
from volcast.backtest.settings import BacktestSettings
from volcast.backtest.strategies.straddle import StraddleTiming
from volcast.bars.handler import alpaca_credentials
from volcast.bars.quality import assess_quality, require_acceptable
from volcast.bars.sources.alpaca_options import AlpacaOptionBars
from volcast.bars.sources.alpaca_pages import AlpacaAccess
from volcast.config import TrainingConfig
from volcast.configured import handler_of, overnight_bars_of
from volcast.errors import ConfigError, CredentialsError
from volcast.forecaster import FALLBACK, VolatilityForecaster

__all__ = ["backtest_bars", "overnight_bars_for", "require_tradable", "retraining_settings"]


def backtest_bars(
    settings: BacktestSettings,
    config: TrainingConfig,
    bars: pd.DataFrame,
    forecaster: VolatilityForecaster,
    overnight_bars: pd.DataFrame | None = None,
) -> Backtest:
    """Run the strategy of `settings` on `bars`, beside its benchmark and, unless the EWMA forecasts, the EWMA's twin.

    Parameters
    ----------
    settings
        What is traded, by which forecasts, at what cost, against what.
    config
        Where other bars come from: those of a benchmark, and of options.
    bars
        One symbol's bars, or those of several, indexed by (symbol, timestamp).
    forecaster
        Makes the forecasts where these are a model's; with a schedule it trains on the way.
    overnight_bars
        Bars of another symbol, for models that are trained with its nights; see `overnight_bars_for`.

    Raises
    ------
    VolatilityError
        What cannot be done with these.
    """
    # First what may not be there: forecasts can take minutes.
    benchmark = _benchmark(settings, config, bars)
    implied = _implied(settings, config, bars)
    ewma = baseline_forecasts(FALLBACK, bars, config.effective_market)
    if settings.forecasts == FALLBACK:
        tables, twin = ewma, None
    elif settings.forecasts == "model":
        models: Literal["serving", "as-of"] = "serving" if settings.retrain == "none" else "as-of"
        tables = model_forecasts(forecaster, bars, models, overnight_bars=overnight_bars)
        # Without a model the EWMA serves, and is told of nights beside: no other forecast to compare with.
        twin = None if all((table["model_version"] == FALLBACK).all() for table in tables.values()) else ewma
    else:
        tables, twin = baseline_forecasts(settings.forecasts, bars, config.effective_market), ewma
    market = Market.of(bars, tables, market=config.effective_market, implied=implied)
    return run_backtest(settings.make_strategy(), market, settings.make_costs(), twin, benchmark)


def overnight_bars_for(
    settings: BacktestSettings, config: TrainingConfig, forecaster: VolatilityForecaster
) -> pd.DataFrame | None:
    """The bars that tell the models of a backtest of nights: those configured, or else those that its model needs.

    Raises
    ------
    ConfigError
        There are such, and no model forecasts.
    """
    if settings.forecasts == "model":
        needed = forecaster.model_info().get("overnight_symbol") if settings.retrain == "none" else None
        return overnight_bars_of(config, config.overnight_symbol or needed)
    if config.overnight_symbol is not None or config.overnight_path is not None:
        raise ConfigError(
            f"bars of {config.overnight_symbol or config.overnight_path!r} are to tell of nights and forecasts are "
            f"{settings.forecasts!r}; only models see nights; leave the bars out, or let a model forecast."
        )
    return None


def retraining_settings(settings: BacktestSettings) -> dict[str, str]:
    """What a `VolatilityForecaster` must be told so that it retrains on the way as `settings` say."""
    return {} if settings.retrain == "none" else {"every": settings.retrain}


def require_tradable(bars: pd.DataFrame, symbol: str, config: TrainingConfig) -> list[str]:
    """Refuse bars of one symbol that are bad, unless `config` accepts them; returns what is to be said of those.

    Steps at rolls are none of what is bad here: they are cut out.

    Raises
    ------
    BarsError
        What is wrong, and the ways out.
    """
    quality = assess_quality(bars, symbol, market=config.effective_market)
    return require_acceptable(quality.without("roll"), accept=config.accept_quality)


def _benchmark(
    settings: BacktestSettings, config: TrainingConfig, bars: pd.DataFrame
) -> Market | Literal["cash"] | None:
    if settings.benchmark in ("buy-and-hold", "cash"):
        return "cash" if settings.benchmark == "cash" else None
    symbol, path = settings.benchmark, Path(settings.benchmark).expanduser()
    if path.is_file():
        symbol = path.stem.partition("_")[0].upper()
        config = config.with_overrides(bars_source="file", bars_path=str(path))
    starts = pd.DatetimeIndex(bars.index.get_level_values(-1))
    first, last = (f"{moment:%Y-%m-%d}" for moment in (starts.min(), starts.max()))
    handler = handler_of(config, of_several=True)
    others = handler.get_stock_bars(symbol, first, last, timeframe=config.data_frequency)
    require_tradable(others, symbol, config)
    return Market.of(others, market=config.effective_market)


def _implied(settings: BacktestSettings, config: TrainingConfig, bars: pd.DataFrame) -> pd.Series | None:
    """Implied volatility of the only symbol; None is assumed where a strategy needs it."""
    strategy = settings.make_strategy()
    credentials = alpaca_credentials()
    from_alpaca = credentials is not None and config.effective_source == "alpaca"
    if settings.implied == "assumed" or (settings.implied == "auto" and not from_alpaca):
        return None
    if not isinstance(strategy, StraddleTiming):
        return None
    if settings.implied not in ("alpaca", "auto"):
        return read_implied(Path(settings.implied).expanduser())
    if credentials is None:
        raise CredentialsError(
            "there are no keys for Alpaca; bars of options need them; set APCA_API_KEY_ID and APCA_API_SECRET_KEY, or "
            "let implied volatility be 'assumed'."
        )
    prices = session_prices(bars, config.effective_market)
    source = AlpacaOptionBars(AlpacaAccess(credentials))
    return traded_implied(source, config.symbol, prices, strategy.sessions_to_expiry, config.effective_market)
