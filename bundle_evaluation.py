"""A model, and what it is made of, beside the baselines."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecast_evaluation import Evaluation, compare_with_baselines
from har_lstm import HarLstm
from model_bundle import ModelBundle
from volatility_baselines import BASELINES
from walk_forward import Forecaster

__all__ = ["evaluate_bundle"]


def evaluate_bundle(
    bundle: ModelBundle,
    measures: pd.DataFrame,
    positions: npt.NDArray[np.int64],
    baselines: Mapping[str, Forecaster] = BASELINES,
) -> Evaluation:
    """Judge a model's forecasts of the next bucket, with its interval; arguments as in `compare_with_baselines`.

    Where networks correct a regression, the regression alone stands beside the model: what do the networks add?
    """
    parts: dict[str, Forecaster] = {}
    if isinstance(bundle.recipe, HarLstm) and bundle.recipe.weight:
        parts["its HAR alone"] = replace(bundle, recipe=replace(bundle.recipe, weight=0.0)).forecast
    model = partial(bundle.forecast_horizon, horizon=1)
    return compare_with_baselines(measures, positions, model, parts=parts, baselines=baselines)
