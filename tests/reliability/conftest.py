"""Fixtures of the reliability tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Harness, build_project, can_compile, content


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Runs in a warm process, with faults at chosen points."""
    if not can_compile():
        pytest.skip("needs Linux and a C compiler (cc)")
    running = Harness(tmp_path_factory.mktemp("harness"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def sound(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after one undisturbed run of all six stages; not to be changed."""
    folder = build_project(tmp_path_factory.mktemp("sound"))
    harness.arm(folder, watch=2)
    done = harness.run_all(folder)
    assert done.code == 0, done.out + done.err
    (folder / "trace.txt").write_text("\n".join("\t".join(line) for line in harness.logged()))
    return folder


@pytest.fixture(scope="session")
def expected(sound: Path) -> dict[str, bytes]:
    """What an undisturbed run leaves."""
    return content(sound)
