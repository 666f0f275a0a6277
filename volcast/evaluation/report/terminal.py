"""An evaluation for a terminal."""

from rich.console import Group, RenderableType
from rich.text import Text

from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.report.tables import GROUPINGS, baselines, groups, symbols, totals

__all__ = ["evaluation_tables"]

_REGIME = "fifths of what the diurnal log-HAR forecast, 1 the calmest"


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """The model symbol by symbol, where there are several; it and the baselines, best first; groups; verdict."""
    parts: list[RenderableType] = [symbols(evaluation).drawn()] if evaluation.symbols else []
    parts.append(baselines(evaluation).drawn())
    for by, title in GROUPINGS.items():
        if (table := groups(evaluation, by)).rows:
            explained = f" ({_REGIME})" if by == "regime" else ""
            parts += [f"The model {title}{explained}:", table.drawn()]
    if evaluation.totals:
        parts.append(totals(evaluation).drawn())
    if networks := evaluation.networks:
        parts.append(Text(networks.sentence))
    return Group(*parts, Text(evaluation.verdict, style="bold"))
