"""What TensorBoard would read of a training: as it grows, when it goes back, and when it was made long ago."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.letters_project import LettersProject
from PIL import Image
from satpipe.engine import tensorboard
from satpipe.engine.display import PlainDisplay
from satpipe.engine.store import Store
from satpipe.engine.tensorboard import Board, Mirror, scalars
from satpipe.utils.errors import ConfigError

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the extra `tensorboard` is not installed"
)


def read(folder: Path) -> Any:
    result = accumulators.EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    result.Reload()
    return result


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in read(folder).Scalars(name)]


def log(folder: Path, *losses: float) -> None:
    """A training's folder with an evaluation and a sheet every 100 images."""
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, loss in enumerate(losses, start=1):
        quality = {"ship": {"kid": loss / 10}}
        lines.append(
            json.dumps({"images": 100 * number, "loss": loss, "quality": quality, "collapsed": ["ship"]}) + "\n"
        )
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(folder / "sheets" / f"{100 * number:08d}.png")
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_a_log_that_grows_is_written_once(tmp_path: Path) -> None:
    training, board = tmp_path / "training", Board(tmp_path / "board")
    board.follow(training)  # before the first evaluation
    log(training, 3.0)
    board.follow(training)
    log(training, 3.0, 2.0)
    board.follow(training)
    board.follow(training)
    board.close()
    assert points(tmp_path / "board", "loss") == [(100, 3.0), (200, 2.0)]
    assert points(tmp_path / "board", "quality/ship/kid") == [(100, 0.3), (200, 0.2)]
    images = read(tmp_path / "board").Images("sheet")
    assert [(image.step, image.width, image.height) for image in images] == [(100, 6, 4), (200, 6, 4)]


def test_a_training_that_went_back_shows_what_counts(tmp_path: Path) -> None:
    training, board = tmp_path / "training", Board(tmp_path / "board")
    log(training, 3.0, 2.0, 9.0)
    board.follow(training)
    shutil.rmtree(training)
    log(training, 3.0, 2.5)
    board.follow(training)
    board.close()
    assert points(tmp_path / "board", "loss") == [(100, 3.0), (200, 2.5)]


def test_what_an_earlier_process_wrote_is_replaced(tmp_path: Path) -> None:
    log(tmp_path / "training", 3.0)
    for _ in range(2):
        board = Board(tmp_path / "board")
        board.follow(tmp_path / "training")
        board.close()
    assert points(tmp_path / "board", "loss") == [(100, 3.0)]


def test_a_half_written_sheet_waits_for_the_next_time(tmp_path: Path) -> None:
    training, board = tmp_path / "training", Board(tmp_path / "board")
    log(training, 3.0)
    sheet = training / "sheets" / "00000100.png"
    whole = sheet.read_bytes()
    sheet.write_bytes(whole[:20])
    board.follow(training)
    sheet.write_bytes(whole)
    board.follow(training)
    board.close()
    assert [image.step for image in read(tmp_path / "board").Images("sheet")] == [100]


def test_scalars_are_the_finite_numbers_of_a_line() -> None:
    line = {
        "images": 5,
        "loss": float("nan"),
        "score": 1,
        "collapsed": [],
        "fine": True,
        "quality": {"a": {"kid": 0.5}},
    }
    assert dict(scalars(line)) == {"score": 1.0, "quality/a/kid": 0.5}


def test_without_tensorboard_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed; `pip install satpipe\[tensorboard\]`"):
        Mirror(PlainDisplay(None), Store(tmp_path), "run")  # type: ignore[arg-type]


LOGS = """(context.out / "metrics.jsonl").write_text('{"images": 7, "score": 0.5}')
    (context.out / "model.txt")"""


def test_a_run_writes_its_trainings_old_ones_too(project: LettersProject) -> None:
    project.edit("satpipe/stages/gan/stage.py", '(context.out / "model.txt")', LOGS)
    done = project.call("run", "all", "--config", "letters.yaml", "--tensorboard")
    assert done.returncode == 0, done.stderr
    folder = project.folder / "data" / "logs" / "tensorboard"
    assert f"tensorboard --logdir {Path('data', 'logs', 'tensorboard')}" in done.stdout
    assert sorted(path.name for path in (folder / "letters" / "gan").iterdir()) == ["r0", "r1"]
    assert not (folder / "project" / "synth").exists()
    before = project.content()
    shutil.rmtree(folder)
    done = project.call("run", "all", "--config", "letters.yaml", "--tensorboard")
    assert "everything is up to date" in done.stdout
    assert points(folder / "letters" / "gan" / "r1", "score") == [(7, 0.5)]
    assert project.content() == before


def test_a_sweep_writes_each_points_trainings_under_its_name(project: LettersProject) -> None:
    project.edit("satpipe/stages/gan/stage.py", '(context.out / "model.txt")', LOGS)
    sweep = ("sweep", "--config", "letters.yaml", "--name", "s", "--grid", "seed=1,2", "--set", "split.replicates=1")
    done = project.call(*sweep, "--to", "gan", "--tensorboard")
    assert done.returncode == 0, done.stderr
    folder = project.folder / "data" / "logs" / "tensorboard" / "s" / "gan"
    assert sorted(path.name for path in folder.iterdir()) == ["r0 of seed=1", "r0 of seed=2"]
    assert points(folder / "r0 of seed=2", "score") == [(7, 0.5)]
