"""Labels that a function of the user's reads, where no format of this package fits."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..utils.errors import ConfigError
from .base import LabelFormat, LabelInput, Paths, SharedSource, SourceBase
from .label import NOWHERE, UNKNOWN_LABELS, Label, Labels


class CustomSource(SharedSource):
    """Scenes with labels in a format of your own, read by a function of yours."""

    type: Literal["custom"] = "custom"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths
    """Label file, folder (with all of its files), glob or list."""
    reader: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    """The function as `package.module:function`. Called with the path of a label file, it returns for each object
    (image, class, x_min, y_min, x_max, y_max): name of the image, name of the class, edges in pixels."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes, one label file after the other.

    A file that the function fails on could hold labels of any scene, so all are refused: without them a scene must not
    pass for one without objects.
    """
    reader = given.source(CustomSource).reader
    module, _, function = reader.partition(":")
    labels = Labels()
    usable = [str(scene["scene_id"]) for scene in given.usable]
    labelled = set()
    for name, path in given.files.items():
        try:
            rows = list(getattr(importlib.import_module(module), function)(path))
        except Exception as error:  # it is not our code
            reason = f"{UNKNOWN_LABELS}{reader} fails on {path.name}: {type(error).__name__}: {error}"
            labels.refused |= dict.fromkeys(usable, reason[:300])
            continue
        for number, (row, position) in enumerate(zip(rows, given.match(list(map(_image, rows)), name), strict=True), 1):
            label = _label(f"{name}:{number}", row, None if position is None else given.scenes[position])
            labels.labels.append(label)
            labelled.add(label.scene_id)
    labels.unlabelled = len(set(usable) - labelled)
    return labels


def _image(row: Any) -> str:
    """Return the image that a row names."""
    try:
        return str(row[0])
    except (TypeError, IndexError, KeyError):
        return ""


def _label(origin: str, row: Any, scene: Mapping[str, Any] | None) -> Label:
    scene_id = None if scene is None else str(scene["scene_id"])
    source = "" if scene is None else f"{scene['source']}/"
    try:
        _, class_name, left, top, right, bottom = row
        box = float(top), float(left), float(bottom), float(right)
    except (TypeError, ValueError):
        reason = f"the reader returned {row!r} instead of (image, class, x_min, y_min, x_max, y_max)"[:200]
        return Label(f"{source}{origin}", scene_id, "", "box", NOWHERE, origin, reason)
    if scene is None:
        return Label(
            origin, None, str(class_name), "box", NOWHERE, origin, f"its image {row[0]!r} is not among the scenes"
        )
    kind = "point" if box[0] == box[2] and box[1] == box[3] and all(map(math.isfinite, box)) else "box"
    return Label(f"{source}{origin}", scene_id, str(class_name), kind, box, origin)


def companions(source: SourceBase, _: Mapping[str, Path]) -> dict[str, Path]:
    """Return the file of the reader's module: an edited reader reads anew; what it imports is not looked at.

    Raises:
        ConfigError: If there is no such module with a file.
    """
    assert isinstance(source, CustomSource)
    module = source.reader.partition(":")[0]
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ConfigError(f"reader: there is no module {module}; install it, or put its folder on PYTHONPATH")
    return {"reader.py": Path(spec.origin)}


FORMAT = LabelFormat(
    title="Your own",
    files="any files, read by a function of yours",
    source=CustomSource,
    read=read,
    suffixes=("",),
    companions=companions,
)
