"""The project installs what it says, from one list of requirements; its lock and its files hold together."""

import re
import subprocess
import tomllib
from importlib import metadata

import pytest

from tests.support.bars import ROOT
from volcast import __version__

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
LOCK = (ROOT / "requirements.lock").read_text()


def name_of(requirement: str) -> str:
    """The name in a line of requirements, as package indexes compare them."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", requirement)[0]).lower()


def lines_of(name: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def test_a_wheel_brings_the_package_and_four_doors() -> None:
    at_the_top = {path.stem for path in ROOT.glob("*.py")}
    assert at_the_top - set(SETUPTOOLS["py-modules"]) == {"main", "benchmark_training"}
    assert set(SETUPTOOLS["py-modules"]) == {
        "data_handler",
        "local_training",
        "training_config",
        "volatility_forecaster",
    }
    assert SETUPTOOLS["packages"]["find"]["include"] == ["volcast*"]


def test_the_top_of_the_repository_fits_one_screen() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert len({line.split("/")[0] for line in listed.stdout.splitlines()}) <= 25


def test_forecasting_needs_no_tensorflow() -> None:
    assert not {"tensorflow", "keras", "keras-tuner", "pyarrow", "matplotlib"} & {
        name_of(line) for line in PROJECT["dependencies"]
    }


def test_files_of_requirements_repeat_nothing() -> None:
    assert lines_of("requirements_training.txt") == ["-e .[train,backtest]"]
    assert lines_of("requirements_bench.txt") == ["-e .[train,bench]"]


def test_the_lock_has_every_requirement_with_its_hashes_and_names_no_index() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = {
        name_of(line)
        for requirements in (
            PROJECT["dependencies"],
            *(extras[name] for name in ("train", "backtest", "dev", "docs")),
        )
        for line in requirements
    }
    pinned = re.findall(r"^([\w.-]+)==\S+.*\\\n    --hash=sha256:", LOCK, flags=re.MULTILINE)
    assert wanted <= {name_of(name) for name in pinned}
    assert len(pinned) == len(re.findall(r"^\w", LOCK, flags=re.MULTILINE))
    assert not re.findall(r"https?://|file:|^--", LOCK, flags=re.MULTILINE)


def test_no_package_of_the_lock_binds_whoever_works_with_it() -> None:
    """Frameworks under other terms stand in environments of their own, see `examples/`."""
    bound = re.compile(r"(?<!L)GPL|Affero|(?<!Lesser )General Public|Commons Clause|Fair Code", re.IGNORECASE)
    assert bound.search("License :: OSI Approved :: GNU Affero General Public License v3")
    terms = {name: terms_of(name) for name in re.findall(r"^([\w.-]+)==", LOCK, flags=re.MULTILINE)}
    assert sum(map(bool, terms.values())) > 100
    assert {name: said for name, said in terms.items() if bound.search(said)} == {}


def terms_of(package: str) -> str:
    """What an installed package says of its licence; nothing of one that only another system or Python has."""
    try:
        about = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return ""
    fields = {name: about.get_all(name) or [] for name in ("License-Expression", "License", "Classifier")}
    # Some packages write the whole of their licence there.
    terms = [*fields["License-Expression"], *(text[:200] for text in fields["License"])]
    return " ".join([*terms, *(line for line in fields["Classifier"] if line.startswith("License"))])


def test_the_changelog_speaks_of_the_version_in_the_package() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert __version__ in versions[:2]
