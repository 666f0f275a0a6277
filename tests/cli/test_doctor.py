"""`volcast doctor`: one screen that says what is here, and what cannot be used."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.bars import ROOT
from volcast.cli.doctor import main


def test_it_says_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "tests" / "data" / "schema-2", tmp_path / "volatility_models" / "schema-2")
    assert main(["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "1 saved, serving schema-2" in said["models"]
    assert said["calendar"].startswith("XNYS reaches 20")
    assert said["problems"] == []
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    assert any("pandas" in line for line in lines)


def test_a_model_that_is_damaged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "volatility_models" / "schema-2"
    shutil.copytree(ROOT / "tests" / "data" / "schema-2", model)
    (model / "recipe.json").write_text("{}")
    assert main([]) == 1
    assert "schema-2" in capsys.readouterr().err
