"""What a preset and the settings beside it come to."""

from __future__ import annotations

import pytest
from satpipe.config.gan_presets import PRESETS, resolve
from satpipe.config.run import GanConfig
from satpipe.utils.section import as_json


def resolved(**settings: object) -> dict[str, object]:
    preset = resolve(as_json(GanConfig.model_validate(settings)))
    return {name: getattr(preset, name) for name in ("layers", "layer_images", "whole_images", "images")}


def test_the_default_is_layers_as_the_preset_has_them() -> None:
    default = PRESETS["layers"]
    assert resolved()["layers"] is True
    assert resolved()["layer_images"] == default.layer_images
    assert resolved()["whole_images"] == default.whole_images


@pytest.mark.parametrize(
    ("settings", "layer_images", "whole_images"),
    [({"images": 600}, 600, 300), ({"images": 600, "whole_images": 900}, 600, 900), ({"images": 1}, 1, 1)],
)
def test_lengths_of_both_trainings(settings: dict[str, object], layer_images: int, whole_images: int) -> None:
    result = resolved(**settings)
    assert (result["layer_images"], result["whole_images"]) == (layer_images, whole_images)


def test_layers_can_be_refused_or_added_to_a_preset() -> None:
    assert resolved(layers="never")["layers"] is False
    assert resolved(preset="dcgan-lowdata")["layers"] is False
    assert resolved(preset="dcgan-lowdata", layers="auto")["layers"] is True
