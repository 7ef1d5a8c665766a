"""A short version of a configuration: every stage, in minutes, and no verdict."""

from __future__ import annotations

from typing import Any

from ..utils.section import as_json
from .gan_presets import resolve
from .run import RunConfig

NOT_A_VERDICT = "Quick look, not a verdict"
"""What the title of every report of such a run begins with."""

SCENES, MEGABYTES = 240, 400
"""Scenes of a source at most, and the size of their files: read in a minute or two on two cores."""
SCENES_PER_CLASS = 24
"""Scenes on top for each class, where a scene may be a chip of one class."""
LABELLED, SYNTHETIC = 600, 800
"""Chips over all classes at most."""
IMAGES, STEPS = 3000, 120
"""Real images that a GAN sees, and steps of a classifier, on chips of `SIDE` pixels; fewer on larger ones."""
SIDE = 80


def quick(config: RunConfig) -> RunConfig:
    """Return a configuration with some scenes and chips of the same data, and trainings as short as can be.

    One train and test division, two replicates and two arms: too few for a verdict, enough to see that everything
    works. It has a name of its own, so that it takes no other result's place.
    """
    data: dict[str, Any] = as_json(config)
    _take_some(data)
    split, gan, classify = data["split"], data["gan"], data["classify"]
    if split["scheme"] == "lists":
        split["test_lists"] = split["test_lists"][:1]
    else:
        split |= {"scheme": "holdout", "test_groups": None}
    split |= {"fractions": [1.0], "replicates": 2, "random_replicates": 0, "repeats": 1}
    smaller = min(1.0, (SIDE / config.chips.size_px) ** 2)
    images = min(resolve(gan).images, max(300, round(IMAGES * smaller)))
    gan |= {"images": images, "checkpoint_images": images // 2, "restarts": 1}
    report = data["report"]
    steps = min(classify["steps"], max(30, round(STEPS * smaller)))
    classify |= {"arms": [report["baseline"], report["treatment"]], "steps": steps}
    classify |= {"validate_every": min(classify["validate_every"], steps // 3), "orientations": 1}
    report |= {"fraction": None, "bootstrap": min(report["bootstrap"], 500)}
    name = f"{config.name[:58]}-quick"
    report["title"] = f"{NOT_A_VERDICT}: {report['title'] or f'run {name}'}"
    return RunConfig.model_validate(data | {"name": name})


def is_quick(title: object) -> bool:
    """Return whether the title of a report is that of a quick version."""
    return isinstance(title, str) and title.startswith(NOT_A_VERDICT)


def caution(config: RunConfig, warning: str | None) -> str | None:
    """Return the warning on what a run made, which begins with the fact that it was a quick look if it was one."""
    if not is_quick(config.report.title):
        return warning
    return " ".join([f"{NOT_A_VERDICT}: trained for minutes on a part of the data.", *filter(None, [warning])])


def _take_some(data: dict[str, Any]) -> None:
    """Limit the scenes, the labelled chips and the synthetic chips of a configuration."""
    ingest, chips, synth = data["ingest"], data["chips"], data["synth"]
    count = len(ingest["classes"])
    ingest["max_scenes"] = _least(ingest["max_scenes"], SCENES + SCENES_PER_CLASS * count)
    ingest["max_megabytes"] = _least(ingest["max_megabytes"], MEGABYTES)
    for source in ingest["sources"]:
        if source["type"] == "simulated":
            source["scenes"] = min(source["scenes"], 24)
    chips["max_per_class"] = _least(chips["max_per_class"], max(SCENES_PER_CLASS, LABELLED // count))
    chips["negatives"]["per_positive"] = min(chips["negatives"]["per_positive"], 2.0)
    if chips["negatives"]["method"] == "grid":
        chips["negatives"] |= {"method": "sampled", "grid_stride_px": None}
    synth["per_class"] = _least(synth["per_class"], max(SCENES_PER_CLASS, SYNTHETIC // 2 // count))


def _least(given: int | None, most: int) -> int:
    return most if given is None else min(given, most)
