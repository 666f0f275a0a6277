"""The judgment of a model in a word and in a sentence; it can say no."""

import math
from collections.abc import Mapping
from typing import Literal

import pandas as pd

from volcast.evaluation.significance import diebold_mariano_by_day
from volcast.forecasters.baselines.registry import ALL_BASELINES

__all__ = [
    "ALONE",
    "MODEL",
    "REFERENCE",
    "SET_LEVEL",
    "UNINFORMED",
    "Judgment",
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

_SURE = 0.05
_AS_GOOD = 1.01
_COVERAGE_TOLERANCE = 0.05


def title_of(name: str) -> str:
    """What a forecast is called in tables and sentences."""
    # What is installed need not be searched for the model.
    return ALL_BASELINES[name].title if name != MODEL and name in ALL_BASELINES else name


def judgment_of(ratios: pd.Series, losses: pd.DataFrame) -> Judgment:
    """``"use"`` what is no worse than the diurnal log-HAR and knows more than the hour of day, surely.

    Of several symbols, what is no worse than most symbols' own log-HARs, in the mean too.

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
    return "use" if mean <= 1 and 2 * int((ratios <= 1).sum()) > len(ratios) else "either"


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
    own = metrics[MODEL]
    percent, sure = 100 * abs(own["qlike_ratio"] - 1), own["p_value"] < _SURE
    if judgment == "use":
        how_sure = "beyond what chance explains" if sure else "which may be chance"
        said = f"The model's QLIKE is {percent:.1f} % lower than the diurnal log-HAR's, {how_sure}: use it"
    elif judgment == "either":
        said = f"The model is as good as the diurnal log-HAR (QLIKE {percent:.1f} % higher): either will do"
    else:
        how_sure = "beyond what chance explains" if sure else "though this may be chance"
        said = (
            f"Do not use this model: its QLIKE is {percent:.1f} % higher than that of a diurnal log-HAR, {how_sure}; "
            "a search with more trials, more data or another seed may do better"
        )
    return f"{said}{_better_still(own, losses)}{_broken_interval(own, level)}."


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
    sure = diebold_mariano_by_day(losses[MODEL], losses[REFERENCE]) < _SURE
    said = (
        f"In the mean of {len(ratios)} symbols the QLIKE is {100 * abs(1 - mean):.1f} % "
        f"{'lower' if mean < 1 else 'higher'} than each symbol's own log-HAR's, and lower on {better} of them, "
        f"{'beyond what chance explains' if sure else 'which may be chance'}"
    )
    advice = {"use": "use it", "either": "either will do"}.get(judgment, "do not use this model")
    return f"{said}: {advice}{_broken_interval({'coverage': covered}, level)}."


def _unbeaten(losses: pd.DataFrame) -> str | None:
    """A forecast that looks at nothing and that the model does not beat for sure."""
    for name in UNINFORMED:
        if name not in losses:
            continue
        better = losses[MODEL].mean() < losses[name].mean()
        if not (better and diebold_mariano_by_day(losses[MODEL], losses[name]) < _SURE):
            return name
    return None


def _learnt_nothing(losses: pd.DataFrame, uninformed: str) -> str:
    ratio = float(losses[MODEL].mean() / losses[uninformed].mean())
    p_value = diebold_mariano_by_day(losses[MODEL], losses[uninformed])
    chance = f" (p = {p_value:.2f})" if math.isfinite(p_value) else ""
    said = f"Do not use this model: its QLIKE is {100 * abs(ratio - 1):.1f} %"
    nothing = f"than that of the {title_of(uninformed)}, which does not look at the market at all"
    return f"{said} higher {nothing}." if ratio >= 1 else f"{said} lower {nothing}, and that may be chance{chance}."


def _better_still(own: Mapping[str, float], losses: pd.DataFrame) -> str:
    """A clause about a baseline that the confidence set prefers to model and reference."""
    means = losses.mean()
    best = str(means.idxmin())
    if best in (MODEL, REFERENCE) or not own.get("set_p_value", math.nan) < SET_LEVEL:
        return ""
    percent = 100 * (1 - means[best] / means[MODEL])
    return f"; the {title_of(best)} is better still (QLIKE {percent:.1f} % lower)"


def _broken_interval(own: Mapping[str, float], level: float) -> str:
    """A clause about an interval that does not hold what it says."""
    covered = own.get("coverage", level)
    if abs(covered - level) <= _COVERAGE_TOLERANCE:
        return ""
    return f"; its {100 * level:.0f} % interval covers {100 * covered:.0f} %, so do not rely on that"
