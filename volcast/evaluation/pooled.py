"""How good one model is over many symbols: each beside its own log-HAR, all of them beside the pooled regression."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import NotEnoughDataError
from volcast.evaluation.bundles import ALONE, evaluate_bundle
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.significance import diebold_mariano_by_day
from volcast.evaluation.verdict import MODEL, REFERENCE, Judgment, pooled_judgment_of, pooled_verdict_on
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.walk_forward import Forecaster
from volcast.store.bundle import ModelBundle

__all__ = ["FEWEST_JUDGED", "PooledEvaluation", "evaluate_pooled"]

FEWEST_JUDGED = 35
"""Buckets that a symbol must have to be judged: a week."""


@dataclass(frozen=True)
class PooledEvaluation:
    """Evaluations of one model on several symbols, each beside the baselines of the symbol alone.

    Attributes
    ----------
    symbols
        By symbol.
    """

    symbols: Mapping[str, Evaluation]

    @property
    def ratios(self) -> pd.Series:
        """QLIKE of each symbol relative to its own diurnal log-HAR's, best first."""
        ratios = {name: judged.metrics[MODEL]["qlike_ratio"] for name, judged in self.symbols.items()}
        return pd.Series(ratios, dtype=float).sort_values()

    @property
    def mean_ratio(self) -> float:
        """Mean of `ratios`; NaN where no symbol was judged."""
        return float(self.ratios.mean())

    @property
    def share_better(self) -> float:
        """Share of the symbols on which the model's QLIKE is lower than their log-HAR's; NaN without symbols."""
        return float((self.ratios < 1).mean())

    @property
    def p_value(self) -> float:
        """Of the Diebold-Mariano test against the symbols' own log-HARs, all symbols of a day one observation."""
        losses = self.losses()
        return math.nan if losses.empty else diebold_mariano_by_day(losses[MODEL], losses[REFERENCE])

    @property
    def p_value_to_pooled_har(self) -> float:
        """The same against the pooled regression alone; NaN where the networks add nothing to it."""
        losses = self.losses()
        return diebold_mariano_by_day(losses[MODEL], losses[ALONE]) if ALONE in losses else math.nan

    @property
    def judgment(self) -> Judgment:
        """The verdict in a word."""
        return pooled_judgment_of(self.ratios, self.losses())

    @property
    def verdict(self) -> str:
        """One sentence: whether the model is worth using."""
        coverages = [judged.metrics[MODEL]["coverage"] for judged in self.symbols.values()]
        return pooled_verdict_on(self.ratios, self.losses(), float(np.mean(coverages)) if coverages else math.nan)

    def losses(self) -> pd.DataFrame:
        """QLIKE of each bucket of each symbol (rows, by label, symbol after symbol) and of the forecasts they share."""
        losses = [judged.losses() for judged in self.symbols.values()]
        return pd.concat(losses, join="inner") if losses else pd.DataFrame()

    def table(self) -> pd.DataFrame:
        """One row a symbol, the best first.

        Columns ``buckets``; ``qlike``; ``ratio`` and ``pooled_har``, of the model and of its regression alone to the
        symbol's own diurnal log-HAR; ``p_value`` of the model against that; ``coverage``.
        """
        rows = {}
        for name in self.ratios.index:
            judged = self.symbols[name]
            own, reference = judged.metrics[MODEL], judged.metrics[REFERENCE]["qlike"]
            rows[name] = {
                "buckets": judged.buckets,
                "qlike": own["qlike"],
                "ratio": own["qlike_ratio"],
                "pooled_har": judged.metrics.get(ALONE, own)["qlike"] / reference,
                "p_value": own["p_value"],
                "coverage": own["coverage"],
            }
        return pd.DataFrame(rows).T.rename_axis("symbol")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the buckets, ready for JSON; a number that does not exist is null."""
        table = self.table()
        figures = {
            "mean_ratio": self.mean_ratio,
            "mean_ratio_of_pooled_har": float(table["pooled_har"].mean()) if len(table) else math.nan,
            "share_better": self.share_better,
            "mean_coverage": float(table["coverage"].mean()) if len(table) else math.nan,
            "p_value": self.p_value,
            "p_value_to_pooled_har": self.p_value_to_pooled_har,
        }
        return {
            "judgment": self.judgment,
            "verdict": self.verdict,
            **{name: value if math.isfinite(value) else None for name, value in figures.items()},
            "symbols": {name: self.symbols[name].to_dict() for name in table.index},
        }


def evaluate_pooled(
    bundle: ModelBundle,
    measures: Mapping[str, pd.DataFrame],
    positions: Mapping[str, npt.NDArray[np.int64]],
    baselines: Mapping[str, Forecaster] = BASELINES,
) -> PooledEvaluation:
    """Judge a pooled model's forecasts of the next bucket, symbol by symbol.

    Parameters
    ----------
    bundle
        A model whose recipe is a `PooledHarLstm`.
    measures
        By symbol, with the market's beside them (`PooledHarLstm.with_market`).
    positions
        By symbol, the rows to judge, rising. Symbols with fewer than `FEWEST_JUDGED`, or in which prices do not move,
        or with too little history for a log-HAR, are left out.
    baselines
        To judge each symbol beside.
    """
    symbols = {}
    for name, rows in positions.items():
        if len(rows) < FEWEST_JUDGED:
            continue
        try:
            judged = evaluate_bundle(bundle, measures[name], rows, baselines)
        except NotEnoughDataError:
            continue
        if "qlike_ratio" in judged.metrics[MODEL]:
            symbols[name] = judged
    return PooledEvaluation(symbols)
