"""The reader: what it cuts is what is in the file, whatever the layout, the mask and the workers."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from fixtures.chip_project import scene, write_tif
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.warp import reproject
from satpipe.raster import cut, rows
from satpipe.raster.grid import Extent, targets
from satpipe.stages.chips import windows as w
from satpipe.utils.errors import InputError

LAYOUTS = {
    "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 32},
    "tiled deflate": {"tiled": True, "blockxsize": 32, "blockysize": 64, "compress": "deflate"},
    "strips": {"blockysize": 7},
    "one strip": {"blockysize": 1000, "compress": "lzw"},
    "band by band": {"tiled": True, "blockxsize": 48, "blockysize": 48, "interleave": "band"},
}


def noise(height, width, bands=3, dtype="uint8", seed=0):
    values = np.random.default_rng(seed).integers(1, 250, (height, width, bands))
    return values.astype(dtype)


def anywhere(height, width, size, count=60, seed=1):
    """Windows inside, across and beyond every edge, some of them twice."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.integers(-size - 3, side + 4, count) for side in (height, width)], axis=1)
    return np.concatenate([drawn, w.grid(height, width, size, size), drawn[:5]])


def expected(pixels, windows, size, known=None):
    """Chips by plain indexing: a padded scene, the mean of a chip's known pixels where nothing is known."""
    known = np.ones(pixels.shape[:2], bool) if known is None else known
    edge = size + 8
    around = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)))
    inside = np.pad(known, edge)
    chips, share = [], []
    for row, col in windows + edge:
        chip = around[row : row + size, col : col + size].copy()
        good = inside[row : row + size, col : col + size]
        mean = chip[good].mean(axis=0, dtype=float) if good.any() else np.zeros(pixels.shape[2])
        chip[~good] = np.rint(mean) if pixels.dtype.kind in "iu" else mean
        chips.append(chip)
        share.append(good.mean())
    return np.stack(chips), np.array(share)


@pytest.fixture
def small_steps(monkeypatch):
    """Scenes of tests are read in many steps, as large ones are."""
    monkeypatch.setattr(rows, "STEP_BYTES", 20_000)
    monkeypatch.setattr(cut, "CHUNK_BYTES", 10_000)


def streamed(opened, windows, size, **more):
    """All pieces of :func:`cut` put together, in the order of the windows."""
    chips, share, times = None, np.full(len(windows), -1.0), np.zeros(len(windows), int)
    for piece in cut.cut(opened, windows, size, **more):
        chips = np.zeros((len(windows), *piece.chips.shape[1:]), piece.chips.dtype) if chips is None else chips
        chips[piece.windows], share[piece.windows] = piece.chips, piece.valid
        times[piece.windows] += 1
    assert (times == 1).all()
    return chips, share


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("workers", [1, 3])
def test_chips_are_the_pixels_of_the_file(layout, workers, tmp_path, small_steps):
    pixels = noise(301, 203)
    opened = scene(write_tif(tmp_path / "a.tif", pixels, **LAYOUTS[layout]), pixels)
    windows = anywhere(301, 203, 40)
    chips, share = expected(pixels, windows, 40)
    got = streamed(opened, windows, 40, workers=workers)
    assert (got[0] == chips).all()
    assert got[1] == pytest.approx(share)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.integers(1, 40),
    seed=st.integers(0, 9),
    step=st.integers(1, 9000),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_windows_of_any_small_scene(height, width, size, seed, step, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "STEP_BYTES", step)
    pixels = noise(height, width, 2, "uint16", seed)
    opened = scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=16, blockysize=16), pixels)
    windows = anywhere(height, width, size, 20, seed)
    chips, share = expected(pixels, windows, size)
    got = streamed(opened, windows, size)
    assert (got[0] == chips).all()
    assert got[1] == pytest.approx(share)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_every_dtype_keeps_its_values(dtype, tmp_path):
    pixels = noise(70, 60, 1, dtype) * np.dtype(dtype).type(-3 if dtype[0] in "if" else 1)
    opened = scene(write_tif(tmp_path / "a.tif", pixels), pixels)
    chips, _ = streamed(opened, w.grid(70, 60, 20, 20), 20)
    assert chips.dtype == dtype
    assert (chips == expected(pixels, w.grid(70, 60, 20, 20), 20)[0]).all()


def wedge(height, width):
    return np.add.outer(np.arange(height), np.arange(width)) > 70


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask", "nan"])
def test_pixels_without_data_count_as_such_and_are_filled(kind, tmp_path, small_steps):
    reference = wedge(150, 160)
    pixels = noise(150, 160, 3, "float32" if kind == "nan" else "uint8")
    path = tmp_path / "a.tif"
    if kind == "nodata":
        pixels[~reference] = 0
        opened = scene(write_tif(path, pixels, nodata=0), pixels, "nodata", 0.0)
    elif kind == "nan":
        pixels[~reference] = np.nan
        opened = scene(write_tif(path, pixels), pixels)
    else:
        opened = scene(write_tif(path, pixels, reference, internal=kind == "mask"), pixels, kind)
    windows = anywhere(150, 160, 32)
    chips, share = expected(pixels, windows, 32, reference)
    for workers in (1, 2):
        got = streamed(opened, windows, 32, workers=workers)
        assert got[1] == pytest.approx(share)
        assert np.allclose(got[0], chips)
        assert np.isfinite(got[0]).all()


def test_zero_is_a_value_where_it_is_not_nodata(tmp_path):
    pixels = np.zeros((50, 50, 3), np.uint8)
    opened = scene(write_tif(tmp_path / "a.tif", pixels), pixels)
    assert (streamed(opened, w.grid(50, 50, 25, 25), 25)[1] == 1).all()
    pixels[..., 0] = 7
    opened = scene(write_tif(tmp_path / "b.tif", pixels, nodata=0), pixels, "nodata", 0.0)
    # Zero in two of three bands is still a colour.
    assert (streamed(opened, w.grid(50, 50, 25, 25), 25)[1] == 1).all()


class Spy:
    """Counts which pixels are read from disk."""

    def __init__(self, monkeypatch, shape):
        self.times = np.zeros(shape, int)
        self.threads = set()
        true = rows._read

        def spied(handle, opened, alpha, task, pixels, valid):
            self.times[task.row : task.stop, task.col : task.end] += 1
            self.threads.add(id(handle))
            true(handle, opened, alpha, task, pixels, valid)

        monkeypatch.setattr(rows, "_read", spied)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_block_is_read_once_by_one_of_the_workers(workers, tmp_path, monkeypatch, small_steps):
    pixels = noise(401, 333)
    opened = scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=32, blockysize=32), pixels)
    spy = Spy(monkeypatch, pixels.shape[:2])
    streamed(opened, w.grid(401, 333, 40, 25), 40, workers=workers)
    assert (spy.times == 1).all()
    assert len(spy.threads) <= workers


def test_blocks_that_hold_no_window_are_not_read(tmp_path, monkeypatch, small_steps):
    pixels = noise(640, 640)
    opened = scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64), pixels)
    spy = Spy(monkeypatch, pixels.shape[:2])
    windows = np.array([[10, 10], [600, 600], [300, 120]])
    chips, _ = streamed(opened, windows, 40)
    assert (chips == expected(pixels, windows, 40)[0]).all()
    assert set(np.unique(spy.times)) == {0, 1}
    blocks = spy.times.reshape(10, 64, 10, 64).max(axis=(1, 3))
    # One block; one block; 300 to 340 and 120 to 160 reach over two blocks each way.
    assert blocks.sum() == 1 + 1 + 4


def test_memory_does_not_grow_with_the_scene(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "STEP_BYTES", 64 * 200 * 3)
    largest = []
    for height in (640, 2560):
        pixels = noise(height, 200)
        opened = scene(write_tif(tmp_path / f"{height}.tif", pixels, tiled=True, blockxsize=64, blockysize=64), pixels)
        held = []
        with rows.native_rows(opened, (0, 200)) as native:
            for _ in cut._blocks(native, w.grid(height, 200, 40, 40), 40):
                held.append(native._pixels.nbytes)
        largest.append(max(held))
    assert largest[0] == largest[1] <= (64 + 64 + 40) * 200 * 3


def test_wide_scenes_of_deep_blocks_are_read_in_bounded_memory(tmp_path, monkeypatch):
    pixels = noise(256, 1600, bands=4, dtype="uint16")
    opened = scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=128, blockysize=128), pixels)
    monkeypatch.setattr(cut, "PANEL_BYTES", 128 * 400 * 4 * 2)
    monkeypatch.setattr(rows, "STEP_BYTES", 1)
    held = []
    make_room = rows.Rows._make_room

    def spy(self, low, high):
        make_room(self, low, high)
        held.append(self._pixels.nbytes)

    monkeypatch.setattr(rows.Rows, "_make_room", spy)
    windows = w.grid(256, 1600, 32, 32)
    chips, _ = streamed(opened, windows, 32)
    assert (chips == expected(pixels, windows, 32)[0]).all()
    # A row of blocks, what of the row above a window still needs, and the width that the last window reaches over.
    assert max(held) <= (128 + 32) * (400 + 32) * 4 * 2


@pytest.mark.parametrize("columns", [1, 50, 130])
def test_wide_scenes_cut_panel_by_panel_give_the_same_chips(columns, tmp_path, monkeypatch, small_steps):
    pixels = noise(90, 500)
    opened = scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=32, blockysize=32), pixels)
    windows = anywhere(90, 500, 12)
    monkeypatch.setattr(cut, "PANEL_BYTES", columns * 32 * 3)
    got = streamed(opened, windows, 12)
    chips, share = expected(pixels, windows, 12)
    assert (got[0] == chips).all()
    assert got[1] == pytest.approx(share)
    assert (streamed(opened, windows, 12)[0] == chips).all()


def test_items_of_an_array_are_cut_like_scenes(tmp_path):
    items = np.stack([noise(20, 20, 3, seed=seed) for seed in range(4)])
    np.save(tmp_path / "items.npy", items)
    from dataclasses import replace

    opened = replace(scene(tmp_path / "items.npy", items[2]), item=2)
    chips, share = streamed(opened, np.array([[0, 0], [2, 2], [-5, 0]]), 16)
    assert (chips == expected(items[2], np.array([[0, 0], [2, 2], [-5, 0]]), 16)[0]).all()
    assert share.tolist() == [1, 1, 11 / 16]


def test_a_truncated_scene_is_one_sentence(tmp_path):
    pixels = noise(200, 200)
    path = write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[:90_000])
    with pytest.raises(InputError, match=r"a.tif cannot be read at row \d+, column \d+ \(truncated or damaged"):
        streamed(scene(path, pixels), w.grid(200, 200, 40, 40), 40)


# ------------------------------------------------------------------------------------------------------- resampling


def warped(pixels, target, kernel):
    """The whole scene through rasterio's warper at once."""
    made = np.zeros((pixels.shape[2], target.height, target.width), pixels.dtype)
    reproject(
        np.ascontiguousarray(pixels.transpose(2, 0, 1)),
        made,
        src_transform=Affine(1, 0, 5, 0, -1, 5),
        src_crs="EPSG:3857",
        dst_transform=Affine(target.scale_col, 0, 5, 0, -target.scale_row, 5),
        dst_crs="EPSG:3857",
        resampling=Resampling[kernel],
        tolerance=0,
        XSCALE=1 / target.scale_col,
        YSCALE=1 / target.scale_row,
    )
    return made.transpose(1, 2, 0)


@pytest.mark.parametrize("kernel", ["nearest", "average", "bilinear", "cubic", "lanczos"])
@pytest.mark.parametrize(("gsd", "tolerance"), [(6.0, 0), (1.5, 0), ((6.0, 12.0), 0), (5.0, 1)])
def test_resampled_chips_are_those_of_rasterio_on_whole_scenes(kernel, gsd, tolerance, tmp_path, monkeypatch):
    if kernel == "lanczos" and tolerance:
        pytest.skip("GDAL's Lanczos at 5/3 depends on the last bit of its coordinates, also within GDAL")
    pixels = np.clip(np.random.default_rng(0).normal(120, 50, (211, 187, 2)), 0, 255).astype(np.uint8)
    path = write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=32, blockysize=32)
    scale = gsd if isinstance(gsd, tuple) else (gsd, gsd)
    own = (3.0 * 6.0 / scale[0], 3.0 * 6.0 / scale[1])
    [target] = targets([Extent("a", 211, 187, own)], 6.0, kernel)
    whole = warped(pixels, target, kernel)
    windows = anywhere(target.height, target.width, 16)
    chips, share = expected(whole, windows, 16)
    for step, panel in ((4000, 20), (1 << 24, 1 << 20)):
        monkeypatch.setattr(rows, "STEP_BYTES", step)
        monkeypatch.setattr(cut, "PANEL_BYTES", panel * 32 * 2)
        got = streamed(scene(path, pixels), windows, 16, target=target, kernel=kernel)
        assert got[1] == pytest.approx(share)
        # Where a weighted mean falls on a half, its last bit decides how it is rounded.
        assert np.abs(got[0].astype(int) - chips.astype(int)).max() <= tolerance


def test_a_mean_of_pixels_leaves_out_those_without_data(tmp_path):
    pixels = np.array([[10, 20, 0, 0], [30, 40, 0, 8], [0, 0, 50, 50], [0, 6, 50, 70]], np.uint8)[..., None].repeat(
        2, 2
    )
    path = write_tif(tmp_path / "a.tif", pixels, nodata=0)
    [target] = targets([Extent("a", 4, 4, (3.0, 3.0))], 6.0, "average")
    chips, share = streamed(scene(path, pixels, "nodata", 0.0), np.array([[0, 0]]), 2, target=target, kernel="average")
    # Two blocks are whole, one has a quarter of its pixels: the mean of the other three stands there.
    assert share.tolist() == [0.5]
    assert chips[0, ..., 0].tolist() == [[25, 40], [40, 55]]
