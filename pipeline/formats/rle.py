"""Masks as runs of pixels: from counts to boxes and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .label import NOWHERE, PixelObject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_PIXELS = 1 << 30


def mask_object(class_name: str, mask: npt.NDArray[np.bool_], row: int = 0, col: int = 0, **more: Any) -> PixelObject:
    """Return the object of a mask (H, W), whose upper left pixel is at ``row``, ``col`` of the image."""
    import numpy as np

    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return PixelObject(class_name, NOWHERE, **({"reason": "its mask is empty"} | more))
    top, left, bottom, right = int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1
    outline = outline_of_mask(mask[top:bottom, left:right], row + top, col + left)
    box = (float(row + top), float(col + left), float(row + bottom), float(col + right))
    return PixelObject(class_name, box, **({"outline": outline} | more))


def outline_of_mask(mask: npt.NDArray[np.bool_], row: int = 0, col: int = 0) -> str | None:
    """Return the WKT around the pixels of a mask, along their edges; None for a full rectangle."""
    import shapely
    from affine import Affine
    from rasterio.features import shapes

    if mask.all():
        return None
    moved = Affine.translation(col, row)
    regions = shapes(mask.astype("uint8"), mask=mask, connectivity=8, transform=moved)
    polygons = [shapely.geometry.shape(shape) for shape, _ in regions]
    return str(shapely.to_wkt(polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons), trim=True))


def from_counts(counts: Sequence[int], height: int, width: int, down_columns: bool) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) from the lengths of its runs, which are off and on in turn, off first.

    Raises:
        ValueError: If the counts do not fill the mask.
    """
    import numpy as np

    lengths = np.asarray(counts, dtype=np.int64)
    if height * width > MAX_PIXELS or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"its runs do not fill {height} x {width} pixels")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(width, height).T if down_columns else flat.reshape(height, width)


def from_starts(runs: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) from pairs of start (from 1, down the columns) and length, as Kaggle has them.

    Raises:
        ValueError: If a run is outside the image.
    """
    import numpy as np

    pairs = np.asarray(runs, dtype=np.int64).reshape(-1, 2)
    if height * width > MAX_PIXELS or (pairs < 1).any() or (pairs.sum(axis=1) - 1 > height * width).any():
        raise ValueError(f"its runs are outside an image of {height} x {width} pixels")
    flat = np.zeros(height * width, bool)
    for start, length in pairs.tolist():
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(width, height).T


def from_compressed(text: str, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) from COCO's compressed counts: numbers of 5 bits a character, from the third on differences.

    Raises:
        ValueError: If the text is no such mask.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        if not 48 <= character < 112 or shift > 60:
            raise ValueError("its counts are not a compressed mask")
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (1 << shift) if bits & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return from_counts(counts, height, width, down_columns=True)


def to_compressed(mask: npt.NDArray[np.bool_], row: int, col: int, height: int, width: int) -> str:
    """Return a mask as COCO's compressed counts, see :func:`from_compressed`; nothing of the image's size is made.

    Args:
        mask: (H, W), not empty, inside the image.
        row: Row of its upper left pixel in the image.
        col: Its column.
        height: Rows of the image.
        width: Columns of the image.
    """
    import numpy as np

    inside = np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8)
    columns, starts = np.nonzero(np.diff(inside, axis=1) == 1)
    _, stops = np.nonzero(np.diff(inside, axis=1) == -1)
    down = (col + columns) * height + row
    edges = np.stack([down + starts, down + stops], axis=1).ravel()
    # A run that ends at the foot of a column goes on at the head of the next one.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    counts = np.diff(edges, prepend=0, append=height * width)
    counts = counts if counts[-1] else counts[:-1]
    counts[3:] -= counts[1:-2].copy()
    return "".join(_characters(int(count)) for count in counts)


def _characters(value: int) -> str:
    """Return a number as COCO writes it: 5 bits a character, the lowest first, with a sixth where more follow."""
    text, more = "", True
    while more:
        bits = value & 0x1F
        value >>= 5
        more = value != (-1 if bits & 0x10 else 0)
        text += chr(bits + (0x20 if more else 0) + 48)
    return text
