"""The compiled kernel, compiled by another process: one seed gives one model, on the first run of a machine too.

A process that compiles a function runs code whose last bits may differ from those of the code that later processes load
from Numba's cache. So none trains with what it compiled itself.
"""

import os
import subprocess
import sys
import threading

from volcast.processes import environment_of_children

__all__ = ["compile_elsewhere", "is_compiled"]

_COMPILING = "LSTM_KERNEL_IS_BEING_COMPILED"
_ONE_AT_A_TIME = threading.Lock()
_TINY_TRAINING = """
import numpy as np
from volcast.networks.architectures import build_lstm_from_values
from volcast.networks.schedule import Schedule
from volcast.networks.fitting import fit_network
model = build_lstm_from_values({"n_layers": 1, "units_0": 16, "dropout_0": 0.1, "lr": 1e-3}, 4)
windows, targets = np.zeros((8, 4, 1), np.float32), np.zeros(8, np.float32)
fit_network(model, (windows, targets), (windows, targets), Schedule(1, 4, 1, engine="fast"), lambda *epoch: None)
"""


def compile_elsewhere() -> None:
    """Fill Numba's cache with the kernel, if it is not there yet: some twenty seconds, once a machine.

    Where that fails (no place to write, say), the caller compiles for itself.
    """
    with _ONE_AT_A_TIME:
        if os.environ.get(_COMPILING) or is_compiled():
            return
        subprocess.run(
            [sys.executable, "-c", _TINY_TRAINING],
            env={**environment_of_children(), _COMPILING: "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def is_compiled() -> bool:
    """Whether the kernel is in Numba's cache."""
    from volcast.networks.compiled import kernel

    # Numba has no public way to ask what is in a function's cache.
    return bool(kernel.batch_gradient._cache._cache_file._load_index())
