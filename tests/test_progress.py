"""What is seen while a search and a training run: in a terminal, in a pipe, and where nobody wants it."""

import io

import pytest
from rich.console import Console

from volcast.progress import LineProgress, SilentProgress, TerminalProgress, TrialEnd, progress_for


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, color_system=None, soft_wrap=True)


def shown(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def search(progress: SilentProgress, clock: Clock, *, done: int = 0) -> None:
    """A search of three trials of 60 seconds each, one of which gives no network, and a last training."""
    with progress:
        progress.say("SPY: 100 [bars]")
        progress.search_began(3, done, 50)
        for number, losses in enumerate(([0.9, 0.5, 0.6], [], [0.4]), start=1):
            if number <= done:
                continue
            progress.trial_began(number)
            for epoch, loss in enumerate(losses, start=1):
                progress.epoch_ended(epoch, loss + 0.1, loss)
            clock.now += 60
            best = 0.4 if number == 3 else 0.5
            progress.trial_ended(TrialEnd(number, min(losses, default=None), len(losses), best))
        progress.training_began(50, 1, 1)
        progress.epoch_ended(1, 0.5, 0.4, network=1)
        progress.training_ended(1)


def test_a_pipe_gets_one_line_a_trial(clock: Clock) -> None:
    where = console(terminal=False)
    search(progress_for(where, quiet=False), clock)
    assert shown(where).splitlines() == [
        "SPY: 100 [bars]",
        "Searching: 3 trials of up to 50 epochs.",
        "Trial 1 of 3: validation loss 0.5 after 3 epochs; best 0.5; about 2 min 00 s left.",
        "Trial 2 of 3: failed; best 0.5; about 1 min 00 s left.",
        "Trial 3 of 3: validation loss 0.4 after 1 epoch; best 0.4.",
        "Training network 1 of 1, up to 50 epochs.",
    ]


def test_a_resumed_search_counts_the_time_of_its_own_trials_alone(clock: Clock) -> None:
    where = console(terminal=False)
    search(LineProgress(where), clock, done=1)
    lines = shown(where).splitlines()
    assert lines[1] == "Searching: 3 trials of up to 50 epochs, 1 of them done by an earlier run."
    assert lines[2] == "Trial 2 of 3: failed; best 0.5; about 1 min 00 s left."


def test_a_search_with_a_limit_of_time_does_not_promise_more(clock: Clock) -> None:
    where = console(terminal=False)
    search(progress_for(where, quiet=False, minutes=1.5), clock)
    lines = shown(where).splitlines()
    assert lines[2].endswith("best 0.5; about 30 s left.")
    assert lines[3].endswith("best 0.5.")


def test_a_trial_that_a_worker_ended_is_told_by_its_own_number_and_loss(clock: Clock) -> None:
    """While this process is in the middle of another, of which it says nothing yet."""
    where = console(terminal=False)
    progress = LineProgress(where)
    progress.search_began(12, 0, 50)
    progress.trial_began(11)
    progress.epoch_ended(1, 0.9, 0.8)
    progress.trial_ended(TrialEnd(10, 0.25, 7, 0.2))
    progress.trial_ended(TrialEnd(12, 0.3, 2.5, 0.2))
    assert shown(where).splitlines()[-2:] == [
        "Trial 10 of 12: validation loss 0.25 after 7 epochs; best 0.2.",
        "Trial 12 of 12: validation loss 0.3 after 2.5 epochs; best 0.2.",
    ]


def test_before_any_trial_is_done_there_is_no_best(clock: Clock) -> None:
    where = console(terminal=False)
    progress = LineProgress(where)
    progress.search_began(1, 0, 1)
    progress.trial_began(1)
    progress.trial_ended(TrialEnd(1, None, 0, None))
    assert shown(where).splitlines()[-1] == "Trial 1 of 1: failed; best none yet."


def test_a_terminal_shows_trial_epoch_best_and_time_left(clock: Clock) -> None:
    where = console(terminal=True)
    progress = progress_for(where, quiet=False)
    assert isinstance(progress, TerminalProgress)
    progress.say("SPY: 100 [bars]")
    progress.search_began(3, 0, 50)
    progress.trial_began(1)
    progress.epoch_ended(2, 0.7, 0.5)
    clock.now += 60
    progress.trial_ended(TrialEnd(1, 0.5, 2, 0.5))
    clock.now += 10
    progress.trial_began(2)
    progress.epoch_ended(2, 0.7, 0.6)
    progress.close()
    screen = shown(where)
    assert "SPY: 100 [bars]" in screen
    last = screen.rsplit("trial 2", 1)[1]
    assert "of 3 trials, best validation loss 0.5" in last
    assert "about 1 min 50 s left" in last
    assert "epoch 2  loss 0.7  validation 0.6" in last


def test_a_terminal_shows_a_bar_for_each_network_in_training(clock: Clock) -> None:
    where = console(terminal=True)
    progress = progress_for(where, quiet=False)
    for network in (1, 2):
        progress.training_began(50, network, 5)
    progress.epoch_ended(7, 0.7, 0.6, network=1)
    progress.epoch_ended(3, 0.8, 0.5, network=2)
    progress.close()
    last = shown(where).rsplit("training network 1 of 5", 1)[1]
    of_first, of_second = last.split("training network 2 of 5")
    assert "epoch 7  loss 0.7  validation 0.6" in of_first
    assert "epoch 3  loss 0.8  validation 0.5" in of_second


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_is_silent(clock: Clock, terminal: bool) -> None:
    where = console(terminal=terminal)
    search(progress_for(where, quiet=True), clock)
    assert shown(where) == ""
