"""Pascal VOC labels: one XML per image, corners counted from 1, both inside the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ..utils.errors import InputError
from .label import NOWHERE, Label, Labels

MAX_BYTES = 64 << 20
MAX_DEPTH = 32


def read(scenes: Sequence[Mapping[str, Any]], files: Mapping[str, Path]) -> Labels:
    """Read the labels of scenes; an image without a file is an image without objects.

    Args:
        scenes: Rows of the catalogue.
        files: Label file of each scene that has one, by the scene's path below its source.
    """
    found = Labels()
    for scene in scenes:
        scene_id, file = str(scene["scene_id"]), files.get(str(scene["path"]))
        if file is None:
            found.unlabelled += 1
            continue
        try:
            size, objects = parse(file)
        except InputError as error:
            found.refused[scene_id] = f"its labels are not known: {error}"
            continue
        if scene["quarantined"] is None and 0 not in size and size != (scene["height"], scene["width"]):
            found.refused[scene_id] = (
                f"{file.name} says that it has {size[0]} rows and {size[1]} columns;"
                f" it has {scene['height']} and {scene['width']}"
            )
        for number, one in enumerate(objects):
            found.labels.append(_label(one, f"{scene['source']}/{scene['path']}/{file.name}:{number}", scene_id))
    return found


def parse(path: Path) -> tuple[tuple[int, int], list[dict[str, str]]]:
    """Image size (rows, columns; 0 where the file does not say) and objects of one file: texts by tag.

    The parser knows no document types and no entities: neither expansion bombs nor references to other files.

    Raises:
        InputError: If the file cannot be read, is no VOC annotation, or declares a document type.
    """
    open_tags: list[str] = []
    text: list[str] = []
    objects: list[dict[str, str]] = []
    size = {"height": "0", "width": "0"}

    def refuse(*_: Any) -> int:
        raise InputError(f"label file {path.name} declares a document type or entities; remove the declaration")

    def start(tag: str, _: Mapping[str, str]) -> None:
        open_tags.append(tag)
        text.clear()
        if len(open_tags) > MAX_DEPTH or (len(open_tags) == 1 and tag != "annotation"):
            raise InputError(f"label file {path.name} is no Pascal VOC annotation")
        if open_tags == ["annotation", "object"]:
            objects.append({})

    def end(tag: str) -> None:
        inner = open_tags[1:-1]
        if inner in (["object"], ["object", "bndbox"]):
            objects[-1].setdefault(tag, "".join(text).strip())
        elif inner == ["size"] and tag in size:
            size[tag] = "".join(text).strip()
        open_tags.pop()
        text.clear()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"label file {path.name} is larger than {MAX_BYTES >> 20} MiB")
        parser.Parse(path.read_bytes(), True)
        rows, columns = (int(float(size[side])) for side in ("height", "width"))
    except (expat.ExpatError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"label file {path.name} cannot be read: {error}"[:200]) from None
    return (rows, columns), objects


def _label(one: Mapping[str, str], label_id: str, scene_id: str) -> Label:
    try:
        col_min, row_min, col_max, row_max = (float(one[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    except (KeyError, ValueError):
        reason = "the object has no bndbox of four numbers"
        return Label(label_id, scene_id, one.get("name", ""), "box", NOWHERE, label_id, reason)
    box = row_min - 1, col_min - 1, row_max, col_max
    return Label(label_id, scene_id, one.get("name", ""), "box", box, label_id)
