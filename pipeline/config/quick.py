"""A short version of a configuration: every stage, in minutes, and no verdict."""

from __future__ import annotations

from typing import Any

from ..utils.section import as_json
from .gan_presets import resolve
from .run import RunConfig

NOT_A_VERDICT = "Quick look, not a verdict"
"""What the title of every report of such a run begins with."""


def quick(config: RunConfig) -> RunConfig:
    """Return a configuration with the same data and chips, and trainings as short as can be.

    One train and test division, two replicates and two arms: too few for a verdict, enough to see that everything
    works. It has a name of its own, so that it takes no other result's place.
    """
    data: dict[str, Any] = as_json(config)
    split, gan, classify = data["split"], data["gan"], data["classify"]
    if split["scheme"] == "lists":
        split["test_lists"] = split["test_lists"][:1]
    else:
        split |= {"scheme": "holdout", "test_groups": None}
    split |= {"fractions": [1.0], "replicates": 2, "random_replicates": 0, "repeats": 1}
    images = min(resolve(gan).images, 3000)
    gan |= {"images": images, "checkpoint_images": images // 2, "restarts": 1}
    data["synth"]["per_class"] = min(data["synth"]["per_class"] or 200, 200)
    report = data["report"]
    classify |= {"arms": [report["baseline"], report["treatment"]], "steps": min(classify["steps"], 120)}
    classify |= {"validate_every": min(classify["validate_every"], 40), "orientations": 1}
    report |= {"fraction": None, "bootstrap": min(report["bootstrap"], 500)}
    name = f"{config.name[:58]}-quick"
    report["title"] = f"{NOT_A_VERDICT}: {report['title'] or f'run {name}'}"
    return RunConfig.model_validate(data | {"name": name})
