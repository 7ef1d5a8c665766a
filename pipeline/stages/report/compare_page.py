"""compare.html and compare.json: the comparison of runs as a page and as data."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from ...utils.atomic_files import write_atomic
from ...utils.bounded_files import read_bytes
from ...utils.plural import plural
from .compare import Comparison, Run, outcome
from .html import blocks, figures
from .html.pictures import data_uri
from .html.words import ends, number, points
from .page import environment, stylesheet
from .stats.metrics import METRICS

MAX_PICTURE_BYTES = 1 << 26


def write(comparison: Comparison, out: Path) -> Path:
    """Write compare.html and compare.json to ``out`` and return the page."""
    text = json.dumps(comparison.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    names = ", ".join(run.name for run in comparison.runs)
    sections = [
        section_differences(comparison),
        section_settings(comparison),
        section_quality(comparison),
        section_sheets(comparison),
    ]
    html = (
        environment()
        .get_template("compare.html")
        .render(
            title=f"Runs compared: {names}",
            description=f"Comparison of the runs {names}",
            css=stylesheet(),
            warnings=comparison.warnings,  # sections may have added some
            sections=[section for section in sections if section is not None],
            footer="Made by satpipe compare.",
        )
    )
    page = out / "compare.html"
    write_atomic(out / "compare.json", f"{text}\n".encode())
    write_atomic(page, html.encode())
    return page


def section_differences(comparison: Comparison) -> blocks.Section:
    """Return the verdict of each run, and the differences between runs."""
    section = blocks.Section("difference", "How large the differences are")
    first = comparison.runs[0]
    bars = [
        figures.Bar(f"{row['run']}: {row['arm']}", row["estimate"], row["low"], row["high"], (), 1)
        for row in comparison.as_json()["differences"]
    ]
    rows = []
    for row in comparison.differences:
        values = (number(row["values"][name]) for name in (first.name, row["run"]))
        change = blocks.cell(points(row["estimate"]), ends(row))
        rows.append(blocks.row([f"{row['run']}: {row['arm']}", change, outcome(row), *values]))
    section.blocks = [
        blocks.bullets(
            [
                f"{run.name}{'' if run.checked.verified else ' (not verified)'}: {run.checked.sentence}"
                for run in comparison.runs
            ]
        ),
        *_differences(comparison, bars, rows),
    ]
    return section


def _differences(comparison: Comparison, bars: list[figures.Bar], rows: list[dict[str, Any]]) -> list[blocks.Block]:
    if not rows:
        return [blocks.text("The runs have no arm and replicate in common.")]
    first = comparison.runs[0]
    title = METRICS[first.question["metric"]]
    svg = figures.intervals(
        "compare",
        "Differences between runs",
        bars,
        f"{title} minus that of {first.name}, points",
        signed=True,
        zero=True,
    )
    caption = (
        f"{title.capitalize()} of each arm, and the difference from {first.name} in points with its interval: "
        + (
            f"on the {plural(comparison.chips['common'], 'test chip')} that all runs share, replicates paired by"
            " number, computed like the verdict."
            if comparison.paired
            else "each run on its own test chips, as independent experiments, so the intervals are unpaired and wide."
        )
        + " Several rows are several questions, so this is exploratory."
    )
    head = ["Run and arm", "difference", "answer", first.name, "this run"]
    return [
        blocks.figure("compare", svg, f"Each arm's {title} minus that of the same arm in {first.name}."),
        blocks.table("Differences between runs", caption, head, rows),
    ]


def section_settings(comparison: Comparison) -> blocks.Section:
    """Return configuration keys and data digests that differ."""
    section = blocks.Section("settings", "Differences in configuration and data")
    names = [run.name for run in comparison.runs]

    def table(label: str, values: dict[str, list[Any]]) -> blocks.Block:
        rows = [blocks.row([key, *(_short(value) for value in each)]) for key, each in values.items()]
        return blocks.table(label, "", ["Key", *names], rows, numeric=False)

    section.blocks.append(
        table("Configuration", comparison.configuration)
        if comparison.configuration
        else blocks.text("The configurations are the same.")
    )
    section.blocks.append(
        table("Data, by digest", comparison.data)
        if comparison.data
        else blocks.text("The data are the same, by digest.")
    )
    return section


def _short(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:12] if len(text) >= 32 and all(letter in "0123456789abcdef" for letter in text) else text


def section_quality(comparison: Comparison) -> blocks.Section | None:
    """Return GAN quality side by side."""
    if not comparison.quality:
        return None
    rows = [
        blocks.row(
            [f"{label}: {measure}", *(blocks.cell(shown, f"real {floor}" if floor else "") for shown, floor in values)]
        )
        for label, measure, values in comparison.quality_rows()
    ]
    section = blocks.Section("quality", "GAN quality")
    caption = (
        "Mean over splits. Features are learned on each split's own training chips, so small differences mean little."
    )
    section.blocks = [blocks.table("GAN quality", caption, ["Measure", *(run.name for run in comparison.runs)], rows)]
    return section


def section_sheets(comparison: Comparison) -> blocks.Section | None:
    """Return synthetic chips of the runs side by side, class by class."""
    section = blocks.Section("sheets", "Synthetic chips")
    classes = comparison.runs[0].report["provenance"]["configuration"]["ingest"]["classes"]
    for position in [*range(1, len(classes)), 0]:
        sheets = [
            sheet
            for run in comparison.runs
            if (sheet := _sheet(comparison, run, position, classes[position])) is not None
        ]
        if sheets:
            section.blocks += [blocks.heading(classes[position]), blocks.sheets(sheets)]
    return section if section.blocks else None


def _sheet(comparison: Comparison, run: Run, position: int, label: str) -> blocks.Block | None:
    path = run.folder / "figures" / f"synthetic-{position}.png"
    if not path.exists():
        return None
    try:
        content = read_bytes(path, MAX_PICTURE_BYTES)
        picture = Image.open(io.BytesIO(content))
        picture.verify()
        is_png = picture.format == "PNG" and not path.parent.is_symlink()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        is_png = False
    if not is_png:
        comparison.warnings.append(f"{path} is a link or not a PNG picture, and is left out.")
        return None
    return blocks.sheet(data_uri(content), f"Synthetic {label} chips of {run.name}", run.name)
