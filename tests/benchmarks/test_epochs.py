"""The benchmark gives each way of training a process of its own: TensorFlow and PyTorch never meet in one."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.epochs import EpochWorker
from benchmarks.training import compare_epochs
from benchmarks.ways import Network
from tests.support.bars import ROOT, make_bars
from volcast.errors import TrainingError

TINY = Network((4,), batch=8)

PREPARED = """
import sys
import benchmarks.epochs, benchmarks.training
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
