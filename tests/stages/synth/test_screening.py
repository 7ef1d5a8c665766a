"""What screening keeps judges as the training chips did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.synth_project import CLASSES, bars
from satpipe.dataset import scaling
from satpipe.models.device import Profile
from satpipe.stages.synth import screening
from satpipe.stages.synth.filters import COPY, OBJECT, Limits, reasons
from satpipe.stages.synth.model import MIN_TEXTURE, ScreeningModel
from satpipe.stages.synth.scorer import train_ensemble
from satpipe.utils.errors import StoreError


def teacher(count: int) -> ScreeningModel:
    labels = np.arange(count) % 2
    chips = bars(labels)
    fitted = scaling.fit(chips)
    ensemble = train_ensemble(chips, labels, CLASSES, fitted, Profile(), seed=1)
    return ScreeningModel(chips, labels, fitted, ensemble, Limits(0.5, [1.5, np.inf], 0.9))


@pytest.mark.parametrize("count", [40, 6])
def test_it_judges_without_the_training_chips_as_with_them(tmp_path: Path, count: int) -> None:
    learned = teacher(count)
    screening.save(learned, MIN_TEXTURE, tmp_path)
    loaded = screening.load(tmp_path)
    assert loaded is not None
    labels = np.arange(60) % 2
    values = learned.scaling.apply(np.concatenate([bars(labels[:30], seed=9), np.rot90(learned.chips, axes=(1, 2))]))
    labels = np.concatenate([labels[:30], learned.labels])
    unusual = np.where(np.arange(len(labels)) % 5, np.nan, 2.0)
    before = learned.measure(values, labels, unusual)
    after, why = loaded.screen(values, labels, unusual)
    for name in ("label_score", "distance", "correlation", "unusual"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(why, reasons(before, labels, learned.limits))
    assert COPY in why[30:]
    assert (why[::5] == OBJECT).all()


def test_nothing_kept_is_nothing_and_damage_is_one_sentence(tmp_path: Path) -> None:
    assert screening.load(tmp_path) is None
    screening.save(teacher(6), MIN_TEXTURE, tmp_path)
    (tmp_path / screening.WEIGHTS).write_bytes(b"no")
    with pytest.raises(StoreError, match="satpipe run synth"):
        screening.load(tmp_path)
