"""Card of a set of synthetic scenes: what was put where, from which generator, under which licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ....engine.runs import Run
from ....formats.writers.base import Marks
from ..card import origin_of, warned, write_both
from ..loaded import LoadedGenerator


def marks_of(run: Run) -> Marks:
    """Return what is written into every file of scenes that objects of the generator of ``run`` were put into."""
    sentence = (
        f"Satellite image with synthetic objects, made by a generative adversarial network (satpipe run {run.name})"
    )
    return Marks(
        f"{sentence} and inserted; not an observation.",
        f"that of the scene; objects: {'; '.join(run.licences)}",
        f"satpipe {version('satpipe')}",
    )


def write_card(
    run: Run,
    loaded: LoadedGenerator,
    scenes: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    reasons: Mapping[str, int],
    folder: Path,
) -> None:
    """Write the card as JSON for programs and as a page for people; it holds no time and no folder.

    Args:
        run: The run.
        loaded: Its final generator.
        scenes: What was written of each scene.
        settings: What the user asked for.
        reasons: Objects that were not put into a scene, by reason.
        folder: Where to.
    """
    objects = sum(scene["synthetic_objects"] for scene in scenes)
    card = {
        "synthetic": True,
        "what": f"{len(scenes)} satellite scenes with {objects} synthetic objects",
        "scenes": list(scenes),
        "not_placed": dict(sorted(reasons.items())),
        "settings": dict(settings),
        **origin_of(run, loaded),
    }
    labels_given = settings["labels_given"]
    lines = [
        f"# {card['what']}",
        "",
        *warned(card),
        "**These scenes hold synthetic objects.** They were made by a generative adversarial network and inserted, so",
        "the scenes must not be taken for observations. All other pixels are unchanged.",
        "",
        "- `images/`: a GeoTIFF for each scene, with its bands, type, CRS and georeference; tags mark it as synthetic.",
        "- `annotations.json`: COCO, with a mask of each synthetic object; `labels/`: GeoJSON of each scene.",
        "- Objects that were labelled in the scenes are among the labels, with `synthetic: false`."
        if labels_given
        else "- **Objects that the scenes had before are not among the labels**: none were given.",
        f"- Not placed: {sum(reasons.values())} objects.",
        f"- Learned from: {', '.join(card['data']['sources'])} (run {run.name}).",
        f"- Licences: that of each scene; of the imagery that the generator was trained on: {'; '.join(run.licences)}.",
        f"- Settings: seed {settings['seed']}, truncation {settings['truncation']:g}.",
        f"- Software: {', '.join(f'{name} {number}' for name, number in card['software'].items())}.",
        "",
    ]
    write_both(card, lines, folder)
