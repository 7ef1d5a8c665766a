"""The simulator: what it promises about bytes, georeference, labels and what its settings do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from pydantic import ValidationError
from rasterio.features import rasterize
from satpipe.config.sources import SimulatedSource
from satpipe.stages.ingest.simulator.scene import simulate, write_scene

CLEAR: dict[str, Any] = {
    "land_share": 0.0, "clutter": 0.0, "haze": 0.0, "cloud_share": 0.0, "nodata_wedge_share": 0.0, "waves": 0.3,
    "glint": 0.0, "under_way_share": 0.0,
}  # fmt: skip
"""Open sea on a clear and calm day: nothing but water and ships."""


def source(**changes: Any) -> SimulatedSource:
    """A source of small scenes."""
    return SimulatedSource(**({"size_px": 256, "ships_per_scene": 4.0} | changes))


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """Bands of a scene (H, W, 3)."""
    with rasterio.open(path) as file:
        return np.moveaxis(file.read(), 0, -1)


def test_the_same_seed_and_number_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        metadata = write_scene(source(), 3, folder)
    assert (first / metadata["scene"]).read_bytes() == (second / metadata["scene"]).read_bytes()
    assert (first / metadata["labels"]).read_bytes() == (second / metadata["labels"]).read_bytes()


def test_other_seeds_and_numbers_give_other_scenes(tmp_path: Path) -> None:
    shots = [(seed, number) for seed in (1, 2) for number in (0, 1)]
    metadata = [write_scene(source(seed=seed), number, tmp_path) for seed, number in shots]
    assert len({fact["scene_id"] for fact in metadata}) == 4
    images = [pixels_of(tmp_path / fact["scene"]).astype(float) for fact in metadata]
    for i, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 2 for other in images[:i])


def test_a_scene_does_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(simulate(source(scenes=2), 1)[0], simulate(source(scenes=9), 1)[0])


def test_the_scene_is_georeferenced_in_utm_at_three_metres(tmp_path: Path) -> None:
    metadata = write_scene(source(), 0, tmp_path)
    with rasterio.open(tmp_path / metadata["scene"]) as file:
        assert (file.driver, file.count, file.dtypes[0], file.shape) == ("GTiff", 3, "uint8", (256, 256))
        assert (file.nodata, file.res, file.block_shapes[0]) == (0, (3.0, 3.0), (256, 256))
        assert file.crs.is_projected
        assert file.crs.linear_units == "metre"
        assert "UTM" in file.crs.to_wkt()


def test_scenes_of_a_source_lie_apart(tmp_path: Path) -> None:
    bounds = []
    for number in (0, 1, 40, 41):
        with rasterio.open(tmp_path / write_scene(source(size_px=64), number, tmp_path)["scene"]) as file:
            bounds.append(file.bounds)
    for i, item in enumerate(bounds):
        for other in bounds[:i]:
            assert (
                item.left >= other.right
                or other.left >= item.right
                or item.bottom >= other.top
                or other.bottom >= item.top
            )


def test_geopandas_reads_labels_inside_the_scene_in_its_crs(tmp_path: Path) -> None:
    metadata = write_scene(source(ships_per_scene=8.0), 1, tmp_path)
    labels = geopandas.read_file(tmp_path / metadata["labels"])
    with rasterio.open(tmp_path / metadata["scene"]) as file:
        assert labels.crs == file.crs
        left, bottom, right, top = labels.total_bounds
        assert left > file.bounds.left
        assert right < file.bounds.right
        assert bottom > file.bounds.bottom
        assert top < file.bounds.top
    assert len(labels) == metadata["ships"] > 0
    assert set(labels["class"]) == {"ship"}
    assert labels.geometry.is_valid.all()


def test_length_beam_and_heading_describe_the_labelled_outline(tmp_path: Path) -> None:
    metadata = write_scene(source(ships_per_scene=8.0), 2, tmp_path)
    for feature in json.loads((tmp_path / metadata["labels"]).read_text())["features"]:
        ring = np.array(feature["geometry"]["coordinates"][0])
        heading = np.radians(feature["properties"]["heading_deg"])
        ahead, aside = np.array([np.sin(heading), np.cos(heading)]), np.array([np.cos(heading), -np.sin(heading)])
        assert np.ptp(ring @ ahead) == pytest.approx(feature["properties"]["length_m"], abs=1.0)
        assert np.ptp(ring @ aside) == pytest.approx(feature["properties"]["beam_m"], abs=1.0)
        middle = (ring.min(axis=0) + ring.max(axis=0)) / 2
        bow = ring[np.argmax(ring @ ahead)]
        assert (bow - middle) @ ahead > 0


def test_labels_lie_on_the_hulls_that_the_pixels_show(tmp_path: Path) -> None:
    """On clear water nearly everything that differs from the water is a labelled hull or the shadow beside it."""
    config = source(**CLEAR, noise=1.0, ships_per_scene=5.0)
    overlaps = []
    for number in range(3):
        metadata = write_scene(config, number, tmp_path)
        labels = geopandas.read_file(tmp_path / metadata["labels"])
        with rasterio.open(tmp_path / metadata["scene"]) as file:
            hulls = rasterize(labels.geometry, file.shape, transform=file.transform).astype(bool)
        image = pixels_of(tmp_path / metadata["scene"]).astype(float)
        water = np.median(image[~hulls], axis=0)
        differs = np.abs(image - water).max(axis=2) > 30
        brighter = differs & (image.mean(axis=2) > water.mean() - 15)  # not the shadows
        overlaps.append((brighter & hulls).sum() / (brighter | hulls).sum())
        assert differs[hulls].mean() > 0.6
        assert differs[~hulls].mean() < 0.03
    assert np.mean(overlaps) > 0.5


@pytest.mark.parametrize(("share", "cut"), [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_missing_data_is_where_the_configuration_says(share: float, cut: int) -> None:
    config = source(size_px=128, ships_per_scene=1.0, nodata_wedge_share=share)
    missing = [(simulate(config, number)[0] == 0).all(axis=2).mean() for number in range(8)]
    assert abs(sum(task > 0 for task in missing) - cut) <= 1 if 0 < share < 1 else sum(map(bool, missing)) == cut
    assert all(task == 0 or 0.03 < task < 0.45 for task in missing)


def test_no_valid_pixel_has_the_nodata_value_in_any_band() -> None:
    config = source(**CLEAR | {"nodata_wedge_share": 1.0}, noise=40.0)
    image, _ = simulate(config, 0)
    zero = image == 0
    assert np.array_equal(zero.any(axis=2), zero.all(axis=2))
    assert 0.03 < zero.all(axis=2).mean() < 0.45
    assert (image == 1).any()


def test_no_labelled_ship_reaches_into_missing_data(tmp_path: Path) -> None:
    config = source(nodata_wedge_share=1.0, ships_per_scene=8.0)
    for number in range(3):
        metadata = write_scene(config, number, tmp_path)
        labels = geopandas.read_file(tmp_path / metadata["labels"])
        with rasterio.open(tmp_path / metadata["scene"]) as file:
            hulls = rasterize(labels.geometry, file.shape, transform=file.transform, all_touched=True).astype(bool)
        assert hulls.any()
        assert (pixels_of(tmp_path / metadata["scene"])[hulls] > 0).all()


def test_ship_numbers_and_lengths_follow_the_configuration() -> None:
    config = source(
        **CLEAR, size_px=384, ships_per_scene=6.0, ship_length_m=(50.0, 90.0, 160.0), ship_length_spread=0.3
    )
    fleets = [simulate(config, number)[1] for number in range(16)]
    lengths = np.array([ship.length_m for fleet in fleets for ship in fleet])
    assert 4.5 < len(lengths) / len(fleets) < 7.5
    assert lengths.min() >= 50
    assert lengths.max() <= 160
    assert np.median(lengths) == pytest.approx(90, rel=0.12)
    assert np.log(lengths).std() == pytest.approx(0.27, abs=0.06)


def test_shares_of_moored_and_moving_ships_are_as_configured() -> None:
    def states(**changes: float) -> list[str]:
        config = source(size_px=320, ships_per_scene=5.0, land_share=1.0, **changes)
        return [ship.state for number in range(2) for ship in simulate(config, number)[1]]

    assert set(states(moored_share=0.0, under_way_share=1.0)) == {"under way"}
    moored = states(moored_share=1.0, under_way_share=0.0)
    assert moored.count("moored") > len(moored) / 2


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("land_share", 0.0, 1.0), ("clutter", 0.0, 3.0), ("haze", 0.0, 0.5), ("cloud_share", 0.0, 1.0),
        ("cloud_cover", 0.0, 0.4), ("waves", 0.0, 3.0), ("glint", 0.0, 5.0), ("blur_px", 0.0, 1.5), ("noise", 0.0, 8.0),
        ("under_way_share", 0.0, 1.0),
    ],
)  # fmt: skip
def test_every_setting_changes_the_picture(key: str, low: float, high: float) -> None:
    base = {"cloud_share": 1.0, "cloud_cover": 0.2} if key.startswith("cloud") else {}
    less, more = (
        simulate(source(**{"size_px": 160} | base | {key: value}), 0)[0].astype(float) for value in (low, high)
    )
    assert np.abs(less - more).mean() > 0.1


def test_waves_haze_blur_and_noise_act_as_their_names_say() -> None:
    def water(**changes: float) -> NDArray[np.float64]:
        image, _ = simulate(source(**CLEAR | {"ships_per_scene": 0.0, "noise": 0.0} | changes), 0)
        return image.mean(axis=2)

    def roughness(image: NDArray[np.float64]) -> float:
        return float(np.diff(image, axis=1).std())

    assert roughness(water(waves=4.0)) > 1.5 * roughness(water(waves=0.0))
    assert roughness(water(noise=6.0)) > 3 * roughness(water(noise=0.5))
    assert roughness(water(waves=4.0, blur_px=2.0)) < 0.8 * roughness(water(waves=4.0, blur_px=0.0))
    assert water(haze=0.6).mean() > water().mean() + 5
    assert water(glint=20.0).mean() > water().mean() + 5


def test_a_changed_sensor_leaves_the_ships_where_they_were() -> None:
    plain, changed = (simulate(source(noise=noise, haze=haze), 1)[1] for noise, haze in ((1.0, 0.0), (5.0, 0.4)))
    assert plain == changed


def test_a_ship_under_thick_cloud_is_not_labelled() -> None:
    open_sky = source(**CLEAR, ships_per_scene=12.0)
    overcast = open_sky.model_copy(update={"cloud_share": 1.0, "cloud_cover": 1.0})
    seen = sum(len(simulate(open_sky, number)[1]) for number in range(3))
    left = sum(len(simulate(overcast, number)[1]) for number in range(3))
    assert left < seen / 2


def test_lengths_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="shortest, median, longest"):
        source(ship_length_m=(100.0, 50.0, 200.0))
