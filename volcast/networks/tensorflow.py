"""TensorFlow, loaded without its talk about instruction sets and missing graphics cards: for command lines."""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["load_tensorflow_quietly"]


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
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
