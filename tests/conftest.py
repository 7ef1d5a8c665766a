"""What tests of several rooms use."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.toy_project import Toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A toy project that nothing was run in yet."""
    return Toy.build(tmp_path / "toy project")


@pytest.fixture
def toy_done(toy: Toy) -> Toy:
    """A toy project that was run once."""
    toy.run()
    return toy
