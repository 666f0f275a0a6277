"""What a strategy may look at: bars, session forecasts, and what both say of each day ahead."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.backtest.plan import Plan
from volcast.backtest.prices import link_factors, regular_bars, session_prices
from volcast.backtest.total_volatility import day_volatility
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.frames import as_bars_frame
from volcast.counts import counted
from volcast.errors import ConfigError, LookAheadError, NotEnoughDataError
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET
from volcast.markets.registry import market_named

__all__ = ["Market"]

_FEWEST_SESSIONS = 2


@dataclass(frozen=True)
class Market:
    """Bars and forecasts of one symbol or of several, on the sessions that all of them have.

    Attributes
    ----------
    bars
        By symbol: the bars of regular sessions, see `prices.regular_bars`.
    forecasts
        By symbol: `VolatilityForecaster.forecast_series` with ``horizon="session_end"``, and where the model forecasts
        total volatility a column for each of its horizons, see `forecasts.model_forecasts`.
    calendar
        Name of the exchange in `exchange_calendars`.
    implied
        By symbol: annualized implied volatility (decimal), indexed by the moment from which it is known; empty where
        there is none.
    simulated
        Whether the bars are simulated.
    """

    bars: Mapping[str, pd.DataFrame]
    forecasts: Mapping[str, pd.DataFrame]
    trading: TradingMarket = field(default_factory=lambda: market_named(DEFAULT_MARKET))
    implied: Mapping[str, pd.Series] = field(default_factory=dict)
    simulated: bool = False

    @classmethod
    def of(
        cls,
        bars: pd.DataFrame,
        forecasts: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
        *,
        market: str | TradingMarket | None = None,
        implied: pd.Series | None = None,
    ) -> "Market":
        """The market of a frame of bars.

        Parameters
        ----------
        bars
            One symbol's bars, or those of several, indexed by (symbol, timestamp); stamped at their start, tz-aware.
        forecasts
            What `VolatilityForecaster.forecast_series` made of them with ``horizon="session_end"``; of several symbols
            by their names. None of them of a moment that the model has seen in training. None is a market without
            an outlook, in which symbols can only be held.
        market
            Whose hours they are, by name or itself: see `markets.registry`. None is that of the symbol, of several
            the first one's, see `markets.names`.
        implied
            Of one symbol: annualized implied volatility, indexed by the moment (tz-aware) from which it is known.

        Raises
        ------
        ConfigError
            Forecasts are of another horizon, or of other symbols than the bars.
        LookAheadError
            There are forecasts that the model has seen.
        BarsError
            The bars are unusable.
        """
        bars = as_bars_frame(bars, market=market)
        trading = market_of_bars(bars, market=market)
        frames = _by_symbol(bars)
        if isinstance(forecasts, pd.DataFrame):
            forecasts = {next(iter(frames)): forecasts}
        tables = dict(forecasts or {})
        if forecasts is not None and tables.keys() != frames.keys():
            raise ConfigError(
                f"there are forecasts of {', '.join(tables)} and bars of {', '.join(frames)}; each symbol needs both; "
                "pass forecasts by symbol for bars of several."
            )
        for table in tables.values():
            _require_session_forecasts(table)
        regular = _on_joint_sessions({name: regular_bars(frame, trading) for name, frame in frames.items()})
        simulated = bool(bars.attrs.get("simulated", False))
        volatility = {} if implied is None else {next(iter(frames)): implied}
        return cls(regular, tables, trading, volatility, simulated)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names, in the order of the bars."""
        return tuple(self.bars)

    @property
    def symbol(self) -> str:
        """The name of the only symbol.

        Raises
        ------
        ConfigError
            There are several.
        """
        if len(self.bars) != 1:
            raise ConfigError(
                f"there are bars of {', '.join(self.bars)}; this strategy trades one symbol; give bars of one."
            )
        return next(iter(self.bars))

    @cached_property
    def prices(self) -> Mapping[str, pd.DataFrame]:
        """By symbol: `prices.session_prices`."""
        return {name: session_prices(frame, self.trading) for name, frame in self.bars.items()}

    @cached_property
    def outlook(self) -> Mapping[str, pd.DataFrame]:
        """By symbol, what is expected of each session and the night beside it, as of the session's open.

        DataFrames indexed by session (naive date): `asof` (its open, market time), `session_volatility` (forecast, of
        its hours, not annualized), `volatility` (forecast, of a day from close to close, not annualized),
        `annualized_volatility` (of the same), `model_version`, and, where they are forecast, total volatilities over
        the horizons, not annualized. Sessions without a forecast, or without the 22 sessions before that the night's
        share needs, are absent.
        """
        return {name: self._outlook(name) for name in self.bars}

    @cached_property
    def factors(self) -> Mapping[str, pd.Series]:
        """By symbol: what prices of a session are multiplied by, see `prices.link_factors`."""
        return {name: link_factors(prices) for name, prices in self.prices.items()}

    @cached_property
    def holes(self) -> pd.DataFrame:
        """Where sessions are missing, or a future rolled: `last` close before and `first` open after (market time)."""
        prices = self.prices[self.symbols[0]]
        after = np.flatnonzero(prices["hole"].to_numpy())
        return pd.DataFrame(
            {
                "last": pd.DatetimeIndex(prices["closes_at"].iloc[after - 1]),
                "first": pd.DatetimeIndex(prices["opens_at"].iloc[after]),
            }
        )

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Linked prices of all symbols (columns) at each open and at each bar's end, the market's time."""
        return pd.concat({name: self._path(name) for name in self.bars}, axis=1).sort_index().ffill()

    def sessions_of(self, moments: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """The session (naive date) that closes first, at each of the moments (tz-aware) or after it."""
        sessions = self.trading.sessions
        days = sessions.session[sessions.close.searchsorted(moments.as_unit("us").asi8)]
        return pd.DatetimeIndex(days.astype("M8[D]").astype("M8[us]"))

    def during(self, closes: pd.DatetimeIndex) -> "Market":
        """The market in those of its sessions that close at the moments `closes`, or soon after them.

        Raises
        ------
        NotEnoughDataError
            There is none.
        """
        days = self.sessions_of(closes)
        bars = {name: frame[frame["session"].isin(days)] for name, frame in self.bars.items()}
        if any(frame.empty for frame in bars.values()):
            raise NotEnoughDataError(
                f"there are no bars of {', '.join(bars)} between {days[0]:%Y-%m-%d} and {days[-1]:%Y-%m-%d}; what is "
                "compared must have been there at one time; give bars of that span."
            )
        return replace(self, bars=bars)

    def plan_for(
        self, positions: pd.DataFrame, decisions: pd.DataFrame | None = None, remarks: tuple[str, ...] = ()
    ) -> Plan:
        """The plan to hold `positions`, traded at the first price to be had from each decision on.

        An order that finds no bar of its symbol until the session ends is not traded.

        Parameters
        ----------
        positions
            Shares of capital, a column a symbol, indexed by the moment of the decision; NaN leaves a symbol as it is.
        decisions, remarks
            As in `Plan`.

        Raises
        ------
        NotEnoughDataError
            Fewer than two sessions can be traded.
        """
        traded = {str(name): self._execution(str(name), pd.DatetimeIndex(positions.index)) for name in positions}
        executions = pd.DataFrame(traded, index=positions.index)
        orders = positions.where(executions.notna()).dropna(how="all")
        marks = self._marks(list(positions.columns))
        if orders.empty or (marks.index > orders.index[0]).sum() < _FEWEST_SESSIONS:
            raise NotEnoughDataError(
                f"{0 if orders.empty else int((marks.index > orders.index[0]).sum())} session(s) left to trade; the "
                f"rule is at least {_FEWEST_SESSIONS}; give bars that go on longer, or take a model trained on less."
            )
        prices = pd.concat([executions.loc[orders.index], marks[marks.index > orders.index[0]]]).sort_index(
            kind="stable"
        )
        # Where one session begins as another ends, that moment has one price: the one that is traded at.
        prices = prices[~prices.index.duplicated()]
        missed = int(positions.notna().any(axis=1).sum()) - len(orders)
        if missed:
            remarks = (*remarks, f"{counted(missed, 'decision')} found no bar to be traded at.")
        shown = pd.DataFrame() if decisions is None else decisions
        return Plan(orders, prices.ffill(), decisions=shown, remarks=remarks)

    def _outlook(self, name: str) -> pd.DataFrame:
        table, prices = self.forecasts[name], self.prices[name]
        asof = pd.DatetimeIndex(table["asof"]).tz_convert(self.trading.zone)
        opens = self.trading.schedule(prices["opens_at"].iloc[0], prices["opens_at"].iloc[-1])["open"]
        session = pd.Series(opens.index, index=pd.DatetimeIndex(opens)).reindex(asof)
        rows = table.assign(asof=asof).set_axis(pd.DatetimeIndex(session, name="session"))
        rows = rows[rows.index.notna() & rows.index.isin(prices.index)]
        totals = rows[[column for column in TOTAL_HORIZONS if column in rows]]
        days = day_volatility(rows["volatility"], prices, totals.get("1 session"))
        outlook = pd.DataFrame(
            {
                "asof": rows["asof"],
                "session_volatility": rows["volatility"],
                "volatility": days,
                "annualized_volatility": days * self.trading.sessions_per_year**0.5,
                "model_version": rows["model_version"],
            }
        )
        return outlook.join(totals).dropna(subset=["volatility"])

    def _path(self, name: str) -> pd.Series:
        bars, prices = self.bars[name], self.prices[name]
        factor = self.factors[name]
        ends = pd.Series(bars["close"].to_numpy() * factor.reindex(bars["session"]).to_numpy(), index=bars.index)
        ends.index = time_index(ends) + bar_length(time_index(bars))
        opens = pd.Series((prices["open"] * factor).to_numpy(), index=pd.DatetimeIndex(prices["opens_at"]))
        path = pd.concat([opens, ends])
        return path[~path.index.duplicated()].sort_index()

    def _execution(self, name: str, moments: pd.DatetimeIndex) -> pd.Series:
        """Linked open (close where there is none) of the first bar from each moment on in its session, or NaN."""
        bars = self.bars[name]
        row = bars.index.searchsorted(moments, side="left")
        inside = row < len(bars)
        row = np.minimum(row, len(bars) - 1)
        session = bars["session"].to_numpy()[row]
        inside &= session == self.trading.dates(moments).to_numpy()
        closes = bars["close"]
        price = bars.get("open", closes).fillna(closes).to_numpy(dtype=float)[row]
        return pd.Series(np.where(inside, price * self.factors[name].reindex(session).to_numpy(), np.nan), moments)

    def _marks(self, names: list[str]) -> pd.DataFrame:
        """Linked closes of the symbols, a session a row, indexed by the end of the latest of their last bars."""
        ends = reduce(np.maximum, [self.prices[name]["closes_at"].to_numpy() for name in names])
        index = pd.DatetimeIndex(ends).tz_convert(self.trading.zone)
        closes = {name: (self.prices[name]["close"] * self.factors[name]).to_numpy() for name in names}
        return pd.DataFrame(closes, index=index)


def _by_symbol(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if isinstance(bars.index, pd.MultiIndex):
        return {
            str(name): cast(pd.DataFrame, bars.xs(name, level=0)) for name in bars.index.get_level_values(0).unique()
        }
    return {str(bars.attrs.get("symbol", "the symbol")): bars}


def _require_session_forecasts(table: pd.DataFrame) -> None:
    if table.attrs.get("horizon", "session_end") != "session_end":
        raise ConfigError(
            f"the forecasts are of the horizon {table.attrs['horizon']!r}; a backtest looks at the session ahead; make "
            'them by forecast_series(bars, horizon="session_end").'
        )
    if "in_sample" in table and table["in_sample"].any():
        raise LookAheadError(
            "there are forecasts of what the model has seen in training, "
            f"{counted(int(table['in_sample'].sum()), 'bucket')} of {len(table):,}; a backtest may trade none of "
            "these; make the forecasts without allow_in_sample."
        )


def _on_joint_sessions(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    sessions = [frame["session"].unique() for frame in frames.values()]
    joint = reduce(np.intersect1d, [days.astype("datetime64[ns]") for days in sessions])
    if not len(joint):
        raise NotEnoughDataError(
            f"there is no session of which {', '.join(frames)} all have bars; a portfolio needs them at one time; give "
            "bars of one span."
        )
    return {name: frame[frame["session"].isin(joint)] for name, frame in frames.items()}
