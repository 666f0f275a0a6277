"""An evaluation for a terminal."""

import math

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from forecast_evaluation import Evaluation, Grouping
from forecast_verdict import MODEL, SET_LEVEL, title_of

__all__ = ["evaluation_tables"]

_GROUPINGS: tuple[tuple[Grouping, str], ...] = (
    ("hour", "by hour of day"),
    ("regime", "by regime (fifths of what the diurnal log-HAR forecast, 1 the calmest)"),
    ("month", "by month"),
)


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """Model and baselines, best first; the model in groups of buckets; the verdict."""
    parts: list[RenderableType] = [_comparison(evaluation)]
    for by, title in _GROUPINGS:
        if not evaluation.breakdown(by).empty:
            parts += [f"The model {title}:", _group_table(evaluation, by)]
    return Group(*parts, Text(evaluation.verdict, style="bold"))


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
