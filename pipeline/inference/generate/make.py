"""Make a folder of labelled synthetic chips from a run's final generator."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...engine.runs import Run
from ...formats.writers import DETECTORS
from ...formats.writers.base import TRAIN
from ...models.device import cores, threads
from ...models.generator import Generator
from ...stages.synth.screening import Screening
from ...utils.atomic_files import new_folder
from ...utils.errors import ConfigError
from . import card, pictures
from .files import CLASS_FOLDERS, COLUMNS, FORMATS, Files, LabelTable, Layout
from .loaded import of_run
from .sample import Tally, kept, shares

MEANINGS = (
    "path of the file that holds the chip",
    "number of the chip, which is its row if one file holds all",
    "its label",
    "class index of its label",
    "seed of its latent vector",
    "probability of its label by networks trained on real chips; empty if chips were not screened",
    "distance to the nearest real chip of its class (1: typical of unseen real chips); empty if not screened",
    "yes",
)


@dataclass(frozen=True)
class Wish:
    """Request of the user.

    Attributes:
        labels: Class names; empty for all classes.
        count: Chips in all, divided evenly among the labels.
        file_format: One of :data:`~satpipe.inference.generate.files.FORMATS`.
        seed: What every chip follows from.
        truncation: Standard deviation of z; None takes the run's.
        screen: Whether chips are screened; None does as the run did.
        by_split: Whether the folders of classes lie in one for their split.
    """

    labels: tuple[str, ...]
    count: int
    file_format: str
    seed: int
    truncation: float | None
    screen: bool | None
    by_split: bool = False


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the indices of the named classes, in the order of the classes; all of them where none is named.

    Raises:
        ConfigError: If there is no such class, with the nearest one.
    """
    for name in names:
        if name not in classes:
            near = get_close_matches(name, classes, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(classes)}"
            raise ConfigError(f"there is no class {name}; {hint}")
    return [number for number, name in enumerate(classes) if name in names or not names]


def check_outlined(generator: Generator, labels: Sequence[int]) -> None:
    """Check that it is known where the objects of classes lie in their chips; the background has none.

    Raises:
        ConfigError: If chips of a class are generated as a whole.
    """
    for label in labels:
        if label and label in generator.whole:
            raise ConfigError(
                f"the generator makes {generator.classes[label]} chips as a whole, so the positions of their objects"
                " are unknown; train one with gan.preset=layers on labels that have boxes or outlines"
            )


def make(run: Run, wish: Wish, to: Path, tick: Callable[[int, int], None], workers: int | None = None) -> Tally:
    """Make the folder ``to``: chips, labels.csv, card.json and README.md, a page of pictures.

    It appears once it is whole. The same run and wish give the same bytes on one machine.

    Args:
        run: The run.
        wish: What is asked for.
        to: Folder to make; it must be empty or not exist.
        tick: Told how many chips of how many are there.
        workers: Threads; None takes as many as there are cores.

    Returns:
        What was made and why some was not kept.

    Raises:
        ConfigError: If the run has no generator, or the wish cannot be met.
        StoreError: If the folder holds files or cannot be written.
    """
    loaded = of_run(run)
    generator, scaling = loaded.generator, loaded.scaling
    labels = class_numbers(wish.labels, generator.classes)
    if wish.by_split and wish.file_format not in CLASS_FOLDERS:
        raise ConfigError(f"--layout split/class needs --format {' and '.join(CLASS_FOLDERS)}, not {wish.file_format}")
    if wish.file_format in DETECTORS:
        check_outlined(generator, labels)
    screening = loaded.screening(wish.screen)
    truncation = loaded.truncation if wish.truncation is None else wish.truncation
    tally = Tally(shares(wish.count, labels), note=loaded.unscreened(wish.screen))
    with new_folder(to) as folder:
        marks = card.marks_of(run)
        split = TRAIN if wish.by_split else ""  # synthetic chips are for training, and never for a test
        layout = Layout(folder, generator.classes, scaling, generator.shape, wish.count, marks, split)
        files, tables = FORMATS[wish.file_format](layout), [LabelTable(folder)]
        tables += [LabelTable(folder, split)] if wish.file_format in CLASS_FOLDERS else []
        shown = _write(generator, truncation, screening, wish.seed, files, tables, tally, tick, workers or cores())
        pictures.write_preview(shown, generator, scaling, wish.seed, truncation, folder / pictures.PREVIEW)
        settings = {
            "labels": [generator.classes[label] for label in labels],
            "count": wish.count,
            "format": wish.file_format,
            "seed": wish.seed,
            "truncation": truncation,
            "screened": screening is not None,
        }
        about = card.card_of(run, loaded, settings, tally)
        card.write_card(about, dict(zip(COLUMNS, MEANINGS, strict=True)), folder)
    return tally


def _write(
    generator: Generator,
    truncation: float,
    screening: Screening | None,
    seed: int,
    files: Files,
    tables: Sequence[LabelTable],
    tally: Tally,
    tick: Callable[[int, int], None],
    workers: int,
) -> dict[int, list[npt.NDArray[np.float32]]]:
    """Write all chips and their labels; returns the first ones of each class."""
    shown: dict[int, list[npt.NDArray[np.float32]]] = {label: [] for label in tally.wanted}
    total, number = sum(tally.wanted.values()), 0
    with warnings.catch_warnings(), threads(workers) as pool:
        # Of rasterio, for every GeoTIFF: that they have no place is the point. Filters are shared by all threads.
        warnings.filterwarnings("ignore", message="Dataset has no geotransform")
        pending: deque[Future[None]] = deque()
        for block in kept(generator, tally.wanted, seed, truncation, screening, pool, workers, tally):
            if files.alone:
                pending.append(pool.submit(files.write, block, number))
            else:
                files.write(block, number)
            for table in tables:
                table.add(block, number, files, generator.classes)
            if sum(map(len, shown[block.label])) < pictures.SHOWN:
                shown[block.label].append(block.values)
            number += len(block)
            while len(pending) > 2 * workers:
                pending.popleft().result()
            tick(number, total)
        for future in pending:
            future.result()
    files.finish()
    for table in tables:
        table.close()
    return shown
