"""Forecasts from bars as they come: each costs the bars that are new. A series is a stream that is fed at once."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.bars.arrays import FrameArrays, Prices
from volcast.bars.checks import symbol_named
from volcast.counts import counted
from volcast.errors import BarsError, ConfigError, LookAheadError, NotEnoughDataError, VolatilityError
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import (
    TOTAL_HORIZONS,
    Horizon,
    IntervalForecast,
    Kind,
    horizon_minutes,
    horizon_named,
    kind_of,
)
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.terms import FEWEST_SESSIONS
from volcast.markets.market import TradingMarket
from volcast.measures.hourly import annualize, minutes_per_year
from volcast.measures.nights import NIGHT_NAMES
from volcast.serving.grid import ForecastGrid, NextBucket, bucket_to_forecast, forecast_grid
from volcast.serving.history import HourlyHistory, history_of, measure
from volcast.serving.market import NEVER, MarketStates, SymbolShare
from volcast.serving.overnight import OvernightHistory, overnight_arrays
from volcast.serving.served_model import Forecast, ServedModel
from volcast.serving.table_forecasts import TableForecasts
from volcast.serving.totals import session_to_forecast, total_grid

__all__ = ["ForecastStream", "LiveStreams"]

_MOST_STREAMS = 32


class ForecastStream:
    """Forecasts of one model from bars that come one after the other, in a live loop or an event-driven backtest.

    It forecasts what `VolatilityForecaster.forecast` forecasts from all of these bars. A stream belongs to one thread,
    and stays with its model, whichever serves later.

    Parameters
    ----------
    model
        What forecasts.
    symbol
        Whose volatility; None is that of the bars' only symbol, or of the model's own.
    """

    def __init__(self, model: ServedModel, symbol: str | None = None) -> None:
        self.model, self.symbol = model, symbol
        self.followed: FrameArrays | None = None
        self._updated: FrameArrays | None = None
        self._histories: dict[str | None, HourlyHistory] = {}
        # The bars of another symbol that tell of nights, where the model looks at such.
        symbol_of_nights = model.overnight_symbol
        self._overnight = None if symbol_of_nights is None else OvernightHistory(symbol_of_nights)
        self._tables: _OneTable | _ManyTables | None = None
        self._totals: dict[str | None, RunningTotals] = {}

    @property
    def followed_overnight(self) -> FrameArrays | None:
        """The overnight bars that were followed last; None where there were none, or some were taken in since."""
        return None if self._overnight is None else self._overnight.followed

    @classmethod
    def of(
        cls,
        model: ServedModel,
        bars: pd.DataFrame,
        symbol: str | None = None,
        overnight_bars: pd.DataFrame | None = None,
    ) -> "ForecastStream":
        """The stream that begins with `bars`; see `update`. Warns where the model was trained on others' bars."""
        arrays, overnight = FrameArrays.of(bars), overnight_arrays(model, overnight_bars)
        name = symbol_named(symbol, arrays.attrs)
        model.warn_of_mismatch(arrays.attrs, arrays.names)
        model.warn_of_other_hours(arrays.frame)
        stream = cls(model, name)
        stream.follow(arrays, symbol, None, overnight)
        stream._updated = arrays
        return stream

    def update(self, bars: pd.DataFrame | None = None, *, overnight_bars: pd.DataFrame | None = None) -> None:
        """Take in bars that have ended: new ones, and earlier ones that were revised.

        Parameters
        ----------
        bars
            Stamped at their start, tz-aware. One symbol's, or, where the stream began so, those of many symbols,
            indexed by (symbol, timestamp), of which some may be missing. A bar takes the place of one with its stamp.
            None where there are new `overnight_bars` alone.
        overnight_bars
            Those of the other symbol that tells of nights, where the model looks at one; None where none is new.

        Raises
        ------
        BarsError, NotEnoughDataError
            They are unusable, or none, or not such as the stream began with; nothing of them is taken in.
        ConfigError
            There are `overnight_bars`, and the model was not trained with such.
        """
        if bars is None and overnight_bars is None:
            raise BarsError("there are neither bars nor overnight_bars to take in; one of them is needed; give it.")
        overnight = None if overnight_bars is None else overnight_arrays(self.model, overnight_bars)
        merged = {} if bars is None else self._merged(bars)
        whole = {symbol: self._histories[symbol].require_whole(*after) for symbol, after in merged.items()}
        if overnight is not None and self._overnight is not None:
            self._overnight.put(*self._overnight.merged_overnight(overnight))
            self._forget_nights(self._overnight)
        for symbol, after in merged.items():
            self.followed = None
            self._histories[symbol].put(*after, whole[symbol])

    def _merged(self, bars: pd.DataFrame) -> dict[str | None, tuple[int, Int64Array1D, Prices]]:
        """By symbol, what `update` will put in place of the bars so far; see `HourlyHistory.merged`."""
        arrays = self._updated = FrameArrays.of(bars, self._updated)
        rows = {symbol: arrays.symbols[symbol] for symbol in self._histories if symbol in arrays.symbols}
        if not rows or any(self._histories[symbol].names != arrays.names for symbol in rows):
            raise BarsError(
                f"the bars are of {_listed(arrays.symbols)} with {', '.join(arrays.names) or 'no prices'}, and the "
                f"stream began with {_listed(self._histories)} and other columns or symbols; they must be alike; begin "
                "another stream."
            )
        for of_symbol in rows.values():
            arrays.require_usable(of_symbol)
        return {
            symbol: self._histories[symbol].merged(arrays.stamps(of_symbol), arrays.prices(of_symbol))
            for symbol, of_symbol in rows.items()
        }

    def follow(
        self, bars: FrameArrays, symbol: str | None, moment: int | None, overnight: FrameArrays | None = None
    ) -> None:
        """Be a stream of those of `bars` that had ended by `moment`, in microseconds; None is all of them.

        Bars that were there before, and are the same, are not looked at again; where some are others, what came after
        them is computed anew. Bars of the market's other symbols that are unusable are left out. `overnight` are those
        of the other symbol that tells of nights, see `overnight_arrays`.

        Raises
        ------
        BarsError, NotEnoughDataError
            Those of the symbol, or those that tell of nights, are unusable, or there are none.
        """
        if overnight is not None and self._overnight is not None:
            try:
                self._overnight.follow_overnight(overnight, moment)
            finally:
                self._forget_nights(self._overnight)
        asked = self._key(bars.symbols, symbol)
        before, self.followed = self.followed, None
        is_same = before is not None and bars.lies_where(before)
        histories: dict[str | None, HourlyHistory] = {}
        for key in bars.symbols if self.model.many is not None else (asked,):
            history = self._histories.get(key)
            if history is None or history.names != bars.names:
                history = history_of(self.model.measurement, bars.names, self._overnight)
            try:
                history.follow(bars, key, moment, before, is_same=is_same)
            except (BarsError, NotEnoughDataError):
                if key == asked:
                    raise
                continue
            histories[key] = history
        if [*histories.items()] != [*self._histories.items()]:
            self._histories, self._tables, self._totals = histories, None, {}
        self.followed = bars

    def _forget_nights(self, overnight: OvernightHistory) -> None:
        moment = overnight.take_unchanged()
        for history in self._histories.values():
            history.forget_nights(moment)

    def begins_like(self, bars: FrameArrays, symbol: str | None) -> bool:
        """Whether `bars` begin with a bar that is the first of its symbol here, and `symbol` may be asked for here."""
        keys = bars.symbols if self.model.many is not None else (self._key(bars.symbols, symbol),)
        key = next((key for key in keys if key in self._histories), "")
        history = self._histories.get(key)
        return history is not None and (key is not None or symbol == self.symbol) and history.begins_like(bars, key)

    def forecast(
        self,
        asof: str | pd.Timestamp | None = None,
        horizon: Horizon = 1,
        *,
        symbol: str | None = None,
        allow_in_sample: bool = False,
        kind: Kind = "hourly",
    ) -> Forecast:
        """Forecast the first bucket that ends after `asof` from all bars so far.

        Parameters
        ----------
        asof
            The moment of the forecast, the market's time where it has no time zone; None is the end of the last bar.
        horizon
            What is forecast, see `forecasters.horizons`.
        symbol
            Which of several symbols; None is the stream's.
        allow_in_sample
            Whether a moment that the model has already seen in training may be forecast.
        kind
            ``"total"``: from close to close, over the session that closes first after `asof` and those that follow.

        Raises
        ------
        LookAheadError
            `asof` is before the model's ``trained_through``, and `allow_in_sample` is false; or bars that ended later
            have been taken in.
        NotEnoughDataError
            Fewer buckets, or sessions, had ended by `asof` than the model's memory.
        """
        horizon = horizon_named(horizon, kind, self.model.market)
        key, moment = self._asked(symbol, asof)
        if kind == "hourly":
            self._tables_of(key).measure(moment.value // 1000)
        return self._measured(key, moment, horizon, allow_in_sample=allow_in_sample)

    def forecasts(
        self, symbols: Iterable[str], asof: pd.Timestamp, horizon: Horizon, *, allow_in_sample: bool
    ) -> Iterator[Forecast | VolatilityError]:
        """What `forecast` gives of each of many symbols, in their order; of one that cannot be forecast what it raises.

        Whether bars of any of them are new is looked at once.
        """
        if kind_of(horizon) == "hourly":
            self._tables_of(None).measure(asof.value // 1000)
        for symbol in symbols:
            try:
                yield self._measured(*self._asked(symbol, asof), horizon, allow_in_sample=allow_in_sample)
            except VolatilityError as error:
                yield error

    def _asked(self, symbol: str | None, asof: str | pd.Timestamp | None) -> tuple[str | None, pd.Timestamp]:
        """Whose bars are meant, and as of when; see `forecast`."""
        key, clock = self._key(self._histories, symbol_named(symbol) or self.symbol), self.model.market.clock
        # Of the night, too: what comes at night is that of another symbol.
        of_night = 0 if self._overnight is None else self._overnight.last_end
        last_end = clock.time(max(self._histories[key].last_end, of_night))
        moment = last_end if asof is None else clock.moment(asof)
        if moment < last_end:
            raise LookAheadError(
                f"a forecast as of {moment} was asked of a stream that has taken in bars until {last_end}; it may not "
                "be earlier; VolatilityForecaster.forecast takes earlier moments."
            )
        last_bar, now = self._histories[key].last_end, moment.value // 1000
        if last_bar < now:
            self.model.warn_of_old_bars(key, last_bar, now)
        return key, moment

    def _measured(self, key: str | None, moment: pd.Timestamp, horizon: Horizon, *, allow_in_sample: bool) -> Forecast:
        """The forecast of a symbol as of a moment that its bars, and those of its market, are measured to."""
        model, now = self.model, moment.value // 1000
        if kind_of(horizon) == "total":
            return self._total(key, now, moment, horizon, allow_in_sample=allow_in_sample)
        ahead = bucket_to_forecast(self._histories[key].table, now, model.preset, model.market)
        if ahead is None or ahead.rows_before < model.memory:
            raise model.too_few(0 if ahead is None else ahead.rows_before, moment)
        if not allow_in_sample:
            model.refuse_look_ahead(moment)
        asked = np.array([ahead.label]), np.array([ahead.rows_before])
        forecast, session = self._tables_of(key).of(key).of(*asked, horizon)
        return self._named(forecast, float(session[0]), moment, ahead, horizon)

    def grid(self, horizon: Horizon = 1) -> ForecastGrid:
        """Every bucket, or session, of the bars so far that the model could be asked about, and the next one."""
        key = self._key(self._histories, self.symbol)
        history = self._histories[key]
        if kind_of(horizon) == "total":
            return total_grid(history, self._totals_of(key, history.last_end).sessions, self.model.market)
        tables = self._tables_of(key)
        tables.measure(history.last_end)
        table = tables.of(key).table
        return forecast_grid(history, table, self.model.preset, self.model.market)

    def series(self, grid: ForecastGrid, horizon: Horizon = 1, *, allow_in_sample: bool) -> pd.DataFrame:
        """Forecasts of the rows of `grid` that have enough history; see `VolatilityForecaster.forecast_series`."""
        kind = kind_of(horizon)
        enough = grid.known >= (FEWEST_SESSIONS if kind == "total" else self.model.memory)
        seen = np.zeros(len(grid.labels), dtype=bool)
        if self.model.trained_through is not None:
            seen = np.asarray(grid.asof < self.model.trained_through)
        chosen = enough if allow_in_sample else enough & ~seen
        frame = self.rows(grid.where(chosen), horizon)
        if allow_in_sample:
            frame["in_sample"] = seen[chosen]
        frame.attrs["in_sample_left_out"] = 0 if allow_in_sample else int((enough & seen).sum())
        frame.attrs["without_history"] = int((~enough).sum())
        frame.attrs["horizon"], frame.attrs["kind"] = horizon, kind
        return frame

    def rows(self, grid: ForecastGrid, horizon: Horizon = 1) -> pd.DataFrame:
        """Forecasts of every row of a `grid` of this stream; columns as in `VolatilityForecaster.forecast_series`."""
        model = self.model
        key = self._key(self._histories, self.symbol)
        last_end = self._histories[key].last_end
        if kind_of(horizon) == "total":
            forecast = self._sound(self._totals_of(key, last_end).forecast(grid.known, str(horizon)))
            annualized = session = _annualized_total(forecast.volatility, horizon, self.model.market)
        else:
            tables = self._tables_of(key)
            tables.measure(last_end)
            forecast, session = tables.of(key).of(grid.labels.as_unit("us").asi8, grid.known, horizon)
            minutes = grid.minutes if horizon == 1 else horizon_minutes(grid.labels, horizon, model.market)
            year = minutes_per_year(model.preset, model.market, grid.labels.as_unit("us").asi8)
            annualized = annualize(forecast.volatility, minutes, year)
        return pd.DataFrame(
            {
                "asof": grid.asof,
                "volatility": forecast.volatility,
                "annualized_volatility": annualized,
                "lower": forecast.lower,
                "upper": forecast.upper,
                "model_version": model.version,
                "is_fallback": model.bundle is None,
                "deseasonalized_volatility": session,
            },
            index=grid.labels.rename("bucket"),
        )

    def _total(
        self, key: str | None, now: int, moment: pd.Timestamp, horizon: Horizon, *, allow_in_sample: bool
    ) -> Forecast:
        """Total volatility as of a `moment`, `now` in microseconds, from the sessions that had closed by then."""
        totals = self._totals_of(key, now)
        ahead = session_to_forecast(totals.sessions, now, self.model.market)
        if ahead.rows_before < FEWEST_SESSIONS:
            raise NotEnoughDataError(
                f"{counted(ahead.rows_before, 'session')} had closed by {moment}; total volatility needs "
                f"{FEWEST_SESSIONS}; give bars that begin earlier."
            )
        if not allow_in_sample:
            self.model.refuse_look_ahead(moment)
        forecast = self._sound(totals.forecast(np.array([ahead.rows_before]), str(horizon)))
        annualized = float(_annualized_total(forecast.volatility, horizon, self.model.market)[0])
        return Forecast(
            asof=moment,
            bucket=self.model.market.clock.time(ahead.label),
            volatility=float(forecast.volatility[0]),
            annualized_volatility=annualized,
            lower=float(forecast.lower[0]),
            upper=float(forecast.upper[0]),
            model_version=self.model.version,
            is_fallback=self.model.bundle is None,
            horizon=horizon,
            deseasonalized_volatility=annualized,
            kind="total",
        )

    def _totals_of(self, key: str | None, moment: int) -> RunningTotals:
        """What is forecast of a symbol's total volatility from the sessions that had closed by a moment."""
        history = self._histories[key]
        measure([history], moment)
        if key not in self._totals:
            if self.model.preset == "colab":
                raise ConfigError(
                    f"{self.model.version} measures hours of the clock, as the notebook did; total volatility is made "
                    "of sessions; train a model with the preset session, or ask without a model: 'ewma'."
                )
            name = self.symbol if key is None else key
            state = self.model.total_state(name)
            self._totals[key] = RunningTotals(state, history.table, self.model.market)
        self._totals[key].follow(moment)
        return self._totals[key]

    def _sound(self, forecast: IntervalForecast) -> IntervalForecast:
        return forecast if self.model.bundle is None else self.model.bundle.sound(forecast)

    def _key(self, present: Collection[str | None], symbol: str | None) -> str | None:
        """Whose bars are meant; None where they do not say whose they are."""
        if None in present:
            return None
        return self.model.symbol_of([str(name) for name in present], symbol)

    def _tables_of(self, key: str | None) -> "_OneTable | _ManyTables":
        """The tables of measures that a symbol is forecast from."""
        if self._tables is None:
            many = self.model.many
            if many is None:
                self._tables = _OneTable(self.model, self._histories[key])
            else:
                self._tables = _ManyTables(self.model, many, self._histories, self.symbol or self.model.symbol)
        return self._tables

    def _named(
        self, forecast: IntervalForecast, session: float, moment: pd.Timestamp, ahead: NextBucket, horizon: Horizon
    ) -> Forecast:
        market, minutes, volatility = self.model.market, ahead.minutes, float(forecast.volatility[0])
        bucket = market.clock.time(ahead.label)
        if horizon != 1:
            minutes = int(horizon_minutes(pd.DatetimeIndex([bucket]), horizon, market)[0])
        year = int(minutes_per_year(self.model.preset, market, np.array([ahead.label]))[0])
        return Forecast(
            asof=moment,
            bucket=bucket,
            volatility=volatility,
            annualized_volatility=float(annualize(volatility, minutes, year)),
            lower=float(forecast.lower[0]),
            upper=float(forecast.upper[0]),
            model_version=self.model.version,
            is_fallback=self.model.bundle is None,
            horizon=horizon,
            deseasonalized_volatility=session,
        )


class LiveStreams:
    """The streams behind forecasts from whole frames of bars, kept from call to call, and apart for each thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def forecast(
        self,
        model: ServedModel,
        bars: pd.DataFrame,
        symbol: str | None,
        asof: pd.Timestamp | None,
        horizon: Horizon,
        *,
        allow_in_sample: bool,
        overnight_bars: pd.DataFrame | None = None,
    ) -> Forecast:
        """The forecast of a model from those of `bars` that had ended by `asof`; see `VolatilityForecaster.forecast`.

        It costs the bars that are new since the call before.
        """
        streams: list[ForecastStream] = self._of_thread.__dict__.setdefault("streams", [])
        frames = (stream.followed for stream in streams if stream.followed is not None)
        arrays = FrameArrays.of(bars, next((frame for frame in frames if frame.has_columns_of(bars)), None))
        nights = (one.followed_overnight for one in streams if one.followed_overnight is not None)
        overnight = overnight_arrays(
            model, overnight_bars, next((frame for frame in nights if frame.has_columns_of(overnight_bars)), None)
        )
        name = symbol_named(symbol, arrays.attrs)
        model.warn_of_mismatch(arrays.attrs, arrays.names)
        stream = next((one for one in streams if one.model is model and one.begins_like(arrays, name)), None)
        if stream is None:
            model.warn_of_other_hours(arrays.frame)
            stream = ForecastStream(model, name if None in arrays.symbols else None)
        else:
            streams.remove(stream)
        streams.append(stream)
        del streams[:-_MOST_STREAMS]
        stream.follow(arrays, symbol, None if asof is None else asof.value // 1000, overnight)
        kind = kind_of(horizon)
        return stream.forecast(asof, horizon, symbol=symbol, allow_in_sample=allow_in_sample, kind=kind)


class _OneTable:
    """The table of a model of one symbol, or of none."""

    def __init__(self, model: ServedModel, history: HourlyHistory) -> None:
        self._history = history
        self._forecasts = TableForecasts(model, history.table, model.state)

    def measure(self, moment: int) -> None:
        """Bring it to a moment in microseconds."""
        measure([self._history], moment)

    def of(self, key: str | None) -> TableForecasts:
        """What is forecast from it as of the moment that it was measured to."""
        self._forecasts.forget(self._history.take_changed())
        return self._forecasts


class _ManyTables:
    """The tables of a model of many symbols, with the market's states beside each symbol's own measures."""

    def __init__(
        self,
        model: ServedModel,
        recipe: HarLstm,
        histories: Mapping[str | None, HourlyHistory],
        symbol: str | None,
    ) -> None:
        self._model, self._histories = model, histories
        self._shares = {
            key: SymbolShare(recipe, str(symbol or "") if key is None else key, history.table)
            for key, history in histories.items()
        }
        measures = model.measurement.names
        self._market = MarketStates(recipe.features, list(self._shares.values()), measures)
        names = [*measures, *recipe.features.market_columns]
        self._tables = {key: HourlyTable(names, model.market) for key in histories}
        # The first row, and the label of the first bucket of the market, from which each table is to be made anew.
        self._rows, self._labels = dict.fromkeys(histories, 0), dict.fromkeys(histories, NEVER)
        self._forecasts: dict[str | None, TableForecasts] = {}
        # The moment that all were measured to last, and their edition then.
        self._current: tuple[int, int] | None = None

    def measure(self, moment: int) -> None:
        """Bring the measures of all symbols, and with them the market, to a moment in microseconds."""
        if self._current == (moment, self._edition):
            return

        measure(self._histories.values(), moment)
        changed = {name: history.take_changed() for name, history in self._histories.items()}
        self._rows = {name: min(row, changed[name]) for name, row in self._rows.items()}
        since = self._market.follow(changed.values())
        if since < NEVER:
            self._labels = {name: min(label, since) for name, label in self._labels.items()}
        self._current = moment, self._edition

    def of(self, key: str | None) -> TableForecasts:
        """What is forecast of a symbol as of the moment that all were measured to."""
        forecasts, state = self._forecasts.get(key), self._shares[key].state
        if forecasts is None or forecasts.state is not state:
            forecasts = self._forecasts[key] = TableForecasts(self._model, self._tables[key], state)
        forecasts.forget(self._join(key))
        return forecasts

    @property
    def _edition(self) -> int:
        return sum(history.edition for history in self._histories.values())

    def _join(self, key: str | None) -> int:
        """Bring a symbol's table up to date; returns the first row that has changed, or is new."""
        table, hours = self._tables[key], self._histories[key].table
        begin = min(self._rows[key], int(table.labels.searchsorted(self._labels[key])))
        self._rows[key], self._labels[key] = len(hours), NEVER
        labels = hours.labels[begin:]
        if begin and self._model.measurement.nights:
            # It goes on after the row that it stands in.
            table.amend(np.array([begin - 1]), NIGHT_NAMES, hours.values[begin - 1 : begin, -len(NIGHT_NAMES) :])
        return table.replace(begin, labels, np.hstack([hours.values[begin:], self._market.states_at(labels)]))


def _annualized_total(volatility: Float64Array1D, horizon: Horizon, market: TradingMarket) -> Float64Array1D:
    # In sessions, of whatever length: nights accrue variance, too.
    sessions = np.full(len(volatility), float(TOTAL_HORIZONS[str(horizon)]))
    return annualize(volatility, sessions, market.sessions_per_year)


def _listed(symbols: Collection[str | None]) -> str:
    return ", ".join(name or "one symbol" for name in symbols) or "no symbol"
