"""Fixtures of the classify stage's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.classify_project import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Parts with real chips of two classes."""
    shop = Shop(tmp_path)
    shop.write_real()
    return shop


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[..., Shop]:
    """Builds a shop with other classes."""
    return lambda *classes: Shop(tmp_path, classes)
