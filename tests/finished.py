"""A finished run by hand: its store, a generator nobody trained, screening, chips and a classifier of bright spots."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pipeline import classifier as classifiers
from pipeline import generator as generators
from pipeline import scaling
from pipeline.chipstore import write_shard
from pipeline.compute import Profile
from pipeline.config import RunConfig
from pipeline.config_base import as_json
from pipeline.parts import Part
from pipeline.store import Store, canonical, digest_of
from pipeline.synth import kept
from pipeline.synth.make import MIN_TEXTURE, Teacher
from pipeline.synth.scorer import train_panel
from pipeline.synth.screen import Limits
from pipeline.tables import CHIPS, SPLIT

CLASSES = ("non-ship", "ship")
SIZE = 16
GSD_M = 3.0


def spots(labels: np.ndarray, seed: int = 0, dtype: str = "uint8", bands: int = 3) -> np.ndarray:
    """Chips (N, 16, 16, C): dark noise, with a bright spot of 6 x 6 pixels in the middle for class 1."""
    rng = np.random.default_rng(seed)
    chips = rng.normal(60, 8, (len(labels), SIZE, SIZE, bands))
    chips[np.asarray(labels) == 1, 5:11, 5:11] += 120
    return chips.clip(0, 255).astype(dtype)


class BrightMiddle(nn.Module):
    """Logits that say how much brighter a chip's middle is than the rest of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(12.0))

    def forward(self, chips: Tensor) -> Tensor:
        size = chips.shape[-1]
        low, high = size // 2 - 3, size // 2 + 3
        middle = chips[..., low:high, low:high].mean((1, 2, 3))
        excess = middle - chips.mean((1, 2, 3))
        logit = self.gain * (excess - 0.4)
        return torch.stack([-logit, logit], dim=1)


def bright_middle(bands: int, classes: int, size_px: int) -> nn.Module:
    """The factory that the configuration names."""
    return BrightMiddle()


@dataclass
class Finished:
    """A root folder with a run in it."""

    root: Path
    name: str = "harbour"

    def __post_init__(self) -> None:
        self.store = Store(self.root / "data")
        self.store.create()
        self.parts: dict[str, tuple[str, str]] = {}
        source = {"type": "simulated", "licence": "CC-BY-4.0 (the test)", "name": "bay"}
        self.config = RunConfig.model_validate(
            {
                "name": self.name,
                "ingest": {"sources": [source]},
                "chips": {"size_px": SIZE, "gsd_m": GSD_M, "resampling": "average"},
                "classify": {"model": "finished:bright_middle"},
            }
        )

    def add(self, title: str, write: Callable[[Path], dict[str, Any]]) -> Path:
        """Commit a part; `write` fills its folder and returns its facts."""
        stage, _, name = title.partition("/")
        components = {"of": title}
        key = digest_of(components)
        with self.store.staging(key) as folder:
            (folder / "facts.json").write_bytes(canonical(write(folder)) + b"\n")
            record = self.store.commit(folder, Part(stage, name, "pipeline:nothing"), key, components, 1.0)
        self.parts[title] = (stage, key)
        return self.store.folder(record.ref)

    def write(self, **config: Any) -> Finished:
        """Write the run's record."""
        record = {"name": self.name, "state": "finished", "config": as_json(self.config) | config, "parts": self.parts}
        self.store.write_run(self.name, record)
        return self

    def generator(self, dtype: str = "uint8", bands: int = 3, precision: str = "fp32") -> Finished:
        """Add the final generator."""

        def write(folder: Path) -> dict[str, Any]:
            torch.manual_seed(0)
            shape = generators.Architecture(SIZE, bands, 2, 8, 4, "batchnorm", "resize")
            network = generators.GeneratorNetwork(shape)
            # Larger weights than a training begins with, so that z and label show.
            nn.init.normal_(network.entry.weight, 0.0, 0.5)
            for layer, norm in zip(network.layers, network.norms, strict=True):
                nn.init.normal_(layer.weight, 0.0, 0.3)
                nn.init.normal_(norm.bias, 0.0, 0.3)
            card = {"preset": "tiny", "best_images": 64, "train": {"ship": 20}, "profile": {"precision": precision}}
            generators.save(network, CLASSES, card, folder)
            scaling.fit(spots(np.arange(40) % 2, dtype=dtype, bands=bands)).save(folder / "scaling.json")
            return {}

        self.add("gan/final", write)
        return self

    def screening(self, max_distance: float = 4.2) -> Finished:
        """Add what the synth stage keeps for screening; half of the generator's non-ships pass, and no ship does."""

        def write(folder: Path) -> dict[str, Any]:
            labels = np.arange(40) % 2
            chips = spots(labels)
            fitted = scaling.fit(chips)
            panel = train_panel(chips, labels, CLASSES, fitted, Profile(), seed=1)
            limits = Limits(0.5, [max_distance, np.inf], 0.95)
            kept.save(Teacher(chips, labels, fitted, panel, limits), MIN_TEXTURE, folder)
            return {}

        self.add("synth/final", write)
        return self

    def chips(self) -> Finished:
        """Add twelve chips and the final split: eight train, four validate."""
        labels = np.arange(12) % 2

        def index(folder: Path) -> dict[str, Any]:
            rows = {"chip_id": [f"c{number}" for number in range(12)], "class": [CLASSES[one] for one in labels]}
            nothing = {"label_id": pd.NA, "row": 0, "col": 0, "valid_fraction": 1.0, "footprint": pd.NA}
            shard = write_shard(spots(labels, seed=4), folder)
            frame = pd.DataFrame(rows).assign(scene_id="s", kind="label", shard=shard, position=range(12), **nothing)
            CHIPS.write(frame, folder / "index.parquet")
            return {"shape": [SIZE, SIZE, 3], "dtype": "uint8"}

        def split(folder: Path) -> dict[str, Any]:
            roles = ["train"] * 8 + ["validation"] * 4
            SPLIT.write(
                pd.DataFrame({"chip_id": [f"c{number}" for number in range(12)], "role": roles, "unit": "u"}),
                folder / "split.parquet",
            )
            return {}

        self.add("chips/index", index)
        self.add("chips/split-final", split)
        return self

    def classifier(self) -> Finished:
        """Add the final classifier."""

        def write(folder: Path) -> dict[str, Any]:
            architecture = classifiers.Architecture("finished:bright_middle", 3, CLASSES, SIZE, 1)
            network = classifiers.build(architecture, seed=0)
            fitted = scaling.Scaling((0.0,) * 3, (255.0,) * 3, "uint8")
            classifiers.Classifier(architecture, network, fitted, 1.0, 0.5, {"arm": "classic"}, 8).save(folder)
            return {}

        self.add("classify/final", write)
        return self


def tree(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file."""
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data
