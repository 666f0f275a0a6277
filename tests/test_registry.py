"""Members by name: the library's own, those that packages offer, and what is said of those that cannot be had."""

import math
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from volcast import registry
from volcast.errors import ConfigError
from volcast.registry import Registry

OWN = {"one": 1, "late": EntryPoint("late", "tests.test_registry:LATE", "numbers")}
LATE = 5
NUMBERS = Registry("number", int, OWN, "numbers", "older.numbers")


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{value}", group)
        for name, value, group in (
            ("two", "LATE", "numbers"),
            ("old", "LATE", "older.numbers"),
            ("one", "Nothing", "numbers"),
            ("gone", "Nothing", "numbers"),
            ("word", "__name__", "numbers"),
            ("other", "LATE", "words"),
        )
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


def test_own_members_come_first_and_are_meant_where_a_package_has_the_name_too() -> None:
    assert list(NUMBERS) == ["one", "late", "two", "gone", "word", "old"]
    assert len(NUMBERS) == 6
    assert NUMBERS["one"] == 1
    assert (NUMBERS["late"], NUMBERS["two"], NUMBERS.named("old")) == (5, 5, 5)


def test_a_package_is_found_where_another_library_finds_packages_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As importlib_metadata does, which libraries such as MLflow bring: entry points are of its own type then."""
    theirs = pytest.importorskip("importlib_metadata")
    point = theirs.EntryPoint("tau", "math:tau", "numbers")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "numbers" else [])
    assert Registry("number", float, {}, "numbers")["tau"] == math.tau


def test_a_name_is_there_whether_or_not_it_can_be_loaded() -> None:
    assert "gone" in NUMBERS
    assert "other" not in NUMBERS
    assert NUMBERS.get("other") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "there is no number named None"),
        (["one"], "there is no number named .'one'.; it must be one of one"),
        ("x" * 500, "there is no number named 'x{12}"),
        ("other", "there is no number named 'other'; it must be one of one, late, two"),
        ("gone", r"number 'gone' \(.*:Nothing\) cannot be loaded \(AttributeError"),
        ("word", "number 'word' .* is of type str; the rule is int"),
    ],
)
def test_what_cannot_be_had_is_said(name: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        NUMBERS.named(name)
