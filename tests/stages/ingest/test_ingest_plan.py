"""What ingest plans: which artifacts a change remakes, groups of scenes, and the order of things."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fixtures import REPOSITORY
from fixtures.ingest_project import feature, ingest, pixels, square, write_geojson, write_image, write_tif
from hypothesis import given
from hypothesis import strategies as st
from satpipe.formats.listing import batches, beside, find, named_like
from satpipe.utils.errors import ConfigError, InputError


def two_scenes(tmp_path: Path) -> dict[str, str]:
    for number, name in enumerate(["a", "b"]):
        write_tif(tmp_path / "in" / f"{name}.tif", pixels(seed=number))
    write_geojson(tmp_path / "l.geojson", feature(square(10, 10)))
    return {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.geojson")}


# ------------------------------------------------------------------------------------------------------------- keys


def test_nothing_changed_makes_nothing(tmp_path: Path) -> None:
    source = two_scenes(tmp_path)
    assert ingest(tmp_path, source).made == ["catalogue-geojson-0", "labels-geojson", "tables"]
    assert ingest(tmp_path, source).made == []


def test_a_changed_label_file_reads_no_scene_again(tmp_path: Path) -> None:
    source = two_scenes(tmp_path)
    ingest(tmp_path, source)
    write_geojson(tmp_path / "l.geojson", feature(square(10, 10)), feature(square(30, 30)))
    found = ingest(tmp_path, source)
    assert found.made == ["labels-geojson", "tables"]
    assert found.metadata["labels"] == {"ship": 4}


def test_a_changed_scene_reads_its_batch_again(tmp_path: Path) -> None:
    source = two_scenes(tmp_path)
    ingest(tmp_path, source, scenes_per_task=1)
    write_tif(tmp_path / "in" / "b.tif", pixels(seed=5))
    assert ingest(tmp_path, source, scenes_per_task=1).made == ["catalogue-geojson-1", "labels-geojson", "tables"]


def test_scenes_that_move_to_another_folder_are_not_read_again(tmp_path: Path) -> None:
    source = two_scenes(tmp_path)
    ingest(tmp_path, source)
    (tmp_path / "in").rename(tmp_path / "moved")
    found = ingest(tmp_path, source | {"path": str(tmp_path / "moved")})
    assert found.made == ["tables"]
    assert Path(found.scene("a.tif")["path"]).is_file()


def test_a_licence_or_group_changes_the_tables_only(tmp_path: Path) -> None:
    source = two_scenes(tmp_path)
    ingest(tmp_path, source)
    assert ingest(tmp_path, source | {"licence": "CC0"}).made == ["tables"]
    assert ingest(tmp_path, source | {"groups_regex": "(?P<site>.)"}).made == ["tables"]


def test_shapefiles_are_what_their_side_cars_say(tmp_path: Path) -> None:
    import geopandas
    import shapely

    write_tif(tmp_path / "in" / "a.tif")
    geopandas.GeoDataFrame({"class": ["ship"]}, geometry=[shapely.Polygon(square(5, 5))], crs="EPSG:32610").to_file(
        tmp_path / "l.shp"
    )
    source = {"type": "geojson", "path": str(tmp_path / "in"), "labels": str(tmp_path / "l.shp")}
    ingest(tmp_path, source)
    (tmp_path / "l.prj").write_text((tmp_path / "l.prj").read_text().replace("500000.0", "500003.0"))
    found = ingest(tmp_path, source)
    assert found.made == ["labels-geojson", "tables"]
    assert found.boxes()[0][1] == pytest.approx(4, abs=0.01)


def test_planning_imports_nothing_heavy() -> None:
    code = (
        "import sys; import satpipe.stages.ingest.stage\n"
        "print([one for one in ('numpy', 'pandas', 'rasterio', 'torch', 'pyarrow', 'shapely') if one in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ran.stdout.strip() == "[]"


# ----------------------------------------------------------------------------------------------------------- groups


def pictures(tmp_path: Path, *names: str) -> dict[str, str]:
    for number, name in enumerate(names):
        path = tmp_path / "in" / name
        write_image(path, pixels(seed=number))
        path.with_suffix(".txt").write_text("0 0.5 0.5 0.1 0.1")
    return {"type": "yolo", "path": str(tmp_path / "in")}


def test_groups_from_a_csv(tmp_path: Path) -> None:
    source = pictures(tmp_path, "x/a.png", "x/b.png", "y/b.png")
    (tmp_path / "g.csv").write_text("file,scene,aoi\na.png,s1,north\nx/b.png,s1,north\ny\\b.png,s2,\nother.png,s3,x\n")
    found = ingest(tmp_path, source | {"groups_csv": str(tmp_path / "g.csv")})
    assert found.scenes["group_scene"].tolist() == ["s1", "s1", "s2"]
    assert found.scenes["group_aoi"].fillna("").tolist() == ["north", "north", ""]
    assert found.metadata["groups"] == ["aoi", "scene"]


def test_a_scene_without_a_row_in_the_csv_is_quarantined(tmp_path: Path) -> None:
    source = pictures(tmp_path, "x/a.png", "x/b.png", "y/b.png")
    (tmp_path / "g.csv").write_text("file,aoi\na.png,north\nb.png,south\n")
    found = ingest(tmp_path, source | {"groups_csv": str(tmp_path / "g.csv")})
    # `b.png` could be either of two files.
    assert found.quarantined == dict.fromkeys(("yolo/x/b.png", "yolo/y/b.png"), "groups_csv g.csv does not list it")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name,aoi\na.png,x\n", "needs a column `file`"),
        (b"file\na.png\n", "needs a column `file`, at least one group"),
        (b"", "needs a column `file`"),
        (b"file,scene_id\na.png,x\n", "reserved"),
        (b"file,aoi\na.png,x\nin/../a.png,y\n", "twice"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_csv_of_groups_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    source = pictures(tmp_path, "a.png")
    (tmp_path / "g.csv").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        ingest(tmp_path, source | {"groups_csv": str(tmp_path / "g.csv")})


def test_groups_from_the_names_of_files(tmp_path: Path) -> None:
    source = pictures(tmp_path, "oslo/2018_a.png", "bergen/2019_b.png", "bergen/odd.png")
    found = ingest(tmp_path, source | {"groups_regex": r"(?P<site>\w+)/(?P<year>\d{4})_"})
    assert found.metadata["groups"] == ["site", "year"]
    good = found.scenes[found.scenes["quarantined"].isna()]
    assert good[["group_site", "group_year"]].to_numpy().tolist() == [["bergen", "2019"], ["oslo", "2018"]]
    assert list(found.quarantined) == ["yolo/bergen/odd.png"]


# ---------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups_regex": "("}, "not a regular expression"),
        ({"groups_regex": "[a-z]+"}, "needs a named group"),
        ({"class_map": {"a": "whale"}}, "'whale', which is not in `classes`"),
        ({"name": "../x"}, "name"),
        ({"path": []}, "path"),
    ],
)
def test_a_wrong_source_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    from satpipe.config.load import check

    source = {"type": "yolo", "path": "x"} | change
    with pytest.raises(ConfigError) as caught:
        check({"ingest": {"sources": [source]}}, "f.yaml")
    assert said in str(caught.value)


def test_a_list_of_paths_is_relative_to_the_file_that_holds_it(tmp_path: Path) -> None:
    from satpipe.config.load import load

    (tmp_path / "f.yaml").write_text("ingest: {sources: [{type: yolo, path: [a, b/*.png]}]}")
    source = load(tmp_path / "f.yaml").ingest.sources[0]
    assert source.path == (str(tmp_path / "a"), str(tmp_path / "b" / "*.png"))


# ------------------------------------------------------------------------------------------------------------ listing


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 7), st.integers(1, 100))
def test_batches_hold_every_file_once_in_order(sizes: list[int], most: int, most_bytes: int) -> None:
    runs = list(batches(sizes, most, most_bytes))
    assert [at for run in runs for at in run] == list(range(len(sizes)))
    for run in runs:
        assert 1 <= len(run) <= most
        assert sum(sizes[at] for at in run[:-1]) < most_bytes


def test_files_are_listed_in_an_order_of_their_own(tmp_path: Path) -> None:
    names = ["b.tif", "a/z.tif", "a.tif", "Z.TIF", "a/b/c.tif"]
    for name in names:
        write_tif(tmp_path / name)
    assert find(str(tmp_path), (".tif",), "key").files == tuple(sorted(names))


def test_a_label_file_beside_a_scene_wins_over_labels() -> None:
    there = {"set/images/a.txt", "set/labels/a.txt", "set/labels/deep/b.txt", "voc/Annotations/c.txt"}
    scenes = ["set/images/a.png", "set/images/deep/b.png", "voc/JPEGImages/c.jpg", "set/images/none.png"]
    assert beside(scenes, there.__contains__, (".txt",)) == {
        "set/images/a.png": "set/images/a.txt",
        "set/images/deep/b.png": "set/labels/deep/b.txt",
        "voc/JPEGImages/c.jpg": "voc/Annotations/c.txt",
    }


def test_a_name_that_two_files_share_is_nobodys() -> None:
    assert named_like(["x/a.tif", "y/a.tif", "z/b.tif"], ["l/a.txt", "l/b.txt"]) == {"z/b.tif": "l/b.txt"}
    assert named_like(["x/a.tif", "y/a.tif"], ["x/a.txt", "y/a.txt"]) == {"x/a.tif": "x/a.txt", "y/a.tif": "y/a.txt"}
    assert named_like(["a.tif"], ["p/a.txt", "q/a.txt"]) == {}
