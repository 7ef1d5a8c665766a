"""A small chip store, written by hand, and jobs of the classify stage on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.chipstore import write_shard
from pipeline.classify.stage import plan
from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.parts import Done, Job, Part, PlanContext, Ref
from pipeline.progress import Progress
from pipeline.tables import CHIPS, SPLIT, SYNTHETIC

SIZE = 16
SPLIT_NAME = "fold0-f100-r0"
FACTS = {"fold": 0, "fraction": 1.0, "replicate": 0}


def draw_chips(labels: Sequence[int], seed: int = 0, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Dark noise; class 1 has a bright bar somewhere, class 2 a bright square."""
    rng = np.random.default_rng(seed)
    chips = rng.normal(60, 12, (len(labels), SIZE, SIZE, bands))
    for number, label in enumerate(labels):
        row, column = rng.integers(3, 7, 2)
        if label == 1:
            chips[number, row : row + 2, column : column + 8] += 110
        if label == 2:
            chips[number, row : row + 5, column : column + 5] += 110
    return chips.clip(0, 255).astype(dtype)


class Shop:
    """Parts written by hand, and what the planner and the makers get to see of them."""

    def __init__(self, root: Path, classes: tuple[str, ...] = ("non-ship", "ship")) -> None:
        self.root = root
        self.store = root / "parts"
        self.classes = classes
        self.settings: dict[str, Any] = {"steps": 30, "batch": 16, "base_channels": 4, "validate_every": 10}
        self.run_settings: dict[str, Any] = {}
        self.fingerprint: Any = None

    def part(self, stage: str, digest: str, facts: dict[str, Any]) -> Path:
        folder = self.store / stage / digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "facts.json").write_text(json.dumps(facts))
        return folder

    def write_real(
        self, train: int = 36, validation: int = 18, test: int = 18, bands: int = 3, dtype: str = "uint8"
    ) -> None:
        """Index, and one split; labels go round the classes."""
        roles = ["train"] * train + ["validation"] * validation + ["test"] * test
        labels = np.arange(len(roles)) % len(self.classes)
        folder = self.part("chips", "index", {"shape": [SIZE, SIZE, bands]})
        shard = write_shard(draw_chips(labels, bands=bands, dtype=dtype), folder)
        names = [f"chip{number:03d}" for number in range(len(roles))]
        frame = pd.DataFrame({"chip_id": names, "class": [self.classes[label] for label in labels]})
        CHIPS.write(
            frame.assign(
                scene_id="scene",
                kind="label",
                label_id=pd.NA,
                row=0,
                col=0,
                valid_fraction=1.0,
                footprint=pd.NA,
                shard=shard,
                position=np.arange(len(roles)),
            ),
            folder / "index.parquet",
        )
        split = pd.DataFrame({"chip_id": names, "role": roles, "unit": [f"u{n % 5}" for n in range(len(roles))]})
        SPLIT.write(split, self.part("chips", "split", FACTS) / "split.parquet")
        SPLIT.write(split[split["role"] != "test"], self.part("chips", "split-final", {"counts": {}}) / "split.parquet")

    def write_synthetic(self, labels: Sequence[int], accepted: Sequence[bool], bands: int = 3) -> None:
        """Synthetic chips of the split."""
        folder = self.part("synth", "synthetic", {"accepted": {}})
        count = len(labels)
        frame = pd.DataFrame({"chip_id": [f"s{n}" for n in range(count)], "class": [self.classes[n] for n in labels]})
        SYNTHETIC.write(
            frame.assign(
                scene_id="synthetic",
                kind="synthetic",
                label_id=pd.NA,
                row=pd.NA,
                col=pd.NA,
                valid_fraction=1.0,
                footprint=pd.NA,
                shard=write_shard(draw_chips(labels, seed=9, bands=bands), folder),
                position=np.arange(count),
                split=SPLIT_NAME,
                seed=np.arange(count),
                label_score=0.9,
                nearest_distance=1.0,
                accepted=list(accepted),
                reason=pd.NA,
            ),
            folder / "index.parquet",
        )

    def context(self) -> PlanContext:
        """What the planner is handed."""

        def done(stage: str, name: str, digest: str) -> Done:
            return Done(Ref(stage, name, digest), self.store / stage / digest)

        config = RunConfig.model_validate(
            {
                "ingest": {"sources": [{"type": "simulated"}], "classes": list(self.classes)},
                "classify": self.settings,
                **self.run_settings,
            }
        )
        chips = {
            "index": done("chips", "index", "index"),
            f"split-{SPLIT_NAME}": done("chips", f"split-{SPLIT_NAME}", "split"),
            "split-final": done("chips", "split-final", "split-final"),
            "split-random-r0": done("chips", "split-random-r0", "split"),
        }
        names = (SPLIT_NAME, f"brought-diffusion-{SPLIT_NAME}")
        synth = {name: done("synth", name, "synthetic") for name in names}
        return PlanContext(config, {"chips": chips, "synth": synth}, self.fingerprint)

    def planned(self) -> dict[str, Part]:
        """The parts that the stage plans, by arm."""
        return {str(part.config["arm"]): part for part in next(plan(self.context())) if part.name.startswith("fold")}

    def planned_on_random_splits(self) -> list[Part]:
        """The parts that the stage plans on splits that know no groups."""
        return [part for part in next(plan(self.context())) if part.name.startswith("random")]

    def job(self, part: Part, folder: str = "a", profile: Profile | None = None) -> Job:
        """A job for a part, in folders of its own."""
        out, scratch = self.root / folder / "out", self.root / folder / "scratch"
        out.mkdir(parents=True)
        scratch.mkdir(parents=True)
        inputs = {
            name: self.store / ref.stage / ref.digest for name, ref in part.inputs.items() if isinstance(ref, Ref)
        }
        return Job(part, out, scratch, self.store, inputs, profile or Profile(), Progress(None))
