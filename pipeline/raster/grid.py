"""Target grid of a scene: its size at the chips' GSD, and whether it must be resampled to that GSD.

Row and column scales are *scene pixels per target pixel*: a target coordinate times the scale is a scene coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..utils.errors import ConfigError, InputError

TOLERANCE = 0.01
"""Relative difference of two GSDs that counts as none: map projections alone stretch by a few parts in a thousand."""

FINEST = 16
"""Target pixels to a scene pixel, at most: beyond that chips hold nothing but the kernel, and grids explode."""


@dataclass(frozen=True)
class Extent:
    """Size and GSD of a scene.

    Attributes:
        scene_id: Name of the scene.
        height: Rows.
        width: Columns.
        gsd_m: Metres per pixel down the rows and along the columns, or None where unknown.
    """

    scene_id: str
    height: int
    width: int
    gsd_m: tuple[float, float] | None


@dataclass(frozen=True)
class Target:
    """A scene's grid at the chips' GSD.

    Attributes:
        height: Rows at the chips' GSD.
        width: Columns at the chips' GSD.
        scale_row: Scene pixels per target pixel down the rows; exactly 1 where the scene is read as it is.
        scale_col: Scene pixels per target pixel along the columns.
    """

    height: int
    width: int
    scale_row: float = 1.0
    scale_col: float = 1.0

    @property
    def resampled(self) -> bool:
        """Return whether the target's pixels differ from the scene's."""
        return (self.scale_row, self.scale_col) != (1.0, 1.0)


def targets(scenes: Sequence[Extent], gsd_m: float | None, resampling: str | None) -> list[Target]:
    """Return the target grid of each scene.

    Args:
        scenes: The scenes.
        gsd_m: The chips' GSD; None keeps the scenes' own, which must then be the same for all.
        resampling: Kernel for scenes of another GSD, or None to refuse them.

    Raises:
        ConfigError: If a scene's GSD differs and no kernel is named or it is far coarser, or is needed but unknown.
    """
    if gsd_m is None:
        gsd_m = _common_gsd(scenes)
    return [_target(scene, gsd_m, resampling) for scene in scenes]


def _common_gsd(scenes: Sequence[Extent]) -> float | None:
    """Return the GSD that all scenes share, or None if no scene has one."""
    with_gsd = [scene for scene in scenes if scene.gsd_m is not None]
    unknown = [scene for scene in scenes if scene.gsd_m is None]
    if with_gsd and unknown:
        raise ConfigError(
            f"the GSD of scene {with_gsd[0].scene_id} is known, that of {unknown[0].scene_id} is not;"
            " set gsd_m of its source in ingest.sources"
        )
    if not with_gsd:
        return None
    first = with_gsd[0]
    for scene in with_gsd:
        if _differs(_mean(scene), _mean(first)):
            raise ConfigError(
                f"scene {first.scene_id} has a GSD of {_mean(first):g} m and {scene.scene_id} one of"
                f" {_mean(scene):g} m; set chips.gsd_m and chips.resampling (e.g. average) to resample them to one GSD"
            )
    return _mean(first)


def _target(scene: Extent, gsd_m: float | None, resampling: str | None) -> Target:
    own = Target(scene.height, scene.width)
    if gsd_m is None:
        return own
    if scene.gsd_m is None:
        raise ConfigError(
            f"chips.gsd_m is {gsd_m:g} but the GSD of scene {scene.scene_id} is not known;"
            " set gsd_m of its source in ingest.sources, or chips.gsd_m to null"
        )
    if not any(_differs(own_gsd, gsd_m) for own_gsd in scene.gsd_m):
        return own
    if resampling is None:
        raise ConfigError(
            f"scene {scene.scene_id} has a GSD of {_mean(scene):g} m, the chips {gsd_m:g} m;"
            " set chips.resampling (e.g. average), or chips.gsd_m to the scenes' own"
        )
    if max(scene.gsd_m) > FINEST * gsd_m:
        raise ConfigError(
            f"scene {scene.scene_id} has a GSD of {_mean(scene):g} m, more than {FINEST} times that of the chips,"
            f" {gsd_m:g} m: most pixels would be interpolated; remove the scene, or choose a chips.gsd_m closer to it"
        )
    down, along = (_near_whole(gsd_m / own_gsd) for own_gsd in scene.gsd_m)
    # Floor: a target pixel that the scene does not cover wholly would be made up in part. The small addend keeps
    # 512 / 3.2 * 3.2 at 512.
    return Target(max(1, int(scene.height / down + 1e-6)), max(1, int(scene.width / along + 1e-6)), down, along)


def _near_whole(scale: float) -> float:
    """Return the whole number (or its reciprocal) that a scale is meant to be: 3.001 m to 6 m halves the rows."""
    whole = round(scale) if scale >= 1 else 1 / round(1 / scale)
    return float(whole) if not _differs(scale, whole) else scale


def _mean(scene: Extent) -> float:
    assert scene.gsd_m is not None
    return sum(scene.gsd_m) / 2


def _differs(first: float, other: float) -> bool:
    return abs(first - other) > TOLERANCE * other


Windows = npt.NDArray[np.int64]
"""Windows (N, 2): row and column of the upper left pixel."""


def pixel_size_m(crs: str, transform: tuple[float, ...], width: int, height: int) -> tuple[float, float]:
    """Return width and height in metres on the ground of the pixel at the scene's centre.

    Measured along the ellipsoid, since degrees, feet and Web Mercator's metres are no metres on the ground. Where the
    nominal size of a projected CRS is within 0.5 % of that (UTM's scale is 0.9996 to 1.001), the nominal one is
    returned: imagery that is sold as 3 m says 3.0.

    Raises:
        InputError: If the CRS or the centre's position in it is not valid.
    """
    import pyproj
    from pyproj.exceptions import ProjError

    a, b, c, d, e, f = transform[:6]
    row, col = height / 2, width / 2
    points = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    try:
        system = pyproj.CRS.from_user_input(crs)
        to_lonlat = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True)
        lons, lats = to_lonlat.transform(
            [a * x + b * y + c for x, y in points], [d * x + e * y + f for x, y in points], errcheck=True
        )
        geod = pyproj.Geod(ellps="WGS84")
        across = geod.inv(lons[0], lats[0], lons[1], lats[1])[2]
        down = geod.inv(lons[2], lats[2], lons[3], lats[3])[2]
    except (ProjError, ValueError) as error:
        raise InputError(f"the position of its centre is not valid in its CRS: {str(error)[:120]}") from None
    if system.is_projected:
        unit = system.axis_info[0].unit_conversion_factor
        nominal = math.hypot(a, d) * unit, math.hypot(b, e) * unit
        across, down = (
            plain if abs(plain - true) <= 0.005 * true else true
            for plain, true in zip(nominal, (across, down), strict=True)
        )
    return float(across), float(down)
