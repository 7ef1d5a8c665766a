"""Detection on whole tiles of the areas that the folds of an experiment left out.

    satpipe run classify --config configs/planet-tiles.yaml --name hard --set chips.negatives.per_positive=8 \
        --set chips.negatives.near_miss=background --set chips.negatives.near_miss_share=0.25 ...
    python benchmarks/detect_folds.py --data FOLDER --root FOLDER --run hard --fold 1=utc0255-0305 --fold 0=utc0222-0233

The classifiers are those of the run's folds, each of which saw nothing of the area that it is tried on: no tile, no
label, no generated object. Prints a row for each fold and arm.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path

from detect import row
from satpipe.engine.runs import Run, find_run
from satpipe.inference.detect.make import Wish, detect

FINAL = "classify/final"


def with_classifier(run: Run, title: str) -> Run:
    """Return a run whose final classifier is that of a fold."""
    artifact = run.artifact(title, f"classifier {title}", "classify")
    return replace(run, digests={**run.digests, FINAL: artifact.ref.digest})


def tiles_of(data: Path, area: str) -> list[Path]:
    """List the tiles of an area."""
    with (data / "tiles.csv").open(newline="", encoding="utf-8") as file:
        return [data / "tiles" / row["file"] for row in csv.DictReader(file) if row["aoi"] == area]


def main() -> None:
    """Scan the tiles of each area with the classifiers of its fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with planet-tiles")
    parser.add_argument("--root", type=Path, required=True, help="folder of the run")
    parser.add_argument("--run", required=True)
    parser.add_argument("--fold", action="append", required=True, metavar="NUMBER=AREA")
    parser.add_argument("--arm", action="append", metavar="ARM", help="default: classic+gan")
    asked = parser.parse_args()
    run, data = find_run(asked.run, asked.root), asked.data / "planet-tiles"
    print("| left out | arm | score | precision | recall | F1 | best F1 | average precision |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for number, _, area in (given.partition("=") for given in asked.fold):
        tiles = tiles_of(data, area)
        for arm in asked.arm or ["classic+gan"]:
            chosen = with_classifier(run, f"classify/fold{number}-f100-r0-{arm}")
            with tempfile.TemporaryDirectory() as folder:
                wish = Wish(truth=data / "tiles", overview=False, table=False)
                outcome = detect(chosen, tiles, Path(folder) / "out.geojson", wish, lambda done, total: None)
            print(row(f"{area}, {len(tiles)} tiles | {arm}", outcome), flush=True)


if __name__ == "__main__":
    main()
