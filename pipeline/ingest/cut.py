"""Labels of chips that arrived cut: one per scene, covering it, from what came with the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .labels import Labels, covering


def numbered(scenes: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Labels:
    """Labels from class numbers (shipsnet): number i is the i-th class. A chip with another is refused."""
    found = Labels()
    for scene in scenes:
        given = scene["given"]
        if scene["quarantined"] is not None:
            continue
        if given is None or not given.isdecimal() or int(given) >= len(classes):
            reason = f"its label {given} is no number of a class, 0 to {len(classes) - 1}"
            found.refused[str(scene["scene_id"])] = reason
        else:
            found.labels.append(covering(scene, classes[int(given)]))
    return found


def named(scenes: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Labels:
    """Labels from class names (folders). A chip with another is refused: it is neither object nor background."""
    found = Labels()
    for scene in scenes:
        if scene["quarantined"] is not None:
            continue
        if scene["given"] not in classes:
            found.refused[str(scene["scene_id"])] = f"its folder {scene['given']!r} is not in ingest.classes"
        else:
            found.labels.append(covering(scene, scene["given"]))
    return found
