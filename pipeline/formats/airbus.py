"""Labels of the Airbus Ship Detection Challenge: a CSV with a run-length encoded mask in each row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, Recognised, SharedSource
from .inventory import Inventory, columns
from .label import NO_SCENE, NOWHERE, UNKNOWN_LABELS, ImageLabels, Label, Labels, PixelObject, broken_object
from .recognition import recognise_shared
from .tabular import Row, read_rows

COLUMNS = ("ImageId", "EncodedPixels")


class AirbusSource(SharedSource):
    """Images with masks in a CSV `ImageId,EncodedPixels`, as Kaggle's Airbus Ship Detection Challenge has them."""

    type: Literal["airbus"] = "airbus"
    default_class: str = "ship"
    """Class of every object."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image whose row has no runs is one without objects.

    So is one without a row, unless the files list images without objects: then its content is unknown.
    """
    source, labels = given.source(AirbusSource), Labels()
    listed: set[int] = set()
    lists_empty = False
    for name, path in given.files.items():
        try:
            rows = read_rows(path, COLUMNS)
        except InputError as error:
            labels.refuse(given.scenes, error)
            continue
        lists_empty = lists_empty or any("EncodedPixels" not in row for row in rows)
        of_scene: dict[int, list[PixelObject]] = {}
        positions = given.match([row.get("ImageId", "") for row in rows], name)
        for line, (row, position) in enumerate(zip(rows, positions, strict=True), 2):
            if position is not None:
                listed.add(position)
                scene = given.scenes[position]
                size = (scene["height"], scene["width"]) if scene["quarantined"] is None else (0, 0)
                of_scene.setdefault(position, []).extend(_objects(row, str(line), size, source.default_class))
            elif "EncodedPixels" in row:
                origin = f"{name}:{line}"
                labels.labels.append(Label(origin, None, source.default_class, "box", NOWHERE, origin, NO_SCENE))
        for position, objects in sorted(of_scene.items()):
            labels.add(ImageLabels(objects), given.scenes[position], name)
    missing = [scene for position, scene in enumerate(given.scenes) if position not in listed]
    labels.unlabelled = len(missing)
    if lists_empty:
        reason = f"{UNKNOWN_LABELS}no row names it, and images without objects have rows"
        labels.refused |= {str(scene["scene_id"]): reason for scene in missing if scene["quarantined"] is None}
    return labels


def _objects(row: Row, key: str, size: tuple[int, int], class_name: str) -> Iterator[PixelObject]:
    """Yield the object of one row, if it has one."""
    from . import rle

    if "EncodedPixels" not in row or row["EncodedPixels"].lower() == "nan":
        return
    try:
        mask = rle.from_starts([int(word) for word in row["EncodedPixels"].split()], *size)
        yield rle.mask_object(class_name, mask, key=key)
    except (ValueError, OverflowError) as error:
        yield broken_object(class_name, f"its mask cannot be read: {error}"[:120], key=key)


def holds(path: Path) -> bool:
    """Return whether a CSV has the columns of the challenge."""
    return set(COLUMNS) <= set(columns(path))


def recognise(folder: Inventory) -> Recognised | None:
    """Recognise the CSV of the labels; the submission, of the same columns, holds no labels."""
    recognised = recognise_shared(folder, FORMAT, lambda path: holds(path) and not is_submission(path.name))
    given_out = [name for name in folder.tables if is_submission(name) and holds(folder.path(name))]
    if recognised is not None and given_out:
        recognised.notes.append(f"{given_out[0]} has the same columns and is a submission, by its name: it is not read")
    return recognised


def is_submission(name: str) -> bool:
    """Return whether a file is named as what is handed in to a challenge."""
    return "submission" in name.lower()


FORMAT = LabelFormat(
    title="Airbus",
    files="a `.csv` with `ImageId` and `EncodedPixels`, as in Kaggle's Airbus Ship Detection Challenge",
    source=AirbusSource,
    read=read,
    recognise=recognise,
    suffixes=(".csv",),
    holds=holds,
)
