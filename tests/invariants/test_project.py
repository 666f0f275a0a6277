"""The project installs what it says: modules that exist, extras that setuptools accepts, requirements that agree."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.bars import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]["setuptools"]


def requirements(name: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {line for line in lines if line}


def test_a_wheel_brings_the_package_and_four_doors() -> None:
    at_the_top = {path.stem for path in ROOT.glob("*.py")}
    assert at_the_top - set(TOOL["py-modules"]) == {"main", "benchmark_training"}
    assert set(TOOL["py-modules"]) == {"data_handler", "local_training", "training_config", "volatility_forecaster"}
    assert TOOL["packages"]["find"]["include"] == ["volcast*"]


def test_the_top_of_the_repository_fits_one_screen() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert len({line.split("/")[0] for line in listed.stdout.splitlines()}) < 25


def test_nothing_is_given_twice_and_every_file_is_there() -> None:
    # Setuptools refuses a field that is both dynamic and written out.
    assert not set(PROJECT["project"]["dynamic"]) & set(PROJECT["project"])
    extras = TOOL["dynamic"]["optional-dependencies"]
    for source in (TOOL["dynamic"]["dependencies"], *extras.values()):
        for name in source["file"]:
            assert requirements(name), name
    assert {"train", "dev"} <= set(extras)
    assert (ROOT / PROJECT["project"]["readme"]).is_file()


def test_training_needs_what_forecasting_needs() -> None:
    assert requirements("requirements.txt") <= requirements("requirements_training.txt")
    assert not any(line.startswith(("tensorflow", "keras")) for line in requirements("requirements.txt"))


def test_make_installs_what_training_and_tests_need() -> None:
    assert "'.[train,dev]'" in Path(ROOT / "Makefile").read_text()
