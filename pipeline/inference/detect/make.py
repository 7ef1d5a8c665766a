"""Find objects in scenes and write what was found."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...config.run import RunConfig
from ...dataset.names import FINAL
from ...engine.runs import Run
from ...models import classifier as classifiers
from ...models.classifier import SHIP_CONVNET, Classifier
from ...models.device import cores, threads
from ...utils.errors import ConfigError, StoreError
from .. import stac
from . import items, measure, write
from .measure import Quality
from .merge import Objects, merge
from .overview import Overview
from .scan import Scorer, scan
from .scenes import Scene, Wanted, open_scenes, reading_of
from .truth import Truth, read_truth

FORMATS = (".geojson", ".json", ".gpkg", ".parquet")
STRIDES_PER_SIDE = 5
"""Windows along a window's side, unless the user says otherwise."""
LEAST = 0.05
"""Objects of no higher score are not kept for measuring either."""
RARER = 8.0
"""A detection needs so many times the odds of the classifier's threshold.

That threshold is for chips of which about half show an object, and windows of a scene hardly ever do. By Bayes' rule
the odds would fall by more; but of the many windows that show one object the best counts. Chosen on whole tiles of an
area that was left out, where F1 was best from 6 to 12; other areas asked for 3 to 80 (docs/experiments.md), so whoever
has labels should look for the best score with `--truth`."""
NEAR = 0.125
"""A detection may miss a labelled box by this share of a window's side."""


@dataclass(frozen=True)
class Wish:
    """Request of the user.

    Attributes:
        score: Score that a detection must exceed; None takes :func:`usual_score`.
        stride: Pixels, at the classifier's GSD, from one window to the next; None takes a fifth of a window.
        gsd_m: Metres per pixel of scenes without georeference.
        nodata: Value of pixels without data in scenes that do not say.
        truth: Labels to hold the detections against.
        points: Whether geometries are centres instead of windows.
        overview: Whether to draw a picture of each scene.
        table: Whether to write a CSV.
        model: Function that builds the network, where it is not a bundled one; what the run names is not called.
        lonlat: Whether detections are written in longitude and latitude instead of the scenes' CRS.
        acquired: When the scenes were acquired, for items of STAC; None writes none.
    """

    score: float | None = None
    stride: int | None = None
    gsd_m: float | None = None
    nodata: float | None = None
    truth: Path | None = None
    points: bool = False
    overview: bool = True
    table: bool = True
    model: str | None = None
    lonlat: bool = False
    acquired: str | None = None


@dataclass(frozen=True)
class SceneObjects:
    """Detections in one scene.

    Attributes:
        scene: The scene.
        objects: All objects, also those of a low score.
        windows: Windows that were examined.
        labels: The labelled objects, or None where there are no labels.
        matched: Which of them (N,) each object is, -1 for none.
    """

    scene: Scene
    objects: Objects
    windows: int
    labels: Truth | None
    matched: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Return which objects (N,) are labelled ones."""
        return self.matched >= 0

    def above(self, score: float) -> SceneObjects:
        """Return a copy with only the objects whose score exceeds ``score``."""
        shown = self.objects.above(score)
        return SceneObjects(self.scene, shown, self.windows, self.labels, self.matched[: len(shown)])


@dataclass(frozen=True)
class Outcome:
    """Detections in all scenes.

    Attributes:
        score: The score that detections exceed.
        scenes: What was found in each scene, of any score.
        files: Files that were written.
        notes: What the user should know, in sentences.
    """

    score: float
    scenes: tuple[SceneObjects, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def quality(self, scenes: Sequence[SceneObjects] | None = None) -> tuple[Quality, Quality | None, float]:
        """Return the quality at the score, quality at the score with the highest F1, and average precision.

        Args:
            scenes: Scenes that count; None takes all. They must have labels.
        """
        counted = self.scenes if scenes is None else scenes
        scores = np.concatenate([scene.objects.scores for scene in counted])
        right = np.concatenate([scene.right for scene in counted])
        objects = sum(len(scene.labels.ids) for scene in counted if scene.labels is not None)
        return (
            measure.quality(scores, right, objects, self.score),
            measure.best(scores, right, objects),
            measure.average_precision(scores, right, objects),
        )


def load(run: Run, device: str = "cpu", model: str | None = None) -> tuple[Classifier, float | None]:
    """Return the run's final classifier, and the GSD of the chips that it learned from.

    Args:
        run: The run.
        device: Where to compute.
        model: Function that builds its network, where that is not a bundled one.

    Raises:
        ConfigError: If the run has none; names the command that makes one.
    """
    part = run.artifact(f"classify/{FINAL}", "classifier", "all")
    return classifiers.load(part.path, device, model or SHIP_CONVNET), run.gsd_m


def detect(run: Run, paths: Sequence[Path], to: Path, wish: Wish, tick: Callable[[float, float], None]) -> Outcome:
    """Find objects in the scenes at ``paths`` and write them to ``to``, with a picture and a CSV beside it.

    Args:
        run: The run whose final classifier is used.
        paths: The scenes.
        to: A .geojson, .gpkg or .parquet file; an existing file is replaced once everything is written.
        wish: What is asked for.
        tick: Told how many scenes of how many are done, in fractions.

    Raises:
        ConfigError: If the run has no classifier, or the wish cannot be met.
        InputError: If a scene or the labels cannot be used.
        StoreError: If the files cannot be written.
    """
    if to.suffix.lower() not in FORMATS:
        raise ConfigError(f"--to {to.name}: detections are written as .geojson, .gpkg or .parquet")
    classifier, gsd_m = load(run, model=wish.model)
    size = classifier.architecture.size_px
    stride = max(2, size // STRIDES_PER_SIDE) if wish.stride is None else wish.stride
    if stride > size:
        raise ConfigError(f"--stride {stride}: windows of {size} pixels would leave gaps; at most {size}")
    scenes = open_scenes(paths, _wanted(classifier, gsd_m, run.config, wish))
    write.check_crs([scene.file.crs for scene in scenes], to, wish.lonlat)
    when = None if wish.acquired is None else stac.period(wish.acquired)
    notes = [f"{scene.name}: {scene.note}" for scene in scenes if scene.note]
    small = [scene.name for scene in scenes if min(scene.grid.height, scene.grid.width) < size]
    notes += [f"{name} is smaller than a chip of {size} pixels, so nothing can be detected in it" for name in small]
    labels: dict[str, Truth] = {}
    if wish.truth is not None:
        labels, truth_notes = read_truth(wish.truth, scenes, run.config)
        notes += truth_notes
    score = usual_score(classifier) if wish.score is None else wish.score
    scene_objects: list[SceneObjects] = []
    workers = cores()
    with _staged(to) as folder, threads(workers) as pool:
        scorer = Scorer(classifier, pool)
        for number, scene in enumerate(scenes):
            overview = Overview(scene.grid.height, scene.grid.width)
            show = overview.add if wish.overview else _ignore

            def report(done: float, total: float, number: int = number) -> None:
                tick(number + done / total, len(scenes))

            scan_result = scan(scene, scorer, stride, run.config.chips.min_valid_fraction, workers, show, report)
            objects = merge(scan_result.windows, scan_result.probabilities, size, stride, min(LEAST, score))
            scene_objects.append(_match_objects(scene, objects, scan_result.scanned, labels.get(scene.name), size))
            if wish.overview:
                name = f"{to.stem}.png" if len(scenes) == 1 else f"{to.stem}-overview/{_plain(scene.name)}.png"
                _draw(overview, scene_objects[-1].above(score), size, run.config.ingest.classes, folder / name)
        detections = [
            detection
            for some in scene_objects
            for detection in _detections(some.above(score), size, run.config.ingest.classes)
        ]
        _write_all(detections, scenes, wish, folder / to.name)
        if when is not None:
            items.write_detections(detections, scenes, run, to.name, when, folder / f"{to.stem}.stac.json")
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return Outcome(score, tuple(scene_objects), tuple(to.parent / name for name in files), tuple(notes))


def _write_all(detections: Sequence[write.Detection], scenes: Sequence[Scene], wish: Wish, path: Path) -> None:
    """Write detections to ``path``, and as CSV beside it."""
    if wish.table:
        write.write_csv(detections, path.with_suffix(".csv"))
    crs = [scene.file.crs for scene in scenes]
    if wish.lonlat:
        detections, crs = write.in_lonlat(detections), [write.LONLAT]
    if path.suffix.lower() == write.GEOPACKAGE:
        write.write_geopackage(detections, crs, wish.points, path)
    elif path.suffix.lower() == write.GEOPARQUET:
        write.write_geoparquet(detections, crs[0], wish.points, path)
    else:
        write.write_geojson(detections, crs[0], wish.points, path)


def usual_score(classifier: Classifier) -> float:
    """Return the default score that detections must exceed."""
    odds = RARER * classifier.threshold / max(1.0 - classifier.threshold, 1e-9)
    return float(odds / (1.0 + odds))


def _wanted(classifier: Classifier, gsd_m: float | None, config: RunConfig, wish: Wish) -> Wanted:
    reading = reading_of(config, wish.gsd_m, wish.nodata)
    return Wanted(classifier.architecture.bands, classifier.scaling.dtype, gsd_m, config.chips.resampling, reading)


def _match_objects(scene: Scene, objects: Objects, windows: int, labels: Truth | None, size: int) -> SceneObjects:
    """Match the objects of a scene with its labels."""
    if labels is None:
        return SceneObjects(scene, objects, windows, None, np.full(len(objects), -1))
    scale = np.array([scene.grid.scale_row, scene.grid.scale_col])
    matched = measure.match(objects.centres, objects.scores, labels.boxes / np.tile(scale, 2), NEAR * size)
    return SceneObjects(scene, objects, windows, labels, matched)


def _windows(objects: Objects, size: int) -> npt.NDArray[np.float64]:
    """Return the windows (N, 4) around objects, as row_min, col_min, row_max, col_max on the grid."""
    return np.concatenate([objects.centres - size / 2, objects.centres + size / 2], axis=1)


def _detections(scene_objects: SceneObjects, size: int, classes: Sequence[str]) -> Iterator[write.Detection]:
    """Yield the objects of a scene as they are written."""
    scene, objects = scene_objects.scene, scene_objects.objects
    for place, window in enumerate(_windows(objects, size)):
        top, left, bottom, right = (float(edge) for edge in window)
        row, col = scene.to_scene(*(float(coordinate) for coordinate in objects.centres[place]))
        corners = ((top, left), (bottom, left), (bottom, right), (top, right), (top, left))
        label = None
        if scene_objects.labels is not None:
            label = scene_objects.labels.ids[scene_objects.matched[place]] if scene_objects.right[place] else ""
        yield write.Detection(
            scene.name,
            classes[objects.classes[place]],
            float(objects.scores[place]),
            row,
            col,
            scene.to_map(row, col),
            tuple(scene.to_map(*scene.to_scene(*corner)) for corner in corners),
            scene.file.crs,
            label,
        )


def _draw(overview: Overview, result: SceneObjects, size: int, classes: Sequence[str], path: Path) -> None:
    """Draw what was found in a scene, and what was missed."""
    path.parent.mkdir(exist_ok=True)
    missed, right = np.zeros((0, 4)), None
    if result.labels is not None:
        right = result.right
        free = np.setdiff1d(np.arange(len(result.labels.ids)), result.matched)
        missed = result.labels.boxes[free] / np.tile([result.scene.grid.scale_row, result.scene.grid.scale_col], 2)
    names = [classes[number] for number in result.objects.classes]
    overview.write(path, _windows(result.objects, size), result.objects.scores, right, missed, names)


def _ignore(row: int, col: int, values: npt.NDArray[np.float32]) -> None:
    """Show nothing."""


def _plain(name: str) -> str:
    """Turn a scene's name into a file name."""
    return re.sub(r"[^\w.+=-]+", "_", name)


@contextmanager
def _staged(to: Path) -> Iterator[Path]:
    """Yield a folder beside ``to``, whose files are moved beside it once all are written.

    Raises:
        StoreError: If they cannot be written.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.stem}-") as name:
            folder = Path(name)
            yield folder
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                target = to.parent / path.relative_to(folder)
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
    except OSError as error:
        raise StoreError(f"{to} cannot be written: {error.strerror or error}") from None
