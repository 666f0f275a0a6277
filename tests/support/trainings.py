"""What a training leaves, without training."""

from typing import Any

import pandas as pd

from tests.support.bars import ROOT
from volcast.evaluation.evaluation import Evaluation
from volcast.store.store import ModelStore
from volcast.training.data import TrainingData
from volcast.training.result import TrainingResult

__all__ = ["training_result"]


def training_result(symbol: str, figures: dict[str, float], losses: list[list[float]]) -> TrainingResult:
    """Of a saved model: a baseline's `figures`, and `losses` by epoch of each network."""
    about: Any = {"sha256": "0" * 64, "simulated": True, "first_bar": "", "last_bar": "", "bars": 1, "bar_minutes": 1.0}
    nothing = pd.DataFrame({"realized": [], "diurnal_log_har": []}, index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    bundle = ModelStore(ROOT / "tests" / "data").load("schema-2-har-lstm")
    return TrainingResult(
        bundle=bundle,
        evaluation=Evaluation({"diurnal_log_har": figures}, nothing, 0),
        search=None,
        data=TrainingData({}, {}, bundle.recipe, {}, {}, {symbol: {**about, "source": {"name": symbol}}}),  # type: ignore[arg-type]
        histories=[{"loss": values, "val_loss": values} for values in losses],
        seconds=1.0,
        serves=False,
    )
