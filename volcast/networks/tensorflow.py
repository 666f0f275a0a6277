"""TensorFlow, loaded without its talk about instruction sets and graphics cards, and the device it computes on."""

import contextlib
import os
import sys
from collections.abc import Iterator

from volcast.networks.schedule import Engine

__all__ = ["compute_device", "load_tensorflow_quietly"]


def load_tensorflow_quietly() -> None:
    """Load TensorFlow and Keras, if they are not loaded yet, with standard error of the whole process put aside.

    ``TF_CPP_MIN_LOG_LEVEL`` alone does not do it: part of the talk comes before TensorFlow reads it.

    Raises
    ------
    ImportError
        They are not installed, or do not load.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" not in sys.modules:
        with _standard_error_put_aside():
            import keras  # noqa: F401


@contextlib.contextmanager
def _standard_error_put_aside() -> Iterator[None]:
    # The descriptor, not sys.stderr: the talk comes from C++.
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def compute_device(engine: Engine = "auto") -> str:
    """What computes, in words: the CPU by the compiled engine, or the first GPU, else the CPU, by Keras."""
    if engine != "keras":
        return f"CPU by the compiled engine{_compilation_ahead()}"
    gpu = _first_gpu()
    return "CPU by Keras" if gpu is None else f"GPU ({gpu}) by Keras"


def _compilation_ahead() -> str:
    from volcast.networks.compiled.kernel_cache import is_compiled

    return "" if is_compiled() else ", which is compiled first: about 20 s, once on this machine"


def _first_gpu() -> str | None:
    """Name of the first graphics card that TensorFlow sees; None without one."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(gpus[0].name) if gpus else None
