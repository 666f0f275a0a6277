"""The tables of figures that people read, as text in cells: terminal and page draw the same ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
from rich import box
from rich.table import Table

from volcast.evaluation.evaluation import Evaluation, Grouping
from volcast.evaluation.verdict import MODEL, SET_LEVEL, title_of
from volcast.markets.clocks import clock_of
from volcast.markets.names import DEFAULT_ZONE
from volcast.markets.registry import market_of

__all__ = [
    "GROUPINGS",
    "RATIOS",
    "FigureTable",
    "baselines",
    "errors",
    "figures_of",
    "groups",
    "model_row",
    "models_table",
    "symbols",
    "totals",
]

GROUPINGS: Mapping[Grouping, str] = {"hour": "by hour of day", "regime": "by regime", "month": "by month"}
"""In which groups of buckets a model is shown."""

RATIOS = ("to log-HAR", "HAR alone", "to daily HAR", "to EWMA", "to GARCH", "to GJR")
"""Headings of columns in which less than 1 is better."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class FigureTable:
    """A table in text: the first cell of a row is its name, the others are figures.

    Attributes
    ----------
    headings
        Of all columns.
    rows
        Their cells; one that is empty has no figure.
    strong
        The number of the row that matters most; None where none does.
    """

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    strong: int | None = None

    def drawn(self) -> Table:
        """The table as rich draws it in a terminal."""
        table = Table(box=box.SIMPLE, padding=0)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for number, row in enumerate(self.rows):
            table.add_row(*row, style="bold" if number == self.strong else "")
        return table


def baselines(evaluation: Evaluation) -> FigureTable:
    """The model beside the baselines, best first."""
    return _of_forecasts(evaluation, ("QLIKE", "to log-HAR", "p", "in set", "RMSE, %", "R2", "covered"))


def errors(evaluation: Evaluation) -> FigureTable:
    """Errors of the model and the baselines, best QLIKE first: RMSE, MAE, R2, bias."""
    return _of_forecasts(evaluation, ("RMSE, %", "MAE, %", "log error", "R2", "R2 day", "slope", "p of slope"))


def groups(evaluation: Evaluation, by: Grouping) -> FigureTable:
    """The model beside the diurnal log-HAR in groups of buckets; no row where there are too few."""
    market = market_of(evaluation.by_bucket)
    rows = [
        (
            market.time_of_slot(cast(int, group)) if by == "hour" else str(group),
            *figures_of(cast(Row, row), ("n", "QLIKE", "log-HAR", *_IN_GROUPS)),
        )
        for group, row in evaluation.breakdown(by).iterrows()
    ]
    return FigureTable((by, "n", "QLIKE", "log-HAR", *_IN_GROUPS), rows)


def symbols(evaluation: Evaluation) -> FigureTable:
    """A model of several symbols on each of them, best first, and the mean; no row of a model of one."""
    headings = ("n", "QLIKE", "to log-HAR", "p", "HAR alone", "covered")
    table = evaluation.symbol_table()
    rows = [(str(name), *figures_of(_renamed(row), headings)) for name, row in table.iterrows()]
    if rows:
        mean = {**_renamed(table.mean()), "p_value": evaluation.metrics[MODEL]["p_value"], "buckets": math.nan}
        rows.append(("mean", *figures_of(mean, headings)))
    return FigureTable(("symbol", *headings), rows, len(rows) - 1)


def totals(evaluation: Evaluation) -> FigureTable:
    """Total volatility over each horizon: the model, relative to the daily baselines; no row where none was judged."""
    present = [name for name in _TOTAL_RATIOS if all(name in part.metrics for part in evaluation.totals.values())]
    headings = ("n", "QLIKE", *(_TOTAL_RATIOS[name] for name in present), "p", "bias", "slope", "p of slope", "covered")
    rows = []
    for horizon, part in evaluation.totals.items():
        model = part.metrics[MODEL]
        ratios = {name: model["qlike"] / part.metrics[name]["qlike"] for name in present}
        rows.append((horizon, *figures_of({**model, **ratios, "buckets": part.sessions}, headings)))
    return FigureTable(("total volatility over", *headings), rows)


def figures_of(row: Row, headings: Sequence[str]) -> tuple[str, ...]:
    """The figures of one forecast (a row of `Evaluation.metrics` or the like) that stand under `headings`, as text."""
    return tuple(_FIGURES[heading](row) for heading in headings)


def model_row(manifest: Mapping[str, Any], serving: str | None = None) -> dict[str, Any]:
    """What a list of models says of one: of its manifest the main, its figure, and whether it is the one `serving`."""
    evaluation = manifest.get("evaluation") or {}
    metrics = evaluation.get("metrics", {})
    head = {key: manifest.get(key) for key in ("name", "symbol", "trained_through", "created", "simulated")}
    ratio = metrics.get(MODEL, {}).get("qlike_ratio")
    bars = [about["first_bar"] for about in (manifest.get("symbols") or {}).values() if "first_bar" in about]
    judged = {"qlike_ratio": ratio, "judgment": evaluation.get("judgment")}
    return {**head, "first_bar": min(bars, default=None), **judged, "serving": manifest["name"] == serving}


def models_table(
    rows: Sequence[Mapping[str, Any]], *, numbered: bool = False, today: pd.Timestamp | None = None
) -> Table:
    """The list of models of `model_row`; the one that serves has a star.

    Parameters
    ----------
    rows
        One a model.
    numbered
        Whether each has a number to be chosen by.
    today
        From which (tz-aware) the age of what a model has seen is counted; None is the present moment.
    """
    today = today or pd.Timestamp.now("UTC")
    table = Table(box=None)
    for heading in ("", "model", "symbol", "span of its bars", "days old", "to log-HAR", "verdict", "saved (UTC)"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("days old", "to log-HAR") else "left")
    for number, row in enumerate(rows, start=1):
        mark = "*" if row["serving"] else ""
        through = row["trained_through"]
        table.add_row(
            f"{number}{mark}" if numbered else mark,
            row["name"],
            row["symbol"] or "-",
            f"{(row['first_bar'] or 'unknown')[:10]} to {(through or 'unknown')[:10]}",
            "-" if through is None else f"{(today - clock_of(DEFAULT_ZONE).moment(through)).days:,}",
            "-" if row["qlike_ratio"] is None else f"{row['qlike_ratio']:.3f}",
            row["judgment"] or "-",
            _minute(row["created"] or "unknown"),
        )
    return table


def _of_forecasts(evaluation: Evaluation, headings: tuple[str, ...]) -> FigureTable:
    metrics = sorted(evaluation.metrics.items(), key=lambda item: item[1]["qlike"])
    names = [name for name, _ in metrics]
    # Means over symbols have no place in a confidence set, and a few buckets no test.
    headings = tuple(heading for heading in headings if any(_FIGURES[heading](row) for _, row in metrics))
    rows = [(title_of(name), *figures_of(row, headings)) for name, row in metrics]
    return FigureTable(("forecast", *headings), rows, names.index(MODEL) if MODEL in names else None)


def _renamed(row: Any) -> dict[str, float]:
    return {**row, "qlike_ratio": row["ratio"]}


def _number(name: str, decimals: int, scale: float = 1.0) -> Callable[[Row], str]:
    form = f".{decimals}f" if decimals else ",.0f"

    def text(row: Row) -> str:
        value = row.get(name)
        return "" if value is None or not math.isfinite(value) else f"{scale * value:{form}}"

    return text


def _root(name: str, decimals: int, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: _number("root", decimals, scale)({"root": row.get(name, math.nan) ** 0.5})


def _p_value(name: str) -> Callable[[Row], str]:
    return lambda row: "<0.001" if row.get(name, math.nan) < 0.001 else _number(name, 3)(row)


def _in_set(row: Row) -> str:
    value = row.get("set_p_value", math.nan)
    return "" if not math.isfinite(value) else "yes" if value >= SET_LEVEL else "no"


def _covered(row: Row) -> str:
    share = _number("coverage", 0, 100)(row)
    return f"{share} %" if share else ""


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


_IN_GROUPS = ("to log-HAR", "p", "covered")

_TOTAL_RATIOS: Mapping[str, str] = {
    "daily_har": "to daily HAR", "daily_ewma": "to EWMA", "daily_garch": "to GARCH", "daily_gjr_garch": "to GJR",
}  # fmt: skip

_FIGURES: Mapping[str, Callable[[Row], str]] = {
    "n": _number("buckets", 0),
    "QLIKE": _number("qlike", 4),
    "log-HAR": _number("reference_qlike", 4),
    "to log-HAR": _number("qlike_ratio", 3),
    "HAR alone": _number("regression_ratio", 3),
    "p": _p_value("p_value"),
    "in set": _in_set,
    "RMSE, %": _root("mse", 4, 100),
    "MAE, %": _number("mae", 4, 100),
    "log error": _root("mse_log", 3),
    "R2": _number("r2", 3),
    "R2 day": _number("r2_diurnal", 3),
    "slope": _number("mz_slope", 2),
    "p of slope": _p_value("mz_p_value"),
    "covered": _covered,
    "bias": _number("bias", 3),
    **{heading: _number(name, 3) for name, heading in _TOTAL_RATIOS.items()},
}
