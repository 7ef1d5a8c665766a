"""What a run says while it works, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from satpipe.engine.display import PlainDisplay, TerminalDisplay, display_for, log_file
from satpipe.engine.stages import STAGES
from satpipe.engine.store import Record
from satpipe.engine.task import Task
from satpipe.engine.worker import TaskSpec
from satpipe.models.device import Profile
from satpipe.utils.errors import StoreError

GAN = next(stage for stage in STAGES if stage.name == "gan")
SPEC = TaskSpec(Task("gan", "fold0-f100-r0", "a:b"), "key", {}, Path(), Profile())


def state(done: int) -> dict[str, Any]:
    return {"done": done, "total": 6000, "unit": "images", "note": ""}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bar_of_a_resumed_training_shows_rate_and_time_left() -> None:
    screen = io.StringIO()
    display = TerminalDisplay(Console(file=screen, force_terminal=True, width=130))
    clock = Clock()
    display.bars.get_time = clock
    display.stage_begins(GAN, 1, 1)
    for done in (2000, 3000, 4000):
        display.task_progress(SPEC, state(done))
        clock.now += 10
    display.bars.refresh()
    display.stage_stops(GAN, {})
    last = [line for line in re.sub(r"\x1b\[[0-9;?]*\w", "", screen.getvalue()).splitlines() if "4000/6000" in line][-1]
    assert "100 images/s" in last
    assert "00:20" in last


def test_elsewhere_there_are_plain_lines_that_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    display = display_for(Console(file=out, width=40), None)
    assert type(display) is PlainDisplay
    display.stage_begins(GAN, 1, 2)
    display.task_done(SPEC, Record("key", "gan", "fold0-f100-r0", "digest", {}, seconds=12.34), {})
    display.stage_ends(GAN, 1, 2, {})
    assert out.getvalue().splitlines() == [
        "gan: train a conditional generator on each split",
        "  gan/fold0-f100-r0 made in 12.3 s (1 of 1)",
        "gan: 1 of 2 tasks run",
    ]


def test_old_logs_of_a_run_go_and_those_of_other_runs_stay(tmp_path: Path) -> None:
    other = [tmp_path / f"demo-two-20260101T0000{number:02}.log" for number in range(30)]
    mine = [tmp_path / f"demo-20260101T0000{number:02}.log" for number in range(30)]
    for path in (*other, *mine):
        path.touch()
    with log_file(tmp_path, "demo"):
        pass
    assert all(path.exists() for path in other)
    assert len(list(tmp_path.glob("demo-2*.log"))) == 20
    assert mine[-1].exists()
    assert not mine[0].exists()


def test_log_that_cannot_be_written_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(StoreError, match="cannot be written to"), log_file(tmp_path / "data", "demo"):
        pass
