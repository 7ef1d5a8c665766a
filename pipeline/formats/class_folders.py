"""Labels of chips that arrived cut: one per scene, covering it, from what came with the chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .label import Label, Labels

Scene = Mapping[str, Any]


def numbered(scenes: Sequence[Scene], classes: Sequence[str]) -> Labels:
    """Labels from class numbers (shipsnet): number i is the i-th class."""
    labels = []
    for label in _covering(scenes):
        number = int(label.class_name) if label.class_name.isdecimal() else len(classes)
        if number < len(classes):
            labels.append(replace(label, class_name=classes[number]))
        else:
            reason = f"its label {label.class_name!r} is no number of a class, 0 to {len(classes) - 1}"
            labels.append(replace(label, reason=reason))
    return Labels(labels)


def named(scenes: Sequence[Scene]) -> Labels:
    """Labels from the names of the folders that the chips lie in."""
    return Labels(list(_covering(scenes)))


def _covering(scenes: Sequence[Scene]) -> Iterator[Label]:
    """A label as given for each scene that can be used."""
    for scene in scenes:
        if scene["quarantined"] is None:
            name, given = str(scene["scene_id"]), scene["given"]
            box = (0.0, 0.0, float(scene["height"]), float(scene["width"]))
            yield Label(name, name, "" if given is None else str(given), "scene", box, name)
