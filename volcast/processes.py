"""The cores that there are, and child processes that run a module of this package, wherever the package lies."""

import os
import sys
from pathlib import Path

__all__ = ["cores", "environment_of_children", "module_command"]


def cores() -> int:
    """How many cores this process may use."""
    # Of the machine's, where the system does not say.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module`, by its dotted name, with this very interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment_of_children() -> dict[str, str]:
    """This process' environment, so that a child imports the package that its parent runs, installed or not."""
    place = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": place if not others else os.pathsep.join([place, others])}
