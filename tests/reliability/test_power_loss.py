"""After a power loss a record never exists without what it records.

A disk may lose every write that was not synced, and every name in a folder that was not synced, and keep any of them.
The trace of a real run is replayed in a model of the worst such disk: it keeps the new name as soon as the rename was
called, and the content and the names below only from the moment they were synced.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.faults import Undisturbed


class Disk:
    """Which files and names would be lost if the power went now."""

    def __init__(self) -> None:
        self.dirty: set[str] = set()
        self.unnamed: set[str] = set()
        self.folders: set[str] = set()

    def step(self, what: str, path: str, new: str = "") -> None:
        if what in ("open", "write"):
            self.dirty.add(path)
            if what == "open":
                self.unnamed.add(path)
        elif what == "mkdir" and path not in self.folders:  # else it is there already and the call fails
            self.folders.add(path)
            self.unnamed.add(path)
        elif what == "sync":
            self.dirty.discard(path)
            self.unnamed = {item for item in self.unnamed if str(Path(item).parent) != path}
        elif what == "unlink":
            self.forget(path)
        elif what == "rename":
            self.forget(new)
            for kept in (self.dirty, self.unnamed, self.folders):
                for item in [item for item in kept if item == path or item.startswith(path + "/")]:
                    kept.discard(item)
                    kept.add(new + item[len(path) :])
            self.unnamed.add(new)

    def forget(self, path: str) -> None:
        for kept in (self.dirty, self.unnamed, self.folders):
            kept -= {item for item in kept if item == path or item.startswith(path + "/")}

    def at_risk(self, path: str) -> list[str]:
        """What of ``path``, below it and above it is not on the disk for good."""
        lost = [item for item in self.dirty | self.unnamed if item == path or item.startswith(path + "/")]
        return sorted(lost + [item for item in self.unnamed if path.startswith(item + "/")])


def steps(undisturbed: Undisturbed) -> Iterator[tuple[str, str, str]]:
    for what, _, path, *new in undisturbed.trace:
        yield what, path, new[0] if new else ""


def risked(disk: Disk, path: str) -> list[str]:
    """What of ``path`` would be lost, but for what the library that writes weights renames behind the shim's back."""
    return [item for item in disk.at_risk(path) if not Path(item).name.startswith(".tmp")]


def test_record_is_written_after_all_that_it_records(undisturbed: Undisturbed) -> None:
    disk, seen = Disk(), 0
    latest = ""
    for what, path, new in steps(undisturbed):
        if what == "rename" and "/data/parts/" in new:
            assert risked(disk, path) == [], "content and names are synced before the folder gets its name"
            latest = new
        if what == "rename" and "/data/records/" in new:
            seen += 1
            assert risked(disk, latest) == [], "the name is synced before the record is written"
            assert path not in disk.dirty
        disk.step(what, path, new)
    assert seen >= 25


def test_nothing_of_records_and_report_is_at_risk_after_the_run(undisturbed: Undisturbed, ground: Path) -> None:
    disk = Disk()
    for step in steps(undisturbed):
        disk.step(*step)
    for name in ("data/parts", "data/records", "data/runs", "data/store.json", "reports"):
        assert [item for item in risked(disk, str(ground / "project" / name)) if "/.small." not in item] == []


def test_checkpoint_is_written_after_what_it_refers_to(undisturbed: Undisturbed) -> None:
    # A training that goes on from a checkpoint copies the sheets that were drawn before it.
    disk, seen = Disk(), 0
    for what, path, new in steps(undisturbed):
        if what == "rename" and new.endswith(("/good.safetensors", "/latest.safetensors")):
            seen += 1
            lost = [Path(item).name for item in risked(disk, str(Path(new).parent)) if item != path]
            # The log is for people who watch; nothing is read back from there.
            assert [name for name in lost if not name.startswith(("progress.", "metrics."))] == []
            assert path not in disk.dirty
        disk.step(what, path, new)
    assert seen >= 3


@pytest.mark.parametrize(
    ("trace", "lost"),
    [
        ([("mkdir", "/r/a", ""), ("sync", "/r", "")], []),
        ([("mkdir", "/r/a", ""), ("sync", "/r", ""), ("open", "/r/a/f", ""), ("write", "/r/a/f", "")], ["/r/a/f"] * 2),
        ([("open", "/r/a", ""), ("write", "/r/a", ""), ("sync", "/r/a", ""), ("rename", "/r/a", "/r/b")], ["/r/b"]),
        ([("open", "/r/a", ""), ("unlink", "/r/a", "")], []),
    ],
)
def test_model_of_the_disk_knows_what_would_be_lost(trace: list[tuple[str, str, str]], lost: list[str]) -> None:
    disk = Disk()
    for step in trace:
        disk.step(*step)
    assert sorted([*disk.dirty, *disk.unnamed]) == lost
