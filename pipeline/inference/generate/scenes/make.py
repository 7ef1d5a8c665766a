"""Put objects of a run's final generator into scenes: GeoTIFFs with labels as COCO and GeoJSON, and a card."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ....engine.runs import Run
from ....formats.label import Label
from ....models.device import cores, threads
from ....utils.atomic_files import new_folder
from ....utils.errors import ConfigError
from ....utils.plural import plural
from ...detect.scenes import Scene
from ...detect.truth import read_labels
from ..loaded import LoadedGenerator, of_run
from ..make import check_outlined, class_numbers
from ..sample import Tally, shares
from .inputs import find_scenes, open_for, read_areas
from .objects import Sampling, SceneObject, sampled
from .scene import SceneInput, SceneWriter


@dataclass(frozen=True)
class Wish:
    """Request of the user.

    Attributes:
        scenes: Paths and glob patterns of scenes.
        labels: Class names; empty for all classes of objects.
        count: Objects in all, divided among the scenes by their area.
        seed: What everything follows from.
        truncation: Standard deviation of z; None takes the run's.
        screen: Whether objects are screened, as chips; None does as the run did.
        truth: Labels of the objects that the scenes have; None where they are not known.
        within: Polygons in which objects have to lie; None lets the ground decide.
        gsd_m: Metres per pixel of scenes that do not say.
        nodata: Value of pixels without data in scenes that do not say.
    """

    scenes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    count: int = 100
    seed: int = 1
    truncation: float | None = None
    screen: bool | None = None
    truth: Path | None = None
    within: Path | None = None
    gsd_m: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Summary of what was made.

    Attributes:
        placed: Synthetic objects by class name.
        scenes: Scenes that were written.
        reasons: Objects that were not put into a scene, by reason.
        notes: What the user should know, in sentences.
    """

    placed: dict[str, int]
    scenes: int
    reasons: dict[str, int]
    notes: tuple[str, ...]


def make(run: Run, wish: Wish, to: Path, tick: Callable[[float, float], None], workers: int | None = None) -> Outcome:
    """Make the folder ``to``: scenes, annotations.json, a GeoJSON for each scene, a card, a sheet of objects.

    It appears once it is whole. The same run and wish give the same bytes on one machine. Memory depends on blocks of
    the scenes and on the objects of a scene, not on the size of scenes.

    Args:
        run: The run.
        wish: What is asked for.
        to: Folder to make; it must be empty or not exist.
        tick: Told how many scenes of how many are done, in fractions.
        workers: Threads; None takes as many as there are cores.

    Raises:
        ConfigError: If the run has no generator of layers, or no object found a place.
        InputError: If a scene, the labels or the areas cannot be used.
        StoreError: If the folder holds files or cannot be written.
    """
    loaded, workers = of_run(run), workers or cores()
    generator = loaded.generator
    classes = class_numbers(wish.labels or generator.classes[1:], generator.classes)
    if 0 in classes:
        raise ConfigError(f"{generator.classes[0]} is the background; name a class of objects with --label")
    check_outlined(generator, classes)
    inputs, notes = _inputs(run, loaded, wish)
    truncation = loaded.truncation if wish.truncation is None else wish.truncation
    screening = loaded.screening(wish.screen)
    notes += [note] if (note := loaded.unscreened(wish.screen)) else []
    tally = Tally(shares(wish.count, classes))
    with new_folder(to) as folder, threads(workers) as pool:
        sampling = Sampling(generator, screening, truncation, wish.seed, pool, workers)
        writer = SceneWriter(run, loaded, folder, wish.seed, wish.within is not None, workers)
        items = _objects(sampling, tally)
        for number, scene in enumerate(inputs):

            def report(share: float, number: int = number) -> None:
                tick(number + share, len(inputs))

            writer.add(scene, list(islice(items, scene.count)), report)
        items.close()
        for label in tally.short:
            writer.reasons["as too few candidates passed screening"] += tally.wanted[label] - tally.kept[label]
        if not writer.placed.total():
            why = "; ".join(f"{count:,} {reason}" for reason, count in writer.reasons.items())
            raise ConfigError(f"none of {plural(wish.count, 'object')} could be placed in a scene: {why}")
        settings = {
            "labels": [generator.classes[label] for label in classes],
            "count": wish.count,
            "seed": wish.seed,
            "truncation": truncation,
            "screened": screening is not None,
            "labels_given": wish.truth is not None,
            "within_given": wish.within is not None,
        }
        writer.close(settings)
    return Outcome(dict(writer.placed), len(inputs), dict(writer.reasons), tuple(notes))


def _inputs(run: Run, loaded: LoadedGenerator, wish: Wish) -> tuple[list[SceneInput], list[str]]:
    """Return the scenes with their labels, areas and numbers of objects, and what the user should know."""
    paths = find_scenes(wish.scenes)
    scenes = open_for(run, loaded.generator, loaded.scaling.dtype, paths, wish.gsd_m, wish.nodata)
    labels: dict[str, list[Label]] = {}
    notes = [
        "the objects in the scenes are unknown: synthetic ones may cover them, and they have no labels; use --labels"
    ]
    if wish.truth is not None:
        labels, notes = read_labels(wish.truth, scenes, run.config)
    areas = {} if wish.within is None else read_areas(wish.within, scenes)
    if wish.within is not None:
        outside = [scene.name for scene in scenes if scene.name not in areas]
        notes += [f"{name} is left out: no polygon of {wish.within.name} touches it" for name in outside]
        scenes = [scene for scene in scenes if scene.name in areas]
    counts = _by_area(scenes, wish.count)
    return [
        SceneInput(scene, number, labels.get(scene.name, []), areas.get(scene.name), count)
        for number, (scene, count) in enumerate(zip(scenes, counts, strict=True))
    ], notes


def _by_area(scenes: Sequence[Scene], count: int) -> list[int]:
    """Divide objects among scenes by their area, by the largest remainders."""
    areas = np.array([scene.grid.height * scene.grid.width for scene in scenes], np.float64)
    exact = count * areas / areas.sum()
    counts = np.floor(exact).astype(int)
    more = np.argsort(counts - exact, kind="stable")[: count - counts.sum()]
    counts[more] += 1
    return [int(each) for each in counts]


def _objects(sampling: Sampling, tally: Tally) -> Generator[SceneObject]:
    """Yield the wanted objects of all classes in turn; a class of which too few pass screening ends early."""
    each = {label: sampled(sampling, label, count, tally) for label, count in tally.wanted.items()}
    try:
        while each:
            for label in list(each):
                item = next(each[label], None)
                if item is None:
                    del each[label]
                else:
                    yield item
    finally:
        for items in each.values():
            items.close()
