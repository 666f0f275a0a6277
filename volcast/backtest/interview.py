"""Questions to a person: defaults in brackets, ``?`` for help, ``b`` for back, answers remembered from time to time."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.text import Text

from volcast.errors import ConfigError, VolatilityError
from volcast.files import json_bytes, write_whole

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from rich.console import Console

__all__ = ["Interview", "Memory"]

Answer = TypeVar("Answer")

_BACK, _HELP = "b", "?"


class Memory:
    """The last answer to each question, kept in a directory of the user's; what cannot be kept is forgotten.

    Parameters
    ----------
    directory
        Where ``answers.json`` and the history of what was typed lie; it is made when something is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = directory / "answers.json"
        self._answers = self._read()

    def recall(self, key: str) -> str | None:
        """The last answer to a question; None where there is none."""
        return self._answers.get(key)

    def keep(self, key: str, answer: str) -> None:
        """Keep an answer, at once: whatever ends the session, it is offered in the next one."""
        if self._answers.get(key) == answer:
            return
        self._answers[key] = answer
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json_bytes(self._answers))
        except OSError:
            return

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        pairs = content.items() if isinstance(content, dict) else ()
        return {key: answer for key, answer in pairs if isinstance(answer, str)}


class Interview:
    """Asks, and can go back.

    What asks is a plain function, written from the first question to the last (`hold`). To go back, it is run again
    with the answers so far but the last; work that need not be repeated stands in `once`.

    Parameters
    ----------
    console
        Where questions go.
    memory
        Of earlier sessions.
    """

    def __init__(self, console: "Console", memory: Memory) -> None:
        self.console = console
        self._memory = memory
        self._answers: list[str] = []
        self._place = 0
        self._section = 0
        self._works = 0
        self._results: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._session: PromptSession[str] | None = None

    def hold(self, questions: Callable[[], Answer]) -> Answer:
        """Run `questions` until it comes to its end; where something cannot be done, from its section's first one."""
        while True:
            self._place = self._section = self._works = 0
            try:
                return questions()
            except _Back:
                self._answers = self._answers[: max(self._place - 1, 0)]
            except VolatilityError as error:
                self.say(str(error), "red")
                self._answers = self._answers[: self._section]

    def section(self, title: str) -> None:
        """Begin a part to whose first question a failure leads back."""
        self._section = self._place
        self.heading(title)

    def heading(self, title: str) -> None:
        """Say what the next questions are about."""
        if self._place == len(self._answers):
            self.say("")
            self.say(title, "bold")

    def ask(
        self, key: str, question: str, parse: Callable[[str], Answer], *, default: str | None = None, about: str = ""
    ) -> Answer:
        """Ask until an answer can be used; returns it parsed.

        Parameters
        ----------
        key
            Under which the answer is remembered.
        question
            In words.
        parse
            Makes a value of the answer, or raises a VolatilityError or ValueError that says the rule.
        default
            What Enter takes where nothing is remembered; None has no default.
        about
            What ``?`` says.
        """
        if self._place < len(self._answers):
            self._place += 1
            return parse(self._answers[self._place - 1])
        offered = self._offered(key, default, parse)
        prompt = f"{question}: " if offered is None else f"{question} [{offered}]: "
        while True:
            answer = self._read(prompt) or offered or ""
            if answer == _BACK:
                raise _Back
            if answer == _HELP:
                self.say(about or question)
                continue
            try:
                value = parse(answer)
            except (ValueError, VolatilityError) as error:
                self.say(str(error), "red")
                continue
            self._memory.keep(key, answer)
            self._answers.append(answer)
            self._place += 1
            return value

    def choose(self, key: str, title: str, options: Sequence[str], *, default: int = 1, about: str = "") -> int:
        """Ask for one of `options` by its number; returns that, from 1."""
        if self._place == len(self._answers):
            self.say(title, "bold")
            for number, option in enumerate(options, start=1):
                self.say(f"  {number}. {option}")

        def number_of(answer: str) -> int:
            if answer.isdecimal() and 1 <= int(answer) <= len(options):
                return int(answer)
            raise ConfigError(
                f"{answer!r} is no choice; the rule is a number from 1 to {len(options)}; type one of them."
            )

        return self.ask(key, "Number", number_of, default=str(default), about=about)

    def confirm(self, key: str, question: str) -> bool:
        """Ask for yes or no; no is what Enter takes, whatever was answered before."""

        def parsed(answer: str) -> bool:
            if answer.lower() in ("y", "yes", "n", "no"):
                return answer.lower().startswith("y")
            raise ConfigError(f"{answer!r} is neither; the rule is yes or no; type one of them.")

        return self.ask(f"!{key}", question, parsed, default="no")

    def once(self, work: Callable[[], Answer]) -> Answer:
        """The result of `work` at this place after the answers so far; not done again for the same ones."""
        self._works += 1
        place = self._works, tuple(self._answers[: self._place])
        if place not in self._results:
            self._results[place] = work()
        result: Answer = self._results[place]
        return result

    def say(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence."""
        self.console.print(Text(sentence), style=style)

    def _offered(self, key: str, default: str | None, parse: Callable[[str], Any]) -> str | None:
        remembered = None if key.startswith("!") else self._memory.recall(key)
        if remembered is None:
            return default
        try:
            parse(remembered)
        except (ValueError, VolatilityError):
            return default
        return remembered

    def _read(self, prompt: str) -> str:
        if not sys.stdin.isatty():
            return self.console.input(Text(prompt)).strip()
        if self._session is None:
            self._session = self._new_session()
        return self._session.prompt(prompt).strip()

    def _new_session(self) -> "PromptSession[str]":
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory, InMemoryHistory

        directory = self._memory.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "history").touch()
        except OSError:
            return PromptSession(history=InMemoryHistory())
        return PromptSession(history=FileHistory(str(directory / "history")))


class _Back(Exception):
    """A person wants the question before."""
