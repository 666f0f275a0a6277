"""What a configuration asks for: where its bars come from, the bars, and hourly measures of bars."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from volcast.bars.arrays import SymbolBars
from volcast.config import TrainingConfig
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.measures.hourly import get_hourly_measures

if TYPE_CHECKING:
    from volcast.bars.fetching import FetchProgress
    from volcast.bars.handler import DataHandler

__all__ = ["LIQUID", "bars_of", "companions_of", "handler_of", "measures_of", "overnight_bars_of"]

LIQUID = ("SPY", "QQQ", "IWM", "AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "JPM", "XOM")
"""The companions that ``auto`` stands for: the most traded funds and stocks of New York, of several sectors."""

_OF_THE_HANDLER = (
    "bars_path", "bars_timezone", "bars_stamps", "bars_epoch", "bars_dates", "feed", "adjustment", "cache_dir",
    "offline", "cleaning", "roll_days", "seed",
)  # fmt: skip


def handler_of(
    config: TrainingConfig, progress: "FetchProgress | None" = None, *, of_several: bool = False
) -> "DataHandler":
    """The handler of the configured source; `progress` is told what is fetched.

    Of several symbols, those that are configured or others beside them (`of_several`), a file must say whose bars it
    holds.
    """
    # Only now: what asks other machines for bars takes long to import, and who serves needs none of it.
    from volcast.bars.handler import DataHandler

    settings = {name: getattr(config, name) for name in _OF_THE_HANDLER}
    settings["of_several"] = of_several or len(config.symbols) > 1 or bool(config.companions)
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


def overnight_bars_of(
    config: TrainingConfig, symbol: str | None, progress: "FetchProgress | None" = None
) -> pd.DataFrame | None:
    """The bars of a `symbol` that tells of nights, over the configured span; None where there is none.

    They come from ``overnight_path``, or else from the configured source.

    Raises
    ------
    ConfigError
        There is a path and no symbol.
    """
    if symbol is None:
        if config.overnight_path is not None:
            raise ConfigError(
                f"overnight_path is {config.overnight_path!r} and overnight_symbol is missing; a model remembers whose "
                "nights it has seen; name it (--overnight-symbol), or leave the path out."
            )
        return None
    # On its own market: the days of a future begin on the evening before.
    settings: dict[str, Any] = {"symbol": symbol, "market": None, "bucket": "1h", "preset": "session", "cleaning": ()}
    settings |= dict.fromkeys(("symbols", "companions"), ()) | dict.fromkeys(("overnight_symbol", "overnight_path"))
    if config.overnight_path is not None:
        settings |= {"bars_source": "file", "bars_path": config.overnight_path}
    return bars_of(config.with_overrides(**settings), progress=progress)


def measures_of(
    config: TrainingConfig, bars: pd.DataFrame | SymbolBars, overnight_bars: pd.DataFrame | SymbolBars | None = None
) -> pd.DataFrame:
    """Hourly measures of one symbol's bars as configured; see `get_hourly_measures`.

    `overnight_bars` are those of the configured `overnight_symbol`, None where there is none.

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
        overnight_bars=overnight_bars,
    )
    if measures.empty:
        raise NotEnoughDataError(
            f"the bars from {checked.frame.index[0]} to {checked.frame.index[-1]}, {len(checked.frame):,} of them, "
            f"cover no bucket of {config.market_name} to {config.min_bucket_coverage:.0%}; one at least must be; give "
            "more bars, or say --clean untraded if they leave out minutes without a trade."
        )
    return measures
