"""Configuration of a run: one frozen pydantic model per stage.

A configuration file is YAML with the sections of :class:`RunConfig`. Every key has a default except the sources, so a
file states only what differs. :mod:`satpipe.config.load` reads files and turns what pydantic says into one sentence.
The docstring below a field is its help: ``satpipe config schema`` and the reference in the documentation show it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..dataset.arms import ARMS, known_names, parse
from ..dataset.names import split_name
from ..utils.section import Count, Fraction, Positive, PositiveCount, PositiveFraction, Section
from .sources import Source

Resampling = Literal["nearest", "bilinear", "cubic", "lanczos", "average"]

# ---------------------------------------------------------------------------------------------------------- ingest


class IngestConfig(Section):
    """Scenes and labels to read."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """Where scenes and labels come from."""
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = ("non-ship", "ship")
    """Class names; the position is the class index. The first is the background class. Labels of any other class are
    set aside, and no background is cut where it lies."""
    bands: Annotated[tuple[PositiveCount, ...], Field(min_length=1)] | None = None
    """Bands to read, counted from 1; null reads the colour or data bands and no alpha band."""
    max_pixels: PositiveCount = 2_000_000_000
    """A scene that claims more pixels than this is quarantined unread."""
    max_scenes: PositiveCount | None = None
    """At most this many scenes of each source, spread over its folders, those with their own label files first; the
    others are left out with that reason. Null takes all."""
    max_megabytes: PositiveCount | None = None
    """At most this many megabytes of scene files of each source, but at least six scenes; null sets no limit."""
    scenes_per_task: PositiveCount = 256
    """How many scenes one ingest task checks at most; large scenes get tasks of their own."""
    strict: bool = False
    """Stop at a scene or label that cannot be used, instead of leaving it out; labels outside all scenes never stop a
    run."""

    @model_validator(mode="after")
    def _distinct(self) -> IngestConfig:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must differ")
        if len(set(self.bands or ())) != len(self.bands or ()):
            raise ValueError("bands must differ")
        names = [source.name for source in self.sources if source.name]
        if len(set(names)) != len(names):
            raise ValueError("names of sources must differ")
        for source in self.sources:
            for name in sorted(set(source.class_map.values()) - set(self.classes)):
                raise ValueError(f"class_map maps to {name!r}, which is not in `classes`")
        return self


# ----------------------------------------------------------------------------------------------------------- chips


class NegativesConfig(Section):
    """Choice of background chips in scenes with object labels."""

    method: Literal["sampled", "grid"] = "sampled"
    """Drawn windows, `per_positive` for each object, or every window of a grid that holds no object."""
    per_positive: Annotated[float, Field(ge=0.0)] = 2.0
    """Background chips for each labelled object of the whole data set; divided among scenes by area. For `sampled`."""
    textured_share: Fraction = 0.5
    """Share taken where the image has texture (quays, roofs, waves); the others come from anywhere. For `sampled`."""
    candidates: PositiveCount = 4
    """Windows considered for each drawn chip: the first valid one is taken, or the one with most texture."""
    margin_px: Count = 4
    """Distance in pixels between a background window and every object."""
    near_miss: Literal["drop", "background"] = "drop"
    """A window that holds part of an object: not used, or a background chip as in shipsnet."""
    near_miss_share: Fraction = 0.0
    """Share of the drawn chips that are near misses, if `near_miss` is `background`."""
    extra_per_positive: Annotated[float, Field(ge=0.0)] = 0.0
    """Further windows for each labelled object that nothing is trained on as background: objects of composites lie on
    them too, in splits that train on chips of the same unit. None holds a part of an object. For `sampled`."""
    grid_stride_px: PositiveCount | None = None
    """Step of the grid, for `grid`; null takes the chip size."""

    @model_validator(mode="after")
    def _shares(self) -> NegativesConfig:
        if self.near_miss_share > 0 and self.near_miss == "drop":
            raise ValueError("near_miss_share draws near misses, but near_miss is drop: set near_miss to background")
        if self.textured_share + self.near_miss_share > 1:
            raise ValueError("textured_share and near_miss_share together are larger than 1")
        if self.extra_per_positive and self.method == "grid":
            raise ValueError("extra_per_positive draws further windows, but method is grid, which takes every window")
        return self


class DuplicatesConfig(Section):
    """Near-duplicates across groups: the training copy is dropped."""

    enabled: bool = True
    """Whether to search for them."""
    min_correlation: Fraction = 0.95
    """Pixel correlation above which two textured chips are the same image."""
    min_texture: Annotated[float, Field(ge=0.0)] = 0.04
    """Standard deviation over the data range below which a chip counts as flat and is not compared."""
    scenes: bool = True
    """Whether to look for scenes that show the same ground by their pixels, whatever their georeference. Scenes of
    fewer than 90 x 90 pixels, such as most chips that come ready-cut, are not compared."""


class ScalingConfig(Section):
    """Scaling of chip values to the networks' range, band by band; fitted on each split's training chips."""

    method: Literal["auto", "percentiles", "deviation"] = "auto"
    """The whole range of bytes and percentiles of other types (`auto`), percentiles, or mean and deviation."""
    percentiles: tuple[Annotated[float, Field(ge=0.0)], Annotated[float, Field(le=100.0)]] = (0.1, 99.9)
    """Percentiles of a band that become the ends of the range; values beyond them are clipped."""
    deviations: Positive = 3.0
    """Standard deviations below and above a band's mean that become the ends of the range, for `deviation`."""

    @model_validator(mode="after")
    def _ordered(self) -> ScalingConfig:
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError("percentiles must be the lower and then the upper one")
        return self


class ChipsConfig(Section):
    """Chips and how they are cut."""

    size_px: Annotated[int, Field(ge=16, multiple_of=16)] = 80
    """Height and width of a chip in pixels."""
    gsd_m: Positive | None = None
    """Metres per chip pixel; null keeps each scene's own and stops if scenes differ."""
    resampling: Resampling | None = None
    """Kernel for scenes of another GSD; null stops with an error if one is needed."""
    jitter_px: Count = 0
    """Labelled windows are moved by up to this many pixels, drawn per label."""
    max_per_class: PositiveCount | None = None
    """At most this many labelled chips of a class, drawn by the seed; no background is cut at the others. Null takes
    all."""
    edge_shift_px: Count | None = None
    """A labelled window that crosses the scene's edge is moved inside by at most this; null means a"
      " quarter of a chip."""
    min_valid_fraction: Fraction = 0.95
    """Chips with fewer valid pixels than this are dropped and counted."""
    masks: Literal["auto", "never"] = "auto"
    """Whether labelled objects get masks: from the outline of the label, else segmented from its box, else from the
    chip's centre. The GAN's layers and the arm `cutpaste` need them."""
    negatives: NegativesConfig = NegativesConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    scaling: ScalingConfig = ScalingConfig()


class SplitConfig(Section):
    """Division of chips into training, validation and test."""

    by: str = "scene_id"
    """Group column whose groups are never split between training and test: `scene_id`, or a column such as"
      " `site` or `aoi`."""
    unit: str | None = None
    """Group column from which validation is drawn and that the bootstrap resamples within a fold; null means `by`."""
    scheme: Literal["leave-one-out", "folds", "holdout", "lists"] = "folds"
    """Test each group in turn, assign groups to `folds`, draw one test set of `test_fraction`, or use `test_lists`."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Number of folds, for `folds`."""
    repeats: PositiveCount = 1
    """How often groups are assigned again, for `folds` and `holdout`; folds are numbered consecutively."""
    test_lists: tuple[tuple[str, ...], ...] | None = None
    """The groups that each fold tests, for `lists`."""
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.4
    """Share of the groups used for testing, for `holdout`."""
    test_groups: tuple[str, ...] | None = None
    """Groups that may be tested; the others are always for training. Null: all."""
    fractions: Annotated[tuple[PositiveFraction, ...], Field(min_length=1)] = (1.0,)
    """Shares of the real labels to train with; smaller ones are subsets of larger ones."""
    replicates: PositiveCount = 8
    """Independent repetitions: each seeds the draw, the GAN, the sampling and the classifier."""
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    """Share of the training units that chooses checkpoint, threshold and calibration."""
    overlap: Literal["join", "drop"] = "join"
    """Groups whose chips overlap on the ground become one group, or the overlapping training chips are dropped."""
    random_replicates: Count = 2
    """Replicates with chips assigned at random, leaks included: the report shows what they would have claimed."""

    @model_validator(mode="after")
    def _scheme(self) -> SplitConfig:
        if (self.scheme == "lists") != bool(self.test_lists):
            raise ValueError("test_lists belongs to scheme lists: give both or neither")
        if self.test_lists and not all(self.test_lists):
            raise ValueError("test_lists has an empty list: each names the groups of one test set")
        if len({split_name(0, fraction, 0) for fraction in self.fractions}) < len(self.fractions):
            listed = ", ".join(f"{fraction:g}" for fraction in self.fractions)
            raise ValueError(f"fractions ({listed}) must differ by a whole percent, since splits are named by it")
        if self.repeats > 1 and self.scheme not in ("folds", "holdout"):
            raise ValueError(
                f"repeats needs a random assignment of groups, and scheme {self.scheme} has only one assignment"
            )
        return self


# ------------------------------------------------------------------------------------------------------------- gan


class GanConfig(Section):
    """Conditional GAN. Null means the preset's value."""

    preset: str = "layers"
    """Named set of values: see `pipeline/config/gan_presets.py`."""
    layers: Literal["auto", "never"] | None = None
    """Whether objects that have masks are generated as layers in front of backgrounds: `auto` decides for each class
    and says so in the report, `never` generates whole chips. Classes without masks, and the background, are generated
    as whole chips in any case."""
    images: PositiveCount | None = None
    """Total number of real images shown to the discriminator: the length of the training."""
    whole_images: PositiveCount | None = None
    """The same for what is generated whole beside layers: the background, and classes whose objects have no masks. Null
    takes half of `images`, or the preset's value."""
    batch: PositiveCount | None = None
    """Real images in a step."""
    z_dim: PositiveCount | None = None
    """Length of the latent vector."""
    base_channels: PositiveCount | None = None
    """Channels at half the chip's resolution; each halving doubles them, up to eight times."""
    learning_rate: Positive | None = None
    """Adam's learning rate, both networks."""
    decay: Fraction | None = None
    """Share of the training, its last part, over which the learning rate falls linearly to zero; 0 keeps"
      " it constant."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Adam's decay of the first moment, both networks."""
    discriminator_norm: Literal["batch", "spectral", "none"] | None = None
    """Normalisation in the discriminator: of its features over the batch, or of its weights by their spectral norm."""
    loss: Literal["logistic", "hinge"] | None = None
    """Loss function."""
    ema_images: Annotated[float, Field(ge=0.0)] | None = None
    """Half-life in images of the generator's moving average of weights; 0 saves the weights themselves."""
    upsampling: Literal["transposed", "resize"] | None = None
    """How the generator upsamples: by transposed convolution, or by nearest-neighbour resizing and convolution."""
    deviation_group: Count | None = None
    """Chips whose deviation from each other the discriminator sees (minibatch deviation); 0 leaves it out."""
    balanced: bool | None = None
    """Whether classes have equal shares in a batch; otherwise those of the training chips."""
    symmetries: bool | None = None
    """Whether real chips are shown flipped and rotated by multiples of 90 degrees."""
    colour: Fraction | None = None
    """Strength of differentiable augmentation of brightness, saturation and contrast."""
    translation: Annotated[float, Field(ge=0.0, le=0.5)] | None = None
    """Largest shift of differentiable augmentation, as a share of the chip's side."""
    r1: Annotated[float, Field(ge=0.0)] | None = None
    """Weight of the gradient penalty on real chips; 0 is none."""
    checkpoint_images: PositiveCount = 10_000
    """Images between checkpoints, each with an evaluation on validation chips."""
    patience_images: PositiveCount | None = 60_000
    """Training stops after this many images without a better evaluation; null trains to the end."""
    restarts: Count = 2
    """How often a diverged training may restart from its last good checkpoint with half the learning rate."""


# ----------------------------------------------------------------------------------------------------------- synth


class SynthConfig(Section):
    """Labelled synthetic chips of each split."""

    per_class: PositiveCount | None = None
    """Accepted chips per class; null makes as many as the largest real training class, and at least 800 composites."""
    truncation: Annotated[float, Field(gt=0.0)] = 1.0
    """Standard deviation of z; below 1 trades variety for typical chips."""
    in_place: Fraction = 0.1
    """Share of the objects in the open that take the place of a labelled one, in its chip; the others lie
    on a background that looks like the surroundings of a labelled one."""
    in_place_crowded: Fraction = 0.8
    """The same for objects beside structures or other objects."""
    unlabelled_share: Fraction = 0.5
    """Share of the other objects that lie on windows of scenes without labels, where there are any."""
    oversample: Annotated[float, Field(ge=1.0)] = 2.0
    """At most this many candidates are made for each accepted chip."""
    screen: bool = True
    """Whether candidates are screened; otherwise the first ones are used."""
    min_label_score: Fraction = 0.5
    """Minimum probability of its class, by networks trained on the split's training chips."""
    distance_quantile: PositiveFraction = 0.98
    """A candidate may be as far from its class as this share of unseen real chips; 1 is as far as any of them."""
    copy_correlation: Fraction = 0.95
    """Pixel correlation with a training chip, in any of eight orientations, from which a candidate is a copy."""


# -------------------------------------------------------------------------------------------------------- classify

ArmName = Annotated[str, Field(pattern=r"^(classic\+)?[a-z0-9][a-z0-9_.-]*$")]
SyntheticUse = Literal["mixed", "falling", "pretraining"]


class AugmentConfig(Section):
    """Classic augmentation (albumentations). Chips are also always flipped and rotated by 90 degrees."""

    rotate_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 45.0
    """Chips are rotated by up to this angle."""
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Chips are enlarged or shrunk by up to this share."""
    shift: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Chips are shifted by up to this share of their side."""
    brightness: Fraction = 0.2
    """Largest change of brightness, as a share of the range."""
    contrast: Fraction = 0.2
    """Largest change of contrast."""
    colour: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Each band is multiplied by up to this much more or less than one."""
    blur_share: Fraction = 0.1
    """Share of the chips that are blurred."""
    noise_share: Fraction = 0.1
    """Share of the chips that get sensor noise."""
    steps_per_view: PositiveCount = 5
    """Steps in which an augmented view is reused, in other orientations; 1 is slower and no better."""
    chips_per_draw: PositiveCount = 8
    """How many chips of a batch share one draw of angle, brightness and so on; 1 is slower and hardly better."""


class ExternalFolder(Section):
    """Labelled chips of your own, such as those of another generator; an arm like `gan`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    """Name of its arm; `classic+` and this name is the arm with classic augmentation."""
    path: str
    """Folder with one folder of images per class, of the run's chip size. `{split}` in it stands for the split's name,
    such as fold0-f100-r3: only chips made from that split's training chips keep the comparison honest."""


class ClassifyConfig(Section):
    """Ship ConvNet and the arms of the experiment."""

    arms: Annotated[tuple[ArmName, ...], Field(min_length=2)] = ("real", "classic", "gan", "classic+gan")
    """Training sets to compare: only `real` chips, with `classic` augmentation, with synthetic chips of the `gan`,
    with real objects pasted in the same way (`cutpaste`), with those of the gan under `shuffled` labels (the negative
    control), or with a folder of yours by its name; and each of the last four with augmentation, as `classic+gan`."""
    folders: tuple[ExternalFolder, ...] = ()
    """Folders of your own labelled chips."""
    model: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """A network of the user's as `package.module:factory`, called with (bands, classes, size_px); it must return a
    torch module from chips (N, bands, size_px, size_px) in [-1, 1] to logits (N, classes). Null takes the ship
    ConvNet."""
    steps: PositiveCount = 600
    """Optimiser steps at most, the same for every arm."""
    patience: Count = 200
    """Steps without a lower loss on the validation chips after which a training stops; 0 takes all steps."""
    batch: Annotated[int, Field(ge=4)] = 64
    """Chips in a step, with equal class shares."""
    learning_rate: Positive = 2e-3
    """Peak learning rate; one cycle starts at a 25th of it and ends at zero."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-2
    """AdamW's weight decay."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of a label's weight that is spread over all classes; helps if some labels are wrong."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """Decay per step of the moving average of the weights, which is saved."""
    base_channels: PositiveCount = 16
    """Channels of the first layer; each further stage doubles them."""
    synthetic_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.33
    """Share of synthetic chips in a batch of the arms with them; of the steps, for `pretraining`."""
    synthetic_use: SyntheticUse = "mixed"
    """Synthetic chips at a constant share, at one that falls to zero, or alone before the real ones."""
    validate_every: PositiveCount = 100
    """Steps between evaluations on the validation chips; the weights with the lowest loss are saved."""
    orientations: Literal[1, 8] = 8
    """Over how many of a chip's eight orientations (flips and rotations by 90 degrees) a score is averaged."""
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _known(self) -> ClassifyConfig:
        folders = [folder.name for folder in self.folders]
        if len({*folders, *ARMS}) != len(folders) + len(ARMS):
            raise ValueError("names of folders must differ from each other, and from the built-in arms")
        names = known_names(folders)
        unknown = [arm for arm in self.arms if arm not in names]
        if unknown:
            raise ValueError(f"no arm {unknown[0]!r}; arms are {', '.join(names)}")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("arms must differ")
        return self


# ---------------------------------------------------------------------------------------------------------- report


class ReportConfig(Section):
    """Question and the page that answers it."""

    metric: Literal["accuracy", "balanced_accuracy", "f1", "average_precision"] = "accuracy"
    """The metric of the verdict."""
    treatment: str = "classic+gan"
    """Arm that the question is about."""
    baseline: str = "classic"
    """Arm that the treatment is compared with."""
    fraction: PositiveFraction | None = None
    """Real fraction for the verdict; null means the largest of `split.fractions`."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Confidence of the intervals."""
    bootstrap: PositiveCount = 10_000
    """Bootstrap draws."""
    title: str | None = None
    """Title of the page; null uses the run's name."""
    examples: Annotated[int, Field(ge=1, le=48)] = 24
    """Real and synthetic chips shown of each class."""


# --------------------------------------------------------------------------------------------------------- compute


class ComputeConfig(Section):
    """Settings of the computation; only those that change results are part of a key."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device for training; auto chooses CUDA, else MPS, else the CPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of training; auto times both once per machine and uses the faster."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Memory format of training; auto times both once per machine and uses the faster."""
    threads: PositiveCount = 1
    """Threads per training."""
    workers: PositiveCount | None = None
    """Tasks run at the same time; null takes the number of cores over `threads`."""
    memory_gb: Positive | None = None
    """Memory in GiB that one worker may take: a task that needs more ends with an error. Null sets no limit."""
    executor: Literal["processes", "dask"] = "processes"
    """Where tasks run: processes of this machine, or workers of a Dask cluster."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, such as `tcp://host:8786`; null starts a local cluster."""


class RunConfig(Section):
    """A whole run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the run and of its folder under reports/; by default the file's."""
    seed: Count = 1
    """Seed of every random number of the run."""
    ingest: IngestConfig
    chips: ChipsConfig = ChipsConfig()
    split: SplitConfig = SplitConfig()
    gan: GanConfig = GanConfig()
    synth: SynthConfig = SynthConfig()
    classify: ClassifyConfig = ClassifyConfig()
    report: ReportConfig = ReportConfig()
    compute: ComputeConfig = ComputeConfig()

    @model_validator(mode="after")
    def _question(self) -> RunConfig:
        asked = self.report
        pasted = [name for name in self.classify.arms if parse(name).source == "cutpaste"]
        if pasted and self.chips.masks == "never":
            raise ValueError(f"classify.arms has `{pasted[0]}`, which needs masks of objects; set chips.masks to auto")
        if asked.treatment == asked.baseline:
            raise ValueError(f"report.treatment and report.baseline are both `{asked.baseline}`; name two arms")
        for key, arm in (("treatment", asked.treatment), ("baseline", asked.baseline)):
            if arm not in self.classify.arms:
                arms = ", ".join(self.classify.arms)
                raise ValueError(f"report.{key} is `{arm}`, which is not in classify.arms ({arms})")
        if asked.fraction is not None and asked.fraction not in self.split.fractions:
            fractions = ", ".join(f"{fraction:g}" for fraction in self.split.fractions)
            raise ValueError(f"report.fraction is {asked.fraction:g}, which is not in split.fractions ({fractions})")
        return self
