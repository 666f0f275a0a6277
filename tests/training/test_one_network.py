"""The networks of a model are the same whoever trains them: this process, another one, or a cluster."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.errors import ConfigError
from volcast.networks.schedule import seed_of_network
from volcast.training.one_network import trained_weights
from volcast.training.trainer import LocalLSTMTrainer

SYMBOLS = ("AAA", "BBB", "CCC")
SETTINGS = {"symbols": SYMBOLS, "networks": 2, "epochs": 2, "accept_quality": True}


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return pd.concat(
        {name: make_bars("2024-05-01", "2024-10-31", seed=seed, minutes=5) for seed, name in enumerate(SYMBOLS)}
    )


@pytest.fixture(scope="module")
def trainer(panel: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> LocalLSTMTrainer:
    trainer = LocalLSTMTrainer({**SETTINGS, "model_save_path": str(tmp_path_factory.mktemp("models"))})
    trainer.run_training_pipeline(bars=panel)
    return trainer


@pytest.mark.train
def test_weights_trained_from_shared_arrays_are_the_models(trainer: LocalLSTMTrainer) -> None:
    data = trainer.data
    assert data is not None
    parts = ((data.X_train, data.y_train), (data.X_val, data.y_val))
    for array in (array for part in parts for array in part):
        array.setflags(write=False)
    seed = seed_of_network(trainer.config.seed, 1)
    weights, history = trained_weights(trainer.config.as_dict(), seed, *parts)
    assert history == trainer.histories[1]
    for of_other, of_model in zip(weights, trainer.models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(of_other, of_model)


@pytest.mark.train
@pytest.mark.slow
def test_a_ray_cluster_trains_the_same_model(trainer: LocalLSTMTrainer, panel: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
    on_cluster = LocalLSTMTrainer({**SETTINGS, "model_save_path": str(tmp_path)}, ray_address="local")
    on_cluster.run_training_pipeline(bars=panel)
    assert on_cluster.histories == trainer.histories
    for ours, theirs in zip(on_cluster.models, trainer.models, strict=True):
        for weights, others in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, others)


def test_a_search_is_not_sent_to_ray() -> None:
    with pytest.raises(ConfigError, match="--chief and --worker"):
        LocalLSTMTrainer({"network": "roadmap"}, ray_address="localhost:6379")
