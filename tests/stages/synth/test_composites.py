"""Composites: of generated and of real objects, with masks that say where they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.gan_project import context_in, write_store
from satpipe.config.run import RunConfig
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.orientations import ORIENTATIONS, oriented
from satpipe.dataset.tables import CHIPS, SYNTHETIC
from satpipe.engine.task import METADATA, TaskContext
from satpipe.stages.gan.stage import make_generator
from satpipe.stages.synth.filters import OBJECT, UNLEARNED
from satpipe.stages.synth.stage import learn_screening, make_cutpaste, make_synthetic

NAME = "fold0-f100-r0"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskContext:
    """A synth task on a split of bars with masks, whose generator has seen a few of them."""
    monkeypatch.setattr("satpipe.stages.gan.features.STEPS", 3)
    monkeypatch.setattr("satpipe.models.probe.STEPS", 3)
    store = tmp_path / "store"
    write_store(store, masks=True)
    gan = context_in(store, tmp_path / "gan", images=64, checkpoint_images=64)
    make_generator(gan)
    config = RunConfig.model_validate(
        {"ingest": {"sources": [{"type": "simulated"}]}, "synth": {"screen": False, "per_class": 20}}
    )
    settings = {
        "synth": config.synth.model_dump(mode="json"),
        "scaling": config.chips.scaling.model_dump(mode="json"),
        "classes": ["non-ship", "ship"],
        "seed": 1,
        "split": NAME,
        "fold": 0,
        "fraction": 1.0,
        "replicate": 0,
    }
    out = tmp_path / "synth" / "aa"
    out.mkdir(parents=True)
    inputs = {name: gan.inputs[name] for name in ("index", "split")} | {"generator": gan.out}
    return replace(gan, task=replace(gan.task, name=NAME, config=settings), out=out, inputs=inputs)


def with_screening(context: TaskContext, **limits: float) -> TaskContext:
    """Return the context of the task with screening, which is learned first."""
    synth = {**context.config["synth"], "screen": True} | limits
    task = replace(context.task, config={**context.config, "synth": synth})
    learned = replace(context, task=task, out=context.out.with_name("screening"))
    learned.out.mkdir()
    learn_screening(learned)
    return replace(context, task=task, inputs={**context.inputs, "screening": learned.out})


def read(context: TaskContext) -> tuple[pd.DataFrame, ChipStore]:
    index = SYNTHETIC.read(context.out / "index.parquet")
    return index, ChipStore.open(SYNTHETIC.read, context.out / "index.parquet", context.out.parents[1])


def test_generated_objects_are_composed_and_masked(context: TaskContext) -> None:
    metadata = make_synthetic(context)
    index, store = read(context)
    assert metadata["accepted"] == {"non-ship": 20, "ship": 20}
    assert metadata["composites"] == 20
    ships = (index["class"] == "ship").to_numpy()
    assert (store.has_masks == ships).all()
    assert index.loc[ships, "length_px"].notna().all()
    assert index.loc[~ships, "length_px"].isna().all()
    assert store.where(ships).masks().shape == (20, 16, 16)


def test_a_generator_that_learned_nothing_yields_nothing(context: TaskContext) -> None:
    screened = with_screening(context, min_label_score=0.0, distance_quantile=1.0)
    metadata = make_synthetic(screened)
    assert metadata["accepted"]["ship"] == 0
    assert metadata["reasons"][OBJECT] == metadata["candidates"]["ship"] == 40
    pasted = replace(screened, out=screened.out.with_name("bb"))
    pasted.out.mkdir()
    assert OBJECT not in make_cutpaste(pasted)["reasons"]


def test_a_class_that_was_not_learned_yields_nothing(context: TaskContext) -> None:
    far = {"kid": 400.0, "kid_floor": 2.0, "precision": 0.1, "precision_floor": 0.9, "coverage": 0.0}
    measured = {"quality": {"non-ship": far | {"coverage_floor": 0.9}}}
    (context.folder("generator") / METADATA).write_text(json.dumps(measured), "utf-8")
    metadata = make_synthetic(with_screening(context, min_label_score=0.0))
    assert metadata["accepted"]["non-ship"] == 0
    assert metadata["reasons"][UNLEARNED] == metadata["candidates"]["non-ship"] == 20
    assert "non-ship (20 wanted)" in metadata["note"]


def test_real_objects_are_pasted_without_a_generator(context: TaskContext) -> None:
    pasted = replace(context, inputs={name: path for name, path in context.inputs.items() if name != "generator"})
    metadata = make_cutpaste(pasted)
    index, store = read(pasted)
    assert metadata["accepted"] == {"non-ship": 0, "ship": 20}
    assert set(index["class"]) == {"ship"}
    for chip, mask in zip(store.read(), store.masks(), strict=True):
        assert chip[mask > 240].mean() > 120 > chip[mask == 0].mean()


def test_composites_follow_from_their_seed(context: TaskContext) -> None:
    make_synthetic(context)
    first = read(context)[1].read()
    again = replace(context, out=context.out.with_name("bb"))
    again.out.mkdir()
    make_synthetic(again)
    np.testing.assert_array_equal(read(again)[1].read(), first)


def test_without_masks_nothing_is_pasted_and_said(tmp_path: Path, context: TaskContext) -> None:
    write_store(tmp_path / "plain")
    plain = {
        name: tmp_path / "plain" / path.relative_to(context.store)
        for name, path in context.inputs.items()
        if name != "generator"
    }
    pasted = replace(context, inputs=plain, store=tmp_path / "plain")
    metadata = make_cutpaste(pasted)
    assert metadata["accepted"] == {"non-ship": 0, "ship": 0}
    assert "0 of its 20 training chips have an object mask" in metadata["whole"]["ship"]
    assert read(pasted)[0].empty


def test_composites_name_the_real_chip_that_they_lie_on(context: TaskContext) -> None:
    make_synthetic(context)
    index, store = read(context)
    assert index.loc[index["class"] == "non-ship", "background_id"].isna().all()
    rows = index["background_id"].notna().to_numpy()
    assert rows.any()
    real = ChipStore.open(CHIPS.read, context.folder("index") / "index.parquet", context.store)
    grounds = real.of(index.loc[rows, "background_id"])
    assert set(grounds.index["class"]) == {"non-ship"}
    chosen = store.where(rows)
    for chip, mask, ground in zip(chosen.read(), chosen.masks(), grounds.read(), strict=True):
        # Away from the object it is that chip, in one of its orientations, give or take a change of colour.
        views = [oriented(ground[None], turn)[0][mask == 0].astype(float) for turn in range(ORIENTATIONS)]
        apart = [np.abs(chip[mask == 0] - view - (chip[mask == 0] - view).mean(axis=0)).mean() for view in views]
        assert min(apart) < 3
