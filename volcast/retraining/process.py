"""The process in which `VolatilityForecaster.retrain_async` trains; it `RetrainingJob` starts it.

It reads a job from the directory that it is given, trains at the lowest priority, and writes one line of JSON for
each thing that happens. It ends when its parent does: its standard input is then closed.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pandas as pd

from volcast.errors import ModelNotFoundError, VolatilityError
from volcast.progress import SilentProgress, TrialEnd
from volcast.store.store import ModelStore

__all__ = ["main"]

_LOWEST_PRIORITY = 19


class _Reporter(SilentProgress):
    """Writes each step as a line of JSON."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def tell(self, **event: Any) -> None:
        # In one piece: trials of workers, and epochs of networks, end in other threads.
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()

    def say(self, sentence: str) -> None:
        """Tell of one line."""
        self.tell(event="said", sentence=sentence)

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """Tell of the search."""
        self.tell(event="search began", trials=trials, done=done, epochs=epochs)

    def trial_began(self, number: int) -> None:
        """Tell of a trial."""
        self.tell(event="trial began", trial=number)

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        """Tell of an epoch."""
        about = {} if network is None else {"network": network}
        self.tell(event="epoch ended", epoch=epoch, loss=loss, val_loss=val_loss, **about)

    def trial_ended(self, trial: TrialEnd) -> None:
        """Tell of a trial's end."""
        about = asdict(trial)
        self.tell(event="trial ended", trial=about.pop("number"), **about)

    def training_began(self, epochs: int, network: int, count: int) -> None:
        """Tell of the training of a network that is kept."""
        self.tell(event="training began", epochs=epochs, network=network, of=count)


def main(directory: Path) -> int:
    """Train as the job in `directory` says; returns the exit status."""
    os.nice(_LOWEST_PRIORITY)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A descriptor of its own: whatever else prints on standard output is none of the parent's business.
    reporter = _Reporter(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    job = json.loads((directory / "job.json").read_text())
    bars, overnight_bars = pd.read_parquet(directory / "bars.parquet"), None
    bars.attrs = job["attrs"]
    if "overnight_attrs" in job:
        overnight_bars = pd.read_parquet(directory / "overnight_bars.parquet")
        overnight_bars.attrs = job["overnight_attrs"]
    from volcast.training.trainer import LocalLSTMTrainer

    try:
        if _is_saved(job):
            reporter.tell(event="saved", name=job["name"])
            return 0
        trainer = LocalLSTMTrainer(job["config"], progress=reporter)
        result = trainer.run_training_pipeline(
            job["symbol"], bars=bars, overnight_bars=overnight_bars, name=job["name"], promote=False
        )
    except VolatilityError as error:
        reporter.tell(event="failed", kind=type(error).__name__, sentence=str(error))
        return 1
    reporter.tell(event="saved", name=result.bundle.name)
    return 0


def _is_saved(job: dict[str, Any]) -> bool:
    """Whether an earlier run saved this very model and was killed before the gate could judge it."""
    try:
        ModelStore(job["config"]["model_save_path"]).verify(job["name"])
    except ModelNotFoundError:
        return False
    return True


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    # With all that it started: they are one group.
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
