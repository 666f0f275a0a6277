"""The benchmark gives each way of training a process of its own: TensorFlow and PyTorch never meet in one."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.ensembles import ENSEMBLE_WAYS
from benchmarks.epochs import EpochWorker
from benchmarks.training import compare_ensembles, compare_epochs
from benchmarks.ways import Network
from tests.support.bars import ROOT, make_bars
from volcast.config import TrainingConfig
from volcast.errors import TrainingError

TINY = Network((4,), batch=8)

PREPARED = """
import sys
import benchmarks.ensembles, benchmarks.epochs, benchmarks.training
from benchmarks.torch_search import prepared_samples
train, validation = prepared_samples({{"symbol": "SPY", "network": "roadmap", "memory": 20}}, {bars!r})
assert len(train[0]) > len(validation[0]) > 0
assert not {{"tensorflow", "keras", "torch"}} & set(sys.modules)
"""


def test_neither_the_comparison_nor_pytorchs_search_loads_tensorflow(tmp_path: Path) -> None:
    make_bars("2024-08-01", "2024-12-31").to_parquet(tmp_path / "spy.parquet")
    script = PREPARED.format(bars=str(tmp_path / "spy.parquet"))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_process_that_ends_is_one_sentence() -> None:
    with (
        EpochWorker("a way that there is not", TINY, 64) as worker,
        pytest.raises(TrainingError, match="a way that there is not ended with 1"),
    ):
        worker.train_epoch()


@pytest.mark.train
def test_each_way_is_timed_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.training._EPOCHS", {"tiny": (TINY, 64)})
    comparisons = compare_epochs(["tiny"], 3, ["Keras", "local_training"])
    assert [comparison.way for comparison in comparisons] == ["Keras", "local_training"]
    assert all(len(comparison.values) == 3 for comparison in comparisons)
    assert all(seconds > 0 for comparison in comparisons for seconds in comparison.values)
    assert comparisons[0].ratio == 1


# Looked for, not imported: this process may have TensorFlow.
@pytest.mark.skipif(find_spec("torch") is None, reason="no PyTorch: pip install -r requirements_bench.txt")
def test_pytorch_trains_an_epoch() -> None:
    with EpochWorker("PyTorch", TINY, 64) as worker:
        assert worker.train_epoch() > 0


def small_panel(folder: Path) -> TrainingConfig:
    """A training of two short files with two networks of two epochs."""
    for seed, name in enumerate(("AAA", "BBB")):
        make_bars("2024-06-03", "2024-12-31", seed=seed, minutes=5).to_parquet(folder / f"{name}_5min.parquet")
    return TrainingConfig.from_mapping(
        {
            "symbols": ("AAA", "BBB"),
            "bars_source": "file",
            "bars_path": str(folder),
            "networks": 2,
            "epochs": 2,
            "accept_quality": True,
        }
    )


@pytest.mark.train
def test_whole_trainings_are_timed_and_their_losses_told(tmp_path: Path) -> None:
    ways = [way for way in ENSEMBLE_WAYS if way.startswith("local_training")]
    comparisons = compare_ensembles(small_panel(tmp_path), 1, ways)
    assert [(one.way, one.unit) for one in comparisons] == [
        (way, unit) for unit in ("s", "s of processor", "validation loss") for way in ways
    ]
    assert all(value > 0 for one in comparisons for value in one.values)
    # Networks side by side are the same networks.
    assert comparisons[-1].values == comparisons[-2].values


@pytest.mark.skipif(find_spec("torch") is None, reason="no PyTorch: pip install -r requirements_bench.txt")
def test_pytorch_trains_the_same_networks_to_their_end(tmp_path: Path) -> None:
    ways = ["PyTorch, one thread", "PyTorch, two processes", "local_training, one thread"]
    *_, alone, side_by_side, ours = compare_ensembles(small_panel(tmp_path), 1, ways)
    assert alone.values[0] == pytest.approx(side_by_side.values[0], rel=1e-6)
    assert ours.values[0] == pytest.approx(alone.values[0], rel=0.3)
