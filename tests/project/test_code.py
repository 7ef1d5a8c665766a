"""What the linters do not check in the code: how docstrings begin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from fixtures import REPOSITORY

# D401 of ruff knows verbs by their form; it lets these pass.
NO_VERB = re.compile(
    r"(A|All|An|As|At|Both|Each|Every|Everything|For|How|If|Like|No|Nothing|One|Such|That|The|These|This|Those"
    r"|What|When|Where|Whether|Which|Who|Why|With)\b"
)


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods, but properties, of the package and its scripts, by file and line."""
    for folder in ("pipeline", "benchmarks", "docs"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
                    if not decorators & {"property", "cached_property"}:
                        yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    docstrings = {place: ast.get_docstring(function) or "?" for place, function in functions()}
    assert len(docstrings) > 1000
    assert [f"{place}: {text}" for place, text in docstrings.items() if NO_VERB.match(text)] == []
