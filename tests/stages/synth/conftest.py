"""Fixtures of the synth stage's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.synth_project import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Parts for one split."""
    return Bench(tmp_path)
