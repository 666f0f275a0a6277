"""The project installs what it says: modules that exist, extras that setuptools accepts, requirements that agree."""

import tomllib
from pathlib import Path

from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]["setuptools"]


def requirements(name: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {line for line in lines if line}


def test_every_module_is_packaged() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} <= set(TOOL["py-modules"])
    assert TOOL["py-modules"] == sorted(TOOL["py-modules"])


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
