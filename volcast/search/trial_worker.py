"""A worker of a search: asks the chief for trials, trains them, and ends when the search or the chief does.

Run by the chief as ``python trial_worker.py HOST:PORT DIRECTORY``; on another machine by
``python local_training.py --worker HOST:PORT`` with the chief's other options.
"""

import contextlib
import io
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from volcast.errors import TrainingError
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.progress import SilentProgress
from volcast.search.tuner import TrialsToDo, make_tuner, quick_collections

__all__ = ["work"]

_SECONDS_TO_CONNECT = 30
_SECONDS_TO_END = 15


def work(todo: TrialsToDo, address: str) -> int:
    """Train trials for the chief at `address`, HOST:PORT, until the search is finished; returns how many.

    Raises
    ------
    TrainingError
        Nobody answers there, or the chief's settings or data are others.
    """
    import grpc

    tuner_id = f"worker-{uuid4().hex[:12]}"
    todo.directory.mkdir(parents=True, exist_ok=True)
    counter = _Counter()
    with (
        _presence(tuner_id, address, todo.directory.name) as end,
        _named_in_environment(tuner_id, address),
        contextlib.redirect_stdout(io.StringIO()),
        quick_collections(),
    ):
        try:
            make_tuner(todo, counter).search()
        except grpc.RpcError as error:
            # A chief that ends answers no more before it has told why, which ends this process.
            end.join(_SECONDS_TO_END)
            raise TrainingError(
                f"the chief at {address} answers no more; it must until the search ends; start both again to go on."
            ) from error
    return counter.trials


@contextlib.contextmanager
def _named_in_environment(tuner_id: str, address: str) -> Iterator[None]:
    """Where Keras Tuner looks for a chief."""
    host, _, port = address.rpartition(":")
    names = {"KERASTUNER_TUNER_ID": tuner_id, "KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": port}
    os.environ |= names
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


class _Counter(SilentProgress):
    trials = 0

    def trial_began(self, number: int) -> None:
        self.trials += 1


@contextlib.contextmanager
def _presence(tuner_id: str, address: str, search: str) -> Iterator[threading.Thread]:
    """Hold the call open by which the chief knows that this worker lives; its end, in a thread, ends the process."""
    import grpc

    from volcast.search.workers import KEEP_ALIVE, PRESENCE

    channel = grpc.insecure_channel(address, options=KEEP_ALIVE)
    messages: queue.Queue[bytes | None] = queue.Queue()
    messages.put(json.dumps({"tuner_id": tuner_id, "search": search}).encode())
    try:
        grpc.channel_ready_future(channel).result(_SECONDS_TO_CONNECT)
        answers = channel.stream_stream(PRESENCE)(iter(messages.get, None))
        refusal = next(answers)
    except (grpc.FutureTimeoutError, grpc.RpcError) as error:
        raise TrainingError(
            f"no chief answers at {address}; a worker needs one; start it with --chief {address} on its machine first."
        ) from error
    if refusal:
        raise TrainingError(f"the chief at {address} refused this worker: {refusal.decode()}.")
    working = threading.Event()
    end = threading.Thread(target=_end_with, args=(answers, address, working), daemon=True)
    end.start()
    try:
        yield end
    finally:
        working.set()
        messages.put(None)
        channel.close()


def _end_with(answers: Iterator[bytes], address: str, done: threading.Event) -> None:
    """End the process, in the middle of a trial if need be, when the chief does."""
    finished = False
    with contextlib.suppress(Exception):
        finished = any(answer == b"finished" for answer in answers)
    if done.is_set():
        return
    if not finished:
        print(f"The chief at {address} is gone: this worker ends; start both again to go on.", file=sys.stderr)
    sys.stderr.flush()
    os._exit(0 if finished else 1)


def main() -> int:
    """A worker process of this machine."""
    from volcast.search.workers import load_job

    # One thread each: the others belong to the other workers.
    os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    address, directory = sys.argv[1:]
    todo = load_job(Path(directory))
    load_tensorflow_quietly()
    work(todo, address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
