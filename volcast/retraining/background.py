"""A training that runs in a process of its own while its forecaster goes on forecasting."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from volcast import errors
from volcast.config import TrainingConfig
from volcast.errors import TrainingError, VolatilityError
from volcast.packages import required_module
from volcast.processes import environment_of_children, module_command
from volcast.retraining.retraining import RetrainingOutcome

__all__ = ["RetrainingJob"]

_PROCESS = "volcast.retraining.process"
_SECONDS_TO_END = 5.0
_TALK = re.compile(r"[IWEF]\d{4} |\d{4}-\d\d-\d\d |WARNING: |To enable the following")

ProgressHook = Callable[[dict[str, Any]], None]


class RetrainingJob:
    """A running retraining: `progress`, `cancel`, `wait`.

    Parameters
    ----------
    config, bars, symbol, name
        What to train, on what, and the name of the model; a `symbol` of None takes the configuration's.
    settle
        Is called with the saved model's name, or with what went wrong, in a thread of this process; what it returns
        is the outcome.
    overnight_bars
        Bars of another symbol that tell of nights; None where there are none.
    on_progress
        Is told of each step: dicts with an ``event`` (``"trial began"``, ``"epoch ended"`` ...) and its figures.
    """

    def __init__(
        self,
        config: TrainingConfig,
        bars: pd.DataFrame,
        symbol: str | None,
        name: str,
        settle: Callable[[str | VolatilityError], RetrainingOutcome],
        overnight_bars: pd.DataFrame | None = None,
        on_progress: ProgressHook | None = None,
    ) -> None:
        required_module("pyarrow", "trainings in the background", "train")
        self._settle, self._on_progress = settle, on_progress
        self._directory = Path(tempfile.mkdtemp(prefix="retraining-"))
        self._outcome: RetrainingOutcome | None = None
        self._failure: BaseException | None = None
        self._cancelled = False
        self.progress: dict[str, Any] = {"event": "starting"}
        bars.to_parquet(self._directory / "bars.parquet")
        job = {"config": config.as_dict(), "symbol": symbol, "name": name, "attrs": _plain(bars.attrs)}
        if overnight_bars is not None:
            overnight_bars.to_parquet(self._directory / "overnight_bars.parquet")
            job["overnight_attrs"] = _plain(overnight_bars.attrs)
        (self._directory / "job.json").write_text(json.dumps(job))
        with (self._directory / "errors.txt").open("wb") as errors_file:
            self._process = subprocess.Popen(
                module_command(_PROCESS, str(self._directory)),
                env=environment_of_children(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors_file,
                start_new_session=True,
                text=True,
            )
        self._thread = threading.Thread(target=self._follow, name=f"retraining {name}", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the retraining has ended: promoted, kept out, failed or cancelled."""
        return not self._thread.is_alive()

    @property
    def process_id(self) -> int:
        """Identifier of the process that trains."""
        return self._process.pid

    def wait(self, timeout: float | None = None) -> RetrainingOutcome:
        """Wait for the end of the retraining; returns what came of it.

        Raises
        ------
        TimeoutError
            It goes on for longer than `timeout` seconds.
        TrainingError
            It was cancelled.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the retraining goes on after {timeout:g} s")
        if self._failure is not None:
            raise self._failure
        if self._outcome is None:
            raise TrainingError(
                "the retraining was cancelled, and what served serves on; trials that had finished are kept, so "
                "the same call goes on after them."
            )
        return self._outcome

    def cancel(self) -> None:
        """End the retraining and every process of it; what served serves on. Returns when they are gone."""
        self._cancelled = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._thread.join()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _follow(self) -> None:
        try:
            result = self._result()
            if not (self._cancelled and isinstance(result, VolatilityError)):
                self._outcome = self._settle(result)
        except BaseException as error:  # For whoever waits: this thread has nobody to tell.
            self._failure = error
        finally:
            # Whatever it started and left behind.
            self._signal(signal.SIGKILL)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _result(self) -> str | VolatilityError:
        """Name of the saved model, or what went wrong."""
        result: str | VolatilityError | None = None
        for line in self._process.stdout or ():
            event = _event_of(line)
            if event is None:
                continue
            self.progress = event
            if event["event"] == "saved":
                result = str(event.get("name"))
            elif event["event"] == "failed":
                result = _KINDS.get(str(event.get("kind")), TrainingError)(str(event.get("sentence")))
            if self._on_progress is not None:
                self._on_progress(event)
        status = self._process.wait()
        if result is None:
            result = TrainingError(
                f"the training process ended with status {status} before it had a model{self._last_words()}; a model "
                "is needed; start it again, and it goes on after the trials that had finished."
            )
        return result

    def _last_words(self) -> str:
        text = (self._directory / "errors.txt").read_text(errors="replace")
        # TensorFlow's own talk, which begins with a letter and a date, explains nothing.
        lines = [line for line in text.splitlines() if line.strip() and not _TALK.match(line)]
        return f" ({lines[-1][:200]})" if lines and not self._cancelled else ""


_KINDS: dict[str, type[VolatilityError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, VolatilityError)
}


def _event_of(line: str) -> dict[str, Any] | None:
    """What the process tells of in a line; None where the line is none of its own."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _plain(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in attrs.items() if isinstance(value, str | int | float | bool | None)}
