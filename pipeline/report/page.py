"""The page: sections in the order in which a person asks, one HTML file, and the same in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from . import blocks, figures
from .gather import Material
from .section_answer import section_sure, section_where
from .section_chips import section_chips, stretch_of
from .section_data import section_counts, section_left_out
from .section_gan import section_gan
from .section_run import section_run
from .words import number, plural, points, unit_name

TEMPLATES = Path(__file__).parent / "templates"
FORMAT = 1
"""Version of report.json; see report.schema.json."""

WORDS = {
    "helps": ("▲", "It helps"),
    "hurts": ("▼", "It hurts"),
    "no detectable difference": ("=", "No detectable difference"),
    "too little data to tell": ("…", "Too little data to tell"),
}
SIMULATED = "The scenes were drawn by a program; these figures say nothing about real satellite imagery."


def sections(material: Material, libraries: Sequence[str]) -> list[blocks.Section]:
    """All sections that the run has material for."""
    stretch = stretch_of(material)
    found = [
        section_sure(material),
        section_where(material),
        section_chips(material, stretch),
        section_gan(material),
        section_left_out(material),
        section_counts(material),
        section_run(material, libraries),
    ]
    return [section for section in found if section is not None]


def key_figures(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures that stand directly below the verdict."""
    question, found = answer["question"], answer["difference"]
    before, after = answer["values"][question["baseline"]], answer["values"][question["treatment"]]
    unit = unit_name(question["unit"])
    entries = [
        {
            "name": f"{question['title'].capitalize()}, {question['baseline']}",
            "value": number(before),
            "note": "the baseline",
        },
        {
            "name": f"{question['title'].capitalize()}, {question['treatment']}",
            "value": number(after),
            "note": "the treatment",
        },
        {
            "name": "Difference",
            "value": f"{points(found['estimate'])} points",
            "note": f"{100 * found['confidence']:g} % interval {points(found['low'])} to {points(found['high'])}",
        },
    ]
    if before < 1:
        share = 100 * found["estimate"] / (1 - before)
        entries.append(
            {
                "name": "Change of the remaining error",
                "value": f"{number(-share, 0)} %",
                "note": f"of {number(1 - before)} that the baseline leaves",
            }
        )
    entries.append(
        {
            "name": "Smallest effect it could have found",
            "value": f"{number(100 * answer['detectable'], 1)} points" if answer["detectable"] else "–",
            "note": "8 times in 10",
        }
    )
    entries.append(
        {
            "name": "Rests on",
            "value": plural(answer["replicates"], "replicate"),
            "note": f"× {plural(answer['units'], f'test {unit}')}, {plural(answer['chips'], 'chip')},"
            f" {plural(answer['folds'], 'fold')}",
        }
    )
    return entries


def render(material: Material, found: Sequence[blocks.Section], title: str) -> str:
    """The page as HTML; all text is escaped, figures are ours."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    mark, word = WORDS[material.answer["verdict"]]
    verdict = blocks.figure(
        "verdict",
        figures.verdict(material.answer),
        "Diamond and bar: the difference and its interval. Strokes below: single replicates. Grey: bootstrap draws."
        + (" Shaded: effects too small to be found." if word == WORDS["no detectable difference"][1] else ""),
    )
    return environment.get_template("page.html").render(
        title=title,
        css=Markup((TEMPLATES / "page.css").read_text("utf-8")),
        answer=material.answer,
        mark=mark,
        word=word,
        key=key_figures(material.answer),
        verdict_figure=verdict,
        simulated=SIMULATED if material.tables.get("simulated") else None,
        sections=found,
        footer="Made by satpipe. Every figure can be recomputed from predictions.parquet beside this page.",
    )


def write(material: Material, libraries: Sequence[str], out: Path) -> dict[str, Any]:
    """Write report.html and figures/ to ``out`` and return the data of report.json."""
    title = material.config["report"]["title"] or f"Does GAN augmentation help? Run {material.config['name']}"
    found = sections(material, libraries)
    (out / "figures").mkdir()
    drawings = {"verdict": figures.verdict(material.answer)}
    for section in found:
        drawings |= section.figures()
    for name, drawing in drawings.items():
        (out / "figures" / f"{name}.svg").write_text(drawing + "\n", "utf-8")
    (out / "report.html").write_text(render(material, found, title), "utf-8")
    return {
        "format": FORMAT,
        "title": title,
        "run": material.config["name"],
        "simulated": bool(material.tables.get("simulated")),
        "answer": dict(material.answer),
        "sections": {section.id: section.data for section in found if section.data},
        "figures": sorted(f"figures/{name}.svg" for name in drawings),
    }
