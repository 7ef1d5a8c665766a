"""What a run is: one frozen pydantic model per stage.

A configuration file is YAML with the sections of :class:`RunConfig`. Every key has a default except the sources, so a
file states only what differs. :mod:`pipeline.configfile` reads files and turns what pydantic says into one sentence.
The docstring below a field is its help: ``satpipe config schema`` and the reference in the documentation show it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]
Resampling = Literal["nearest", "bilinear", "cubic", "lanczos", "average"]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


# ---------------------------------------------------------------------------------------------------------- ingest


class SourceBase(Section):
    """What every source of scenes and labels has in common."""

    name: str | None = None
    """Name of the source in tables and messages; by default its type."""
    licence: str = "unknown"
    """Licence of the imagery; travels with every chip set and generator made from it."""
    gsd_m: Positive | None = None
    """Ground sampling distance in metres per pixel, for scenes without georeference."""
    groups_csv: str | None = None
    """CSV with a column `file` and any group columns (site, aoi, date ...), one row per scene file."""
    groups_regex: str | None = None
    """Regular expression on the file name; each named group becomes a group column."""


class SimulatedSource(SourceBase):
    """Seeded harbour and open-sea scenes, written as GeoTIFF with GeoJSON labels; needs no download."""

    type: Literal["simulated"] = "simulated"
    licence: str = "CC0-1.0 (simulated data)"
    """Licence of the simulated imagery; travels with what is made from it."""
    scenes: PositiveCount = 24
    """How many scenes."""
    size_px: Annotated[int, Field(ge=64)] = 512
    """Height and width of a scene in pixels of 3 m."""
    ships_per_scene: Positive = 10.0
    """Mean number of ships in a scene."""
    seed: Count = 1
    """Seed of the scenes."""


class YoloSource(SourceBase):
    """Images with a label file of the same name: `class x_centre y_centre width height`, normalised."""

    type: Literal["yolo"] = "yolo"
    path: str
    """Folder (or glob) of images with their .txt files beside them."""
    class_names: tuple[str, ...] = ("ship",)
    """Names of the class numbers in the label files."""
    normalised_by_px: PositiveCount | None = None
    """Side by which the boxes were divided, where that is not the image's own width and height."""


class GeojsonSource(SourceBase):
    """Scenes with vector labels in any CRS that geopandas can read."""

    type: Literal["geojson"] = "geojson"
    path: str
    """Scene file, folder or glob of scenes."""
    labels: str
    """Vector file with the labels."""
    class_column: str | None = "class"
    """Column with the class name; null takes `default_class` for every label."""
    default_class: str = "ship"
    """Class of labels without one."""


class ShipsnetSource(SourceBase):
    """The layout of Kaggle's "Ships in Satellite Imagery": named chips, a planar JSON, or both."""

    type: Literal["shipsnet"] = "shipsnet"
    path: str
    """Folder with `{label}__{scene id}__{lon}_{lat}.png` files, a `shipsnet.json`, or a folder with both."""
    gsd_m: Positive | None = 3.0
    """Ground sampling distance in metres per pixel; the published chips have 3 m."""


class FoldersSource(SourceBase):
    """Chips in folders that are named for their class."""

    type: Literal["folders"] = "folders"
    path: str
    """Folder with one folder per class."""


Source = Annotated[
    SimulatedSource | YoloSource | GeojsonSource | ShipsnetSource | FoldersSource, Field(discriminator="type")
]


class IngestConfig(Section):
    """Which scenes and labels."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Where scenes and labels come from."""
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = ("non-ship", "ship")
    """Class names; the position is the class number. The first is the background class."""
    bands: tuple[PositiveCount, ...] | None = None
    """Bands to read, counted from 1; null reads the colour or data bands and no alpha band."""
    max_pixels: PositiveCount = 2_000_000_000
    """A scene that claims more pixels than this is quarantined unread."""
    scenes_per_part: PositiveCount = 64
    """How many scenes one ingest part checks."""

    @model_validator(mode="after")
    def _distinct(self) -> IngestConfig:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must differ")
        return self


# ----------------------------------------------------------------------------------------------------------- chips


class NegativesConfig(Section):
    """How background chips are sampled in scenes that come with object labels."""

    per_positive: Annotated[float, Field(ge=0.0)] = 2.0
    """Background chips for each labelled object of the whole data set; scenes share them by area."""
    textured_share: Fraction = 0.5
    """Share drawn where the image has texture (quays, roofs, waves); the others are drawn anywhere."""
    near_miss: Literal["drop", "background"] = "drop"
    """A window that holds part of an object: not used, or a background chip as in shipsnet."""
    near_miss_share: Fraction = 0.0
    """Share of the background chips drawn as near misses, where `near_miss` is `background`."""


class DuplicatesConfig(Section):
    """Near-duplicates across groups: the training copy is dropped."""

    enabled: bool = True
    """Whether to look for them."""
    min_correlation: Fraction = 0.95
    """Pixel correlation above which two textured chips are the same picture."""
    min_texture: Annotated[float, Field(ge=0.0)] = 0.04
    """Standard deviation over the data range below which a chip counts as flat and is not compared."""


class ChipsConfig(Section):
    """How chips are cut."""

    size_px: Annotated[int, Field(ge=16, multiple_of=16)] = 80
    """Height and width of a chip in pixels."""
    gsd_m: Positive | None = None
    """Metres per chip pixel; null keeps each scene's own and stops where scenes differ."""
    resampling: Resampling | None = None
    """Kernel for scenes of another GSD; null stops with a sentence where one would be needed."""
    jitter_px: Count = 0
    """Labelled windows are moved by up to this many pixels, drawn per label."""
    min_valid_fraction: Fraction = 0.95
    """Chips with fewer valid pixels than this are dropped and counted."""
    negatives: NegativesConfig = NegativesConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()


class SplitConfig(Section):
    """Who trains on what, and who is tested."""

    by: str = "scene_id"
    """Group column whose groups are never on two sides: `scene_id`, or a column such as `site` or `aoi`."""
    unit: str | None = None
    """Group column that validation draws and that the bootstrap resamples within a fold; null takes `by`."""
    scheme: Literal["leave-one-out", "folds", "holdout"] = "folds"
    """Each group tested in turn, groups dealt into `folds`, or one fixed test set of `test_fraction`."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Number of folds, for `folds`."""
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.4
    """Share of the groups that is tested, for `holdout`."""
    test_groups: tuple[str, ...] | None = None
    """Groups that may be tested; the others always train. Null: all."""
    fractions: Annotated[tuple[PositiveFraction, ...], Field(min_length=1)] = (1.0,)
    """Shares of the real labels to train with; smaller ones are inside larger ones."""
    replicates: PositiveCount = 8
    """Independent repetitions: each seeds the draw, the GAN, the sampling and the classifier."""
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    """Share of the training units that chooses checkpoint, threshold and calibration."""


# ------------------------------------------------------------------------------------------------------------- gan


class GanConfig(Section):
    """The conditional DCGAN. A null takes the preset's value."""

    preset: str = "dcgan-lowdata"
    """Named set of values: see `pipeline/gan/presets.py`."""
    images: PositiveCount | None = None
    """Real images shown to the discriminator in all; the length of the training."""
    batch: PositiveCount | None = None
    """Real images in a step."""
    z_dim: PositiveCount | None = None
    """Length of the latent vector."""
    base_channels: PositiveCount | None = None
    """Channels of the layer at full resolution; deeper layers double it up to eight times."""
    learning_rate: Positive | None = None
    """Adam's learning rate, both networks."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Decay of the generator's moving average per step; 0 turns it off."""
    checkpoint_images: PositiveCount = 4000
    """A resumable checkpoint, and a look at validation, every so many images."""


# ----------------------------------------------------------------------------------------------------------- synth


class SynthConfig(Section):
    """Labelled synthetic chips of each split."""

    per_class: PositiveCount | None = None
    """Accepted chips per class; null makes as many as the largest real training class."""
    truncation: Annotated[float, Field(gt=0.0)] = 1.0
    """Standard deviation of z; below 1 trades variety for typical chips."""
    oversample: Annotated[float, Field(ge=1.0)] = 2.0
    """At most this many candidates are made for each accepted chip."""
    screen: bool = True
    """Whether candidates are screened; without it the first ones are taken."""


# -------------------------------------------------------------------------------------------------------- classify

ArmName = Literal["real", "classic", "gan", "classic+gan"]


class ClassifyConfig(Section):
    """The ship ConvNet and the arms of the experiment."""

    arms: Annotated[tuple[ArmName, ...], Field(min_length=2)] = ("real", "classic", "gan", "classic+gan")
    """Training sets to compare: real chips, with classic augmentation, with synthetic chips, with both."""
    steps: PositiveCount = 1500
    """Optimiser steps, the same for every arm."""
    batch: PositiveCount = 64
    """Chips in a step, with equal class shares."""
    learning_rate: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-2
    """AdamW's weight decay."""
    base_channels: PositiveCount = 24
    """Channels of the first layer."""
    synthetic_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.33
    """Share of synthetic chips in a batch of the arms with them."""
    validate_every: PositiveCount = 100
    """Steps between looks at the validation chips; the best of them is kept."""


# ---------------------------------------------------------------------------------------------------------- report


class ReportConfig(Section):
    """The question and the page that answers it."""

    metric: Literal["accuracy", "balanced_accuracy", "f1", "average_precision"] = "accuracy"
    """The one metric of the verdict."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Confidence of the intervals."""
    bootstrap: PositiveCount = 10_000
    """Bootstrap draws."""
    title: str | None = None
    """Title of the page; null names the run."""


# --------------------------------------------------------------------------------------------------------- compute


class ComputeConfig(Section):
    """Where and how it runs; only what changes results is part of a key."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device of the trainings; auto takes CUDA, then MPS, then the CPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the trainings; auto times both once per machine and keeps the faster."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Memory format of the trainings; auto times both once per machine."""
    threads: PositiveCount = 1
    """Threads of one training."""
    workers: PositiveCount | None = None
    """Parts made at the same time; null takes the number of cores over `threads`."""


class RunConfig(Section):
    """A whole run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the run and of its folder under reports/; by default the file's."""
    seed: Count = 1
    """Every random number of the run follows from this."""
    ingest: IngestConfig
    chips: ChipsConfig = ChipsConfig()
    split: SplitConfig = SplitConfig()
    gan: GanConfig = GanConfig()
    synth: SynthConfig = SynthConfig()
    classify: ClassifyConfig = ClassifyConfig()
    report: ReportConfig = ReportConfig()
    compute: ComputeConfig = ComputeConfig()


def as_json(section: Section) -> dict[str, Any]:
    """The section as plain JSON types, as it enters keys, cards and reports."""
    return section.model_dump(mode="json")
