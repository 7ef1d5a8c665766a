"""Digest of the code that a task function uses.

It is read from syntax trees and never by importing: a digest is needed to find out that nothing has to be imported.
From a task function the names it uses are followed through this package, definition by definition, so that a changed
helper affects exactly the task functions that reach it. Comments, docstrings, layout and annotations of
functions do not count. Imports inside functions are followed like any other.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = __name__.partition(".")[0]
FILE = "code.json"
"""Name of the cache in the store."""


@dataclass(frozen=True)
class Alias:
    """Definition of this package that a name stands for.

    Attributes:
        module: Full name of a module.
        name: A definition in it; ``*`` for all of them, empty for what runs on import, None for the module itself.
    """

    module: str
    name: str | None


@dataclass
class Module:
    """Top level of one source file.

    Attributes:
        definitions: Statements that bind each name.
        imports: What imported names stand for, where that lies in this package.
        always: Statements that run whenever the module is imported and bind no name.
    """

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Alias] = field(default_factory=dict)
    always: list[ast.stmt] = field(default_factory=list)


class _Strip(ast.NodeTransformer):
    """Remove what does not change behaviour: bare strings, annotations of functions and of their variables."""

    def __init__(self) -> None:
        self.depth = 0

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        node.body = node.body or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if not self.depth:
            return node
        if node.value is None:
            return ast.Pass()
        return ast.Assign(targets=[node.target], value=node.value, lineno=0)


def _source(module: str) -> Path | None:
    """Return the file of a module of this package, or None."""
    base = Path(__file__).resolve().parents[1].joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and (module == ROOT or module.startswith(ROOT + ".")):
            return path
    return None


def _aliases(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> Iterator[tuple[str, Alias]]:
    if isinstance(node, ast.Import):
        for item in node.names:
            if _source(item.name) is not None:
                yield item.asname or item.name.split(".")[0], Alias(item.name if item.asname else ROOT, None)
        return
    base = node.module or ""
    if node.level:
        names = module.split(".")
        names = names[: len(names) - node.level + (1 if is_package else 0)]
        base = ".".join([*names, base] if base else names)
    if base != ROOT and not base.startswith(ROOT + "."):
        return
    for item in node.names:
        inner = f"{base}.{item.name}"
        target = Alias(inner, None) if _source(inner) is not None else Alias(base, item.name)
        yield item.asname or item.name, target


def _bound_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    names = [leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]
    plain = all(isinstance(target, (ast.Name, ast.Tuple, ast.List)) for target in targets)
    return names if plain else []


@cache
def _module(name: str) -> Module:
    path = _source(name)
    if path is None:
        raise ValueError(f"no module {name} in package {ROOT}")
    tree = _Strip().visit(ast.parse(path.read_text("utf-8")))
    parsed = Module()
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop(0)
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            parsed.imports.update(_aliases(statement, name, path.name == "__init__.py"))
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        elif names := _bound_names(statement):
            for bound in names:
                parsed.definitions.setdefault(bound, []).append(statement)
        else:
            parsed.always.append(statement)
    return parsed


def _uses(nodes: list[ast.stmt], module: str) -> Iterator[Alias]:
    """Yield the definitions of this package that statements of ``module`` use."""
    current = _module(module)
    path = _source(module)
    is_package = path is not None and path.name == "__init__.py"
    imported = dict(current.imports)
    walked = [leaf for node in nodes for leaf in ast.walk(node)]
    for leaf in walked:
        if isinstance(leaf, (ast.Import, ast.ImportFrom)):
            imported.update(_aliases(leaf, module, is_package))
            yield from (alias for _, alias in _aliases(leaf, module, is_package) if alias.name)
    dotted = {id(leaf.value): leaf.attr for leaf in walked if isinstance(leaf, ast.Attribute)}
    for leaf in walked:
        if not isinstance(leaf, ast.Name):
            continue
        if leaf.id in current.definitions:
            yield Alias(module, leaf.id)
        elif leaf.id in imported:
            alias = imported[leaf.id]
            yield alias if alias.name else Alias(alias.module, dotted.get(id(leaf), "*"))


@cache
def _definition(module: str, name: str) -> tuple[str, tuple[Alias, ...]]:
    """Return the digest of one definition (``*``: all of them, empty: what always runs) and what it uses."""
    parsed = _module(module)
    if name == "*":
        nodes = [statement for statements in parsed.definitions.values() for statement in statements]
    elif name == "":
        nodes = parsed.always
    else:
        nodes = parsed.definitions.get(name, [])
    text = "\n".join(ast.dump(node) for node in nodes)
    return hashlib.sha256(text.encode()).hexdigest(), tuple(dict.fromkeys(_uses(nodes, module)))


def _follow(alias: Alias) -> Alias:
    """Return where a name that a module only re-exports is defined."""
    for _ in range(8):
        if alias.name in (None, "*", ""):
            break
        target = _module(alias.module)
        if alias.name in target.definitions or alias.name not in target.imports:
            inner = f"{alias.module}.{alias.name}"
            return Alias(inner, "*") if alias.name not in target.definitions and _source(inner) else alias
        alias = target.imports[str(alias.name)]
    return Alias(alias.module, "*") if alias.name is None else alias


@dataclass
class _Memory:
    """Digests found before for the same source files: reading files is many times faster than parsing them.

    Attributes:
        path: Where it is saved; None saves nothing.
        sources: Digest of the source files.
        stamps: Their sizes and times, to notice edits while this process runs.
        used: Result of :func:`definitions_used` for each task function.
        changed: Whether there is something to save.
    """

    path: Path | None = None
    sources: str = ""
    stamps: list[tuple[str, int, int]] = field(default_factory=list)
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    changed: bool = False


_memory = _Memory()


def remember_in(path: Path) -> None:
    """Load what :func:`definitions_used` found before from ``path``, unless a source file has changed since."""
    from ..utils.bounded_files import read_json
    from .digests import digest_of

    if path == _memory.path:
        return
    _memory.path, _memory.stamps, _memory.sources = path, _stamps(), _sources()
    _memory.used, _memory.changed = {}, False
    try:
        raw = read_json(path)
        if raw["sources"] == _memory.sources and raw["digest"] == digest_of(raw["used"]):
            _memory.used = raw["used"]
    except (OSError, ValueError, KeyError, TypeError):
        pass


def save() -> None:
    """Save what was found, if the folder exists and can be written to."""
    from ..utils.atomic_files import write_atomic
    from .digests import canonical, digest_of

    if _memory.path is None or not _memory.changed or not _memory.path.parent.is_dir():
        return
    _memory.changed = False
    if _sources() != _memory.sources:
        return
    content = {"sources": _memory.sources, "used": _memory.used, "digest": digest_of(_memory.used)}
    with suppress(OSError):
        write_atomic(_memory.path, canonical(content))


def _files() -> list[tuple[str, Path]]:
    base = Path(__file__).resolve().parents[1]
    return sorted((path.relative_to(base).as_posix(), path) for path in base.rglob("*.py"))


def _stamps() -> list[tuple[str, int, int]]:
    """Return name, size and time of every source file of the package."""
    return [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in _files()]


def _sources() -> str:
    """Return the digest of all source files and the version of Python, whose syntax trees differ."""
    digest = hashlib.sha256(sys.version.encode())
    for name, path in _files():
        digest.update(name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def definitions_used(function: str) -> dict[str, str]:
    """Return the digest of each definition that the function ``package.module:function`` reaches, itself included.

    Raises:
        ValueError: If there is no such function.
    """
    if function in _memory.used and _memory.stamps == _stamps():
        return _memory.used[function]
    _memory.used[function] = _follow_all(function)
    _memory.changed = True
    return _memory.used[function]


def _follow_all(function: str) -> dict[str, str]:
    module, _, name = function.partition(":")
    if name not in _module(module).definitions:
        raise ValueError(f"no function {name} in {module}")
    pending, digests = [Alias(module, name)], {}
    while pending:
        alias = _follow(pending.pop())
        title = f"{alias.module}:{alias.name}"
        if title in digests:
            continue
        digest, uses = _definition(alias.module, str(alias.name))
        digests[title] = digest
        pending.extend(uses)
        pending.append(Alias(alias.module, ""))
    empty = hashlib.sha256(b"").hexdigest()
    return {title: digest for title, digest in sorted(digests.items()) if digest != empty}


def resource_digest(name: str) -> str:
    """Return the digest of a file of the package other than Python, or of all files below a folder."""
    base = Path(__file__).resolve().parents[1] / name
    files = sorted(path for path in base.rglob("*") if path.is_file()) if base.is_dir() else [base]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(base.parent).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
