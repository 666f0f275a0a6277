"""A default forecast that needs no training: bars, a recipe fitted on them, and a network that counts its windows."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tests.support.bars import make_bars
from volcast.arrays import Float32Array3D, Float64Array1D, time_index
from volcast.features.windows import split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.weight import NetworkWeight
from volcast.training.har_lstm import har_lstm_targets, with_networks


@dataclass
class CountingNetwork:
    """Stands in for a network: a fixed function of what each window says of bars, which counts those it was given."""

    counts: list[int] = field(default_factory=list)

    def __call__(self, windows: Float32Array3D, side: Any = None) -> Float64Array1D:
        self.counts.append(len(windows))
        steps = windows[:, :, :-3]
        weights = np.cos(np.arange(steps[0].size)) / 10
        return np.array([float((step.ravel() * weights).sum()) for step in steps])


def thinned_bars() -> pd.DataFrame:
    """Five months of bars; a twentieth is missing, and some buckets lack so many that they are left out.

    Some of them have no volume.
    """
    bars = make_bars("2024-07-01", "2024-11-29", seed=3)
    random = np.random.default_rng(0)
    volume = np.exp(random.normal(8, 1, len(bars))).round()
    bars["volume"] = np.where(random.random(len(bars)) > 0.02, volume, np.nan)
    hours = time_index(bars).floor("h")
    thin = np.isin(hours, random.choice(hours.unique(), len(hours.unique()) // 15, replace=False))
    return bars[random.random(len(bars)) > np.where(thin, 0.4, 0.05)]


def counted_recipe(measures: pd.DataFrame) -> HarLstm:
    """A recipe whose networks weigh half at first, fitted on three quarters of `measures`."""
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.25)
    parts = {"SPY": measures}, {"SPY": split}
    regression = har_lstm_targets(*parts).regression
    return replace(with_networks(regression, (CountingNetwork(),), *parts), weight=NetworkWeight(0.7, 2.0, 0.16))
