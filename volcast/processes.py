"""Child processes that run a module of this package, wherever the package lies."""

import os
import sys
from pathlib import Path

__all__ = ["environment_of_children", "module_command"]


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module`, by its dotted name, with this very interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment_of_children() -> dict[str, str]:
    """This process' environment, so that a child imports the package that its parent runs, installed or not."""
    place = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": place if not others else os.pathsep.join([place, others])}
