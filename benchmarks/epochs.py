"""One way of training in a process of its own, which trains one epoch whenever it is asked and says how long it took.

TensorFlow and PyTorch's CUDA build do not live in one process: the second that is imported ends it with a
segmentation fault. So each way has its own, and the rounds still alternate.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Self

from benchmarks.ways import WAYS, Network, random_samples
from volcast.errors import TrainingError
from volcast.processes import environment_of_children, module_command

__all__ = ["EpochWorker", "main"]


class EpochWorker:
    """A process that trains `network` on `count` windows of a noisy wave by one of the `WAYS`; a context manager.

    Parameters
    ----------
    way : str
        One of `benchmarks.ways.WAYS`.
    network : Network
        What is trained; equal networks are fed equal windows, whatever the way.
    count : int
        Windows of an epoch.
    """

    def __init__(self, way: str, network: Network, count: int) -> None:
        self._way = way
        self._process = subprocess.Popen(
            module_command("benchmarks.epochs", way, json.dumps(asdict(network)), str(count)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_of_children(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends by itself when nobody can ask it any more.
        self._process.communicate()

    def train_epoch(self) -> float:
        """Train one epoch; returns its seconds as the process measured them, compilation included in the first.

        Raises
        ------
        TrainingError
            The process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(file=self._process.stdin, flush=True)
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            raise TrainingError(
                f"the process of {self._way} ended with {self._process.wait()} in the middle of an epoch; "
                "what it printed says why"
            )
        return float(answer)


def main() -> int:
    """Train an epoch for each line on standard input, and print its seconds."""
    way, fields, count = sys.argv[1:]
    network = Network.from_mapping(json.loads(fields))
    epoch = WAYS[way](network, random_samples(network, int(count)))
    for _ in sys.stdin:
        began = time.perf_counter()
        epoch()
        print(time.perf_counter() - began, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
