"""Place objects with coordinates in the pixel grids of scenes, whatever the CRS of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..utils.errors import InputError
from .label import FAR, NO_NUMBER, NOWHERE, Box, Label, Labels, is_outside, outline_of

Floats = npt.NDArray[np.float64]

PIXEL = "pixel"
"""The "CRS" of labels whose coordinates are columns and rows of their scene."""
LONLAT = "EPSG:4326"
SWAPPED = "outside every scene, but inside with its axes swapped; set swap_axes: true"


@dataclass(frozen=True)
class Feature:
    """One object of a vector file.

    Attributes:
        origin: File and number of the feature.
        class_name: Its class.
        points: Coordinates (N, 2) of its vertices, as x and y; of a polygon those of its outer ring.
        is_point: Whether it is a single position.
        reason: Why it cannot be used, or None; it still has its place where it has points.
        is_polygon: Whether the points are an outline.
    """

    origin: str
    class_name: str
    points: Floats
    is_point: bool
    reason: str | None = None
    is_polygon: bool = False


@dataclass(frozen=True)
class Layer:
    """Features of one file and their CRS; None where it does not say."""

    name: str
    crs: str | None
    features: tuple[Feature, ...]


def explode(origin: str, class_name: str, geometry: Any, factors: tuple[float, float] = (1, 1)) -> list[Feature]:
    """Return the objects of a geometry: each polygon and point of a multi-part one is an object of its own.

    Polygons of one feature that touch are one object. Of a collection the polygons and points count; lines, and
    geometries without coordinates, cannot be used.

    Args:
        origin: File and number of the feature.
        class_name: Its class.
        geometry: A shapely geometry, None, or a text that says why it cannot be read.
        factors: What x and y are multiplied by.
    """
    import shapely

    if isinstance(geometry, str):
        return [Feature(origin, class_name, np.empty((0, 2)), False, geometry)]
    if geometry is None or geometry.is_empty:
        return [Feature(origin, class_name, np.empty((0, 2)), False, "its geometry is empty, not a polygon or point")]
    parts = shapely.get_parts(geometry).tolist()
    while any(part.geom_type.startswith(("Multi", "GeometryCollection")) for part in parts):
        parts = [inner for part in parts for inner in shapely.get_parts(part).tolist()]
    polygons = [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]
    if len(polygons) > 1 and all(polygon.is_valid for polygon in polygons):
        polygons = shapely.get_parts(shapely.union_all(polygons)).tolist()
    shapes = [(polygon.exterior, False) for polygon in polygons]
    shapes += [(part, True) for part in parts if part.geom_type == "Point" and not part.is_empty]
    if not shapes:
        points = shapely.get_coordinates(geometry) * factors
        reason = f"its geometry is {geometry.geom_type}, not a polygon or point"
        return [Feature(origin, class_name, points, False, reason)]
    names = [origin] if len(shapes) == 1 else [f"{origin}.{number}" for number in range(len(shapes))]
    return [
        Feature(name, class_name, shapely.get_coordinates(shape) * factors, is_point, None, not is_point)
        for name, (shape, is_point) in zip(names, shapes, strict=True)
    ]


def place_in(layer: Layer, scenes: Sequence[Mapping[str, Any]], placed: Labels) -> None:
    """Add to ``placed`` the labels of a layer, one in each scene that a feature touches.

    A scene that cannot be aligned with the layer is refused: without these labels it must not pass for one
    without objects. A feature that lies in no scene becomes a label without scene, with the reason.

    Args:
        layer: Features and their CRS.
        scenes: Rows of the catalogue that the layer may have labels for; none is quarantined.
        placed: Where labels and refused scenes are added.
    """
    features = layer.features
    source = str(scenes[0]["source"]) if scenes else ""
    cloud = _Cloud([feature for feature in features if len(feature.points)], str(layer.crs))
    places: dict[str, list[tuple[str, Box, str | None]]] = {}
    fit = []
    for scene in scenes:
        try:
            _check_fit(layer, scene, alone=len(scenes) == 1)
            for feature, box, outline in cloud.boxes(scene):
                places.setdefault(feature.origin, []).append((str(scene["scene_id"]), box, outline))
            fit.append(scene)
        except InputError as error:
            placed.refuse([scene], error)
    lost = [feature for feature in cloud.features if feature.origin not in places and feature.reason is None]
    turned = _Cloud([replace(feature, points=feature.points[:, ::-1]) for feature in lost], str(layer.crs))
    swapped = {feature.origin for scene in fit for feature, _, _ in turned.boxes(scene)}
    for feature in features:
        inside = places.get(feature.origin, [])
        for scene_id, box, outline in inside:
            placed.labels.append(_label(source, feature, scene_id, box, feature.reason, outline, len(inside) > 1))
        if not inside:
            outside = SWAPPED if feature.origin in swapped else FAR
            reason = outside if len(feature.points) and np.isfinite(feature.points).all() else NO_NUMBER
            placed.labels.append(_label(source, feature, None, NOWHERE, feature.reason or reason))


def _check_fit(layer: Layer, scene: Mapping[str, Any], alone: bool) -> None:
    """Raise InputError if a layer's coordinates mean nothing in a scene."""
    if layer.crs == PIXEL:
        if not alone:
            raise InputError(f"{layer.name} is in pixels and could belong to several scenes; name it after its scene")
    elif scene["crs"] is None:
        remedy = scene.get("unplaced") or "set labels_crs: pixel if they are its columns and rows"
        raise InputError(f"{layer.name} has coordinates in a CRS and the scene has none; {remedy}")
    elif layer.crs is None:
        raise InputError(f"{layer.name} does not state its CRS and the scene has one; set labels_crs")


def _label(
    source: str,
    feature: Feature,
    scene_id: str | None,
    box: Box,
    reason: str | None,
    outline: str | None = None,
    several: bool = False,
) -> Label:
    label_id = f"{source}/{feature.origin}" + (f"@{scene_id}" if several else "")
    kind = "point" if feature.is_point else "box"
    return Label(label_id, scene_id, feature.class_name, kind, box, feature.origin, reason, outline)


class _Cloud:
    """Vertices of many features; projected once per CRS, since scenes share few of them."""

    def __init__(self, features: Sequence[Feature], crs: str) -> None:
        self.features = features
        self.crs = crs
        counts = [len(feature.points) for feature in features]
        self.points = np.concatenate([feature.points for feature in features]) if features else np.empty((0, 2))
        self.starts = np.cumsum([0, *counts])
        self.projected: dict[str, tuple[Floats, Floats, bool]] = {}
        self.bounds: dict[str, Floats] = {}

    def boxes(self, scene: Mapping[str, Any]) -> Iterator[tuple[Feature, Box, str | None]]:
        """Yield the features that lie in a scene, wholly or in part, with their pixel boxes and outlines."""
        if not self.features:
            return
        positions = self._near(scene)
        if not len(positions):
            return
        counts = self.starts[positions + 1] - self.starts[positions]
        starts = np.cumsum([0, *counts])
        vertices = np.arange(starts[-1]) + np.repeat(self.starts[positions] - starts[:-1], counts)
        cols, rows = self._pixels(scene, vertices)
        first, last, begins = np.minimum.reduceat, np.maximum.reduceat, starts[:-1]
        edges = np.stack([first(rows, begins), first(cols, begins), last(rows, begins), last(cols, begins)], axis=1)
        size = int(scene["height"]), int(scene["width"])
        for place in np.flatnonzero(np.isfinite(edges).all(axis=1)).tolist():
            row_min, col_min, row_max, col_max = (float(edge) for edge in edges[place].round(4))
            box = row_min, col_min, row_max, col_max
            feature = self.features[positions[place]]
            if not is_outside("point" if feature.is_point else "box", box, size):
                outline = None
                if feature.is_polygon:
                    ring = slice(starts[place], starts[place + 1])
                    outline = outline_of(list(zip(cols[ring].tolist(), rows[ring].tolist(), strict=True)))
                yield feature, box, outline

    def _near(self, scene: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """Return the positions of the features whose bounds on the map touch those of a scene."""
        if self.crs == PIXEL:
            return np.arange(len(self.features))
        x, y, degrees = self._on_map(str(scene["crs"]))
        if degrees:  # at the antimeridian one place has several longitudes
            return np.arange(len(self.features))
        a, b, c, d, e, f = json.loads(scene["transform"])
        corners = [(col, row) for col in (0, scene["width"]) for row in (0, scene["height"])]
        xs, ys = zip(*((a * col + b * row + c, d * col + e * row + f) for col, row in corners), strict=True)
        if str(scene["crs"]) not in self.bounds:
            first, last, begins = np.minimum.reduceat, np.maximum.reduceat, self.starts[:-1]
            sides = first(x, begins), first(y, begins), last(x, begins), last(y, begins)
            self.bounds[str(scene["crs"])] = np.stack(sides, axis=1)
        left, bottom, right, top = self.bounds[str(scene["crs"])].T
        with np.errstate(invalid="ignore"):
            near = (left <= max(xs)) & (right >= min(xs)) & (bottom <= max(ys)) & (top >= min(ys))
        return np.flatnonzero(near)

    def _on_map(self, crs: str) -> tuple[Floats, Floats, bool]:
        if crs not in self.projected:
            self.projected[crs] = project(self.points, self.crs, crs)
        return self.projected[crs]

    def _pixels(self, scene: Mapping[str, Any], vertices: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return columns and rows of some vertices in a scene."""
        if self.crs == PIXEL:
            return self.points[vertices, 0], self.points[vertices, 1]
        x, y, degrees = self._on_map(str(scene["crs"]))
        return to_pixels(x[vertices], y[vertices], degrees, scene)


def project(points: Floats, crs: str, target: str) -> tuple[Floats, Floats, bool]:
    """Return points (N, 2) in another CRS: x, y (not finite where that is not possible), and whether they are degrees.

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
    """Return columns and rows in a scene of points in its own CRS, by the inverse of its transform.

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
