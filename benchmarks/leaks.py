"""Leaks: how many scenes that share ground are found by their pixels, and how long that takes.

    python benchmarks/leaks.py --tiles FOLDER [--only scenes] [--only time] [--docs docs/benchmarks.md]

FOLDER holds PlanetScope tiles of 512 x 512 pixels and ``tiles.csv`` (file, site, overlap_group); they are not part of
satpipe. Scenes are planted among them that share 10 to 12 %, or 10 to 100 %, of their ground with one tile, turned by
any angle, scaled by 0.8 to 1.25, in another light, under uneven haze, and saved as JPEG of quality 70; the rest of such
a scene is a tile of another site that is not among the others. Pairs of tiles that are found and share neither site nor
overlap group in the table are listed: look at them, since the table may lack some.

Time is measured on simulated scenes, which need no data.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import rasterio
from leaks_scenes import Pixels, agrees, apart, planet_tiles, plant_all
from rasterio.errors import NotGeoreferencedWarning
from satpipe.config.run import RunConfig
from satpipe.raster.gdal import SceneFile
from satpipe.stages.chips.overlap import extract, search
from satpipe.stages.chips.overlap.mosaic import matrices
from section import processor, write_section

SIDE = 512


def main() -> None:
    """Measure what was asked for, and print a section of each for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, help="folder of the tiles; without it simulated scenes are planted")
    parser.add_argument("--only", choices=("scenes", "time"), action="append", help="this table alone; may be repeated")
    parser.add_argument("--planted", type=int, default=35, help="planted scenes of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with other tiles around the planted ones")
    parser.add_argument("--scenes", type=int, nargs="+", default=[125, 250, 500, 1000], help="scenes to take time for")
    parser.add_argument("--docs", type=Path, help="file whose sections are replaced by the result")
    asked = parser.parse_args()
    for name in asked.only or ("scenes", "time"):
        lines = planted_table(asked.tiles, asked.planted, asked.rounds) if name == "scenes" else times(asked.scenes)
        command = f"`python benchmarks/leaks.py --only {name}`: {processor()}."
        write_section(
            {"scenes": "Leaks: planted scenes", "time": "Leaks: time"}[name], [command, "", *lines], asked.docs
        )


def planted_table(tiles: Path | None, count: int, rounds: int) -> list[str]:
    """Return the lines of the table of planted scenes."""
    lines = ["| shared ground | planted | found | share found |", "|---|---:|---:|---:|"]
    for title, shares, mirror in (
        ("10 to 12 %", (0.10, 0.12), False),
        ("10 to 100 %", (0.10, 1.0), False),
        ("10 to 100 %, mirrored", (0.10, 1.0), True),
    ):
        hits_by_round = [planted_round(tiles, count, shares, seed, mirror) for seed in range(rounds)]
        total = sum(len(hits) for hits in hits_by_round)
        hits = sum(map(sum, hits_by_round))
        lines.append(f"| {title} | {total} | {hits} | {hits / total:.1%} |")
    if tiles is not None:
        images, table = planet_tiles(tiles)
        lines += ["", *_between_tiles(found_pairs(images), table)]
    return lines


def planted_round(tiles: Path | None, count: int, shares: tuple[float, float], seed: int, mirror: bool) -> list[bool]:
    """Return which of some planted scenes were found, with the right transform."""
    if tiles is None:
        images = [simulated(number) for number in range(3 * count)]
        kept, others = images[:-count], images[-count:]
    else:
        images, table = planet_tiles(tiles)
        kept, others = ([images[number] for number in numbers] for numbers in apart(table, images, count, seed))
    planted = list(plant_all(kept, others, shares, seed, mirror))
    pairs = found_pairs([*kept, *(scene.pixels for scene in planted)])
    matrix_of = dict(zip(zip(pairs["scene_a"], pairs["scene_b"], strict=True), matrices(pairs), strict=True))
    estimates = (
        matrix_of.get((f"{scene.source:05d}", f"{len(kept) + number:05d}")) for number, scene in enumerate(planted)
    )
    return [
        matrix is not None and agrees(matrix[:2], scene.matrix, SIDE)
        for matrix, scene in zip(estimates, planted, strict=True)
    ]


def _between_tiles(pairs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Return lines on the pairs of tiles that were found, by what the table says of them."""
    first, other = (table.iloc[pairs[name].astype(int)].reset_index(drop=True) for name in ("scene_a", "scene_b"))
    group, site = (first[name] == other[name] for name in ("overlap_group", "site"))
    true = {name: int(sum(n * (n - 1) // 2 for n in table[name].value_counts())) for name in ("overlap_group", "site")}
    unknown = np.flatnonzero(~(group | site))
    return [
        (
            f"Of {len(table)} tiles: {int(group.sum())} of {true['overlap_group']} pairs of one overlap group,"
            f" {int(site.sum())} of {true['site']} pairs of one site, and {len(unknown)} others:"
        ),
        "",
        *(
            f"- {first['file'][row]} and {other['file'][row]}, correlation {pairs['correlation'].iloc[row]:.2f},"
            f" {pairs['matches'].iloc[row]} matches"
            for row in unknown
        ),
    ]


def times(counts: list[int]) -> list[str]:
    """Return the lines of the table of times, on simulated scenes of which each tenth is planted."""
    lines = [
        "| scenes | keypoints | s, pictures and keypoints | s, pairs | s, all | pairs | GiB |",
        "|---:|" + "---:|" * 6,
    ]
    images: list[Pixels] = []
    for count in counts:
        images += [simulated(number) for number in range(len(images), count)]
        kept, others = images[: count - count // 10], images[count - count // 10 : count]
        scenes = [*kept, *(scene.pixels for scene in plant_all(kept, others, (0.1, 1.0), count))]
        spent: dict[str, float] = {}
        pairs = found_pairs(scenes, spent)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        both = spent["features"] + spent["pairs"]
        lines.append(
            f"| {count:,} | {int(spent['keypoints']):,} | {spent['features']:.0f} | {spent['pairs']:.0f} | {both:.0f} |"
            f" {len(pairs)} | {peak:.1f} |"
        )
    return lines


def simulated(number: int) -> Pixels:
    """Return a simulated scene."""
    from satpipe.stages.ingest.simulator.scene import simulate

    source = {"type": "simulated", "scenes": 1, "size_px": SIDE}
    config = RunConfig.model_validate({"ingest": {"sources": [source]}})
    return np.asarray(simulate(config.ingest.sources[0], number)[0])


def found_pairs(images: list[Pixels], spent: dict[str, float] | None = None) -> pd.DataFrame:
    """Return the pairs of images that show the same ground, named by their numbers."""
    spent = {} if spent is None else spent
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenes = pd.DataFrame([_written(folder / f"{number:05d}.tif", image) for number, image in enumerate(images)])
        (folder / "features").mkdir()
        start = time.process_time()
        made = extract.extract_batch(scenes, None, folder, folder / "features", 1, lambda *_: None)
        spent |= {"features": time.process_time() - start, "keypoints": made["keypoints"]}
        start = time.process_time()
        search.find_scene_pairs([folder / "features"], folder, 1, lambda *_: None)
        spent["pairs"] = time.process_time() - start
        return pq.read_table(folder / search.SCENE_PAIRS).to_pandas()


def _written(path: Path, pixels: Pixels) -> dict[str, object]:
    """Write a scene, and return its row of the scene table."""
    height, width, bands = pixels.shape
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.open(path, "w", "GTiff", width, height, bands, dtype=pixels.dtype, photometric="RGB") as file:
        file.write(pixels.transpose(2, 0, 1))
    scene = SceneFile(path.stem, path, None, width, height, (1, 2, 3), str(pixels.dtype), None, None, None, None, None)
    row = {name: getattr(scene, name) for name in SceneFile.__dataclass_fields__}
    grid = {"target_height": height, "target_width": width, "scale_row": 1.0, "scale_col": 1.0}
    return row | {"path": str(path), "bands": "[1, 2, 3]"} | grid


if __name__ == "__main__":
    main()
