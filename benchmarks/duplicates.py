"""Near-duplicates: how many planted copies of chips are found, and how time and memory grow with the chips.

    python benchmarks/duplicates.py [--tiles FOLDER] [--only recall] [--only time] [--docs docs/benchmarks.md]

For the recall, chips are cut around labelled ships and at random places of scenes, and changed copies of textured ship
chips are added as chips of other scenes, one kind of change after the other. FOLDER holds PlanetScope tiles with YOLO
labels beside them and ``tiles.csv`` (file, site, overlap_group); it is not part of satpipe. Without it scenes are
simulated. Pairs of chips of different sites that are no planted copy are counted as false.

For the time, textured chips are cut at random places of the scenes, in any direction and at any scale, so that they are
as alike as those of one kind of imagery, and one in a hundred is a changed copy of another one. They are cut when they
are read, and the time that takes is left out: reading chips from disk is not measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from satpipe.config.run import RunConfig
from satpipe.dataset.chip_store import ChipStore, write_shard
from satpipe.stages.chips.duplicates import near_duplicates
from satpipe.stages.ingest.simulator.scene import simulate
from section import processor, write_section

Pixels = npt.NDArray[np.uint8]
SIDE = 80
"""Side of the chips."""
MIN_CORRELATION, MIN_TEXTURE = 0.95, 0.04


@dataclass(frozen=True)
class Place:
    """Where a chip is cut.

    Attributes:
        scene: Pixels (H, W, 3) of its scene.
        name: What is on the ground there: chips of one name may show the same.
        row: Row of the centre.
        col: Column of the centre.
    """

    scene: Pixels
    name: str
    row: float
    col: float

    def cut(self, shift: int = 0, degrees: float = 0, scale: float = 1) -> Pixels:
        """Return the chip, cut some pixels further down and to the left, and turned and scaled about its centre."""
        matrix = cv2.getRotationMatrix2D((self.col - shift, self.row + shift), degrees, scale)
        matrix[:, 2] += SIDE / 2 - np.array([self.col - shift, self.row + shift])
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.warpAffine(self.scene, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=border))


def encoded(chip: Pixels, quality: int = 70) -> Pixels:
    """Return a chip as a JPEG shows it."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


def lit(chip: Pixels, gain: float, offset: float) -> Pixels:
    """Return a chip in another light."""
    return np.clip(chip * gain + offset, 0, 255).astype(np.uint8)


def hazy(chip: Pixels) -> Pixels:
    """Return a chip under haze that grows from none to a third along the columns."""
    veil = np.linspace(0, 0.35, chip.shape[1])[None, :, None]
    return np.clip(chip * (1 - veil) + 210 * veil, 0, 255).astype(np.uint8)


def noisy(chip: Pixels, deviation: float) -> Pixels:
    """Return a chip with Gaussian noise, the same each time."""
    noise = np.random.default_rng(int(chip.sum())).normal(0, deviation, chip.shape)
    return np.clip(chip + noise, 0, 255).astype(np.uint8)


def blurred(chip: Pixels, sigma: float) -> Pixels:
    """Return a chip under a Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(chip, (0, 0), sigma), np.uint8)


def one_byte(chip: Pixels) -> Pixels:
    """Return a chip with one bit of one byte changed."""
    changed = chip.copy()
    changed[3, 5, 1] ^= 1
    return changed


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "same pixels": lambda chip: chip,
    "one byte changed": one_byte,
    "JPEG 70": encoded,
    "brighter": partial(lit, gain=1.2, offset=10),
    "darker": partial(lit, gain=0.75, offset=0),
    "haze": hazy,
    "JPEG 70, darker, haze": lambda chip: encoded(hazy(lit(chip, 0.8, 10))),
    "mirrored": lambda chip: np.ascontiguousarray(chip[:, ::-1]),
    "turned by 90 degrees": lambda chip: np.ascontiguousarray(np.rot90(chip)),
    "noise of 5 grey levels": partial(noisy, deviation=5),
    "noise of 8 grey levels": partial(noisy, deviation=8),
    "blur of 1 px": partial(blurred, sigma=1),
    "blur of 1.5 px": partial(blurred, sigma=1.5),
}
"""What is done to the pixels of a copy."""
CUTS: dict[str, Callable[[Place], Pixels]] = {
    **{f"shifted by {shift} px both ways": partial(Place.cut, shift=shift) for shift in (1, 2, 4, 7, 15)},
    **{f"turned by {degrees} degrees": partial(Place.cut, degrees=degrees) for degrees in (3, 7, 30)},
    **{f"rescaled by {scale}": partial(Place.cut, scale=scale) for scale in (0.9, 1.1)},
}
"""How else a copy is cut from its scene."""
SHIFTS = {f"shifted by {shift} px both ways": shift for shift in (1, 2, 4)}
"""Shifts of copies among many chips."""


def main() -> None:
    """Measure what was asked for, and print a section of each for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, help="folder of the tiles; without it scenes are simulated")
    parser.add_argument("--only", choices=("recall", "time"), action="append", help="this table alone; may be repeated")
    parser.add_argument("--copies", type=int, default=47, help="copies of each kind")
    parser.add_argument("--chips", type=int, nargs="+", default=[50_000, 200_000], help="chips to take time for")
    parser.add_argument("--docs", type=Path, help="file whose sections are replaced by the result")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    places = labelled(asked.tiles) if asked.tiles else simulated()
    for name in asked.only or ("recall", "time"):
        if name == "recall":
            lines = recall_table(places, asked.copies)
        else:
            lines = time_table(list({id(place.scene): place.scene for place in places[1]}.values()), asked.chips)
        load = "" if name == "recall" else f", {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
        tiles = " --tiles FOLDER" if asked.tiles else ""
        command = f"`python benchmarks/duplicates.py{tiles} --only {name}`: {processor()}{load}."
        write_section(f"Near-duplicates: {name}", [command, "", *lines], asked.docs)


def labelled(folder: Path) -> tuple[list[Place], list[Place]]:
    """Return places of ships and of background in the tiles of a folder."""
    table = pd.read_csv(folder / "tiles.csv")
    ships, others, rng = [], [], np.random.default_rng(0)
    for file, site, group in table[["file", "site", "overlap_group"]].itertuples(index=False):
        scene = np.asarray(cv2.imread(str(folder / "tiles" / file)), np.uint8)
        labels = (folder / "tiles" / file).with_suffix(".txt")
        name = f"{site}/{group}"
        for line in labels.read_text("utf-8").splitlines() if labels.exists() else []:
            # Rows are given as shares of 512 pixels, also where a tile is not as high.
            col, row = (float(value) for value in line.split()[1:3])
            ships.append(_inside(scene, name, row * 512, col * scene.shape[1]))
            others += [_inside(scene, name, *rng.uniform(0, scene.shape[:2])) for _ in range(2)]
    return ships, others


def simulated(scenes: int = 100) -> tuple[list[Place], list[Place]]:
    """Return places of ships and of background in simulated scenes."""
    source = {"type": "simulated", "scenes": scenes}
    config = RunConfig.model_validate({"ingest": {"sources": [source]}}).ingest.sources[0]
    ships, others, rng = [], [], np.random.default_rng(0)
    for number in range(scenes):
        scene, fleet = simulate(config, number)
        for ship in fleet:
            ships.append(_inside(scene, str(number), ship.y / config.gsd_m, ship.x / config.gsd_m))
            others += [_inside(scene, str(number), *rng.uniform(0, scene.shape[:2])) for _ in range(2)]
    return ships, others


def _inside(scene: Pixels, name: str, row: float, col: float) -> Place:
    """Return the place nearest to one whose chip lies in the scene, at whole pixels."""
    height, width = scene.shape[:2]
    half = SIDE // 2
    return Place(scene, name, round(np.clip(row, half, height - half)), round(np.clip(col, half, width - half)))


def recall_table(places: tuple[list[Place], list[Place]], count: int) -> list[str]:
    """Return the lines of the table of planted copies."""
    ships, others = places
    held = [*ships, *others]
    chips = [place.cut() for place in held]
    textured = [n for n in range(len(ships)) if chips[n].mean(axis=2).std() >= 1.4 * MIN_TEXTURE * 255]
    chosen = np.random.default_rng(1).permutation(textured)[:count].tolist()
    origin = [*range(len(held)), *chosen]
    lines, false = [f"| copy | of {len(chosen)} found |", "|---|---:|"], set[tuple[int, int]]()
    for kind in [*CHANGES, *CUTS]:
        copies = [CHANGES[kind](chips[n]) if kind in CHANGES else CUTS[kind](held[n]) for n in chosen]
        scenes = [*(place.name for place in held), *(f"copy {number}" for number in range(len(copies)))]
        found = {(int(one), int(other)) for one, other in _found([*chips, *copies], scenes)}
        hits = sum((n, len(held) + number) in found for number, n in enumerate(chosen))
        lines.append(f"| {kind} | {hits} |")
        pairs = (sorted((origin[one], origin[other])) for one, other in found)
        false |= {(one, other) for one, other in pairs if not _same_ground(held[one], held[other])}
    return [*lines, "", f"Of {len(held):,} chips, {len(false)} pairs of different sites are taken for one picture."]


def _same_ground(one: Place, other: Place) -> bool:
    """Return whether two places may show the same ground: site or overlap group are the same."""
    return any(first == second for first, second in zip(one.name.split("/"), other.name.split("/"), strict=True))


def _found(chips: Sequence[Pixels], scenes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of near-duplicates among chips in memory."""
    with tempfile.TemporaryDirectory() as temporary:
        store = ChipStore(_index([np.stack(chips)], scenes, Path(temporary)), Path(temporary))
        pairs, _ = near_duplicates(store, MIN_CORRELATION, MIN_TEXTURE)
        yield from pairs[["chip_a", "chip_b"]].itertuples(index=False, name=None)


def _index(shards: Sequence[Pixels] | Iterator[Pixels], scenes: Sequence[str], root: Path) -> pd.DataFrame:
    """Write shards of chips (N, H, W, 3), and return their index, in which a chip is named by its number."""
    names: list[str] = []
    positions: list[int] = []
    for number, chips in enumerate(shards):
        folder = root / "chips" / str(number)
        folder.mkdir(parents=True)
        write_shard(chips, folder)
        names += [f"chips/{number}/chips.npy"] * len(chips)
        positions += range(len(chips))
    chip_id = [f"{number:09d}" for number in range(len(names))]
    return pd.DataFrame({"chip_id": chip_id, "scene_id": scenes, "shard": names, "position": positions})


@dataclass(frozen=True)
class Cuts(ChipStore):
    """Textured chips that are cut when they are read: at random places of scenes, in any direction, at any scale.

    The last of them are copies of the first, each changed in one way or shifted.

    Attributes:
        scenes: Pixels (H, W, 3) of the scenes.
        copies: How many chips are copies.
        seconds: Seconds that cutting has taken so far, by thread and call.
    """

    scenes: list[Pixels]
    copies: int
    seconds: list[float]

    @classmethod
    def of(cls, scenes: list[Pixels], count: int, copies: int) -> Cuts:
        """Return ``count`` chips, each of a scene of its own."""
        names = [f"{number:09d}" for number in range(count)]
        return cls(pd.DataFrame({"chip_id": names, "scene_id": names}), Path(), scenes, copies, [])

    def read(self, rows: npt.ArrayLike | None = None) -> Pixels:
        """Cut the chips (N, H, W, 3) at the given positions."""
        began = time.thread_time()
        chips = np.stack([self._cut(int(row)) for row in np.asarray(rows)])
        self.seconds.append(time.thread_time() - began)
        return chips

    def _cut(self, row: int) -> Pixels:
        number = row - (len(self) - self.copies)
        if number < 0:
            return self._chip(row, 0)
        kinds = [*CHANGES, *SHIFTS]
        kind = kinds[number % len(kinds)]
        return CHANGES[kind](self._chip(number, 0)) if kind in CHANGES else self._chip(number, SHIFTS[kind])

    def _chip(self, number: int, shift: int) -> Pixels:
        rng = np.random.default_rng(number)
        while True:
            scene = self.scenes[rng.integers(len(self.scenes))]
            scale, degrees = rng.uniform(0.7, 1.4), rng.uniform(0, 360)
            margin = SIDE / scale / 2**0.5
            place = Place(scene, "", *(rng.uniform(margin, side - margin) for side in scene.shape[:2]))
            reach = int(SIDE / scale / 2)
            row, col = int(place.row), int(place.col)
            around = scene[row - reach : row + reach : 4, col - reach : col + reach : 4, 1]
            if around.std() >= 1.2 * MIN_TEXTURE * 255:
                return place.cut(shift, degrees, scale)


def time_table(scenes: list[Pixels], counts: Sequence[int]) -> list[str]:
    """Return the lines of the table of times."""
    lines = [
        "| textured chips | wall s | processor s | a chip, ms | planted copies | found | GiB at most |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count in counts:
        copies = count // 100
        store = Cuts.of(scenes, count, copies)
        wall, spent = time.perf_counter(), time.process_time()
        pairs, compared = near_duplicates(store, MIN_CORRELATION, MIN_TEXTURE)
        wall, spent = time.perf_counter() - wall, time.process_time() - spent - sum(store.seconds)
        true_pairs = set(pairs[["chip_a", "chip_b"]].itertuples(index=False, name=None))
        hits = sum((f"{n:09d}", f"{count - copies + n:09d}") in true_pairs for n in range(copies))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        lines.append(
            f"| {compared['compared']:,} | {wall:.0f} | {spent:.0f} | {1000 * spent / count:.2f}"
            f" | {copies:,} | {hits:,} | {peak:.1f} |",
        )
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
