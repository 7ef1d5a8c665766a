"""Data that the page shows, read from the artifacts of a run; no analysis."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...dataset.chip_store import ChipStore
from ...dataset.parquet import checked
from ...dataset.tables import CHIPS, SPLIT, SYNTHETIC
from ...engine.task import ArtifactRef, TaskContext, read_metadata
from ...utils.bounded_files import read_json
from ...utils.csv_safety import unescaped_table
from .stats.predictions import tested


@dataclass(frozen=True)
class Split:
    """A split, and the generator and synthetic chips that were made for it.

    Attributes:
        name: Name of the split.
        metadata: Metadata of its artifact.
        folder: Folder of its artifact.
        gan: Folder of its generator, or None.
        synth: Folder of its synthetic chips, or None.
    """

    name: str
    metadata: Mapping[str, Any]
    folder: Path
    gan: Path | None
    synth: Path | None


@dataclass(frozen=True)
class ReportData:
    """Everything of a run that its page is made from.

    Attributes:
        config: The run's configuration, without what does not shape results.
        answer: verdict.json.
        metrics: metrics.csv.
        predictions: predictions.parquet.
        tables: Metadata of ingest's tables.
        scenes: Folder of ingest's tables.
        index: Metadata of the chip index.
        chips: The real chips, without their outlines.
        outlines: File of their index, which has the outlines.
        splits: Splits of the experiment, by name.
        classifiers: Folders of the classifiers of the experiment, by split and arm such as ``fold0-f100-r3-classic``.
        final: Folder of the final classifier.
        store: Root of the committed artifacts.
        provenance: Stage, name and digest of each artifact that was read.
    """

    config: Mapping[str, Any]
    answer: Mapping[str, Any]
    metrics: pd.DataFrame
    predictions: pd.DataFrame
    tables: Mapping[str, Any]
    scenes: Path
    index: Mapping[str, Any]
    chips: ChipStore
    outlines: Path
    splits: Mapping[str, Split]
    classifiers: Mapping[str, Path]
    final: Path
    store: Path
    provenance: Sequence[tuple[str, str, str]] = field(default_factory=tuple)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return class names, background first."""
        return tuple(self.config["ingest"]["classes"])

    @property
    def arms(self) -> list[str]:
        """Return the arms in the order of the experiment."""
        return list(dict.fromkeys(self.metrics.loc[self.metrics["kind"] == "arm", "arm"]))

    @property
    def two_arms(self) -> tuple[str, str]:
        """Return the two arms of the verdict, baseline first."""
        question = self.answer["question"]
        return question["baseline"], question["treatment"]

    @property
    def tested(self) -> pd.DataFrame:
        """Return the test predictions at the verdict's fraction."""
        return tested(self.predictions, self.answer["question"]["fraction"])

    def verdict_splits(self) -> list[Split]:
        """Return the splits of the verdict's fraction."""
        fraction = self.answer["question"]["fraction"]
        return [split for split in self.splits.values() if math.isclose(split.metadata["fraction"], fraction)]

    def shown_splits(self) -> list[Split]:
        """Return the splits that pictures come from: one per fold, the verdict's fraction, first replicate."""
        splits = self.verdict_splits()
        first = min((split.metadata["replicate"] for split in splits), default=0)
        return sorted(
            (split for split in splits if split.metadata["replicate"] == first), key=lambda item: item.metadata["fold"]
        )


def by_name(context: TaskContext, name: str) -> dict[str, Path]:
    """Return the folders of a group of inputs, by the name of their artifact."""
    refs = context.task.inputs.get(name, ())
    folders = context.folders(name) if name in context.inputs else ()
    return {ref.name: folder for ref, folder in zip(refs if isinstance(refs, tuple) else (refs,), folders, strict=True)}


def read(context: TaskContext) -> ReportData:
    """Read what the page is made from."""
    verdict, index = context.folder("verdict"), context.folder("index")
    gans, synths = by_name(context, "gan"), by_name(context, "synth")
    splits = {
        name: Split(name, read_metadata(folder), folder, gans.get(name), synths.get(name))
        for name, folder in (
            (name.removeprefix("split-"), folder) for name, folder in by_name(context, "splits").items()
        )
    }
    refs = [ref for group in context.task.inputs.values() for ref in (group if isinstance(group, tuple) else (group,))]
    return ReportData(
        config=context.config["config"],
        answer=read_json(verdict / "verdict.json"),
        metrics=unescaped_table(pd.read_csv(verdict / "metrics.csv", dtype={"fold": "Int64"})),
        predictions=pd.read_parquet(checked(verdict / "predictions.parquet")),
        tables=read_metadata(context.folder("tables")),
        scenes=context.folder("tables"),
        index=read_metadata(index),
        chips=ChipStore.open(CHIPS.read_bare, index / "index.parquet", context.store),
        outlines=index / "index.parquet",
        splits=splits,
        classifiers=by_name(context, "classifiers"),
        final=context.folder("final"),
        store=context.store,
        provenance=sorted(_row(ref) for ref in refs),
    )


def _row(ref: ArtifactRef) -> tuple[str, str, str]:
    return ref.stage, ref.name, ref.digest


def of_role(data: ReportData, split: Split, role: str) -> ChipStore:
    """Return the real chips of a role in a split, such as ``train``."""
    table = SPLIT.read(split.folder / "split.parquet")
    return data.chips.of(table.loc[table["role"] == role, "chip_id"])


def synthetic(split: Split, store: Path) -> ChipStore | None:
    """Return the split's accepted synthetic chips, or None where it has none."""
    if split.synth is None:
        return None
    chips = ChipStore.open(SYNTHETIC.read, split.synth / "index.parquet", store)
    accepted = chips.where(chips.index["accepted"].to_numpy(dtype=bool))
    return accepted if len(accepted) else None


def sample(chips: ChipStore, label: str, count: int, seed: Sequence[int]) -> ChipStore:
    """Return up to ``count`` chips of a class, drawn at random, not hand-picked."""
    rows = np.flatnonzero((chips.index["class"] == label).to_numpy(dtype=bool))
    selected: npt.NDArray[np.bool_] = np.zeros(len(chips), dtype=bool)
    selected[rows[chosen_mask(len(rows), count, seed)]] = True
    return chips.where(selected)


def chosen_mask(size: int, count: int, seed: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return which of ``size`` things are drawn (size,): up to ``count`` of them, at random."""
    chosen: npt.NDArray[np.bool_] = np.zeros(size, dtype=bool)
    chosen[np.random.default_rng(list(seed)).permutation(size)[:count]] = True
    return chosen


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a training's log, such as a generator's metrics.jsonl; none where there is none."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
