"""The classify stage as the runner sees it: what it plans, and what its makers leave."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import classifier
from pipeline.classify.stage import make_classifier
from pipeline.errors import TooLittleDataError
from pipeline.tables import PREDICTIONS

FILES = {"predictions.parquet", "classifier.safetensors", "classifier.json", "history.jsonl"}


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_part_for_each_arm_and_only_gan_arms_read_synthetic_chips(shop):
    parts = shop.planned()
    assert list(parts) == ["real", "classic", "gan", "classic+gan"]
    assert {arm: "synth" in part.inputs for arm, part in parts.items()} == {
        "real": False,
        "classic": False,
        "gan": True,
        "classic+gan": True,
    }
    assert parts["classic+gan"].name == "fold0-f100-r0-classic+gan"


def test_the_final_split_is_no_part_of_the_experiment(shop):
    assert not [part.name for part in shop.planned().values() if "final" in part.name]


def test_a_changed_synthetic_share_leaves_arms_without_synthetic_chips_as_they_are(shop):
    before = {arm: part.config for arm, part in shop.planned().items()}
    shop.settings["synthetic_share"] = 0.6
    after = {arm: part.config for arm, part in shop.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"gan", "classic+gan"}


def test_a_changed_augmentation_leaves_arms_without_it_as_they_are(shop):
    before = {arm: part.config for arm, part in shop.planned().items()}
    shop.settings["augment"] = {"scale": 0.3}
    after = {arm: part.config for arm, part in shop.planned().items()}
    assert {arm for arm in before if before[arm] != after[arm]} == {"classic", "classic+gan"}


def test_an_arm_leaves_a_prediction_for_each_validation_and_test_chip(shop):
    job = shop.job(shop.planned()["classic"])
    facts = make_classifier(job)
    assert {path.name for path in job.out.iterdir()} == FILES
    table = PREDICTIONS.read(job.out / "predictions.parquet")
    assert table["role"].value_counts().to_dict() == {"validation": 18, "test": 18}
    assert set(table["arm"]) == {"classic"}
    assert table["chip_id"].is_unique
    assert table["score"].between(0, 1).all()
    ship = table["score"] > table["threshold"]
    assert (ship == (table["predicted"] == "ship")).all()
    assert facts["training"] == {"non-ship": 18, "ship": 18}
    assert facts["synthetic"] == {"non-ship": 0, "ship": 0}


def test_an_arm_learns_what_can_be_learnt(shop):
    shop.settings |= {"steps": 150, "base_channels": 8}
    job = shop.job(shop.planned()["classic"])
    make_classifier(job)
    table = PREDICTIONS.read(job.out / "predictions.parquet")
    test = table[table["role"] == "test"]
    assert (test["predicted"] == test["class"]).mean() > 0.9


def test_the_same_part_gives_the_same_bytes(shop):
    shop.write_synthetic([0, 1] * 10, [True] * 20)
    part = shop.planned()["classic+gan"]
    jobs = [shop.job(part, folder) for folder in ("a", "b")]
    for job in jobs:
        make_classifier(job)
    assert digest(jobs[0].out) == digest(jobs[1].out)


def test_only_accepted_synthetic_chips_are_trained_on(shop):
    shop.write_synthetic([0, 1, 1, 0, 1, 1], [True, True, False, False, True, True])
    facts = make_classifier(shop.job(shop.planned()["gan"]))
    assert facts["synthetic"] == {"non-ship": 1, "ship": 3}


def test_without_an_accepted_chip_the_gan_arm_says_so_and_equals_the_arm_without(shop):
    shop.write_synthetic([0, 1], [False, False])
    parts = shop.planned()
    facts = {}
    for arm in ("classic", "classic+gan"):
        job = shop.job(parts[arm], arm)
        facts[arm] = make_classifier(job)
    assert "no accepted synthetic chips of non-ship, ship" in facts["classic+gan"]["note"]
    assert "note" not in facts["classic"]
    scores = [
        PREDICTIONS.read(shop.root / arm / "out" / "predictions.parquet")["score"] for arm in ("classic", "classic+gan")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (4, "uint16"), (5, "float32")])
def test_chips_of_other_bands_and_types_train_and_load_again(make_shop, bands, dtype):
    shop = make_shop("non-ship", "ship")
    shop.write_real(bands=bands, dtype=dtype)
    job = shop.job(shop.planned()["classic"])
    make_classifier(job)
    loaded = classifier.load(job.out)
    assert loaded.architecture.bands == bands
    assert loaded.scaling.dtype == dtype


def test_three_classes_are_scored_as_background_against_the_rest(make_shop):
    shop = make_shop("water", "bar", "square")
    shop.write_real(train=60)
    shop.settings |= {"steps": 200, "base_channels": 8}
    job = shop.job(shop.planned()["classic"])
    make_classifier(job)
    table = PREDICTIONS.read(job.out / "predictions.parquet")
    assert ((table["predicted"] == "water") == (table["score"] <= table["threshold"])).all()
    assert set(table["predicted"]) == {"water", "bar", "square"}
    assert (table["predicted"] == table["class"]).mean() > 0.8


def test_a_class_without_training_chips_is_one_sentence(make_shop):
    shop = make_shop("water", "bar", "square")
    shop.write_real(train=2)
    with pytest.raises(TooLittleDataError, match="no training chip of class square"):
        make_classifier(shop.job(shop.planned()["real"]))


def test_history_and_card_tell_what_was_chosen(shop):
    job = shop.job(shop.planned()["real"])
    facts = make_classifier(job)
    rows = [json.loads(line) for line in (job.out / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert facts["best_step"] == best["step"]
    card = json.loads((job.out / "classifier.json").read_text())
    assert card["threshold"] == facts["threshold"]
    assert card["classes"] == ["non-ship", "ship"]
