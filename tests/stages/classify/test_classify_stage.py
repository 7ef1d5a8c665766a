"""The classify stage as the runner sees it: what it plans, and what its makers leave."""

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
from satpipe.engine.plan import Fingerprints
from satpipe.models import classifier
from satpipe.stages.classify.experiment import SplitChips, with_synthetic
from satpipe.stages.classify.stage import forecast, make_classifier, make_final
from satpipe.stages.classify.train import ChipSet
from satpipe.utils.errors import ConfigError, StoreError, TooLittleDataError

FILES = {"predictions.parquet", "classifier.safetensors", "classifier.json", "history.jsonl"}


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_part_for_each_arm_and_only_gan_arms_read_synthetic_chips(shop):
    tasks = shop.planned()
    assert list(tasks) == ["real", "classic", "gan", "classic+gan"]
    assert {arm: "synth" in task.inputs for arm, task in tasks.items()} == {
        "real": False,
        "classic": False,
        "gan": True,
        "classic+gan": True,
    }
    assert tasks["classic+gan"].name == "fold0-f100-r0-classic+gan"


def test_the_final_split_is_no_part_of_the_experiment(shop):
    assert not [task.name for task in shop.planned().values() if "final" in task.name]


def test_the_baseline_alone_is_trained_on_a_random_split_too(shop):
    [task] = shop.planned_on_random_splits()
    assert (task.name, task.config["arm"]) == ("random-r0-classic", "classic")
    make_classifier(shop.task_context(task))
    table = PREDICTIONS.read(shop.root / "a" / "out" / "predictions.parquet")
    assert table["role"].value_counts().to_dict() == {"validation": 18, "test": 18}


@pytest.mark.parametrize(
    ("arms", "baseline", "beside"),
    [
        (["real", "gan"], "real", ["real"]),
        (["real", "gan", "classic+gan"], "gan", ["real"]),
        (["gan", "classic+gan"], "gan", []),
    ],
)
def test_a_random_split_never_asks_for_a_generator(shop, arms, baseline, beside):
    shop.settings["arms"] = arms
    shop.run_settings["report"] = {"treatment": arms[-1], "baseline": baseline}
    assert [task.config["arm"] for task in shop.planned_on_random_splits()] == beside
    config = shop.context().config
    assert forecast(config, 6)[0] == 6 * len(arms) + config.split.random_replicates * len(beside) + 1


def test_chip_values_are_scaled_as_the_configuration_says_by_what_the_training_chips_hold(shop):
    shop.run_settings["chips"] = {"scaling": {"method": "deviation", "deviations": 2}}
    context = shop.task_context(shop.planned()["real"])
    make_classifier(context)
    known = classifier.load(context.out).scaling
    train = SplitChips.open(context).of("train")[1].chips.reshape(-1, 3)
    assert known.low == pytest.approx(train.mean(axis=0) - 2 * train.std(axis=0))
    assert known.high == pytest.approx(train.mean(axis=0) + 2 * train.std(axis=0))


def test_a_changed_synthetic_share_leaves_arms_without_synthetic_chips_as_they_are(shop):
    before = {arm: task.config for arm, task in shop.planned().items()}
    shop.settings["synthetic_share"] = 0.6
    after = {arm: task.config for arm, task in shop.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"gan", "classic+gan"}


def test_a_changed_augmentation_leaves_arms_without_it_as_they_are(shop):
    before = {arm: task.config for arm, task in shop.planned().items()}
    shop.settings["augment"] = {"scale": 0.3}
    after = {arm: task.config for arm, task in shop.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"classic", "classic+gan"}


def test_an_arm_leaves_a_prediction_for_each_validation_and_test_chip(shop):
    context = shop.task_context(shop.planned()["classic"])
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


def test_an_arm_learns_what_can_be_learnt(shop):
    shop.settings |= {"steps": 150, "base_channels": 8}
    context = shop.task_context(shop.planned()["classic"])
    make_classifier(context)
    table = PREDICTIONS.read(context.out / "predictions.parquet")
    test = table[table["role"] == "test"]
    assert (test["predicted"] == test["class"]).mean() > 0.9


def test_the_same_part_gives_the_same_bytes(shop):
    shop.write_synthetic([0, 1] * 10, [True] * 20)
    task = shop.planned()["classic+gan"]
    jobs = [shop.task_context(task, folder) for folder in ("a", "b")]
    for context in jobs:
        make_classifier(context)
    assert digest(jobs[0].out) == digest(jobs[1].out)


def test_only_accepted_synthetic_chips_are_trained_on(shop):
    shop.write_synthetic([0, 1, 1, 0, 1, 1], [True, True, False, False, True, True])
    metadata = make_classifier(shop.task_context(shop.planned()["gan"]))
    assert metadata["synthetic"] == {"non-ship": 1, "ship": 3}


def test_without_an_accepted_chip_the_gan_arm_says_so_and_equals_the_arm_without(shop):
    shop.write_synthetic([0, 1], [False, False])
    tasks = shop.planned()
    metadata = {}
    for arm in ("classic", "classic+gan"):
        context = shop.task_context(tasks[arm], arm)
        metadata[arm] = make_classifier(context)
    assert "no accepted synthetic chips of non-ship, ship" in metadata["classic+gan"]["note"]
    assert "note" not in metadata["classic"]
    scores = [
        PREDICTIONS.read(shop.root / arm / "out" / "predictions.parquet")["score"] for arm in ("classic", "classic+gan")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (4, "uint16"), (5, "float32")])
def test_chips_of_other_bands_and_types_train_and_load_again(make_shop, bands, dtype):
    shop = make_shop("non-ship", "ship")
    shop.write_real(bands=bands, dtype=dtype)
    context = shop.task_context(shop.planned()["classic"])
    make_classifier(context)
    loaded = classifier.load(context.out)
    assert loaded.architecture.bands == bands
    assert loaded.scaling.dtype == dtype


def test_three_classes_are_scored_as_background_against_the_rest(make_shop):
    shop = make_shop("water", "bar", "square")
    shop.write_real(train=60)
    shop.settings |= {"steps": 200, "base_channels": 8}
    context = shop.task_context(shop.planned()["classic"])
    make_classifier(context)
    table = PREDICTIONS.read(context.out / "predictions.parquet")
    assert ((table["predicted"] == "water") == (table["score"] <= table["threshold"])).all()
    assert set(table["predicted"]) == {"water", "bar", "square"}
    assert (table["predicted"] == table["class"]).mean() > 0.8


def test_a_class_without_training_chips_is_one_sentence(make_shop):
    shop = make_shop("water", "bar", "square")
    shop.write_real(train=2)
    with pytest.raises(TooLittleDataError, match="no training chip of class square"):
        make_classifier(shop.task_context(shop.planned()["real"]))


def test_history_and_card_tell_what_was_chosen(shop):
    context = shop.task_context(shop.planned()["real"])
    metadata = make_classifier(context)
    rows = [json.loads(line) for line in (context.out / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert metadata["best_step"] == best["step"]
    card = json.loads((context.out / "classifier.json").read_text())
    assert card["threshold"] == metadata["threshold"]
    assert card["classes"] == ["non-ship", "ship"]


def test_shuffled_labels_are_the_negative_control(shop):
    shop.settings["arms"] = ["gan", "shuffled", "classic+shuffled"]
    shop.run_settings["report"] = {"treatment": "gan", "baseline": "shuffled"}
    shop.write_synthetic([0] * 30 + [1] * 30, [True] * 60)
    tasks = shop.planned()
    assert tasks["shuffled"].inputs == tasks["gan"].inputs
    context = shop.task_context(tasks["shuffled"])
    real = ChipSet(np.zeros((0, SIZE, SIZE, 3), np.uint8), np.zeros(0, int), np.zeros(0, bool))
    kept = with_synthetic(real, context, parse("gan"), shop.classes).labels
    shuffled = with_synthetic(real, context, parse("classic+shuffled"), shop.classes).labels
    assert np.bincount(shuffled).tolist() == np.bincount(kept).tolist() == [30, 30]
    assert 0.2 < (shuffled == kept).mean() < 0.8


@pytest.mark.parametrize("arm", ["gan", "classic"])
def test_chips_that_stay_in_their_shards_train_as_those_in_memory_do(shop, monkeypatch, arm):
    if arm == "classic":
        # Views are not kept across steps then; used once they are the same.
        shop.settings["augment"] = {"uses_of_a_view": 1}
    else:
        shop.write_synthetic([0, 1] * 8, [True] * 16)
    task = shop.planned()[arm]
    whole, streamed = shop.task_context(task, "whole"), shop.task_context(task, "streamed")
    make_classifier(whole)
    monkeypatch.setattr("satpipe.dataset.chip_store.IN_MEMORY_BYTES", 0)
    make_classifier(streamed)
    if arm == "gan":
        assert digest(streamed.out) == digest(whole.out)
    else:
        # Which chips share a draw follows from their numbers, so that only the kind of bytes is the same.
        assert set(digest(streamed.out)) == set(digest(whole.out))
    again = shop.task_context(task, "again")
    make_classifier(again)
    assert digest(again.out) == digest(streamed.out)


def test_a_brought_folder_is_an_arm_alone_and_over_classic(shop):
    shop.settings |= {
        "folders": [{"name": "diffusion", "path": "anywhere"}],
        "arms": ["classic", "diffusion", "classic+diffusion"],
    }
    shop.run_settings["report"] = {"treatment": "classic+diffusion", "baseline": "classic"}
    shop.write_synthetic([0, 1] * 8, [True] * 16)
    tasks = shop.planned()
    assert tasks["diffusion"].inputs["synth"].name == f"external-diffusion-{SPLIT_NAME}"
    assert tasks["classic+diffusion"].inputs == tasks["diffusion"].inputs
    assert make_classifier(shop.task_context(tasks["classic+diffusion"]))["synthetic"] == {"non-ship": 8, "ship": 8}


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
def users_module(tmp_path, monkeypatch, shop):
    (tmp_path / "my_networks.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    shop.fingerprint = Fingerprints(tmp_path / "fingerprints.json")
    return tmp_path / "my_networks.py"


def test_a_network_of_the_users_is_trained_and_loaded_again(shop, users_module):
    shop.settings["model"] = "my_networks:linear"
    context = shop.task_context(shop.planned()["classic"])
    make_classifier(context)
    loaded = classifier.load(context.out, model="my_networks:linear")
    assert loaded.scores(draw_chips([0, 1])).shape == (2,)
    with pytest.raises(
        StoreError, match="my_networks:linear, which is not bundled; if you trust that function, name it"
    ):
        classifier.load(context.out)


def test_an_edited_network_is_trained_again(shop, users_module):
    shop.settings["model"] = "my_networks:linear"
    before = shop.planned()["classic"].files
    users_module.write_text(MODEL + "# edited\n")
    assert shop.planned()["classic"].files != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_networks:wrong", "gives logits"),
        ("my_networks:nothing", r"not a torch\.nn\.Module"),
        ("my_networks:number", "is no function"),
        ("my_networks:absent", "cannot be imported"),
    ],
)
def test_a_network_that_cannot_be_used_is_one_sentence(shop, users_module, name, message):
    shop.settings["model"] = name
    with pytest.raises(ConfigError, match=message):
        make_classifier(shop.task_context(shop.planned()["classic"]))


def test_a_missing_module_is_noticed_before_anything_starts(shop):
    shop.settings["model"] = "no_such_package.networks:make"
    with pytest.raises(ConfigError, match=r"no module no_such_package\.networks"):
        shop.planned()


def test_the_final_classifier_is_made_like_an_arm_but_predicts_nothing(shop):
    task = shop.planned()["classic"]
    context = shop.task_context(replace(task, name="final", config={**task.config, "fold": 0, "replicate": 7}))
    metadata = make_final(context)
    assert {path.name for path in context.out.iterdir()} == FILES - {"predictions.parquet"}
    assert metadata["arm"] == "classic"
