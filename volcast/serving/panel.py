"""Forecasts of a universe of symbols, all as of one moment."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import pandas as pd

from volcast.bars.arrays import FrameArrays
from volcast.errors import BarsError, VolatilityError
from volcast.forecasters.horizons import Horizon, kind_of
from volcast.serving.overnight import overnight_arrays
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.stream import ForecastStream

__all__ = ["panel_forecasts"]

_COLUMNS = [field.name for field in fields(Forecast)]

_Answers = dict[str, Forecast | VolatilityError]


def panel_forecasts(
    model: ServedModel,
    bars: pd.DataFrame,
    asof: pd.Timestamp | None,
    horizon: Horizon,
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
    panel = _Panel(model, arrays, overnight, moment, horizon, allow_in_sample)
    answers = panel.each_alone(symbols) if model.many is None else panel.as_one_market(symbols)
    failed = {symbol: answer for symbol, answer in answers.items() if isinstance(answer, VolatilityError)}
    if len(failed) == len(symbols):
        raise failed[symbols[0]]
    rows = {symbol: [getattr(answers[symbol], name) for name in _COLUMNS] for symbol in symbols if symbol not in failed}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=_COLUMNS).rename_axis(index="symbol")
    frame.attrs["failed"] = {symbol: str(error) for symbol, error in failed.items()}
    return frame


@dataclass(frozen=True)
class _Panel:
    """What is asked about symbols: forecasts by a model from those of their bars that had ended by a moment."""

    model: ServedModel
    arrays: FrameArrays
    overnight: FrameArrays | None
    moment: pd.Timestamp
    horizon: Horizon
    allow_in_sample: bool

    def each_alone(self, symbols: Sequence[str]) -> _Answers:
        """Forecasts by a model that looks at one symbol, each from a stream of its own."""
        return {symbol: self._alone(symbol) for symbol in symbols}

    def as_one_market(self, symbols: Sequence[str]) -> _Answers:
        """Forecasts by a model of many symbols, all from one stream, which begins with the first that can be used."""
        answers: _Answers = {}
        for symbol in symbols:
            try:
                stream = self._followed(symbol)
            except VolatilityError as error:
                answers[symbol] = error
                continue
            others = symbols[len(answers) :]
            forecasts = stream.forecasts(others, self.moment, self.horizon, allow_in_sample=self.allow_in_sample)
            return answers | dict(zip(others, forecasts, strict=True))
        return answers

    def _alone(self, symbol: str) -> Forecast | VolatilityError:
        try:
            return self._followed(symbol).forecast(
                self.moment,
                self.horizon,
                symbol=symbol,
                allow_in_sample=self.allow_in_sample,
                kind=kind_of(self.horizon),
            )
        except VolatilityError as error:
            return error

    def _followed(self, symbol: str) -> ForecastStream:
        stream = ForecastStream(self.model)
        stream.follow(self.arrays, symbol, self.moment.value // 1000, self.overnight)
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
