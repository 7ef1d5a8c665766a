"""Write GeoJSON: the outlines of each image's objects, in the image's CRS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..label import Point
from .base import LabelledImage, LabelWriter

LONLAT = "EPSG:4326"
DEGREES, METRES = 8, 3
"""Decimals: about a millimetre on the ground."""


class GeojsonWriter(LabelWriter):
    """Writes ``labels/NAME.geojson``."""

    def add(self, image: LabelledImage) -> None:
        """Write a feature for each object of an image.

        The `crs` member names the CRS as GeoJSON of 2008 does; without georeference it is null, and coordinates are
        columns and rows. In longitude and latitude, also of a CRS without an EPSG code, it is as RFC 7946 has it.
        """
        crs, place, decimals = _placing(image)
        features = []
        for item in image.objects:
            rings = [[[round(value, decimals) for value in place(point)] for point in ring] for ring in item.outline]
            kind, coordinates = ("Polygon", rings[:1]) if len(rings) == 1 else ("MultiPolygon", [[r] for r in rings])
            properties = {"class": item.class_name, **item.properties}
            geometry = {"type": kind, "coordinates": coordinates}
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
        head: dict[str, Any] = {"type": "FeatureCollection", "description": self.marks.description}
        if crs is None:
            head["crs"] = None
        elif crs != LONLAT:
            head["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{crs.replace(':', '::')}"}}
        lines = ",\n".join(json.dumps(feature, ensure_ascii=False) for feature in features)
        text = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "features": [\n{lines}\n]}}\n'
        (self.folder_of("labels") / f"{image.stem}.geojson").write_text(text, "utf-8")


def _placing(image: LabelledImage) -> tuple[str | None, Callable[[Point], Point], int]:
    """Return the CRS to write in, what takes a position (x, y) in pixels there, and decimals of coordinates."""
    import pyproj

    if image.crs is None or image.transform is None:
        return None, lambda point: point, METRES
    a, b, c, d, e, f = image.transform[:6]

    def to_map(point: Point) -> Point:
        return a * point[0] + b * point[1] + c, d * point[0] + e * point[1] + f

    system = pyproj.CRS.from_user_input(image.crs)
    if re.fullmatch(r"EPSG:\d+", image.crs):
        return image.crs, to_map, DEGREES if system.is_geographic else METRES
    transform = pyproj.Transformer.from_crs(system, LONLAT, always_xy=True).transform
    return LONLAT, lambda point: transform(*to_map(point)), DEGREES
