"""What a person sees of a backtest in a terminal: a verdict, tables, and a forecast in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd
from rich.table import Table

from volcast.arrays import time_index
from volcast.backtest.engine import Backtest, Run
from volcast.counts import counted
from volcast.evaluation.report.tables import figures_of
from volcast.forecaster import FALLBACK, Forecast
from volcast.markets.clocks import clock_of

__all__ = [
    "FIGURES",
    "Figure",
    "describe_backtest",
    "describe_forecast",
    "describe_hole",
    "figures_table",
    "number",
    "statistics_table",
    "verdict",
]

_NONE = "-"
_BEYOND_CHANCE = 1.96
_QUALITY = ("QLIKE", "to log-HAR", "R2")


@dataclass(frozen=True)
class Figure:
    """How one of the statistics is shown: its title, its form, and what it means."""

    title: str
    form: str
    says: str


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "total_return": Figure("total return", "{:+.1%}", "after costs, from the first trade on"),
        "annual_return": Figure(
            "return a year", "{:+.1%}", "compounded, of a market's year of sessions that were traded"
        ),
        "annual_volatility": Figure("volatility a year", "{:.1%}", "of returns from close to close"),
        "volatility_to_target": Figure("volatility to target", "{:.3f}", "1 is on target"),
        "volatility_to_target_error": Figure("its sampling error", "{:.3f}", "two of these either way may be chance"),
        "tracking_error": Figure("tracking error", "{:.1%}", "of a session's realized volatility"),
        "sharpe": Figure("Sharpe ratio", "{:.2f}", "return over volatility, without interest"),
        "sharpe_error": Figure("its standard error", "{:.2f}", "Lo 2002: two of these either way may be chance"),
        "sortino": Figure("Sortino ratio", "{:.2f}", "return over the volatility of losses alone"),
        "max_drawdown": Figure("worst loss from a peak", "{:.1%}", "of the capital, at a session's close"),
        "calmar": Figure("Calmar ratio", "{:.2f}", "return a year over that loss"),
        "mean_exposure": Figure("mean exposure", "{:.0%}", "value held at the close, over the capital"),
        "turnover_a_year": Figure("turnover a year", "{:.1f}", "what was traded, in multiples of the capital"),
        "costs_a_year": Figure("costs a year", "{:.2%}", "commission and spread, of the capital"),
        "trades": Figure("trades", "{:,.0f}", "orders that were carried out"),
    }
)
"""The statistics that are shown, by their names, in this order."""


def verdict(backtest: Backtest) -> str:
    """One sentence: what the forecasts were worth to the strategy, or that nobody can say."""
    figures = backtest.strategy.statistics
    earned = f"Sharpe ratio {figures['sharpe']:.2f} (standard error {figures['sharpe_error']:.2f})"
    gain, t_value = backtest.gain_over_twin
    if not math.isfinite(gain):
        return f"{earned}; there is no other forecast to compare with."
    if not math.isfinite(t_value):
        return f"{earned}; with the EWMA's forecasts it would have done the same."
    sure = "beyond chance" if abs(t_value) > _BEYOND_CHANCE else "which may be chance"
    side = "more" if gain >= 0 else "less"
    worth, of_what = ("earned", "") if backtest.trades_options else ("was worth", "of utility ")
    return (
        f"{earned}; by these forecasts it {worth} {abs(100 * gain):.2f} points {of_what}a year {side} than by the "
        f"EWMA's, after costs (t = {t_value:.1f}), {sure}."
    )


def statistics_table(backtest: Backtest) -> Table:
    """The statistics of the strategy beside the same on the EWMA's forecasts, and beside its benchmark's."""
    symbols = ", ".join(backtest.market.symbols)
    title = f"{'SIMULATED ' if backtest.market.simulated else ''}{symbols}, {backtest.strategy.name}, after costs"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for run in backtest.runs:
        table.add_column(run.name, justify="right")
    for name, figure in FIGURES.items():
        values = [run.statistics.get(name, math.nan) for run in backtest.runs]
        if any(map(math.isfinite, values)):
            table.add_row(figure.title, *(number(figure.form, value) for value in values))
    return table


def describe_backtest(backtest: Backtest) -> list[str]:
    """What was traded when and how, and what was cut out or left out: a few sentences."""
    sessions, costs = backtest.strategy.sessions, backtest.costs
    days = backtest.market.sessions_of(time_index(sessions))
    lines = [
        f"Traded in {counted(len(sessions), 'session')} from {_day(days[0])} to {_day(days[-1])}; a trade "
        f"costs {counted(costs.trade_bps, 'basis point')}; cash earns nothing and borrowing "
        "costs nothing.",
        *_forecast_by(backtest.strategy),
    ]
    lines += [
        describe_hole(backtest, _day(last), _day(first))
        for last, first in backtest.market.holes.itertuples(index=False)
        if sessions.index[0] < first <= sessions.index[-1]
    ]
    return [*lines, *backtest.strategy.plan.remarks]


def describe_hole(backtest: Backtest, last: str, first: str) -> str:
    """What is cut out between the `last` close before a hole and the `first` open after it, in a sentence."""
    reason = "No sessions, or a roll to another contract," if backtest.market.trading.rolls else "No sessions"
    return f"{reason} between {last} and {first}: what prices did meanwhile is cut out."


def _forecast_by(run: Run) -> list[str]:
    versions = run.model_versions
    if len(versions) < 2:
        return [f"Forecasts by {name}." for name in versions]
    return [f"Forecasts by {len(versions)} models one after the other, from {versions[0]} to {versions[-1]}."]


def describe_forecast(forecast: Forecast, *, simulated: bool) -> str:
    """One sentence: a forecast with its interval, moment and model version."""
    interval = ""
    if math.isfinite(forecast.lower) and math.isfinite(forecast.upper):
        interval = f" (90 %: {forecast.lower:.2%} to {forecast.upper:.2%})"
    mark = "SIMULATED bars: forecast" if simulated else "Forecast"
    return (
        f"{mark} as of {forecast.asof:%Y-%m-%d %H:%M} {clock_of(str(forecast.asof.tz)).place} for the bucket that ends "
        f"{forecast.bucket:%Y-%m-%d %H:%M}: volatility {forecast.volatility:.2%}{interval}, "
        f"annualized {forecast.annualized_volatility:.1%}, by {forecast.model_version}."
    )


def figures_table(old: Mapping[str, Any], new: Mapping[str, Any]) -> Table:
    """Test figures of the model that served and of the new one, from their `model_info`.

    Each model was judged on a test part of its own, so what compares is the ratio to the log-HAR on the same buckets.
    The fallback is judged on the new model's.
    """
    columns = [_figures_column(info, new) for info in (old, new)]
    table = Table(title="Figures on the test part of each model", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("old model", justify="right", overflow="fold")
    table.add_column("new model", justify="right", overflow="fold", style="bold")
    for heading in columns[0]:
        table.add_row(heading, *(column[heading] for column in columns))
    return table


def number(form: str, value: float) -> str:
    """`value` in its form, or a dash where it is no number."""
    return form.format(value) if math.isfinite(value) else _NONE


def _figures_column(info: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    fallback = info["version"] == FALLBACK
    tested = new if fallback else info
    evaluation = tested.get("evaluation") or {}
    row = evaluation.get("metrics", {}).get("diurnal_ewma" if fallback else "model", {})
    return {
        "version": info["version"],
        "tested on": f"{'SIMULATED ' if tested.get('simulated') else ''}{tested.get('symbol') or _NONE}",
        "from": evaluation.get("first", _NONE)[:10],
        "to": evaluation.get("last", _NONE)[:10],
        "buckets": f"{evaluation['buckets']:,}" if evaluation else _NONE,
    } | {heading: figure or _NONE for heading, figure in zip(_QUALITY, figures_of(row, _QUALITY), strict=True)}


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d}"
