"""Is the classifier strong enough, and how should it use synthetic chips? Answered on groups that no test ever sees.

    python benchmarks/classifiers.py --config configs/planet-tiles.yaml --set ingest.sources.0.path=FOLDER ...
    python benchmarks/classifiers.py --question synthetic --config ...       # needs a GAN per split

Two questions. ``classifier``: is the ship ConvNet within a point of balanced accuracy of a wider network, a deeper one,
and HOG and colour features with an SVM, in the arm ``classic``? ``synthetic``: which `classify.synthetic_use` and
`synthetic_share` serve ``classic+gan`` best, beside ``classic``?

Each split of the run has its left-out area, which is not opened here. Candidates are evaluated on chips of groups of
the training areas that neither the classifier nor the GAN has trained on: if the split uses a fraction of the labels,
those of the groups that it leaves unused; if it uses all, those of its validation groups, and then some of its
training chips choose step, temperature and threshold instead. Every candidate sees the same chips.

Results are appended to ``--results``: a training that is in there, with the same code and data, is not run
again. So the benchmark can be stopped, and be run with more replicates later.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from classifier_networks import svm_decisions
from satpipe.commands._common import committed
from satpipe.config.load import load
from satpipe.config.run import RunConfig
from satpipe.dataset.names import split_name
from satpipe.engine.code_digest import definitions_used
from satpipe.engine.digests import digest_of, sha256_file
from satpipe.engine.display import PlainDisplay
from satpipe.engine.progress import Progress
from satpipe.engine.runner import Runner, Selection
from satpipe.engine.task import Task, TaskContext
from satpipe.models.classifier import decide, softmax
from satpipe.models.device import Profile
from satpipe.stages.chips.split import Chips, Request, split
from satpipe.stages.classify.calibrate import fit_temperature, fit_threshold
from satpipe.stages.classify.experiment import SplitChips, fit
from satpipe.stages.classify.train import ChipSet
from section import write_section
from sklearn.metrics import average_precision_score, balanced_accuracy_score

LIMIT = 0.01
"""A classifier further than this from the best candidate is too weak."""
SVM = "HOG, colour, SVM"


@dataclass(frozen=True)
class Candidate:
    """A classifier to try: its name, its arm, and what of ``classify`` differs from the run's configuration."""

    name: str
    arm: str = "classic"
    changes: dict[str, Any] = field(default_factory=dict)


CLASSIFIERS = (
    Candidate("ship ConvNet"),
    Candidate("wider", changes={"model": "classifier_networks:wider"}),
    Candidate("deeper", changes={"model": "classifier_networks:deeper"}),
    Candidate(SVM),
)
USES = (
    Candidate("classic, no synthetic chips"),
    *(
        Candidate(f"{use}, {share:g}", "classic+gan", {"synthetic_use": use, "synthetic_share": share})
        for use in ("mixed", "falling", "pretraining")
        for share in (0.2, 0.33, 0.5)
    ),
)
QUESTIONS = {"classifier": CLASSIFIERS, "synthetic": USES}


@dataclass(frozen=True)
class Trial:
    """One candidate on one split.

    Attributes:
        candidate: What is tried.
        split: Metadata of the split: fold, fraction, replicate.
        config: The run's configuration, as JSON types.
        store: Root of the committed artifacts.
        folders: Folder of each artifact it reads: index, split and, for arms with synthetic chips, synth.
        profile: How it computes.
    """

    candidate: Candidate
    split: dict[str, Any]
    config: dict[str, Any]
    store: str
    folders: dict[str, str]
    profile: Profile

    @property
    def key(self) -> list[Any]:
        """Return what names the result in the file of results: the training, and a digest of all that it depends on."""
        classify = {name: value for name, value in self.config["classify"].items() if name != "arms"}
        tasks = {name: Path(folder).name for name, folder in self.folders.items()}
        depends = [code(), classify | self.candidate.changes, self.candidate.arm, tasks, self.profile.as_json()]
        return [self.candidate.name, *self.split.values(), self.config["seed"], digest_of(depends)[:16]]


@cache
def code() -> dict[str, str]:
    """Return digests of the code that trains and evaluates."""
    networks = Path(__file__).with_name("classifier_networks.py")
    return {**definitions_used("satpipe.stages.classify.experiment:fit"), "classifier_networks": sha256_file(networks)}


def evaluation_split(chips: SplitChips, fraction: float, seed: Sequence[int], background: str) -> SplitChips:
    """Return the split with test chips from groups of the training areas that it does not train on.

    Args:
        chips: The split's chips with their roles; its own test chips are dropped.
        fraction: Real fraction of the split.
        seed: Seed of the draw, where there is one.
        background: Name of the background class.
    """
    rows = chips.rows[chips.rows["role"] != "test"].copy()
    if fraction < 1:
        used = set(rows.loc[rows["role"].isin(["train", "validation"]), "unit"])
        evaluated = (rows["role"] == "unused") & ~rows["unit"].isin(used)
        rows.loc[rows["role"] == "unused", "role"] = "left"
        rows.loc[evaluated, "role"] = "test"
        return SplitChips(rows, chips.chips, chips.classes)
    pool = rows[rows["role"] == "train"]
    names, labels, units = (pool[name].to_numpy(object) for name in ("chip_id", "class", "unit"))
    none = np.zeros((0, 2), np.int64), np.zeros(0, bool), np.zeros(len(pool), bool)
    asked = Request(frozenset(), 1.0, 1.0, 0.25, background, seed[0], seed[1])
    again = split(Chips(names, labels, units, units, units, *none), asked)
    rows.loc[rows["role"] == "validation", "role"] = "test"
    rows.loc[pool.index, "role"] = again.role
    return SplitChips(rows, chips.chips, chips.classes)


def run(task: Trial) -> dict[str, Any]:
    """Train one candidate and evaluate it."""
    began = time.perf_counter()
    classes = tuple(task.config["ingest"]["classes"])
    classify = task.config["classify"] | task.candidate.changes
    classify.pop("arms")
    config = {
        "arm": task.candidate.arm,
        "classify": classify,
        "scaling": task.config["chips"]["scaling"],
        "classes": list(classes),
        "seed": task.config["seed"],
        **task.split,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(folder) for name, folder in task.folders.items()}
        task = Task("classify", split_name(**task.split), "", config=config)
        context = TaskContext(
            task, Path(scratch), Path(scratch), Path(task.store), folders, task.profile, Progress(None)
        )
        draw = [task.config["seed"], task.split["replicate"]]
        chips = evaluation_split(SplitChips.open(context), task.split["fraction"], draw, classes[0])
        _, evaluated = chips.of("test")
        if task.candidate.name == SVM:
            predicted, scores = by_svm(chips, evaluated, task.config["seed"])
        else:
            predicted, scores = fit(context, chips)[0].predict(evaluated.chips)
    ship = evaluated.labels > 0
    return {
        "key": task.key,
        "candidate": task.candidate.name,
        **task.split,
        "balanced_accuracy": float(balanced_accuracy_score(evaluated.labels, predicted)),
        "at_one_half": float(balanced_accuracy_score(ship, scores > 0.5)),
        "in_hindsight": best_balanced_accuracy(ship, scores),
        "average_precision": float(average_precision_score(ship, scores)),
        "evaluated": [int((~ship).sum()), int(ship.sum())],
        "seconds": round(time.perf_counter() - began, 1),
    }


def best_balanced_accuracy(ship: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Return the balanced accuracy of ships against the rest at the threshold that is best for these very chips."""
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(ship, scores)
    return float((1 + true - false).max() / 2)


def by_svm(chips: SplitChips, evaluated: ChipSet, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return class indices and scores of the test chips by the support vector machine."""
    _, train = chips.of("train")
    _, chosen_by = chips.of("validation")
    high = float(train.chips.max())
    choose, decisions = svm_decisions(
        (train.chips, train.labels), (chosen_by.chips, chosen_by.labels), evaluated.chips, high, seed
    )
    # Decision values as logits: temperature and threshold are then found as the networks' are.
    logits = [np.column_stack([np.zeros(len(values)), 3 * values]) for values in (choose, decisions)]
    temperature = fit_temperature(logits[0], chosen_by.labels)
    probabilities = [softmax(values, temperature) for values in logits]
    threshold = fit_threshold(probabilities[0][:, 1], chosen_by.labels)
    return decide(probabilities[1], threshold), probabilities[1][:, 1]


# ----------------------------------------------------------------------------------------------------- splits


def tasks(
    runner: Runner, config: RunConfig, candidates: Sequence[Candidate], replicates: int, fractions: Sequence[float]
) -> Iterator[Trial]:
    """Yield all trainings, replicates outermost, so that whatever was stopped early is balanced."""
    last = "synth" if any("gan" in candidate.arm for candidate in candidates) else "chips"
    runner.run(config, Selection(last=last))
    done, _ = committed(runner, config, last)
    names = [name for name in done["chips"] if name.startswith("split-fold")]
    splits = sorted(
        (done["chips"][name].metadata | {"name": name.removeprefix("split-")} for name in names), key=_order
    )
    profile = runner.profile(config)
    for metadata in splits:
        if metadata["replicate"] >= replicates or not np.isclose(fractions, metadata["fraction"]).any():
            continue
        for candidate in candidates:
            folders = {"index": done["chips"]["index"].path, "split": done["chips"][f"split-{metadata['name']}"].path}
            if "gan" in candidate.arm:
                folders["synth"] = done["synth"][metadata["name"]].path
            yield Trial(
                candidate,
                {name: metadata[name] for name in ("fold", "fraction", "replicate")},
                config.model_dump(mode="json"),
                str(runner.store.root / "parts"),
                {name: str(path) for name, path in folders.items()},
                profile,
            )


def _order(metadata: dict[str, Any]) -> tuple[int, float, int]:
    return metadata["replicate"], -metadata["fraction"], metadata["fold"]


# ----------------------------------------------------------------------------------------------------- output


def table(results: pd.DataFrame, candidates: Sequence[Candidate]) -> list[str]:
    """Return lines of Markdown: one row per real fraction and candidate, and differences from the first candidate.

    Balanced accuracy is that of the threshold which the choosing chips gave, with its spread over seeds; beside it that
    of one half, and of the best threshold for the evaluated chips themselves, which nobody can know.
    """
    first = candidates[0].name
    head = (
        "| labels | candidate | balanced accuracy | spread | minus the first | threshold 0.5 | in hindsight |"
        " average precision | s |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for fraction, rows in sorted(results.groupby("fraction"), key=lambda pair: -pair[0]):
        # Folds are averaged first: a replicate is one answer.
        means = rows.pivot_table(index="replicate", columns="candidate", values="balanced_accuracy")
        others = rows.groupby("candidate")[["at_one_half", "in_hindsight", "average_precision", "seconds"]].mean()
        for candidate in candidates:
            if candidate.name not in means:
                continue
            values = means[candidate.name].dropna()
            apart = (means[candidate.name] - means[first]).dropna()
            error = f" ± {100 * apart.std() / np.sqrt(len(apart)):.1f}" if len(apart) > 1 else ""
            spread = f"{100 * values.std():.1f}" if len(values) > 1 else "–"
            lines.append(
                f"| {100 * fraction:g} % | {candidate.name} | {100 * values.mean():.1f} |"
                f" {spread} | {100 * apart.mean():+.1f}{error if candidate.name != first else ''} |"
                f" {100 * others.loc[candidate.name, 'at_one_half']:.1f} |"
                f" {100 * others.loc[candidate.name, 'in_hindsight']:.1f} |"
                f" {100 * others.loc[candidate.name, 'average_precision']:.1f} |"
                f" {others.loc[candidate.name, 'seconds']:.0f} |"
            )
    return lines


def conclusion(results: pd.DataFrame, question: str, candidates: Sequence[Candidate]) -> tuple[str, bool]:
    """Return the answer in a sentence, and whether the limit is kept."""
    means = results.groupby(["fraction", "replicate", "candidate"])["balanced_accuracy"].mean()
    by_fraction = means.groupby(["fraction", "candidate"]).mean().unstack("candidate")
    if question == "synthetic":
        best = by_fraction.drop(columns=candidates[0].name, errors="ignore").mean().idxmax()
        return f"The use with the highest mean: {best}.", True
    behind = by_fraction.max(axis=1) - by_fraction[candidates[0].name]
    worst = float(behind.max())
    says = f"The {candidates[0].name} is at most {100 * worst:.1f} points behind the best candidate"
    return f"{says} (limit {100 * LIMIT:g}).", worst <= LIMIT


def options() -> argparse.Namespace:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--question", choices=list(QUESTIONS), default="classifier", help="what is tried")
    parser.add_argument("--config", type=Path, required=True, help="the run's configuration")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `satpipe run`")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--replicates", type=int, default=3, help="seeds")
    parser.add_argument("--fractions", type=float, nargs="+", default=[1.0, 0.25], help="real fractions")
    parser.add_argument("--candidates", nargs="+", help="names of some of them, the first one of the table among them")
    parser.add_argument(
        "--results", type=Path, help="file of results; default: data/classifiers-QUESTION.jsonl in the root"
    )
    parser.add_argument("--workers", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section is replaced")
    return parser.parse_args()


def main() -> int:
    """Train what is missing, print the table; the exit code is 1 if the classifier is too weak."""
    given = options()
    candidates = [c for c in QUESTIONS[given.question] if not given.candidates or c.name in given.candidates]
    wanted = [f"split.fractions={given.fractions}", f"split.replicates={given.replicates}"]
    config = load(given.config, (*given.set, *wanted), "classifiers")
    from rich.console import Console

    runner = Runner(given.root, PlainDisplay(Console(stderr=True)))
    path = given.results or given.root / "data" / f"classifiers-{given.question}.jsonl"
    specs = list(tasks(runner, config, candidates, given.replicates, given.fractions))
    earlier = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    have = {json.dumps(row["key"]) for row in earlier}
    missing = [task for task in specs if json.dumps(task.key) not in have]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool, path.open("a") as out:
        for number, row in enumerate(pool.map(run, missing), start=1):
            out.write(json.dumps(row) + "\n")
            out.flush()
            earlier.append(row)
            print(f"{number} of {len(missing)}: {row['key'][:4]} {row['balanced_accuracy']:.3f}", flush=True)
    asked = {json.dumps(task.key) for task in specs}
    results = pd.DataFrame([row for row in earlier if json.dumps(row["key"]) in asked])
    says, kept = conclusion(results, given.question, candidates)
    evaluated = results.groupby("fraction")["evaluated"].apply(lambda counts: np.mean([sum(run) for run in counts]))
    how = ", ".join(
        f"{count:.0f} chips evaluated per split at {100 * fraction:g} %" for fraction, count in evaluated.items()
    )
    folds = results["fold"].nunique()
    command = f"`python benchmarks/classifiers.py --question {given.question}`"
    lines = [
        f"{command}: {given.replicates} replicates, {folds} folds; {how}.",
        "",
        *table(results, candidates),
        "",
        says,
    ]
    title = {"classifier": "The classifier", "synthetic": "Use of synthetic chips"}[given.question]
    write_section(title, lines, given.docs)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
