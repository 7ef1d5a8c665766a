"""Recognise vector files: which are for one scene alone, and whether a column, a layer or the file names the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import class_column
from .base import Recognised
from .inventory import Inventory, shortest, some
from .listing import beside
from .vector_file import MAGIC, VECTORS, class_of, holds, read_frames, read_rows

MOST_FILES = 20
USUAL_COLUMN = "class"
DISTINCT = 0.1
"""Share of a layer's objects that may lie in those of another, where both are labels of different classes."""
UNTELLING = (
    *("labels", "label", "annotations", "objects", "targets", "train", "test", "data", "val", "valid"),
    *("validation", "training", "doc", "export", "untitled"),
)


def recognise_vectors(folder: Inventory) -> Recognised | None:
    """Recognise vector files beside rasters."""
    vectors = [name for name in folder.suffixed(VECTORS) if holds(folder.path(name))]
    if not vectors or not folder.images:
        return None
    source: dict[str, Any] = {"type": "geojson", "path": str(folder.root)}
    recognised = Recognised(source, f"vector labels in {some(vectors)}", {}, (), len(folder.images), vectors)
    own = beside(folder.images, set(vectors).__contains__, VECTORS)
    per_scene = set(own.values()) == set(vectors)
    layers = {name: _layers(folder.path(name)) for name in vectors[:MOST_FILES]}
    if not per_scene:
        chosen = _settle_files(recognised, vectors, layers)
        source["labels"] = shortest(folder, chosen, folder.suffixed(VECTORS))
        recognised.files = chosen
        layers = {name: layers[name] for name in chosen if name in layers}
    if "class_from" not in source:
        _settle_column(recognised, layers)
    recognised.alternatives = [
        ("axes exchanged", {"swap_axes": True}),
        ("does not state its CRS", {"labels_crs": "scene"}),
        ("does not state its CRS", {"labels_crs": "EPSG:4326"}),
        ("set labels_crs: pixel", {"labels_crs": "pixel"}),
    ]
    return recognised


Rows = tuple[list[dict[str, Any]], list[Any], str | None]
"""Properties and geometries of a layer, and its CRS."""


def _layers(path: Path) -> dict[str, Rows]:
    """Return the layers of a file by name; a file without layers has one without a name, a broken one none."""
    try:
        if path.suffix.lower() in MAGIC:
            return {
                layer or "": (
                    frame.drop(columns=frame.geometry.name).to_dict("records"),
                    list(frame.geometry),
                    None if frame.crs is None else str(frame.crs),
                )
                for layer, frame in read_frames(path, None, several=True)
                if hasattr(frame, "geometry")
            }
        rows, crs = read_rows(path)
    except Exception:
        # pyogrio, pyarrow and GDAL raise errors of many families; whoever reads the file says what is wrong.
        return {}
    return {"": ([properties for properties, _ in rows], [geometry for _, geometry in rows], crs)}


def _settle_files(recognised: Recognised, vectors: list[str], layers: Mapping[str, Mapping[str, Rows]]) -> list[str]:
    """Settle which files and layers are read and whether they are classes; returns the files."""
    several = [(name, layer) for name, inside in layers.items() for layer in inside]
    if len(several) == 1 and several[0][1]:
        recognised.source["layer"] = several[0][1]  # the others hold no geometries
    if len(several) < 2 or len(vectors) > MOST_FILES:
        return vectors
    rows = {place: layers[place[0]][place[1]] for place in several}
    good = {place: data for place, data in rows.items() if _count(data[1])}
    by_size = sorted(good, key=lambda place: -_count(good[place][1]))
    distinct: list[tuple[str, str]] = []
    for place in by_size:
        if all(not _overlaps(good[place], good[other]) for other in distinct):
            distinct.append(place)
    if not distinct:
        return vectors
    one_file = len({name for name, _ in several}) == 1
    others = [place for place in several if place not in distinct]
    columned = all(class_column.choose(_values([good[place]]))[0] for place in distinct)
    if one_file and len(several) > 1:
        names = [layer for _, layer in several if (vectors[0], layer) in distinct]
        recognised.source["layer"] = names if len(names) > 1 else names[0]
        if len(names) > 1:
            recognised.source["class_from"] = "layer"
            recognised.why["class_from"] = "the layers hold different objects: each is a class"
        if others:
            recognised.why["layer"] = "the others are " + ", ".join(layer for _, layer in others)
            recognised.notes.append(_unused("layers", [layer or name for name, layer in others], "layer"))
        return vectors
    files = [name for name in vectors if any(name == place[0] for place in distinct)]
    if len(files) > 1 and not columned and _are_classes(files, [good[place] for place in distinct]):
        recognised.source["class_from"] = "file"
        recognised.why["class_from"] = "the files hold different objects: each is a class"
    unused = [name for name in vectors if name not in files]
    if unused:
        recognised.notes.append(_unused("files", unused, "labels"))
    return files


def _are_classes(files: Sequence[str], layers: Sequence[Rows]) -> bool:
    """Return whether files are of classes and not of places or splits: they reach over each other."""
    import shapely

    if any(Path(name).stem.lower() in UNTELLING for name in files):
        return False
    areas = [shapely.box(*shapely.total_bounds([shape for shape in layer[1] if shape])) for layer in layers]
    return all(areas[0].intersects(area) for area in areas[1:])


def _unused(what: str, names: Sequence[str], key: str) -> str:
    return (
        f"{what} that are not used, since they are empty or mark the same objects as others: {some(names)};"
        f" `--set ingest.sources.0.{key}={names[0]}` uses one of them instead"
    )


def _count(geometries: Sequence[Any]) -> int:
    """Return how many geometries are polygons or points."""
    kinds = ("Polygon", "MultiPolygon", "Point", "MultiPoint")
    return sum(getattr(geometry, "geom_type", "") in kinds for geometry in geometries)


def _overlaps(layer: Rows, other: Rows) -> bool:
    """Return whether many objects of a layer lie in or around those of another: they mark the same things, or areas."""
    import shapely

    shapes = [shape for shape in layer[1] if hasattr(shape, "geom_type") and not shape.is_empty]
    tree = shapely.STRtree([shape for shape in other[1] if hasattr(shape, "geom_type") and not shape.is_empty])
    sample = shapes[:: max(1, len(shapes) // 500)]
    centres = shapely.centroid(sample)
    around = len(set(tree.query(sample, predicate="contains_properly")[0].tolist()))
    inside = len(set(tree.query(centres, predicate="within")[0].tolist()))
    return max(around, inside) > DISTINCT * len(sample)


def _values(layers: Sequence[Rows]) -> dict[str, list[str]]:
    """Return the values of each column that are not missing; truth values and fractions name no class."""
    values: dict[str, list[str]] = {}
    for properties in (row for rows, _, _ in layers for row in rows):
        for column, value in properties.items():
            if isinstance(value, str | int | float) and not isinstance(value, bool) and class_of(value):
                values.setdefault(str(column), []).append(class_of(value))
    return values


def _settle_column(recognised: Recognised, layers: Mapping[str, Mapping[str, Rows]]) -> None:
    """Choose the column that names the class, and name the others."""
    wanted = recognised.source.get("layer")
    chosen_layers = [rows for inside in layers.values() for layer, rows in inside.items() if wanted in (None, layer)]
    chosen, others = class_column.choose(_values(chosen_layers))
    if chosen is None:
        recognised.source["class_column"] = None
        recognised.source["default_class"] = _class_from_name(list(layers))
        recognised.why["class_column"] = "every label is of one class"
    elif chosen != USUAL_COLUMN:
        recognised.source["class_column"] = chosen
        recognised.why["class_column"] = "the column that names the class"
    recognised.notes += class_column.note(chosen, others, "ingest.sources.0.class_column=COLUMN")


def _class_from_name(names: Sequence[str]) -> str:
    """Return a class named after a file such as ships.geojson; ``ship`` where its name is no plain word."""
    word = Path(names[0]).stem.lower() if len(names) == 1 else ""
    return word.removesuffix("s") if word.isalpha() and word not in UNTELLING else "ship"
