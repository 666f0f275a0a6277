"""Documents say what the code says, and what they show runs."""

import ast
import contextlib
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from studies.settings_table import document_with_table
from tests.support.bars import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_the_table_of_settings_is_that_of_the_fields() -> None:
    document = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert document == document_with_table(document)
    assert document.count("| `symbol` |") == 1


def run_shell(example: Example) -> None:
    """A block of commands as a reader types them, in the page's folder."""
    commands = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    # The command of this checkout, whichever is installed.
    script = f'volcast() {{ "{sys.executable}" -m volcast "$@"; }}\n{example.parsed}'
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, f"{example.parsed}\n{run.stdout}\n{run.stderr}"


@pytest.mark.train
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(
    page: Path, simulated_bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, in one namespace, in an empty folder; blocks that cannot say why, in a comment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    bash = CodeBlockParser("bash", run_shell)
    document = Document.parse(str(page), PythonCodeBlockParser(), bash, SkipParser())
    document.namespace.update(names_for_blocks(simulated_bars))
    for example in document.examples():
        with contextlib.suppress(unittest.SkipTest):
            example.evaluate()


def names_for_blocks(bars: pd.DataFrame) -> dict[str, Any]:
    """What every page may take as given: bars of SPY, and the names of the package's top."""
    import volcast

    return {
        "ROOT": ROOT,
        "bars": bars.copy(),
        "np": np,
        "pd": pd,
        **{name: getattr(volcast, name) for name in volcast.__all__},
    }


@pytest.fixture(scope="module")
def simulated_bars() -> pd.DataFrame:
    from volcast import DataHandler

    return DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-06-30")


def test_blocks_are_run_or_are_examples_or_settings() -> None:
    languages = {
        language.partition(" title")[0]
        for page in PAGES
        for language in re.findall(r"^```(.*)\n(?:(?!```).*\n)*```$", page.read_text(), flags=re.MULTILINE)
    }
    assert languages <= {"python", "bash", "toml", " { .python"}


def test_headings_of_the_troubleshooting_are_words_of_messages() -> None:
    texts = [text for path in (ROOT / "volcast").rglob("*.py") for text in texts_of(path)]
    headings = re.findall(r"^### `(.+)`$", (ROOT / "docs" / "troubleshooting.md").read_text(), flags=re.MULTILINE)
    assert len(headings) > 20
    assert [heading for heading in headings if not any(heading in text for text in texts)] == []


def texts_of(path: Path) -> list[str]:
    """The constant parts of a module's strings."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
