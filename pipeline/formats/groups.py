"""Group columns of scenes, from a CSV or from the names of their files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..utils.errors import InputError
from .label import match

RESERVED = "scene_id"
"""Every scene is a group of its own in this column."""
Lookup = Callable[[str], dict[str, str | None] | None]
"""The group columns of a scene file, by its path below the source's folder; None where nothing is known of it."""


def from_csv(path: Path, files: Sequence[str]) -> Lookup:
    """Groups from a CSV with a column `file` and one column per group.

    A row names a file by its path below the source's folder, or by its name alone, if no other file has that name. An
    empty cell is a missing group.

    Args:
        path: The CSV.
        files: Paths of all scene files of the source.

    Raises:
        InputError: If the file is no such CSV, names a file twice, or has no group column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = [name for name in reader.fieldnames or [] if name and name != "file"]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"groups_csv {path.name} cannot be read: {error}") from None
    if RESERVED in columns:
        raise InputError(f"groups_csv {path.name} has a column `{RESERVED}`, which is satpipe's own; rename it")
    if not columns or not rows or "file" not in rows[0]:
        raise InputError(f"groups_csv {path.name} needs a column `file` and at least one group column, and rows")
    known: dict[str, dict[str, str | None]] = {}
    positions = match([row["file"] or "" for row in rows], files)
    for number, (row, position) in enumerate(zip(rows, positions, strict=True), 2):
        if position is None:
            continue
        if files[position] in known:
            raise InputError(f"groups_csv {path.name} names {row['file']} twice, the second time in line {number}")
        known[files[position]] = {column: (row[column] or "").strip() or None for column in columns}
    return known.get


def from_regex(pattern: str) -> Lookup:
    """Groups from a regular expression that is searched in the file's path; each named group is a column."""
    compiled = re.compile(pattern)

    def look_up(file: str) -> dict[str, str | None] | None:
        found = compiled.search(file)
        return dict(found.groupdict()) if found else None

    return look_up
