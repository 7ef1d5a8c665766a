"""Further windows of labelled scenes: free of objects, of units that train, and backgrounds of composites alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fixtures.chip_project import ChipProject
from satpipe.composition.compose import Settings
from satpipe.composition.split_objects import composers
from satpipe.config.run import NegativesConfig
from satpipe.dataset.split_chips import RealChips
from satpipe.dataset.tables import CHIPS, EXTRA_KINDS, SPLIT, UNLABELLED

from .test_chips_stage import SHIP, harbour

CLASSES = ("non-ship", "ship")
SPLITS = {"split": {"by": "site", "scheme": "folds", "folds": 3, "replicates": 1, "fractions": [0.5, 1.0]}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The harbour with three further windows for each ship, and without."""
    tmp_path = tmp_path_factory.mktemp("extra")
    scenes, labels = harbour(tmp_path)
    project = ChipProject(tmp_path / "store")
    negatives = {"textured_share": 0.5, "near_miss": "background", "near_miss_share": 0.25}
    return project, [
        project.run(
            scenes, labels, chips={"size_px": 16, "negatives": negatives | {"extra_per_positive": extra}}, **SPLITS
        )
        for extra in (3.0, 0.0)
    ]


def index_of(done):
    return CHIPS.read(done["index"].path / "index.parquet")


def test_extra_windows_show_no_object_and_have_no_class(runs):
    project, (done, _) = runs
    real = RealChips.open(done["index"].path, done["split-final"].path, project.root, CLASSES)
    index = index_of(done)
    extra = index[index["kind"].isin(EXTRA_KINDS)]
    assert len(extra) == 3 * (index["class"] == "ship").sum() - done["index"].metadata["dropped"].get(
        "extra: no room beside the objects", 0
    )
    assert len(extra) > 100
    assert set(extra["class"]) == {UNLABELLED}
    assert not (real.extra.read() == SHIP).all(axis=-1).any()
    assert 0.4 < (extra["kind"] == "extra_textured").mean() < 0.6


def test_extra_windows_change_no_other_chip(runs):
    _, (done, without) = runs
    index, before = index_of(done), index_of(without)
    others = index[index["class"] != UNLABELLED].reset_index(drop=True)
    places = ["chip_id", "class", "kind", "row", "col"]
    pd.testing.assert_frame_equal(others[places], before[places])
    assert done["index"].metadata["chips"] == without["index"].metadata["chips"]


def test_extra_windows_are_of_units_that_train(runs):
    _, (done, _) = runs
    for name in [name for name in done if name.startswith("split-fold")]:
        index = index_of(done).assign(role=SPLIT.read(done[name].path / "split.parquet")["role"].to_numpy())
        used = index[index["kind"].isin(EXTRA_KINDS) & (index["role"] == "unlabelled")]
        sites = {role: set(index.loc[index["role"] == role, "group_site"]) for role in ("train", "validation", "test")}
        assert set(used["group_site"]) == sites["train"] - sites["validation"] - sites["test"]
        assert done[name].metadata["extra"] == len(used)
        assert done[name].metadata["unlabelled"] == 0


def test_composites_lie_on_extra_windows_too(runs):
    project, (done, _) = runs
    real = RealChips.open(done["index"].path, done["split-final"].path, project.root, CLASSES)
    train, labels = real.of("train")
    settings = Settings(in_place=0, in_place_crowded=0, neighbours=0)
    composer = composers(train, labels, [1], 1, settings, real.extra)[1]
    names = pd.Series(np.array(composer.backgrounds.chip_ids)[composer.compose(range(400)).grounds])
    whole = ((labels == 0) & (train.index["kind"] != "near_miss")).sum()  # a part of an object looks like no background
    assert abs(names.str.contains(r"#[xy]").mean() - len(real.extra) / (len(real.extra) + whole)) < 0.1


def test_a_grid_leaves_no_further_windows():
    with pytest.raises(ValueError, match="grid, which takes every window"):
        NegativesConfig(method="grid", extra_per_positive=1.0)
