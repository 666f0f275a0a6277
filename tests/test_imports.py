"""Importing a module does nothing: no output, no file, no thread, no TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

MODULES = sorted(path.stem for path in ROOT.glob("*.py"))

CODE = """
import logging, sys, threading, warnings
sys.path.insert(0, {root!r})
filters, handlers = list(warnings.filters), list(logging.getLogger().handlers)
import {module}
heavy = [name for name in ("tensorflow", "keras", "keras_tuner", "alpaca", "matplotlib.pyplot") if name in sys.modules]
assert not heavy, heavy
assert threading.active_count() == 1
assert logging.getLogger().handlers == handlers
import exchange_calendars, pandas  # whose own filters are not ours
assert [f for f in warnings.filters if f not in filters and "volatil" in str(f)] == []
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
