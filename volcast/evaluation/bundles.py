"""A model, and what it is made of, beside the baselines."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import LookAheadError
from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.forecasters.baselines.har import FEWEST_BUCKETS
from volcast.forecasters.baselines.simple import BASELINES
from volcast.forecasters.har_lstm.pooled import PooledHarLstm
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.walk_forward import Forecaster
from volcast.measures.hourly import RV_FLOOR
from volcast.store.bundle import ModelBundle

__all__ = ["ALONE", "evaluate_bundle", "unseen_rows"]

_FEWEST_JUDGED = 70

ALONE = "its HAR alone"
"""The regression of a model whose networks correct it."""


def evaluate_bundle(
    bundle: ModelBundle,
    measures: pd.DataFrame,
    positions: npt.NDArray[np.int64],
    baselines: Mapping[str, Forecaster] = BASELINES,
) -> Evaluation:
    """Judge a model's forecasts of the next bucket, with its interval; arguments as in `compare_with_baselines`.

    Where networks correct a regression, the regression alone stands beside the model: what do the networks add?
    """
    regression = _without_networks(bundle)
    parts = {} if regression is None else {ALONE: regression.forecast}
    model = partial(bundle.forecast_horizon, horizon=1)
    return compare_with_baselines(measures, positions, model, parts=parts, baselines=baselines)


def unseen_rows(bundle: ModelBundle, measures: pd.DataFrame, *, allow_in_sample: bool = False) -> npt.NDArray[np.int64]:
    """Rows of `measures` to judge a model on: after the last bucket that it has seen, with history.

    With as much as the diurnal log-HAR needs, too; where that leaves next to nothing, with what the model needs.

    Raises
    ------
    LookAheadError
        Nobody wrote down what the model has seen, and `allow_in_sample` is false.
    """
    moved = (measures["rv_hourly"].to_numpy() > RV_FLOOR).cumsum()
    fit = max(int(moved.searchsorted(FEWEST_BUCKETS)) + 1, bundle.memory)
    first = fit if len(measures) - fit >= _FEWEST_JUDGED else min(bundle.memory, len(measures))
    rows = np.arange(first, len(measures))
    if allow_in_sample:
        return rows
    if bundle.trained_through is None:
        raise LookAheadError(
            f"nobody wrote down what data {bundle.name} has seen; forecasts are judged on what comes after it; "
            "say with --allow-in-sample that it may have seen these bars."
        )
    # A bucket is an hour long at the most.
    return np.asarray(rows[measures.index[rows] - pd.Timedelta(hours=1) >= bundle.trained_through])


def _without_networks(bundle: ModelBundle) -> ModelBundle | None:
    """The same model without its networks; None where they have no part in it, or it is nothing without them."""
    recipe = bundle.recipe
    if isinstance(recipe, HarLstm) and recipe.weight:
        return replace(bundle, recipe=replace(recipe, weight=0.0))
    if isinstance(recipe, PooledHarLstm) and recipe.shared.weight:
        return replace(bundle, recipe=replace(recipe, shared=replace(recipe.shared, weight=0.0)))
    return None
