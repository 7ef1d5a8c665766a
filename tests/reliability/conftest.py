"""Fixtures of the reliability tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.faults import Harness, Undisturbed, build_project, can_compile, content


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Runs in a warm process, with faults at chosen points."""
    if not can_compile():
        pytest.skip("needs Linux and a C compiler (cc)")
    running = Harness(tmp_path_factory.mktemp("harness"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one place where projects are built: scene tables hold where the scenes are."""
    return tmp_path_factory.mktemp("ground")


@pytest.fixture(scope="session")
def undisturbed(harness: Harness, ground: Path) -> Undisturbed:
    """An undisturbed run."""
    folder = build_project(ground / "project")
    harness.arm(folder, watch=2)
    done = harness.run_all(folder)
    assert done.code == 0, done.out + done.err
    found = Undisturbed(content(folder), harness.logged(), ground.with_name("kept"))
    shutil.copytree(folder / "data", found.kept)
    shutil.rmtree(folder)
    return found


@pytest.fixture(scope="session")
def published(harness: Harness, undisturbed: Undisturbed, ground: Path) -> tuple[Path, Path]:
    """Where projects are built, and the copy of a finished one with its report from which it is restored there."""
    folder = build_project(ground / "project")
    shutil.copytree(undisturbed.kept, folder / "data")
    harness.arm()
    assert harness.run_all(folder).code == 0
    pristine = folder.rename(ground.with_name("published"))
    return folder, pristine


@pytest.fixture
def project(undisturbed: Undisturbed, ground: Path) -> Iterator[Path]:
    """A project that nothing was run in yet, where the undisturbed one was."""
    # Tests that restore the published project leave it there.
    shutil.rmtree(ground / "project", ignore_errors=True)
    yield build_project(ground / "project")
    shutil.rmtree(ground / "project")


@pytest.fixture
def finished(project: Path, undisturbed: Undisturbed) -> Path:
    """A project as the undisturbed run left it, artifacts and records."""
    shutil.copytree(undisturbed.kept, project / "data")
    return project


@pytest.fixture
def small_disk(undisturbed: Undisturbed, ground: Path) -> Iterator[Path]:
    """A project on a file system of its own with 640 kB of room."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "none", ground], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield build_project(ground / "project")
    subprocess.run(["umount", "-l", ground], check=True)
