"""The command that looks after models, where it reads and writes the notebook's pair of files."""

import json
from pathlib import Path

import pytest

from volcast.cli.models import main
from volcast.store.store import ModelStore


def test_a_pair_that_is_not_there_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-colab", str(tmp_path / "absent.h5"), "--store", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "absent.h5" in said
    assert said.count("\n") == 1


@pytest.mark.train
def test_the_notebooks_pair_is_imported_and_written_again(
    tmp_path: Path, colab_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, pair = str(tmp_path / "models"), str(tmp_path / "pair")
    network, scaler = colab_dir / "volatility_lstm_model.h5", colab_dir / "volatility_scaler.pkl"
    named = ["--scaler", str(scaler), "--name", "notebook", "--store", store]
    assert main(["import-colab", str(network), *named, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "notebook"
    assert main(["import-colab", str(network), "--store", store]) == 0
    assert "let it serve with: volcast models promote" in capsys.readouterr().out
    assert len(ModelStore(store).list()) == 2
    assert main(["export", "notebook", pair, "--store", store]) == 0
    assert {path.name for path in Path(pair).iterdir()} == {"volatility_lstm_model.h5", "volatility_scaler.pkl"}
