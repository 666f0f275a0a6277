"""An evaluation with an interval, of the bars of whoever asks for it."""

import numpy as np
import pandas as pd
import pytest

from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import IntervalForecast
from volcast.measures.hourly import get_hourly_measures


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


@pytest.fixture(scope="module")
def evaluation(measures: pd.DataFrame) -> Evaluation:
    def model(frame: pd.DataFrame, targets: pd.DatetimeIndex, known: np.ndarray) -> IntervalForecast:
        forecast = BASELINES["diurnal_har"](frame, targets, known)
        return IntervalForecast(forecast, 0.5 * forecast, 1.7 * forecast)

    return compare_with_baselines(measures, np.arange(700, len(measures)), model)
