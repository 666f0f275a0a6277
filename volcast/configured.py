"""What a configuration asks for: where its bars come from, the bars, and hourly measures of bars."""

from typing import TYPE_CHECKING

import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.config import TrainingConfig
from volcast.errors import NotEnoughDataError
from volcast.measures.hourly import get_hourly_measures

if TYPE_CHECKING:
    from volcast.bars.fetching import FetchProgress
    from volcast.bars.handler import DataHandler

__all__ = ["LIQUID", "bars_of", "companions_of", "handler_of", "measures_of"]

LIQUID = ("SPY", "QQQ", "IWM", "AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "JPM", "XOM")
"""The companions that ``auto`` stands for: the most traded funds and stocks of New York, of several sectors."""

_OF_THE_HANDLER = (
    "bars_path", "bars_timezone", "bars_stamps", "bars_epoch", "bars_dates", "feed", "adjustment", "cache_dir",
    "offline", "cleaning", "roll_days", "seed",
)  # fmt: skip


def handler_of(config: TrainingConfig, progress: "FetchProgress | None" = None) -> "DataHandler":
    """The handler of the configured source; `progress` is told what is fetched."""
    # Only now: what asks other machines for bars takes long to import, and who serves needs none of it.
    from volcast.bars.handler import DataHandler

    settings = {name: getattr(config, name) for name in _OF_THE_HANDLER}
    return DataHandler(config.effective_source, **settings, market=config.effective_market, progress=progress)


def bars_of(config: TrainingConfig, symbol: str | None = None, progress: "FetchProgress | None" = None) -> pd.DataFrame:
    """The bars of `symbol` (None: of all configured) over the configured span; see `DataHandler.get_stock_bars`."""
    handler, names = handler_of(config, progress), config.symbols or (config.symbol,)
    asked = symbol or (names[0] if len(names) == 1 else names)
    return handler.get_stock_bars(asked, *config.requested_span, timeframe=config.data_frequency)


def companions_of(config: TrainingConfig, symbol: str) -> tuple[str, ...]:
    """The symbols that a model of `symbol` learns from beside it."""
    names = LIQUID if config.companions == ("auto",) else config.companions
    return tuple(name for name in names if name != symbol)


def measures_of(config: TrainingConfig, bars: pd.DataFrame | SymbolBars) -> pd.DataFrame:
    """Hourly measures of one symbol's bars as configured; see `get_hourly_measures`.

    Raises
    ------
    NotEnoughDataError
        No hour can be measured.
    """
    checked = SymbolBars.of(bars, market=config.effective_market)
    measures = get_hourly_measures(
        checked,
        config.preset,
        tz=config.effective_timezone,
        min_bucket_coverage=config.min_bucket_coverage,
        market=config.effective_market,
        estimator=config.rv_estimator,
        nights=config.nights == "auto",
    )
    if measures.empty:
        raise NotEnoughDataError(
            f"the {len(checked.frame):,} bars from {checked.frame.index[0]} to {checked.frame.index[-1]} cover no "
            f"bucket of {config.market_name} to {config.min_bucket_coverage:.0%}; one at least must be; give more "
            "bars, or say --clean untraded if they leave out minutes without a trade."
        )
    return measures
