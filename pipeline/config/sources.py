"""Where scenes and labels can come from: one model per source, the section's other half is in ``config.py``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ..utils.section import Count, Fraction, Positive, PositiveCount, Section

Paths = str | Annotated[tuple[str, ...], Field(min_length=1)]
BoxColumn = Literal["x_min", "y_min", "x_max", "y_max", "lon_min", "lat_min", "lon_max", "lat_max"]
CsvColumn = Literal["file", "class", "x", "y", "lon", "lat"] | BoxColumn


class SourceBase(Section):
    """What every source of scenes and labels has in common."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = None
    """Name of the source in tables, scene names and messages; by default its type."""
    licence: str = "unknown"
    """Licence of the imagery; travels with every chip set and generator made from it."""
    gsd_m: Positive | None = None
    """Ground sampling distance in metres per pixel, for scenes without georeference."""
    nodata: float | None = None
    """Value of pixels without data (in every band), for scenes that do not say; 0 where tiles have black wedges."""
    class_map: dict[str, str] = {}  # noqa: RUF012 - pydantic copies what is the default
    """Class of `ingest.classes` for a class of the labels, where the names differ, e.g. `{vessel: ship}`."""
    groups_csv: str | None = None
    """CSV with a column `file` and any group columns (site, aoi, date ...), one row per scene file; of a JSON of chips
    one per chip, named `ships.json#0` and so on."""
    groups_regex: str | None = None
    """Regular expression searched in the file's path below the source's folder; each named group is a group column."""

    @field_validator("groups_regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                named = re.compile(value).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if not named:
                raise ValueError("it needs a named group such as (?P<site>[^_]+)")
            if "scene_id" in named:
                raise ValueError("every scene is a group of its own as scene_id; name the group otherwise")
        return value


class SimulatedSource(SourceBase):
    """Seeded harbour and open-sea scenes, written as GeoTIFF with GeoJSON labels; needs no download."""

    type: Literal["simulated"] = "simulated"
    licence: str = "CC0-1.0 (simulated data)"
    """Licence of the simulated imagery; travels with what is made from it."""
    scenes: PositiveCount = 24
    """How many scenes."""
    size_px: Annotated[int, Field(ge=64, le=2048)] = 512
    """Height and width of a scene in pixels of 3 m."""
    ships_per_scene: Annotated[float, Field(ge=0.0)] = 10.0
    """Mean number of ships in a scene; a crowded scene holds fewer."""
    seed: Count = 1
    """Seed of the scenes; a scene depends on the seed and its number, not on how many there are."""
    ship_length_m: tuple[Positive, Positive, Positive] = (40.0, 125.0, 250.0)
    """Shortest, median and longest ship; between them lengths are log-normal."""
    ship_length_spread: Positive = 0.4
    """Standard deviation of the logarithm of the length."""
    moored_share: Fraction = 0.5
    """Share of the ships that lie at a berth, in scenes that have berths."""
    under_way_share: Fraction = 0.5
    """Share of the other ships that make way and draw a wake; the rest lie at anchor."""
    land_share: Fraction = 0.75
    """Share of the scenes with land: harbours, river banks and open coast in turn."""
    nodata_wedge_share: Fraction = 0.15
    """Share of the scenes that the edge of the swath cuts."""
    cloud_share: Fraction = 0.25
    """Share of the scenes with clouds."""
    cloud_cover: Fraction = 0.08
    """Mean cover of the scenes with clouds; a ship that a cloud hides is not labelled."""
    haze: Fraction = 0.2
    """Mean opacity of the haze."""
    waves: Annotated[float, Field(ge=0.0)] = 1.0
    """Mean contrast of the waves; 0 is a flat calm."""
    glint: Annotated[float, Field(ge=0.0)] = 1.0
    """Mean strength of the sun's reflection on the water."""
    clutter: Annotated[float, Field(ge=0.0)] = 1.0
    """Number of things that resemble ships: boats, breakwaters, jetties, pontoons, long roofs, containers."""
    blur_px: Annotated[float, Field(ge=0.0)] = 0.6
    """Standard deviation of the optics' point spread in pixels."""
    noise: Annotated[float, Field(ge=0.0)] = 1.7
    """Standard deviation of the sensor noise in 8-bit numbers."""

    @model_validator(mode="after")
    def _ordered_lengths(self) -> SimulatedSource:
        shortest, median, longest = self.ship_length_m
        if not shortest <= median <= longest:
            raise ValueError("ship_length_m is shortest, median, longest, in that order")
        return self


class YoloSource(SourceBase):
    """Images with a label file of the same name: `class x_centre y_centre width height`, normalised."""

    type: Literal["yolo"] = "yolo"
    path: Paths
    """Folder, file, glob or list of images."""
    labels: str | None = None
    """Folder of the label files; null looks beside the images, and in `labels/` beside their `images/`."""
    class_names: tuple[str, ...] = ("ship",)
    """Names of the class numbers in the label files."""
    normalised_by_px: PositiveCount | None = None
    """Side by which the boxes were divided, where that is not the image's own width and height."""


class GeojsonSource(SourceBase):
    """Scenes with vector labels in any CRS that geopandas can read."""

    type: Literal["geojson"] = "geojson"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths | None = None
    """Vector file, folder, glob or list; null looks beside the scenes. A file named like a scene is for that one."""
    labels_crs: str | None = None
    """CRS of label files that do not say theirs; `pixel` where coordinates are columns and rows of the scene."""
    swap_axes: bool = False
    """Whether the label files have latitude (or northing) first."""
    layer: str | None = None
    """Layer of a GeoPackage with several."""
    class_column: str | None = "class"
    """Column with the class name; null takes `default_class` for every label."""
    default_class: str = "ship"
    """Class of labels without one."""


class CocoSource(SourceBase):
    """Images with their boxes in one COCO file (`images`, `annotations`, `categories`)."""

    type: Literal["coco"] = "coco"
    path: Paths
    """Folder, file, glob or list of images."""
    labels: Paths
    """The COCO file, or several."""


class VocSource(SourceBase):
    """Images with a Pascal VOC file (XML) of the same name each."""

    type: Literal["voc"] = "voc"
    path: Paths
    """Folder, file, glob or list of images."""
    labels: str | None = None
    """Folder of the XML files; null looks beside the images, and in `Annotations/` beside `JPEGImages/`."""


class CsvSource(SourceBase):
    """Scenes with labels in a CSV, one row per object."""

    type: Literal["csv"] = "csv"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths
    """CSV with x_min,y_min,x_max,y_max or x,y (pixels; needs `file`), or lon_min,lat_min,lon_max,lat_max or lon,lat."""
    columns: dict[CsvColumn, str] = {}  # noqa: RUF012 - pydantic copies what is the default
    """What the CSV calls a column, by the name used here, e.g. `{file: image_id, x_min: left}`."""
    default_class: str = "ship"
    """Class of rows without `class`."""


class ShipsnetSource(SourceBase):
    """The layout of Kaggle's "Ships in Satellite Imagery": named chips, a planar JSON, or both."""

    type: Literal["shipsnet"] = "shipsnet"
    path: Paths
    """Folder with `{label}__{scene id}__{lon}_{lat}.png` files, a `shipsnet.json`, or a folder with both."""
    gsd_m: Positive | None = 3.0
    """Ground sampling distance in metres per pixel; with a chip's lon and lat it gives the chip's footprint."""


class KaggleSource(SourceBase):
    """A data set that is downloaded from Kaggle; needs `pip install 'satpipe[kaggle]'`."""

    type: Literal["kaggle"] = "kaggle"
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")] = "rhammell/ships-in-satellite-imagery"
    """Owner and name of the data set."""
    version: PositiveCount | None = None
    """Version of the data set; null takes the newest and needs the network whenever it is not in the store."""
    layout: Literal["shipsnet", "folders"] = "shipsnet"
    """How it is read once it is here."""
    gsd_m: Positive | None = 3.0
    """Ground sampling distance in metres per pixel."""


class CustomSource(SourceBase):
    """Scenes with labels in a format of your own, read by a function of yours."""

    type: Literal["custom"] = "custom"
    path: Paths
    """Folder, file, glob or list of scenes."""
    labels: Paths
    """Label file, folder (with all of its files), glob or list."""
    reader: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    """The function as `package.module:function`. Called with the path of a label file, it returns for each object
    (image, class, x_min, y_min, x_max, y_max): name of the image, name of the class, edges in pixels."""


class FoldersSource(SourceBase):
    """Chips in folders that are named for their class."""

    type: Literal["folders"] = "folders"
    path: str
    """Folder with one folder per class, named as in `ingest.classes`."""


Source = Annotated[
    SimulatedSource
    | YoloSource
    | GeojsonSource
    | CocoSource
    | VocSource
    | CsvSource
    | ShipsnetSource
    | FoldersSource
    | CustomSource
    | KaggleSource,
    Field(discriminator="type"),
]
