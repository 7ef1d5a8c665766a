"""Fixtures that several packages of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject

FAST = ("composition", "config", "dataset", "raster", "stages/chips", "stages/report/test_report_statistics.py")
"""Folders and files whose tests take about a second or less; all others carry the marker `slow`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that a quick run leaves out."""
    here = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(here).as_posix()
        if not name.startswith(FAST):
            item.add_marker("slow")


@pytest.fixture
def project(tmp_path: Path) -> LettersProject:
    """A letters project in which nothing was run yet."""
    return LettersProject.build(tmp_path / "letters project")


@pytest.fixture
def finished(project: LettersProject) -> LettersProject:
    """A letters project that was run once."""
    project.run()
    return project
