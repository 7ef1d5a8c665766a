"""Compose chips of one object class: layers in front of backgrounds, as its labelled objects lie in their chips.

What composite ``number`` of a seed shows follows from those two alone, in whatever order and batches it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .layers import MARGIN_PX, Floats, Layers, box_of, cut_layer, from_canvas, length_of, place
from .masks import Alpha, Pose
from .object_shape import TypicalObject
from .removal import remove_object
from .surroundings import Backgrounds, Chips, crowded

Flags = npt.NDArray[np.bool_]

RESIZE = (0.6, 1.8)
"""How much smaller or larger a layer may be made to reach the size of a labelled object."""
SIZE_SPREAD = 0.12
"""Standard deviation of ln(length) between a labelled object and the layer that lies as it does."""


@dataclass(frozen=True)
class Settings:
    """Settings of the composition of objects.

    Attributes:
        in_place: Share of the objects in the open that take the place of a labelled one, the rest of whose chip stays;
            the others lie on a background.
        in_place_crowded: The same for objects beside structures or other objects: what surrounds those is part of what
            tells them from the background, and no background without an object looks like it.
        unlabelled_share: Share of the other objects that lie on scenes without labels, where there are any.
        candidates: Backgrounds of which the one that looks most like the surroundings of a labelled object is taken.
        scale: Largest relative change of an object's size.
        colour: Strength of changes of an object's gain, offset, saturation and contrast, 0 to 1.
        value_range: Difference between the lightest and the darkest chip value, which ``colour`` is relative to.
        neighbours: Mean number of further objects in a chip; None takes that of the labelled chips.
    """

    in_place: float = 0.1
    in_place_crowded: float = 0.8
    unlabelled_share: float = 0.5
    candidates: int = 64
    scale: float = 0.12
    colour: float = 0.2
    value_range: float = 255.0
    neighbours: float | None = None


@dataclass(frozen=True)
class Objects:
    """Labelled chips of one class whose masks can be cut out.

    Attributes:
        chips: (N, H, W, C).
        alphas: (N, H, W), 0 to 1.
        poses: One for each.
        neighbours: Other objects in each chip (N,).
        windows: Surrounding windows (N, 2 S, 2 S, C) with the chip in the middle: they hold the whole object.
        window_alphas: (N, 2 S, 2 S).
    """

    chips: Chips
    alphas: npt.NDArray[np.float32]
    poses: list[Pose]
    neighbours: npt.NDArray[np.int64]
    windows: Chips
    window_alphas: npt.NDArray[np.float32]

    def layers(self, canvas: tuple[int, int]) -> Layers:
        """Return the layers (N, rows, cols, C + 1) of the objects."""
        quarter = self.windows.shape[1] // 4
        each = zip(self.windows, self.window_alphas, self.poses, strict=True)
        return np.stack(
            [cut_layer(window, alpha, pose.moved(quarter, quarter), canvas) for window, alpha, pose in each]
        )


@dataclass(frozen=True)
class Law:
    """Poses and surroundings of the objects of a class in their chips; holds no pixel of them.

    Attributes:
        poses: Poses of the labelled objects.
        around: What surrounds each (N, 5, C + 1), see :meth:`Backgrounds.surroundings`.
        neighbour_rate: Mean number of other objects in a chip.
        typical: What the objects are like in figures, which generated ones are compared with; None refuses nothing.
    """

    poses: list[Pose]
    around: Floats
    neighbour_rate: float
    typical: TypicalObject | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the law as plain JSON types."""
        rows = [[pose.row, pose.col, pose.angle, pose.length, pose.width, pose.has_axis] for pose in self.poses]
        return {
            "poses": rows,
            "around": self.around.tolist(),
            "neighbour_rate": self.neighbour_rate,
            "typical": self.typical and self.typical.as_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Law:
        """Read what :meth:`as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is not that.
        """
        poses = [
            Pose(float(row), float(col), float(angle), float(length), float(width), bool(has_axis))
            for row, col, angle, length, width, has_axis in data["poses"]
        ]
        around = np.asarray(data["around"], np.float32)
        if not poses or around.shape[:2] != (len(poses), 5):
            raise ValueError("a composition needs poses and the surroundings of each")
        typical = data.get("typical")
        return cls(poses, around, float(data["neighbour_rate"]), typical and TypicalObject.from_json(typical))

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Return the length of each labelled object."""
        return np.array([pose.length for pose in self.poses])

    def unusual(self, layers: Layers) -> npt.NDArray[np.float64]:
        """Return how unusual objects of layers (N, rows, cols, C + 1) are (N,); above 1, no real one is like them."""
        return np.zeros(len(layers)) if self.typical is None else self.typical.distance(layers)


@dataclass(frozen=True)
class Composites:
    """Composites and what they show.

    Attributes:
        chips: (N, H, W, C) in the chips' dtype.
        alphas: (N, H, W), of the main object.
        poses: How the main object lies.
        in_place: Whether it took a labelled one's place (N,).
        sources: Which labelled object gave pose and surroundings (N,).
        grounds: Which background it lies on, -1 in place (N,).
        neighbours: Alphas (H, W) of the further objects that were composed before the main one, in their order.
    """

    chips: Chips
    alphas: npt.NDArray[np.float32]
    poses: list[Pose]
    in_place: npt.NDArray[np.bool_]
    sources: npt.NDArray[np.int64]
    grounds: npt.NDArray[np.int64]
    neighbours: list[list[Alpha]]

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Return the box (N, 4) of the main object: row_min, col_min, row_max, col_max in pixel edges, or NaN."""
        return np.array([box_of(alpha) for alpha in self.alphas]).reshape(-1, 4)


@dataclass(frozen=True)
class _Plan:
    """Plan of a composite: what lies behind, the layer and where it goes, and from which labelled object."""

    ground: Floats
    layer: Floats
    matrix: npt.NDArray[np.float64]
    pose: Pose
    neighbours: list[Alpha]
    source: int
    background: int


@dataclass
class Composer:
    """Composes layers of one class by a law.

    Attributes:
        law: How objects lie.
        backgrounds: What they lie on.
        layers: Layers (M, rows, cols, C + 1) in chip values, composed where no others are given, and as neighbours.
        settings: How objects are composed.
        seed: Seed of all draws.
        objects: Labelled chips in which objects can be replaced; None where there are none, then nothing is in place.
        crowded: Which of them (N,) lie beside structures or other objects.
    """

    law: Law
    backgrounds: Backgrounds
    layers: Layers
    settings: Settings
    seed: int
    objects: Objects | None = None
    crowded: Flags = field(default_factory=lambda: np.zeros(0, bool))
    _emptied: dict[int, Floats] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        objects: Objects,
        backgrounds: Backgrounds,
        canvas: tuple[int, int],
        seed: int,
        settings: Settings | None = None,
    ) -> Composer:
        """Learn the law from labelled objects, and cut their layers.

        Args:
            objects: Labelled objects of one class.
            backgrounds: Chips without objects.
            canvas: Rows and columns of the layers.
            seed: Seed of all draws.
            settings: How objects are composed.
        """
        settings, layers = settings or Settings(), objects.layers(canvas)
        law = Law(
            objects.poses,
            backgrounds.surroundings(objects.chips, objects.poses),
            float(objects.neighbours.mean()),
            TypicalObject.of(layers, settings.value_range),
        )
        beside = crowded(objects.chips, objects.alphas, settings.value_range)
        return cls(law, backgrounds, layers, settings, seed, objects, beside)

    @property
    def canvas(self) -> tuple[int, int]:
        """Return the rows and columns of a layer."""
        return self.layers.shape[1], self.layers.shape[2]

    def compose(self, numbers: Sequence[int] | npt.NDArray[np.int64], layers: Layers | None = None) -> Composites:
        """Return composites of the given numbers.

        Args:
            numbers: Which composites; each follows from the seed, its number and its layer.
            layers: Layers (N, rows, cols, C + 1) in chip values, one for each number; None draws from :attr:`layers`.
        """
        shape, dtype = self.backgrounds.chips.shape[1:], self.backgrounds.chips.dtype
        chips, alphas = np.empty((len(numbers), *shape), dtype), np.empty((len(numbers), *shape[:2]), np.float32)
        poses, origins, neighbours = [], [], []
        for place_, number in enumerate(numbers):
            layer = None if layers is None else layers[place_]
            values, alphas[place_], pose, others, *origin = self._one(int(number), layer)
            chips[place_] = as_dtype(values, dtype)
            poses.append(pose)
            neighbours.append(others)
            origins.append(origin)
        source, ground = np.array(origins, np.int64).reshape(-1, 2).T
        return Composites(chips, alphas, poses, ground < 0, source, ground, neighbours)

    def on_labelled_scenes(self) -> Composer:
        """Return what composes the same objects on backgrounds of labelled scenes alone, where there are any."""
        return replace(self, backgrounds=self.backgrounds.of_labelled_scenes())

    def without_objects(self, numbers: Sequence[int] | npt.NDArray[np.int64]) -> Chips:
        """Return what lies behind composites of the given numbers (N, H, W, C): chips like them that show no object.

        Where another object is near the labelled one whose place is taken, a background stands for its chip.

        Args:
            numbers: Which composites.
        """
        dtype = self.backgrounds.chips.dtype
        chips = np.empty((len(numbers), *self.backgrounds.chips.shape[1:]), dtype)
        for place_, number in enumerate(numbers):
            chips[place_] = as_dtype(self._plan(int(number), None, alone=True).ground, dtype)
        return chips

    def _one(self, number: int, layer: Floats | None) -> tuple[Floats, Alpha, Pose, list[Alpha], int, int]:
        """Return values, alpha, pose and neighbours of a composite, its labelled object and its background.

        The background is -1 in place.
        """
        plan = self._plan(number, layer)
        return *place(plan.ground, plan.layer, plan.matrix), plan.pose, plan.neighbours, plan.source, plan.background

    def _plan(self, number: int, layer: Floats | None, alone: bool = False) -> _Plan:
        """Draw how a composite is made; ``alone`` lets no other object be seen."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        draw = rng.random(14)
        given = self.layers[int(draw[1] * len(self.layers))] if layer is None else layer
        if self.settings.colour:
            given = recoloured(given, self.settings.colour, self.settings.value_range, draw[7:])
        length = max(length_of(given), 1.0)
        source = self.labelled_like(length, draw[0])
        labelled = self.law.poses[source]
        scale = float(np.clip(labelled.length / length, *RESIZE))
        change = self.settings.scale * (2 * draw[3] - 1)
        mirrored, reverse = bool(draw[4] < 0.5), math.pi * (draw[5] < 0.5)
        others: list[Alpha] = []
        if draw[2] < self._chance_in_place(source, alone):
            ground, background, pose = self.without_object(source), -1, labelled
            scale *= 1 + 0.25 * change
        else:
            pose = self._turned(labelled, draw[6])
            drawn = self.backgrounds.draw(self.settings.candidates, self.settings.unlabelled_share, rng)
            background = self.backgrounds.most_alike(drawn, pose, self.law.around[source])
            ground = self.backgrounds.chips[background].astype(np.float32)
            if not np.issubdtype(self.backgrounds.chips.dtype, np.integer):
                ground = np.nan_to_num(ground)
            rate = self.law.neighbour_rate if self.settings.neighbours is None else self.settings.neighbours
            for _ in range(0 if alone else int(rng.poisson(rate))):
                ground, other = self._with_neighbour(ground, pose, rng)
                others.append(other)
            scale *= 1 + change
        matrix = from_canvas(pose.row, pose.col, pose.angle + reverse, scale, mirrored, self.canvas)
        return _Plan(ground, given, matrix, pose, others, source, background)

    def _chance_in_place(self, source: int, alone: bool) -> float:
        if self.objects is None or (alone and self.objects.neighbours[source]):
            return 0.0
        return self.settings.in_place_crowded if self.crowded[source] else self.settings.in_place

    def labelled_like(self, length: float, draw: float) -> int:
        """Return the position of a labelled object, drawn from those about as long as a layer's object.

        Objects larger than a canvas have been made smaller to fit: a layer that fills its canvas may stand for them.
        """
        most = self.canvas[1] - MARGIN_PX
        lengths = np.minimum(self.law.lengths, most)
        chances = np.exp(-0.5 * (np.log(lengths / min(length, most)) / SIZE_SPREAD) ** 2) + 1e-9
        return int(np.searchsorted(np.cumsum(chances), draw * chances.sum(), side="right").clip(0, len(lengths) - 1))

    def _turned(self, pose: Pose, draw: float) -> Pose:
        """Return a labelled pose turned about the middle of the chip, by any angle where it has an axis."""
        height, width = self.backgrounds.chips.shape[1:3]
        angle = 2 * math.pi * draw if pose.has_axis else math.pi / 2 * int(draw * 4)
        by_row, by_col, turn = pose.row - height / 2, pose.col - width / 2, angle - pose.angle
        cos, sin = math.cos(turn), math.sin(turn)
        row, col = height / 2 + sin * by_col + cos * by_row, width / 2 + cos * by_col - sin * by_row
        return replace(pose, row=row, col=col, angle=angle)

    def _with_neighbour(self, ground: Floats, pose: Pose, rng: np.random.Generator) -> tuple[Floats, Alpha]:
        """Return a background with one more object, alongside the main one or anywhere clear of it, and its alpha."""
        draw = rng.random(5)
        other = int(draw[0] * len(self.layers))
        length = length_of(self.layers[other])
        width = length * pose.width / pose.length
        row, col, angle = pose.row, pose.col, pose.angle
        if draw[1] < 0.5:
            away = ((pose.width + width) / 2 + 1 + 6 * draw[2]) * (1 if draw[3] < 0.5 else -1)
            along = (draw[4] - 0.5) * pose.length / 2
            row += math.cos(angle) * away + math.sin(angle) * along
            col += -math.sin(angle) * away + math.cos(angle) * along
        else:
            away, towards = (pose.length + length) / 2 + 20 * draw[2], 2 * math.pi * draw[3]
            row, col, angle = row + away * math.sin(towards), col + away * math.cos(towards), 2 * math.pi * draw[4]
        return place(ground, self.layers[other], from_canvas(row, col, angle, 1.0, False, self.canvas))

    def without_object(self, source: int) -> Floats:
        """Return the chip (H, W, C) of a labelled object without it."""
        if self.objects is None:
            raise ValueError("there are no labelled chips to remove objects from")
        if source not in self._emptied:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, (1 << 62) + source]))
            window = remove_object(self.objects.windows[source], self.objects.window_alphas[source], rng)
            quarter = len(window) // 4
            self._emptied[source] = window[quarter:-quarter, quarter:-quarter].copy()
        return self._emptied[source]


def recoloured(layer: Floats, strength: float, value_range: float, draw: npt.NDArray[np.float64]) -> Floats:
    """Return a layer with gain, offset, saturation and contrast of its object changed.

    Args:
        layer: (rows, cols, C + 1).
        strength: Largest relative change of saturation and contrast; the gain changes by half as much.
        value_range: What the offset, up to half the strength, is relative to.
        draw: Uniform numbers in [0, 1), at least 5: saturation, contrast, offset, gain, and
            the bands' own gains in turn.
    """
    change = (2 * draw - 1) * strength
    bands, pixels = layer.shape[-1] - 1, layer.reshape(-1, layer.shape[-1])
    sums = np.ones(len(pixels), np.float32) @ pixels
    middle = float(sums[:-1].mean()) / max(float(sums[-1]), 1.0)
    saturation, contrast = 1 + change[0], 1 + change[1]
    # Bands hardly change against each other: hulls would turn violet.
    gains = (1 + 0.5 * change[3]) * (1 + 0.15 * np.resize(change[4:], bands))
    # All of it is linear in bands and alpha, so that one matrix does it.
    matrix = np.eye(bands + 1)
    matrix[:-1, :-1] = contrast * (saturation * np.eye(bands) + (1 - saturation) / bands) * gains
    matrix[-1, :-1] = ((1 - contrast) * middle + value_range / 2 * change[2]) * gains
    return (pixels @ matrix.astype(np.float32)).reshape(layer.shape)


def as_dtype(values: Floats, dtype: np.dtype[Any]) -> npt.NDArray[np.generic]:
    """Return values rounded and clipped to a dtype."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)
