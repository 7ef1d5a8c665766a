"""Classic augmentation: the one module that knows albumentations.

At the size of a chip albumentations' own cost, 0.1 to 0.3 ms a call, is a third of the training step of a small
network. So a *view* of a chip, moved, turned by any angle, and changed in brightness, contrast, colour and sharpness,
is drawn by albumentations for a few chips in one call and kept for a few uses; at each use every chip is flipped and
rotated by multiples of 90 degrees on its own, in NumPy, which costs next to nothing. No two uses of a view look alike
for long, and nothing is left to worker processes: what a step sees follows from (seed, step, position in the batch).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

# albumentations asks a server for its latest version when it is imported, unless this is switched off.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations
import cv2

from ...config.run import AugmentConfig
from ...dataset.orientations import BY_FLIPS, orient_each

Batch = npt.NDArray[Any]
"""Chips (N, H, W, C), uint8 or float32 in [0, 1]."""


class BandGain(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Each band times a number of its own, all chips of a draw at once.

    ``MultiplicativeNoise(per_channel=True)`` does the same chip by chip and band by band, at ten times the cost.
    """

    def __init__(self, reach: float, p: float) -> None:
        """Draw factors from ``1 - reach`` to ``1 + reach``, for a share ``p`` of the draws."""
        super().__init__(p=p)
        self.reach = reach

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the factors (C,)."""
        bands = params["shape"][-1]
        return {"gain": self.random_generator.uniform(1 - self.reach, 1 + self.reach, bands).astype(np.float32)}

    def apply(self, img: Batch, gain: npt.NDArray[np.float32], **params: Any) -> Batch:
        """Multiply a chip (H, W, C), or several (N, H, W, C), by the factors, in its own type and range."""
        high = 255 if img.dtype == np.uint8 else 1
        return np.clip(img * gain, 0, high).astype(img.dtype)

    def apply_to_images(self, images: Batch, *args: Any, **params: Any) -> Batch:
        """Multiply all chips of a draw (N, H, W, C)."""
        return self.apply(images, **params)


def classic(config: AugmentConfig) -> albumentations.Compose:
    """Return the albumentations pipeline of one view; works for any number of bands."""
    steps = [
        albumentations.Affine(
            scale=(1 - config.scale, 1 + config.scale),
            rotate=(-config.rotate_deg, config.rotate_deg),
            translate_percent=(-config.shift, config.shift),
            border_mode=cv2.BORDER_REFLECT_101,
            p=1.0,
        ),
        albumentations.RandomBrightnessContrast(
            brightness_limit=config.brightness, contrast_limit=config.contrast, p=0.8
        ),
        BandGain(config.colour, p=0.8),
        albumentations.GaussianBlur(p=config.blur_share),
        albumentations.GaussNoise(std_range=(0.01, 0.05), p=config.noise_share),
    ]
    return albumentations.Compose(steps)


AUGMENTATIONS: dict[str, Callable[[AugmentConfig], albumentations.Compose]] = {"classic": classic}
"""Online augmentations by the name that an arm of :data:`satpipe.dataset.arms.ARMS` gives."""


class Views:
    """Chips as the training sees them, step by step."""

    def __init__(self, chips: Batch, config: AugmentConfig, seed: int, augmentation: str = "classic") -> None:
        """Hold the chips and their present views.

        Args:
            chips: (N, S, S, C), uint8 or float32 in [0, 1]; not changed.
            config: What may vary.
            seed: Seed of every draw.
            augmentation: Name in :data:`AUGMENTATIONS`.
        """
        # OpenCV's own threads cost more than they bring for chips, and would take the cores of other trainings.
        cv2.setNumThreads(0)
        self._chips = chips
        self._views = chips.copy()
        self._uses = np.zeros(len(chips), np.int64)
        self._transforms = AUGMENTATIONS[augmentation](config)
        self._config = config
        self._seed = seed

    def batch(self, step: int, rows: npt.NDArray[np.int64]) -> Batch:
        """Augment copies (B, S, S, C) of the chips ``rows`` for one step; call it for each step in order."""
        rng = np.random.default_rng([self._seed, step])
        self._transforms.set_random_seed(int(rng.integers(2**31)))
        seen = np.unique(rows)
        due = rng.permutation(seen[self._uses[seen] % self._config.steps_per_view == 0])
        for start in range(0, len(due), self._config.chips_per_draw):
            some = due[start : start + self._config.chips_per_draw]
            self._views[some] = self._transforms(images=self._chips[some])["images"]
        self._uses[seen] += 1
        return orient_each(self._views, np.array(BY_FLIPS)[rng.integers(len(BY_FLIPS), size=len(rows))], rows)
