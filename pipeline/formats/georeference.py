"""Place objects with coordinates in the pixel grids of scenes, whatever the CRS of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..utils.errors import InputError
from .label import FAR, NOWHERE, Box, Label, Labels, is_outside

Floats = npt.NDArray[np.float64]

PIXEL = "pixel"
"""The "CRS" of labels whose coordinates are columns and rows of their scene."""
LONLAT = "EPSG:4326"
SWAPPED = "outside every scene, but inside with its axes exchanged; set swap_axes: true"
NO_NUMBER = "a coordinate is not a finite number"


@dataclass(frozen=True)
class Feature:
    """One object of a vector file.

    Attributes:
        origin: File and number of the feature.
        class_name: Its class.
        points: Coordinates (N, 2) of all of its vertices, as x and y.
        is_point: Whether it is a single position.
        reason: Why it cannot be used, or None.
    """

    origin: str
    class_name: str
    points: Floats
    is_point: bool
    reason: str | None = None


@dataclass(frozen=True)
class Layer:
    """The features of one file and their CRS; None where it does not say."""

    name: str
    crs: str | None
    features: tuple[Feature, ...]


def place_in(layer: Layer, scenes: Sequence[Mapping[str, Any]], found: Labels) -> None:
    """Add to ``found`` the labels of a layer, one in each scene that a feature touches.

    A scene that cannot be brought together with the layer is refused: without these labels it must not pass for one
    without objects. A feature that lies in no scene becomes a label without scene, with the reason.

    Args:
        layer: Features and their CRS.
        scenes: Rows of the catalogue that the layer may have labels for; none is quarantined.
        found: Where labels and refused scenes are added.
    """
    good = [feature for feature in layer.features if feature.reason is None]
    source = str(scenes[0]["source"]) if scenes else ""
    cloud = _Cloud(good, str(layer.crs))
    there: list[list[tuple[str, Box]]] = [[] for _ in good]
    fit = []
    for scene in scenes:
        try:
            _check_fit(layer, scene, alone=len(scenes) == 1)
            for position, box in cloud.boxes(scene):
                there[position].append((str(scene["scene_id"]), box))
            fit.append(scene)
        except InputError as error:
            found.refused[str(scene["scene_id"])] = f"its labels are not known: {error}"
    lost = [feature for feature, places in zip(good, there, strict=True) if not places]
    turned = _Cloud([Feature(one.origin, "", one.points[:, ::-1], one.is_point) for one in lost], str(layer.crs))
    swapped = {lost[position].origin for scene in fit for position, _ in turned.boxes(scene)}
    for feature in layer.features:
        if feature.reason is not None:
            found.labels.append(_label(source, feature, None, NOWHERE, feature.reason))
    for feature, places in zip(good, there, strict=True):
        for scene_id, box in places:
            found.labels.append(_label(source, feature, scene_id, box, None, several=len(places) > 1))
        if not places:
            outside = SWAPPED if feature.origin in swapped else FAR
            reason = outside if np.isfinite(feature.points).all() else NO_NUMBER
            found.labels.append(_label(source, feature, None, NOWHERE, reason))


def _check_fit(layer: Layer, scene: Mapping[str, Any], alone: bool) -> None:
    """Raise InputError if a layer's coordinates mean nothing in a scene."""
    if layer.crs == PIXEL:
        if not alone:
            raise InputError(f"{layer.name} is in pixels and could be for several scenes; name it like its scene")
    elif scene["crs"] is None:
        raise InputError(
            f"{layer.name} has coordinates in a CRS and the scene has none; set labels_crs: pixel if they are its"
            " columns and rows"
        )
    elif layer.crs is None:
        raise InputError(f"{layer.name} does not say its CRS and the scene has one; set labels_crs")


def _label(
    source: str, feature: Feature, scene_id: str | None, box: Box, reason: str | None, several: bool = False
) -> Label:
    label_id = f"{source}/{feature.origin}" + (f"@{scene_id}" if several else "")
    kind = "point" if feature.is_point else "box"
    return Label(label_id, scene_id, feature.class_name, kind, box, feature.origin, reason)


class _Cloud:
    """The vertices of many features; projected once per CRS, since scenes share few of them."""

    def __init__(self, features: Sequence[Feature], crs: str) -> None:
        self.features = features
        self.crs = crs
        counts = [len(feature.points) for feature in features]
        self.points = np.concatenate([feature.points for feature in features]) if features else np.empty((0, 2))
        self.starts = np.cumsum([0, *counts[:-1]])
        self.known: dict[str, tuple[Floats, Floats, bool]] = {}

    def boxes(self, scene: Mapping[str, Any]) -> Iterator[tuple[int, Box]]:
        """Positions and pixel boxes of the features that lie in a scene, wholly or in part."""
        if not self.features:
            return
        cols, rows = self._pixels(scene)
        first, last, at = np.minimum.reduceat, np.maximum.reduceat, self.starts
        edges = np.stack([first(rows, at), first(cols, at), last(rows, at), last(cols, at)], axis=1)
        size = int(scene["height"]), int(scene["width"])
        for position in np.flatnonzero(np.isfinite(edges).all(axis=1)).tolist():
            row_min, col_min, row_max, col_max = (float(edge) for edge in edges[position].round(4))
            box = row_min, col_min, row_max, col_max
            if not is_outside("point" if self.features[position].is_point else "box", box, size):
                yield position, box

    def _pixels(self, scene: Mapping[str, Any]) -> tuple[Floats, Floats]:
        if self.crs == PIXEL:
            return self.points[:, 0], self.points[:, 1]
        target = str(scene["crs"])
        if target not in self.known:
            self.known[target] = project(self.points, self.crs, target)
        return to_pixels(*self.known[target], scene)


def project(points: Floats, crs: str, target: str) -> tuple[Floats, Floats, bool]:
    """Points (N, 2) in another CRS: x, y (not finite where that is not possible), and whether they are degrees.

    Raises:
        InputError: If a CRS is not known.
    """
    import pyproj
    from pyproj.exceptions import ProjError

    try:
        source, system = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_user_input(target)
        if source.equals(system, ignore_axis_order=True):
            return points[:, 0], points[:, 1], bool(system.is_geographic)
        x, y = pyproj.Transformer.from_crs(source, system, always_xy=True).transform(points[:, 0], points[:, 1])
    except ProjError as error:
        raise InputError(f"the CRS of the labels, {crs[:60]}, cannot be used: {str(error)[:100]}") from None
    return np.asarray(x, float), np.asarray(y, float), bool(system.is_geographic)


def to_pixels(x: Floats, y: Floats, degrees: bool, scene: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Columns and rows in a scene of points in its own CRS, by the inverse of its transform.

    Degrees of longitude are moved by whole turns to the scene's side: at the antimeridian 180.1 and -179.9 are one
    place.
    """
    a, b, c, d, e, f = json.loads(scene["transform"])
    if degrees:
        middle = a * scene["width"] / 2 + b * scene["height"] / 2 + c
        x = x - 360 * np.round((x - middle) / 360)
    x, y, determinant = x - c, y - f, a * e - b * d
    with np.errstate(invalid="ignore"):  # infinite where a point has no place in this CRS
        return (e * x - b * y) / determinant, (a * y - d * x) / determinant
