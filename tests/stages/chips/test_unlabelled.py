"""Windows of scenes without labels: cut, kept out of everything that is trained or tested, and composed on."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fixtures.chip_project import ChipProject, scene, scene_row, write_tif
from satpipe.composition.compose import Settings
from satpipe.composition.split_objects import behind, composers
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.split_chips import RealChips, labelled
from satpipe.dataset.tables import CHIPS, SPLIT, UNLABELLED

from .test_chips_stage import harbour

CLASSES = ("non-ship", "ship")
SECTIONS = {
    "ingest": {
        "sources": [
            {"type": "folders", "path": "x", "name": "test"},
            {"type": "unlabelled", "path": "y", "windows": 40},
        ]
    },
    "split": {"by": "site", "scheme": "folds", "folds": 3, "replicates": 1, "random_replicates": 1},
}


def unlabelled_scene(tmp_path, name, east, site, side=160):
    """A scene of bright noise with a place on the ground, of the source without labels."""
    pixels = np.random.default_rng(len(name)).integers(180, 240, (side, side, 3)).astype(np.uint8)
    path = write_tif(tmp_path / name, pixels)
    transform = json.dumps([3, 0, east, 0, -3, 4_180_000])
    return scene_row(scene(path, pixels), source="unlabelled", transform=transform, group_site=site)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Six labelled scenes of three sites; unlabelled ones apart, on the ground of the first scene, and of a site."""
    tmp_path = tmp_path_factory.mktemp("unlabelled")
    scenes, labels = harbour(tmp_path)
    scenes += [
        unlabelled_scene(tmp_path, "apart.tif", 700_000, None),
        unlabelled_scene(tmp_path, "same-ground.tif", 550_000, None),
        unlabelled_scene(tmp_path, "same-site.tif", 800_000, "site1"),
    ]
    project = ChipProject(tmp_path / "store")
    return project, project.run(scenes, labels, **SECTIONS)


def roles(made, split):
    project, done = made
    index = CHIPS.read(done["index"].path / "index.parquet")
    roles = SPLIT.read(done[f"split-{split}"].path / "split.parquet")
    return index.assign(role=roles["role"].to_numpy()), done[f"split-{split}"].metadata, project


def test_windows_without_labels_are_cut_and_count_in_no_class(made):
    _, done = made
    index = CHIPS.read(done["index"].path / "index.parquet")
    windows = index[index["kind"] == "unlabelled"]
    assert len(windows) == 40
    assert set(windows["class"]) == {UNLABELLED}
    assert set(windows["scene_id"]) == {"apart.tif", "same-ground.tif", "same-site.tif"}
    assert not set(index.loc[index["class"] == "non-ship", "scene_id"]) & set(windows["scene_id"])
    assert done["index"].metadata["chips"] == {"non-ship": 168, "ship": 84}
    assert set(done["index"].metadata["groups"]["site"]) == {"site0", "site1", "site2"}
    assert done["duplicates"].metadata["joined"]["site"] == []


def test_windows_of_evaluated_places_are_left_out_of_a_split(made):
    folds = [name.removeprefix("split-") for name in made[1] if name.startswith("split-fold")]
    seen = set()
    for name in folds:
        index, metadata, _ = roles(made, name)
        evaluated = set(index.loc[index["role"].isin(["test", "validation"]), "group_site"])
        used = set(index.loc[index["role"] == "unlabelled", "scene_id"])
        assert "apart.tif" in used
        assert ("same-site.tif" in used) == ("site1" not in evaluated)
        assert _apart(index)
        assert metadata["unlabelled"] == int((index["role"] == "unlabelled").sum())
        assert UNLABELLED not in {label for counts in metadata["counts"].values() for label in counts}
        seen |= evaluated
    assert seen == {"site0", "site1", "site2"}


def _apart(index):
    """Whether no used window of the scene on the ground of another one overlaps a chip of it that is evaluated."""
    windows = index[(index["scene_id"] == "same-ground.tif") & (index["role"] == "unlabelled")]
    held_out = index[(index["scene_id"] == "s0.tif") & index["role"].isin(["test", "validation"])]
    across, down = (
        np.abs(np.subtract.outer(windows[at].to_numpy(int), held_out[at].to_numpy(int))) for at in ("col", "row")
    )
    return not (np.maximum(across, down) < 16).any()


def test_a_random_split_trains_and_tests_on_labelled_chips_alone(made):
    index, metadata, _ = roles(made, "random-r0")
    assert set(index.loc[index["class"] == UNLABELLED, "role"]) == {"unlabelled"}
    assert sum(sum(counts.values()) for counts in metadata["counts"].values()) == 168 + 84


def test_chips_of_a_run_are_those_with_labels(made):
    project, done = made
    store = ChipStore.open(CHIPS.read, done["index"].path / "index.parquet", project.root)
    assert len(store) == 168 + 84 + 40
    assert set(labelled(store).index["class"]) == set(CLASSES)


def composer_of(made, **settings):
    """What composes the ships of the final split on backgrounds, with the windows without labels."""
    project, done = made
    real = RealChips.open(done["index"].path, done["split-final"].path, project.root, CLASSES)
    train, labels = real.of("train")
    law = Settings(in_place=0, in_place_crowded=0, **settings)
    return composers(train, labels, [1], 1, law, unlabelled=real.unlabelled)[1]


def test_half_of_the_composites_lie_on_windows_without_labels(made):
    composer = composer_of(made, neighbours=0)
    composites = composer.compose(range(400))
    names = np.array(composer.backgrounds.chip_ids)[composites.grounds]
    share = pd.Series(names).str.contains("apart|same").mean()
    assert 0.42 < share < 0.58  # two standard errors of a half in 400, and a little
    bright = composites.chips[:, :3].mean(axis=(1, 2, 3)) > 150
    assert (bright == pd.Series(names).str.contains("apart|same").to_numpy()).mean() > 0.95


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_windows_without_labels_is_the_one_asked_for(made, share):
    composer = composer_of(made, unlabelled_share=share, neighbours=0)
    names = np.array(composer.backgrounds.chip_ids)[composer.compose(range(50)).grounds]
    assert pd.Series(names).str.contains("apart|same").mean() == share


def test_what_lies_behind_composites_is_of_labelled_scenes(made):
    composer = composer_of(made, unlabelled_share=1.0)
    assert composer.without_objects(range(20)).mean(axis=(1, 2, 3)).min() > 150  # windows without labels are bright
    assert behind({1: composer}, 20, 0).mean(axis=(1, 2, 3)).max() < 150


def test_without_such_scenes_composites_are_as_before(made):
    project, done = made
    real = RealChips.open(done["index"].path, done["split-final"].path, project.root, CLASSES)
    train, labels = real.of("train")
    alone, none = (
        composers(train, labels, [1], 1, Settings(), unlabelled=windows)[1] for windows in (None, train.take([]))
    )
    np.testing.assert_array_equal(alone.compose(range(20)).chips, none.compose(range(20)).chips)
