"""Fixtures of the classify stage's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.classify_project import ClassifyProject


@pytest.fixture
def project(tmp_path: Path) -> ClassifyProject:
    """Parts with real chips of two classes."""
    project = ClassifyProject(tmp_path)
    project.write_real()
    return project


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., ClassifyProject]:
    """Builds a project with other classes."""
    return lambda *classes: ClassifyProject(tmp_path, classes)
