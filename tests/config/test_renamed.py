"""Keys under their former names: read, with a sentence, in files, overrides and stored runs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from satpipe.commands import main
from satpipe.config.load import load, valid_keys
from satpipe.config.renamed import RENAMED, current_names
from satpipe.engine.results import Result, Results
from satpipe.engine.runs import find_run
from satpipe.engine.store import Store
from satpipe.utils.errors import ConfigError, SatpipeWarning

SOURCES = "ingest: {sources: [{type: simulated}]}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(SOURCES + text, "utf-8")
    return path


def test_a_former_name_in_a_file_is_read_and_named(tmp_path: Path):
    with pytest.warns(SatpipeWarning, match=r"mine\.yaml: `gan\.judge_norm` is now called `gan\.discriminator_norm`"):
        config = load(write(tmp_path, "gan: {judge_norm: spectral}\n"))
    assert config.gan.discriminator_norm == "spectral"


def test_an_override_wins_under_either_name(tmp_path: Path):
    path = write(tmp_path, "gan: {discriminator_norm: none}\n")
    with pytest.warns(SatpipeWarning, match=r"--set gan\.judge_norm=batch: `gan\.judge_norm` is now called"):
        assert load(path, ["gan.judge_norm=batch"]).gan.discriminator_norm == "batch"
    path = write(tmp_path, "gan: {judge_norm: none}\n")
    with pytest.warns(SatpipeWarning):
        assert load(path, ["gan.discriminator_norm=batch"]).gan.discriminator_norm == "batch"


def test_both_names_of_a_key_are_an_error(tmp_path: Path):
    path = write(tmp_path, "gan: {judge_norm: none, discriminator_norm: batch}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: `gan\.judge_norm` is the former name of .* give one of them"):
        load(path)


def test_present_names_are_read_in_silence(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(write(tmp_path, "gan: {discriminator_norm: none}\nclassify: {augment: {steps_per_view: 1}}\n"))


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_a_renamed_key_leads_to_a_key_of_its_section(former: str, present: str):
    *sections, name = present.split(".")
    assert name in valid_keys(sections)
    assert former.rpartition(".")[2] not in valid_keys(former.split(".")[:-1])
    assert former.split(".")[:-1] == sections


@pytest.mark.parametrize("raw", [{}, {"gan": None}, {"gan": 3}, {"gan": ["judge_norm"]}, {"classify": {"augment": 1}}])
def test_sections_of_another_shape_are_left_to_the_check(raw: dict[str, object]):
    assert current_names(raw) == (raw, [])


def test_the_command_line_says_it_in_a_plain_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, "gan: {judge_norm: spectral}\n")
    with pytest.raises(SystemExit, match="0"):
        main(["config", "show", "--config", str(path)])
    printed = capsys.readouterr()
    assert "discriminator_norm: spectral" in printed.out
    assert "judge_norm" not in printed.out
    assert printed.err.startswith("satpipe: configuration ")
    assert "FutureWarning" not in printed.err


def test_a_stored_run_with_a_former_name_is_found(tmp_path: Path):
    config = {"ingest": {"sources": [{"type": "simulated"}], "scenes_per_part": 7}}
    keys = {"gan/final": "c" * 32}
    record = Result(name="r", version=0, last="gan", sentence="", config=config, keys=keys, digests=keys, started=1.0)
    store = Store(tmp_path / "data")
    store.create()
    Results(store.root).record(record)
    assert find_run("r", tmp_path).config.ingest.scenes_per_task == 7
