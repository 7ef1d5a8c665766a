"""Give the objects of files that are each for many images to the scenes that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..utils.errors import InputError
from .base import LabelInput
from .label import NO_SCENE, NOWHERE, UNKNOWN_LABELS, ImageLabels, Label, Labels


def read_images(
    given: LabelInput, parse: Callable[[Path], Iterable[ImageLabels]], unlisted: str | None = None
) -> Labels:
    """Read the labels of scenes.

    A file that cannot be read could hold labels of any scene, so all are refused.

    Args:
        given: Scenes and label files.
        parse: Returns the images of a file with their objects; it raises InputError where the file cannot be read.
        unlisted: Why a scene is refused that no file lists; None counts it as one without objects.
    """
    labels = Labels()
    listed: set[str] = set()
    for name, path in given.files.items():
        try:
            images = list(parse(path))
        except InputError as error:
            labels.refuse(given.scenes, error)
            continue
        positions = given.match([image.name for image in images], name)
        others = given.match([image.other_name for image in images], name)
        for number, (image, position, other) in enumerate(zip(images, positions, others, strict=True)):
            position = other if position is None else position
            origin = f"{name}:{image.name or number}"
            if position is None:
                for key, item in enumerate(image.objects):
                    label_id = f"{origin}:{item.key or key}"
                    labels.labels.append(Label(label_id, None, item.class_name, "box", NOWHERE, label_id, NO_SCENE))
                continue
            repeats = given.scenes[position]["scene_id"] in listed
            listed.add(str(given.scenes[position]["scene_id"]))
            labels.add(image, given.scenes[position], f"{origin}#{number}" if repeats else origin)
    for scene in given.usable:
        if scene["scene_id"] not in listed:
            labels.unlabelled += 1
            if unlisted is not None:
                labels.refused.setdefault(str(scene["scene_id"]), UNKNOWN_LABELS + unlisted)
    return labels
