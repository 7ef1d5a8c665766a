"""Placement of objects in a scene: on ground like that of labelled ones, clear of labels, inside valid pixels.

Places are drawn at random, and examined in one pass over the scene, in windows on the grid of the generator's chips.
Of those that look like the surroundings of some labelled object, an object takes the one that looks most like those of
the labelled object that it lies like, as composites do (:mod:`satpipe.composition.surroundings`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from ....composition.compose import Law
from ....composition.pose import Pose
from ....composition.surroundings import CELL, IMPORTANCE, cell_features, sectors
from ....raster.cut import cut
from ...detect.scenes import Scene
from .objects import SceneObject

Floats = npt.NDArray[np.float64]

CANDIDATES = 32
"""Places drawn for an object at a time."""
ROUNDS = 3
"""Times that places are drawn for objects that found none."""
DRAWS = 50
"""Draws for each wanted place, before the search for a place clear of labels is given up."""
CLEAR_PX = 4.0
"""Pixels of the chips' grid that objects keep from each other."""
FEW = 0.05
"""Ground has to be like that of this share of the labelled objects; what surrounds fewer may be a wrong label's."""
ALIKE = 0.8
"""It may be as unlike theirs as that of this share of the labelled objects is unlike the others'."""
SAME = 0.005
"""Difference that counts as none, as a share of the value range: few labels may all be alike."""
FLAT = 0.02
"""Least standard deviation of what surrounds labelled objects, as a share of the value range."""

NO_ROOM = "with no place clear of labelled and other objects"
NO_DATA = "with no place inside valid pixels"
UNLIKE = "with no surroundings like those of labelled ones"


@dataclass(frozen=True)
class Surroundings:
    """Surroundings of a class's labelled objects, and how unlike them the ground of another one may be.

    Attributes:
        around: (N, 5, C + 1), what is under and around each, in chip values.
        spread: Standard deviation of each feature (C + 1,).
        limits: Largest distances of what is under and around a place, and under it alone, see :meth:`is_alike`;
            infinite where the ground does not decide.
    """

    around: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    limits: tuple[float, float]

    @classmethod
    def of(cls, law: Law, value_range: float, anywhere: bool) -> Surroundings:
        """Return the surroundings of a law.

        Args:
            law: How labelled objects lie.
            value_range: Difference between the lightest and the darkest chip value.
            anywhere: Whether any ground will do, where the user says where objects may lie.
        """
        features = law.around.reshape(-1, law.around.shape[-1])
        spread = np.maximum(features.std(axis=0), FLAT * value_range)
        each = cls(law.around, spread, (math.inf, math.inf))
        if anywhere or len(law.around) < 2:
            return each
        apart = np.stack([each.distances(around) for around in law.around])
        apart[np.eye(len(apart), dtype=bool)] = np.inf
        total, under = np.quantile(each._to_several(apart), ALIKE, axis=0)
        least = float(((SAME * value_range / spread) ** 2).mean())
        return cls(law.around, spread, (max(float(total), least), max(float(under), least)))

    def distances(self, around: npt.NDArray[np.float32]) -> Floats:
        """Return how unlike the surroundings of each labelled object a place is, and how unlike under it (N, 2).

        It is the mean square of the differences, in standard deviations, over what was seen of both.

        Args:
            around: What is under and around the place (5, C + 1); rows of zeros were not seen.
        """
        weights = (around.any(axis=1) & self.around.any(axis=2)) * IMPORTANCE
        apart = (((around - self.around) / self.spread) ** 2).mean(axis=2)
        total = (weights * apart).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-6)
        return np.stack([total, apart[:, 0]], axis=1).astype(np.float64)

    def _to_several(self, distances: Floats) -> Floats:
        """Return the distances (..., 2) within which as many labelled objects lie as :data:`FEW` says.

        Args:
            distances: To each of them (..., N, 2).
        """
        count = max(1, math.ceil(FEW * self.around.shape[0]))
        return np.partition(distances, count - 1, axis=-2)[..., count - 1, :]

    def is_alike(self, distances: Floats) -> bool:
        """Return whether a place with such distances (N, 2) is like those of several labelled objects."""
        return bool((self._to_several(distances) <= self.limits).all())


@dataclass(frozen=True)
class Ground:
    """A scene, and where in it objects may not lie or have to. Coordinates are those of the generator's grid.

    Attributes:
        scene: The scene.
        size: Side of the windows in which places are examined.
        boxes: Labelled objects (N, 4).
        area: Where objects have to lie; None for anywhere.
        seed: Seed of all draws.
        number: Which scene it is.
    """

    scene: Scene
    size: int
    boxes: Floats
    area: BaseGeometry | None
    seed: int
    number: int

    def draw(self, item: SceneObject, position: int, round_: int) -> npt.NDArray[np.int64]:
        """Return the windows (N, 2) of places that are clear of labels, up to :data:`CANDIDATES`.

        Args:
            item: The object.
            position: Its position among those of the scene.
            round_: How often places were drawn for it before.
        """
        grid, half = self.scene.grid, self.size // 2
        rng = np.random.Generator(np.random.Philox(key=[self.seed, (self.number << 40) + (position << 8) + round_]))
        low, high = np.array([0, 0]), np.array([grid.height, grid.width]) - self.size
        if self.area is not None:
            left, top, right, bottom = self.area.bounds
            low = np.maximum(low, np.ceil(np.array([top, left]) - half).astype(int))
            high = np.minimum(high, np.floor(np.array([bottom, right]) - half).astype(int))
        if (high < low).any():
            return np.zeros((0, 2), np.int64)
        drawn: list[npt.NDArray[np.int64]] = []
        for _ in range(DRAWS):
            windows = rng.integers(low, high + 1, (CANDIDATES, 2))
            drawn.append(windows[self._clear(windows + half, item)])
            if sum(map(len, drawn)) >= CANDIDATES:
                break
        return np.concatenate(drawn)[:CANDIDATES]

    def _clear(self, centres: npt.NDArray[np.int64], item: SceneObject) -> npt.NDArray[np.bool_]:
        """Return which centres (N, 2) keep an object clear of labels, and inside the area."""
        rows, cols = centres.T[:, :, None]
        top, left, bottom, right = self.boxes.T[:, None]
        apart = np.hypot(np.maximum(top - rows, rows - bottom).clip(0), np.maximum(left - cols, cols - right).clip(0))
        clear: npt.NDArray[np.bool_] = (apart >= item.radius + CLEAR_PX).all(axis=1)
        if self.area is not None:
            clear &= shapely.contains_xy(self.area, centres[:, 1], centres[:, 0])
        return clear


@dataclass(frozen=True)
class Placement:
    """Places of the objects of a scene.

    Attributes:
        centres: Row and column of each object (N, 2) on the generator's grid; NaN where it found no place.
        reasons: Objects without a place, by reason.
    """

    centres: Floats
    reasons: dict[str, int]


def place(
    ground: Ground, items: Sequence[SceneObject], surroundings: Mapping[int, Surroundings], workers: int
) -> Placement:
    """Find a place for each object.

    Args:
        ground: The scene.
        items: The objects.
        surroundings: What surrounds labelled objects, by class index.
        workers: Threads that read.

    Raises:
        InputError: If the scene is damaged.
    """
    centres, radii = np.full((len(items), 2), np.nan), np.array([item.radius for item in items])
    why = dict.fromkeys(range(len(items)), NO_ROOM)
    for round_ in range(ROUNDS):
        remaining = np.flatnonzero(np.isnan(centres[:, 0])).tolist()
        drawn = {position: ground.draw(items[position], position, round_) for position in remaining}
        if not any(map(len, drawn.values())):
            break
        distances = _distances(ground, items, drawn, surroundings, why, workers)
        for position in remaining:
            order = np.argsort(distances[position], kind="stable")
            for window in drawn[position][order][np.isfinite(distances[position][order])]:
                centre = window + ground.size // 2
                apart = np.hypot(*(centres - centre).T) - radii - radii[position]
                if not (apart < CLEAR_PX).any():
                    centres[position] = centre
                    break
                why[position] = NO_ROOM
    return Placement(
        centres, dict(Counter(why[position] for position in np.flatnonzero(np.isnan(centres[:, 0])).tolist()))
    )


def _distances(
    ground: Ground,
    items: Sequence[SceneObject],
    drawn: dict[int, npt.NDArray[np.int64]],
    surroundings: Mapping[int, Surroundings],
    why: dict[int, str],
    workers: int,
) -> dict[int, Floats]:
    """Return how unlike the ground of the labelled object each drawn place is, infinite where it cannot be.

    ``why`` is filled with the reason if an object can lie in none of its places.
    """
    cells = (ground.size // CELL, ground.size // CELL)
    middle = ground.size / 2
    weights = {}
    for position in drawn:
        item = items[position]
        weights[position] = sectors(Pose(middle, middle, item.angle, item.length, item.width, True), cells)
    owners = np.concatenate([np.full(len(windows), position) for position, windows in drawn.items()])
    distances, has_data = np.full(len(owners), np.inf), np.zeros(len(owners), bool)
    scene = ground.scene
    for part in cut(scene.file, np.concatenate(list(drawn.values())), ground.size, scene.grid, scene.kernel, workers):
        whole = np.flatnonzero(part.valid == 1)
        has_data[part.windows[whole]] = True
        features = cell_features(part.chips[whole]).reshape(len(whole), cells[0] * cells[1], -1)
        for window, feature in zip(part.windows[whole], features, strict=True):
            item, weight = items[owners[window]], weights[owners[window]]
            of_class = surroundings[item.label]
            each = of_class.distances(weight @ feature)
            if of_class.is_alike(each):
                distances[window] = each[item.source, 0]
    for position in drawn:
        own = owners == position
        if own.any() and not np.isfinite(distances[own]).any():
            why[position] = UNLIKE if has_data[own].any() else NO_DATA
    return {position: distances[owners == position] for position in drawn}
