"""Where the time of a generator goes: training, and each part of its evaluation, on a split of a project.

    satpipe run chips --config my.yaml --root FOLDER
    python benchmarks/gan_evaluation.py FOLDER --config my.yaml [--images 2400] [--set KEY=VALUE]

A training of few images is timed in CPU seconds of one thread, with one evaluation during training for each of its
parts. What is done once stays as it is, and what grows with the training is scaled to the preset's own length, with
evaluations every `gan.checkpoint_images`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from classify_accuracy import splits_of
from satpipe.config.gan_presets import as_json, resolve
from satpipe.config.load import load
from satpipe.engine.progress import Progress
from satpipe.engine.task import Task, TaskContext
from satpipe.models.device import Profile
from satpipe.stages.gan import make
from satpipe.stages.gan.evaluate import Evaluator
from satpipe.utils.section import as_json as section_json

SECONDS: dict[str, list[float]] = defaultdict(list)


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its CPU seconds kept in :data:`SECONDS`."""

    def wrapped(*given: Any, **named: Any) -> Any:
        started = time.process_time()
        result = function(*given, **named)
        SECONDS[name].append(time.process_time() - started)
        return result

    return wrapped


def main() -> None:
    """Print a table with one row for each part of the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of a project whose chips are cut")
    parser.add_argument("--config", type=Path, required=True, help="the project's configuration")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the configuration")
    parser.add_argument("--images", type=int, default=2400, help="images of the timed training")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    options = parser.parse_args()
    config = load(options.config, overrides=options.set)
    whole = resolve(section_json(config.gan))
    short = replace(whole, images=options.images, layer_images=options.images, whole_images=options.images // 2)
    index, split = next(iter(splits_of(options.root).values()))
    settings = {
        "training": as_json(short),
        "checkpoint_images": options.images,
        "patience_images": None,
        "restarts": 0,
        "scaling": section_json(config.chips.scaling),
        "classes": list(config.ingest.classes),
        "seed": [config.seed, 0],
        "licences": [],
        "preset": config.gan.preset,
    }
    make.prepare_evaluator = timed("feature network and floors", make.prepare_evaluator)
    make.of_generator = timed("usefulness", make.of_generator)
    Evaluator.evaluate = timed("evaluations during training", Evaluator.evaluate)  # type: ignore[method-assign]
    Evaluator.thorough = timed("thorough evaluation", Evaluator.thorough)  # type: ignore[method-assign]
    make.train = timed("training", make.train)
    make.write_outputs = lambda *_: {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "out").mkdir()
        (folder / "scratch").mkdir()
        task = Task("gan", "timed", "", settings, {}, libraries=())
        profile = Profile("cpu", options.precision, "channels_last", 1)
        store = options.root / "data" / "parts"
        inputs = {"index": index, "split": split}
        make.make(TaskContext(task, folder / "out", folder / "scratch", store, inputs, profile, Progress(None)))
    images = (whole.layer_images, whole.whole_images) if len(SECONDS["training"]) == 2 else (whole.images,)
    shown = (options.images, options.images // 2)
    during_training = SECONDS["evaluations during training"]
    trained = sum(
        (seconds - evaluation) * wanted / done
        for seconds, evaluation, wanted, done in zip(SECONDS["training"], during_training, images, shown, strict=False)
    )
    evaluations = [max(1, round(wanted / config.gan.checkpoint_images)) for wanted in images]
    once = ("feature network and floors", "thorough evaluation", "usefulness")
    rows = {name: sum(SECONDS[name]) for name in once}
    rows["evaluations during training"] = sum(a * b for a, b in zip(during_training, evaluations, strict=True))
    print(f"training of {' + '.join(f'{number:,}' for number in images)} images: {trained:.0f} s ({options.precision})")
    print("| evaluation | CPU s | share of the training |\n|---|---|---|")
    for name, seconds in (rows | {"all": sum(rows.values())}).items():
        print(f"| {name} | {seconds:.1f} | {100 * seconds / trained:.0f} % |")


if __name__ == "__main__":
    main()
