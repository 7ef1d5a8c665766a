"""Which test chips changed sides, and whose labels somebody should look at again."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..gather import Material
from ..html import blocks
from ..html.pictures import Stretch, tiles
from ..html.words import plural, short_names
from .scores import right_shares, tested, two_arms

SHOWN = 12
CHANGED = 0.5
"""A chip changed sides if the share of replicates that are right about it moved by at least this."""
CONFIDENT = 0.9
"""A label is contradicted if every replicate of both arms gives its own answer at least this probability."""


def contradicted(material: Material) -> pd.DataFrame:
    """Test chips whose label every replicate of both arms contradicts with confidence, the most certain first."""
    rows = tested(material)
    rows = rows[rows["arm"].isin(two_arms(material))]
    background = material.classes[0]
    says_object = rows["predicted"] != background
    # The score is the probability of not being background: it has no opinion on which object it is.
    sure = rows["score"].where(says_object, 1 - rows["score"])
    other_side = says_object != (rows["class"] != background)
    rows = rows.assign(sure=sure, against=other_side & (sure >= CONFIDENT))
    found = rows.groupby(["fold", "chip_id", "unit", "class"], observed=True, as_index=False).agg(
        against=("against", "all"), confidence=("sure", "mean"), score=("score", "mean")
    )
    found = found[found["against"]].drop(columns="against")
    return found.sort_values(["confidence", "chip_id"], ascending=[False, True], ignore_index=True)


def section_errors(material: Material, stretch: Stretch) -> blocks.Section:
    """Chips that changed sides, and labels to check."""
    section = blocks.Section("errors", "Which chips changed sides")
    baseline, treatment = two_arms(material)
    shares = right_shares(material)
    gained = shares[shares["change"] >= CHANGED].sort_values(["change", "chip_id"], ascending=[False, True])
    lost = shares[shares["change"] <= -CHANGED].sort_values(["change", "chip_id"])
    section.blocks = [
        blocks.text(
            f"Counted over replicates, {plural(len(shares), 'test chip')}: with {treatment} {len(gained):,} of them are"
            f" right at least {100 * CHANGED:.0f} points more often than with {baseline}, and {len(lost):,} at least"
            f" {100 * CHANGED:.0f} points less often."
        )
    ]
    always = shares[shares["baseline"] == 0]
    wrong = float((1 - shares["baseline"]).sum())
    still = int((always["treatment"] == 0).sum())
    share = len(always) / wrong if wrong else 0.0
    if len(always) and tested(material)["replicate"].nunique() > 1:
        section.blocks.append(
            blocks.text(
                f"Every replicate of {baseline} gets {plural(len(always), 'test chip')} wrong: {100 * share:.0f} %"
                f" of its error, which no chance of a training or of a draw explains. Every replicate of {treatment}"
                f" gets {still:,} of them wrong too."
            )
        )
    for title, frame in ((f"Won by {treatment}", gained), (f"Lost by {treatment}", lost)):
        if len(frame):
            section.blocks += [
                blocks.heading(title),
                _changed(material, stretch, frame.head(SHOWN)),
            ]
    doubtful = contradicted(material)
    section.blocks.append(blocks.heading("Labels to check"))
    if doubtful.empty:
        section.blocks.append(blocks.text("No label is contradicted with confidence by every replicate of both arms."))
    else:
        section.blocks += [
            blocks.text(
                f"{plural(len(doubtful), 'test chip')}: every replicate of both arms contradicts the label with a"
                f" probability of {CONFIDENT:g} or more. Either all classifiers are wrong, or the label is. They are"
                " counted as labelled; labels-to-check.csv lists them with their places. The score is the mean"
                f" probability of {' or '.join(material.classes[1:])}."
            ),
            _doubtful(material, stretch, doubtful.head(SHOWN)),
        ]
    section.data = {
        "won": gained["chip_id"].tolist(),
        "lost": lost["chip_id"].tolist(),
        "always_wrong": always["chip_id"].tolist(),
        "always_wrong_share": share,
        "still_wrong": still,
        "labels_to_check": doubtful["chip_id"].tolist(),
    }
    return section


def _changed(material: Material, stretch: Stretch, frame: pd.DataFrame) -> blocks.Block:
    pictures = tiles(stretch(material.chips.of(frame["chip_id"]).read()))
    units = short_names([str(name) for name in material.predictions["unit"].unique()])
    return blocks.cases(
        [
            {
                "picture": picture,
                "alt": f"Test chip {row['chip_id']}, labelled {row['class']}",
                "lines": [
                    str(row["class"]),
                    units[str(row["unit"])],
                    f"right {100 * row['baseline']:.0f} % → {100 * row['treatment']:.0f} %",
                ],
            }
            for picture, row in zip(pictures, _records(frame), strict=True)
        ]
    )


def _doubtful(material: Material, stretch: Stretch, frame: pd.DataFrame) -> blocks.Block:
    pictures = tiles(stretch(material.chips.of(frame["chip_id"]).read()))
    units = short_names([str(name) for name in material.predictions["unit"].unique()])
    return blocks.cases(
        [
            {
                "picture": picture,
                "alt": f"Test chip {row['chip_id']}, labelled {row['class']}",
                "lines": [
                    f"labelled {row['class']}",
                    f"score {row['score']:.2f}",
                    units[str(row["unit"])],
                ],
            }
            for picture, row in zip(pictures, _records(frame), strict=True)
        ]
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
