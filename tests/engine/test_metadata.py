"""Metadata of every kind of artifact are checked, whatever lacks or is of another type, down to the innermost value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fixtures.artifact_metadata import SOUND, sound
from satpipe.engine.digests import digest_of
from satpipe.engine.metadata import fault, schema_of
from satpipe.engine.store import Record, Store
from satpipe.engine.task import METADATA, Task
from satpipe.utils.errors import CorruptedError

Place = tuple[str | int, ...]
MAY_LACK = {"layers", "whole", "wanted", "composites", "tstr", "unseen_real_accepted", "note"}


def places(data: Any, at: Place = ()) -> Iterator[Place]:
    """Yield the place of every value in nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def changed(data: Any, place: Place, value: Any = None, remove: bool = False) -> Any:
    """Return nested data with another value at a place, or without that key."""
    data = deepcopy(data)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return data


def fault_of(title: str, data: Any) -> str | None:
    stage, _, name = title.partition("/")
    return fault(stage, name, json.dumps(data).encode())


@pytest.mark.parametrize("title", SOUND)
def test_sound_metadata_pass(title: str) -> None:
    assert fault_of(title, sound(title)) is None


@pytest.mark.parametrize("title", SOUND)
def test_a_value_of_another_type_is_named(title: str) -> None:
    for place in places(sound(title)):
        for odd in (True, "odd", -1, 1.5, 10**400, None, [], {}, [[]], {"a": {"b": []}}):
            result = fault_of(title, changed(sound(title), place, odd))
            value = sound(title)
            for key in place:
                value = value[key]
            alike = type(odd) is type(value) or (isinstance(value, float) and odd == -1) or (odd is None)
            if not alike:
                assert result is not None, (place, odd)
                assert result.startswith(".".join(map(str, place))), (place, odd)


@pytest.mark.parametrize("title", SOUND)
def test_a_missing_key_is_named(title: str) -> None:
    stage, _, name = title.partition("/")
    for key in sound(title):
        result = fault_of(title, changed(sound(title), (key,), remove=True))
        needed = schema_of(stage, name).model_fields[key].is_required()
        assert (result == f"{key}: Field required") == needed
        assert needed or key in MAY_LACK


@pytest.mark.parametrize("path", ["../a.tif", "/etc/passwd", "", "a/../../b", "a\0"])
def test_no_path_in_metadata_leads_out(path: str) -> None:
    assert fault_of("ingest/download-x", {"dataset": "x", "files": [[path, 1]]}) is not None
    assert fault_of("ingest/simulated-0", sound("ingest/simulated-0") | {"scene": path}) is not None
    batch = sound("chips/windows")["batches"][0] | {"name": path}
    assert fault_of("chips/windows", sound("chips/windows") | {"batches": [batch]}) is not None


@pytest.mark.parametrize("text", [b"", b"[]", b"[" * 100_000, b"{", b"\xff", b'{"a": NaN}', b"null"])
def test_metadata_that_are_no_mapping_are_refused(text: bytes) -> None:
    assert fault("report", "page", text) is not None


def committed(store: Store, metadata: dict[str, Any]) -> Record:
    components = {"name": "page"}
    with store.staging(digest_of(components)) as folder:
        (folder / METADATA).write_text(json.dumps(metadata))
        return store.commit(folder, Task("report", "page", "a:b"), digest_of(components), components, 1.0)


def test_damaged_metadata_are_not_current_nor_opened(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    record = committed(store, sound("report/page"))
    assert store.is_current(record)
    assert store.open(record.ref).is_dir()
    # Everything vouches for these: manifest, digest and record are those of the damaged file.
    record = committed(store, sound("report/page") | {"verdict": ["helps"]})
    assert not store.is_current(record)
    with pytest.raises(CorruptedError, match=r"metadata\.json is damaged: verdict: Input should be a valid string"):
        store.open(record.ref)


def test_a_record_of_another_artifact_counts_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    record = committed(store, sound("report/page"))
    path = tmp_path / "records" / "report" / f"{record.key}.json"
    assert store.record("report", record.key) is not None
    path.write_text(path.read_text().replace('"name":"page","run"', '"name":"verdict","run"'))
    assert store.record("report", record.key) is None
