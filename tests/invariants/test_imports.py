"""Importing a module does nothing: no output, no file, no thread, no TensorFlow."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import volcast
from tests.support.bars import ROOT

DOORS = ["data_handler", "local_training", "main", "training_config", "volatility_forecaster"]
ROOMS = ["volcast", *(f"volcast.{room.name}" for room in pkgutil.iter_modules(volcast.__path__) if room.ispkg)]

CODE = """
import functools, importlib, logging, os, pkgutil, sys, threading, warnings
sys.path.insert(0, {root!r})
ours = []

def watched(function):
    @functools.wraps(function)
    def call(*arguments, **settings):
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.split(".")[0] in ("volcast", *{doors!r}):
            ours.append(caller)
        return function(*arguments, **settings)
    return call

# Libraries set filters when they are imported; what counts is who calls.
for name in ("filterwarnings", "simplefilter"):
    setattr(warnings, name, watched(getattr(warnings, name)))
handlers = list(logging.getLogger().handlers)
room = importlib.import_module({module!r})
if {module!r} != "volcast" and hasattr(room, "__path__"):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        # The kernel is what loads Numba, and is itself loaded when a network is trained.
        if not module.name.endswith((".kernel", ".arithmetic")):
            importlib.import_module(module.name)
heavy = [name for name in ("tensorflow", "keras", "keras_tuner", "alpaca", "matplotlib.pyplot") if name in sys.modules]
assert not heavy, heavy
assert threading.active_count() == 1
assert logging.getLogger().handlers == handlers
assert not ours, ours
"""


@pytest.mark.parametrize("module", [*ROOMS, *DOORS])
def test_importing_does_nothing(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(root=str(ROOT), module=module, doors=DOORS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
