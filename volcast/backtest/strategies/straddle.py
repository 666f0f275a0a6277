"""Volatility itself, bought where it is forecast above what options ask for and sold where it is below."""

from dataclasses import dataclass, field
from typing import ClassVar, cast

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D
from volcast.backtest.accounts import Costs
from volcast.backtest.joins import align_to
from volcast.backtest.market import Market
from volcast.backtest.options import OptionValue, european_option
from volcast.backtest.plan import Plan
from volcast.backtest.strategies.base import require_positive
from volcast.backtest.total_volatility import variance_over
from volcast.counts import counted
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.forecasters.horizons import TOTAL_HORIZONS

__all__ = ["StraddleTiming", "life_volatility", "steps_of"]

_REALIZED_SESSIONS = 22
_ASSUMED = (
    "Options are European, priced by Black and Scholes at one implied volatility for all strikes, without interest or "
    "dividends; time runs in steps of trading, a night in the step after it. There is no early exercise or assignment; "
    "at expiry a straddle is worth what exercising it brings, and pays the option's spread when it is closed."
)


@dataclass(frozen=True)
class StraddleTiming:
    """A delta-hedged straddle, at the money when it is opened: long above implied volatility, short below.

    Once an hour the volatility forecast over a new straddle's life is compared with what is implied. When its logarithm
    is above `enter` it is bought, below minus `enter` sold, and closed when it is back within `leave`. It is sized by
    vega, capped by premium, rolled into a new one at the money before it expires, and hedged with the symbol.

    Attributes
    ----------
    sessions_to_expiry
        Life of a straddle when it is opened.
    roll_sessions
        Sessions before expiry at which it is replaced by a new one; 0 holds it until it expires.
    enter, leave
        Band of the log of forecast over implied volatility: 0.1 is 10 %. `leave` is less than `enter`, so that one
        that hovers there is not traded to and fro.
    vega
        Change of the capital for one point (0.01) of implied volatility, as a share of the first capital.
    max_premium
        Most of the first capital that a straddle may cost, or bring.
    hedge
        ``"daily"``: its delta is hedged at each session's last hour; ``"band"``: whenever it is beyond `delta_band`.
    delta_band
        Delta of one straddle that is left unhedged under ``"band"``.
    implied_premium
        Where the market has no implied volatility of its own, it is this many times what was realized over the last
        22 sessions; the report says so.
    persistence
        Part of a day's variance above its mean that is expected to be there a session later, where no model forecasts
        the total volatility over the option's life.

    Raises
    ------
    ConfigError
        A setting breaks its rule.
    """

    title: ClassVar[str] = "straddle timing"
    target_volatility: ClassVar[float | None] = None

    sessions_to_expiry: int = 21
    roll_sessions: int = 5
    enter: float = 0.1
    leave: float = 0.03
    vega: float = 0.001
    max_premium: float = 0.1
    hedge: str = "daily"
    delta_band: float = 0.1
    implied_premium: float = 1.1
    persistence: float = 0.94

    def __post_init__(self) -> None:
        require_positive(
            sessions_to_expiry=self.sessions_to_expiry,
            enter=self.enter,
            vega=self.vega,
            max_premium=self.max_premium,
            delta_band=self.delta_band,
            implied_premium=self.implied_premium,
        )
        rules = (
            (
                "roll_sessions",
                0 <= self.roll_sessions < self.sessions_to_expiry,
                "0 or above, under sessions_to_expiry",
            ),
            ("leave", 0 <= self.leave < self.enter, "0 or above, under enter"),
            ("persistence", 0 <= self.persistence < 1, "0 or above, under 1"),
            ("hedge", self.hedge in ("daily", "band"), "'daily' or 'band'"),
        )
        for name, is_right, rule in rules:
            if not is_right:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; the rule is {rule}; change it.")

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Units of calls, puts and the symbol, step by step."""
        symbol = market.symbol
        steps = steps_of(market)
        signals = self._signals(market, pd.DatetimeIndex(steps.index))
        steps = steps.join(signals).dropna(subset=["forecast", "implied"])
        if len(steps) < 2:
            raise NotEnoughDataError(
                f"both forecast and implied volatility are there in {counted(len(steps), 'bucket')}; the rule is 2 at "
                "least; give bars that go on longer, or implied volatility for their span."
            )
        book = _Book(self, symbol, steps, market.trading.sessions_per_year)
        for row in range(len(steps)):
            book.step(row)
        orders, prices, decisions = book.frames()
        remarks = (_ASSUMED,) if symbol in market.implied else (_ASSUMED, self._premium_remark())
        return Plan(orders, prices, "units", frozenset(book.marks) - {symbol}, decisions, remarks)

    def _signals(self, market: Market, stamps: pd.DatetimeIndex) -> pd.DataFrame:
        symbol = market.symbol
        outlook = market.outlook[symbol]
        life = life_volatility(market, self.sessions_to_expiry, self.persistence)
        # Any label after `asof` will do: what is known when is all that is joined by.
        forecasts = outlook.assign(forecast=life).set_index(outlook["asof"] + pd.Timedelta(minutes=1))
        joined = align_to(forecasts[["asof", "forecast", "model_version"]], stamps)
        implied = market.implied[symbol] if symbol in market.implied else self._assumed_implied(market)
        row = pd.DatetimeIndex(implied.index).searchsorted(stamps, side="right") - 1
        values = np.where(row >= 0, implied.to_numpy(dtype=float)[np.maximum(row, 0)], np.nan)
        return joined[["forecast", "model_version"]].assign(implied=values)

    def _assumed_implied(self, market: Market) -> pd.Series:
        prices = market.prices[market.symbol]
        day = prices["variance"] + prices["night"].fillna(0.0) ** 2
        realized = np.sqrt(market.trading.sessions_per_year * day.rolling(_REALIZED_SESSIONS).mean().shift())
        return pd.Series((self.implied_premium * realized).to_numpy(), index=pd.DatetimeIndex(prices["opens_at"]))

    def _premium_remark(self) -> str:
        return (
            f"ASSUMED implied volatility: {self.implied_premium:g} times what was realized over the "
            f"{_REALIZED_SESSIONS} sessions before; no option was ever offered at these prices."
        )


def life_volatility(market: Market, sessions: int, persistence: float) -> pd.Series:
    r"""Annualized volatility forecast over the next `sessions`, as of each session's open, indexed by session.

    Where a model forecasts total volatility it is that, scaled from bars and nights to returns from close to close as
    the day's is. Where none does, a day's variance is expected to return to its mean so far, m: the mean over h = 0 to
    n - 1 of :math:`m + \phi^h (\hat\tau_t^2 - m)`, with `persistence` as :math:`\phi`.
    """
    outlook, prices = market.outlook[market.symbol], market.prices[market.symbol]
    day = prices["variance"] + prices["night"].fillna(0.0) ** 2
    mean = day.expanding().mean().shift().reindex(outlook.index)
    weight = float(np.mean(persistence ** np.arange(sessions)))
    variance = mean + weight * (outlook["volatility"] ** 2 - mean)
    if set(TOTAL_HORIZONS) <= set(outlook):
        day_over_total = (outlook["volatility"] / outlook["1 session"]) ** 2
        variance = (variance_over(outlook, sessions) / sessions * day_over_total).fillna(variance)
    return cast(pd.Series, np.sqrt(market.trading.sessions_per_year * variance)).rename("forecast")


def steps_of(market: Market) -> pd.DataFrame:
    """Hourly steps of the only symbol, indexed by the end of each bucket (market time).

    Columns `spot` (linked price of the last bar that had ended by then), `session` (naive date), `ends_session`.
    """
    path = market.paths[market.symbol]
    buckets = market.trading.bucket_table(path.index[0], path.index[-1])
    buckets = buckets[buckets["session"].isin(market.prices[market.symbol].index)]
    buckets = buckets[buckets.index <= path.index[-1]]
    row = path.index.searchsorted(buckets.index, side="right") - 1
    session = buckets["session"]
    spot = path.to_numpy()[row]
    return pd.DataFrame(
        {"spot": spot, "session": session, "ends_session": session.ne(session.shift(-1))}, index=buckets.index
    )


@dataclass
class _Book:
    """What is held, step by step: one straddle at the most, and the symbol against its delta."""

    rule: StraddleTiming
    symbol: str
    steps: pd.DataFrame
    year: int
    marks: dict[str, Float64Array1D] = field(default_factory=dict)
    held: dict[str, Float64Array1D] = field(default_factory=dict)
    side: int = 0
    units: float = 0.0
    shares: float = 0.0
    strike: float = 0.0
    expiry: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        self.spots = self.steps["spot"].to_numpy(dtype=float)
        self.implied = self.steps["implied"].to_numpy(dtype=float)
        self.signal = np.log(self.steps["forecast"].to_numpy(dtype=float) / self.implied)
        self.session = pd.factorize(self.steps["session"])[0]
        self.ends = self.steps["ends_session"].to_numpy(dtype=bool)
        self.marks[self.symbol] = self.spots
        self.held[self.symbol] = np.zeros(len(self.steps))
        self.delta = np.zeros(len(self.steps))
        self.sides = np.zeros(len(self.steps), dtype=int)
        self.hedged = np.zeros(len(self.steps), dtype=bool)

    def step(self, row: int) -> None:
        """Mark what is held, then trade what the rule asks for at this step."""
        side = self._side(self.signal[row])
        traded = False
        if self.side and (side != self.side or self._ends(row)):
            self._mark(row)
            self.side, self.units, traded = 0, 0.0, True
        if side and not self.side:
            self._open(row, side)
            traded = True
        delta = self._mark(row) if self.side else 0.0
        net = self.units * delta + self.shares
        due = self.ends[row] if self.rule.hedge == "daily" else abs(net) > self.rule.delta_band * abs(self.units)
        if traded or due:
            self.shares, net, self.hedged[row] = -self.units * delta, 0.0, True
        self._write(row, net)

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Orders, prices and decisions."""
        index = self.steps.index
        held, prices = pd.DataFrame(self.held, index=index), pd.DataFrame(self.marks, index=index)
        orders = held.where(held.diff().ne(0.0) & ~(held.eq(0.0) & held.shift(fill_value=0.0).eq(0.0)))
        # The first row stands, so that the books begin where the first decision could have been.
        orders.loc[index[0], self.symbol] = held[self.symbol].iloc[0]
        decisions = self.steps[["spot", "forecast", "implied", "model_version"]].assign(
            side=self.sides, net_delta=self.delta, hedged=self.hedged
        )
        return orders.dropna(how="all"), prices, decisions

    def _side(self, signal: float) -> int:
        if self.side and self.side * signal > self.rule.leave:
            return self.side
        return int(np.sign(signal)) if abs(signal) > self.rule.enter else 0

    def _ends(self, row: int) -> bool:
        """Whether the straddle is to be replaced, or expires."""
        left = int(self.expiry - self.session[row])
        return left <= self.rule.roll_sessions if self.rule.roll_sessions else self._years_left(row) == 0

    def _open(self, row: int, side: int) -> None:
        self.number += 1
        self.side, self.strike = side, self.spots[row]
        self.expiry = int(self.session[row]) + self.rule.sessions_to_expiry
        for kind in ("call", "put"):
            self.marks[self._name(kind)] = np.full(len(self.steps), np.nan)
            self.held[self._name(kind)] = np.zeros(len(self.steps))
        call, put = self._values(row)
        wanted = self.rule.vega / (0.01 * (call.vega + put.vega))
        self.units = side * min(wanted, self.rule.max_premium / (call.price + put.price))

    def _mark(self, row: int) -> float:
        """Write down what the straddle's options are worth at a step; returns its delta."""
        call, put = self._values(row)
        self.marks[self._name("call")][row], self.marks[self._name("put")][row] = call.price, put.price
        return call.delta + put.delta

    def _values(self, row: int) -> tuple[OptionValue, OptionValue]:
        years = self._years_left(row)
        call, put = (
            european_option(kind, self.spots[row], self.strike, years, self.implied[row]) for kind in ("call", "put")
        )
        return call, put

    def _years_left(self, row: int) -> float:
        """Sessions until the close of the last one, the part of this one that is over taken off, in years."""
        first = int(np.searchsorted(self.session, self.session[row], side="left"))
        last = int(np.searchsorted(self.session, self.session[row], side="right"))
        over = (row - first + 1) / (last - first)
        return max(float(self.expiry - self.session[row]) + 1 - over, 0.0) / self.year

    def _name(self, kind: str) -> str:
        return f"{self.symbol} {kind} {self.number}"

    def _write(self, row: int, net: float) -> None:
        self.held[self.symbol][row] = self.shares
        if self.side:
            for kind in ("call", "put"):
                self.held[self._name(kind)][row] = self.units
        self.delta[row], self.sides[row] = net, self.side
