"""Map of the scenes and chips, where there is georeference."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ....dataset.tables import CHIPS, SCENES
from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks
from ..html.drawing import ACCENT, BAD, MARKERS, MUTED, SERIES, drawn, svg
from ..html.words import short_names
from ..stats.metrics import Floats
from .errors import error_table, shown_errors

OUTLINE_SHARE = 0.02
"""A scene is drawn as an outline if it is at least this share of the map, else as a dot."""


def scene_outlines(scenes: pd.DataFrame) -> dict[str, Floats]:
    """Return corners (5, 2) in lon/lat of each georeferenced scene that was not quarantined; longitude first."""
    from pyproj import Transformer

    outlines_by_scene = {}
    transformers: dict[str, Transformer] = {}
    georeferenced = scenes[scenes["quarantined"].isna() & scenes["crs"].notna() & scenes["transform"].notna()]
    for row in georeferenced.to_dict("records"):
        crs = str(row["crs"])
        if crs not in transformers:
            transformers[crs] = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        a, b, c, d, e, f = json.loads(row["transform"])[:6]
        col = np.array([0, row["width"], row["width"], 0, 0], dtype=np.float64)
        line = np.array([0, 0, row["height"], row["height"], 0], dtype=np.float64)
        lon, lat = transformers[crs].transform(a * col + b * line + c, d * col + e * line + f)
        corners = np.column_stack([lon, lat])
        if np.isfinite(corners).all():
            outlines_by_scene[str(row["scene_id"])] = corners
    return outlines_by_scene


def chip_outlines(index: pd.DataFrame, outlines: pa.ChunkedArray) -> tuple[list[Floats], pd.DataFrame]:
    """Return corners in lon/lat of each chip that has a footprint, and the chips that do.

    Args:
        index: The chips, by their position in the table of all.
        outlines: The WKB of all.
    """
    import shapely

    shapes = shapely.from_wkb(outlines.take(pa.array(index.index.to_numpy())).to_pylist(), on_invalid="ignore")
    good = np.array([shape is not None and not shape.is_empty for shape in shapes], dtype=bool)
    return [np.round(shapely.get_coordinates(shape), 7) for shape in shapes[good]], index[good]


def _degrees(axes: Axes, latitude: float) -> None:
    """Set equal scale east and north, and ticks in degrees."""
    axes.set_aspect(1 / max(np.cos(np.radians(latitude)), 0.05), adjustable="datalim")
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=4)
    axes.set_xlabel("longitude, °")
    axes.set_ylabel("latitude, °")


def overview(outlines: dict[str, Floats], errors: pd.DataFrame) -> str:
    """Return all scenes: outlines, or dots where they would be too small to see; rings link to errors."""
    corners = np.concatenate(list(outlines.values()))
    extent = np.ptp(corners, axis=0).max()
    with drawn(4.6, 3.6) as (figure, axes):
        small = []
        for outline in outlines.values():
            if np.ptp(outline, axis=0).max() >= OUTLINE_SHARE * extent:
                axes.plot(*outline.T, color=ACCENT, linewidth=0.9)
            else:
                small.append(outline.mean(axis=0))
        if small:
            axes.plot(*np.array(small).T, "o", color=ACCENT, markersize=4.5, alpha=0.55, markeredgewidth=0)
        for scene, rows in errors[errors["scene_id"].isin(list(outlines))].groupby("scene_id", observed=True):
            _link(axes, outlines[str(scene)][:4].mean(axis=0), str(rows["anchor"].iloc[0]), markersize=8)
        _degrees(axes, float(corners[:, 1].mean()))
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
        text = f"{plural(len(outlines), 'scene')} between {west:.3f}, {south:.3f} and {east:.3f}, {north:.3f} degrees."
        return svg(figure, "map", "Map of the scenes", text)


def _link(axes: Axes, place: Floats, anchor: str, markersize: float) -> None:
    """Ring a place, in longitude and latitude; a click on the ring leads to the anchor."""
    (ring,) = axes.plot(*place, "o", color=BAD, markersize=markersize, markerfacecolor="none", markeredgewidth=1.2)
    ring.set_url(f"#{anchor}")


def close_up(
    outline: Floats,
    chips: Sequence[Floats],
    labels: npt.NDArray[np.str_],
    anchors: Sequence[str | None],
    classes: Sequence[str],
) -> str:
    """Return one scene and the footprints of its chips by class; chips that are wrong link to their picture."""
    with drawn(4.6, 3.6) as (figure, axes):
        axes.plot(*outline.T, color=MUTED, linewidth=0.9)
        for number, name in enumerate(classes):
            in_scene = [chip for chip, label in zip(chips, labels, strict=True) if label == name]
            if not in_scene:
                continue
            series = (0, 2, 1, 3)[number] if number < 4 else number % len(SERIES)
            axes.add_collection(LineCollection(in_scene, colors=SERIES[series], linewidths=0.9))
            middle = np.array([chip[:-1].mean(axis=0) for chip in in_scene])
            axes.plot(*middle.T, MARKERS[number % len(MARKERS)], color=SERIES[series], markersize=2.5, label=name)
        for chip, anchor in zip(chips, anchors, strict=True):
            if anchor is not None:
                _link(axes, chip[:-1].mean(axis=0), anchor, markersize=6)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, markerscale=2)
        _degrees(axes, float(outline[:, 1].mean()))
        counts = ", ".join(f"{(labels == name).sum():,} {name}" for name in classes)
        return svg(figure, "map-scene", "Chips of one scene", f"Footprints of {counts} in one scene.")


def section_map(data: ReportData) -> blocks.Section | None:
    """Return a map of the scenes, and the chips of the scene that has most objects."""
    scenes = SCENES.read(data.scenes / "scenes.parquet")
    outlines = scene_outlines(scenes)
    if not outlines:
        return None
    section = blocks.Section("map", "Where the scenes are")
    errors = shown_errors(error_table(data))
    caption = f"The {plural(len(outlines), 'scene')} with georeference, in lon/lat. Rings: scenes with errors, which a"
    drawings = [blocks.figure("map", overview(outlines, errors), f"{caption} click shows.")]
    index = data.chips.index
    objects = index[index["class"].isin(data.classes[1:]) & index["scene_id"].isin(list(outlines))]
    if len(objects):
        counts = objects["scene_id"].value_counts()
        busiest = str(sorted(counts[counts == counts.max()].index)[0])
        corners, chips = chip_outlines(index[index["scene_id"] == busiest], CHIPS.read_outlines(data.outlines))
        if corners:
            anchor_of = errors.set_index("chip_id")["anchor"].to_dict()
            anchors = [anchor_of.get(chip) for chip in chips["chip_id"]]
            labels = chips["class"].to_numpy(dtype=str)
            name = short_names([busiest])[busiest]
            svg = close_up(outlines[busiest], corners, labels, anchors, data.classes)
            caption = f"The footprints of the chips of {name}, the scene with the most objects. Rings: errors."
            drawings.append(blocks.figure("map-scene", svg, caption))
    section.blocks = [blocks.figures(drawings)]
    section.data = {"georeferenced_scenes": len(outlines)}
    return section
