"""Named sets of values for a training: data, not branches.

:data:`PRESETS` holds them. `gan.preset` in the configuration picks one, and any key of the `gan` section that is not
null replaces the preset's value; :func:`resolve` does that. A new preset is a new entry, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from ..utils.errors import ConfigError

LossName = Literal["logistic", "hinge"]
"""Losses by name; the functions are in :mod:`satpipe.stages.gan.losses`."""


@dataclass(frozen=True)
class Preset:
    """Everything that decides a training beside its data, its seed and the machine's profile.

    Attributes:
        images: Real chips shown to the discriminator in all, where all classes are generated whole.
        batch: Real images in a step; as many generated ones are shown beside them.
        z_dim: Length of the latent vector.
        base_channels: Channels at half the chip's resolution; each halving doubles them, up to eight times.
        learning_rate: Adam's, for both networks.
        decay: Share of the training, its last part, over which the learning rate falls linearly to nothing; 0 keeps it.
        beta1: Adam's decay of the first moment.
        beta2: Adam's decay of the second moment.
        ema_images: Images after which a weight counts half in the average of the generator's weights that is kept for
            use (Yazici et al. 2019, arXiv:1806.04498); 0 keeps the weights themselves.
        condition: How the generator sees the label, see :class:`satpipe.models.networks.Architecture`.
        upsampling: How the generator doubles the side, see :class:`satpipe.models.networks.Architecture`.
        discriminator_condition: How the discriminator sees the label: as constant ``planes`` beside the bands, or by
            ``projection`` (Miyato and Koyama 2018, arXiv:1802.05637).
        discriminator_norm: Normalisation in the discriminator: ``batch``, ``spectral`` (Miyato et al. 2018,
            arXiv:1802.05957) or ``none``.
        deviation_group: Chips whose deviation from each other the discriminator sees (Karras et al. 2018,
            arXiv:1710.10196, section 3); 0 leaves it out.
        balanced: Equal class shares in a batch; otherwise the shares of the training chips.
        symmetries: Real chips are shown flipped and rotated by 90 degrees; from above there is no upright.
        colour: Strength of differentiable brightness, saturation and contrast, 0 to 1 (Zhao et al. 2020,
            arXiv:2006.10738).
        translation: Greatest differentiable shift, as a share of the side.
        loss: What the networks minimise: the ``logistic`` loss of Goodfellow et al. 2014, or the ``hinge`` loss of Lim
            and Ye 2017 (arXiv:1705.02894).
        r1: Weight of the gradient penalty on real chips (Mescheder et al. 2018, arXiv:1801.04406, eq. 9); 0 is none.
        r1_every: Steps between penalties, which are then weighted by as much.
        layers: Whether objects with masks are generated as layers in front of backgrounds, and not as whole chips.
        layer_images: Real layers shown in all.
        whole_images: Real chips shown in all for the classes that are generated whole beside layers.
    """

    images: int
    batch: int
    z_dim: int
    base_channels: int
    learning_rate: float
    decay: float
    beta1: float
    beta2: float
    ema_images: float
    condition: Literal["input", "batchnorm"]
    upsampling: Literal["transposed", "resize"]
    discriminator_condition: Literal["planes", "projection"]
    discriminator_norm: Literal["batch", "spectral", "none"]
    deviation_group: int
    balanced: bool
    symmetries: bool
    colour: float
    translation: float
    r1: float
    r1_every: int
    loss: LossName = "logistic"
    layers: bool = False
    layer_images: int = 24_000
    whole_images: int = 12_000


_LOW_DATA = Preset(
    images=150_000,
    batch=16,
    z_dim=64,
    base_channels=16,
    learning_rate=5e-4,
    decay=0.5,
    beta1=0.5,
    beta2=0.999,
    ema_images=10_000.0,
    condition="batchnorm",
    upsampling="resize",
    discriminator_condition="projection",
    discriminator_norm="batch",
    deviation_group=4,
    balanced=True,
    symmetries=True,
    colour=0.3,
    translation=0.125,
    r1=0.0,
    r1_every=16,
)

PRESETS: dict[str, Preset] = {
    # Radford, Metz and Chintala 2016 (arXiv:1511.06434) with the label added at both networks' inputs.
    "dcgan": Preset(
        images=150_000,
        batch=128,
        z_dim=100,
        base_channels=64,
        learning_rate=2e-4,
        decay=0.0,
        beta1=0.5,
        beta2=0.999,
        ema_images=0.0,
        condition="input",
        upsampling="transposed",
        discriminator_condition="planes",
        discriminator_norm="batch",
        deviation_group=0,
        balanced=False,
        symmetries=False,
        colour=0.0,
        translation=0.0,
        r1=0.0,
        r1_every=16,
    ),
    "dcgan-lowdata": _LOW_DATA,
    # Objects in front of backgrounds: found on validation groups, see docs/experiments.md.
    "layers": replace(_LOW_DATA, ema_images=5_000.0, translation=0.06, layers=True),
}


def resolve(section: Mapping[str, Any]) -> Preset:
    """Return the preset that ``gan.preset`` names, changed where the section has values that are not null.

    Args:
        section: The `gan` section as JSON types.

    Raises:
        ConfigError: If no preset has that name.
    """
    name = str(section["preset"])
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"gan.preset: there is no preset {name!r}, there are {', '.join(PRESETS)}{hint}")
    names = {field.name for field in fields(Preset)}
    changed = {key: value for key, value in section.items() if key in names and value is not None}
    if "layers" in changed:
        changed["layers"] = changed["layers"] == "auto"
    if "images" in changed:  # one length for all trainings, with half of it for what is generated whole beside layers
        changed = {"layer_images": changed["images"], "whole_images": max(1, changed["images"] // 2)} | changed
    return replace(PRESETS[name], **changed)


def as_json(preset: Preset) -> dict[str, Any]:
    """Return the preset as plain JSON types."""
    return asdict(preset)
