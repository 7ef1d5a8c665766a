"""Sources of scenes and labels: one model per label format, and what is simulated or downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from ..formats.base import SourceBase
from ..formats.registry import FORMATS
from ..utils.section import Count, Fraction, Positive, PositiveCount


class SimulatedSource(SourceBase):
    """Seeded harbour and open-sea scenes, written as GeoTIFF with GeoJSON labels; needs no download."""

    type: Literal["simulated"] = "simulated"
    licence: str = "CC0-1.0 (simulated data)"
    """Licence of the simulated imagery; recorded with everything made from it."""
    scenes: PositiveCount = 24
    """How many scenes."""
    size_px: Annotated[int, Field(ge=64, le=2048)] = 512
    """Height and width of a scene in pixels of 3 m."""
    ships_per_scene: Annotated[float, Field(ge=0.0)] = 10.0
    """Mean number of ships in a scene; a crowded scene holds fewer."""
    seed: Count = 1
    """Seed of the scenes; a scene depends on the seed and its number, not on the number of scenes."""
    ship_length_m: tuple[Positive, Positive, Positive] = (40.0, 125.0, 250.0)
    """Shortest, median and longest ship; between them lengths are log-normal."""
    ship_length_spread: Positive = 0.4
    """Standard deviation of the logarithm of the length."""
    moored_share: Fraction = 0.5
    """Share of the ships that lie at a berth, in scenes that have berths."""
    under_way_share: Fraction = 0.5
    """Share of the other ships that are under way and have a wake; the rest lie at anchor."""
    land_share: Fraction = 0.75
    """Share of the scenes with land: harbours, river banks and open coast in turn."""
    nodata_wedge_share: Fraction = 0.15
    """Share of the scenes that are cut by the edge of the swath."""
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
    """Amount of objects that resemble ships: boats, breakwaters, jetties, pontoons, long roofs, containers."""
    blur_px: Annotated[float, Field(ge=0.0)] = 0.6
    """Standard deviation of the optics' point spread in pixels."""
    noise: Annotated[float, Field(ge=0.0)] = 1.7
    """Standard deviation of the sensor noise in 8-bit numbers."""

    @model_validator(mode="after")
    def _ordered_lengths(self) -> SimulatedSource:
        shortest, median, longest = self.ship_length_m
        if not shortest <= median <= longest:
            raise ValueError("ship_length_m must be shortest, median, longest, in that order")
        return self


class KaggleSource(SourceBase):
    """A data set that is downloaded from Kaggle; needs `pip install 'satpipe[kaggle]'`."""

    type: Literal["kaggle"] = "kaggle"
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")] = "rhammell/ships-in-satellite-imagery"
    """Owner and name of the data set."""
    version: PositiveCount | None = None
    """Version of the data set; null means the newest, which needs the network if it is not in the store."""
    layout: Literal["shipsnet", "folders"] = "shipsnet"
    """Layout of its files."""
    gsd_m: Positive | None = 3.0
    """Ground sampling distance in metres per pixel."""


SOURCES: dict[str, type[SourceBase]] = {
    "simulated": SimulatedSource,
    **{name: label_format.source for name, label_format in FORMATS.items()},
    "kaggle": KaggleSource,
}
"""The model of each `type` of source."""

if TYPE_CHECKING:
    Source = SourceBase
else:
    Source = Annotated[Union[tuple(SOURCES.values())], Field(discriminator="type")]  # noqa: UP007 - made at run time
