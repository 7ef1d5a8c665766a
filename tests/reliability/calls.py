"""Files that the library opens: broken ones, and what is called with each in a process of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hostile import mutated, odd_json

from pipeline import classifier, generator
from pipeline.chipstore import ChipStore, write_shard
from pipeline.errors import SatpipeError
from pipeline.gan import checkpoint
from pipeline.report.compare import load as load_report
from pipeline.scaling import Scaling
from pipeline.tables import CHIPS

KINDS = ("generator", "classifier", "checkpoint", "chip index", "chip shard", "report")


def sound(kind: str, folder: Path) -> list[str]:
    """Write sound files of a kind; returns the names of those that are attacked in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "generator":
        network = generator.GeneratorNetwork(generator.Architecture(16, 3, 2, 8, 4, "batchnorm", "transposed"))
        generator.save(network, ("sea", "ship"), {"seed": 1}, folder)
        return [generator.WEIGHTS, generator.CARD]
    if kind == "classifier":
        shape = classifier.Architecture(classifier.SHIP_CONVNET, 3, ("sea", "ship"), 16, 4)
        scaling = Scaling((0.0,) * 3, (255.0,) * 3, "uint8")
        classifier.Classifier(shape, classifier.build(shape, 1), scaling, 1.0, 0.5, {}).save(folder)
        return [classifier.WEIGHTS, classifier.CARD]
    if kind == "checkpoint":
        checkpoint.write(folder / "good.safetensors", {"a": torch.arange(64.0), "b": torch.ones(3, 3)}, {"step": 3})
        return ["good.safetensors"]
    if kind == "report":
        folder.joinpath("report.json").write_text(json.dumps({"format": 1, "run": "r", "answer": {"question": {}}}))
        pd.DataFrame({"fold": [0, 1], "score": [0.1, 0.9]}).to_parquet(folder / "predictions.parquet")
        return ["report.json", "predictions.parquet"]
    part = folder / "chips" / "part"
    part.mkdir(parents=True, exist_ok=True)
    chips = np.random.default_rng(1).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
    rows: list[dict[str, object]] = [
        {
            "chip_id": f"c{at}", "scene_id": "s", "class": "ship", "kind": "label", "label_id": None,
            "row": 0, "col": 0,
            "valid_fraction": 1.0, "footprint": "POLYGON ((0 0, 0 1, 1 1, 0 0))", "shard": write_shard(chips, part),
            "position": at,
        }
        for at in range(4)
    ]  # fmt: skip
    CHIPS.write(rows, part / "index.parquet")
    return ["chips/part/index.parquet" if kind == "chip index" else "chips/part/chips.npy"]


def call(kind: str, folder: Path) -> str:
    """Open the files of a kind; what is wrong with them must come as a sentence, which is returned.

    A checkpoint that cannot be read is one that is not there: the training begins anew.
    """
    try:
        if kind == "generator":
            generator.generate(generator.load(folder), [0, 1], [1, 2])
        elif kind == "classifier":
            classifier.load(folder).scores(np.zeros((2, 16, 16, 3), np.uint8))
        elif kind == "checkpoint":
            return "" if checkpoint.read(folder / "good.safetensors") else "no checkpoint"
        elif kind == "report":
            load_report(folder)
        else:
            path = folder / "chips" / "part" / "index.parquet"
            ChipStore.open(CHIPS.read, path, folder).read()
    except SatpipeError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said, said
    assert len(said) < 1500
    return said


def traps(kind: str, canary: Path) -> Iterator[bytes]:
    """Files by hand."""
    if kind == "chip index":
        for shard in (str(canary), f"../../secret/{canary.name}", "./../../secret/x.npy", "a/b/c.npy", ""):
            yield index_with(shard=shard)
        for position in (-1, 4, 2**40):
            yield index_with(position=position)
    if kind == "generator":
        for change in ({"size_px": 2**20 * 16}, {"base_channels": 2**40}, {"z_dim": -3}, {"size_px": 10**300}):
            shape = {
                "size_px": 16, "bands": 3, "classes": 2, "z_dim": 8, "base_channels": 4, "condition": "batchnorm",
                "upsampling": "transposed",
            }  # fmt: skip
            yield json.dumps({"architecture": shape | change, "classes": ["sea", "ship"]}).encode()
        yield b"[" * 100_000


def index_with(**changed: Any) -> bytes:
    """An index of one chip with some values changed."""
    row = {
        "chip_id": "c", "scene_id": "s", "class": "ship", "kind": "label", "label_id": None, "row": 0, "col": 0,
        "valid_fraction": 1.0, "footprint": None, "shard": "./chips.npy", "position": 0,
    }  # fmt: skip
    out = io.BytesIO()
    pd.DataFrame([row | changed]).to_parquet(out)
    return out.getvalue()


def attack(kind: str, number: int, folder: Path, canary: Path) -> str:
    """Write sound files, spoil one of them in the way ``number`` says; returns its name."""
    names = sound(kind, folder)
    by_hand = list(traps(kind, canary))
    if number < len(by_hand):
        (folder / names[-1]).write_bytes(by_hand[number])
        return names[-1]
    rng = np.random.default_rng([number, KINDS.index(kind)])
    name = names[number % len(names)]
    data = (folder / name).read_bytes()
    if name.endswith(".json") and number % 3:
        (folder / name).write_text(json.dumps(odd_json(json.loads(data), rng)))
    else:
        (folder / name).write_bytes(mutated(data, rng))
    return name


def main(kind: str, number: int, folder: str, canary: str) -> None:
    """Attack and call; prints the sentence."""
    name = attack(kind, number, Path(folder), Path(canary))
    print(f"{name}: {call(kind, Path(folder))}")
