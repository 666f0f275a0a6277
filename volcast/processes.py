"""The cores that there are, threads on all of them, and child processes that run a module of this package."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

__all__ = ["InOrder", "cores", "environment_of_children", "module_command", "on_all_cores"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class InOrder(Protocol):
    """What `map` does: the result of each item, in their order."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """Results of `work`."""


def cores() -> int:
    """How many cores this process may use."""
    # Of the machine's, where the system does not say.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def on_all_cores(*, is_worth_it: bool) -> Iterator[InOrder]:
    """A `map` whose work begins at once and goes on in threads, one a core, until the context ends.

    For work that leaves Python's lock to others, as numpy on long arrays and ONNX Runtime do. Where it is not worth
    the threads, or there is one core, it is `map` itself, which works when its results are asked for.
    """
    if not is_worth_it or cores() == 1:
        yield map
        return
    # Threads begin with numpy's usual answer to what is no number.
    answers = np.geterr()

    def mapped(work: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        def alike(item: Item) -> Result:
            with np.errstate(**answers):
                return work(item)

        return pool.map(alike, items)

    with ThreadPoolExecutor(cores()) as pool:
        yield mapped


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module`, by its dotted name, with this very interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment_of_children() -> dict[str, str]:
    """This process' environment, so that a child imports the package that its parent runs, installed or not."""
    place = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": place if not others else os.pathsep.join([place, others])}
