"""What the wheel brings: the package and four doors, which work in a new environment, from any folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.bars import ROOT, make_bars

pytestmark = pytest.mark.slow

DOORS = ("data_handler", "local_training", "training_config", "volatility_forecaster")

FORECAST = """
import json, sys
import pandas as pd
import volcast
from volatility_forecaster import VolatilityForecaster

forecast = VolatilityForecaster(sys.argv[1]).forecast(pd.read_parquet(sys.argv[2]))
print(json.dumps({
    "package": volcast.__file__, "volatility": forecast.volatility, "is_fallback": forecast.is_fallback,
    "tensorflow": "tensorflow" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without an index from a copy, so that no earlier build gets into it."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", *(path.name for path in ROOT.glob("*.py"))):
        shutil.copy(ROOT / name, source)
    for folder in ("volcast", "benchmarks", "studies", "tests/support"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(built), str(source)], check=True)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment that has the wheel, and what it needs from this one."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    paths = sysconfig.get_paths(vars={"base": str(place), "platbase": str(place)})
    # The folder alone: what is installed there to be edited, as this checkout may be, is not found through it.
    (Path(paths["purelib"]) / "needed.pth").write_text(sysconfig.get_paths()["purelib"])
    scripts = Path(paths["scripts"])
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(scripts / "python"), "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(wheel)], check=True)
    return scripts


def run(command: Path, *arguments: str, cwd: Path) -> str:
    """What a command prints in a process that knows nothing of this checkout."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([command, *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_brings_the_package_and_four_doors(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    brought = {name.split("/")[0] for name in names}
    assert {name for name in brought if not name.endswith(".dist-info")} == {"volcast", *(f"{d}.py" for d in DOORS)}
    assert "volcast/py.typed" in names


@pytest.mark.parametrize("door", DOORS)
def test_each_door_opens_from_another_folder(environment: Path, door: str, tmp_path: Path) -> None:
    script = f"import {door} as door; print(door.__file__); [getattr(door, name) for name in door.__all__]"
    opened = run(environment / "python", "-c", script, cwd=tmp_path)
    assert Path(opened.strip()).is_relative_to(environment.parent)


@pytest.mark.parametrize("door", ["data_handler", "local_training"])
def test_a_door_with_a_command_is_one(environment: Path, door: str, tmp_path: Path) -> None:
    assert f"usage: {door}.py" in run(environment / "python", "-m", door, "--help", cwd=tmp_path)


@pytest.mark.parametrize("command", [(), ("train",), ("bars",), ("evaluate",), ("models",), ("backtest",), ("doctor",)])
def test_the_command_says_how_it_is_used(environment: Path, command: tuple[str, ...], tmp_path: Path) -> None:
    assert " ".join(("usage: volcast", *command)) in run(environment / "volcast", *command, "--help", cwd=tmp_path)


def test_the_command_says_its_version(environment: Path, wheel: Path, tmp_path: Path) -> None:
    assert run(environment / "volcast", "--version", cwd=tmp_path).strip() == wheel.name.split("-")[1]


def test_a_forecast(environment: Path, tmp_path: Path) -> None:
    make_bars("2024-11-01", "2024-11-29").to_parquet(tmp_path / "bars.parquet")
    model = str(ROOT / "tests" / "data" / "schema-2")
    answer = json.loads(run(environment / "python", "-c", FORECAST, model, "bars.parquet", cwd=tmp_path))
    assert Path(answer["package"]).is_relative_to(environment.parent)
    assert 0 < answer["volatility"] < 0.1
    assert not answer["is_fallback"]
    assert not answer["tensorflow"]
