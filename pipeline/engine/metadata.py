"""Metadata of artifacts, checked against what the stage that makes them declares.

The metadata of an artifact are what its task function returned. Planners plan from them, and they may come from
someone else's folder. ``stages/<stage>/metadata.py`` declares them: ``SCHEMAS`` maps the names of artifacts, or what
these begin with, to a :class:`Schema`. The store checks them before anything reads them, and a worker before it commits
them, so that no other code has to. A key added later needs a default, or earlier results count as damaged.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..utils.bounded_files import read_bytes
from .task import MAX_METADATA_BYTES, METADATA, ArtifactRef

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
"""What can be part of the name of a file."""
Counts = dict[str, Count]
Numbers = dict[str, Number]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError("a path inside the artifact is expected")
    return path


InnerPath = Annotated[str, AfterValidator(_inside)]
"""Path of a file inside an artifact."""


class Schema(BaseModel):
    """Declaration of an artifact's metadata; keys that are not declared are let through."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


@cache
def _schemas(stage: str) -> dict[str, type[Schema]]:
    schemas: dict[str, type[Schema]] = importlib.import_module(f"satpipe.stages.{stage}.metadata").SCHEMAS
    return schemas


def schema_of(stage: str, name: str) -> type[Schema]:
    """Return the schema of an artifact's metadata: that of the longest beginning of its name that is declared."""
    beginnings = [start for start in _schemas(stage) if name.startswith(start)]
    return _schemas(stage)[max(beginnings, key=len)] if beginnings else Schema


def fault(stage: str, name: str, text: bytes) -> str | None:
    """Return what is wrong with the metadata of an artifact, in words; None if they are as declared.

    Args:
        stage: Stage of the artifact.
        name: Its name within the stage.
        text: The metadata as JSON.
    """
    try:
        schema_of(stage, name).model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None


def committed_fault(ref: ArtifactRef, folder: Path) -> str | None:
    """Return what is wrong with the metadata of the artifact in ``folder``, as :func:`fault` does."""
    try:
        return fault(ref.stage, ref.name, read_bytes(folder / METADATA, MAX_METADATA_BYTES))
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
