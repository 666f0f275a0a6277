"""Runs a strategy: from its plan to an account, returns by session, and figures; beside it EWMA and buy-and-hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.backtest.accounts import Account, Costs, keep_account
from volcast.backtest.figures import (
    PICTURES,
    Picture,
    curves_of_runs,
    curves_of_volatility,
    draw_curves,
    marks_of,
)
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.prices import close_to_close_returns
from volcast.backtest.statistics import (
    RealizedUtility,
    mean_difference_t,
    performance,
    tracking_error,
    volatility_standard_error,
)
from volcast.backtest.strategies.base import Strategy
from volcast.backtest.strategies.buy_and_hold import BuyAndHold
from volcast.markets.names import DEFAULT_YEAR
from volcast.pictures import axes_or_new, require_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BENCHMARK", "Backtest", "Run", "best_volatility", "run_backtest", "run_strategy"]

BENCHMARK = BuyAndHold.title
"""Name of the usual benchmark's run."""


@dataclass(frozen=True)
class Run:
    """What one strategy did, and what became of its capital.

    Attributes
    ----------
    name
        Of the strategy.
    target_volatility
        Annualized, decimal; None where it aims at none.
    plan
        Its orders and prices.
    account
        Its books.
    sessions
        A row a session that was traded, indexed by its close (market time): `equity` (after costs, 1.0 before the
        first trade), `return` (simple, over the session and the night before it), `variance` (realized, of these
        returns: squared log returns of the capital from bar to bar), `costs` (share of the capital), `turnover` (what
        was traded, in multiples of the capital), `exposure` (value of what is held at the close, over the capital).
    year
        Sessions of a year of the market.
    """

    name: str
    target_volatility: float | None
    plan: Plan
    account: Account
    sessions: pd.DataFrame
    year: int = DEFAULT_YEAR

    @property
    def trades(self) -> pd.DataFrame:
        """The account's trades, each with the version of the model whose forecast it was made on."""
        trades = self.account.trades
        if "model_version" not in self.plan.decisions:
            return trades
        decided = self.plan.decisions["model_version"]
        row = decided.index.searchsorted(trades.index, side="right") - 1
        return trades.assign(model_version=decided.to_numpy()[np.maximum(row, 0)])

    @property
    def model_versions(self) -> tuple[str, ...]:
        """Names of the models whose forecasts it traded by, in order; none where its decisions do not say."""
        decisions = self.plan.decisions
        return tuple(map(str, decisions["model_version"].unique())) if "model_version" in decisions else ()

    @cached_property
    def statistics(self) -> dict[str, float]:
        """`statistics.performance`, and ``turnover_a_year`` (multiples of capital), ``costs_a_year``, ``trades``,
        ``mean_exposure``; where there is a target ``volatility_to_target`` (1.0 is on target), its
        ``volatility_to_target_error`` and ``tracking_error``.
        """
        sessions = self.sessions
        years = len(sessions) / self.year
        figures = performance(sessions["return"], self.year)
        figures |= {
            "turnover_a_year": float(sessions["turnover"].sum()) / years,
            "costs_a_year": float(sessions["costs"].sum()) / years,
            "trades": float(len(self.account.trades)),
            "mean_exposure": float(sessions["exposure"].mean()),
        }
        if self.target_volatility is not None:
            figures["volatility_to_target"] = figures["annual_volatility"] / self.target_volatility
            error = volatility_standard_error(sessions["return"], self.year)
            figures["volatility_to_target_error"] = error / self.target_volatility
            figures["tracking_error"] = tracking_error(sessions["variance"], self.target_volatility, self.year)
        return figures

    def utility(self, target_volatility: float) -> pd.Series:
        """`statistics.RealizedUtility` of each session, net of costs, annualized."""
        return RealizedUtility(target_volatility, year=self.year).of(self.sessions["variance"], self.sessions["costs"])


@dataclass(frozen=True)
class Backtest:
    """A strategy's run beside that of the same strategy on other forecasts, and beside its benchmark.

    Attributes
    ----------
    strategy
        The run that was asked for.
    twin
        The same strategy on the EWMA's forecasts of the same bars; None where that is what was asked for.
    benchmark
        What it is held against, from the first trade on: see `run_backtest`.
    market
        What was traded.
    costs
        What it cost.
    """

    strategy: Run
    twin: Run | None
    benchmark: Run
    market: Market
    costs: Costs

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the strategy's first."""
        return tuple(run for run in (self.strategy, self.twin, self.benchmark) if run is not None)

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """A row a figure, a column a run; NaN where a run has none."""
        return pd.DataFrame({run.name: run.statistics for run in self.runs})

    @property
    def trades_options(self) -> bool:
        """Whether the strategy trades options, which count by their returns, not by the volatility that is held."""
        return bool(self.strategy.plan.options)

    @cached_property
    def gain_over_twin(self) -> tuple[float, float]:
        """What the forecasts were worth in a year above the twin's (0.01 is a point), and its t; NaN without a twin.

        The mean difference of net utility (see `statistics.RealizedUtility`); of returns where options are traded.
        """
        if self.twin is None:
            return math.nan, math.nan
        first, second = (self._worth(run) for run in (self.strategy, self.twin))
        return float((first - second).mean()), mean_difference_t(first, second)

    def _worth(self, run: Run) -> pd.Series:
        if self.trades_options:
            return run.sessions["return"] * run.year
        return run.utility(best_volatility(self.strategy, self.market))

    def curves(self, picture: Picture = "capital") -> pd.DataFrame:
        """What `plot` draws: indexed by the close of each session that was traded (market time).

        Parameters
        ----------
        picture
            As in `plot`.

        Returns
        -------
        A column a run, named after it, the strategy's first; of ``"exposure"`` the strategy's alone. Of
        ``"volatility"`` the columns are the forecast as of each open, the root of the mean realized variance of five
        sessions, what options implied and the target, where there are any.
        """
        require_picture(picture, PICTURES)
        if picture == "volatility":
            target, closes = self.strategy.target_volatility, time_index(self.strategy.sessions)
            return curves_of_volatility(self.market, self.strategy.plan, target, closes)
        return curves_of_runs({run.name: run.sessions for run in self.runs}, self.market, picture)

    def plot(self, picture: Picture = "capital", *, ax: "Axes | None" = None) -> "Axes":
        """Draw one of the pictures of the report.

        Parameters
        ----------
        picture
            ``"capital"``, after costs; ``"drawdown"``, the loss from the peak before; ``"exposure"`` of the strategy;
            ``"volatility"`` of the first symbol, forecast and realized; ``"costs"``, summed up. Where sessions are
            missing, and where a new model begins to serve, it is marked.
        ax
            Axes of Matplotlib's to draw on; None makes a figure, which a notebook shows.

        Returns
        -------
        The axes, for titles and limits; ``axes.figure.savefig("picture.png")`` saves them.

        Raises
        ------
        ConfigError
            There is no such picture, or `ax` is no axes.
        MissingPackageError
            Matplotlib is not installed.
        """
        curves = self.curves(picture)
        axes = axes_or_new(ax)
        draw_curves(axes, curves, picture, marks_of(self.market, self.strategy.plan, time_index(curves)))
        return axes

    def to_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON; None for what is no number."""
        gain, t_value = self.gain_over_twin
        sessions = self.strategy.sessions
        return {
            "strategy": self.strategy.name,
            "symbols": list(self.market.symbols),
            "simulated": self.market.simulated,
            "first": sessions.index[0].isoformat(),
            "last": sessions.index[-1].isoformat(),
            "sessions": len(sessions),
            "costs": {"trade_bps": self.costs.trade_bps, "option_share": self.costs.option_share},
            "statistics": {name: _numbers(figures) for name, figures in self.statistics.items()},
            "gain_over_twin": {
                "of": "return" if self.trades_options else "net utility",
                **_numbers({"a_year": gain, "t": t_value}),
            },
            "holes": [[str(first), str(last)] for first, last in self.market.holes.itertuples(index=False)],
            "model_versions": list(self.strategy.model_versions),
            "remarks": list(self.strategy.plan.remarks),
        }


def run_strategy(strategy: Strategy, market: Market, costs: Costs | None = None, name: str | None = None) -> Run:
    """Trade `market` as `strategy` plans, paying `costs` (None: the usual ones).

    Raises
    ------
    VolatilityError
        What the strategy cannot do with this market.
    """
    costs = costs or Costs()
    plan = strategy.plan(market, costs)
    account = keep_account(plan, costs)
    sessions, year = _sessions(plan, account, market), market.trading.sessions_per_year
    return Run(name or strategy.title, strategy.target_volatility, plan, account, sessions, year)


def best_volatility(run: Run, market: Market) -> float:
    """Annualized volatility that is best for the investor by whom a run is judged: its target.

    Where it has none, what holding the market's symbols in equal parts came to in the sessions that were traded.
    """
    if run.target_volatility is not None:
        return run.target_volatility
    held = pd.concat([close_to_close_returns(prices) for prices in market.prices.values()], axis=1).mean(axis=1)
    days = market.sessions_of(time_index(run.sessions))
    return float(held[held.index.isin(days)].std() * run.year**0.5)


def run_backtest(
    strategy: Strategy,
    market: Market,
    costs: Costs | None = None,
    twin_forecasts: Mapping[str, pd.DataFrame] | None = None,
    benchmark: Market | Literal["cash"] | None = None,
) -> Backtest:
    """Run `strategy` beside its benchmark and, where there are `twin_forecasts`, beside itself on these.

    Parameters
    ----------
    strategy
        The rule.
    market
        Bars and forecasts.
    costs
        What trading costs; None is one basis point, and one percent of an option's price.
    twin_forecasts
        The EWMA's forecasts of the same bars, by symbol; where these begin earlier, only the sessions that `market`
        has forecasts of are traded.
    benchmark
        Other symbols' bars, which are bought and held; ``"cash"`` holds nothing. None buys and holds the market's own.

    Raises
    ------
    VolatilityError
        What the strategy cannot do with this market; the benchmark has no bars in its sessions.
    """
    costs = costs or Costs()
    run = run_strategy(strategy, market, costs)
    beside = _benchmark_run(benchmark, run, market, costs)
    twin = None
    if twin_forecasts is not None:
        tables = {name: _of_the_same_moments(twin_forecasts[name], market.forecasts[name]) for name in market.symbols}
        twin = run_strategy(strategy, replace(market, forecasts=tables), costs, f"{strategy.title} by EWMA")
    return Backtest(run, twin, beside, market, costs)


def _benchmark_run(benchmark: Market | Literal["cash"] | None, run: Run, market: Market, costs: Costs) -> Run:
    since = run.plan.orders.index[0]
    if isinstance(benchmark, Market):
        name = f"{BENCHMARK} {', '.join(benchmark.symbols)}"
        return run_strategy(BuyAndHold(since), benchmark.during(time_index(run.sessions)), costs, name)
    if benchmark is None:
        return run_strategy(BuyAndHold(since), market, costs)
    return run_strategy(BuyAndHold(since, part=0.0), market, costs, benchmark)


def _of_the_same_moments(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return table[table["asof"].isin(other["asof"])]


def _sessions(plan: Plan, account: Account, market: Market) -> pd.DataFrame:
    """See `Run.sessions`."""
    values = account.values
    day = market.sessions_of(time_index(values))
    last = values.groupby(day).tail(1)
    equity = last.to_numpy(dtype=float)
    held = (account.units * plan.prices).reindex(last.index).sum(axis=1)
    sessions = pd.DataFrame({"equity": equity}, index=last.index.rename("close"))
    sessions["return"] = equity / np.append(1.0, equity[:-1]) - 1.0
    sessions["variance"] = _variance(plan, account, market).reindex(day.unique()).fillna(0.0).to_numpy()
    capital = values.reindex(account.trades.index)
    traded = market.sessions_of(time_index(account.trades))
    for name, column in (("costs", "cost"), ("turnover", "value")):
        shares = pd.Series((account.trades[column] / capital).to_numpy(), index=traded).groupby(level=0).sum()
        sessions[name] = shares.reindex(day.unique()).fillna(0.0).to_numpy()
    sessions["exposure"] = held.to_numpy(dtype=float) / equity
    return sessions


def _variance(plan: Plan, account: Account, market: Market) -> pd.Series:
    """Realized variance of the capital by session (naive date), the night before it included."""
    path = _capital_path(plan, account, market)
    steps = cast(pd.Series, np.log(path)).diff() ** 2
    return steps.groupby(market.sessions_of(time_index(steps))).sum()


def _capital_path(plan: Plan, account: Account, market: Market) -> pd.Series:
    """Capital at each bar's end, as it was before the trades of that moment; for options, at the plan's own moments."""
    if not set(plan.prices.columns) <= set(market.symbols):
        return account.values
    moments = plan.prices.index
    paths = market.paths[list(plan.prices.columns)]
    paths = paths[(paths.index > moments[0]) & (paths.index <= moments[-1])]
    row = moments.searchsorted(paths.index, side="left") - 1
    cash = account.values - (account.units * plan.prices).sum(axis=1)
    held = (account.units.to_numpy()[row] * paths.to_numpy()).sum(axis=1)
    path = pd.Series(cash.to_numpy()[row] + held, index=paths.index)
    return cast(pd.Series, pd.concat([account.values.iloc[:1], path]))


def _numbers(figures: Mapping[str, float] | pd.Series) -> dict[str, float | None]:
    return {str(name): float(value) if math.isfinite(value) else None for name, value in figures.items()}
