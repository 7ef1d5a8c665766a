"""Group columns of scenes, from a CSV or from the names of their files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..utils.errors import InputError
from .label import match
from .tabular import known_columns, read_table

RESERVED = "scene_id"
"""Every scene is a group of its own in this column."""
Lookup = Callable[[str], dict[str, str | None] | None]
"""The group columns of a scene file, by its path below the source's folder; None where nothing is known of it."""


def from_csv(path: Path, files: Sequence[str]) -> Lookup:
    """Return groups from a CSV with a column `file` and one column per group.

    A row names a file by its path below the source's folder, or by its name alone, if no other file has that name. An
    empty cell is a missing group. The column may also be called as people often call it, such as `filename` or `image`.

    Args:
        path: The CSV.
        files: Paths of all scene files of the source.

    Raises:
        InputError: If the file is no such CSV, names a file twice, or has no group column.
    """
    names, rows = read_table(path, {}, "groups_csv")
    if "file" not in names and (theirs := known_columns(names).get("file")) is not None:
        names, rows = read_table(path, {"file": theirs}, "groups_csv")
    columns = [name for name in names if name and name != "file"]
    if RESERVED in columns:
        raise InputError(f"groups_csv {path.name} has a column `{RESERVED}`, which is reserved; rename it")
    if not columns or not rows or "file" not in names:
        raise InputError(
            f"groups_csv {path.name} needs a column `file`, at least one group column, and at least one row"
        )
    groups: dict[str, dict[str, str | None]] = {}
    positions = match([row.get("file", "") for row in rows], files)
    for number, (row, position) in enumerate(zip(rows, positions, strict=True), 2):
        if position is None:
            continue
        if files[position] in groups:
            raise InputError(f"groups_csv {path.name} names {row['file']} twice, the second time in line {number}")
        groups[files[position]] = {column: row.get(column) for column in columns}
    return groups.get


def from_regex(pattern: str) -> Lookup:
    """Return groups from a regular expression that is searched in the file's path; each named group is a column."""
    compiled = re.compile(pattern)

    def look_up(file: str) -> dict[str, str | None] | None:
        match = compiled.search(file)
        return dict(match.groupdict()) if match else None

    return look_up
