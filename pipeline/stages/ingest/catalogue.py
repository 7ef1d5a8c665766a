"""Read every scene of a batch whole and list the scenes: one row each, usable or not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...engine.task import TaskContext
from ...formats.registry import FORMATS
from ...formats.scenes import CATALOGUE, Reading, describe, row_of
from .sources import SIDECAR

FILE = "catalogue.parquet"


def catalogue(context: TaskContext) -> dict[str, Any]:
    """Write the catalogue of the task's scene files; arrays of chips that came in a JSON lie beside it.

    Returns:
        Metadata: how many scenes can be used, and of each other one why not.
    """
    config = context.config
    reading = Reading(
        config["source"],
        None if config["bands"] is None else tuple(config["bands"]),
        config["max_pixels"],
        config["gsd_m"],
        config["nodata"],
        hash_pixels=FORMATS[config["kind"]].chips is not None,
    )
    files = list(_files(context))
    sizes = [path.stat().st_size if path.is_file() else 0 for _, path, _, _ in files]
    rows: list[dict[str, Any]] = []
    for position, (name, path, where, sha256) in enumerate(files):
        before, size, total = sum(sizes[:position]) / 1e6, sizes[position] / 1e6, sum(sizes) / 1e6

        def tick(share: float, before: float = before, size: float = size, total: float = total) -> None:
            context.progress.update(before + share * size, total, "MB")

        rows.extend(_scenes(context, name, path, where, sha256, reading, tick))
    rows.extend(row_of(reading, name, "source", quarantined=reason) for name, reason in config["refused"])
    frame = CATALOGUE.write(rows, context.out / FILE)
    bad = frame[frame["quarantined"].notna()]
    return {
        "scenes": int(frame["quarantined"].isna().sum()),
        "quarantined": [list(pair) for pair in zip(bad["scene_id"], bad["quarantined"], strict=True)],
    }


def _files(context: TaskContext) -> Iterator[tuple[str, Path, str, str]]:
    """Yield name, path, what the name is relative to, and digest of each scene file, the user's or another task's."""
    for name, file in context.task.files.items():
        if name.startswith(SIDECAR):
            continue
        yield name, Path(file.path), "source", file.sha256
    if "origin" in context.task.inputs:
        for folder in context.folders("origin"):
            for name in context.config["names"]:
                path = folder / name
                if path.is_file():
                    with path.open("rb") as stream:
                        digest = hashlib.file_digest(stream, "sha256").hexdigest()
                    yield name, path, f"store:{folder.parent.name}/{folder.name}", digest


def _scenes(
    context: TaskContext,
    name: str,
    path: Path,
    where: str,
    sha256: str,
    reading: Reading,
    tick: Callable[[float], None],
) -> list[dict[str, Any]]:
    chips = FORMATS[context.config["kind"]].chips
    if chips is not None and chips.packed is not None and path.suffix.lower() == chips.packed_suffix:
        array = context.out / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"
        return chips.packed(path, name, array, reading)
    row = describe(path, name, where, sha256, reading, tick)
    return [row | chips.columns(name, row) if chips is not None else row]
