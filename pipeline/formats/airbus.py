"""Labels of the Airbus Ship Detection Challenge: a CSV with a run-length encoded mask in each row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..utils.errors import InputError
from .base import LabelFormat, LabelInput, SharedSource
from .inventory import columns
from .label import NO_SCENE, NOWHERE, ImageLabels, Label, Labels, PixelObject, broken_object
from .tabular import Row, read_rows

COLUMNS = ("ImageId", "EncodedPixels")


class AirbusSource(SharedSource):
    """Images with masks in a CSV `ImageId,EncodedPixels`, as Kaggle's Airbus Ship Detection Challenge has them."""

    type: Literal["airbus"] = "airbus"
    default_class: str = "ship"
    """Class of every object."""


def read(given: LabelInput) -> Labels:
    """Read the labels of scenes; an image without runs, or without a row, is one without objects."""
    source, labels = given.source(AirbusSource), Labels()
    listed: set[int] = set()
    for name, path in given.files.items():
        try:
            rows = read_rows(path, COLUMNS)
        except InputError as error:
            labels.refuse(given.scenes, error)
            continue
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
    labels.unlabelled = sum(position not in listed for position in range(len(given.scenes)))
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


FORMAT = LabelFormat(
    title="Airbus",
    files="a `.csv` with `ImageId` and `EncodedPixels`, as in Kaggle's Airbus Ship Detection Challenge",
    source=AirbusSource,
    read=read,
    suffixes=(".csv",),
    holds=lambda path: set(COLUMNS) <= set(columns(path)),
)
