"""Fixtures of the synth stage's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.synth_project import SynthProject


@pytest.fixture
def project(tmp_path: Path) -> SynthProject:
    """Parts for one split."""
    return SynthProject(tmp_path)
