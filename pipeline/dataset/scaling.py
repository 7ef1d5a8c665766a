"""Scaling between chip values and the networks' range, per band, fitted on a split's training chips."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..utils.bounded_files import read_json
from ..utils.errors import StoreError, first_line

FITTED_ON = 4096
"""Most chips that a scaling is fitted on, evenly spaced: more would not move a percentile."""
FITTED_BYTES = 1 << 28
"""Most bytes of chips that a scaling is fitted on."""


@dataclass(frozen=True)
class Scaling:
    """An affine map per band between chip values and [-1, 1].

    Attributes:
        low: Chip value that becomes -1, one per band.
        high: Chip value that becomes 1, one per band.
        dtype: NumPy name of the chips' dtype.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str

    @property
    def width(self) -> float:
        """Return the difference between the ends of the range, mean over the bands."""
        return float(np.mean(np.subtract(self.high, self.low)))

    def apply(self, chips: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Convert chips (..., W, C) to float32 in [-1, 1]; values outside the fitted range are clipped."""
        low, high = self._line(chips.shape[-2])
        lines = _lines(chips).astype(np.float32)
        lines -= low
        lines *= np.float32(2) / (high - low)
        lines -= np.float32(1)
        return np.clip(lines, -1, 1, out=lines).reshape(chips.shape)

    def invert(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """Convert values (..., W, C) in [-1, 1] to chips in their own dtype, rounded where that is an integer."""
        low, high = self._line(values.shape[-2])
        lines = np.clip(_lines(values), -1, 1)
        lines += np.float32(1)
        lines *= (high - low) / np.float32(2)
        lines += low
        dtype = np.dtype(self.dtype)
        if np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            np.clip(np.rint(lines, out=lines), info.min, info.max, out=lines)
        chips: npt.NDArray[np.generic] = lines.astype(dtype).reshape(values.shape)
        return chips

    def _line(self, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return low and high for each value of a line of pixels: NumPy is slow over an axis of three bands."""
        low, high = (np.tile(np.asarray(ends, np.float32), width) for ends in (self.low, self.high))
        return low, high

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> Scaling:
        """Read what :meth:`save` wrote.

        Raises:
            StoreError: If it is damaged.
        """
        try:
            return cls.from_json(read_json(path))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise StoreError(f"the scaling in {path} cannot be read: {first_line(error, 160)}") from None

    @classmethod
    def from_json(cls, raw: Any) -> Scaling:
        """Return the scaling that JSON data describe.

        Raises:
            ValueError: If they do not have finite ends of each band and a numeric type.
            KeyError: If something is missing.
            TypeError: If something is of another type.
            OverflowError: If a number is too large.
        """
        low, high = (tuple(float(value) for value in raw[name]) for name in ("low", "high"))
        dtype = np.dtype(str(raw["dtype"]))
        if not (np.isfinite([*low, *high]).all() and len(low) == len(high) > 0 and dtype.kind in "uif"):
            raise ValueError("a scaling needs finite limits of each band and a numeric type")
        return cls(low, high, dtype.name)


def _lines(chips: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (..., W, C) as lines (..., W * C)."""
    return chips.reshape(*chips.shape[:-2], chips.shape[-2] * chips.shape[-1])


def fit(
    chips: npt.NDArray[np.generic],
    percentiles: tuple[float, float] = (0.1, 99.9),
    method: str = "auto",
    deviations: float = 3.0,
) -> Scaling:
    """Fit a scaling on training chips (N, H, W, C), band by band.

    Args:
        chips: The training chips; :data:`FITTED_ON` of them are read where there are more, or what
            :data:`FITTED_BYTES` hold.
        percentiles: The percentiles of a band that become -1 and 1.
        method: ``percentiles``; ``deviation``, from so many standard deviations below a band's mean to as many above;
            or ``auto``: uint8 chips keep the whole range 0 to 255, so that a generated chip is an ordinary image, and
            others are stretched between the percentiles.
        deviations: How many standard deviations.

    Raises:
        ValueError: If the method is unknown.
    """
    if method == "auto" and chips.dtype == np.uint8:
        bands = chips.shape[-1]
        return Scaling((0.0,) * bands, (255.0,) * bands, "uint8")
    if method not in ("auto", "percentiles", "deviation"):
        raise ValueError(f"unknown scaling {method!r}")
    most = max(1, min(FITTED_ON, FITTED_BYTES // (chips.dtype.itemsize * math.prod(chips.shape[1:]))))
    taken = chips[np.linspace(0, len(chips) - 1, min(len(chips), most)).astype(np.int64)]
    ends = []
    for band in range(chips.shape[-1]):
        values = taken[..., band].astype(np.float64).ravel()
        if method == "deviation":
            mean, spread = np.nanmean(values), deviations * np.nanstd(values)
            ends.append((float(mean - spread), float(mean + spread)))
        else:
            low, high = np.nanpercentile(values, percentiles, overwrite_input=True)
            ends.append((float(low), float(high)))
    lows = tuple(low for low, _ in ends)
    highs = tuple(high if high > low else low + 1 for low, high in ends)
    return Scaling(lows, highs, str(chips.dtype))
