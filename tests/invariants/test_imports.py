"""Importing a module does nothing: no output, no file, no thread, no TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

MODULES = sorted(path.stem for path in ROOT.glob("*.py"))

CODE = """
import functools, logging, os, sys, threading, warnings
sys.path.insert(0, {root!r})
ours = []

def watched(function):
    @functools.wraps(function)
    def call(*arguments, **settings):
        # The modules themselves: a virtual environment may lie below them.
        if os.path.dirname(sys._getframe(1).f_code.co_filename) == {root!r}:
            ours.append(function.__name__)
        return function(*arguments, **settings)
    return call

# Libraries set filters when they are imported; what counts is who calls.
for name in ("filterwarnings", "simplefilter"):
    setattr(warnings, name, watched(getattr(warnings, name)))
handlers = list(logging.getLogger().handlers)
import {module}
heavy = [name for name in ("tensorflow", "keras", "keras_tuner", "alpaca", "matplotlib.pyplot") if name in sys.modules]
assert not heavy, heavy
assert threading.active_count() == 1
assert logging.getLogger().handlers == handlers
assert not ours, ours
"""


@pytest.mark.parametrize("module", MODULES)
def test_importing_does_nothing(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(root=str(ROOT), module=module)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
