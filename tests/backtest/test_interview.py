"""Questions asked again, answers remembered, and work that is not repeated."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from volcast.backtest.interview import Interview, Memory
from volcast.errors import ConfigError

Make = Callable[..., Interview]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """An interview with these answers as its whole input."""

    def interview(*answers: str) -> Interview:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
        return Interview(Console(file=io.StringIO(), width=200), Memory(tmp_path / "settings"))

    return interview


def screen(interview: Interview) -> str:
    file = interview.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_going_back_asks_the_question_before_and_repeats_no_work(make: Make) -> None:
    interview, works = make("1", "2", "b", "b", "5", "6", ""), []

    def questions() -> tuple[int, int, int]:
        first = interview.ask("first", "First", int)
        interview.once(lambda: works.append(first))
        return first, interview.ask("second", "Second", int), interview.ask("third", "Third", int, default="9")

    assert interview.hold(questions) == (5, 6, 9)
    assert works == [1, 5]


def test_back_at_the_first_question_asks_it_again(make: Make) -> None:
    interview = make("b", "b", "3")
    assert interview.hold(lambda: interview.ask("first", "First", int)) == 3


def test_two_works_at_one_place_are_two(make: Make) -> None:
    interview = make("1", "b", "2", "7")

    def questions() -> list[str]:
        results = [interview.once(lambda: "one"), interview.once(lambda: "two")]
        interview.ask("first", "First", int)
        return [*results, str(interview.ask("second", "Second", int))]

    assert interview.hold(questions) == ["one", "two", "7"]


def test_a_failure_leads_back_to_its_section(make: Make) -> None:
    interview = make("1", "0", "4")

    def questions() -> tuple[int, int]:
        interview.section("Begin")
        first = interview.ask("first", "First", int)
        interview.section("Middle")
        second = interview.ask("second", "Second", int)
        if second == 0:
            raise ConfigError("second is 0; the rule is another number; type one.")
        return first, second

    assert interview.hold(questions) == (1, 4)
    assert "second is 0" in screen(interview)
    assert screen(interview).count("Begin") == 1
    assert screen(interview).count("Middle") == 2


def test_help_and_nonsense_ask_again(make: Make) -> None:
    interview = make("?", "many", "2")
    assert interview.hold(lambda: interview.choose("which", "Which", ["a", "b"], about="One of two.")) == 2
    assert "One of two." in screen(interview)
    assert "'many' is no choice; the rule is a number from 1 to 2" in screen(interview)


def test_the_last_answers_are_offered_but_never_a_yes(make: Make) -> None:
    first = make("7", "yes")
    assert first.hold(lambda: (first.ask("number", "Number", int), first.confirm("sure", "Sure"))) == (7, True)
    second = make("", "")
    assert second.hold(lambda: (second.ask("number", "Number", int), second.confirm("sure", "Sure"))) == (7, False)
    assert "Number [7]: " in screen(second)


def test_a_remembered_answer_that_is_none_any_more_is_not_offered(make: Make) -> None:
    make().hold(lambda: None)
    first = make("9")
    first.hold(lambda: first.ask("which", "Which", int))
    second = make("")
    assert second.hold(lambda: second.choose("which", "Which", ["a", "b"])) == 1


@pytest.mark.parametrize("content", ["", "[1]", '{"symbol": 5}', "\udcff"])
def test_a_broken_memory_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.json").write_bytes(content.encode(errors="surrogateescape"))
    memory = Memory(tmp_path)
    assert memory.recall("symbol") is None
    memory.keep("symbol", "SPY")
    assert Memory(tmp_path).recall("symbol") == "SPY"


def test_what_cannot_be_kept_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "settings")
    memory.keep("symbol", "SPY")
    assert memory.recall("symbol") == "SPY"
    assert Memory(tmp_path / "file" / "settings").recall("symbol") is None
