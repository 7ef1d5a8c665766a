"""Placemarks of KML: polygons and points in longitude and latitude."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .xml_tree import Element, read_xml


def read_kml(path: Path) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the properties and geometries (shapely, or None) of the placemarks of a KML file.

    A placemark's folder is a property too. Links to other files are not followed.

    Raises:
        InputError: If it cannot be read or is no KML.
    """
    import shapely

    properties, geometries = [], []
    for placemark, folder in _placemarks(read_xml(path, "kml", "a KML file"), ""):
        values = {child.tag: child.text for child in placemark.children if child.tag == "name" and child.text}
        values |= {"folder": folder} if folder else {}
        for data in placemark.iterate():
            if data.tag == "SimpleData":
                values[data.attributes.get("name", "")] = data.text
            elif data.tag == "Data":
                values[data.attributes.get("name", "")] = data.value("value")
        try:
            shapes = list(_shapes(placemark))
            geometry = shapes[0] if len(shapes) == 1 else shapely.GeometryCollection(shapes) if shapes else None
        except (ValueError, shapely.errors.ShapelyError):
            geometry = None
        properties.append(values)
        geometries.append(geometry)
    return properties, geometries


def _placemarks(element: Element, folder: str) -> Iterator[tuple[Element, str]]:
    """Yield the placemarks below an element, each with the name of its folder."""
    for child in element.children:
        if child.tag == "Placemark":
            yield child, folder
        else:
            yield from _placemarks(child, child.value("name") if child.tag == "Folder" else folder)


def _shapes(placemark: Element) -> Iterator[Any]:
    """Yield the geometries of a placemark.

    Raises:
        ValueError: If a coordinate is no number.
    """
    import shapely

    for element in placemark.iterate():
        if element.tag == "Polygon":
            holes = [_coordinates(ring) for ring in element.all("innerBoundaryIs", "LinearRing")]
            for ring in element.all("outerBoundaryIs", "LinearRing"):
                yield shapely.Polygon(_coordinates(ring), holes)
        elif element.tag in ("Point", "LineString"):
            yield getattr(shapely, element.tag)(_coordinates(element))


def _coordinates(element: Element) -> list[tuple[float, float]]:
    triples = (text.split(",") for text in element.value("coordinates").split())
    return [(float(values[0]), float(values[1])) for values in triples if len(values) >= 2]
