"""Accuracy and processor seconds of the classifier on the splits of a project, for several settings side by side.

    satpipe run chips --config my.yaml --root FOLDER
    python benchmarks/classify_accuracy.py FOLDER [--seeds 2] [--setting steps=600] [--setting steps=400,batch=96]

Each split is trained in the arm `classic` with every setting in turn, in one process of one thread, so that another
load on the machine meets all settings alike. To compare two versions of the code, run it under each of them with the
same splits and give both files to `--compare`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from satpipe.config.run import ClassifyConfig, ScalingConfig
from satpipe.dataset import scaling as scalings
from satpipe.dataset.split_chips import RealChips
from satpipe.models.classifier import SHIP_CONVNET, Architecture, decide, run_blocks, softmax
from satpipe.models.device import Profile
from satpipe.stages.classify.calibrate import balanced_accuracy, fit_temperature, fit_threshold
from satpipe.stages.classify.train import ChipSet, train
from sklearn.metrics import average_precision_score


def splits_of(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (index folder, split folder) of each fold's split in a project, by the split's name."""
    records = [json.loads(path.read_text("utf-8")) for path in (root / "data" / "records" / "chips").glob("*.json")]
    folders = {record["name"]: root / "data" / "parts" / "chips" / record["digest"] for record in records}
    return {
        name: (folders["index"], folder) for name, folder in sorted(folders.items()) if name.startswith("split-fold")
    }


def chips_of(root: Path, folders: tuple[Path, Path], role: str) -> ChipSet:
    """Return the chips of one role of a split."""
    store, labels = RealChips.open(*folders, root / "data" / "parts", ("non-ship", "ship")).of(role)
    return ChipSet(np.asarray(store.pixels()), labels, np.zeros(len(labels), bool))


def measured(sets: dict[str, ChipSet], config: ClassifyConfig, profile: Profile, seed: int) -> dict[str, Any]:
    """Train once; return processor seconds, the chosen step, and the scores on the test chips."""
    chips = sets["train"].chips
    scaling = scalings.fit(chips, **ScalingConfig().model_dump(mode="json"))
    architecture = Architecture(
        SHIP_CONVNET, chips.shape[3], ("non-ship", "ship"), chips.shape[1], config.base_channels
    )
    started = time.process_time()
    trained = train(
        sets["train"], sets["validation"], architecture, scaling, config, profile, augmentation="classic", seed=seed
    )
    seconds = time.process_time() - started
    logits = run_blocks(trained.network, scaling, sets["validation"].chips, config.orientations)
    temperature = fit_temperature(logits, sets["validation"].labels)
    threshold = fit_threshold(1 - softmax(logits, temperature)[:, 0], sets["validation"].labels)
    probabilities = softmax(run_blocks(trained.network, scaling, sets["test"].chips, config.orientations), temperature)
    labels = sets["test"].labels
    return {
        "seconds": seconds,
        "step": trained.step,
        "balanced_accuracy": balanced_accuracy(decide(probabilities, threshold), labels),
        "average_precision": float(average_precision_score(labels > 0, 1 - probabilities[:, 0])),
        "history": trained.history,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return each setting's means beside the first one's, with the spread of the differences over the trainings."""
    frame = pd.DataFrame(rows).drop(columns="history")
    wide = frame.pivot_table(index=["split", "seed"], columns="setting", sort=False).dropna()
    first = frame["setting"].iloc[0]
    heads = ("setting", "CPU s", "ratio", "chosen step", *2 * ("{}", "minus the first (s.e.)"))
    lines = [f"| {' | '.join(heads)} |".format("balanced accuracy", "average precision"), "|---" * len(heads) + "|"]
    for setting in dict.fromkeys(frame["setting"]):
        cells = [setting, f"{wide['seconds', setting].median():.1f}"]
        cells.append(f"{(wide['seconds', first] / wide['seconds', setting]).median():.2f}")
        cells.append(f"{wide['step', setting].mean():.0f}")
        for measure in ("balanced_accuracy", "average_precision"):
            difference = 100 * (wide[measure, setting] - wide[measure, first])
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            cells += [f"{100 * wide[measure, setting].mean():.1f}", f"{difference.mean():+.2f} ({error:.2f})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table with one row for each setting, and write every training as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", help="folder of a project whose chips are cut")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each split and setting")
    parser.add_argument("--splits", nargs="+", help="names of splits, as split-fold0-f100-r0; all by default")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the training chips of each class")
    parser.add_argument("--setting", action="append", default=[], help="keys of `classify`, as steps=400,batch=96")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--name", default="", help="put before the name of each setting, for `--compare`")
    parser.add_argument("--out", type=Path, help="file for one line of JSON a training; appended to")
    parser.add_argument("--compare", type=Path, nargs="+", help="train nothing: the table of such files together")
    options = parser.parse_args()
    if options.compare:
        files = [path.read_text("utf-8").splitlines() for path in options.compare]
        print(table([json.loads(line) for lines in files for line in lines]))
        return
    profile = Profile("cpu", options.precision, "channels_last", 1)
    rows: list[dict[str, Any]] = []
    found_splits = splits_of(options.root)
    for name in options.splits or found_splits:
        folders = found_splits[name]
        sets = {role: chips_of(options.root, folders, role) for role in ("train", "validation", "test")}
        for seed in range(options.seeds):
            sets["train"] = share(chips_of(options.root, folders, "train"), options.fraction, seed)
            for setting in options.setting or [""]:
                keys = yaml.safe_load("{" + setting.replace("=", ": ") + "}") or {}
                results = measured(sets, ClassifyConfig.model_validate(keys), profile, seed)
                rows.append({"setting": options.name + setting, "split": name, "seed": seed, **results})
                if options.out:
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


def share(chips: ChipSet, fraction: float, seed: int) -> ChipSet:
    """Return a share of the chips of each class, drawn by the seed."""
    if fraction == 1:
        return chips
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(chips.labels == number)) for number in np.unique(chips.labels)]
    chosen = np.sort(np.concatenate([some[: max(1, round(fraction * len(some)))] for some in rows]))
    return ChipSet(chips.chips[chosen], chips.labels[chosen], chips.synthetic[chosen])


if __name__ == "__main__":
    main()
