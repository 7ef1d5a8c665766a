"""Masks of labelled objects: which pixels of a chip are the object, and how it lies.

A mask is an *alpha*: the share of each pixel that the object covers, 0 to 1. It comes from the label's own outline
where there is one, else it is segmented from the label's box, else from the chip's centre (chips that come ready-cut).
Segmentation is GrabCut (Rother, Kolmogorov and Blake 2004, doi:10.1145/1015706.1015720), and where the objects of a
class are long (ships), GrabCut within a narrow band around the outline that :mod:`.hull` fits: that keeps quays,
jetties and ships alongside apart.

All coordinates are (row, col) in pixel edges of the chip: the middle of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .hull import Box as Box
from .hull import Form, Hull, fit_hull, form_of
from .hull_search import find_hull
from .pose import Alpha as Alpha
from .pose import Pose as Pose
from .pose import polygon_pose, pose_of, rasterise

Chip = npt.NDArray[np.generic]
"""A chip (H, W, C) in the scene's own dtype."""
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

OUTLINE, BOX, CENTRE = "outline", "box", "centre"

NO_OBJECT = "nothing stands out from the surroundings"
TOO_SMALL = "the mask covers too little of the box"
TOO_LARGE = "the mask covers too much of the box or chip"
OFF_CENTRE = "the mask does not cover the centre"
IN_PIECES = "the mask is in pieces"
CUT_OFF = "the chip's edge cuts the object"
TOO_BIG = "the object is larger than the chip"
TINY = "the object is smaller than three pixels"
NO_DATA = "pixels of the object have no data"
REASONS = (NO_OBJECT, TOO_SMALL, TOO_LARGE, OFF_CENTRE, IN_PIECES, CUT_OFF, TOO_BIG, TINY, NO_DATA)

ZOOM = 3
"""Fineness of segmented outlines: pixels of the mask to a pixel of the chip, along each side."""
MARGIN = 8
"""Pixels around an object that tell what is not the object."""
CLEARNESS = 2.0
"""Least clearness of a fitted hull. On background chips, with boxes put there at random, half of the fits have 1.6,
nine in ten less than 2.1; of PlanetScope's ships 99 in 100 have 2.0 or more."""
UNUSED = (0, 0, 1, 1)
"""The rectangle that GrabCut asks for and, started from a mask, does not read."""
FEWEST = 3
"""Masks that a class's form is learned from, at least."""
ANY_LONG = Form(math.log(0.22), 0.5)
"""What is expected of long objects before anything is known of the class."""
LONG_SHARE = 0.6
"""Share of a class's objects that need to be long for the class to be."""
LEARNED_FROM = 64
"""Labelled chips that a class's form is learned from, at most."""


@dataclass(frozen=True)
class ObjectMask:
    """Mask of one labelled object.

    Attributes:
        alpha: (H, W). Zero everywhere where nothing was found; what was found where ``reason`` is given.
        pose: How the object lies, also where the chip shows only a part of it; None if that is not known.
        source: ``outline``, ``box`` or ``centre``.
        reason: Why the mask can't be cut out as an object, one of :data:`REASONS`; None if it can.
    """

    alpha: Alpha
    pose: Pose | None
    source: str
    reason: str | None


@dataclass(frozen=True)
class Labelled:
    """A labelled chip with all that its label says of the object.

    Attributes:
        chip: (H, W, C), any dtype and number of bands.
        box: The object's box; may reach beyond the chip. None for a chip that came ready-cut.
        polygons: The object's outline, polygons (N, 2) of (row, col) or an oriented box's corners.
        instance: The object's mask (H, W), 0 to 1, where the labels have one.
        others: Boxes of other objects in the chip. What they alone hold is not this object.
        valid: Which pixels (H, W) hold data; None if all that are finite do.
    """

    chip: Chip
    box: Box | None = None
    polygons: Sequence[npt.ArrayLike] = ()
    instance: npt.NDArray[np.generic] | None = None
    others: Sequence[Box] = ()
    valid: Flags | None = None

    def mask(self, form: Form | None = None) -> ObjectMask:
        """Return the mask of the object; see :func:`object_mask`."""
        return object_mask(self.chip, self.box, self.polygons, self.instance, self.others, self.valid, form)

    def hull(self, form: Form) -> Hull | None:
        """Return the hull of the object."""
        has_data = _has_data(self.chip, self.valid)
        image = components(self.chip, has_data)
        return find_hull(image, form, has_data) if self.box is None else fit_hull(image, self.box, form, has_data)


def object_mask(
    chip: Chip,
    box: Box | None = None,
    polygons: Sequence[npt.ArrayLike] = (),
    instance: npt.NDArray[np.generic] | None = None,
    others: Sequence[Box] = (),
    valid: Flags | None = None,
    form: Form | None = None,
) -> ObjectMask:
    """Return the mask of a chip's labelled object.

    Args:
        chip: (H, W, C); this and what follows is described in :class:`Labelled`.
        box: The object's box.
        polygons: The object's outline.
        instance: The object's mask.
        others: Boxes of other objects.
        valid: Which pixels hold data.
        form: What :func:`learn_form` found of the class.
    """
    shape, has_data = chip.shape[:2], _has_data(chip, valid)
    if instance is not None:
        return _of_outline(np.clip(instance, 0, 1).astype(np.float32), None, has_data)
    if len(polygons):
        return _of_outline(rasterise(polygons, shape), polygon_pose(polygons), has_data)
    source = CENTRE if box is None else BOX
    if box is not None and max(box[2] - box[0], box[3] - box[1]) < 3:
        return _refused(shape, source, TINY)
    if box is not None and _visible(box, shape) < 0.3:
        return _refused(shape, source, CUT_OFF)
    image = components(chip, has_data)
    if form is not None:
        hull = find_hull(image, form, has_data) if box is None else fit_hull(image, box, form, has_data)
        if hull is not None and hull.clearness >= CLEARNESS:
            return _of_hull(image, hull, has_data, source)
    return _of_colour(image, box, others, has_data, source)


def _has_data(chip: Chip, valid: Flags | None) -> Flags:
    """Return which pixels (H, W) hold data."""
    has_data: Flags = np.ones(chip.shape[:2], bool) if valid is None else valid
    return has_data & np.isfinite(chip).all(axis=-1) if chip.dtype.kind == "f" else has_data


def learn_form(chips: Sequence[Labelled]) -> Form | None:
    """Return the form of a class's objects, or None where they are not mostly long.

    Masks by colour alone, where they are plausible, tell whether objects are long; many hold what lies beside too, so
    that hulls tell better how long.

    Args:
        chips: Labelled chips of the class; of many, some evenly spaced ones are taken.
    """
    places = np.unique(np.linspace(0, len(chips) - 1, min(len(chips), LEARNED_FROM)).astype(np.int64))
    taken = [chips[place] for place in places]
    masks = [example.mask() for example in taken]
    poses = [mask.pose for mask in masks if mask.reason is None and mask.pose is not None]
    form = ANY_LONG
    if len(poses) >= FEWEST:
        form = form_of(np.array([math.log(pose.width / pose.length) for pose in poses]))
        if np.mean([pose.has_axis for pose in poses]) < LONG_SHARE or form.log_aspect > -math.log(1.8):
            return None
    if all(mask.source == OUTLINE for mask in masks):
        return form if len(poses) >= FEWEST else None
    hulls = [example.hull(Form(form.log_aspect, ANY_LONG.deviation)) for example in taken]
    clear = [math.log(hull.width / hull.length) for hull in hulls if hull is not None and hull.clearness >= CLEARNESS]
    return form_of(np.array(clear)) if len(clear) >= max(FEWEST, LONG_SHARE * len(taken)) else None


def _of_outline(alpha: Alpha, pose: Pose | None, has_data: Flags) -> ObjectMask:
    """Return a mask that the labels give, checked only for what cannot be cut out."""
    area = float(alpha.sum())
    if pose is None and area > 0:
        pose = pose_of(alpha)
    reason = None
    if pose is None or pose.length < 3:
        reason = TINY
    elif area < 1:
        reason = CUT_OFF
    else:
        reason = _unseen(alpha, has_data) or _cut(alpha, pose)
    return ObjectMask(alpha, pose, OUTLINE, reason)


# --- segmentation ---------------------------------------------------------------------------------------------------


def components(chip: Chip, has_data: Flags) -> Bytes:
    """Return a chip (H, W, C) as three components (H, W, 3), 0 to 255, for segmentation.

    Three bands are stretched together. More are reduced to their first three principal components. Fewer are joined by
    smoothed copies of themselves: what a single pixel does not show, its surroundings may.
    """
    values = chip.astype(np.float32)
    if not has_data.any():
        return np.zeros((*chip.shape[:2], 3), np.uint8)
    values[~has_data] = np.median(values[has_data], axis=0)
    if values.shape[-1] > 3:
        values = _principal(values, has_data)
    if values.shape[-1] < 3:
        smooth = [cv2.GaussianBlur(values, (0, 0), sigma).reshape(values.shape) for sigma in (1.0, 2.0)]
        values = np.concatenate([values, *smooth], axis=-1)[..., :3]
    low, high = np.percentile(values[has_data], (0.5, 99.5))
    stretched: Bytes = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    return stretched


def _principal(values: npt.NDArray[np.float32], has_data: Flags) -> npt.NDArray[np.float32]:
    """Return the first three principal components (H, W, 3) of bands that were scaled to one spread."""
    low, middle, high = np.percentile(values[has_data], (5, 50, 95), axis=0)
    even = (values - middle) / np.maximum(high - low, 1e-6)
    _, axes = np.linalg.eigh(np.cov(even[has_data].T.astype(np.float64)))
    axes = axes[:, :-4:-1]
    return np.asarray(even @ (axes * np.where(axes.sum(axis=0) < 0, -1, 1)), np.float32)


def _of_hull(image: Bytes, hull: Hull, has_data: Flags, source: str) -> ObjectMask:
    """Return the mask of a long object: GrabCut in a band around its hull, held to it where colours say little."""
    distance = hull.distance(has_data.shape)
    slack = 1.2 + 0.02 * hull.length
    seed = np.where(distance < 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seed[distance > slack] = cv2.GC_BGD
    seed[distance < -min(slack, 0.3 * hull.width)] = cv2.GC_FGD
    expected = np.clip(0.5 - distance, 0, 1)
    hidden = _unseen(expected, has_data)
    alpha, _ = _grab(image, seed, has_data, distance / slack)
    if alpha.sum() < 4:
        return _refused(has_data.shape, source, hidden or (CUT_OFF if expected.sum() < 4 else NO_OBJECT))
    pose = _hull_pose(hull)
    reason = hidden or _cut(alpha, pose)
    return ObjectMask(alpha, pose if reason else pose_of(alpha), source, reason)


def _hull_pose(hull: Hull) -> Pose:
    """Return a hull's pose; a superellipse has the moments of a rectangle of 0.948 times its length and width."""
    return Pose(hull.row, hull.col, hull.angle, 0.948 * hull.length, 0.948 * hull.width, True)


def _of_colour(image: Bytes, box: Box | None, others: Sequence[Box], has_data: Flags, source: str) -> ObjectMask:
    """Return the mask of what differs in colour from what is around the box, or near the chip's edge without a box."""
    shape = has_data.shape
    seed = _seeds(shape, box, others)
    inside = (seed == cv2.GC_FGD) | (seed == cv2.GC_PR_FGD)
    if (inside & ~has_data).sum() > 0.05 * inside.sum():
        return _refused(shape, source, NO_DATA)
    alpha, apart = _grab(image, seed, has_data)
    if alpha.sum() < 4:
        return _refused(shape, source, NO_OBJECT)
    pose = pose_of(alpha)
    reason = _implausible(alpha, box, pose) or (IN_PIECES if apart > 0.5 else None)
    reason = reason or _unseen(alpha, cv2.erode(has_data.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    return ObjectMask(alpha, pose, source, reason or _cut(alpha, pose, box))


def _refused(shape: tuple[int, ...], source: str, reason: str) -> ObjectMask:
    return ObjectMask(np.zeros(shape, np.float32), None, source, reason)


def _seeds(shape: tuple[int, int], box: Box | None, others: Sequence[Box]) -> Bytes:
    """Return what is known of each pixel (H, W) before segmentation, as GrabCut's four classes."""
    whole = box is None
    box = box or (0.06 * shape[0], 0.06 * shape[1], 0.94 * shape[0], 0.94 * shape[1])
    rows, cols = np.arange(shape[0])[:, None] + 0.5, np.arange(shape[1])[None] + 0.5
    half, middle = ((box[2] - box[0]) / 2, (box[3] - box[1]) / 2), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    by_row, by_col = rows - middle[0], cols - middle[1]
    own = (np.abs(by_row) < half[0]) & (np.abs(by_col) < half[1])
    seed = np.full(shape, cv2.GC_BGD, np.uint8)
    seed[(np.abs(by_row) < half[0] + 1) & (np.abs(by_col) < half[1] + 1)] = cv2.GC_PR_BGD
    seed[(by_row / half[0]) ** 2 + (by_col / half[1]) ** 2 < (0.2 if whole else 0.5)] = cv2.GC_PR_FGD
    for other in others:
        seed[(rows > other[0]) & (rows < other[2]) & (cols > other[1]) & (cols < other[3]) & ~own] = cv2.GC_BGD
    core = max(0.1 * min(half) if whole else 0.24 * min(half), 1.5)
    seed[by_row**2 + by_col**2 < core**2] = cv2.GC_FGD
    return seed


def _grab(image: Bytes, seed: Bytes, has_data: Flags, beyond: Alpha | None = None) -> tuple[Alpha, float]:
    """Return the alpha (H, W) that GrabCut finds, and the size of its second piece relative to its first.

    Colours are learned at the chip's own pixels; the outline is then drawn at ``ZOOM`` times as many, near the first
    one, with those colours.

    Args:
        image: (H, W, 3).
        seed: What is known before, GrabCut's classes (H, W).
        has_data: Which pixels (H, W) hold data.
        beyond: How far beyond an expected outline (H, W) pixels are, -1 to 1 where colours may decide, or None.
    """
    alpha = np.zeros(has_data.shape, np.float32)
    seed = np.where(has_data, seed, cv2.GC_BGD).astype(np.uint8)
    rows, cols = (np.flatnonzero((seed != cv2.GC_BGD).any(axis=axis)) for axis in (1, 0))
    if not (seed & 1).any():
        return alpha, 0.0
    part = tuple(
        slice(max(int(positions[0]) - MARGIN, 0), int(positions[-1]) + MARGIN + 1) for positions in (rows, cols)
    )
    image, seed = image[part], seed[part]
    if not (seed == cv2.GC_BGD).any():
        seed[[0, -1]] = seed[:, [0, -1]] = cv2.GC_BGD
    classes, ground, thing = seed.copy(), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(image, classes, UNUSED, ground, thing, 3, cv2.GC_INIT_WITH_MASK)
    fine = _finer(classes, seed)
    if (fine & 1).any() and (fine == cv2.GC_BGD).any():
        zoomed = cv2.resize(image, fine.shape[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.grabCut(zoomed, fine, UNUSED, ground, thing, 1, cv2.GC_EVAL_FREEZE_MODEL)
    solid = (fine & 1).astype(np.uint8)
    if beyond is not None:
        near = cv2.resize(np.clip(beyond[part], -1, 1), fine.shape[::-1], interpolation=cv2.INTER_LINEAR)
        field = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 1.2 * ZOOM) - 0.2 * near
        solid = ((field > 0.5) & (fine != cv2.GC_BGD)).astype(np.uint8)
    solid, apart = _main_piece(solid)
    soft = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 0.4 * ZOOM)
    alpha[part] = cv2.resize(soft, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    alpha[alpha < 0.02] = 0
    return alpha, apart


def _finer(classes: Bytes, seed: Bytes) -> Bytes:
    """Return what is known at ``ZOOM`` times the pixels once a first outline is: only near it is anything open."""
    size = classes.shape[1] * ZOOM, classes.shape[0] * ZOOM
    solid = cv2.resize(((classes & 1) * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR) > 127
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * ZOOM + 1, 4 * ZOOM + 1))
    fine = np.where(solid, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    fine[cv2.erode(solid.astype(np.uint8), around, borderValue=1) > 0] = cv2.GC_FGD
    fine[cv2.dilate(solid.astype(np.uint8), around) == 0] = cv2.GC_BGD
    fine[cv2.resize(seed, size, interpolation=cv2.INTER_NEAREST) == cv2.GC_BGD] = cv2.GC_BGD
    return fine


def _main_piece(solid: Bytes) -> tuple[Bytes, float]:
    """Return the largest piece of a fine binary mask, smooth and without holes, and the second's relative size."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ZOOM + 1, 2 * ZOOM + 1))
    opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc)
    solid = np.asarray(opened, np.uint8) if opened.any() else solid
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    if count < 2:
        return solid, 0.0
    areas = stats[1:, cv2.CC_STAT_AREA]
    piece: Bytes = (numbers == 1 + int(np.argmax(areas))).astype(np.uint8)
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(piece)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled, float(np.sort(areas)[-2] / areas.max()) if count > 2 else 0.0


# --- guards ---------------------------------------------------------------------------------------------------------


def _visible(box: Box, shape: tuple[int, int]) -> float:
    """Return the share of a box that the chip holds."""
    sides = [max(min(box[axis + 2], shape[axis]) - max(box[axis], 0), 0) for axis in (0, 1)]
    return sides[0] * sides[1] / max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)


def _unseen(alpha: Alpha, has_data: Flags) -> str | None:
    return NO_DATA if float(alpha[~has_data].sum()) > 0.02 * float(alpha.sum()) else None


def _cut(alpha: Alpha, pose: Pose, box: Box | None = None) -> str | None:
    """Return whether an object reaches beyond the chip, and whether a larger chip is needed to hold it."""
    height, width = alpha.shape
    beyond = box is not None and (min(box[0], box[1]) < -2 or box[2] > height + 2 or box[3] > width + 2)
    if not beyond and max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) <= 0.5:
        return None
    along, across = abs(math.cos(pose.angle)) * pose.length, abs(math.sin(pose.angle)) * pose.length
    return TOO_BIG if along > width or across > height else CUT_OFF


def _implausible(alpha: Alpha, box: Box | None, pose: Pose) -> str | None:
    """Return why a segmented mask can hardly be the object, or None."""
    height, width = alpha.shape
    inside = (max(box[0], 0), max(box[1], 0), min(box[2], height), min(box[3], width)) if box else (0, 0, height, width)
    share = float(alpha.sum()) / ((inside[2] - inside[0]) * (inside[3] - inside[1]))
    if share < (0.12 if box else 0.008):
        return TOO_SMALL
    if share > (0.97 if box else 0.6):
        return TOO_LARGE
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) if box else (height / 2, width / 2)
    row, col = (int(np.clip(position, 0, most - 1)) for position, most in zip(middle, (height, width), strict=True))
    if alpha[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2].max() < 0.5:
        return OFF_CENTRE
    extent = _box_of(alpha)
    spans = [(extent[axis + 2] - extent[axis]) / (inside[axis + 2] - inside[axis]) for axis in (0, 1)]
    return TOO_SMALL if box and min(spans) < 0.6 else None


def _box_of(alpha: Alpha) -> Box:
    """Return the box of what is more than half covered."""
    rows, cols = (np.flatnonzero((alpha > 0.5).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(rows[0]), float(cols[0]), float(rows[-1] + 1), float(cols[-1] + 1)
