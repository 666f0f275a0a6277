"""Numbers of things in sentences, and that every sentence of the package takes them from there."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.bars import ROOT
from volcast.counts import counted

A_PLURAL = re.compile(r" (?:[a-z'-]+ ){0,2}(?!(?:is|was|has|its|this|as|bytes)\b)[a-z-]+s\b")
NEVER_ONE = {
    ("volcast/backtest/report.py", "len(versions)"),  # one version is named
    ("volcast/bars/sources/files.py", "len(paths)"),  # one file is named
    ("volcast/bars/sources/formats.py", "len(levels)"),
    ("volcast/cli/evaluate.py", "len(symbols)"),  # one symbol is named
    ("volcast/networks/keras_checks.py", "weights"),  # beyond a limit
    ("volcast/networks/onnx_checks.py", "len(nodes)"),  # beyond a limit
}


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bars"), (1, "1 bar"), (1.0, "1 bar"), (2.5, "2.5 bars"), (1_234_567, "1,234,567 bars")]
)
def test_one_is_no_plural(number: float, said: str) -> None:
    assert counted(number, "bar") == said


def numbers_before_plurals(source: str) -> Iterator[str]:
    """What f-strings count before a plural, but for constants and parts of a whole, as in "1 of 5 rows"."""
    for text in ast.walk(ast.parse(source)):
        if not isinstance(text, ast.JoinedStr):
            continue
        parts = [None, *text.values]
        for before, number, after in zip(parts, text.values, text.values[1:], strict=False):
            is_part = isinstance(before, ast.Constant) and str(before.value).endswith(" of ")
            if not isinstance(number, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            if _is_count(number) and not is_part and A_PLURAL.match(str(after.value)):
                yield ast.unparse(number.value)


def _is_count(value: ast.FormattedValue) -> bool:
    if isinstance(value.value, ast.Name) and value.value.id.isupper():
        return False
    has_thousands = value.format_spec is not None and ast.unparse(value.format_spec) == "f','"
    calls = {ast.unparse(call.func) for call in ast.walk(value.value) if isinstance(call, ast.Call)}
    return "counted" not in calls and (has_thousands or "len" in calls or any(call.endswith(".sum") for call in calls))


def test_numbers_before_plurals_are_found() -> None:
    assert list(numbers_before_plurals('f"{len(rows)} rows, {n:,} of {m:,} days"')) == ["len(rows)"]


def test_no_sentence_says_1_bars() -> None:
    """But where the number is of what is never one; suites for members speak of their own fixtures."""
    sources = [path for path in (ROOT / "volcast").rglob("*.py") if "testing" not in path.parts]
    said = {
        (str(path.relative_to(ROOT)), number)
        for path in sources
        for number in numbers_before_plurals(path.read_text(encoding="utf-8"))
    }
    assert said <= NEVER_ONE, sorted(said - NEVER_ONE)
