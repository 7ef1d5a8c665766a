"""A small chip store, written by hand, and jobs on it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import names
from pipeline.chipstore import write_shard
from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.gan.stage import plan
from pipeline.parts import Done, Job, Part, PlanContext, Ref
from pipeline.progress import Progress
from pipeline.tables import CHIPS, SPLIT

SIZE = 16


def toy_chips(
    count: int, bands: int = 3, seed: int = 0, size: int = SIZE, classes: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise, and dark noise with a bright bar in its middle for class 1; labels take turns."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    chips = rng.normal(60, 10, (count, size, size, bands))
    chips[labels == 1, size // 2 - 2 : size // 2 + 2, 3:-3] += 120
    return chips.clip(0, 255).astype(np.uint8), labels


def write_store(
    root: Path,
    train: int = 40,
    validation: int = 16,
    classes: tuple[str, ...] = ("non-ship", "ship"),
    size: int = SIZE,
    bands: int = 3,
    test: int = 0,
) -> None:
    """Commit the parts `chips/index` and `chips/split-fold0-f100-r0` by hand."""
    chips, labels = toy_chips(train + validation + test, bands, 0, size, len(classes))
    index_folder, split_folder = root / "chips" / "aa", root / "chips" / "bb"
    index_folder.mkdir(parents=True)
    split_folder.mkdir(parents=True)
    shard = write_shard(chips, index_folder)
    rows = [
        {
            "chip_id": f"c{number:03d}",
            "scene_id": "s",
            "class": classes[label],
            "kind": "label",
            "label_id": None,
            "row": 0,
            "col": 0,
            "valid_fraction": 1.0,
            "footprint": None,
            "shard": shard,
            "position": number,
        }
        for number, label in enumerate(labels)
    ]
    CHIPS.write(rows, index_folder / "index.parquet")
    roles = ["train"] * train + ["validation"] * validation + ["test"] * test
    SPLIT.write(
        [{"chip_id": row["chip_id"], "role": role, "unit": "u"} for row, role in zip(rows, roles, strict=True)],
        split_folder / "split.parquet",
    )
    (index_folder / "facts.json").write_text(f'{{"shape": [{size}, {size}, {bands}]}}')
    (split_folder / "facts.json").write_text('{"fold": 0, "fraction": 1.0, "replicate": 0}')
    tables = root / "ingest" / "cc"
    tables.mkdir(parents=True)
    (tables / "facts.json").write_text('{"licences": ["CC0-1.0"], "simulated": true}')


def context(root: Path, **gan: Any) -> PlanContext:
    """What the planner would be handed for the store of :func:`write_store`."""
    sections = {"ingest": {"sources": [{"type": "simulated"}]}, "chips": gan.pop("chips", {})}
    config = RunConfig.model_validate(sections | {"gan": gan})
    split = names.split_name(0, 1.0, 0)

    def done(stage: str, name: str, digest: str) -> Done:
        return Done(Ref(stage, name, digest), root / stage / digest)

    return PlanContext(
        config,
        {
            "ingest": {"tables": done("ingest", "tables", "cc")},
            "chips": {
                "index": done("chips", "index", "aa"),
                f"split-{split}": done("chips", f"split-{split}", "bb"),
                "split-random": done("chips", "split-random", "bb"),
                f"split-{names.FINAL}": done("chips", f"split-{names.FINAL}", "bb"),
            },
        },
        None,
    )


def planned(root: Path, **gan: Any) -> list[Part]:
    """The parts that the stage plans."""
    return list(next(plan(context(root, **gan))))


def job_in(
    store: Path, folder: Path, profile: Profile | None = None, classes: tuple[str, ...] | None = None, **gan: Any
) -> Job:
    """A job for the first planned part, with its output and checkpoints in ``folder``."""
    part = planned(store, **({"images": 64, "base_channels": 4, "checkpoint_images": 32, "batch": 8} | gan))[0]
    if classes is not None:
        part = replace(part, config=dict(part.config) | {"classes": list(classes)})
    out, scratch = folder / "out", folder / "scratch"
    for path in (out, scratch):
        path.mkdir(parents=True, exist_ok=True)
    inputs = {name: store / ref.stage / ref.digest for name, ref in part.inputs.items() if isinstance(ref, Ref)}
    return Job(part, out, scratch, store, inputs, profile or Profile(), Progress(None))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
