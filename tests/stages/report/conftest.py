"""Fixtures of the report's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.report_data import FakeRun, SimulatedRun


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    """A finished experiment in which the synthetic chips help."""
    return FakeRun(tmp_path_factory.mktemp("fake run"), SimulatedRun())


@pytest.fixture(scope="session")
def page_folder(fake_run: FakeRun) -> Path:
    """The page of the finished experiment."""
    return fake_run.report()[0]
