"""Card of a set of generated chips: what they are, from which data, with which settings, under which licence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ...config.quick import caution
from ...engine.runs import Run
from ...formats.writers.base import Marks
from ...models.quality import generator_verdict
from ..hub import licence_head
from .loaded import LoadedGenerator
from .sample import Tally

CARD, PAGE = "card.json", "README.md"


def marks_of(run: Run) -> Marks:
    """Return what is written into every file of chips that the generator of ``run`` made."""
    sentence = f"Synthetic satellite image chip, made by a generative adversarial network (satpipe run {run.name});"
    licence = "; ".join(run.licences)
    return Marks(f"{sentence} it shows no real place.", licence, f"satpipe {version('satpipe')}")


def card_of(run: Run, loaded: LoadedGenerator, settings: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """Return the card as JSON types. It holds no time and no folder, so that the same call gives the same bytes.

    Args:
        run: The run.
        loaded: Its final generator, with what was measured of it.
        settings: What the user asked for.
        tally: What was made.
    """
    names = loaded.generator.classes
    return {
        "synthetic": True,
        "what": f"{sum(tally.kept.values())} synthetic satellite image chips with labels",
        "chips": {names[label]: count for label, count in tally.kept.items()},
        "candidates": {names[label]: count for label, count in tally.candidates.items()},
        "not_kept": dict(sorted(tally.reasons.items())),
        "settings": dict(settings),
        **origin_of(run, loaded),
    }


def origin_of(run: Run, loaded: LoadedGenerator) -> dict[str, Any]:
    """Return what a card says of the generator and the data that it learned from, as JSON types."""
    config, trained = run.config, loaded.generator.card
    verdict = generator_verdict(loaded.measured)
    return {
        "licences": list(run.licences),
        "data": {
            "run": run.name,
            "sources": [source.name or source.type for source in config.ingest.sources],
            "simulated": any(source.type == "simulated" for source in config.ingest.sources),
            "gsd_m": run.gsd_m,
            "training_chips": trained.get("train"),
            "chips": (trained.get("data") or {}).get("index"),
        },
        "generator": {
            "artifact": loaded.folder.name,
            "preset": trained.get("preset"),
            "images": trained.get("best_images"),
            "architecture": trained.get("architecture"),
            "precision": (trained.get("profile") or {}).get("precision"),
            "learned": verdict.learned,
            "warning": caution(config, verdict.sentence),
            **{name: loaded.measured[name] for name in ("quality", "usefulness") if name in loaded.measured},
        },
        "software": {name: version(name) for name in ("satpipe", "torch", "numpy")},
    }


def write_card(card: Mapping[str, Any], columns: Mapping[str, str], folder: Path) -> None:
    """Write the card as JSON for programs, and as a page for people with a head for the Hugging Face Hub."""
    data, settings = card["data"], card["settings"]
    simulated = ", which are themselves simulated" if data["simulated"] else ""
    screened = "screened" if settings["screened"] else "not screened"
    head = {
        **licence_head(card["licences"]),
        "task_categories": ["image-classification"],
        "tags": ["satellite-imagery", "remote-sensing", "synthetic"],
    }
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n",
        f"# {card['what']}",
        "",
        *warned(card),
        "**These chips are synthetic.** They were made by a generative adversarial network, show no real place, and",
        "must not be taken for observations.",
        "",
        f"- Chips: {', '.join(f'{count} {name}' for name, count in card['chips'].items())}.",
        f"- Trained on: {', '.join(data['sources'])}{simulated} (run {data['run']}).",
        f"- Licence of that imagery, which applies to these chips: {'; '.join(card['licences'])}.",
        f"- Settings: seed {settings['seed']}, truncation {settings['truncation']:g}, {screened}.",
        f"- Generator: preset {card['generator']['preset']}, artifact {card['generator']['artifact']}.",
        f"- Software: {', '.join(f'{name} {number}' for name, number in card['software'].items())}.",
        "",
        "Columns of labels.csv:",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in columns.items()),
        "",
    ]
    write_both(card, lines, folder)


def warned(card: Mapping[str, Any]) -> list[str]:
    """Return the lines of a page with what people must know of its generator first; none where there is nothing."""
    warning = card["generator"]["warning"]
    return [f"**{warning}**", ""] if warning else []


def write_both(card: Mapping[str, Any], lines: Sequence[str], folder: Path) -> None:
    """Write a card as JSON, and its page."""
    (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / PAGE).write_text("\n".join([*lines, "card.json holds this information and more."]) + "\n", "utf-8")
