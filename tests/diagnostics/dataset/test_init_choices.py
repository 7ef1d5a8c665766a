"""`satpipe init` chooses classes, background and groups as their owner would, and says where it guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.ingest_project import init_and_ingest, write_image
from fixtures.layouts import (
    SCENES,
    chips,
    mask,
    pngs,
    scene,
    vectors,
    write_csv,
    write_png,
    yolo_beside,
)
from satpipe import commands
from satpipe.config import load
from satpipe.config.run import RunConfig


def init(folder: Path, expected: int = 0) -> tuple[RunConfig | None, str]:
    """The configuration that `init` writes for a folder, and what it says."""
    target = folder.parent / "c.yaml"
    done = CliRunner().invoke(commands.cli, ["init", str(folder), "--to", str(target), "--force"])
    if expected:
        assert done.exception is not None
        return None, f"{done.output} {done.exception}"
    assert done.exit_code == 0, done.output
    return load.load(target), done.output


def class_folders(folder: Path, path: str, names: tuple[str, str] = ("no-ship", "ship")) -> None:
    """Chips at ``path``, where {scene}, {name} (of the class) and {at} (a number) stand for what they are."""
    for index, (number, label, pixels) in enumerate(chips()):
        write_png(
            folder / path.format(scene=number, name=names[label], at=index, split=("train", "val")[index % 5 == 0]),
            pixels,
        )


# ------------------------------------------------------------------------------------------------- classes of chips


@pytest.mark.parametrize(
    "path",
    [
        "{split}/{name}/{at}.png",
        "{name}/{split}/{at}.png",
        "EuroSAT/2750/{name}/{name}_{at}.png",
        "{split}/images/{name}/{at}.png",
        "{name}/site{scene}/{at}.png",
        "site{scene}/{name}/{at}.png",
    ],
)
def test_classes_are_found_at_any_depth(path: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "set", path)
    result, source, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert source == "folders", said
    assert result.metadata["labels"] == {"no-ship": 48, "ship": 48}
    assert result.quarantined == {}


@pytest.mark.parametrize("path", ["{split}/{at}.png", "scene_{scene}/{at}.png", "2019-0{scene}-11/{at}.png"])
def test_splits_and_scenes_are_no_classes(path: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "set", path)
    _, said = init(tmp_path / "set", 2)
    assert "no labels for them" in said


def test_masks_beside_pictures_are_no_class(tmp_path: Path) -> None:
    pngs(tmp_path / "set", "images")
    for number in range(SCENES):
        write_png(tmp_path / "set" / "labels" / f"port{number}.png", mask(number))
    config, _ = init(tmp_path / "set")
    assert config is not None
    assert config.ingest.sources[0].type == "mask"
    assert config.ingest.classes == ("non-object", "object")


@pytest.mark.parametrize(
    "names",
    [("nothing", "boat"), ("Negative", "boat"), ("clear", "Boats"), ("no_boat", "boat"), ("non-ship", "a-ship")],
)
def test_a_background_is_known_by_its_name(names: tuple[str, str], tmp_path: Path) -> None:
    class_folders(tmp_path / "set", "{name}/{at}.png", names)
    config, said = init(tmp_path / "set")
    assert config is not None
    assert config.ingest.classes == names
    assert "was chosen" not in said


def test_a_guessed_background_is_said_with_the_remedy(tmp_path: Path) -> None:
    class_folders(tmp_path / "set", "{name}/{at}.png", ("harbour", "airplane"))
    config, said = init(tmp_path / "set")
    assert config is not None
    assert f"so {config.ingest.classes[0]} was chosen" in said
    assert f"--set 'ingest.classes=[{config.ingest.classes[1]}, {config.ingest.classes[0]}]'" in said


# ----------------------------------------------------------------------------------------------------------- groups


def test_the_scene_is_looked_for_below_the_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "set", "{name}/port{scene}_{at}.png")
    result, _, said = init_and_ingest(tmp_path / "set", tmp_path)
    assert "scene (8)" in said
    assert result.scenes["group_scene"].nunique() == SCENES


def test_tiles_of_namesake_scenes_in_several_folders_are_apart(tmp_path: Path) -> None:
    for place in ("kiel", "oslo"):
        for number in range(SCENES):
            write_png(tmp_path / "set" / place / f"s{number % 4}_{number}.png", scene(number + 10 * len(place)))
            (tmp_path / "set" / place / f"s{number % 4}_{number}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    result, _, _ = init_and_ingest(tmp_path / "set", tmp_path)
    assert result.scenes["group_scene"].nunique() == 8


def test_variants_of_one_picture_are_a_group(tmp_path: Path) -> None:
    for number in range(SCENES):
        for variant in range(3):
            name = f"harbour-{number}_png.rf.{variant:032x}"
            write_png(tmp_path / "set" / "train" / f"{name}.jpg", scene(3 * number + variant))
            (tmp_path / "set" / "train" / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    config, _ = init(tmp_path / "set")
    assert config is not None
    assert config.split.by == "scene"


def table(path: Path, columns: dict[str, list[str]], file: str = "file") -> None:
    names = [f"port{number}.png" for number in range(SCENES)]
    write_csv(path, [file, *columns], [list(row) for row in zip(names, *columns.values(), strict=True)])


HARBOURS = ["Kiel", "Kiel", "Oslo", "Oslo", "Riga", "Riga", "Bergen", "Bergen"]
SEASON = ["summer", "winter"] * 4


@pytest.mark.parametrize("place", ["set/scenes.csv", "set/images/scenes.csv", "scenes.csv"])
def test_a_table_beside_or_above_the_images_names_the_places(place: str, tmp_path: Path) -> None:
    yolo_beside(made(tmp_path / "set" / "images"))
    columns = {"season": SEASON, "cloud_pct": [str(9 * n) for n in range(8)], "hafen": HARBOURS, "role": ["train"] * 8}
    table(tmp_path / place, columns, "filename")
    folder = tmp_path / "set" / ("images" if place == "scenes.csv" else "")
    if place == "scenes.csv":
        (tmp_path / place).replace(tmp_path / "set" / "scenes.csv")
    config, said = init(folder)
    assert config is not None
    assert config.split.by == "hafen"
    assert "was chosen as the groups" not in said


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label_score", [f"0.{n}" for n in range(1, 9)]),
        ("class", ["ship", "sea"] * 4),
        ("role", ["train", "test"] * 4),
        ("licence", ["CC0", "CC-BY"] * 4),
        ("operator", ["A"] * 8),
        ("checksum", [f"abc{n}" for n in range(8)]),
        ("gsd", ["1", "2"] * 4),
        ("season", SEASON),
    ],
)
def test_what_names_no_place_is_never_the_group(name: str, values: list[str], tmp_path: Path) -> None:
    yolo_beside(made(tmp_path / "set"))
    table(tmp_path / "set" / "scenes.csv", {name: values})
    config, _ = init(tmp_path / "set")
    assert config is not None
    assert config.split.by == "scene_id"


def test_a_column_of_an_unknown_name_is_taken_with_a_note(tmp_path: Path) -> None:
    yolo_beside(made(tmp_path / "set"))
    table(tmp_path / "set" / "scenes.csv", {"season": SEASON, "flotilla": HARBOURS})
    config, said = init(tmp_path / "set")
    assert config is not None
    assert config.split.by == "flotilla"
    assert "of the columns season, flotilla, flotilla was chosen" in said


@pytest.mark.parametrize(("own", "by"), [({"site": HARBOURS}, "site"), ({}, "source_scene")])
def test_its_own_export_is_split_by_its_groups(own: dict[str, list[str]], by: str, tmp_path: Path) -> None:
    folder, rows = tmp_path / "set", []
    for index, (number, label, pixels) in enumerate(chips()):
        name = ("non-ship", "ship")[label]
        write_png(folder / name / f"{index}.png", pixels)
        groups = [values[number] for values in own.values()]
        rows.append(
            [
                f"{name}/{index}.png",
                f"c{index}",
                name,
                f"s/port{number}.tif",
                "label",
                index,
                index,
                1.0,
                "CC0",
                "train",
                *groups,
            ]
        )
    columns = [
        "file",
        "chip_id",
        "class",
        "source_scene",
        "kind",
        "row",
        "col",
        "valid_fraction",
        "licence",
        "role",
        *own,
    ]
    write_csv(folder / "labels.csv", columns, rows)
    write_csv(folder / "metadata.csv", ["file_name", *columns[1:]], rows)
    result, source, said = init_and_ingest(folder, tmp_path)
    assert source == "folders", said
    assert load.load(tmp_path / "c.yaml").split.by == by
    assert result.metadata["labels"] == {"non-ship": 48, "ship": 48}


def test_its_own_synthetic_chips_are_split_one_by_one(tmp_path: Path) -> None:
    folder, rows = tmp_path / "set", []
    for index, (_, label, pixels) in enumerate(chips()):
        name = ("non-ship", "ship")[label]
        write_png(folder / name / f"{index:06d}.png", pixels)
        rows.append([f"{name}/{index:06d}.png", index, name, label, 7, index, 0.5 + index / 200])
    columns = ["position", "class", "class_index", "seed", "number", "label_score"]
    write_csv(folder / "labels.csv", ["file", *columns], rows)
    write_csv(folder / "metadata.csv", ["file_name", *columns], rows)
    config, said = init(folder)
    assert config is not None
    assert config.ingest.sources[0].type == "folders", said
    assert config.split.by == "scene_id"


# --------------------------------------------------------------------------------------------------- nothing found


def test_where_nothing_is_found_it_is_said_what_lies_there(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pngs(folder, "images")
    write_csv(folder / "notes.csv", ["tile", "remark"], [["a", "b"]])
    (folder / "meta.json").write_text('{"captured": 1, "by": "x"}')
    vectors().to_file(folder / "lines.gpkg", layer="quays", driver="GPKG")
    (folder / "lines.gpkg").rename(folder / "lines.gpkg.bak")
    _, said = init(folder, 2)
    for words in (
        "8 .png",
        "notes.csv with the columns tile, remark",
        "meta.json with the keys captured, by",
        "missing:",
    ):
        assert words in said


def test_a_large_folder_is_read_in_samples(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "0.png", np.full((32, 32, 3), 9, np.uint8))
    text = (tmp_path / "set" / "0.png").read_bytes()
    for number in range(2500):
        (tmp_path / "set" / f"{number}.png").write_bytes(text)
        (tmp_path / "set" / f"{number}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    _, said = init(tmp_path / "set")
    assert "2,500, 1,250 examined" in said
