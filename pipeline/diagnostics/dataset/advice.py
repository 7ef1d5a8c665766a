"""From what was found to a configuration with a comment for each key, and to lines that say what was found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config.run import RunConfig
from .formats import Found
from .grouping import Grouping, Split, choose_split
from .metadata import Facts, lengths_px, quantile, uneven

BACKGROUND = (
    *("non-ship", "background", "no-ship", "noship", "no_ship", "non_ship", "not-ship", "negative", "neg"),
    *("none", "sea", "water", "empty", "other", "0"),
)
"""Class names that mean that nothing of interest is there."""
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
        here = self.sections
        *parents, key = place.split(".")
        for parent in parents:
            here = here.setdefault(parent, {})
        here[key] = value
        if why:
            self.why[place] = why


def advise(name: str, found: Found, metadata: Facts, grouping: Grouping) -> Advice:
    """A configuration for a source, with the reasons of its settings.

    Args:
        name: Name of the run.
        found: The kind of source.
        metadata: What it holds.
        grouping: Its group columns.
    """
    draft = _Draft()
    draft.set("name", name)
    draft.set("seed", 1)
    classes = _classes(metadata)
    source = metadata.source | grouping.keys
    draft.set("ingest.sources", [source])
    draft.why |= {f"source.{key}": why for key, why in (metadata.why | grouping.why).items() if key != "source"}
    draft.why |= {"source": metadata.why["source"]} if "source" in metadata.why else {}
    draft.set("ingest.classes", list(classes), "the first one is the background class")
    _bands(draft, metadata)
    _nodata(draft, source, metadata)
    _gsd(draft, source, metadata)
    _size(draft, metadata)
    split = choose_split(metadata, grouping, classes[0])
    _split(draft, split)
    balance = "the data set's choice" if metadata.cut else "our own choice"
    draft.set("report.metric", "balanced_accuracy", f"the ratio of background chips to objects is {balance}")
    draft.warnings = [*_doubts(metadata), *draft.warnings, *split.warnings]
    config = RunConfig.model_validate(draft.sections)
    lines = lines_of(found, metadata, grouping)
    return Advice(draft.sections, draft.why, lines, draft.warnings, config, split.folds)


def _classes(metadata: Facts) -> tuple[str, ...]:
    """Class names, background first: the one that is named so, or one beside the classes of objects."""
    counts = Counter(label.class_name for label in metadata.labels)
    plain = {name: name.lower().replace(" ", "-") for name in counts}
    background = next((name for word in BACKGROUND for name in counts if plain[name] == word), None)
    objects = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if name != background]
    if metadata.source["type"] == "shipsnet":
        # Numbers decide here: the position is the class number.
        known = [name for name in counts if name.startswith("class-")]
        return ("non-ship", "ship", *sorted(known, key=lambda name: int(name.removeprefix("class-"))))
    if background is None and metadata.cut and len(objects) > 1:
        return tuple(sorted(objects))
    if background is None:
        background = f"non-{objects[0]}" if len(objects) == 1 else "background"
    return (background, *(objects or ["ship"]))


# ---------------------------------------------------------------------------------------------------------- scenes


def _kinds(metadata: Facts) -> Counter[tuple[int, str]]:
    return Counter((len(_bands_of(row)), str(row["dtype"])) for row in metadata.good)


def _bands_of(row: dict[str, Any]) -> list[int]:
    return [int(word) for word in str(row["bands"]).strip("[]").split(",")]


def _bands(draft: _Draft, metadata: Facts) -> None:
    kinds = _kinds(metadata)
    numbers = {bands for bands, _ in kinds}
    if len(numbers) > 1 and len({dtype for _, dtype in kinds}) == 1:
        fewest = min(numbers)
        draft.set("ingest.bands", list(range(1, fewest + 1)), "scenes have different bands; these all of them have")
    elif len(kinds) > 1:
        said = ", ".join(f"{count} of {bands} {dtype}" for (bands, dtype), count in kinds.most_common())
        draft.warnings.append(
            f"scenes differ in bands or type ({said}); those unlike most are left out: make a configuration for each"
            " kind, or convert them"
        )


def _nodata(draft: _Draft, source: dict[str, Any], metadata: Facts) -> None:
    empty, looked = metadata.empty_corners
    if empty:
        source["nodata"] = 0
        draft.why["source.nodata"] = f"{empty} of {looked} scenes have a corner of zeros, and none says what is no data"


def _gsd(draft: _Draft, source: dict[str, Any], metadata: Facts) -> None:
    """The chips' GSD where scenes differ or their pixels are not square."""
    known = sorted(round(float(row["gsd_m"]), 3) for row in metadata.good if row["gsd_m"] is not None)
    unknown = sum(row["gsd_m"] is None for row in metadata.good)
    if not known:
        more = f"{draft.why['source']}\n" if "source" in draft.why else ""
        draft.why["source"] = f"{more}gsd_m: 3.0 here, if you know the metres per pixel"
        return
    if unknown and not metadata.cut:
        source["gsd_m"] = quantile(known, 0.5)
        draft.why["source.gsd_m"] = f"for the {unknown} scenes that do not say; the others do, and theirs counts"
    crooked = uneven(metadata.good)
    if known[-1] <= 1.01 * known[0] and not crooked:
        return
    coarse = quantile(known, 0.9)
    one = known[-1] <= 1.01 * known[0]
    reason = f"scenes have {coarse:g} m" if one else f"scenes have {known[0]:g} to {known[-1]:g} m"
    reason += f"; the pixels of {len(crooked)} are not square" if crooked else ""
    draft.set("chips.gsd_m", float(f"{coarse:.3g}"), f"metres per pixel of all chips: {reason}")
    draft.set("chips.resampling", "average")


def _size(draft: _Draft, metadata: Facts) -> None:
    """The chip's side: what cut chips have, else that most objects fit in with their surroundings."""
    if metadata.cut:
        sides = sorted(min(int(row["height"]), int(row["width"])) for row in metadata.good) or [80]
        side = max(16, 16 * (sides[len(sides) // 10] // 16))
        draft.set("chips.size_px", side, f"the chips are {_range(sides)} px")
        return
    scale = _target_scale(draft, metadata)
    lengths = [length / scale for length in lengths_px(metadata.labels)]
    largest = _smallest_scene(metadata) / scale
    if lengths:
        middle, long = quantile(lengths, 0.5), quantile(lengths, 0.75)
        wanted = 16 * math.ceil(max(AROUND * middle, long) / 16)
        why = f"half of the objects are shorter than {middle:.0f} px, three in four than {long:.0f}"
    else:
        # A point stands for an object of up to a chip's size: there must be room beside it for background.
        wanted = min(64, 16 * (int(largest) // 64))
        why = "the labels are points and give no size: a chip should hold most objects whole"
    side = int(min(max(wanted, SIDES[0]), SIDES[1], max(16, 16 * (largest // 16))))
    if side < wanted:
        why += "; more would need more memory and chips"
    draft.set("chips.size_px", side, why)


def _target_scale(draft: _Draft, metadata: Facts) -> float:
    """Pixels of a typical scene per pixel of a chip."""
    wanted = draft.sections.get("chips", {}).get("gsd_m")
    known = sorted(float(row["gsd_m"]) for row in metadata.good if row["gsd_m"] is not None)
    return float(wanted) / quantile(known, 0.5) if wanted and known else 1.0


def _smallest_scene(metadata: Facts) -> int:
    return min((min(int(row["height"]), int(row["width"])) for row in metadata.good), default=SIDES[1])


def _split(draft: _Draft, split: Split) -> None:
    for key, value in split.keys.items():
        draft.set(f"split.{key}", value, split.why.get(key))
    draft.set("split.replicates", 8, "each repeats everything; six is the least that a verdict needs")


# ------------------------------------------------------------------------------------------------------------ words


def lines_of(found: Found, metadata: Facts, grouping: Grouping) -> list[tuple[str, str]]:
    """What was found, for people: a heading and the rest of each line."""
    lines = [("source", f"{metadata.source['type']}: {found.says}")] if found.says else []
    good = metadata.good
    looked = f", {len(metadata.scenes):,} looked at" if len(metadata.scenes) < metadata.total else ""
    what = "chips" if metadata.cut else "scenes"
    lines.append(
        (what, f"{metadata.total:,}{looked}; {_shape(metadata)}" if good else f"{metadata.total:,}, none can be read")
    )
    bad = Counter(str(row["quarantined"]) for row in metadata.scenes if row["quarantined"] is not None)
    lines += [("left out", f"{count:,} x {reason}") for reason, count in bad.most_common(3)]
    counts = Counter(label.class_name for label in metadata.labels)
    lines.append(("labels", ", ".join(f"{count:,} {name}" for name, count in counts.most_common(12)) or "none"))
    lines += [("unusable", f"{count:,} labels: {reason}") for reason, count in metadata.unusable.most_common(3)]
    lines += [("refused", f"{count:,} scenes: {reason}") for reason, count in metadata.refused.most_common(3)]
    if metadata.unlabelled:
        lines.append(
            ("unlabelled", f"{metadata.unlabelled:,} scenes have no label and count as scenes without objects")
        )
    lengths = lengths_px(metadata.labels)
    if lengths and not metadata.cut:
        low, middle, high = (quantile(lengths, share) for share in (0.05, 0.5, 0.95))
        lines.append(("sizes", f"half of the boxes are under {middle:.0f} px, nine in ten {low:.0f} to {high:.0f} px"))
    columns = {column: len(set(values.values())) for column, values in grouping.columns.items()}
    groups = ", ".join(f"{column} ({count:,})" for column, count in columns.items())
    lines.append(("groups", groups or "none beside the scenes themselves"))
    return lines


def _shape(metadata: Facts) -> str:
    """Format, bands, size, GSD and CRS of the scenes in words."""
    good = metadata.good
    suffixes = Counter(Path(str(row["path"])).suffix.lower().lstrip(".").split("#")[0] for row in good)
    kinds = ", ".join(f"{bands} x {dtype}" for (bands, dtype), _ in _kinds(metadata).most_common(3))
    sides = [(int(row["height"]), int(row["width"])) for row in good]
    heights, widths = sorted(one for one, _ in sides), sorted(one for _, one in sides)
    words = [", ".join(sorted(suffixes)), f"bands {kinds}", f"{_range(widths)} x {_range(heights)} px"]
    crs = Counter(str(row["crs"])[:24] for row in good if row["crs"])
    gsd = sorted(float(f"{row['gsd_m']:.3g}") for row in good if row["gsd_m"] is not None)
    words.append(f"{_range(gsd)} m" if gsd else "GSD not known")
    words.append(", ".join(name for name, _ in crs.most_common(3)) if crs else "no georeference")
    return ", ".join(words)


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if values[0] == values[-1] else f"{values[0]:g} to {values[-1]:g}"


def _doubts(metadata: Facts) -> list[str]:
    """What of the labels should be looked at before a run."""
    doubts = []
    bad = sum(metadata.unusable.values())
    if bad > 0.1 * (bad + len(metadata.labels)):
        doubts.append(f"{bad:,} of {bad + len(metadata.labels):,} labels cannot be used: see the reasons above")
    if metadata.refused:
        doubts.append(f"{sum(metadata.refused.values()):,} scenes are left out because their labels are not known")
    if not metadata.labels:
        doubts.append("no label can be used: a run would stop after ingest")
    return doubts
