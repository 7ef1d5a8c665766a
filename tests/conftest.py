"""Fixtures that several packages of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject


@pytest.fixture
def project(tmp_path: Path) -> LettersProject:
    """A letters project in which nothing was run yet."""
    return LettersProject.build(tmp_path / "letters project")


@pytest.fixture
def finished(project: LettersProject) -> LettersProject:
    """A letters project that was run once."""
    project.run()
    return project
