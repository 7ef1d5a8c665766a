"""Recognise a label format in a folder, by the suffixes, the names and the content of its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..utils.plural import plural
from .base import LabelFormat, PerImageSource, Recognised
from .inventory import SAMPLE, Inventory, paths_of, shortest, some, spread
from .listing import beside, named_like


def recognise(folder: Inventory, format_: LabelFormat) -> Recognised | None:
    """Return what a folder holds of a format, recognised by the format, or by suffixes and contents; or None."""
    if format_.recognise is not None:
        return format_.recognise(folder)
    if format_.holds is None:
        return None
    if issubclass(format_.source, PerImageSource):
        return recognise_per_image(folder, format_, format_.holds)
    return recognise_shared(folder, format_, format_.holds)


def recognise_per_image(folder: Inventory, format_: LabelFormat, holds: Callable[[Path], bool]) -> Recognised | None:
    """Return what a folder holds of a format whose files are named like their images; None where it is not of it.

    Args:
        folder: The folder.
        format_: The format.
        holds: Whether a file is of the format.
    """
    labels = folder.suffixed(format_.suffixes)
    source: dict[str, Any] = {"type": format_.name, "path": str(folder.root)}
    label_of = beside(folder.images, set(labels).__contains__, format_.suffixes)
    notes: list[str] = []
    if not any(holds(folder.path(name)) for name in spread(list(label_of.values()))):
        label_of, other_folders = _elsewhere(folder, labels, holds)
        if not label_of:
            return None
        source["labels"] = paths_of(folder, list(label_of.values()), labels)
        notes += [f"{other} holds such labels too; `labels: {other}` uses these instead" for other in other_folders]
    sample = spread(list(label_of.values()))
    if sum(holds(folder.path(name)) for name in sample) * 2 <= len(sample):
        return None
    says = f"{len(label_of):,} {format_.title} label files"
    recognised = Recognised(source, says, {}, (), len(label_of), [*label_of, *label_of.values()], notes)
    _leave_out_unlabelled_folders(folder, recognised, list(label_of))
    return recognised


def _leave_out_unlabelled_folders(folder: Inventory, recognised: Recognised, labelled: Sequence[str]) -> None:
    """Take the images of folders in which some have a label file: the contents of the others are unknown."""
    places = {name.rpartition("/")[0] for name in labelled}
    own = [name for name in folder.images if name.rpartition("/")[0] in places]
    others = [name for name in folder.images if name.rpartition("/")[0] not in places]
    if not others:
        return
    recognised.source["path"] = paths_of(folder, own, folder.images)
    recognised.why["path"] = "folders with label files"
    where = some(sorted({name.rpartition("/")[0] or "." for name in others}))
    recognised.notes.append(
        f"{plural(len(others), 'image')} in folders without label files are left out ({where}), since it is unknown"
        " whether they hold objects; add such a folder to `path` if they hold none"
    )


def _elsewhere(
    folder: Inventory, labels: Sequence[str], holds: Callable[[Path], bool]
) -> tuple[dict[str, str], list[str]]:
    """Return label files of images' names in another folder, the one with most of them, and the other folders."""
    stems = {Path(name).stem for name in folder.images}
    by_folder: dict[str, list[str]] = {}
    for label in labels:
        if Path(label).stem in stems:
            by_folder.setdefault(label.rpartition("/")[0], []).append(label)
    good = {
        place: label_of
        for place, own in by_folder.items()
        if any(holds(folder.path(name)) for name in spread(own)) and (label_of := named_like(folder.images, own))
    }
    if not good:
        return {}, []
    best = max(sorted(good), key=lambda place: len(good[place]))
    merged, rest = dict(good[best]), []
    for place in sorted(good, key=lambda place: (-_same_end(place, best), place)):
        if place != best and merged.keys().isdisjoint(good[place]):
            merged |= good[place]  # train/ and val/ of one set
        elif place != best:
            rest.append(place)
    return merged, sorted(rest)


def _same_end(place: str, other: str) -> int:
    """Return how many of their last components two paths have in common."""
    pairs = zip(reversed(place.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def recognise_shared(folder: Inventory, format_: LabelFormat, holds: Callable[[Path], bool]) -> Recognised | None:
    """Return what a folder holds of a format whose files each hold the labels of many images, or None."""
    if not folder.images:
        return None
    candidates = folder.suffixed(format_.suffixes)
    files = [name for name in candidates[:SAMPLE] if holds(folder.path(name))]
    if not files:
        return None
    if len(candidates) > SAMPLE and len(files) == SAMPLE:
        files = list(candidates)
    source = {"type": format_.name, "path": str(folder.root), "labels": shortest(folder, files, candidates)}
    return Recognised(source, f"{format_.title} labels in {some(files)}", {}, (), len(folder.images), files)
