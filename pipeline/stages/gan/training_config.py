"""Configuration of a training of the GAN, fixed before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...config.gan_presets import Preset
from ...models.device import Profile
from ...models.ranks import ALONE, Ranks
from .batches import Batches

LOSS_POINTS = 24
"""Parts of a training whose mean losses are logged: a curve, also where it is evaluated only at its end."""


@dataclass(frozen=True)
class TrainingConfig:
    """A training's fixed surroundings.

    Attributes:
        preset: What to train and how.
        batches: Where chips and latents come from.
        shape: (H, W, C) of a chip.
        classes: Number of classes.
        profile: Device, precision, memory format, threads.
        every_images: Images between evaluations, each with a checkpoint.
        patience_images: Images without a better score after which the training stops; None never does.
        most_restarts: Divergences after which it fails.
        folder: Where checkpoints and sheets go; survives a kill.
        name: What errors call the training.
        ranks: The processes that train together; the first one evaluates and writes.
        layer: Whether layers are trained on: ``shape`` is (rows, cols, C + 1) then.
    """

    preset: Preset
    batches: Batches
    shape: tuple[int, int, int]
    classes: int
    profile: Profile
    every_images: int
    patience_images: int | None
    most_restarts: int
    folder: Path
    name: str = "the GAN"
    ranks: Ranks = ALONE
    layer: bool = False

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return -(-self.preset.images // self.preset.batch)

    @property
    def images(self) -> int:
        """Return how many real images are shown, in whole steps."""
        return self.steps * self.preset.batch

    @property
    def steps_between(self) -> int:
        """Return the steps between evaluations."""
        return max(1, round(self.every_images / self.preset.batch))

    def evaluates_at(self, step: int) -> bool:
        """Return whether so many steps end in an evaluation: the last ones, and regularly while the end is not near."""
        left = self.steps - step
        return left <= 0 or (step % self.steps_between == 0 and 2 * left >= self.steps_between)

    def logs_losses_at(self, step: int) -> bool:
        """Return whether the losses of the last steps are logged: at evaluations, and in equal parts of a training."""
        return self.evaluates_at(step) or step % max(1, self.steps // LOSS_POINTS) == 0
