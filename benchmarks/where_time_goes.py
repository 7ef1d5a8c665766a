"""Where the time of a finished run went: seconds of each stage and kind of task, from the records of a project.

    satpipe run all --root FOLDER
    python benchmarks/where_time_goes.py FOLDER

Seconds are those that each task took, tasks that ran beside each other counted each. On a calm machine and with
`compute.threads: 1` they are close to processor seconds; divided by the number of workers, to the time of the run.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pandas as pd


def kind(stage: str, name: str) -> str:
    """Return what a task does without the split, the source's number and the shard it does it for."""
    if stage == "classify":
        return name.split("-")[-1]  # its arm
    title = re.sub(r"(split-)?(fold\d+|random|final)\S*", "", re.sub(r"-?\d+(of\d+)?$", "", name)).strip("-")
    return title or "each split"


def main() -> None:
    """Print a table with one row for each kind of task, and one for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of a project")
    options = parser.parse_args()
    paths = (options.root / "data" / "records").glob("*/*.json")
    records = [json.loads(path.read_text("utf-8")) for path in paths]
    frame = pd.DataFrame(
        {"stage": r["stage"], "task": kind(r["stage"], r["name"]), "seconds": r["seconds"]} for r in records
    )
    total = frame["seconds"].sum()
    print("| stage | tasks | number | s | share |\n|---|---|---|---|---|")
    for stage in sorted(set(frame["stage"]), key=lambda name: -frame.loc[frame["stage"] == name, "seconds"].sum()):
        own = frame[frame["stage"] == stage]
        rows = [("all", own), *own.groupby("task")]
        for task, some in sorted(rows, key=lambda row: -row[1]["seconds"].sum()):
            seconds = some["seconds"].sum()
            if len(rows) > 2 or task == "all":
                print(f"| {stage} | {task} | {len(some)} | {seconds:.1f} | {100 * seconds / total:.0f} % |")
    print(f"| all | | {len(frame)} | {total:.1f} | 100 % |")


if __name__ == "__main__":
    main()
