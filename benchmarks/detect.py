"""Detection on real scenes that the classifier has not seen: precision and recall, for two kinds of background chips.

    python benchmarks/detect.py --data FOLDER --root FOLDER [--docs docs/experiments.md]

Classifiers are trained by `satpipe run all` on the PlanetScope tiles in FOLDER/planet-tiles but those of one area, with
a generator that is no more than a formality and the arm with classic augmentation favoured; a run that is in the root
already is used as it is. They then look at the whole tiles of the area that was left out, and at the clip of another
sensor with another pixel size in FOLDER/geotiff-ship-scene.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from satpipe.engine.runs import find_run
from satpipe.inference.detect.make import Outcome, Wish, detect
from section import write_section

REPOSITORY = Path(__file__).resolve().parent.parent
BACKGROUND: dict[str, dict[str, Any]] = {
    "usual": {},
    "hard": {"per_positive": 8, "near_miss": "background", "near_miss_share": 0.25},
}
"""`chips.negatives` of each kind of run."""
CHOSEN, OPENED = "utc0503-0541", "utc0222-0233"
"""The area on whose tiles the recipe was chosen, and one that was opened for the chosen recipe."""
CASES = ((CHOSEN, "usual"), (CHOSEN, "hard"), (OPENED, "hard"))
"""Area that is left out, and kind of background chips."""


@dataclass(frozen=True)
class Places:
    """Where the data are."""

    tiles: Path
    table: Path
    clip: Path
    clip_labels: Path

    @classmethod
    def of(cls, data: Path) -> Places:
        """Return a path below the folder that the user names."""
        planet, bay = data / "planet-tiles", data / "geotiff-ship-scene"
        return cls(planet / "tiles", planet / "tiles.csv", next(bay.glob("*.tif")), bay / "ships.geojson")

    def files(self, aoi: str, inside: bool) -> list[Path]:
        """List the tiles of an area, or all others."""
        with self.table.open(newline="", encoding="utf-8") as file:
            return [self.tiles / row["file"] for row in csv.DictReader(file) if (row["aoi"] == aoi) == inside]


def train(name: str, negatives: dict[str, Any], places: Places, left_out: str, root: Path) -> None:
    """Run the pipeline without the area that is left out, unless it was run."""
    if (root / "data" / "runs" / f"{name}.json").is_file():
        return
    config = {
        "name": name,
        "ingest": {
            "sources": [
                {
                    "type": "yolo",
                    "path": [str(path) for path in places.files(left_out, inside=False)],
                    "groups_csv": str(places.table),
                    "normalised_by_px": 512,
                    "gsd_m": 3,
                    "nodata": 0,
                }
            ]
        },
        "chips": {"size_px": 80, "negatives": negatives},
        "split": {"by": "site", "scheme": "holdout", "test_fraction": 0.2, "replicates": 1, "random_replicates": 0},
        "gan": {"images": 320, "checkpoint_images": 160, "base_channels": 8},
        "classify": {"arms": ["real", "classic"]},
        "report": {"metric": "balanced_accuracy", "treatment": "real", "baseline": "classic"},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config), "utf-8")
        words = [sys.executable, str(REPOSITORY / "cli.py"), "run", "all", "--config", str(path), "--root", str(root)]
        subprocess.run(words, check=True, cwd=REPOSITORY)


def scan(name: str, root: Path, scenes: Sequence[Path], truth: Path) -> tuple[Outcome, float]:
    """Run the run's classifier on scenes; return what it finds and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        outcome = detect(find_run(name, root), scenes, Path(folder) / "out.geojson", Wish(truth=truth), _silent)
        return outcome, time.perf_counter() - started


def _silent(done: float, total: float) -> None:
    """Show nothing."""


def row(what: str, outcome: Outcome) -> str:
    """Return the columns of the table that say what was found."""
    at_score, best, average = outcome.quality()
    better = "" if best is None else f"{best.f1:.2f} at {best.score:.3f}"
    return (
        f"| {what} | {outcome.score:.2f} | {at_score.precision:.2f} ({at_score.right} of {at_score.detected})"
        f" | {at_score.recall:.2f} ({at_score.right} of {at_score.objects}) | {at_score.f1:.2f} | {better}"
        f" | {average:.2f} |"
    )


def main() -> None:
    """Train, look, and print the section for the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with planet-tiles and geotiff-ship-scene")
    parser.add_argument("--root", type=Path, required=True, help="folder for runs; those that are there are used")
    parser.add_argument("--docs", type=Path, help="file whose section is replaced by the result")
    asked = parser.parse_args()
    places = Places.of(asked.data)
    lines = [
        "| left out | background chips | scenes | score | precision | recall | F1 | best F1 | average precision |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for area, kind in CASES:
        run = f"detect-{kind}-{area}"
        train(run, BACKGROUND[kind], places, area, asked.root)
        tiles = places.files(area, inside=True)
        for what, scenes, truth in (
            (f"its {len(tiles)} tiles, 3 m", tiles, places.tiles),
            ("clip of the bay, 5 m", [places.clip], places.clip_labels),
        ):
            outcome, seconds = scan(run, asked.root, scenes, truth)
            lines.append(f"| {area} | {kind} {row(what, outcome)}")
            print(lines[-1], f"{seconds:.0f} s", flush=True)
    text = [
        "`python benchmarks/detect.py --data FOLDER --root FOLDER`: classifiers of 80 x 80 chips of 3 m, trained with",
        "classic augmentation on PlanetScope tiles of all areas but one. They then look at the whole tiles of that",
        "area, and at a clip of San Francisco Bay by another sensor (RapidEye).",
        "",
        "A detection is right if its centre lies in a labelled box, or within an eighth of a chip of it, and it is the",
        "surest one of that box. The score is the usual one; the best F1 is the one at the best score, which a user",
        "with labels can find with `--truth`.",
        "",
        *lines,
        "",
        "`usual`: two background chips for each ship, none of them near one. `hard`: eight, a quarter of which hold a",
        "part of a ship (`chips.negatives`: `per_positive: 8`, `near_miss: background`, `near_miss_share: 0.25`).",
        "",
        f"How windows become objects and the usual score were chosen on the tiles of {CHOSEN}; {OPENED} was opened for",
        "the chosen recipe.",
    ]
    write_section("Detection on scenes of an unseen area", text, asked.docs)


if __name__ == "__main__":
    main()
