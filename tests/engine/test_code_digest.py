"""The code digest: what changes it, what does not, and how far it follows names."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from fixtures.letters_project import LettersProject
from satpipe.engine import code_digest
from satpipe.engine.stages import STAGES

BASE = {
    "stage.py": '''
"""Docstring."""
from __future__ import annotations
from .helpers import used, TABLE
from . import plain
from . import whole

LIMIT = 3


def make(job: object) -> int:
    """Docstring."""
    from .lazy import late
    # comment
    return used(LIMIT) + plain.one() + late() + TABLE["x"]() + len(dir(whole))


def other() -> int:
    return 1
''',
    "helpers.py": """
def used(value):
    return deeper(value)


def deeper(value: int) -> int:
    return value + 1


def unused():
    return 0


def from_table():
    return 5


TABLE = {"x": from_table}
""",
    "plain.py": "def one():\n    return 1\n\n\ndef two():\n    return 2\n",
    "lazy.py": "from .passed import late\n",
    "passed.py": "def late():\n    return 7\n",
    "whole.py": "A = 1\nB = 2\n",
    "startup.py": "import os\n",
}

Digest = Callable[..., dict[str, str]]


@pytest.fixture
def digest(tmp_path: Path) -> Digest:
    """Definitions used by ``make`` in a package made of BASE with replacements."""
    number = 0

    def build(changes: dict[str, tuple[str, str]] | None = None) -> dict[str, str]:
        nonlocal number
        number += 1
        package = tmp_path / f"v{number}" / "boat"
        (package / "engine").mkdir(parents=True)
        for name, text in BASE.items():
            before, after = (changes or {}).get(name, ("", ""))
            assert before in text
            (package / name).write_text(text.replace(before, after) if before else text)
        (package / "__init__.py").write_text("")
        (package / "engine" / "code_digest.py").write_text(Path(str(code_digest.__file__)).read_text())
        return load(package).definitions_used("boat.stage:make")

    return build


def load(package: Path) -> ModuleType:
    """Load the module as a member of another package."""
    spec = importlib.util.spec_from_file_location("boat.engine.code_digest", package / "engine" / "code_digest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["boat.engine.code_digest"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["boat.engine.code_digest"]
    return module


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("stage.py", "LIMIT = 3", "LIMIT = 4"),
        ("stage.py", "used(LIMIT) +", "used(LIMIT) -"),
        ("helpers.py", "return deeper(value)", "return -deeper(value)"),
        ("helpers.py", "return value + 1", "return value + 2"),
        ("helpers.py", "return 5", "return 6"),
        ("plain.py", "return 1", "return 3"),
        ("passed.py", "return 7", "return 8"),
        ("whole.py", "B = 2", "B = 3"),
        ("helpers.py", "TABLE = {", "import os\nos.environ['X'] = 'y'\nTABLE = {"),
    ],
    ids=[
        "constant",
        "function",
        "helper",
        "helper of a helper",
        "through a table",
        "module attribute",
        "lazy import that is passed on",
        "module used whole",
        "statement that runs on import",
    ],
)
def test_code_that_is_reached_changes_the_digest(digest: Digest, file: str, before: str, after: str) -> None:
    assert digest({file: (before, after)}) != digest()


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("stage.py", "# comment", "# another comment"),
        ("stage.py", '    """Docstring."""', '    """Another docstring."""'),
        ("stage.py", "job: object) -> int", "job: str) -> float"),
        ("stage.py", "    return 1\n", "    return 2\n"),
        ("helpers.py", "return 0", "return 9"),
        ("plain.py", "return 2", "return 9"),
        ("helpers.py", "def deeper(value: int) -> int:\n    return", "def deeper(value):\n\n    return"),
        ("startup.py", "import os", "import sys"),
    ],
    ids=[
        "comment",
        "docstring",
        "annotation",
        "other function",
        "unused helper",
        "unused sibling",
        "layout",
        "not imported",
    ],
)
def test_code_that_is_not_reached_leaves_the_digest(digest: Digest, file: str, before: str, after: str) -> None:
    assert digest({file: (before, after)}) == digest()


def test_missing_task_function_is_refused() -> None:
    with pytest.raises(ValueError, match="no function nothing"):
        code_digest.definitions_used("satpipe.engine.runner:nothing")


@pytest.mark.parametrize("planner", [planner for stage in STAGES for planner in stage.planners])
def test_every_planner_of_the_pipeline_can_be_digested(planner: str) -> None:
    assert planner in code_digest.definitions_used(planner)


def test_resource_folder_digest_sees_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_digest, "__file__", str(tmp_path / "engine" / "code_digest.py"))
    (tmp_path / "templates").mkdir()
    page = tmp_path / "templates" / "page.html"
    page.write_text("a")
    first = code_digest.resource_digest("templates")
    page.write_text("b")
    second = code_digest.resource_digest("templates")
    page.rename(page.with_name("other.html"))
    assert len({first, second, code_digest.resource_digest("templates")}) == 3


def test_digests_are_remembered_for_the_same_sources_only(tmp_path: Path) -> None:
    project = LettersProject.build(tmp_path / "letters")
    cache = tmp_path / "cache" / "code.json"
    cache.parent.mkdir()

    def used(change: str = "") -> tuple[dict[str, str], bool]:
        """What a new process finds, and whether it had to parse for it; ``change`` edits the sources within it."""
        code = f"""
import json, pathlib
from satpipe.engine import code_digest
parsed = []
module = code_digest._module
code_digest._module = lambda name: parsed.append(name) or module(name)
code_digest.remember_in(pathlib.Path({str(cache)!r}))
{change}
found = code_digest.definitions_used("satpipe.stages.chips.stage:make")
code_digest.save()
print(json.dumps([found, bool(parsed)]))
"""
        environment = {**os.environ, "PYTHONPATH": str(project.folder)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=project.folder, env=environment, capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        found, parsed = json.loads(done.stdout)
        return found, parsed

    first, parsed = used()
    assert parsed
    assert used() == (first, False)
    shared = project.folder / "satpipe" / "shared.py"
    edit = f"path = pathlib.Path({str(shared)!r}); path.write_text(path.read_text().replace('upper', 'title'))"
    second, parsed = used(edit)
    assert parsed
    assert second["satpipe.shared:loud"] != first["satpipe.shared:loud"]
    # What was found while the sources changed is not kept under either's name.
    assert used() == (second, True)
    shared.write_text(shared.read_text().replace("title", "upper"))
    assert used()[0] == first
    cache.write_text(cache.read_text().replace(first["satpipe.shared:loud"], "0" * 64))
    assert used()[0] == first
