"""The classify stage as the runner sees it: what it plans, and what its task functions leave."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.classify_project import SIZE, SPLIT_NAME, draw_chips
from satpipe.config.run import ClassifyConfig
from satpipe.dataset.arms import parse
from satpipe.dataset.tables import PREDICTIONS
from satpipe.engine.forecast import Extent
from satpipe.engine.plan import Fingerprints
from satpipe.models import classifier
from satpipe.stages.classify.experiment import SplitChips, with_synthetic
from satpipe.stages.classify.stage import forecast, make_classifier, make_final
from satpipe.stages.classify.train import ChipSet
from satpipe.utils.errors import ConfigError, StoreError, TooLittleDataError

FILES = {"predictions.parquet", "classifier.safetensors", "classifier.json", "history.jsonl"}


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_only_gan_arms_read_synthetic_chips(project):
    tasks = project.planned()
    assert list(tasks) == ["real", "classic", "gan", "classic+gan"]
    assert {arm: "synth" in task.inputs for arm, task in tasks.items()} == {
        "real": False,
        "classic": False,
        "gan": True,
        "classic+gan": True,
    }
    assert tasks["classic+gan"].name == "fold0-f100-r0-classic+gan"


def test_the_final_split_is_no_part_of_the_experiment(project):
    assert not [task.name for task in project.planned().values() if "final" in task.name]


def test_the_baseline_alone_is_trained_on_a_random_split_too(project):
    [task] = project.planned_on_random_splits()
    assert (task.name, task.config["arm"]) == ("random-r0-classic", "classic")
    make_classifier(project.task_context(task))
    table = PREDICTIONS.read(project.root / "a" / "out" / "predictions.parquet")
    assert table["role"].value_counts().to_dict() == {"validation": 18, "test": 18}


@pytest.mark.parametrize(
    ("arms", "baseline", "beside"),
    [
        (["real", "gan"], "real", ["real"]),
        (["real", "gan", "classic+gan"], "gan", ["real"]),
        (["gan", "classic+gan"], "gan", []),
    ],
)
def test_a_random_split_never_asks_for_a_generator(project, arms, baseline, beside):
    project.settings["arms"] = arms
    project.run_settings["report"] = {"treatment": arms[-1], "baseline": baseline}
    assert [task.config["arm"] for task in project.planned_on_random_splits()] == beside
    config = project.context().config
    assert forecast(config, Extent(6, 0.0))[0] == 6 * len(arms) + config.split.random_replicates * len(beside) + 1


def test_scaling_is_fitted_on_the_training_chips(project):
    project.run_settings["chips"] = {"scaling": {"method": "deviation", "deviations": 2}}
    context = project.task_context(project.planned()["real"])
    make_classifier(context)
    known = classifier.load(context.out).scaling
    train = SplitChips.open(context).of("train")[1].chips.reshape(-1, 3)
    assert known.low == pytest.approx(train.mean(axis=0) - 2 * train.std(axis=0))
    assert known.high == pytest.approx(train.mean(axis=0) + 2 * train.std(axis=0))


def test_the_synthetic_share_changes_only_synthetic_arms(project):
    before = {arm: task.config for arm, task in project.planned().items()}
    project.settings["synthetic_share"] = 0.6
    after = {arm: task.config for arm, task in project.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"gan", "classic+gan"}


def test_augmentation_changes_only_the_arms_that_use_it(project):
    before = {arm: task.config for arm, task in project.planned().items()}
    project.settings["augment"] = {"scale": 0.3}
    after = {arm: task.config for arm, task in project.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"classic", "classic+gan"}


def test_an_arm_predicts_each_validation_and_test_chip(project):
    context = project.task_context(project.planned()["classic"])
    metadata = make_classifier(context)
    assert {path.name for path in context.out.iterdir()} == FILES
    table = PREDICTIONS.read(context.out / "predictions.parquet")
    assert table["role"].value_counts().to_dict() == {"validation": 18, "test": 18}
    assert set(table["arm"]) == {"classic"}
    assert table["chip_id"].is_unique
    assert table["score"].between(0, 1).all()
    ship = table["score"] > table["threshold"]
    assert (ship == (table["predicted"] == "ship")).all()
    assert metadata["training"] == {"non-ship": 18, "ship": 18}
    assert metadata["synthetic"] == {"non-ship": 0, "ship": 0}


def test_an_arm_learns_what_can_be_learnt(project):
    project.settings |= {"steps": 150, "base_channels": 8}
    context = project.task_context(project.planned()["classic"])
    make_classifier(context)
    table = PREDICTIONS.read(context.out / "predictions.parquet")
    test = table[table["role"] == "test"]
    assert (test["predicted"] == test["class"]).mean() > 0.9


def test_the_same_task_gives_the_same_bytes(project):
    project.write_synthetic([0, 1] * 10, [True] * 20)
    task = project.planned()["classic+gan"]
    jobs = [project.task_context(task, folder) for folder in ("a", "b")]
    for context in jobs:
        make_classifier(context)
    assert digest(jobs[0].out) == digest(jobs[1].out)


def test_only_accepted_synthetic_chips_are_trained_on(project):
    project.write_synthetic([0, 1, 1, 0, 1, 1], [True, True, False, False, True, True])
    metadata = make_classifier(project.task_context(project.planned()["gan"]))
    assert metadata["synthetic"] == {"non-ship": 1, "ship": 3}


def test_without_accepted_chips_the_gan_arm_is_the_arm_without(project):
    project.write_synthetic([0, 1], [False, False])
    tasks = project.planned()
    metadata = {}
    for arm in ("classic", "classic+gan"):
        context = project.task_context(tasks[arm], arm)
        metadata[arm] = make_classifier(context)
    assert "no accepted synthetic chips of non-ship, ship" in metadata["classic+gan"]["note"]
    assert "note" not in metadata["classic"]
    scores = [
        PREDICTIONS.read(project.root / arm / "out" / "predictions.parquet")["score"]
        for arm in ("classic", "classic+gan")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (4, "uint16"), (5, "float32")])
def test_chips_of_other_bands_and_types_train_and_load_again(make_project, bands, dtype):
    project = make_project("non-ship", "ship")
    project.write_real(bands=bands, dtype=dtype)
    context = project.task_context(project.planned()["classic"])
    make_classifier(context)
    loaded = classifier.load(context.out)
    assert loaded.architecture.bands == bands
    assert loaded.scaling.dtype == dtype


def test_three_classes_are_scored_as_background_against_the_rest(make_project):
    project = make_project("water", "bar", "square")
    project.write_real(train=60)
    project.settings |= {"steps": 200, "base_channels": 8}
    context = project.task_context(project.planned()["classic"])
    make_classifier(context)
    table = PREDICTIONS.read(context.out / "predictions.parquet")
    assert ((table["predicted"] == "water") == (table["score"] <= table["threshold"])).all()
    assert set(table["predicted"]) == {"water", "bar", "square"}
    assert (table["predicted"] == table["class"]).mean() > 0.8


def test_a_class_without_training_chips_is_one_sentence(make_project):
    project = make_project("water", "bar", "square")
    project.write_real(train=2)
    with pytest.raises(TooLittleDataError, match="no training chip of class square"):
        make_classifier(project.task_context(project.planned()["real"]))


def test_history_and_card_tell_what_was_chosen(project):
    context = project.task_context(project.planned()["real"])
    metadata = make_classifier(context)
    rows = [json.loads(line) for line in (context.out / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert metadata["best_step"] == best["step"]
    card = json.loads((context.out / "classifier.json").read_text())
    assert card["threshold"] == metadata["threshold"]
    assert card["classes"] == ["non-ship", "ship"]


def test_shuffled_labels_are_the_negative_control(project):
    project.settings["arms"] = ["gan", "shuffled", "classic+shuffled"]
    project.run_settings["report"] = {"treatment": "gan", "baseline": "shuffled"}
    project.write_synthetic([0] * 30 + [1] * 30, [True] * 60)
    tasks = project.planned()
    assert tasks["shuffled"].inputs == tasks["gan"].inputs
    context = project.task_context(tasks["shuffled"])
    real = ChipSet(np.zeros((0, SIZE, SIZE, 3), np.uint8), np.zeros(0, int), np.zeros(0, bool))
    kept = with_synthetic(real, context, parse("gan"), project.classes).labels
    shuffled = with_synthetic(real, context, parse("classic+shuffled"), project.classes).labels
    assert np.bincount(shuffled).tolist() == np.bincount(kept).tolist() == [30, 30]
    assert 0.2 < (shuffled == kept).mean() < 0.8


@pytest.mark.parametrize("arm", ["gan", "classic"])
def test_chips_in_shards_train_as_those_in_memory_do(project, monkeypatch, arm):
    if arm == "classic":
        # Views are not kept across steps then; used once they are the same.
        project.settings["augment"] = {"steps_per_view": 1}
    else:
        project.write_synthetic([0, 1] * 8, [True] * 16)
    task = project.planned()[arm]
    whole, streamed = project.task_context(task, "whole"), project.task_context(task, "streamed")
    make_classifier(whole)
    monkeypatch.setattr("satpipe.dataset.chip_store.IN_MEMORY_BYTES", 0)
    make_classifier(streamed)
    if arm == "gan":
        assert digest(streamed.out) == digest(whole.out)
    else:
        # Which chips share a draw follows from their numbers, so that only the kind of bytes is the same.
        assert set(digest(streamed.out)) == set(digest(whole.out))
    again = project.task_context(task, "again")
    make_classifier(again)
    assert digest(again.out) == digest(streamed.out)


def test_an_external_folder_is_an_arm_alone_and_over_classic(project):
    project.settings |= {
        "folders": [{"name": "diffusion", "path": "anywhere"}],
        "arms": ["classic", "diffusion", "classic+diffusion"],
    }
    project.run_settings["report"] = {"treatment": "classic+diffusion", "baseline": "classic"}
    project.write_synthetic([0, 1] * 8, [True] * 16)
    tasks = project.planned()
    assert tasks["diffusion"].inputs["synth"].name == f"external-diffusion-{SPLIT_NAME}"
    assert tasks["classic+diffusion"].inputs == tasks["diffusion"].inputs
    assert make_classifier(project.task_context(tasks["classic+diffusion"]))["synthetic"] == {"non-ship": 8, "ship": 8}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ["real", "gam"]}, "no arm 'gam'; arms are real, classic, gan, cutpaste, shuffled, classic"),
        ({"arms": ["real", "real"]}, "arms must differ"),
        ({"folders": [{"name": "gan", "path": "x"}]}, "must differ"),
    ],
)
def test_a_wrong_arm_is_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassifyConfig.model_validate(settings)


MODEL = """
from torch import nn

def linear(bands, classes, size_px):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(bands * size_px * size_px, classes))

def wrong(bands, classes, size_px):
    return nn.Flatten()

def nothing(bands, classes, size_px):
    return None

number = 3
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch, project):
    (tmp_path / "my_networks.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    project.fingerprint = Fingerprints(tmp_path / "fingerprints.json")
    return tmp_path / "my_networks.py"


def test_a_network_of_the_users_is_trained_and_loaded_again(project, users_module):
    project.settings["model"] = "my_networks:linear"
    context = project.task_context(project.planned()["classic"])
    make_classifier(context)
    loaded = classifier.load(context.out, model="my_networks:linear")
    assert loaded.scores(draw_chips([0, 1])).shape == (2,)
    with pytest.raises(
        StoreError, match="my_networks:linear, which is not bundled; if you trust that function, name it"
    ):
        classifier.load(context.out)


def test_an_edited_network_is_trained_again(project, users_module):
    project.settings["model"] = "my_networks:linear"
    before = project.planned()["classic"].files
    users_module.write_text(MODEL + "# edited\n")
    assert project.planned()["classic"].files != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_networks:wrong", "gives logits"),
        ("my_networks:nothing", r"not a torch\.nn\.Module"),
        ("my_networks:number", "is not a function"),
        ("my_networks:absent", "cannot be imported"),
    ],
)
def test_a_network_that_cannot_be_used_is_one_sentence(project, users_module, name, message):
    project.settings["model"] = name
    with pytest.raises(ConfigError, match=message):
        make_classifier(project.task_context(project.planned()["classic"]))


def test_a_missing_module_is_noticed_before_anything_starts(project):
    project.settings["model"] = "no_such_package.networks:make"
    with pytest.raises(ConfigError, match=r"no module no_such_package\.networks"):
        project.planned()


def test_the_final_classifier_predicts_nothing(project):
    task = project.planned()["classic"]
    context = project.task_context(replace(task, name="final", config={**task.config, "fold": 0, "replicate": 7}))
    metadata = make_final(context)
    assert {path.name for path in context.out.iterdir()} == FILES - {"predictions.parquet"}
    assert metadata["arm"] == "classic"
