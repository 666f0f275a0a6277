"""A new member of each kind is one file and one registration, made here in a temporary folder and used.

Sources, estimators, baselines, networks and strategies come as a package would bring them, by an entry point; horizons,
which are part of every model, stand in the library's own list.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.backtest.engine import run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.settings import BacktestSettings
from volcast.bars.sources.registry import load_source
from volcast.config import TrainingConfig
from volcast.configured import handler_of
from volcast.errors import ConfigError
from volcast.evaluation.evaluation import compare_with_baselines
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import HORIZONS
from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES, TOTAL_BASELINES
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv
from volcast.testing.estimators import check_estimator
from volcast.testing.forecasters import check_baseline
from volcast.testing.horizons import check_horizon
from volcast.testing.sources import check_source
from volcast.testing.strategies import check_strategy
from volcast.testing.totals import check_total_baseline
from volcast.training.trainer import LocalLSTMTrainer

Add = Callable[[str, str, str], ModuleType]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Write a file, register what stands in it under its own name, and return its module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def added(name: str, code: str, group: str) -> ModuleType:
        (tmp_path / f"my_{name}.py").write_text(code)
        facts = tmp_path / f"my_{name}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: my-{name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = my_{name}:{name}\n")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, f"my_{name}", raising=False)
        return importlib.import_module(f"my_{name}")

    return added


SOURCE = """
import numpy as np, pandas as pd

class broker:
    def fetch(self, symbol, start, end, timeframe):
        minutes = int(timeframe.removesuffix("Min"))
        hours = pd.date_range("2024-06-03 09:30", "2024-06-28 16:00", freq=f"{minutes}min", tz="America/New_York")
        hours = hours[(hours.dayofweek < 5) & (hours.hour * 60 + hours.minute >= 570) & (hours.hour < 16)]
        close = 50 + np.sin(np.arange(len(hours)))
        bars = pd.DataFrame({"close": close}, hours.rename("timestamp"))
        return bars[(hours >= start) & (hours < end) & (symbol == "MINE")]
"""


@pytest.mark.parametrize("group", ["volcast.sources", "local_volatility_training.bar_sources"])
def test_a_source(add: Add, group: str) -> None:
    add("broker", SOURCE, group)
    config = TrainingConfig.from_mapping({"symbol": "MINE", "bars_source": "broker"})
    bars = handler_of(config).get_stock_bars("MINE", "2024-06-04", "2024-06-05", "5Min")
    assert len(bars) == 2 * 78
    assert bars.attrs["source"] == "broker"
    first, last = (pd.Timestamp(day, tz="America/New_York") for day in ("2024-06-04", "2024-06-08"))
    check_source(load_source("broker"), "MINE", first, last, "5Min")


ESTIMATOR = """
import numpy as np
from volcast.measures.estimators import Estimator, price_logs

def mean_of_two_ranges(bars):
    opens, highs, lows, closes = price_logs(bars)
    parkinson = (highs - lows) ** 2 / (4 * np.log(2))
    rogers_satchell = (highs - opens) * (highs - closes) + (lows - opens) * (lows - closes)
    return bars.total((parkinson + rogers_satchell) / 2)

two_ranges = Estimator(mean_of_two_ranges, from_ranges=True)
"""


def test_an_estimator(add: Add, bars: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rv_estimator is 'two_ranges'"):
        TrainingConfig.from_mapping({"rv_estimator": "two_ranges"})
    module = add("two_ranges", ESTIMATOR, "volcast.estimators")
    check_estimator("two_ranges")
    variance = (get_hourly_rv(bars, estimator=name) ** 2 for name in ("parkinson", "rogers_satchell"))
    found = get_hourly_measures(bars, estimator="two_ranges")["rv_hourly"]
    pd.testing.assert_series_equal(found, (sum(variance) / 2) ** 0.5, rtol=1e-9)
    pd.testing.assert_series_equal(get_hourly_rv(bars, estimator=module.two_ranges), found)
    # What a training starts finds it too.
    code = "from volcast.config import TrainingConfig as C; C.from_mapping({'rv_estimator': 'two_ranges'})"
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=True)


BASELINE = """
from volcast.forecasters.baselines.registry import Baseline

def half_and_half(measures, targets, known):
    values = measures["rv_hourly"].to_numpy()
    return (values[known - 1] + values[known - 7]) / 2

two_hours = Baseline("mean of two hours", half_and_half)
"""


def test_a_baseline(add: Add, bars: pd.DataFrame) -> None:
    add("two_hours", BASELINE, "volcast.baselines")
    check_baseline(BASELINES["two_hours"])
    measures = get_hourly_measures(bars)
    evaluation = compare_with_baselines(measures, np.arange(600, len(measures)))
    assert "mean of two hours" in evaluation.table().index


TOTAL_BASELINE = """
import numpy as np
from volcast.forecasters.total.baselines import TotalBaseline

def mean_of_a_month(sessions, known, count):
    totals = np.nan_to_num(sessions.total, nan=float(sessions.variance[0]))
    return np.array([(count * totals[max(row - 22, 0) : row].mean()) ** 0.5 for row in known.tolist()])

month = TotalBaseline("mean of a month", mean_of_a_month)
"""


def test_a_baseline_of_total_volatility(add: Add) -> None:
    assert "month" not in TOTAL_BASELINES
    add("month", TOTAL_BASELINE, "volcast.total_baselines")
    check_total_baseline(TOTAL_BASELINES["month"])
    assert "month" in ALL_TOTAL_BASELINES


NETWORK = """
from volcast.networks.architectures import Architecture

def build(hp, memory, features=1, config=None):
    import keras
    layers = [keras.Input((memory, features)), keras.layers.LSTM(hp.Int("units_0", 4, 8, step=4))]
    model = keras.Sequential([*layers, keras.layers.Dense(hp.Int("head", 2, 4), "relu"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-2, sampling="log")), loss="mse")
    return model

headed = Architecture("LSTM with a dense head", build)
"""


@pytest.mark.train
@pytest.mark.filterwarnings("ignore:this network is trained by Keras:UserWarning")
def test_a_network(add: Add, bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("headed", NETWORK, "volcast.networks")
    settings = {"network": "headed", "max_trials": 2, "epochs": 1, "memory": 8, "workers": 1, "accept_quality": True}
    result = LocalLSTMTrainer({**settings, "model_save_path": str(tmp_path / "models")}).run_training_pipeline(
        bars=bars
    )
    assert result.bundle.manifest["network"] == "headed"
    assert set(result.bundle.manifest["hyperparameters"]) == {"units_0", "head", "lr"}
    expected = VolatilityForecaster(Path(str(result.bundle.path))).forecast(bars)
    # A model goes on serving where the package that trained it is not installed.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(tmp_path)])
    assert VolatilityForecaster(Path(str(result.bundle.path))).forecast(bars) == expected


STRATEGY = """
from dataclasses import dataclass
from typing import ClassVar
import pandas as pd

@dataclass(frozen=True)
class calm_days:
    title: ClassVar[str] = "in on calm days"
    target_volatility: float = 0.15

    def plan(self, market, costs):
        outlook = market.outlook[market.symbol].set_index("asof")
        held = (outlook["annualized_volatility"] < self.target_volatility).astype(float)
        return market.plan_for(held.to_frame(market.symbol), outlook.assign(position=held))
"""


def test_a_strategy(add: Add) -> None:
    with pytest.raises(ConfigError, match="strategy is 'calm_days', but must be one of vol-target"):
        BacktestSettings.from_mapping({"strategy": "calm_days"})
    module = add("calm_days", STRATEGY, "volcast.strategies")
    settings = BacktestSettings.from_mapping({"strategy": "calm_days", "target_volatility": 0.2, "max_leverage": 1.0})
    assert settings.make_strategy() == module.calm_days(0.2)
    assert settings.applies("target_volatility")
    assert not settings.applies("max_leverage")
    bars = make_bars("2024-06-03", "2024-10-31", minutes=5)
    check_strategy(settings.make_strategy(), bars)
    market = Market.of(bars, baseline_forecasts("ewma", bars))
    assert run_strategy(settings.make_strategy(), market).name == "in on calm days"


def test_a_strategy_whose_fields_are_no_settings_is_refused(add: Add) -> None:
    add("calm_days", STRATEGY.replace("@dataclass(frozen=True)\n", ""), "volcast.strategies")
    settings = BacktestSettings(strategy="calm_days")
    with pytest.raises(ConfigError, match="calm_days that is no dataclass"):
        settings.make_strategy()


HORIZON = """
from volcast.forecasters.horizons import buckets_ahead

half_session = buckets_ahead(4, "half a session")
"""


@pytest.mark.train
def test_a_horizon(bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_horizon.py").write_text(HORIZON)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(HORIZONS, 4, importlib.import_module("my_horizon").half_session)
    check_horizon(4)
    settings = {"networks": 1, "epochs": 1, "memory": 8, "accept_quality": True}
    result = LocalLSTMTrainer({**settings, "model_save_path": str(tmp_path / "models")}).run_training_pipeline(
        bars=bars
    )
    forecaster = VolatilityForecaster(Path(str(result.bundle.path)))
    forecast = forecaster.forecast(make_bars("2024-06-03", "2025-01-03"), horizon=4)
    assert forecast.horizon == 4
    assert 0 < forecast.lower < forecast.volatility < forecast.upper
    series = forecaster.forecast_series(make_bars("2024-06-03", "2025-01-10"), horizon=4)
    assert (series["volatility"] > 0).all()
