"""Published form of report.json; ``report.schema.json`` is written from these models, and a test keeps it so."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT: Literal[2] = 2
"""Version of report.json: raised when a field is removed or changes its meaning, not when one is added."""

Number = float | None
"""A number, or null where it is undefined."""


class Model(BaseModel):
    """A section of the report: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Question(Model):
    """Question that the verdict answers."""

    metric: str
    """Name of the metric."""
    title: str
    """What people call it."""
    higher_is_better: bool
    """Whether more of it is better."""
    treatment: str
    """Arm that the question is about."""
    baseline: str
    """Arm that it has to beat."""
    fraction: float
    """Real fraction."""
    confidence: float
    """Confidence of all intervals."""
    draws: int
    """Bootstrap draws."""
    seed: int
    """Seed of the draws."""
    unit: str
    """Column that the test units come from."""
    folds: Literal["random", "fixed"]
    """Random effects, such as areas, or fixed: units were assigned to them at random."""


class Difference(Model):
    """Treatment minus baseline: estimate, crossed jackknife t interval, and what its variance is made of."""

    estimate: Number
    low: Number
    high: Number
    se: Number
    """Standard error."""
    df: Number
    """Degrees of freedom."""
    confidence: float
    variance_replicates: Number
    """Share of the squared length of the interval that comes from replicates."""
    variance_units: Number
    """Share that comes from test units."""
    variance_folds: Number
    """Share that comes from folds as random effects, from how they differ and how few they are."""
    variance_rest: Number
    """Share that comes from none of them alone."""


class Bootstrap(Model):
    """Crossed bootstrap of the same difference, as a second opinion."""

    draws: int
    low: Number
    """Lower end of the percentile interval."""
    high: Number
    """Upper end."""
    histogram: list[int]
    """Draws in equal bins over `range`."""
    range: tuple[Number, Number]
    """Smallest and largest draw."""


class RandomSplit(Model):
    """Result that a random split of the chips would have claimed."""

    fraction: float
    values: dict[str, Number]
    """The verdict's metric by arm."""
    replicates: int
    chips: int


class GeneratorQuality(Model):
    """Assessment of whether the generators behind the treatment learned, by measured rules."""

    learned: bool | None
    """False where at least half of them did not; null where too little was measured."""
    reasons: list[str]
    """What they fail by."""


class Answer(Model):
    """Verdict and what stands behind it."""

    question: Question
    verdict: Literal["helps", "hurts", "no detectable difference", "too little data to tell"]
    sentence: str
    """The verdict in one sentence."""
    favoured: str
    """Arm of the final classifier."""
    values: dict[str, Number]
    """The metric of the two arms."""
    difference: Difference
    detectable: Number
    """Smallest true effect that would have been found 8 times in 10."""
    replicates: int
    units: int
    """Test units."""
    effective_units: float
    """Test units of equal size that they are worth."""
    folds: int
    chips: int
    """Test chips."""
    by_replicate: dict[str, Number]
    """The difference in each replicate."""
    arm_values: dict[str, Number]
    """The metric of each arm."""
    arms_by_replicate: dict[str, list[Number]]
    """The metric of each arm in each replicate."""
    bootstrap: Bootstrap
    random_split: RandomSplit | None = None
    generator: GeneratorQuality | None = None
    """Null where the treatment needs no generator."""


class Gain(Model):
    """Number of further labels that the baseline would need to do as well.

    Null lies beyond the baseline's curve: more than there are, or, where ``loss``, less than with the fewest measured.
    """

    fraction: float
    labels: float
    gain: Number
    low: Number
    high: Number
    loss: bool = False


class Reliability(Model):
    """Calibration in ten equal bins of the score; null where a bin is empty."""

    score: list[Number]
    """Mean score."""
    share: list[Number]
    """Share that is not background."""
    chips: list[int]
    """Predictions in the bin."""


class Scores(Model):
    """Curves of an arm."""

    precision_at_recall: dict[str, Number]
    """Mean precision over replicates at recalls 0.00, 0.10 ... 1.00."""
    reliability: Reliability


class Errors(Model):
    """Test chips by chip_id."""

    won: list[str]
    """Right at least half of the replicates more often with the treatment."""
    lost: list[str]
    """At least half of the replicates less often."""
    always_wrong: list[str] = []
    """Every replicate of the baseline gets them wrong."""
    always_wrong_share: Number = 0.0
    """Their share of the baseline's error, counted over replicates."""
    still_wrong: int = 0
    """How many of them every replicate of the treatment gets wrong too."""
    labels_to_check: list[str]
    """Every replicate of both arms contradicts the label with confidence."""


class Gan(Model):
    """Generators of the experiment."""

    generators: int
    quality: dict[str, dict[str, Number]]
    """Mean over splits by class and measure; `<measure>_floor` is what real chips score."""
    usefulness: dict[str, dict[str, Number]] = {}
    """Mean over splits for `real_to_real`, `accepted_to_real`, `synthetic_to_real` and `real_to_synthetic` (trained on,
    tested on): balanced accuracy, and average precision by class. Accepted are what screening let through of the
    synthetic chips."""
    best_images: dict[str, int]
    """Images after which the chosen generator of each split was taken."""


class Nearest(Model):
    """Median pixel correlation with the nearest training chip."""

    synthetic: Number
    real: Number
    """Of real chips held out of training."""


class Screened(Model):
    """Synthetic chips of a class, all splits together."""

    candidates: int
    accepted: int


class Screening(Model):
    """Acceptance of synthetic chips by screening."""

    classes: dict[str, Screened]
    not_accepted: dict[str, int]
    """Candidates of all classes by the reason for which they were not accepted."""


class Recall(Model):
    """Share of labelled objects that are recognised, by what surrounds them; mean of replicates."""

    open: float
    """With nothing near them."""
    structures: float
    """Beside structures or other objects."""


class Data(Model):
    """Data that there was, and what was left out."""

    scenes: dict[str, str]
    """SHA-256 by scene."""
    georeferenced_scenes: int
    chips: dict[str, int]
    """Chips by class."""
    quarantined_scenes: list[tuple[str, str]]
    """Scene and reason."""
    quarantined_labels: int
    dropped_windows: dict[str, int]
    """Windows that became no chip, by reason."""
    leaks: dict[str, int]
    """Chips taken out of training over all splits, by reason."""


class Provenance(Model):
    """Everything that is needed to reproduce the figures."""

    seed: int
    profile: dict[str, Any] = {}
    """Device, precision, memory format and threads of the trainings."""
    versions: dict[str, str]
    configuration: dict[str, Any]
    artifacts: dict[str, str]
    """Digest by artifact."""


class Report(Model):
    """report.json of a satpipe run."""

    format: Literal[2] = FORMAT
    """Version of this form."""
    run: str
    """Name of the run."""
    title: str
    simulated: bool
    """Whether scenes were drawn by a program."""
    answer: Answer
    gains: list[Gain] = []
    """Gain in labels by real fraction, where there are several."""
    scores: dict[str, Scores]
    """Curves of the two arms of the verdict."""
    surroundings: dict[str, Recall] = {}
    """By arm; empty where the test objects have no masks or are all alike in this."""
    errors: Errors
    gan: Gan | None = None
    nearest: dict[str, Nearest] = {}
    """By class."""
    screening: Screening | None = None
    data: Data
    provenance: Provenance
    figures: list[str]
    """Figures beside the report."""


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema()}
