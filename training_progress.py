"""What a person sees while a search and a training run: trial, epoch, best so far, time left."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["SilentProgress", "TerminalProgress", "progress_for"]


class SilentProgress:
    """Says nothing: for scripts, logs and machines."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, sentence: str) -> None:
        """One line to keep."""

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """A search of up to `trials` trials of up to `epochs` epochs began, `done` of them in an earlier run."""

    def trial_began(self, number: int) -> None:
        """Trial `number`, counted from 1, began."""

    def epoch_ended(self, epoch: int, loss: float, val_loss: float) -> None:
        """Epoch `epoch`, counted from 1, of the running trial or training ended."""

    def trial_ended(self, best_loss: float | None) -> None:
        """The running trial ended; `best_loss` is the best validation loss so far."""

    def training_began(self, epochs: int) -> None:
        """The last training, with the best hyperparameters, began."""

    def close(self) -> None:
        """Nothing more will come."""


class _TimeLeftColumn(ProgressColumn):
    """Time left by the mean duration of the trials done in this run."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left = task.fields.get("seconds_left")
        return Text("" if left is None else f"about {_duration(left)} left", style="progress.remaining")


class TerminalProgress(SilentProgress):
    """A live display in the terminal: one bar for the search, one for the epochs of the running trial."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            _TimeLeftColumn(),
            console=self._console,
            transient=True,
            # The search silences Keras Tuner by redirecting standard output itself; two redirections would not nest.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._search = self._progress.add_task("search", visible=False, status="", start=False)
        self._epochs = self._progress.add_task("epochs", visible=False, status="", start=False)
        self._trials = self._done_before = self._done = self._epoch_limit = 0
        self._started = 0.0

    def say(self, sentence: str) -> None:
        """Print one line above the bars."""
        self._progress.console.print(sentence, highlight=False)

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """Show the search's bar."""
        self._trials, self._done_before, self._done, self._epoch_limit = trials, done, done, epochs
        self._started = time.monotonic()
        self._progress.start()
        self._progress.start_task(self._search)
        self._progress.update(self._search, total=trials, completed=done, visible=True, status=f"of {trials} trials")

    def trial_began(self, number: int) -> None:
        """Start the epochs' bar anew."""
        self._progress.update(self._search, description=f"trial {number}")
        self._show_epochs("  epoch", self._epoch_limit)

    def epoch_ended(self, epoch: int, loss: float, val_loss: float) -> None:
        """Move the epochs' bar."""
        status = f"epoch {epoch}  loss {loss:.4g}  validation {val_loss:.4g}"
        self._progress.update(self._epochs, completed=epoch, status=status)

    def trial_ended(self, best_loss: float | None) -> None:
        """Move the search's bar, with the best loss and the time left."""
        self._done += 1
        each = (time.monotonic() - self._started) / (self._done - self._done_before)
        best = "none yet" if best_loss is None else f"{best_loss:.4g}"
        self._progress.update(
            self._search,
            completed=self._done,
            status=f"of {self._trials} trials, best validation loss {best}",
            seconds_left=each * max(self._trials - self._done, 0),
        )

    def training_began(self, epochs: int) -> None:
        """Show the last training's bar alone."""
        self._progress.start()
        self._progress.update(self._search, visible=False)
        self._show_epochs("training the best", epochs)

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def _show_epochs(self, description: str, epochs: int) -> None:
        self._progress.reset(self._epochs, total=epochs, visible=True, description=description, status="")


def progress_for(console: Console, *, quiet: bool) -> SilentProgress:
    """The live display where `console` is a terminal and not `quiet`; else silence."""
    return TerminalProgress(console) if console.is_terminal and not quiet else SilentProgress()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
