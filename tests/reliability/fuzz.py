"""Fuzz every reader of other people's files for a time: ``python tests/reliability/fuzz.py SECONDS [SEED]``.

Runs by itself, with a cap on its memory, so that a crash, a hang or a reader that takes all memory shows in how this
process ends. A reader may raise a SatpipeError of one sentence, and nothing else.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import configfile
from pipeline.errors import SatpipeError
from pipeline.executor import cap_memory
from pipeline.ingest import coco, groups, listing, points, shipsnet, vector, voc, yolo
from pipeline.ingest.labels import check
from pipeline.ingest.scenes import Reading
from pipeline.redact import redacted
from pipeline.store import Store
from pipeline.tables import CHIPS, PREDICTIONS

MEMORY_GB = 3.0
EXAMPLES = 25
"""Per reader and round."""

SCENE = {"scene_id": "s/a.tif", "source": "s", "path": "a.tif", "height": 60, "width": 80, "quarantined": None,
         "crs": "EPSG:32610", "transform": "[3, 0, 550000, 0, -3, 4180000]"}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.floats() | st.integers(-(10**6), 10**6) | st.sampled_from(["", "nan", "1e999", "0x1", "٣", "1_0"])
LINES = st.lists(st.lists(NUMBERS, max_size=9).map(lambda row: " ".join(map(str, row))), max_size=5).map("\n".join)
XML = st.lists(
    st.sampled_from(
        ["<annotation>", "</annotation>", "<object>", "</object>", "<size>", "<width>", "<bndbox>", "<xmin>", "]]>",
         "<!DOCTYPE a [", "<!ENTITY b 'c'>", "]>", "&b;", "&#0;", "<![CDATA[", "<?x?>", "12", "\x00"]
    ),
    max_size=14,
).map("".join)  # fmt: skip
FEATURES = st.builds(
    lambda shapes, crs: {
        "type": "FeatureCollection",
        "crs": crs,
        "features": [{"type": "Feature", "properties": {"class": "ship"}, "geometry": shape} for shape in shapes],
    },
    st.lists(
        st.builds(
            lambda kind, places: {"type": kind, "coordinates": places},
            st.sampled_from(["Point", "Polygon", "MultiPolygon", "LineString", "GeometryCollection", "x"]),
            JSON | st.lists(st.lists(st.lists(st.floats(), max_size=3), max_size=5), max_size=2),
        ),
        max_size=3,
    ),
    JSON,
)
COCO = st.builds(
    lambda images, annotations, categories: {"images": images, "annotations": annotations, "categories": categories},
    st.lists(st.builds(lambda at, name, size: {"id": at, "file_name": name, "width": size, "height": 60}, JSON,
                       st.sampled_from(["a.tif", "../a.tif", "b"]) | JSON, JSON), max_size=3),
    st.lists(st.builds(lambda at, box: {"id": at, "image_id": at, "category_id": 1, "bbox": box}, JSON,
                       JSON | st.lists(NUMBERS, min_size=4, max_size=4)), max_size=3),
    st.lists(JSON, max_size=2),
)  # fmt: skip


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def dumped(data: Any) -> bytes:
    return json.dumps(data).encode("utf-8", "surrogatepass")


def read_config(data: bytes, folder: Path) -> None:
    path = folder / "c.yaml"
    path.write_bytes(data)
    configfile.load(path)


def read_yolo(data: bytes, folder: Path) -> None:
    path = folder / "a.txt"
    path.write_bytes(data)
    for label in yolo.read([SCENE], {"a.tif": path}, ["ship"]).labels:
        check(label, (60, 80), ["ship"])


def read_shared(read: Callable[..., Any], suffix: str, *more: Any) -> Callable[[bytes, Path], None]:
    def reader(data: bytes, folder: Path) -> None:
        path = folder / f"l{suffix}"
        path.write_bytes(data)
        for label in read([SCENE], {path.name: path}, *more).labels:
            check(label, (60, 80), ["ship"])

    return reader


def read_own(data: bytes, folder: Path) -> None:
    path = folder / "a.xml"
    path.write_bytes(data)
    for label in voc.read([SCENE], {"a.tif": path}).labels:
        check(label, (60, 80), ["ship"])


def read_chips(data: bytes, folder: Path) -> None:
    path = folder / "c.json"
    path.write_bytes(data)
    reading = Reading("s", None, 10**6, 3.0)
    shipsnet.catalogue_json(path, "c.json", folder / "c.npy", reading)


def read_groups(data: bytes, folder: Path) -> None:
    path = folder / "g.csv"
    path.write_bytes(data)
    groups.from_csv(path, ["a.tif", "b/a.tif"])("a.tif")


def read_table(data: bytes, folder: Path) -> None:
    path = folder / "t.parquet"
    path.write_bytes(data)
    for table in (CHIPS, PREDICTIONS):
        try:
            table.read(path)
        except SatpipeError:
            continue


def read_frame(suffix: str, magic: bytes) -> Callable[[bytes, Path], None]:
    def reader(data: bytes, folder: Path) -> None:
        path = folder / f"l{suffix}"
        path.write_bytes(magic + data)
        vector.read([SCENE], {path.name: path}, {}, vector.Reading())

    return reader


def read_store(data: bytes, folder: Path) -> None:
    for name in ("store.json", "records/gan/k.json", "runs/r.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    try:
        Store(folder)
    except SatpipeError:
        (folder / "store.json").unlink()
    store = Store(folder)
    list(store.records("gan"))
    store.read_run("r")


def read_paths(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    (folder / "a.tif").write_bytes(b"x")
    listing.find(str(folder / text) if len(text) % 2 else text, (".tif",), "k")


def read_override(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    redacted(text)
    configfile.load(None, [text])


CSV = st.lists(st.lists(st.text(max_size=6) | NUMBERS.map(str), max_size=6).map(",".join), max_size=4).map("\n".join)
READERS: dict[str, tuple[Callable[[bytes, Path], None], st.SearchStrategy[bytes]]] = {
    "configuration": (read_config, JSON.map(lambda data: yaml.safe_dump(data).encode()) | st.binary(max_size=200)),
    "override": (read_override, st.text(max_size=40).map(lambda text: encoded("gan.images=" + text))),
    "YOLO": (read_yolo, LINES.map(str.encode) | st.binary(max_size=200)),
    "VOC": (read_own, XML.map(str.encode) | st.binary(max_size=200)),
    "COCO": (read_shared(coco.read, ".json"), COCO.map(dumped) | JSON.map(dumped) | st.binary(max_size=200)),
    "GeoJSON": (
        read_shared(lambda scenes, files: vector.read(scenes, files, {}, vector.Reading()), ".geojson"),
        FEATURES.map(dumped) | JSON.map(dumped) | st.binary(max_size=200),
    ),
    "CSV": (
        read_shared(points.read, ".csv", {}, "ship"),
        CSV.map(lambda text: encoded("file,x,y,class\n" + text)) | st.binary(max_size=200),
    ),
    "shipsnet": (
        read_chips,
        st.builds(lambda chips, labels: dumped({"data": chips, "labels": labels, "locations": labels}),
                  st.lists(st.lists(st.integers(-1, 256), min_size=3, max_size=12) | JSON, max_size=3), JSON)
        | JSON.map(dumped) | st.binary(max_size=200),
    ),
    "groups": (read_groups, CSV.map(lambda text: encoded("file,site\n" + text)) | st.binary(max_size=99)),
    "Parquet": (read_table, st.binary(max_size=400).map(lambda data: b"PAR1" + data + b"PAR1")),
    "GeoPackage": (read_frame(".gpkg", b"SQLite format 3\0" + bytes(52) + b"GP"), st.binary(max_size=600)),
    "Shapefile": (read_frame(".shp", b"\0\0\x27\x0a"), st.binary(max_size=400)),
    "GeoParquet": (read_frame(".parquet", b"PAR1"), st.binary(max_size=400)),
    "store": (read_store, JSON.map(dumped) | st.binary(max_size=100)),
    "paths": (read_paths, st.text(max_size=30).map(encoded)),
}  # fmt: skip


def fuzz(name: str, seed: int) -> int:
    """One round of examples for a reader; returns how many there were."""
    reader, strategy = READERS[name]
    count = 0

    @hypothesis.seed(seed)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def attempt(data: bytes) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                reader(data, Path(folder))
            except SatpipeError as error:
                said = str(error)
                if "\n" in said or len(said) > 2000:
                    raise AssertionError(f"not one sentence: {said!r}") from None

    attempt()
    return count


def main() -> None:
    """Rounds over all readers until the time is over; prints how many files each was given."""
    seconds = float(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**31)
    cap_memory(MEMORY_GB)
    until = time.monotonic() + seconds
    counts = dict.fromkeys(READERS, 0)
    rounds = 0
    while rounds == 0 or time.monotonic() < until:
        for name in READERS:
            began = time.monotonic()
            print(f"\r{name} with seed {first + rounds}   ", end="", flush=True)
            counts[name] += fuzz(name, first + rounds)
            assert time.monotonic() - began < 30 * EXAMPLES, f"{name} hangs"
        rounds += 1
    print("\r" + ", ".join(f"{name} {count}" for name, count in counts.items()))
    print(f"{sum(counts.values())} files, seeds {first} to {first + rounds - 1}")


if __name__ == "__main__":
    main()
