"""Propose a configuration for a source, with a comment for each key, and lines that report what the source holds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config.run import RunConfig
from ...formats.base import Recognised
from ...utils.plural import plural
from .grouping import Grouping, Split, choose_split
from .summary import SourceSummary, lengths_px, quantile, uneven

BACKGROUND = (
    "non-ship", "background", "no-ship", "noship", "no_ship", "non_ship", "not-ship", "negative", "neg", "nothing",
    "none", "empty", "clear", "negatives", "sea", "open-sea", "ocean", "water", "no-object", "nonship", "no-vessel",
    "non-vessel", "false", "no", "hintergrund", "fond", "fondo", "背景", "other", "others", "clutter", "0",
)  # fmt: skip
"""Class names that mean that nothing of interest is there."""
NEGATED = re.compile(r"(no|non|not|without|kein|keine|sans|sin)-.+")
"""Class names that deny an object."""
AROUND = 1.25
"""Least side of a chip over the length of a middling object: so much of its surroundings belongs to the picture."""
SIDES = (32, 192)
"""Smallest and largest chip that is proposed: below nothing can be made out, above a GAN is slow and needs more."""


@dataclass
class Advice:
    """A proposed configuration.

    Attributes:
        sections: The configuration, as in YAML.
        why: A comment for each key, by its dotted place.
        lines: What was found: a heading and the rest of the line.
        warnings: What will go wrong, or should be looked after, one sentence each.
        config: The same configuration, checked.
        folds: Into how many folds it splits; leave-one-out knows it from the groups.
    """

    sections: dict[str, Any]
    why: dict[str, str]
    lines: list[tuple[str, str]]
    warnings: list[str]
    config: RunConfig
    folds: int = 1


@dataclass
class _Draft:
    sections: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def set(self, place: str, value: Any, why: str | None = None) -> None:
        section = self.sections
        *parents, key = place.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
        if why:
            self.why[place] = why


def advise(name: str, recognised: Recognised, summary: SourceSummary, grouping: Grouping) -> Advice:
    """Return a configuration for a source, with the reasons of its settings.

    Args:
        name: Name of the run.
        recognised: The kind of source.
        summary: What it holds.
        grouping: Its group columns.
    """
    draft = _Draft()
    draft.set("name", name)
    draft.set("seed", 1)
    classes = _classes(draft, summary)
    source = summary.source | grouping.keys
    draft.set("ingest.sources", [source])
    draft.why |= {f"source.{key}": why for key, why in (summary.why | grouping.why).items() if key != "source"}
    draft.why |= {"source": summary.why["source"]} if "source" in summary.why else {}
    draft.set("ingest.classes", list(classes), "the first one is the background class")
    _bands(draft, summary)
    _nodata(draft, source, summary)
    _gsd(draft, source, summary)
    _size(draft, summary)
    split = choose_split(summary, grouping, classes[0])
    _split(draft, split)
    balance = "the data set's choice" if summary.cut else "our own choice"
    draft.set("report.metric", "balanced_accuracy", f"the ratio of background chips to objects is {balance}")
    draft.warnings = [*_doubts(summary), *summary.notes, *draft.warnings, *split.warnings]
    config = RunConfig.model_validate(draft.sections)
    lines = lines_of(recognised, summary, grouping)
    return Advice(draft.sections, draft.why, lines, draft.warnings, config, split.folds)


def _classes(draft: _Draft, summary: SourceSummary) -> tuple[str, ...]:
    """Return class names, background first: the one that is named so, or one beside the classes of objects."""
    counts = Counter(label.class_name for label in summary.labels)
    background = next((name for word in BACKGROUND for name in sorted(counts) if _plain(name) == word), None)
    if background is None:
        negated = sorted(name for name in counts if NEGATED.match(_plain(name)))
        background = negated[0] if len(negated) == 1 and len(counts) > 1 else None
    objects = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if name != background]
    if summary.source["type"] == "shipsnet":
        # Numbers decide here: the position is the class number.
        numbered = [name for name in counts if name.startswith("class-")]
        return ("non-ship", "ship", *sorted(numbered, key=lambda name: int(name.removeprefix("class-"))))
    if background is None and summary.cut and len(objects) > 1:
        background = objects[0]
        draft.warnings.append(
            f"no class has the usual name of a background, so {background} was chosen: the background is the first"
            f" of ingest.classes; `--set 'ingest.classes=[{', '.join(reversed(objects))}]'` chooses {objects[-1]}"
        )
        return tuple(objects)
    if background is None:
        background = f"non-{objects[0]}" if len(objects) == 1 else "background"
    return (background, *(objects or ["ship"]))


def _plain(name: str) -> str:
    return re.sub(r"[ _]+", "-", name.strip().lower())


# ---------------------------------------------------------------------------------------------------------- scenes


def _kinds(summary: SourceSummary) -> Counter[tuple[int, str]]:
    return Counter((len(_bands_of(row)), str(row["dtype"])) for row in summary.good)


def _bands_of(row: dict[str, Any]) -> list[int]:
    return [int(word) for word in str(row["bands"]).strip("[]").split(",")]


def _bands(draft: _Draft, summary: SourceSummary) -> None:
    kinds = _kinds(summary)
    numbers = {bands for bands, _ in kinds}
    if len(numbers) > 1 and len({dtype for _, dtype in kinds}) == 1:
        fewest = min(numbers)
        draft.set("ingest.bands", list(range(1, fewest + 1)), "scenes have different bands; all of them have these")
    elif len(kinds) > 1:
        counted = ", ".join(f"{count} of {bands} {dtype}" for (bands, dtype), count in kinds.most_common())
        draft.warnings.append(
            f"scenes differ in bands or type ({counted}); those that differ from most are left out: write a"
            " configuration for each kind, or convert them"
        )


def _nodata(draft: _Draft, source: dict[str, Any], summary: SourceSummary) -> None:
    empty, looked = summary.empty_corners
    if empty:
        source["nodata"] = 0
        draft.why["source.nodata"] = (
            f"{empty} of {plural(looked, 'scene')} have a corner of zeros, and none states a nodata value"
        )


def _gsd(draft: _Draft, source: dict[str, Any], summary: SourceSummary) -> None:
    """Settle the chips' GSD where scenes differ or their pixels are not square."""
    stated = sorted(round(float(row["gsd_m"]), 3) for row in summary.good if row["gsd_m"] is not None)
    unknown = sum(row["gsd_m"] is None for row in summary.good)
    if not stated:
        more = f"{draft.why['source']}\n" if "source" in draft.why else ""
        draft.why["source"] = f"{more}gsd_m: 3.0 for instance, if you know the metres per pixel"
        return
    if unknown and not summary.cut:
        source["gsd_m"] = quantile(stated, 0.5)
        draft.why["source.gsd_m"] = f"for the {plural(unknown, 'scene')} that do not state it; the others use their own"
    crooked = uneven(summary.good)
    if stated[-1] <= 1.01 * stated[0] and not crooked:
        return
    coarse = quantile(stated, 0.9)
    same = stated[-1] <= 1.01 * stated[0]
    reason = f"scenes have {coarse:g} m" if same else f"scenes have {stated[0]:g} to {stated[-1]:g} m"
    reason += f"; the pixels of {len(crooked)} are not square" if crooked else ""
    draft.set("chips.gsd_m", float(f"{coarse:.3g}"), f"metres per pixel of all chips: {reason}")
    draft.set("chips.resampling", "average")


def _size(draft: _Draft, summary: SourceSummary) -> None:
    """Settle the chip's side: what cut chips have, else that most objects fit in with their surroundings."""
    if summary.cut:
        sides = sorted(min(int(row["height"]), int(row["width"])) for row in summary.good) or [80]
        side = max(16, 16 * (sides[len(sides) // 10] // 16))
        draft.set("chips.size_px", side, f"the chips are {_range(sides)} px")
        return
    scale = _target_scale(draft, summary)
    lengths = [length / scale for length in lengths_px(summary.labels)]
    largest = _smallest_scene(summary) / scale
    if lengths:
        middle, long = quantile(lengths, 0.5), quantile(lengths, 0.75)
        wanted = 16 * math.ceil(max(AROUND * middle, long) / 16)
        why = f"median length {middle:.0f} px, 75th percentile {long:.0f} px"
    else:
        # A point stands for an object of up to a chip's size: there must be room beside it for background.
        wanted = min(64, 16 * (int(largest) // 64))
        why = "the labels are points without a size: a chip should hold most objects completely"
    side = int(min(max(wanted, SIDES[0]), SIDES[1], max(16, 16 * (largest // 16))))
    if side < wanted:
        why += "; a larger size would need more memory and more chips"
    draft.set("chips.size_px", side, why)


def _target_scale(draft: _Draft, summary: SourceSummary) -> float:
    """Return pixels of a typical scene per pixel of a chip."""
    wanted = draft.sections.get("chips", {}).get("gsd_m")
    stated = sorted(float(row["gsd_m"]) for row in summary.good if row["gsd_m"] is not None)
    return float(wanted) / quantile(stated, 0.5) if wanted and stated else 1.0


def _smallest_scene(summary: SourceSummary) -> int:
    return min((min(int(row["height"]), int(row["width"])) for row in summary.good), default=SIDES[1])


def _split(draft: _Draft, split: Split) -> None:
    for key, value in split.keys.items():
        draft.set(f"split.{key}", value, split.why.get(key))
    draft.set("split.replicates", 8, "each repeats everything; a verdict needs at least six")


# ------------------------------------------------------------------------------------------------------------ words


def lines_of(recognised: Recognised, summary: SourceSummary, grouping: Grouping) -> list[tuple[str, str]]:
    """Return what was found, for people: a heading and the rest of each line."""
    lines = [("source", f"{summary.source['type']}: {recognised.says}")] if recognised.says else []
    good = summary.good
    sampled = f", {len(summary.scenes):,} examined" if len(summary.scenes) < summary.total else ""
    what = "chips" if summary.cut else "scenes"
    lines.append(
        (what, f"{summary.total:,}{sampled}; {_shape(summary)}" if good else f"{summary.total:,}, none can be read")
    )
    bad = Counter(str(row["quarantined"]) for row in summary.scenes if row["quarantined"] is not None)
    lines += [("left out", f"{count:,} x {reason}") for reason, count in bad.most_common(3)]
    counts = Counter(label.class_name for label in summary.labels)
    lines.append(("labels", ", ".join(f"{count:,} {name}" for name, count in counts.most_common(12)) or "none"))
    lines += [("unusable", f"{plural(count, 'label')}: {reason}") for reason, count in summary.unusable.most_common(3)]
    lines += [("refused", f"{plural(count, 'scene')}: {reason}") for reason, count in summary.refused.most_common(3)]
    if summary.unlabelled:
        lines.append(
            ("unlabelled", f"scenes without labels, which count as scenes without objects: {summary.unlabelled:,}")
        )
    lengths = lengths_px(summary.labels)
    if lengths and not summary.cut:
        low, middle, high = (quantile(lengths, share) for share in (0.05, 0.5, 0.95))
        lines.append(("sizes", f"median {middle:.0f} px, 5th to 95th percentile {low:.0f} to {high:.0f} px"))
    columns = {column: len(set(values.values())) for column, values in grouping.columns.items()}
    groups = ", ".join(f"{column} ({count:,})" for column, count in columns.items())
    lines.append(("groups", groups or "none other than the scenes themselves"))
    return lines


def _shape(summary: SourceSummary) -> str:
    """Return format, bands, size, GSD and CRS of the scenes in words."""
    good = summary.good
    suffixes = Counter(Path(str(row["path"])).suffix.lower().lstrip(".").split("#")[0] for row in good)
    kinds = ", ".join(f"{bands} x {dtype}" for (bands, dtype), _ in _kinds(summary).most_common(3))
    sides = [(int(row["height"]), int(row["width"])) for row in good]
    heights, widths = sorted(height for height, _ in sides), sorted(width for _, width in sides)
    words = [", ".join(sorted(suffixes)), f"bands {kinds}", f"{_range(widths)} x {_range(heights)} px"]
    crs = Counter(str(row["crs"])[:24] for row in good if row["crs"])
    gsd = sorted(float(f"{row['gsd_m']:.3g}") for row in good if row["gsd_m"] is not None)
    words.append(f"{_range(gsd)} m" if gsd else "GSD not known")
    words.append(", ".join(name for name, _ in crs.most_common(3)) if crs else "no georeference")
    return ", ".join(words)


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if values[0] == values[-1] else f"{values[0]:g} to {values[-1]:g}"


def _doubts(summary: SourceSummary) -> list[str]:
    """Return what of the labels should be checked before a run."""
    doubts = []
    bad = sum(summary.unusable.values())
    if bad > 0.1 * (bad + len(summary.labels)):
        doubts.append(f"{bad:,} of {bad + len(summary.labels):,} labels cannot be used for the reasons above")
    if summary.refused:
        doubts.append(f"scenes left out because their labels are unknown: {sum(summary.refused.values()):,}")
    if not summary.labels:
        doubts.append("no label can be used: a run would stop after ingest")
    return doubts
