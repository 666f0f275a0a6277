"""A symbol that is trained together with others: from where these come, and what is served of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.configured import LIQUID, companions_of
from volcast.errors import ConfigError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.retraining.retraining import RetrainingOutcome
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

pytestmark = pytest.mark.train

SMALL: dict[str, Any] = {"symbol": "AAA", "networks": 1, "epochs": 2, "accept_quality": True}


def bars_of(seed: int, last: str = "2024-12-31") -> pd.DataFrame:
    frame = make_bars("2024-05-01", last, seed=seed, minutes=5)
    random = np.random.default_rng(seed)
    return frame.assign(volume=np.exp(random.normal(8, 1, len(frame))).round())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three companions, which go on a month after the symbol's own bars."""
    place = tmp_path_factory.mktemp("bars")
    for seed, name in enumerate(("BBB", "CCC", "DDD")):
        bars_of(seed + 20, "2025-01-31").to_parquet(place / f"{name}_5min.parquet")
    return place


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return training(folder, tmp_path_factory.mktemp("models"))


def training(folder: Path, store: Path, **settings: Any) -> TrainingResult:
    companions = {"companions": "BBB,CCC,DDD,EEE", "bars_path": str(folder)}
    config = {**SMALL, **companions, "model_save_path": str(store), **settings}
    return LocalLSTMTrainer(config).run_training_pipeline(bars=bars_of(5))


def recipe_of(result: TrainingResult) -> HarLstm:
    assert isinstance(result.bundle.recipe, HarLstm)
    return result.bundle.recipe


def test_it_is_a_model_of_the_symbol_that_knows_the_others(trained: TrainingResult) -> None:
    assert set(recipe_of(trained).symbols) == {"AAA", "BBB", "CCC", "DDD"}
    assert trained.bundle.manifest["symbol"] == "AAA"
    assert trained.bundle.name.startswith("AAA-")
    assert list(trained.failed) == ["EEE"]
    # It is judged on the symbol alone, beside that symbol's baselines, and looks at no market, which is not served.
    assert not trained.evaluation.symbols
    assert not recipe_of(trained).features.with_market


def test_it_serves_the_symbols_own_bars(trained: TrainingResult) -> None:
    bars = bars_of(5)
    forecaster = VolatilityForecaster(trained.bundle.path)
    series = forecaster.forecast_series(bars)
    unnamed = forecaster.forecast(bars)
    named = forecaster.forecast(bars, symbol="AAA")
    assert unnamed == named
    asof = series["asof"].iloc[-20]
    assert forecaster.forecast(bars, asof).volatility == series["volatility"].iloc[-20]
    # Its hours are those that it was trained on, and not a stranger's.
    measures = trained.data.measures["AAA"].copy()
    measures.attrs = {"symbol": "AAA"}
    labels, position = time_index(measures), int(measures.index.searchsorted(asof, side="right"))
    plain = recipe_of(trained).forecast(trained.bundle.networks, measures, labels[[position]], np.array([position]))
    assert plain.volatility[0] == pytest.approx(series["volatility"].iloc[-20], rel=1e-6)


def test_companions_after_the_symbols_last_bar_are_not_looked_at(
    trained: TrainingResult, folder: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("BBB", "CCC", "DDD")):
        frame = bars_of(seed + 20, "2025-01-31")
        later = frame.index >= pd.Timestamp("2025-01-01", tz="America/New_York")
        frame.loc[later, ["open", "high", "low", "close"]] *= 3
        frame.to_parquet(tmp_path / f"{name}_5min.parquet")
    again = training(tmp_path, tmp_path / "models")
    assert json.dumps(recipe_of(again).to_dict()) == json.dumps(recipe_of(trained).to_dict())


def test_without_a_source_it_is_trained_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = training(tmp_path / "empty", tmp_path / "models")
    assert set(recipe_of(result).symbols) == {"AAA"}
    assert len(result.failed) == 4
    alone = LocalLSTMTrainer({**SMALL, "model_save_path": str(tmp_path / "alone")}).run_training_pipeline(
        bars=bars_of(5)
    )
    assert json.dumps(recipe_of(result).to_dict()) == json.dumps(recipe_of(alone).to_dict())


def test_it_is_retrained_with_them(trained: TrainingResult, folder: Path, tmp_path: Path) -> None:
    companions = {"companions": "BBB,CCC,DDD", "bars_path": str(folder)}
    settings = {**SMALL, **companions, "every": "week", "model_save_path": str(tmp_path)}
    forecaster = VolatilityForecaster(trained.bundle.path, settings)
    bars = pd.concat([bars_of(5), make_bars("2025-01-02", "2025-01-31", seed=9, minutes=5).assign(volume=5000.0)])
    outcome = forecaster.retrain_if_due(bars, background=False)
    assert isinstance(outcome, RetrainingOutcome)
    manifest = json.loads((tmp_path / str(outcome.model_version) / "manifest.json").read_text())
    assert set(manifest["symbols"]) == {"AAA", "BBB", "CCC", "DDD"}


def test_names_are_checked(tmp_path: Path) -> None:
    auto = TrainingConfig.from_mapping({"symbol": "SPY", "companions": "auto"})
    assert companions_of(auto, "SPY") == tuple(name for name in LIQUID if name != "SPY")
    assert TrainingConfig.from_mapping({"companions": "none"}).companions == ()
    for wrong in ({"companions": "auto,SPY"}, {"companions": "SPY", "network": "roadmap"},
                  {"companions": "SPY", "symbols": "A,B"}, {"companions": "a\nb"}):  # fmt: skip
        with pytest.raises(ConfigError):
            TrainingConfig.from_mapping(wrong)
