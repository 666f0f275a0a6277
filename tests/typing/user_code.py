"""Code as users write it, which mypy checks and nobody runs: what the doors and the package say of their types.

A name that loses its type, or a type that becomes another, is an error of ``mypy .`` here.
"""

from typing import assert_type

import numpy as np
import pandas as pd

import benchmark_training
import data_handler
import local_training
import training_config
import volatility_forecaster
import volcast
from volcast.arrays import Float64Array1D
from volcast.retraining.background import RetrainingJob
from volcast.retraining.retraining import RetrainingOutcome
from volcast.serving.stream import ForecastStream


def bars_and_their_volatility() -> None:
    handler = data_handler.DataHandler("simulator")
    bars = handler.get_stock_bars("SPY", "2024-01-02", "2024-03-28", timeframe="5Min")
    assert_type(bars, pd.DataFrame)
    assert_type(handler.get_stock_bars(["SPY", "QQQ"]), pd.DataFrame)
    rv = assert_type(data_handler.get_hourly_rv(bars, "SPY", preset="session"), pd.Series)
    windows, targets, scaler = data_handler.prepare_lstm_sequences(rv, memory=30)
    assert_type(windows, np.ndarray)
    assert_type(targets, np.ndarray)
    assert_type(scaler.unscale(windows[:, 0, 0], pd.DatetimeIndex(rv.index)), Float64Array1D)


def settings() -> None:
    config = training_config.TrainingConfig.from_mapping({**training_config.TRAINING_CONFIG, "symbol": "SPY"})
    assert_type(config, training_config.TrainingConfig)
    assert_type(config.memory, int)
    assert_type(config.symbol, str)


def training(bars: pd.DataFrame) -> None:
    trainer = local_training.LocalLSTMTrainer({"symbol": "SPY", "networks": 2})
    data = trainer.prepare_data(bars=bars)
    assert_type(trainer.train_model(data.X_train, data.y_train, data.X_val, data.y_val), dict[str, list[float]])
    assert_type(trainer.evaluate_model(data.X_val, data.y_val).metrics["model"]["qlike"], float)
    result = trainer.run_training_pipeline("SPY", "2024-01-02", pd.Timestamp("2024-12-31"))
    assert_type(result, local_training.TrainingResult)
    assert_type(result.bundle.name, str)
    assert_type(result.search, local_training.SearchResult | None)
    search = local_training.train_with_hyperparameter_tuning(data.X_train, data.y_train, config={"max_trials": 3})
    assert_type(search.best_val_loss, float)


def forecasting(bars: pd.DataFrame) -> None:
    forecaster = volatility_forecaster.VolatilityForecaster(None, {"every": "month"})
    forecast = assert_type(forecaster.forecast(bars, "2024-06-03 10:30", 7), volatility_forecaster.Forecast)
    assert_type(forecast.asof, pd.Timestamp)
    assert_type(forecast.annualized_volatility, float)
    assert_type(forecaster.forecast(bars, horizon="session_end").is_fallback, bool)
    assert_type(forecaster.forecast_volatility(bars, "2024-06-03"), float)
    assert_type(forecaster.forecast_series(bars, models="as-of"), pd.DataFrame)
    stream = assert_type(forecaster.stream(bars, "SPY"), ForecastStream)
    stream.update(bars.iloc[-1:])
    assert_type(stream.forecast(horizon=35).volatility, float)


def retraining(bars: pd.DataFrame) -> None:
    forecaster = volcast.VolatilityForecaster()
    assert_type(forecaster.train_locally("SPY", bars=bars), local_training.TrainingResult)
    assert_type(forecaster.retrain_async("SPY", bars), RetrainingJob)
    assert_type(forecaster.retrain_if_due(bars), RetrainingJob | RetrainingOutcome | None)
    forecaster.swap("SPY-20260319-120000-000")
    forecaster.rollback()


def the_package_and_its_doors_say_the_same() -> None:
    assert_type(volcast.__version__, str)
    assert_type(volcast.DataHandler(), data_handler.DataHandler)
    assert_type(volcast.LocalLSTMTrainer(), local_training.LocalLSTMTrainer)
    assert_type(volcast.TrainingConfig(), training_config.TrainingConfig)
    assert_type(volcast.VolatilityForecaster().forecast(pd.DataFrame()), volatility_forecaster.Forecast)
    assert_type(volcast.get_hourly_rv(pd.DataFrame()), pd.Series)
    assert_type(benchmark_training.main(["--quick"]), int)


def what_is_no_argument_is_an_error(bars: pd.DataFrame) -> None:
    forecaster = volcast.VolatilityForecaster()
    forecaster.forecast(bars, horizon=1.5)  # type: ignore[arg-type]  # a number of buckets, or a name
    forecaster.forecast_series(bars, models="newest")  # type: ignore[arg-type]  # "serving" or "as-of"
    volcast.get_hourly_rv(bars, preset="daily")  # type: ignore[call-overload]  # "session" or "colab"
    data_handler.DataHandler().get_stock_bars(7)  # type: ignore[arg-type]  # symbols are words
