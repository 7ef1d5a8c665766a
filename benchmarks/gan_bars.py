"""How good are the generators of a preset? Measured on left-out areas that nothing was chosen by.

    python benchmarks/gan_bars.py --config configs/planet-tiles.yaml --set ingest.sources.0.path=FOLDER ... \
        --images dcgan=28000 dcgan-lowdata=60000 [--replicates 2] [--docs docs/experiments.md]

For each preset, fold and replicate one generator is trained on all labels of the training areas, as `satpipe run gan`
would: its checkpoint is chosen on validation chips, and the kernel distance, the coverage and the copies are those on
validation chips that its card has. Then the left-out area is opened once, for three classifiers that differ only in
their training chips: the real training chips; as many generated chips of each class as the usefulness on a card is
measured with, unscreened; and as many that screening accepted, which `satpipe run synth` passes on.
The number of images of each preset is chosen so that the trainings take the same time; the processor time of each is in
the table.

Results are appended to ``--results``: a training that is in there is not run again, nor one that the run in
``--root`` has made, or an earlier call with the same settings and chips; the time is missing then. After a change of
the code, begin in another root.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from satpipe.commands._common import committed
from satpipe.config.load import load
from satpipe.config.run import GanConfig, RunConfig
from satpipe.dataset.split_chips import RealChips, class_indices
from satpipe.engine.digests import digest_of
from satpipe.engine.display import PlainDisplay
from satpipe.engine.progress import Progress
from satpipe.engine.runner import Runner, Selection
from satpipe.engine.task import METADATA, PlanContext, Task, TaskContext
from satpipe.models.device import Profile, prepare
from satpipe.models.generator import Generator, generate
from satpipe.models.generator import load as load_generator
from satpipe.models.probe import PER_CLASS, Examples, grade, probabilities, train_probe
from satpipe.stages.gan.inputs import Inputs, read_inputs
from satpipe.stages.gan.stage import make_generator, plan
from satpipe.stages.gan.utility import Sampler, of_generator
from satpipe.stages.synth.stage import make_synthetic
from satpipe.utils.section import as_json
from section import processor, write_section

MADE = "made-from"
"""File beside a generator that says which training it is of."""


@dataclass(frozen=True)
class Trial:
    """One training; ``test`` opens the left-out area, and what the run has ``made`` already is not trained again."""

    preset: str
    task: Task
    store: str
    folders: dict[str, str]
    profile: Profile
    out: str
    synth: dict[str, Any]
    test: bool = True
    made: str | None = None

    @property
    def key(self) -> str:
        """Return what names the result in the file of results."""
        return f"{self.preset} {self.task.config['training']['images']} {self.task.name}"

    @property
    def digest(self) -> str:
        """Of the training's settings and of the chips that it is made from."""
        return digest_of([dict(self.task.config), {name: Path(folder).name for name, folder in self.folders.items()}])


def run(task: Trial) -> dict[str, Any]:
    """Train one generator and evaluate it."""
    out = Path(task.out) / task.key.replace(" ", "-")
    out.mkdir(parents=True, exist_ok=True)
    folders = {name: Path(folder) for name, folder in task.folders.items()}
    with tempfile.TemporaryDirectory() as scratch:
        context = TaskContext(task.task, out, Path(scratch), Path(task.store), folders, task.profile, Progress(None))
        began, started = time.process_time(), time.monotonic()
        made = Path(task.made or out)
        known = task.made is not None or ((out / MADE).is_file() and (out / MADE).read_text("utf-8") == task.digest)
        if not known:
            shutil.rmtree(out)  # what a training that was stopped has left, or another
            out.mkdir()
            (out / METADATA).write_text(json.dumps(make_generator(context)), encoding="utf-8")
            (out / MADE).write_text(task.digest, encoding="utf-8")
        seconds, elapsed = time.process_time() - began, time.monotonic() - started
        metadata = json.loads((made / METADATA).read_text("utf-8"))
        tested = tested_on_left_out(task, context, made) if task.test else {}
    return {
        "key": task.key,
        "preset": task.preset,
        "split": task.task.name,
        "processor_s": None if known else round(seconds),
        "elapsed_s": None if known else round(elapsed),
        **{name: metadata[name] for name in ("images", "best_images", "restarts", "quality", "usefulness")},
        **tested,
    }


def tested_on_left_out(task: Trial, context: TaskContext, made: Path) -> dict[str, Any]:
    """Measure usefulness on the left-out area, and TSTR of screened chips on it and on the validation chips."""
    prepare(task.profile)
    seed = task.task.config["seed"][0]
    inputs = read_inputs(context)
    (_, choosing), opened = inputs.few(), with_test(inputs, context)
    (_, test) = opened.few()
    accepted = screened(task, context, made, inputs)
    if set(accepted.labels.tolist()) != set(range(len(inputs.classes))):
        raise SystemExit(f"{task.key}: screening accepted no chip of a class, so there is nothing to train with")
    network = train_probe(*accepted, len(inputs.classes), seed, task.profile)
    grades = [grade(probabilities(network, chips), labels, inputs.classes) for chips, labels in (choosing, test)]
    return {
        "test": of_generator(sampler_of(load_generator(made, task.profile.device)), opened, seed, task.profile),
        "screened": dict(zip(("validation", "test"), grades, strict=True)),
    }


def sampler_of(generator: Generator) -> Sampler:
    """Return what draws chips of a generator."""
    return lambda label, count, seed: generate(generator, np.full(count, label), np.arange(seed, seed + count))


def screened(task: Trial, context: TaskContext, made: Path, inputs: Inputs) -> Examples:
    """Return the accepted chips that `satpipe run synth` makes with the generator."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {**context.inputs, "generator": made}
        out = Path(scratch)
        config = {**task.synth, "split": task.task.name}
        synth = Task("synth", task.task.name, "", config=config)
        make_synthetic(replace(context, task=synth, out=out, inputs=folders))
        index = pd.read_parquet(out / "index.parquet")
        chips = np.concatenate([np.load(out / name) for name in index["shard"].unique()])
    kept = index["accepted"].to_numpy(bool)
    return Examples(inputs.scaling.apply(chips[kept]), class_indices(index["class"], inputs.classes)[kept])


def with_test(inputs: Inputs, context: TaskContext) -> Inputs:
    """Return the inputs with the left-out area's chips in place of the validation chips."""
    mine, labels = RealChips.open(
        context.folder("index"), context.folder("split"), context.store, context.config["classes"]
    ).of("test")
    return replace(inputs, validation=mine.read(), validation_labels=labels)


def tasks(runner: Runner, config: RunConfig, variants: dict[str, dict[str, Any]], out: Path, test: bool) -> list[Trial]:
    """List all trainings, replicates outermost, so that whatever was stopped early is balanced.

    Args:
        runner: Of the run whose chips are trained on.
        config: Of that run.
        variants: What to call a recipe, and what differs in its `gan` section.
        out: Folder of the generators.
        test: Whether left-out areas are opened.
    """
    runner.run(config, Selection(last="chips"))
    done, _ = committed(runner, config, "chips")
    profile = runner.profile(config)
    trials = []
    for preset, changes in variants.items():
        # Some of a recipe no configuration can change: that is put into the task itself, which no run then has made.
        keys = {name: value for name, value in changes.items() if name in GanConfig.model_fields}
        inner = {name: value for name, value in changes.items() if name not in keys}
        asked = config.model_copy(update={"gan": config.gan.model_copy(update=keys)})
        there = {} if inner else committed(runner, asked, "gan")[0].get("gan", {})
        for task in next(iter(plan(PlanContext(asked, done, None)))):
            if not task.name.startswith("fold"):
                continue
            training = task.config["training"]
            if unknown := sorted(set(inner) - set(training)):
                raise SystemExit(f"{preset}: a recipe has no {', '.join(unknown)}")
            task = replace(task, config={**task.config, "training": training | inner})
            folders = {
                "index": str(done["chips"]["index"].path),
                "split": str(done["chips"][f"split-{task.name}"].path),
            }
            made = str(there[task.name].path) if task.name in there else None
            metadata = done["chips"][f"split-{task.name}"].metadata
            synth = {
                "synth": as_json(config.synth) | {"per_class": PER_CLASS},
                "classes": list(config.ingest.classes),
                "seed": config.seed,
                **{name: metadata[name] for name in ("fold", "fraction", "replicate")},
            }
            tasks = str(runner.store.root / "parts")
            trials.append(Trial(preset, task, tasks, folders, profile, str(out), synth, test, made))
    return sorted(trials, key=lambda task: (task.task.name[-2:], task.task.name, task.preset))


def train_missing(wanted: list[Trial], results: Path, workers: int) -> list[dict[str, Any]]:
    """Return the results of the trainings; those missing from the file of results are made and added to it."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    known = [result for result in map(json.loads, lines) if "screened" in result or not wanted[0].test]
    missing = [task for task in wanted if task.key not in {result["key"] for result in known}]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(run, task) for task in missing]):
            known.append(finished.result())
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[-1]) + "\n")
            print(json.dumps(known[-1]), flush=True)
    by_key = {result["key"]: result for result in known}
    return [by_key[task.key] for task in wanted]


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the section: what was done, every generator, then means with their spread."""
    presets = dict.fromkeys(result["preset"] for result in results)
    lengths = [f"`{name}` {next(f['images'] for f in results if f['preset'] == name):,} images" for name in presets]
    lines = [
        f"`python benchmarks/gan_bars.py` on {processor()}: {', '.join(lengths)}. All",
        "labels of the training areas; the checkpoint is the best on validation sites, where distance, coverage and",
        "copies were measured too, with those of real chips in brackets. The left-out area was opened once. The",
        "last two columns: a classifier trained only on generated chips, all of them or those that screening",
        "accepted, beside one trained only on real chips.",
        "",
        (
            "| preset | split | processor | class | kernel distance (real) | above it | coverage (real) | copies |"
            " trained on synthetic, average precision on the left-out area (trained on real) | by screened ones |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for name, values in result["quality"].items():
            ap = _precisions(result, name)
            lines.append(
                f"| {result['preset']} | {result['split']} | {_seconds(result)} | {name} | {values['kid']:.3f}"
                f" ({values['kid_floor']:.3f}) | {values['kid'] - values['kid_floor']:.3f} | {values['coverage']:.2f}"
                f" ({values['coverage_floor']:.2f}) | {values['copies']:.1%} | {ap['all']:.3f} ({ap['real']:.3f}) |"
                f" {ap['screened']:.3f} |"
            )
    lines += [
        "",
        (
            "| preset | class | above the real distance | share of real coverage | copies at most | share of real"
            " average precision | least of it | the same by screened ones | least of it |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for preset in presets:
        mine = [result for result in results if result["preset"] == preset]
        for name in mine[0]["quality"]:
            quality = [result["quality"][name] for result in mine]
            above = [values["kid"] - values["kid_floor"] for values in quality]
            covered = [values["coverage"] / values["coverage_floor"] for values in quality]
            precisions = [_precisions(result, name) for result in mine]
            shares = [[values[way] / values["real"] for values in precisions] for way in ("all", "screened")]
            useful = " | ".join(f"{spread(share)} | {min(share):.2f}" for share in shares)
            copies = max(values["copies"] for values in quality)
            lines.append(f"| {preset} | {name} | {spread(above)} | {spread(covered)} | {copies:.1%} | {useful} |")
    return lines


def _precisions(result: dict[str, Any], name: str) -> dict[str, float]:
    """Return the average precision for a class on the left-out area, by what was trained on."""
    by = {"all": "synthetic_to_real", "real": "real_to_real"}
    return {
        **{way: result["test"][key]["average_precision"][name] for way, key in by.items()},
        "screened": result["screened"]["test"]["average_precision"][name],
    }


def _seconds(result: dict[str, Any]) -> str:
    return "" if result["processor_s"] is None else f"{result['processor_s']} s"


def spread(values: list[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def parser_of(description: str | None, root: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark that trains GANs on real data."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="configuration with the real data")
    parser.add_argument("--set", action="append", default=[], help="set one key, as `satpipe run --set`")
    parser.add_argument("--root", type=Path, default=Path("data/benchmarks") / root, help="folder of the run")
    parser.add_argument("--results", type=Path, help="file of results; default: results.jsonl in the root")
    parser.add_argument("--replicates", type=int, default=2, help="replicates of each fold")
    parser.add_argument("--workers", type=int, default=2, help="trainings at the same time, one thread each")
    parser.add_argument("--docs", type=Path, help="Markdown file to put the section into")
    return parser


def trained(options: argparse.Namespace, variants: dict[str, dict[str, Any]], test: bool) -> list[dict[str, Any]]:
    """Return the results of the trainings of all variants, by the options of :func:`parser_of`."""
    config = load(options.config, (*options.set, f"split.replicates={options.replicates}"), None)
    runner = Runner(options.root, PlainDisplay(Console()))
    wanted = tasks(runner, config, variants, options.root / "generators", test)
    return train_missing(wanted, options.results or options.root / "results.jsonl", options.workers)


def main() -> None:
    """Train what is missing and print the tables."""
    parser = parser_of(__doc__, "gan-bars")
    parser.add_argument("--images", nargs="+", required=True, metavar="PRESET=N", help="presets and their images")
    options = parser.parse_args()
    images = {name: int(count) for name, count in (text.split("=") for text in options.images)}
    recipes = {name: {"preset": name, "images": count} for name, count in images.items()}
    write_section("Generators on left-out areas", table(trained(options, recipes, test=True)), options.docs)


if __name__ == "__main__":
    main()
