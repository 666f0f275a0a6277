"""Work on the machines of a Ray cluster, of which any part may fail."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from volcast.errors import TrainingError
from volcast.packages import required_module
from volcast.processes import environment_of_children

__all__ = ["ONE_THREAD", "results_on_ray"]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
"""Environment of processes that train side by side, one a core."""

Key = TypeVar("Key")
Result = TypeVar("Result")


def results_on_ray(
    work: Callable[..., Result], tasks: Mapping[Key, tuple[Any, ...]], address: str, *shared: Any
) -> Iterator[tuple[Key, Result | TrainingError]]:
    """What ``work(*task, *shared)`` returns on the cluster at `address`, as it comes, or why there is nothing.

    Parameters
    ----------
    work
        A function that can be imported there, too; each call has one core.
    tasks
        What each call alone is told, by a key that comes back with its result.
    address
        Ray's, HOST:PORT; ``"local"`` begins a cluster on this machine.
    shared
        What each call is told, sent to each machine once.

    Raises
    ------
    TrainingError
        The cluster cannot be reached, or Ray is not installed.
    """
    ray = required_module("ray", "trainings on a cluster", "ray")
    try:
        environment = {"env_vars": {**ONE_THREAD, "PYTHONPATH": environment_of_children()["PYTHONPATH"]}}
        ray.init(address=address, log_to_driver=False, runtime_env=environment)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise TrainingError(f"no Ray cluster answers at {address}: {error}; start one, or leave --ray out.") from error
    try:
        remote, sent = ray.remote(num_cpus=1)(work), [ray.put(value) for value in shared]
        waiting = {remote.remote(*task, *sent): key for key, task in tasks.items()}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            key = waiting.pop(ready)
            try:
                yield key, ray.get(ready)
            except ray.exceptions.RayError as error:
                yield key, TrainingError(f"its Ray task failed: {str(error).splitlines()[0]}")
    finally:
        ray.shutdown()
