"""Long runs keep to their memory, close their files and bound their logs. A sample of ``long_runs.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from satpipe.engine.display import LOG_BYTES, LOG_FILES_IN_ALL, LOG_FILES_KEPT, log_file

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(("what", "count"), [("steps", 800), ("parts", 60)])
def test_memory_open_files_and_maps_are_flat(what: str, count: int) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    done = subprocess.run(
        [sys.executable, str(HERE / "long_runs.py"), what, str(count)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("flat\n")
    assert len(done.stdout.splitlines()) > 15


def test_logs_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    for run in range(LOG_FILES_IN_ALL // LOG_FILES_KEPT + 3):
        for second in range(LOG_FILES_KEPT + 2):
            (tmp_path / f"r{run}-20260101T0000{second:02d}.log").write_text("x")
    (tmp_path / "r1-other-20260101T000000.log").write_text("x")
    with log_file(tmp_path, "r1") as logger:
        for _ in range(3 * LOG_BYTES // 100_000):
            logger.info("x" * 100_000)
    assert len(list(tmp_path.glob("*.log"))) <= LOG_FILES_IN_ALL + 1
    assert len(list(tmp_path.glob("r1-2*.log"))) <= LOG_FILES_KEPT
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2.2 * LOG_BYTES


def test_log_that_can_no_longer_be_written_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with log_file(tmp_path, "r") as logger:
        handler = logger.handlers[-1]
        handler.stream.close()  # type: ignore[attr-defined]
        handler.stream = open("/dev/full", "w") if Path("/dev/full").exists() else handler.stream  # noqa: PTH123, SIM115
        logger.info("x" * 100_000)
    assert capfd.readouterr() == ("", "")
