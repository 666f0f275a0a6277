"""A store of runs and models of MLflow's, in a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["runs_in"]


@contextlib.contextmanager
def runs_in(folder: Path) -> Iterator[Any]:
    """Let MLflow write to `folder`; gives a client of it. Whatever it wrote to before comes back."""
    import mlflow

    before = mlflow.get_tracking_uri()
    # Which experiment is active goes with the process, not with the store.
    with mock.patch.dict(os.environ, {"MLFLOW_ALLOW_FILE_STORE": "true"}):
        mlflow.set_tracking_uri(folder.as_uri())
        mlflow.set_experiment("trials")
        try:
            yield mlflow.MlflowClient()
        finally:
            mlflow.set_tracking_uri(before)
