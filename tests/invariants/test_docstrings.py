"""Names and docstrings of the package: each docstring stands alone, and nouns name things."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.bars import ROOT

MODULES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.glob("volcast/**/*.py"))}
# What `help` and a hover show without the neighbours, to which these would point.
POINTING = ("The same", "Those ", "Its ", "Their ", "Of ", "It ", "It,", "They ", "See `", "As `")
PARTICIPLES = {"found", "own", "kept", "made", "given"}
COUNTS_OF_ROWS = {"Int64Array1D", "IntArray1D", "Int64Array"}
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_definitions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public classes, functions, methods and properties under `node`, by dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try):
            yield from public_definitions(child, prefix)


def variables(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that are assigned or are parameters, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def annotated(tree: ast.AST) -> Iterator[tuple[int, str, str | None]]:
    """Parameters and annotated variables: line, name and type as written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg, ast.unparse(node.annotation) if node.annotation else None
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id, ast.unparse(node.annotation)


@pytest.mark.parametrize("module", MODULES)
def test_each_public_docstring_stands_alone(module: str) -> None:
    docstrings = {name: ast.get_docstring(node) or "" for name, node in public_definitions(MODULES[module])}
    assert [name for name, text in docstrings.items() if not text] == []
    assert [name for name, text in docstrings.items() if text.startswith(POINTING)] == []


@pytest.mark.parametrize("module", MODULES)
def test_nouns_name_things(module: str) -> None:
    assert [(line, name) for line, name in variables(MODULES[module]) if name in PARTICIPLES] == []


def test_known_is_an_array_of_counts_everywhere() -> None:
    # Elsewhere the word would be a frame here, a number there.
    types = [
        (module, line, text)
        for module, tree in MODULES.items()
        for line, name, text in annotated(tree)
        if name == "known"
    ]
    assert len(types) > 10
    assert [entry for entry in types if entry[2] not in COUNTS_OF_ROWS] == []


def test_no_two_modules_have_a_public_class_of_one_name() -> None:
    homes: dict[str, list[str]] = {}
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}
