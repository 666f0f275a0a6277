"""An evaluation for a terminal."""

import math
from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from volcast.evaluation.evaluation import Evaluation, Grouping
from volcast.evaluation.verdict import MODEL, SET_LEVEL, title_of

__all__ = ["evaluation_tables", "symbols_table"]

_GROUPINGS: tuple[tuple[Grouping, str], ...] = (
    ("hour", "by hour of day"),
    ("regime", "by regime (fifths of what the diurnal log-HAR forecast, 1 the calmest)"),
    ("month", "by month"),
)


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """The model symbol by symbol, where there are several; it and the baselines, best first; groups; the verdict."""
    parts: list[RenderableType] = [symbols_table(evaluation)] if evaluation.symbols else []
    if math.isfinite(networks := evaluation.p_value_of_networks):
        parts.append(f"Against its HAR alone: p = {networks:.3f}.")
    parts.append(_comparison(evaluation))
    for by, title in _GROUPINGS:
        if not evaluation.breakdown(by).empty:
            parts += [f"The model {title}:", _group_table(evaluation, by)]
    return Group(*parts, Text(evaluation.verdict, style="bold"))


def symbols_table(evaluation: Evaluation) -> Table:
    """One row a symbol, best first, and one for their mean."""
    table = _table("symbol", "buckets", "QLIKE", "to log-HAR", "p", "HAR alone", "covered")
    rows = evaluation.symbol_table()
    for name, row in rows.iterrows():
        table.add_row(str(name), f"{row['buckets']:,.0f}", *_symbol_cells(row))
    if len(rows):
        means = {**rows.mean(), "p_value": evaluation.metrics[MODEL]["p_value"]}
        table.add_row("mean", "", *_symbol_cells(means), style="bold")
    return table


def _symbol_cells(row: Mapping[str, float]) -> list[str]:
    figures = [_number(row["qlike"], 4), _number(row["ratio"], 3), _number(row["p_value"], 3)]
    return [*figures, _number(row["regression_ratio"], 3), _percent(row["coverage"])]


def _comparison(evaluation: Evaluation) -> Table:
    table = _table("forecast", "QLIKE", "to log-HAR", "p", "in set", "R2", "R2 day", "covered")
    for name, row in sorted(evaluation.metrics.items(), key=lambda item: item[1]["qlike"]):
        in_set = row.get("set_p_value", math.nan)
        table.add_row(
            title_of(name),
            f"{row['qlike']:.4f}",
            _number(row.get("qlike_ratio"), 3),
            _number(row.get("p_value"), 3),
            "" if not math.isfinite(in_set) else "yes" if in_set >= SET_LEVEL else "no",
            _number(row["r2"], 3),
            _number(row.get("r2_diurnal"), 3),
            _percent(row.get("coverage")),
            style="bold" if name == MODEL else "",
        )
    return table


def _group_table(evaluation: Evaluation, by: Grouping) -> Table:
    table = _table(by, "buckets", "QLIKE", "log-HAR", "ratio", "p", "covered")
    for group, row in evaluation.breakdown(by).iterrows():
        table.add_row(
            f"{group}:00" if by == "hour" else str(group),
            f"{row['buckets']:.0f}",
            _number(row["qlike"], 3),
            _number(row["reference_qlike"], 3),
            _number(row["qlike_ratio"], 3),
            _number(row["p_value"], 3),
            _percent(row.get("coverage")),
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"
