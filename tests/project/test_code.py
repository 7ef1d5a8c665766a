"""What the linters do not check in the code: how docstrings begin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from fixtures import REPOSITORY

# D401 of ruff knows verbs by their form, and passes over properties; it lets these pass.
NO_VERB = re.compile(
    r"(A|All|An|As|At|Both|Each|Every|Everything|For|How|If|Its|Like|No|Nothing|One|Such|That|The|These|This|Those"
    r"|What|When|Where|Whether|Which|Who|Why|With|\W.*)\b"
)
NO_NOUN_PHRASE = re.compile(r"(How|The|What|When|Where|Whether|Which|Who|Why)\b")


@cache
def nodes(folder: str) -> list[tuple[str, ast.AST]]:
    """Every definition and module below a folder, by file."""
    paths = sorted((REPOSITORY / folder).rglob("*.py"))
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    return [
        (str(path.relative_to(REPOSITORY)), node)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds)
    ]


def docstrings(kinds: type[ast.AST] | tuple[type[ast.AST], ...], folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Docstrings by file and line."""
    for path, node in (found for folder in folders for found in nodes(folder)):
        if isinstance(node, kinds):
            yield f"{path}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node) or ""


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    texts = dict(docstrings(ast.FunctionDef, ("pipeline", "benchmarks", "docs")))
    assert len(texts) > 1000
    assert [f"{place}: {text}" for place, text in texts.items() if NO_VERB.match(text)] == []


def test_docstrings_of_classes_are_noun_phrases() -> None:
    texts = dict(docstrings((ast.ClassDef, ast.Module), ("pipeline",)))
    assert len(texts) > 400
    assert [f"{place}: {text}" for place, text in texts.items() if NO_NOUN_PHRASE.match(text)] == []
