"""One flipped bit in any artifact is found when the artifact is opened, also where others only refer to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from fixtures.faults import Harness, Undisturbed, content
from satpipe.engine.store import Store
from satpipe.engine.task import ArtifactRef
from satpipe.stages.gan import checkpoint
from satpipe.utils.errors import CorruptedError, StoreError


def flip(path: Path, bit: int) -> None:
    """Flip a bit and keep the file's time."""
    stamp = path.stat()
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_flipped_bit_in_any_file_is_found_and_the_file_named(finished: Path) -> None:
    store = Store(finished / "data")
    records = [record for stage in (finished / "data" / "records").iterdir() for record in store.records(stage.name)]
    tried = 0
    for record in records:
        folder = store.folder(record.ref)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            before = path.read_bytes()
            flip(path, tried * 7919)
            store._verified.clear()  # as another process would find it
            with pytest.raises(CorruptedError, match=path.name) as caught:
                store.open(record.ref)
            assert f"artifact {record.stage}/{record.name}" in str(caught.value)
            path.write_bytes(before)
            tried += 1
        assert store.open(record.ref) == folder
    assert tried > 100


def test_flipped_bit_in_metadata_is_found_before_planning(finished: Path) -> None:
    store = Store(finished / "data")
    for record in [*store.records("chips"), *store.records("ingest")]:
        path = store.folder(record.ref) / "metadata.json"
        assert store.is_current(record)
        flip(path, 101)
        assert not store.is_current(record)
        flip(path, 101)
        assert store.is_current(record)


def test_flipped_bit_in_a_shard_of_an_index_is_found(
    harness: Harness, undisturbed: Undisturbed, finished: Path
) -> None:
    (shard,) = (finished / "data" / "parts" / "chips").glob("*/chips.npy")
    flip(shard, 8 * 500)
    harness.arm()
    more = ("--set", "gan.images=80", "--to", "gan")
    stopped = harness.run_all(finished, *more, "--no-remake")
    assert stopped.code == 2
    assert stopped.one_sentence()
    assert "chips.npy was changed" in stopped.err
    done = harness.run_all(finished, *more)
    assert done.code == 0, done.err
    assert "chips.npy was changed; it is made again" in done.out
    assert harness.run_all(finished).code == 0
    after = content(finished)
    assert {name: after.get(name) for name in undisturbed.content} == undisturbed.content


def test_flipped_bit_in_a_checkpoint_makes_it_none(tmp_path: Path) -> None:
    path = tmp_path / "good.safetensors"
    checkpoint.write(path, {"a": torch.arange(64.0), "b": torch.ones(2, 3)}, {"step": 7})
    found = checkpoint.read(path)
    assert found is not None
    assert found[1] == {"step": 7}
    size = path.stat().st_size
    for bit in range(0, 8 * size, 97):
        flip(path, bit)
        again = checkpoint.read(path)
        assert again is None or (again[1] == {"step": 7} and torch.equal(again[0]["a"], found[0]["a"]))
        flip(path, bit)
    assert checkpoint.read(path) is not None


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ('{"version": 0}', "in version 0 of the store's layout, and this satpipe writes version 2"),
        ('{"version": 999}', "in version 999 of the store's layout"),
        ('{"version": "1"}', "in version '1'"),
        ("", "store.json is damaged"),
        ("[]", "store.json is damaged"),
    ],
)
def test_store_of_another_layout_is_refused_with_its_version(tmp_path: Path, marker: str, said: str) -> None:
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError, match=said) as caught:
        Store(tmp_path)
    assert "another --root" in str(caught.value)


def test_store_that_lost_its_version_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "parts" / "gan" / "abc").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"holds artifacts but no store\.json"), Store(tmp_path).lock():
        pass
    assert not (tmp_path / "store.json").exists()


def test_an_artifact_whose_folder_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptedError, match="the folder is missing") as caught:
        Store(tmp_path).open(ArtifactRef("gan", "fold0", "0" * 32))
    assert json.dumps(caught.value.args[1:]) == json.dumps(["gan", "0" * 32])
