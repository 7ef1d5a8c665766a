"""List what lies in a folder: images, and files that may hold labels, each by what is in it and not by its suffix."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...formats.listing import IMAGES, VECTORS

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
MAX_FILES = 1_000_000
MAX_PARSED_BYTES = 64 << 20
HEAD_BYTES = 4096
COCO_KEYS = {"images", "annotations", "categories"}


@dataclass
class Inventory:
    """Files of a folder by what they are; paths below it, with ``/`` on every system, sorted.

    Attributes:
        root: The folder.
        images: Rasters and pictures.
        texts: Text files.
        xmls: XML files.
        vectors: Vector files with geometries.
        coco: COCO files.
        packed: JSON files of chips, as in shipsnet.
        tables: CSV files, with the names of their columns.
        archives: Archives that were not unpacked.
        others: How many other files there are.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    xmls: list[str] = field(default_factory=list)
    vectors: list[str] = field(default_factory=list)
    coco: list[str] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    others: int = 0

    def path(self, name: str) -> Path:
        """Where a listed file is."""
        return self.root / name


def take(root: Path) -> Inventory:
    """List a folder with its subfolders; hidden files and folders are passed over, as ingest does."""
    found = Inventory(root)
    for name in sorted(_walk(root)):
        suffix = Path(name).suffix.lower()
        if suffix in IMAGES:
            found.images.append(name)
        elif suffix in VECTORS:
            _sort_vector(found, name, suffix)
        elif suffix == ".csv":
            found.tables[name] = columns(root / name)
        elif suffix == ".txt":
            found.texts.append(name)
        elif suffix == ".xml":
            found.xmls.append(name)
        elif suffix in ARCHIVES:
            found.archives.append(name)
        else:
            found.others += 1
    return found


def _walk(root: Path) -> Iterator[str]:
    count = 0
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            count += 1
            if count > MAX_FILES:
                return
            if not name.startswith("."):
                yield Path(here, name).relative_to(root).as_posix()


def _sort_vector(found: Inventory, name: str, suffix: str) -> None:
    path = found.path(name)
    if suffix in (".geojson", ".json"):
        kind = json_kind(path)
        {"vector": found.vectors, "coco": found.coco, "packed": found.packed}.get(kind, []).append(name)
        found.others += kind == "other"
    elif suffix in (".parquet", ".geoparquet"):
        if _is_geoparquet(path):
            found.vectors.append(name)
        else:
            found.others += 1
    else:
        found.vectors.append(name)


def json_kind(path: Path) -> str:
    """What a JSON file is: ``vector`` (GeoJSON), ``coco``, ``packed`` (chips as in shipsnet), or ``other``.

    Told from its beginning where that says it; else a file of moderate size is parsed.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES).decode("utf-8-sig", "replace")
        if re.match(r'\s*\{\s*"(data|labels|locations|scene_ids)"\s*:\s*\[', head):
            return "packed"
        if re.search(r'"type"\s*:\s*"Feature(Collection)?"', head):
            return "vector"
        if not head.lstrip().startswith("{") or path.stat().st_size > MAX_PARSED_BYTES:
            return "coco" if re.match(r'\s*\{\s*"(images|annotations|categories)"\s*:', head) else "other"
        keys = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return "other"
    if set(keys) >= COCO_KEYS:
        return "coco"
    if set(keys) >= {"data", "labels"}:
        return "packed"
    return "vector" if keys.get("type") in ("FeatureCollection", "Feature") else "other"


def _is_geoparquet(path: Path) -> bool:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return b"geo" in (parquet.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def columns(path: Path) -> list[str]:
    """Names in the first line of a CSV; none where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except (OSError, ValueError, csv.Error):
        return []
