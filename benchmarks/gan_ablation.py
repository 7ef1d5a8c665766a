"""What each element of the low-data recipe contributes: each is left out or changed. Evaluated on validation chips.

    python benchmarks/gan_ablation.py --config configs/planet-tiles.yaml --set ingest.sources.0.path=FOLDER ... \
        --images 40000 [--replicates 2] [--workers 2] [--docs docs/experiments.md]

Every variant is trained on the same splits with the same seeds, so that differences are taken within them. Left-out
areas stay closed. Results are appended to ``--results``: a training that is in there is not run again.
"""

from __future__ import annotations

import statistics
from typing import Any

from gan_bars import parser_of, spread, trained
from scipy.stats import ttest_1samp
from section import processor, write_section

WHOLE = "the recipe"
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "no symmetries": {"symmetries": False},
    "no colour": {"colour": 0.0},
    "no translation": {"translation": 0.0},
    "no augmentation at all": {"symmetries": False, "colour": 0.0, "translation": 0.0},
    "unbalanced classes": {"balanced": False},
    "no minibatch deviation": {"deviation_group": 0},
    "label as planes": {"discriminator_condition": "planes"},
    "label at the generator's input": {"condition": "input"},
    "transposed convolutions": {"upsampling": "transposed"},
    "R1 of 0.05": {"r1": 0.05},
    "no norm in the discriminator, R1 of 0.05": {"discriminator_norm": "none", "r1": 0.05},
    "last weights, no average": {"ema_images": 0.0},
    "constant learning rate": {"decay": 0.0},
    "learning rate 2e-4": {"learning_rate": 2e-4},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "batches of 64": {"batch": 64},
    "twice the channels": {"base_channels": 32},
}
"""What differs in the `gan` section."""


def measures(result: dict[str, Any]) -> dict[str, float]:
    """Return the measures of one training: means over classes, or over the classes but the background."""
    quality, use = result["quality"], result["usefulness"]
    ship = list(quality)[-1]
    tstr = {way: use[way]["average_precision"][ship] for way in ("synthetic_to_real", "real_to_real")}
    return {
        "kid": statistics.mean(values["kid"] - values["kid_floor"] for values in quality.values()),
        "coverage": statistics.mean(values["coverage"] / values["coverage_floor"] for values in quality.values()),
        "tstr": tstr["synthetic_to_real"] / tstr["real_to_real"],
    }


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the section: each variant's figures, and their difference from the whole recipe's."""
    by_variant: dict[str, dict[str, dict[str, float]]] = {
        name: {result["split"]: measures(result) for result in results if result["preset"] == name}
        for name in VARIANTS
        if name in {result["preset"] for result in results}
    }
    splits = list(by_variant[WHOLE])
    lines = [
        f"`python benchmarks/gan_ablation.py` on {processor()}: {results[0]['images']:,} images; {len(splits)} splits",
        f"({', '.join(splits)}) with one training of each variant.",
        "Figures are of validation chips: kernel distance above that of real chips and coverage as a share of theirs,",
        "means of the classes; TSTR: average precision of a classifier trained on generated ships only, as a share of",
        "that of one trained on real ones. Next to each figure, the mean difference from the recipe on the same splits",
        "and its standard deviation; bold if its 95 % interval (Student's t) excludes zero.",
        "",
        "| variant | kernel distance | difference | coverage | difference | TSTR | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, by_split in by_variant.items():
        cells = [variant]
        for name in ("kid", "coverage", "tstr"):
            values = [by_split[split][name] for split in splits]
            cells.append(spread(values))
            apart = [by_split[split][name] - by_variant[WHOLE][split][name] for split in splits]
            cells.append("" if variant == WHOLE else _marked(apart))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _marked(apart: list[float]) -> str:
    clear = len(apart) > 1 and ttest_1samp(apart, 0).pvalue < 0.05
    return f"**{spread(apart)}**" if clear else spread(apart)


def main() -> None:
    """Train what is missing and print the table."""
    parser = parser_of(__doc__, "gan-ablation")
    parser.add_argument("--images", type=int, required=True, help="images of each training")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="these variants beside the recipe")
    options = parser.parse_args()
    chosen: dict[str, dict[str, Any]] = {WHOLE: {}} | {name: VARIANTS[name] for name in options.only or VARIANTS}
    recipes = {name: {"images": options.images} | changes for name, changes in chosen.items()}
    write_section("Ablation of the low-data recipe", table(trained(options, recipes, test=False)), options.docs)


if __name__ == "__main__":
    main()
