"""Composites a second of one core: real objects, and generated layers, on a split's own backgrounds.

    satpipe run chips --config my.yaml --root FOLDER
    python benchmarks/composites.py FOLDER [--count 512]

Processor seconds of one thread, the best of several turns; a number's composite does not depend on the others, so that
cores add up.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from classify_accuracy import splits_of
from satpipe.composition.compose import Settings
from satpipe.composition.split_objects import composers
from satpipe.dataset.split_chips import RealChips

CLASSES = ("non-ship", "ship")


def main() -> None:
    """Print a table with one row for each source of layers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of a project whose chips are cut, with objects of class 1")
    parser.add_argument("--count", type=int, default=512, help="composites of a turn")
    parser.add_argument("--turns", type=int, default=3, help="turns; the best counts")
    parser.add_argument("--profile", action="store_true", help="print where the time goes too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    index, split = next(iter(splits_of(options.root).values()))
    store, labels = RealChips.open(index, split, options.root / "data" / "parts", CLASSES).of("train")
    started = time.process_time()
    composer = composers(store, labels, [1], 1, Settings())[1]
    print(f"preparing a split of {len(labels)} chips: {time.process_time() - started:.1f} s")
    numbers = np.arange(options.count)
    given = composer.layers[numbers % len(composer.layers)]
    print("| layers | composites per CPU second |\n|---|---|")
    for name, layers in (("real objects", None), ("given, as generated ones are", given)):
        turns = []
        for _ in range(options.turns):
            started = time.process_time()
            composer.compose(numbers, layers)
            turns.append(time.process_time() - started)
        print(f"| {name} | {options.count / min(turns):.0f} |")
    if options.profile:
        with cProfile.Profile() as profile:
            composer.compose(numbers, given)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
