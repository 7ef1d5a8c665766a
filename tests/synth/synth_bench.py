"""A split of simple chips and a generator nobody trained, written by hand, and jobs of the synth stage on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline import generator as generators
from pipeline import scaling
from pipeline.chipstore import write_shard
from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.parts import Done, Job, Part, PlanContext, Ref
from pipeline.progress import Progress
from pipeline.synth.stage import plan
from pipeline.tables import CHIPS, SPLIT

SIZE = 16
NAME = "fold1-f050-r2"
CLASSES = ("non-ship", "ship")


def bars(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Chips (N, 16, 16, 3) uint8: dark noise, with a bright bar somewhere for class 1."""
    rng = np.random.default_rng(seed)
    chips = rng.normal(60, 12, (len(labels), SIZE, SIZE, 3))
    for number in np.flatnonzero(labels):
        row, column = rng.integers(3, 7, 2)
        chips[number, row : row + 2, column : column + 8] += 110
    return chips.clip(0, 255).astype(np.uint8)


class Bench:
    """Parts that the synth stage reads."""

    def __init__(self, root: Path, train: int = 40, validation: int = 0) -> None:
        self.root, self.store = root, root / "parts"
        self.settings: dict[str, Any] = {}
        self.labels = np.arange(train + validation + 10) % 2
        self.chips = bars(self.labels)
        self.train = train
        folder = self._part("chips", "index", {})
        names = [f"c{number}" for number in range(len(self.labels))]
        shard = write_shard(self.chips, folder)
        CHIPS.write(
            pd.DataFrame({"chip_id": names, "class": [CLASSES[label] for label in self.labels]}).assign(
                scene_id="s",
                kind="label",
                label_id=pd.NA,
                row=0,
                col=0,
                valid_fraction=1.0,
                footprint=pd.NA,
                shard=shard,
                position=np.arange(len(names)),
            ),
            folder / "index.parquet",
        )
        roles = ["train"] * train + ["validation"] * validation + ["test"] * 10
        facts = {"fold": 1, "fraction": 0.5, "replicate": 2}
        split = pd.DataFrame({"chip_id": names, "role": roles, "unit": "u"})
        SPLIT.write(split, self._part("chips", "split", facts) / "split.parquet")
        folder = self._part("gan", "generator", {})
        torch.manual_seed(0)
        network = generators.GeneratorNetwork(generators.Architecture(SIZE, 3, 2, 8, 4, "batchnorm", "resize"))
        generators.save(network, CLASSES, {}, folder)
        scaling.fit(self.chips).save(folder / "scaling.json")

    def _part(self, stage: str, digest: str, facts: dict[str, Any]) -> Path:
        folder = self.store / stage / digest
        folder.mkdir(parents=True)
        (folder / "facts.json").write_text(json.dumps(facts))
        return folder

    def context(self, classify: dict[str, Any] | None = None) -> PlanContext:
        """What the planner is handed."""

        def done(stage: str, name: str, digest: str) -> Done:
            return Done(Ref(stage, name, digest), self.store / stage / digest)

        config = RunConfig.model_validate(
            {"ingest": {"sources": [{"type": "simulated"}]}, "synth": self.settings, "classify": classify or {}}
        )
        chips = {"index": done("chips", "index", "index"), f"split-{NAME}": done("chips", f"split-{NAME}", "split")}
        return PlanContext(config, {"chips": chips, "gan": {NAME: done("gan", NAME, "generator")}}, None)

    def planned(self) -> list[Part]:
        """What the stage plans."""
        return list(next(plan(self.context())))

    def job(self, folder: str = "a") -> Job:
        """A job for the planned part."""
        part = self.planned()[0]
        out, scratch = self.root / folder / "out", self.root / folder / "scratch"
        out.mkdir(parents=True)
        scratch.mkdir(parents=True)
        inputs = {
            name: self.store / ref.stage / ref.digest for name, ref in part.inputs.items() if isinstance(ref, Ref)
        }
        return Job(part, out, scratch, self.store, inputs, Profile(), Progress(None))
