"""The synth stage as the runner sees it."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import torch
from fixtures.synth_project import NAME, SynthProject, bars
from PIL import Image
from satpipe.dataset import scaling
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.tables import SYNTHETIC
from satpipe.models import generator as generators
from satpipe.models import probe
from satpipe.stages.synth.filters import COPY, DISTANCE, LABEL
from satpipe.stages.synth.stage import make_synthetic


def use_chips(monkeypatch, chips_of) -> None:
    """Let the generator give what `chips_of(labels, seeds)` says, as uint8."""

    def generate(generator, labels, seeds, truncation=1.0):
        chips = chips_of(np.asarray(labels), np.asarray(seeds))
        return scaling.fit(chips).apply(chips)

    monkeypatch.setattr(generators, "generate", generate)


def read(context) -> pd.DataFrame:
    return SYNTHETIC.read(context.out / "index.parquet")


def test_each_generator_has_a_task_and_screening_is_shared(project):
    learned, task, pasted = project.planned({"arms": ["classic", "classic+gan", "classic+cutpaste"]})
    assert [each.name for each in (learned, task, pasted)] == [f"screening-{NAME}", NAME, f"cutpaste-{NAME}"]
    assert set(task.inputs) == {"index", "split", "generator", "screening"}
    assert task.inputs["screening"] == pasted.inputs["screening"]
    assert task.config["replicate"] == learned.config["replicate"] == 2
    project.settings = {"screen": False}
    assert [each.name for each in project.planned({"arms": ["classic", "classic+gan"]})] == [NAME]


def test_without_screening_the_first_chips_are_taken(project):
    project.settings = {"screen": False, "per_class": 7}
    context = project.task_context()
    metadata = make_synthetic(context)
    index = read(context)
    assert metadata["accepted"] == metadata["candidates"] == {"non-ship": 7, "ship": 7}
    assert index["accepted"].all()
    assert index["label_score"].isna().all()


def test_every_candidate_is_kept_or_has_a_reason(project):
    context = project.task_context()
    metadata = make_synthetic(context)
    index = read(context)
    assert (index["accepted"] == index["reason"].isna()).all()
    assert metadata["reasons"] == index["reason"].value_counts().sort_index().to_dict()
    assert sum(metadata["candidates"].values()) == len(index)
    assert index["seed"].is_unique
    assert index["chip_id"].is_unique


def test_at_most_the_oversampled_number_of_candidates_is_made(project, monkeypatch):
    use_chips(monkeypatch, lambda labels, seeds: np.full((len(labels), 16, 16, 3), 128, np.uint8))
    project.settings = {"per_class": 9, "oversample": 1.5}
    metadata = make_synthetic(project.task_context())
    assert max(metadata["candidates"].values()) <= 14
    assert metadata["accepted"]["ship"] == 0
    assert "ship" in metadata["note"]


def test_the_default_number_of_chips_is_the_largest_class(project, monkeypatch):
    use_chips(monkeypatch, lambda labels, seeds: bars(labels, seed=int(seeds[0]) % 1000))
    metadata = make_synthetic(project.task_context())
    assert metadata["accepted"] == {"non-ship": 20, "ship": 20}


def test_chips_of_the_other_class_are_dropped_for_their_label(project, monkeypatch):
    use_chips(monkeypatch, lambda labels, seeds: bars(1 - labels, seed=int(seeds[0]) % 1000))
    context = project.task_context()
    metadata = make_synthetic(context)
    assert sum(metadata["accepted"].values()) <= 2
    assert metadata["reasons"][LABEL] > 0.8 * sum(metadata["candidates"].values())


def test_turned_training_chips_are_dropped_as_copies(project, monkeypatch):
    def copies(labels, seeds):
        rows = [
            np.flatnonzero(project.labels[: project.train] == label)[int(seed) % 20]
            for label, seed in zip(labels, seeds, strict=True)
        ]
        return np.rot90(project.chips[rows], axes=(1, 2)).copy()

    use_chips(monkeypatch, copies)
    metadata = make_synthetic(project.task_context())
    assert metadata["accepted"]["ship"] == 0
    assert metadata["reasons"].get(COPY, 0) >= 0.8 * metadata["candidates"]["ship"]


def test_chips_unlike_anything_real_are_dropped(project, monkeypatch):
    def checkers(labels, seeds):
        board = 255 * (np.indices((16, 16)).sum(0) // 2 % 2)
        return np.repeat(board[None, :, :, None], len(labels), 0).repeat(3, axis=3).astype(np.uint8)

    use_chips(monkeypatch, checkers)
    metadata = make_synthetic(project.task_context())
    assert metadata["accepted"] == {"non-ship": 0, "ship": 0}
    assert set(metadata["reasons"]) <= {LABEL, DISTANCE}


def test_the_same_task_gives_the_same_bytes(project):
    digests = []
    for folder in ("a", "b"):
        context = project.task_context(folder)
        make_synthetic(context)
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(context.out.iterdir())})
    assert digests[0] == digests[1]
    assert set(digests[0]) == {"chips-000.npy", "index.parquet", "sheet.png"}


def test_accepted_chips_are_read_like_real_ones(project, monkeypatch):
    use_chips(monkeypatch, lambda labels, seeds: bars(labels, seed=int(seeds[0]) % 1000))
    context = project.task_context()
    make_synthetic(context)
    task = project.store / "synth" / "committed"
    task.parent.mkdir(exist_ok=True)
    context.out.rename(task)
    store = ChipStore.open(SYNTHETIC.read, task / "index.parquet", project.store)
    chips = store.where(store.index["accepted"].to_numpy(bool)).read()
    assert chips.shape == (40, 16, 16, 3)
    assert chips.dtype == np.uint8


def test_the_sheet_shows_accepted_chips_of_each_class(project):
    project.settings = {"screen": False, "per_class": 20}
    context = project.task_context()
    make_synthetic(context)
    with Image.open(context.out / "sheet.png") as sheet:
        assert sheet.size == (16 * 18 + 2, 4 * 18 + 2)


def test_too_few_chips_to_learn_from_screen_out_copies_alone(tmp_path):
    metadata = make_synthetic(SynthProject(tmp_path, train=6).task_context())
    assert "too few training chips" in metadata["note"]
    assert "unseen_real_kept" not in metadata


def test_what_accepted_chips_teach_is_graded_on_validation_chips(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "STEPS", 40)
    project = SynthProject(tmp_path, validation=20)
    use_chips(monkeypatch, lambda labels, seeds: bars(labels, seed=int(seeds[0]) % 1000))
    good = make_synthetic(project.task_context("good"))["tstr"]
    assert good["average_precision"]["ship"] > 0.95
    project.settings = {"screen": False}
    use_chips(monkeypatch, lambda labels, seeds: bars(1 - labels, seed=int(seeds[0]) % 1000))
    assert make_synthetic(project.task_context("wrong"))["tstr"]["average_precision"]["ship"] < 0.6


def test_grades_without_screening_follow_the_profile(tmp_path):
    project = SynthProject(tmp_path, validation=20)
    project.settings = {"screen": False, "per_class": 8}
    torch.use_deterministic_algorithms(False)
    assert make_synthetic(project.task_context())["tstr"]
    assert torch.are_deterministic_algorithms_enabled()


def test_classes_without_chips_get_no_grade(tmp_path, monkeypatch):
    assert make_synthetic(SynthProject(tmp_path / "none").task_context())["tstr"] == {}
    assert make_synthetic(SynthProject(tmp_path / "one", validation=1).task_context())["tstr"] == {}
    use_chips(monkeypatch, lambda labels, seeds: np.full((len(labels), 16, 16, 3), 128, np.uint8))
    assert make_synthetic(SynthProject(tmp_path / "flat", validation=20).task_context())["tstr"] == {}


def test_a_chip_does_not_depend_on_how_many_are_wanted(project):
    chips = {}
    for number in (3, 5):
        project.settings = {"screen": False, "per_class": number}
        context = project.task_context(str(number))
        make_synthetic(context)
        index = read(context)
        rows = index.loc[index["class"] == "ship", "position"].to_numpy(int)[:3]
        chips[number] = np.load(context.out / "chips-000.npy")[rows]
    np.testing.assert_array_equal(chips[3], chips[5])
