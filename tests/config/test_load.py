"""Configuration files: one sentence that names the key, the file and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from satpipe.config import load
from satpipe.utils.errors import ConfigError
from satpipe.utils.section import as_json

SMALLEST = "ingest:\n  sources:\n    - type: simulated\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALLEST + "gan:\n  imags: 3\n", "unknown key `gan.imags`; did you mean `gan.images`?"),
        (SMALLEST.replace("simulated", "simulated\n      scens: 3"), "did you mean `ingest.sources.0.scenes`?"),
        (
            SMALLEST.replace("simulated", "simulatd"),
            "`ingest.sources.0.type`: must be one of 'simulated', 'shipsnet', 'yolo', 'dota'",
        ),
        (SMALLEST.replace("simulated", "simulatd"), "got 'simulatd'; did you mean `simulated`?"),
        (
            SMALLEST.replace("type: simulated", "scenes: 3"),
            "`ingest.sources.0.type` is missing; it is one of simulated",
        ),
        (SMALLEST.replace("simulated", "yolo"), "`ingest.sources.0.path` is missing"),
        (
            SMALLEST.replace("simulated", "simulated\n      scenes: 0"),
            "`ingest.sources.0.scenes`: must be at least 1, got 0",
        ),
        ("ingest: {sources: []}\n", "`ingest.sources`: needs at least 1 items, has 0"),
        (SMALLEST + "gam: {}\n", "did you mean `gan`?"),
        (SMALLEST + "gan: 3\n", "`gan`: must be a section with keys, got 3"),
        (SMALLEST + "gan: {preset: dcgann}\n", "gan.preset: there is no preset 'dcgann'"),
        (SMALLEST + "classify: {model: 'nowhere_at_all:net'}\n", "there is no module nowhere_at_all"),
        (SMALLEST + "classify: {folders: [{name: other, path: nowhere}]}\n", "nowhere is not a folder"),
        (SMALLEST + "seed: [1]\n", "`seed`: must be a whole number"),
        (SMALLEST + "seed: 1.5\n", "`seed`: must be a whole number, got 1.5"),
        (SMALLEST + f"seed: -0x{'f' * 5000}\n", "`seed`: must be at least 0, got a number with thousands of digits"),
        (SMALLEST + "name: a/b\n", "`name`: must match the pattern"),
        (SMALLEST + "split: {scheme: hold-out}\n", "got 'hold-out'; did you mean `holdout`?"),
        (SMALLEST + "report: {baseline: gan, treatment: gan}\n", "are both `gan`; name two arms"),
        (SMALLEST + "chips: {size_px: 33}\n", "`chips.size_px`: must be a multiple of 16, got 33"),
        (SMALLEST + "seed: 1\nseed: 2\n", "key `seed` is given twice in line 5"),
        (SMALLEST + "? [a]\n: 1\n", "is not text"),
        ("ingest: [", "is not valid YAML"),
        ("- 1\n", "must be a mapping of sections"),
        ("", "must be a mapping of sections"),
        ("seed: 1\n", "`ingest` is missing"),
        (SMALLEST + "seed: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
    ],
)
def test_wrong_file_ends_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load.load(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; bundled ones are .*demo\.yaml"):
        load.load(tmp_path / "nothing.yaml")


def test_bundled_configurations_are_found_after_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo.yaml", "configs/demo.yaml"):
        assert load.load(Path(name)) == load.load()
    (tmp_path / "demo.yaml").write_text(SMALLEST + "seed: 77\n")
    assert load.load(Path("demo.yaml")).seed == 77
    with pytest.raises(ConfigError, match="does not exist"):
        load.load(tmp_path / "elsewhere" / "demo.yaml")


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    path = write(tmp_path / "configs", "ingest:\n  sources:\n    - {type: folders, path: ../chips}\n")
    assert Path(load.load(path).ingest.sources[0].path).resolve() == tmp_path / "chips"  # type: ignore[union-attr]
    monkeypatch.chdir(tmp_path)
    changed = load.load(path, ["ingest.sources.0.path=elsewhere"])
    assert changed.ingest.sources[0].path == str(tmp_path / "elsewhere")  # type: ignore[union-attr]


def test_the_home_of_nobody_is_a_name_like_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("ingest: {sources: [{type: yolo, path: ~nobody-of-this-name/tiles}]}\n")
    (source,) = load.load(path).ingest.sources
    assert source.path == str(tmp_path / "~nobody-of-this-name" / "tiles")


def test_overrides_are_read_as_yaml_and_later_ones_win(tmp_path: Path) -> None:
    path = write(tmp_path, SMALLEST)
    loaded = load.load(path, ["seed=3", "seed=4", "split.fractions=[0.5, 1]", "gan.images=null"], "other")
    assert (loaded.seed, loaded.split.fractions, loaded.gan.images, loaded.name) == (4, (0.5, 1.0), None, "other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed=[", "not valid YAML"),
        ("ingest.sources.7.path=x", "the list has 1 item,"),
        ("ingest.sources.x.path=x", "the list has 1 item,"),
        ("name.first=x", "`name` is a value and has no key `first`"),
    ],
)
def test_wrong_override_ends_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load.load(write(tmp_path, SMALLEST), [text])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["gan.imags=3"], "--set gan.imags=3: unknown key `gan.imags`"),
        (["seed=1", "seed=x"], "--set seed=x: `seed`: must be a whole number, got 'x'"),
        (["gan.preset=x"], "--set gan.preset=x: gan.preset: there is no preset 'x'"),
        (["gan={imags: 3}"], "--set gan={imags: 3}: unknown key"),
        (["ingest.sources.0.scenes=0"], "--set ingest.sources.0.scenes=0: `ingest"),
    ],
)
def test_a_wrong_override_is_blamed_and_not_the_file(tmp_path: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load.load(write(tmp_path, SMALLEST), overrides)
    assert str(caught.value).startswith(said)
    assert "more)" not in str(caught.value)


def test_run_is_named_for_its_file(tmp_path: Path) -> None:
    assert load.load(write(tmp_path, SMALLEST)).name == "mine"


def test_shown_configuration_loads_as_itself(tmp_path: Path) -> None:
    import yaml

    loaded = load.load()
    path = write(tmp_path, yaml.safe_dump(as_json(loaded), sort_keys=False))
    assert load.load(path) == loaded


@given(st.text(max_size=60))
def test_any_text_is_a_configuration_or_one_sentence(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.yaml"
        path.write_text(text, "utf-8", errors="replace")
        with pytest.raises(ConfigError) as caught:
            load.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["shipsnet.yaml", "shipsnet", "configs/shipsnet.yaml"])
def test_a_configuration_is_found_beside_a_folder_of_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shipsnet").mkdir()
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load.load(Path(name)).name == "shipsnet"
