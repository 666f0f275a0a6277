"""The chief's side of a search in several processes: hands trials to workers over gRPC and notices who is gone.

The messages are those of Keras Tuner's chief and workers. What they lack is a way to notice the dead: each worker
holds one more call open for as long as it lives (`PRESENCE`), and its trial is given to another when the call breaks.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volcast.errors import TrainingError
from volcast.processes import environment_of_children, module_command
from volcast.progress import SilentProgress
from volcast.search.tuner import ENDING, Arrays, TrialsToDo, give_back, keep_state, tell_of_end

if TYPE_CHECKING:
    import keras_tuner

__all__ = ["KEEP_ALIVE", "PRESENCE", "TrialServer", "load_job", "local_workers"]

PRESENCE = "/trials/Presence"
KEEP_ALIVE = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]
"""A machine that vanishes without a word is noticed after half a minute."""

_MOST_WORKERS = 256
# What is over sooner is not waited for.
_SECONDS_TO_TELL = 10.0
_JOB = "job.json"


class TrialServer:
    """Serves the trials of `oracle` on `address`, HOST:PORT; port 0 takes a free one.

    `progress` is told, in a thread of the server, of each trial that a worker ended.
    """

    def __init__(
        self,
        oracle: "keras_tuner.Oracle",
        todo: TrialsToDo,
        address: str,
        before_trial: Callable[["keras_tuner.Oracle"], None],
        progress: SilentProgress,
    ) -> None:
        import grpc
        from keras_tuner.src import protos

        self._oracle, self._search = oracle, todo.directory.name
        self._closing = threading.Event()
        servicer = _servicer(oracle, todo.directory, before_trial, progress)
        self._server = grpc.server(ThreadPoolExecutor(_MOST_WORKERS), options=[*KEEP_ALIVE, ("grpc.so_reuseport", 0)])
        protos.get_service_grpc().add_OracleServicer_to_server(servicer, self._server)
        presence = grpc.stream_stream_rpc_method_handler(self._hold)
        service, method = PRESENCE.strip("/").split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: presence}),))
        host, _, _ = address.rpartition(":")
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise TrainingError(
                f"the address {address} cannot be listened on; it must be this machine's and its port free; "
                "give another --chief HOST:PORT."
            ) from error
        self.address = f"{host}:{port}"
        self._server.start()

    def _hold(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One worker's presence, from its first message to the end of the call, however it ends."""
        hello = json.loads(next(messages))
        if hello["search"] != self._search:
            yield b"its settings or its data are not the chief's; give both the same configuration and bars"
            return
        gone = threading.Event()
        context.add_callback(gone.set)
        yield b""
        while not self._closing.is_set() and not gone.wait(0.1):
            pass
        give_back(self._oracle, hello["tuner_id"])
        if not gone.is_set():
            yield b"finished"

    def wait_for_trials(self) -> bool:
        """Wait until no trial runs in a worker; true where one came back instead of ending."""
        while self._oracle.ongoing_trials and not self._oracle._retry_queue:
            time.sleep(0.05)
        return bool(self._oracle._retry_queue)

    def close(self) -> None:
        """Tell the workers that the search is finished, and stop."""
        self._closing.set()
        self._server.stop(grace=_SECONDS_TO_TELL).wait()


def _servicer(
    oracle: "keras_tuner.Oracle",
    directory: Path,
    before_trial: Callable[["keras_tuner.Oracle"], None],
    progress: SilentProgress,
) -> Any:
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    class KeepingServicer(OracleServicer):  # type: ignore[misc]
        def CreateTrial(self, request: Any, context: Any) -> Any:
            before_trial(oracle)
            return super().CreateTrial(request, context)

        def EndTrial(self, request: Any, context: Any) -> Any:
            with ENDING:
                answer = super().EndTrial(request, context)
                keep_state(oracle, directory)
                tell_of_end(oracle, request.trial.trial_id, progress)
            return answer

    return KeepingServicer(oracle)


@contextlib.contextmanager
def local_workers(todo: TrialsToDo, address: str, count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """`count` worker processes of this machine for the search at `address`; none outlives the context."""
    _write_job(todo)
    command = module_command("volcast.search.trial_worker", address, str(todo.directory))
    workers = []
    try:
        for number in range(count):
            with (todo.directory / f"worker_{number}.log").open("wb") as log:
                # A session of its own: Ctrl-C is for the chief, which ends its workers.
                process = subprocess.Popen(
                    command,
                    env=environment_of_children(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            workers.append(process)
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(5)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _write_job(todo: TrialsToDo) -> None:
    """Leave settings and data where worker processes find them; overlapping windows as the series they overlap in."""
    overlaps = {}
    for part, (windows, targets) in (("train", todo.train), ("validation", todo.validation)):
        overlaps[part] = windows.strides[0] == windows.strides[1] and len(windows) > 0
        base = np.concatenate([windows[0], windows[1:, -1]]) if overlaps[part] else windows
        np.save(todo.directory / f"{part}_windows.npy", base)
        np.save(todo.directory / f"{part}_targets.npy", targets)
    (todo.directory / _JOB).write_text(json.dumps({"config": todo.config.as_dict(), "overlaps": overlaps}))


def load_job(directory: Path) -> TrialsToDo:
    """What `local_workers` left in `directory`; arrays are mapped, not read."""
    from volcast.config import TrainingConfig

    job = json.loads((directory / _JOB).read_text())
    config = TrainingConfig.from_mapping(job["config"])

    def arrays(part: str) -> Arrays:
        windows = np.load(directory / f"{part}_windows.npy", mmap_mode="r")
        if job["overlaps"][part]:
            windows = np.lib.stride_tricks.sliding_window_view(windows, config.memory, axis=0).transpose(0, 2, 1)
        return windows, np.load(directory / f"{part}_targets.npy", mmap_mode="r")

    return TrialsToDo(config, arrays("train"), arrays("validation"), directory)
