"""Hourly realized volatility: bars in, forecasters trained, judged, saved and served, on the user's own machine.

>>> from volcast import VolatilityForecaster
>>> forecaster = VolatilityForecaster()  # doctest: +SKIP
>>> result = forecaster.train_locally("SPY", "2024-01-01", "2025-12-31")  # doctest: +SKIP
>>> forecaster.forecast(bars).annualized_volatility  # doctest: +SKIP

The names below are all that a user needs; each is loaded when it is asked for, so importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from volcast.bars.handler import DataHandler
    from volcast.config import TRAINING_CONFIG, TrainingConfig
    from volcast.features.windows import prepare_lstm_sequences
    from volcast.forecaster import VolatilityForecaster
    from volcast.measures.hourly import get_hourly_rv
    from volcast.networks.architectures import build_lstm_model_fast
    from volcast.packages import show_versions
    from volcast.serving.served_model import Forecast
    from volcast.training.trainer import LocalLSTMTrainer, train_with_hyperparameter_tuning

__all__ = [
    "TRAINING_CONFIG",
    "DataHandler",
    "Forecast",
    "LocalLSTMTrainer",
    "TrainingConfig",
    "VolatilityForecaster",
    "__version__",
    "build_lstm_model_fast",
    "get_hourly_rv",
    "prepare_lstm_sequences",
    "show_versions",
    "train_with_hyperparameter_tuning",
]

__version__ = "0.2.0"

_HOMES = {
    "TRAINING_CONFIG": "volcast.config",
    "DataHandler": "volcast.bars.handler",
    "Forecast": "volcast.serving.served_model",
    "LocalLSTMTrainer": "volcast.training.trainer",
    "TrainingConfig": "volcast.config",
    "VolatilityForecaster": "volcast.forecaster",
    "build_lstm_model_fast": "volcast.networks.architectures",
    "get_hourly_rv": "volcast.measures.hourly",
    "prepare_lstm_sequences": "volcast.features.windows",
    "show_versions": "volcast.packages",
    "train_with_hyperparameter_tuning": "volcast.training.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
