"""Arms of the experiment, and what each trains the classifier on; configuration, classify and report read it.

A new arm is a line of :data:`ARMS`; one with an augmentation of its own also needs the function that the line names, in
:data:`satpipe.stages.classify.augment.AUGMENTATIONS`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

REAL, CLASSIC, GAN, CUTPASTE, SHUFFLED = "real", "classic", "gan", "cutpaste", "shuffled"
WITH_CLASSIC = f"{CLASSIC}+"
"""Prefix of an arm that adds classic augmentation to another one."""

Source = Literal["gan", "cutpaste", "external"]


@dataclass(frozen=True)
class Arm:
    """A training set of the experiment.

    Attributes:
        name: As in the configuration and in tables.
        title: What it adds to the real chips, in a few words.
        augmentation: Online augmentation of all chips, by its name; None shows them as they are, in eight orientations.
        source: Where its synthetic chips come from: the split's generator, real objects cut out and pasted, or a folder
            of the user's; None has no synthetic chips.
        shuffled: Whether the labels of the synthetic chips are shuffled.
    """

    name: str
    title: str
    augmentation: str | None = None
    source: Source | None = None
    shuffled: bool = False

    def synthetic_artifact(self, split: str) -> str | None:
        """Return the name of the synth artifact with the arm's synthetic chips of a split, or None."""
        if self.source is None:
            return None
        if self.source == "gan":
            return split
        if self.source == "cutpaste":
            return cutpaste_artifact(split)
        return external_artifact(self.name.removeprefix(WITH_CLASSIC), split)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(REAL, "real chips"),
        Arm(CLASSIC, "classic augmentation", augmentation=CLASSIC),
        Arm(GAN, "GAN chips", source="gan"),
        Arm(CUTPASTE, "real objects pasted", source="cutpaste"),
        Arm(SHUFFLED, "shuffled labels", source="gan", shuffled=True),
    )
}
"""Arms by name. Those with synthetic chips are also there with classic augmentation: ``classic+gan``."""


def parse(name: str) -> Arm:
    """Return the arm of a name; a name that is not in the table is a folder of the user's."""
    base = name.removeprefix(WITH_CLASSIC)
    arm = ARMS.get(base) or Arm(base, base, source="external")
    if base == name:
        return arm
    return replace(arm, name=name, title=f"{ARMS[CLASSIC].title} and {arm.title}", augmentation=CLASSIC)


def known_names(folders: Collection[str] = ()) -> list[str]:
    """Return the names of all arms, given those of the user's folders."""
    sources = [arm.name for arm in ARMS.values() if arm.source is not None]
    return [*ARMS, *folders, *(f"{WITH_CLASSIC}{name}" for name in (*sources, *folders))]


def cutpaste_artifact(split: str) -> str:
    """Return the name of the synth artifact with the real objects of a split, pasted."""
    return f"{CUTPASTE}-{split}"


def external_artifact(folder: str, split: str) -> str:
    """Return the name of the synth artifact with the chips of a folder of the user's."""
    return f"external-{folder}-{split}"
