"""What may come of a call at a door: a right answer, or a refusal in one sentence; each is counted."""

import contextlib
import io
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.support.alpaca_stand_in import KEY, SECRET
from volcast.cli.main import main
from volcast.errors import VolatilityError
from volcast.files import PARTIAL

__all__ = ["COUNTS", "Refusal", "Said", "assert_one_sentence", "command", "outcome"]

COUNTS: Counter[tuple[str, str]] = Counter()
"""How often a call at a door (first) ended so (second): ``"answer"`` or the kind of the error."""

_LONGEST = 1_500

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Refusal:
    """A `VolatilityError` that held to its rules."""

    sentence: str


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def outcome(door: str, call: Callable[[], Answer], folder: Path | None = None) -> Answer | Refusal:
    """What `call` gives or is refused with; anything else is raised. Paths within the user's `folder` may be named."""
    try:
        answer = call()
    except VolatilityError as error:
        assert_one_sentence(str(error), folder)
        COUNTS[door, type(error).__name__] += 1
        return Refusal(str(error))
    COUNTS[door, "answer"] += 1
    return answer


def command(arguments: Sequence[str], folder: Path) -> Said:
    """Run ``volcast`` in this process; a status other than 0 is explained by one sentence, or by argparse."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status, by_parser = main(arguments), False
        except SystemExit as end:
            status, by_parser = int(end.code or 0), True
    said = Said(status, out.getvalue(), err.getvalue())
    assert status in (0, 1, 2), said
    assert "Traceback" not in said.out + said.err, said
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    if status and not by_parser:
        assert errors or said.out or said.err, said
    assert len(errors) <= 1, said
    for line in errors:
        assert_one_sentence(line, folder)
    names = itertools.takewhile(lambda word: word[:1].isalpha(), arguments[:2])
    door = " ".join(["volcast", *(names if arguments[:1] in (["bars"], ["models"]) else arguments[:1])])
    COUNTS[door if not by_parser else "volcast (its parser)", f"status {status}"] += 1
    return said


def assert_one_sentence(text: str, folder: Path | None = None) -> None:
    """Hold `text` to the rules of errors: one line with an end, no key, no file that the user does not know."""
    assert "\n" not in text, text
    assert len(text) < _LONGEST, text
    assert text.rstrip("'\")").endswith((".", "?", "!")), text
    assert KEY not in text, text
    assert SECRET not in text, text
    rest = text if folder is None else text.replace(str(folder), "")
    assert PARTIAL not in rest, text
    assert tempfile.gettempdir() + "/" not in rest, text
