"""The target grid, worked out by hand."""

from __future__ import annotations

import pytest
from satpipe.raster.grid import Extent, Target, targets
from satpipe.utils.errors import ConfigError


def scene(gsd, name="a.tif", height=512, width=300):
    return Extent(name, height, width, None if gsd is None else gsd if isinstance(gsd, tuple) else (gsd, gsd))


@pytest.mark.parametrize(
    ("gsd", "wanted", "expected"),
    [
        (3.0, None, Target(512, 300)),
        (3.0, 3.0, Target(512, 300)),
        (3.02, 3.0, Target(512, 300)),  # within 1 %: a projection's stretch, not another GSD
        (3.0, 6.0, Target(256, 150, 2.0, 2.0)),
        (2.99, 6.0, Target(256, 150, 2.0, 2.0)),  # meant to be the half
        (3.0, 5.0, Target(307, 180, 5 / 3, 5 / 3)),  # the last 0.2 pixel is not there wholly
        (3.0, 1.0, Target(1536, 900, 1 / 3, 1 / 3)),
        ((3.0, 2.0), 6.0, Target(256, 100, 2.0, 3.0)),  # pixels that are not square become it
        ((3.0, 2.0), 3.0, Target(512, 200, 1.0, 1.5)),
        (3.0, 5000.0, Target(1, 1, 1667.0, 1667.0)),
        (None, None, Target(512, 300)),
    ],
)
def test_target_grid(gsd, wanted, expected):
    [result] = targets([scene(gsd)], wanted, "average")
    assert (result.height, result.width) == (expected.height, expected.width)
    assert (result.scale_row, result.scale_col) == pytest.approx((expected.scale_row, expected.scale_col), rel=1e-3)
    assert result.resampled is (expected.scale_row != 1 or expected.scale_col != 1)


def test_another_gsd_without_a_kernel_stops_with_a_sentence():
    with pytest.raises(ConfigError, match=r"scene b.tif has a GSD of 5 m, the chips 3 m; set chips.resampling"):
        targets([scene(3.0), scene(5.0, "b.tif")], 3.0, None)


def test_scenes_of_two_gsds_stop_where_none_is_named():
    with pytest.raises(ConfigError, match=r"a.tif has a GSD of 3 m and b.tif one of 5 m; set chips.gsd_m"):
        targets([scene(3.0), scene(5.0, "b.tif")], None, "average")


def test_an_unknown_gsd_stops_only_where_it_is_needed():
    with pytest.raises(ConfigError, match=r"chips.gsd_m is 3 but the GSD of scene a.tif is not known"):
        targets([scene(None)], 3.0, "average")
    with pytest.raises(ConfigError, match=r"GSD of scene b.tif is known, that of a.tif is not"):
        targets([scene(None), scene(3.0, "b.tif")], None, None)


def test_a_far_coarser_scene_is_refused():
    assert targets([scene(16.0)], 1.0, "average")[0].scale_row == 1 / 16
    with pytest.raises(ConfigError, match=r"GSD of 17 m, more than 16 times that of the chips, 1 m"):
        targets([scene(17.0)], 1.0, "average")
