"""A model, and what it is made of, beside the baselines."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.har_lstm.pooled import PooledHarLstm
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.walk_forward import Forecaster
from volcast.store.bundle import ModelBundle

__all__ = ["ALONE", "evaluate_bundle"]

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


def _without_networks(bundle: ModelBundle) -> ModelBundle | None:
    """The same model without its networks; None where they have no part in it, or it is nothing without them."""
    recipe = bundle.recipe
    if isinstance(recipe, HarLstm) and recipe.weight:
        return replace(bundle, recipe=replace(recipe, weight=0.0))
    if isinstance(recipe, PooledHarLstm) and recipe.shared.weight:
        return replace(bundle, recipe=replace(recipe, shared=replace(recipe.shared, weight=0.0)))
    return None
