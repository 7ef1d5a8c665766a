"""Input of the writers of labels: images and the objects that they show, by box, outline or mask."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..label import Box, Point

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bits = npt.NDArray[np.bool_]

Ring = Sequence[Point]
TRAIN = "train"


@dataclass(frozen=True)
class Marks:
    """Provenance that is written into every file that has room for it.

    Attributes:
        description: One sentence that says what the images are, and that they are synthetic where they are.
        licence: Licence of the imagery.
        software: What wrote it.
    """

    description: str
    licence: str
    software: str


@dataclass(frozen=True)
class LabelledObject:
    """One object of an image, in pixels of the image.

    Attributes:
        class_name: Its class.
        box: Where it lies.
        mask: Which pixels (H, W) of its box are the object; None where that is not known. The box then lies on pixels.
        rings: Outer rings of its outline where there is no mask; empty where the box is all that is known.
        truncated: Whether the image's edge cuts it.
        properties: Further facts, for formats that have room for them.
        score: A detector's confidence; None for a label.
    """

    class_name: str
    box: Box
    mask: Bits | None = None
    rings: Sequence[Ring] = ()
    truncated: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None

    @property
    def outline(self) -> list[list[Point]]:
        """Return closed outer rings: of the mask along the edges of its pixels, else as given, else of the box."""
        import shapely

        from ..rle import outline_of_mask

        top, left, bottom, right = self.box
        rings = [list(ring) for ring in self.rings]
        if self.mask is not None and (text := outline_of_mask(self.mask, int(top), int(left))) is not None:
            parts = shapely.get_parts(shapely.from_wkt(text))
            rings = [[(float(x), float(y)) for x, y in part.exterior.coords] for part in parts]
        if not rings:
            rings = [[(left, top), (right, top), (right, bottom), (left, bottom)]]
        return [ring if ring[0] == ring[-1] else [*ring, ring[0]] for ring in rings]

    @property
    def corners(self) -> list[Point]:
        """Return the four corners of the smallest rectangle, turned in any direction, around the object."""
        import cv2
        import numpy as np

        points = np.array([point for ring in self.outline for point in ring], np.float64)
        # Near zero, where single precision tells hundredths of a pixel apart in a scene of any size.
        origin = np.floor(points.min(axis=0))
        corners = cv2.boxPoints(cv2.minAreaRect((points - origin).astype(np.float32)))
        return [(float(x), float(y)) for x, y in corners + origin]

    @property
    def area(self) -> float:
        """Return the pixels that the object covers."""
        import shapely

        if self.mask is not None:
            return float(self.mask.sum())
        return float(shapely.unary_union([shapely.make_valid(shapely.Polygon(ring)) for ring in self.outline]).area)


def masked_object(
    class_name: str, mask: Bits, size: tuple[int, int], row: int = 0, col: int = 0, **more: Any
) -> LabelledObject | None:
    """Return the object of a mask, or None where the mask is empty.

    Args:
        class_name: Its class.
        mask: (H, W), inside the image.
        size: Rows and columns of the image.
        row: Row of the mask's upper left pixel in the image.
        col: Its column.
        **more: Further attributes of :class:`LabelledObject`.
    """
    import numpy as np

    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    top, left, bottom, right = int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
    box = (row + top, col + left, row + bottom, col + right)
    truncated = box[0] <= 0 or box[1] <= 0 or box[2] >= size[0] or box[3] >= size[1]
    return LabelledObject(class_name, box, mask[top:bottom, left:right].copy(), truncated=truncated, **more)


def outlined_object(class_name: str, box: Box, outline: str | None, **more: Any) -> LabelledObject:
    """Return the object of a label as the label table has it: a box, and the WKT of an outline or None."""
    import shapely

    parts = [] if outline is None else shapely.get_parts(shapely.from_wkt(outline))
    rings = [[(float(x), float(y)) for x, y in part.exterior.coords] for part in parts]
    return LabelledObject(class_name, box, rings=rings, **more)


def cropped_object(
    item: LabelledObject,
    size: tuple[int, int],
    corner: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
) -> tuple[LabelledObject | None, float]:
    """Return an object without a mask as an image shows it that was cut from another one.

    Args:
        item: The object, in pixels of the image that was cut.
        size: Rows and columns of the image cut from it.
        corner: Row and column of its upper left corner, in its own pixels.
        scale: Pixels of the image that was cut for one of its own, down and across.

    Returns:
        The object, truncated where the edge cuts it, or None where nothing of it is left; and the share of its box that
        is left.
    """
    import shapely

    top, left, bottom, right = (edge / scale[axis % 2] - corner[axis % 2] for axis, edge in enumerate(item.box))
    inside = max(top, 0.0), max(left, 0.0), min(bottom, float(size[0])), min(right, float(size[1]))
    high, wide = inside[2] - inside[0], inside[3] - inside[1]
    if high <= 0 or wide <= 0:
        return None, 0.0
    share = high * wide / ((bottom - top) * (right - left))
    rings = [[(x / scale[1] - corner[1], y / scale[0] - corner[0]) for x, y in ring] for ring in item.rings]
    if share >= 1:
        return replace(item, box=(top, left, bottom, right), rings=rings), 1.0
    if rings:
        edge = shapely.box(0, 0, size[1], size[0])
        whole = shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in rings])
        parts = shapely.get_parts(shapely.intersection(whole, edge))
        rings = [[(float(x), float(y)) for x, y in part.exterior.coords] for part in parts if part.area]
    return replace(item, box=inside, rings=rings, truncated=True), share


@dataclass(frozen=True)
class LabelledImage:
    """An image and the objects that it shows.

    Attributes:
        file: Name of its file, which lies in :attr:`LabelWriter.images` of the folder.
        shape: (H, W, C).
        objects: Its objects; none is an image without objects.
        crs: WKT or EPSG code; None without georeference.
        transform: Affine coefficients a..f from (col, row) to coordinates in ``crs``.
        properties: Further facts, for formats that have room for them.
    """

    file: str
    shape: tuple[int, int, int]
    objects: Sequence[LabelledObject]
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Return the file's name without its suffix."""
        return Path(self.file).stem

    def clipped(self, box: Box) -> Box:
        """Return the part of a box that lies in the image."""
        height, width, _ = self.shape
        return max(box[0], 0), max(box[1], 0), min(box[2], height), min(box[3], width)

    def whole_pixels(self, box: Box) -> tuple[int, int, int, int]:
        """Return the smallest box on pixels around the part of a box that lies in the image."""
        top, left, bottom, right = self.clipped(box)
        return math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right)


class LabelWriter(ABC):
    """Writes the labels of a set of images.

    Attributes:
        images: Folder that the format wants the images in.
    """

    images: ClassVar[str] = "images"

    def __init__(self, folder: Path, classes: Sequence[str], marks: Marks, split: str = TRAIN) -> None:
        """Begin.

        Args:
            folder: The set's folder, which exists.
            classes: Classes of objects, in the order of their numbers; without the background.
            marks: What the images are.
            split: What the set is for, such as ``test``.
        """
        self.folder, self.classes, self.marks, self.split = folder, tuple(classes), marks, split
        (folder / self.images).mkdir(exist_ok=True)

    def folder_of(self, name: str) -> Path:
        """Return a folder of the set, made where it is not there yet."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    @abstractmethod
    def add(self, image: LabelledImage) -> None:
        """Add the labels of one image; its own file is written by the caller."""

    def close(self) -> None:  # noqa: B027 - some formats have nothing in common
        """Write what is for all images together."""

    @classmethod  # noqa: B027 - likewise
    def join(cls, folder: Path, splits: Sequence[str], classes: Sequence[str]) -> None:
        """Write what binds the sets of several splits, each in a folder of its name below ``folder``."""
