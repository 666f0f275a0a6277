"""Forecasts of a universe of symbols, all as of one moment."""

from dataclasses import fields

import pandas as pd

from volcast.bars.arrays import FrameArrays
from volcast.errors import BarsError, VolatilityError
from volcast.forecasters.horizons import Horizon, Kind
from volcast.serving.overnight import overnight_arrays
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream

__all__ = ["panel_forecasts"]

_COLUMNS = [field.name for field in fields(Forecast)]


def panel_forecasts(
    model: ServedModel,
    bars: pd.DataFrame,
    asof: pd.Timestamp | None,
    horizon: Horizon,
    kind: Kind,
    *,
    allow_in_sample: bool,
    overnight_bars: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A forecast of each symbol in `bars`; see `VolatilityForecaster.forecast_panel`."""
    arrays, overnight = FrameArrays.of(bars), overnight_arrays(model, overnight_bars)
    symbols = [symbol for symbol in arrays.symbols if symbol is not None]
    if not symbols:
        raise BarsError(
            "the bars are of one symbol without a name; a panel has many; index them by (symbol, timestamp)."
        )
    moment = model.market.clock.time(_last_end(arrays, overnight)) if asof is None else asof
    stream: ForecastStream | None = None
    forecasts: dict[str, Forecast] = {}
    failed: dict[str, VolatilityError] = {}
    for symbol in symbols:
        try:
            # One stream has the whole market of a model of many symbols; of others each symbol has its own.
            if stream is None or model.many is None:
                stream = _followed(model, arrays, symbol, moment, overnight)
            forecasts[symbol] = stream.forecast(
                moment, horizon, symbol=symbol, allow_in_sample=allow_in_sample, kind=kind
            )
        except VolatilityError as error:
            failed[symbol] = error
    if not forecasts:
        raise next(iter(failed.values()))
    rows = {symbol: [getattr(forecast, name) for name in _COLUMNS] for symbol, forecast in forecasts.items()}
    panel = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS).rename_axis(index="symbol")
    panel.attrs["failed"] = {symbol: str(error) for symbol, error in failed.items()}
    return panel


def _followed(
    model: ServedModel, arrays: FrameArrays, symbol: str, moment: pd.Timestamp, overnight: FrameArrays | None
) -> ForecastStream:
    stream = ForecastStream(model)
    stream.follow(arrays, symbol, moment.value // 1000, overnight)
    return stream


def _last_end(*frames: FrameArrays | None) -> int:
    """When the last bar of any symbol ended, in microseconds since the epoch."""
    ends = [
        arrays.stamps(rows).max() + arrays.length_until(rows, None)
        for arrays in frames
        if arrays is not None
        for rows in arrays.symbols.values()
    ]
    return int(max(ends))
