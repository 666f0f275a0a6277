"""The judgment of a model in a word and in a sentence; it can say no."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from volcast.counts import counted
from volcast.evaluation.significance import diebold_mariano_by_day
from volcast.forecasters.baselines.registry import ALL_BASELINES

__all__ = [
    "ALONE",
    "MODEL",
    "REFERENCE",
    "SET_LEVEL",
    "UNINFORMED",
    "Judgment",
    "NetworksShare",
    "judgment_of",
    "title_of",
    "verdict_on",
    "verdict_on_symbols",
]

Judgment = Literal["use", "either", "do not use", "unknown"]

MODEL = "model"
"""The forecast under judgment."""

ALONE = "its HAR alone"
"""The regression of a model whose networks correct it."""

REFERENCE = "diurnal_log_har"
"""The baseline that others are compared with."""

UNINFORMED = ("hour_of_day_mean", "long_run_mean")
"""What forecasts without looking at the market; who does not beat both has learnt nothing."""

SET_LEVEL = 0.1
"""p-values of the model confidence set from which on a forecast is in the set of 90 %."""

Metrics = Mapping[str, Mapping[str, float]]

_ADVICE: Mapping[Judgment, str] = {
    "use": "use it", "either": "either will do", "do not use": "do not use this model",
}  # fmt: skip
_SURE = 0.05
_AS_GOOD = 1.01
_COVERAGE_TOLERANCE = 0.05


def title_of(name: str) -> str:
    """What a forecast is called in tables and sentences."""
    # What is installed need not be searched for the model.
    return ALL_BASELINES[name].title if name != MODEL and name in ALL_BASELINES else name


def judgment_of(ratios: pd.Series, losses: pd.DataFrame) -> Judgment:
    """``"use"`` what is surely better than the diurnal log-HAR and knows more than the hour of day.

    Of several symbols, what is better than most symbols' own log-HARs, in the mean too. What may be better by chance
    alone, or is as good, is ``"either"``.

    Parameters
    ----------
    ratios
        QLIKE of each symbol relative to its own diurnal log-HAR's.
    losses
        QLIKE of each bucket of all symbols (rows, by label) and forecast (columns).
    """
    if ratios.empty:
        return "unknown"
    mean = float(ratios.mean())
    if _unbeaten(losses) is not None or mean > _AS_GOOD:
        return "do not use"
    better = mean < 1 and 2 * int((ratios < 1).sum()) > len(ratios)
    return "use" if better and _is_sure(_p_value(losses, mean)) else "either"


def verdict_on(judgment: Judgment, metrics: Metrics, losses: pd.DataFrame, level: float) -> str:
    """One sentence: whether a model is worth using for the symbol that it was judged on.

    Parameters
    ----------
    judgment
        What `judgment_of` says.
    metrics, losses, level
        As in `Evaluation`.
    """
    if MODEL not in metrics:
        return "No model was judged."
    if judgment == "unknown":
        return "Too little history for the log-HAR, so nothing can be said about whether the model is worth using."
    if (uninformed := _unbeaten(losses)) is not None:
        return _learnt_nothing(losses, uninformed)
    figures = metrics[MODEL]
    difference, chance = _difference(figures["qlike_ratio"]), _chance(figures["p_value"])
    if judgment == "do not use":
        said = (
            f"Do not use this model: its QLIKE is {difference} than that of a diurnal log-HAR, {chance}; a search with "
            "more trials, more data or another seed may do better"
        )
    elif figures["qlike_ratio"] < 1:
        said = f"The model's QLIKE is {difference} than the diurnal log-HAR's, {chance}: {_ADVICE[judgment]}"
    else:
        said = f"The model is as good as the diurnal log-HAR (QLIKE {difference}): {_ADVICE[judgment]}"
    return f"{said}{_best_baseline(judgment, figures, losses)}{_broken_interval(figures, level)}."


def verdict_on_symbols(
    judgment: Judgment, ratios: pd.Series, losses: pd.DataFrame, covered: float, level: float
) -> str:
    """One sentence: whether a model is worth using for the symbols that it was judged on.

    Parameters
    ----------
    judgment
        What `judgment_of` says.
    ratios, losses
        As in `judgment_of`.
    covered
        What share of the buckets its interval covers, in the mean of the symbols.
    level
        What share it is meant to cover.
    """
    if judgment == "unknown":
        return "No symbol has enough history to judge the model beside a log-HAR."
    if (uninformed := _unbeaten(losses)) is not None:
        return _learnt_nothing(losses, uninformed)
    mean, better = float(ratios.mean()), int((ratios < 1).sum())
    said = (
        f"In the mean of {counted(len(ratios), 'symbol')} the QLIKE is {_difference(mean)} than each symbol's own "
        f"log-HAR's, and lower on {better} of them, {_chance(_p_value(losses, mean))}"
    )
    return f"{said}: {_ADVICE[judgment]}{_broken_interval({'coverage': covered}, level)}."


@dataclass(frozen=True)
class NetworksShare:
    """What networks do to the forecast of the regression that they correct.

    Attributes
    ----------
    qlike, regression_qlike
        Of the model, and of its regression alone, on the same buckets; of several symbols, their means.
    p_value
        Of the Diebold-Mariano test of equal losses; NaN where the networks have no weight.
    """

    qlike: float
    regression_qlike: float
    p_value: float

    @property
    def sentence(self) -> str:
        """What they do, in one sentence with both figures."""
        if self.qlike == self.regression_qlike:
            return f"The networks add nothing here: the regression serves alone (QLIKE {self.qlike:.4f})."
        difference = _difference(self.qlike / self.regression_qlike)
        figures = (
            f"QLIKE {self.qlike:.4f} with them and {self.regression_qlike:.4f} of the regression alone, {difference}, "
            f"{_chance(self.p_value)}"
        )
        nothing = " add nothing here" if self.qlike > self.regression_qlike else ""
        return f"The networks{nothing}: {figures}."


def _unbeaten(losses: pd.DataFrame) -> str | None:
    """A forecast that looks at nothing and that the model does not beat for sure."""
    for name in UNINFORMED:
        if name not in losses:
            continue
        better = losses[MODEL].mean() < losses[name].mean()
        if not (better and _is_sure(diebold_mariano_by_day(losses[MODEL], losses[name]))):
            return name
    return None


def _learnt_nothing(losses: pd.DataFrame, uninformed: str) -> str:
    ratio = float(losses[MODEL].mean() / losses[uninformed].mean())
    p_value = diebold_mariano_by_day(losses[MODEL], losses[uninformed])
    said = (
        f"Do not use this model: its QLIKE is {_difference(ratio)} than that of the {title_of(uninformed)}, which does "
        "not look at the market at all"
    )
    return f"{said}." if ratio >= 1 else f"{said}, and that {_may_be_chance(p_value)}."


def _p_value(losses: pd.DataFrame, ratio: float) -> float:
    """Of the test against the reference; NaN where all buckets together say the contrary of the mean `ratio`."""
    lower = losses[MODEL].mean() < losses[REFERENCE].mean()
    return diebold_mariano_by_day(losses[MODEL], losses[REFERENCE]) if lower == (ratio < 1) else math.nan


def _is_sure(p_value: float) -> bool:
    return p_value < _SURE


def _difference(ratio: float) -> str:
    return f"{100 * abs(ratio - 1):.1f} % {'lower' if ratio < 1 else 'higher'}"


def _chance(p_value: float) -> str:
    return "beyond what chance explains" if _is_sure(p_value) else f"which {_may_be_chance(p_value)}"


def _may_be_chance(p_value: float) -> str:
    return f"may be chance (p = {p_value:.2g})" if math.isfinite(p_value) else "may be chance"


def _best_baseline(judgment: Judgment, figures: Mapping[str, float], losses: pd.DataFrame) -> str:
    """A clause about a baseline that the confidence set prefers to model and reference."""
    means = losses.mean()
    best = str(means.idxmin())
    if best in (MODEL, REFERENCE) or not figures.get("set_p_value", math.nan) < SET_LEVEL:
        return ""
    percent = 100 * (1 - means[best] / means[MODEL])
    joined = " rather than the log-HAR, though" if judgment == "use" else ";"
    return f"{joined} the best here is the {title_of(best)} (QLIKE {percent:.1f} % lower than the model's)"


def _broken_interval(figures: Mapping[str, float], level: float) -> str:
    """A clause about an interval that does not hold what it says."""
    covered = figures.get("coverage", level)
    if abs(covered - level) <= _COVERAGE_TOLERANCE:
        return ""
    return f"; its {100 * level:.0f} % interval covers {100 * covered:.0f} %, so do not rely on that"
