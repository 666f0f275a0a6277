"""What a person sees of a backtest: a table, a forecast in words, and a picture."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.table import Table

from volcast.backtest.strategies import BENCHMARK, STRATEGY, VolatilityBacktest
from volcast.evaluation.report.tables import figures_of
from volcast.files import file_name_of, write_whole
from volcast.forecaster import FALLBACK, Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["describe_backtest", "describe_forecast", "figures_table", "save_picture", "statistics_table"]

_STRATEGY_COLOUR, _BENCHMARK_COLOUR = "#c2410c", "#7a7a7a"
_ROWS = {
    "total_return": ("total return", "{:+.1%}"),
    "annual_return": ("return a year", "{:+.1%}"),
    "annual_volatility": ("volatility a year", "{:.1%}"),
    "sharpe": ("Sharpe ratio (no interest)", "{:.2f}"),
    "max_drawdown": ("worst loss from a peak", "{:.1%}"),
    "mean_position": ("mean position", "{:.0%}"),
    "trades": ("trades", "{:,.0f}"),
    "turnover_a_year": ("turnover a year, times capital", "{:.1f}"),
    "costs": ("costs, of the capital at the start", "{:.2%}"),
}
_NONE = "-"
_FIGURES = ("QLIKE", "to log-HAR", "R2")
_LEFT_OUT = {
    "in_sample": "because the model has seen them in training",
    "without_history": "because too little comes before them",
    "without_bars": "because nothing traded in them",
}


def statistics_table(backtest: VolatilityBacktest, version: str) -> Table:
    """The statistics of the strategy beside its benchmark's."""
    title = f"{_simulated(backtest)}{backtest.symbol}, forecasts by {version}, after costs"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in (STRATEGY, BENCHMARK):
        table.add_column(name, justify="right")
    for figure, (title, form) in _ROWS.items():
        values = (float(backtest.statistics[name].loc[figure]) for name in (STRATEGY, BENCHMARK))
        table.add_row(title, *(_number(form, value) for value in values))
    return table


def describe_backtest(backtest: VolatilityBacktest) -> list[str]:
    """What was traded when and how, and how many buckets were left out and why: a few sentences."""
    equity, settings = backtest.equity, backtest.settings
    lines = [
        f"Traded {len(backtest.decisions):,} hourly buckets in {len(equity):,} sessions from {_day(equity.index[0])} "
        f"to {_day(equity.index[-1])}, each position decided at its bucket's start from the forecast of that moment.",
        f"Target {settings['target_volatility']:.0%} a year, at most {settings['max_leverage']:.0%} of capital, "
        f"changes of {settings['rebalance_band']:.0%} or less not traded, "
        f"{settings['commission_bps']:g} basis points a trade.",
        "Positions are kept over night, and the forecasts are of trading hours alone: the volatility may well come out "
        "above the target.",
    ]
    lines += [
        f"Left out: {count:,} hourly buckets {_LEFT_OUT[reason]}."
        for reason, count in backtest.left_out.items()
        if count > 0
    ]
    return lines


def describe_forecast(forecast: Forecast, *, simulated: bool) -> str:
    """One sentence: a forecast with its interval, moment and model version."""
    interval = ""
    if math.isfinite(forecast.lower) and math.isfinite(forecast.upper):
        interval = f" (90 %: {forecast.lower:.2%} to {forecast.upper:.2%})"
    mark = "SIMULATED bars: forecast" if simulated else "Forecast"
    return (
        f"{mark} as of {forecast.asof:%Y-%m-%d %H:%M} New York for the bucket that ends "
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


def save_picture(backtest: VolatilityBacktest, version: str, directory: Path) -> Path:
    """Save capital, position and forecast over time as a PNG in `directory`; returns its path."""
    mark = "SIMULATED-" if backtest.simulated and not version.startswith("SIMULATED") else ""
    name = file_name_of(backtest.symbol)
    symbol = "" if name in version else f"{name}-"
    span = "-to-".join(_day(backtest.equity.index[end]) for end in (0, -1))
    path = directory / f"{mark}{symbol}{version}-{span}.png"
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(path, _png(_backtest_figure(backtest, version)))
    return path


def _backtest_figure(backtest: VolatilityBacktest, version: str) -> "Figure":
    # Not pyplot: it would choose a window system and keep every figure for the life of the process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.5), layout="constrained")
    capital, position, forecast = figure.subplots(3, 1, height_ratios=[3, 1.4, 1.6])
    _draw_capital(capital, backtest)
    decisions = backtest.decisions
    # By row, not by time: nights and weekends would take three quarters of the width.
    rows = np.arange(len(decisions))
    position.step(rows, 100 * decisions["position"], where="post", color=_STRATEGY_COLOUR, linewidth=0.9)
    position.set_ylabel("position,\n% of capital")
    position.set_ylim(0, 105 * decisions["position"].max())
    forecast.plot(rows, 100 * decisions["annualized_volatility"], color=_STRATEGY_COLOUR, linewidth=0.7)
    target = 100 * backtest.settings["target_volatility"]
    forecast.axhline(target, color=_BENCHMARK_COLOUR, linestyle="--", linewidth=0.9)
    forecast.annotate("target", (1.0, target), xycoords=("axes fraction", "data"), color=_BENCHMARK_COLOUR)
    forecast.set_ylabel("forecast volatility,\n% a year")
    forecast.set_ylim(bottom=0)
    _label_days(capital, pd.DatetimeIndex(_with_start(backtest).index))
    for axes in (position, forecast):
        _label_days(axes, pd.DatetimeIndex(decisions.index))
    title = f"{_simulated(backtest)}{backtest.symbol}: volatility target after costs\nforecasts by {version}"
    figure.suptitle(title, parse_math=False)
    return figure


def _draw_capital(axes: "Axes", backtest: VolatilityBacktest) -> None:
    capital = _with_start(backtest)
    rows = np.arange(len(capital))
    for name, colour, width in ((BENCHMARK, _BENCHMARK_COLOUR, 1.1), (STRATEGY, _STRATEGY_COLOUR, 1.5)):
        axes.plot(rows, 100 * capital[name], color=colour, linewidth=width, label=name)
    axes.set_ylabel("capital, start = 100")
    axes.legend(frameon=False)


def _with_start(backtest: VolatilityBacktest) -> pd.DataFrame:
    start = pd.DataFrame(1.0, index=backtest.decisions.index[:1], columns=backtest.equity.columns)
    return pd.concat([start, backtest.equity])


def _label_days(axes: "Axes", moments: pd.DatetimeIndex) -> None:
    ticks = np.unique(np.linspace(0, len(moments) - 1, 7).astype(int))
    axes.set_xticks(ticks, [f"{moments[tick]:%Y-%m-%d}" for tick in ticks])
    axes.set_xlim(0, len(moments) - 1)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


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
        "hourly buckets": f"{evaluation['buckets']:,}" if evaluation else _NONE,
    } | {heading: figure or _NONE for heading, figure in zip(_FIGURES, figures_of(row, _FIGURES), strict=True)}


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d}"


def _number(form: str, value: float) -> str:
    return form.format(value) if math.isfinite(value) else _NONE


def _simulated(backtest: VolatilityBacktest) -> str:
    return "SIMULATED " if backtest.simulated else ""
