"""Errors on test chips by arm and kind, chips that changed sides, and labels that should be checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from ....dataset.contact_sheet import viewable
from ....dataset.scaling import Scaling
from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks
from ..html.pictures import tiles
from ..html.words import short_names
from .scores import right_shares

SHOWN = 12
SHOWN_ERRORS = 24
"""Errors of one kind that the page shows; errors.csv lists all of them."""
CHANGED = 0.5
"""A chip changed sides if the share of replicates that are right about it moved by at least this."""
WRONG = 0.5
"""An arm is wrong about a chip if at least this share of its replicates is."""
CONFIDENT = 0.9
"""A label is contradicted if every replicate of both arms gives its own answer at least this probability."""
KINDS = ("false positives", "false negatives", "wrong class")


def contradicted(data: ReportData) -> pd.DataFrame:
    """Return test chips whose label every replicate of both arms contradicts with confidence, most certain first."""
    rows = data.tested
    rows = rows[rows["arm"].isin(data.two_arms)]
    background = data.classes[0]
    says_object = rows["predicted"] != background
    # The score is the probability of not being background: it has no opinion on which object it is.
    sure = rows["score"].where(says_object, 1 - rows["score"])
    other_side = says_object != (rows["class"] != background)
    rows = rows.assign(sure=sure, against=other_side & (sure >= CONFIDENT))
    chips = rows.groupby(["fold", "chip_id", "unit", "class"], observed=True, as_index=False).agg(
        against=("against", "all"), confidence=("sure", "mean"), score=("score", "mean")
    )
    chips = chips[chips["against"]].drop(columns="against")
    return chips.sort_values(["confidence", "chip_id"], ascending=[False, True], ignore_index=True)


def error_table(data: ReportData) -> pd.DataFrame:
    """Return the test chips that an arm of the verdict is wrong about, as errors.csv lists them.

    Columns: `arms` (``both``, or the one that is wrong), `kind` (one of :data:`KINDS`), `predicted` (what most wrong
    replicates say), the share of wrong replicates and the mean score by arm, and where the chip is.
    """
    baseline, treatment = data.two_arms
    rows = data.tested
    rows = rows[rows["arm"].isin([baseline, treatment])]
    rows = rows.assign(wrong=(rows["class"] != rows["predicted"]).astype(float))
    case = ["fold", "chip_id", "unit", "class"]
    wide = rows.pivot_table(index=case, columns="arm", values=["wrong", "score"], aggfunc="mean", observed=True)
    pairs: list[Any] = wide.columns.to_list()
    wide.columns = pd.Index([f"{value}_{'baseline' if arm == baseline else 'treatment'}" for value, arm in pairs])
    said = rows[rows["wrong"] > 0].groupby(case, observed=True)["predicted"].agg(lambda values: values.mode().iloc[0])
    table = wide.assign(predicted=said).reset_index()
    by_baseline, by_treatment = table["wrong_baseline"] >= WRONG, table["wrong_treatment"] >= WRONG
    background = data.classes[0]
    kind = pd.Series(KINDS[2], index=table.index)
    kind = kind.mask(table["class"] == background, KINDS[0]).mask(table["predicted"] == background, KINDS[1])
    arms = pd.Series("both", index=table.index).mask(~by_treatment, baseline).mask(~by_baseline, treatment)
    table = table.assign(kind=kind, arms=arms)[by_baseline | by_treatment]
    table = table.merge(data.chips.index[["chip_id", "scene_id", "row", "col"]], on="chip_id", how="left")
    order = {"both": 0, baseline: 1, treatment: 2}
    keys = [table["arms"].map(order), table["kind"].map(KINDS.index), table["scene_id"], table["chip_id"]]
    places = pd.concat(keys, axis=1, keys=range(len(keys))).sort_values([*range(len(keys))], kind="stable").index
    first = ["arms", "kind", "class", "predicted", "scene_id", "row", "col", "chip_id", "fold"]
    measures = [f"{value}_{arm}" for value in ("wrong", "score") for arm in ("baseline", "treatment")]
    return table.loc[places, [*first, *measures]].reset_index(drop=True)


def shown_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the errors that the page shows, the first ones of each kind, with the `anchor` of each."""
    rows = table.groupby(["arms", "kind"], sort=False, observed=True).head(SHOWN_ERRORS)
    return rows.assign(anchor=[f"error-{number}" for number in range(1, len(rows) + 1)])


def section_errors(data: ReportData, scaling: Scaling) -> blocks.Section:
    """Return chips that changed sides, and labels to check."""
    section = blocks.Section("errors", "Which chips are wrong, and which changed sides")
    baseline, treatment = data.two_arms
    shares = right_shares(data)
    gained = shares[shares["change"] >= CHANGED].sort_values(["change", "chip_id"], ascending=[False, True])
    lost = shares[shares["change"] <= -CHANGED].sort_values(["change", "chip_id"])
    section.blocks = [
        blocks.text(
            f"Counted over replicates, {plural(len(shares), 'test chip')}: with {treatment} {len(gained):,} of them are"
            f" correct at least {100 * CHANGED:.0f} points more often than with {baseline}, and {len(lost):,} at least"
            f" {100 * CHANGED:.0f} points less often."
        )
    ]
    always = shares[shares["baseline"] == 0]
    wrong = float((1 - shares["baseline"]).sum())
    still = int((always["treatment"] == 0).sum())
    share = len(always) / wrong if wrong else 0.0
    if len(always) and data.tested["replicate"].nunique() > 1:
        section.blocks.append(
            blocks.text(
                f"Every replicate of {baseline} gets {plural(len(always), 'test chip')} wrong: {100 * share:.0f} %"
                f" of its error, which chance in training or sampling does not explain. Every replicate of {treatment}"
                f" gets {still:,} of them wrong too."
            )
        )

    def change(row: Mapping[str, Any]) -> list[str]:
        return [str(row["class"]), f"right {100 * row['baseline']:.0f} % → {100 * row['treatment']:.0f} %"]

    def doubt(row: Mapping[str, Any]) -> list[str]:
        return [f"labelled {row['class']}", f"score {row['score']:.2f}"]

    for title, frame in ((f"Won by {treatment}", gained), (f"Lost by {treatment}", lost)):
        if len(frame):
            section.blocks += [blocks.heading(title), _cases(data, scaling, frame.head(SHOWN), title, change)]
    section.blocks += _gallery(data, scaling)
    doubtful = contradicted(data)
    section.blocks.append(blocks.heading("Labels to check"))
    if doubtful.empty:
        section.blocks.append(blocks.text("No label is contradicted with confidence by every replicate of both arms."))
    else:
        section.blocks += [
            blocks.text(
                f"{plural(len(doubtful), 'test chip')}: every replicate of both arms contradicts the label with a"
                f" probability of {CONFIDENT:g} or more. Either all classifiers are wrong, or the label is. They are"
                " counted as labelled; labels-to-check.csv lists them with their locations. The score is the mean"
                f" probability of {' or '.join(data.classes[1:])}."
            ),
            _cases(data, scaling, doubtful.head(SHOWN), "doubtful", doubt),
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


def _gallery(data: ReportData, scaling: Scaling) -> list[blocks.Block]:
    """Return the errors of both arms and of each alone, by kind, each behind a line until opened."""
    table = error_table(data)
    if table.empty:
        return []
    baseline, treatment = data.two_arms
    shown = shown_errors(table)

    def lines(row: Mapping[str, Any]) -> list[str]:
        scores = f"score {row['score_baseline']:.2f}, {row['score_treatment']:.2f}"
        return [f"{row['class']} as {row['predicted']}", f"row {row['row']}, column {row['col']}", scores]

    groups = []
    for (arms, kind), rows in table.groupby(["arms", "kind"], sort=False, observed=True):
        whose = "of both arms" if arms == "both" else f"of {arms} alone"
        few = f", the first {SHOWN_ERRORS}" if len(rows) > SHOWN_ERRORS else ""
        title = f"{str(kind).capitalize()} {whose}: {len(rows):,}{few}"
        of_kind = shown[(shown["arms"] == arms) & (shown["kind"] == kind)]
        groups.append(_cases(data, scaling, of_kind, title, lines) | {"title": title})
    text = (
        f"Chips that at least {100 * WRONG:.0f} % of an arm's replicates get wrong. Scores are the mean probability of"
        f" {' or '.join(data.classes[1:])}, of {baseline} and of {treatment}; row and column are those of the scene"
        " in chip pixels. Click a chip to enlarge it. errors.csv lists all of them."
    )
    return [blocks.gallery("All errors", text, groups)]


def _cases(
    data: ReportData,
    scaling: Scaling,
    frame: pd.DataFrame,
    name: str,
    lines: Callable[[Mapping[str, Any]], list[str]],
) -> blocks.Block:
    """Return chips with the scene and a few lines of text each; a row's `anchor` is what links lead to."""
    pictures = tiles(viewable(data.chips.of(frame["chip_id"]).read(), scaling))
    scene_of = data.chips.index.set_index("chip_id")["scene_id"]
    short = short_names([str(scene) for scene in scene_of.unique()])
    return blocks.cases(
        [
            {
                "id": row.get("anchor") or f"{blocks.anchor(name)}-{number}",
                "picture": picture,
                "alt": f"Test chip {row['chip_id']}, labelled {row['class']}",
                "lines": [*lines(row), short[str(scene_of[row["chip_id"]])]],
            }
            for number, (picture, row) in enumerate(zip(pictures, _records(frame), strict=True), start=1)
        ]
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
