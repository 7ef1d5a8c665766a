"""What screening learns of the training chips screens without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.synth_project import CLASSES, SynthProject, bars
from satpipe.config.run import SynthConfig
from satpipe.dataset import scaling
from satpipe.dataset.scaling import Scaling
from satpipe.models.device import Profile
from satpipe.stages.synth import screening
from satpipe.stages.synth.filters import COPY, OBJECT
from satpipe.stages.synth.screening import Screening
from satpipe.utils.errors import StoreError

CONFIG = SynthConfig(min_label_score=0.5, distance_quantile=0.99, copy_correlation=0.9)


def learned(count: int) -> tuple[np.ndarray, Scaling, Screening]:
    labels = np.arange(count) % 2
    chips = bars(labels)
    fitted = scaling.fit(chips)
    return chips, fitted, screening.train(chips, labels, CLASSES, fitted, CONFIG, Profile(), seed=1)


@pytest.mark.parametrize("count", [40, 6])
def test_what_is_loaded_screens_as_what_was_saved(tmp_path: Path, count: int) -> None:
    chips, fitted, before = learned(count)
    screening.save(before, tmp_path)
    after = screening.load(tmp_path)
    assert after is not None
    labels = np.concatenate([np.arange(30) % 2, np.arange(count) % 2])
    values = fitted.apply(np.concatenate([bars(labels[:30], seed=9), np.rot90(chips, axes=(1, 2))]))
    unusual = np.where(np.arange(len(labels)) % 5, np.nan, 2.0)
    expected, expected_why = before.screen(values, labels, unusual)
    measures, why = after.screen(values, labels, unusual)
    for name in ("label_score", "distance", "correlation", "unusual"):
        np.testing.assert_allclose(getattr(measures, name), getattr(expected, name), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(why, expected_why)
    assert COPY in why[30:]
    assert (why[::5] == OBJECT).all()


def test_composites_on_real_backgrounds_are_no_copies() -> None:
    chips, fitted, screens = learned(6)
    values, labels = fitted.apply(chips), np.arange(6) % 2
    unusual = np.array([0.5, 0.5, 0.5, np.nan, np.nan, np.nan])
    _, why = screens.screen(values, labels, unusual)
    assert (why == COPY).all()
    _, why = screens.screen(values, labels, unusual, real_backgrounds=True)
    assert why.tolist() == ["", "", "", COPY, COPY, COPY]


def test_the_screening_task_says_how_many_real_chips_it_accepts(tmp_path: Path) -> None:
    metadata = screening.run(SynthProject(tmp_path / "many").context_of("screening-"))
    assert metadata["unseen_real_accepted"].keys() == set(CLASSES)
    assert min(metadata["unseen_real_accepted"].values()) > 0.5
    few = SynthProject(tmp_path / "few", train=6).context_of("screening-")
    assert "too few training chips" in screening.run(few)["note"]


def test_nothing_kept_is_nothing_and_damage_is_one_sentence(tmp_path: Path) -> None:
    assert screening.load(tmp_path) is None
    screening.save(learned(6)[2], tmp_path)
    (tmp_path / screening.WEIGHTS).write_bytes(b"no")
    with pytest.raises(StoreError, match="satpipe run synth"):
        screening.load(tmp_path)
