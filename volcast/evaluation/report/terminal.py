"""An evaluation for a terminal."""

import math

from rich.console import Group, RenderableType
from rich.text import Text

from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.pooled import PooledEvaluation
from volcast.evaluation.report.tables import GROUPINGS, baselines, groups, symbols

__all__ = ["evaluation_tables", "pooled_tables"]

_REGIME = "fifths of what the diurnal log-HAR forecast, 1 the calmest"


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """Model and baselines, best first; the model in groups of buckets; the verdict."""
    parts: list[RenderableType] = [baselines(evaluation).drawn()]
    for by, title in GROUPINGS.items():
        if (table := groups(evaluation, by)).rows:
            explained = f" ({_REGIME})" if by == "regime" else ""
            parts += [f"The model {title}{explained}:", table.drawn()]
    return Group(*parts, Text(evaluation.verdict, style="bold"))


def pooled_tables(evaluation: PooledEvaluation) -> RenderableType:
    """The model symbol by symbol, best first; what its networks add; the verdict."""
    networks = evaluation.p_value_to_pooled_har
    added = [f"Against the pooled HAR alone: p = {networks:.3f}."] if math.isfinite(networks) else []
    return Group(symbols(evaluation).drawn(), *added, Text(evaluation.verdict, style="bold"))
