"""What a person sees while a search and a training run: trial, epoch, best so far, time left.

In a terminal that is a live display, in a file or a pipe one line a trial, and nothing where nobody wants it.
"""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from volcast.counts import counted

__all__ = ["LineProgress", "SilentProgress", "TerminalProgress", "TrialEnd", "progress_for"]


@dataclass(frozen=True)
class TrialEnd:
    """How a trial ended, whoever trained it.

    Attributes
    ----------
    number
        Counted from 1.
    val_loss
        Its validation loss; None where it failed.
    epochs
        How many it took, in the mean of its executions; 0 where it failed.
    best_loss
        The best validation loss of all trials so far; None where there is none.
    """

    number: int
    val_loss: float | None
    epochs: float
    best_loss: float | None


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

    def fetch_began(self, symbol: str, months: int) -> None:
        """So many months of bars of `symbol` are missing and fetched."""

    def fetch_advanced(self, months: int) -> None:
        """So many more of the missing months are there."""

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """A search of up to `trials` trials of up to `epochs` epochs began, `done` of them in an earlier run."""

    def trial_began(self, number: int) -> None:
        """Trial `number`, counted from 1, began."""

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        """Epoch `epoch`, counted from 1, ended: of a `network` of the model, or, None, of the running trial's."""

    def trial_ended(self, trial: TrialEnd) -> None:
        """A trial ended, in this process or in a worker's."""

    def training_began(self, epochs: int, network: int, count: int) -> None:
        """The training of a `network` (from 1) of the `count` that the model will have began, maybe beside others."""

    def training_ended(self, network: int) -> None:
        """The training of that network ended."""

    def close(self) -> None:
        """End the display: nothing more will come."""


class _SearchClock:
    """How much of a search is done, and how long the rest will take.

    Parameters
    ----------
    minutes
        After which no further trial begins; None where there is no limit.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._limit = None if minutes is None else 60 * minutes
        self.trials = self.done = self._done_before = 0
        self._started = self._ends = 0.0

    def start(self, trials: int, done: int) -> None:
        """A search of `trials` trials begins now; `done` of them were finished in an earlier run."""
        self.trials, self.done, self._done_before = trials, done, done
        self._started = self._ends = time.monotonic()

    def trial_ended(self) -> None:
        """One more is done: the others will take as long as those of this run did in the mean."""
        self.done += 1
        now = time.monotonic()
        left = (now - self._started) / (self.done - self._done_before) * max(self.trials - self.done, 0)
        self._ends = now + left if self._limit is None else min(now + left, self._started + self._limit)

    def time_left(self) -> str:
        """In words; nothing before the first trial of this run has ended, and when the time should be over."""
        seconds = self._ends - time.monotonic()
        return f"about {_duration(seconds)} left" if seconds >= 0.5 else ""


class LineProgress(SilentProgress):
    """One plain line for each finished trial: for pipes, files and logs.

    Parameters
    ----------
    console
        Where the lines go; None is standard error.
    minutes
        After which no further trial begins; None where there is no limit.
    """

    def __init__(self, console: Console | None = None, minutes: float | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._clock = _SearchClock(minutes)

    def say(self, sentence: str) -> None:
        """Print one line."""
        self._console.print(sentence, highlight=False, markup=False)

    def fetch_began(self, symbol: str, months: int) -> None:
        """Say what is going to be fetched."""
        self.say(f"Fetching {counted(months, 'month')} of {symbol}.")

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """Say what is going to be searched."""
        self._clock.start(trials, done)
        before = f", {done} of them done by an earlier run" if done else ""
        self.say(f"Searching: {counted(trials, 'trial')} of up to {counted(epochs, 'epoch')}{before}.")

    def trial_ended(self, trial: TrialEnd) -> None:
        """Say how the trial ended, the best loss so far and the time left."""
        self._clock.trial_ended()
        result = "failed"
        if trial.val_loss is not None:
            result = f"validation loss {trial.val_loss:.4g} after {counted(trial.epochs, 'epoch')}"
        best = "none yet" if trial.best_loss is None else f"{trial.best_loss:.4g}"
        parts = (result, f"best {best}", self._clock.time_left())
        self.say(f"Trial {trial.number} of {self._clock.trials}: {'; '.join(part for part in parts if part)}.")

    def training_began(self, epochs: int, network: int, count: int) -> None:
        """Say what is trained."""
        self.say(f"Training network {network} of {count}, up to {counted(epochs, 'epoch')}.")


class _TimeLeftColumn(ProgressColumn):
    """The time that is left of the search, beside the search's bar."""

    max_refresh = 0.5

    def __init__(self, clock: _SearchClock) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        return Text(self._clock.time_left() if task.fields.get("searching") else "", style="progress.remaining")


class TerminalProgress(SilentProgress):
    """A live display in the terminal: one bar for the search, one for the epochs of each network in training.

    Parameters
    ----------
    console
        The terminal; None is standard error.
    minutes
        After which no further trial begins; None where there is no limit.
    """

    def __init__(self, console: Console | None = None, minutes: float | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._clock = _SearchClock(minutes)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            _TimeLeftColumn(self._clock),
            console=self._console,
            transient=True,
            # The search silences Keras Tuner by redirecting standard output itself; two redirections would not nest.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._fetch = self._progress.add_task("fetch", visible=False, status="", start=False)
        self._search = self._progress.add_task("search", visible=False, status="", start=False, searching=True)
        self._epochs = self._progress.add_task("epochs", visible=False, status="", start=False)
        self._epoch_limit = 0
        self._networks: dict[int, TaskID] = {}

    def say(self, sentence: str) -> None:
        """Print one line above the bars."""
        self._progress.console.print(sentence, highlight=False, markup=False)

    def fetch_began(self, symbol: str, months: int) -> None:
        """Show the bar of the months to fetch."""
        self._progress.start()
        self._progress.reset(
            self._fetch,
            total=months,
            visible=True,
            description=f"bars of {symbol}",
            status=f"of {counted(months, 'month')}",
        )

    def fetch_advanced(self, months: int) -> None:
        """Move the bar of the months that are fetched."""
        self._progress.advance(self._fetch, months)

    def search_began(self, trials: int, done: int, epochs: int) -> None:
        """Show the search's bar."""
        self._clock.start(trials, done)
        self._epoch_limit = epochs
        self._progress.update(self._fetch, visible=False)
        self._progress.start()
        self._progress.start_task(self._search)
        self._progress.update(
            self._search, total=trials, completed=done, visible=True, status=f"of {counted(trials, 'trial')}"
        )

    def trial_began(self, number: int) -> None:
        """Start the epochs' bar anew."""
        self._progress.update(self._search, description=f"trial {number}")
        self._progress.reset(self._epochs, total=self._epoch_limit, visible=True, description="  epoch", status="")

    def epoch_ended(self, epoch: int, loss: float, val_loss: float, network: int | None = None) -> None:
        """Move the bar of the network's epochs."""
        status = f"epoch {epoch}  loss {loss:.4g}  validation {val_loss:.4g}"
        bar = self._epochs if network is None else self._networks[network]
        self._progress.update(bar, completed=epoch, status=status)

    def trial_ended(self, trial: TrialEnd) -> None:
        """Move the search's bar, with the best loss and the time left."""
        self._clock.trial_ended()
        best = "none yet" if trial.best_loss is None else f"{trial.best_loss:.4g}"
        self._progress.update(
            self._search,
            completed=self._clock.done,
            status=f"of {counted(self._clock.trials, 'trial')}, best validation loss {best}",
        )

    def training_began(self, epochs: int, network: int, count: int) -> None:
        """Show a bar of this network's epochs."""
        self._progress.start()
        for bar in (self._search, self._epochs):
            self._progress.update(bar, visible=False)
        self._networks[network] = self._progress.add_task(
            f"training network {network} of {count}", total=epochs, status=""
        )

    def training_ended(self, network: int) -> None:
        """Take its bar away."""
        self._progress.remove_task(self._networks.pop(network))

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()


def progress_for(console: Console, *, quiet: bool, minutes: float | None = None) -> SilentProgress:
    """The live display where `console` is a terminal, a line a trial where it is not, silence where `quiet`.

    `minutes` is the search's limit, None where it has none.
    """
    if quiet:
        return SilentProgress()
    return TerminalProgress(console, minutes) if console.is_terminal else LineProgress(console, minutes)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
