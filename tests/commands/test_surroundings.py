"""The command line works wherever it is called: no terminal, a narrow one, no colours, odd paths, other folders."""

from __future__ import annotations

import os
import re
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures import REPOSITORY
from fixtures.letters_project import LettersProject

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*?(?:3[0-7]|4[0-7]|9[0-7]|38;|48;)[0-9;]*m")


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real program without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "satpipe", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def on_a_terminal(command: list[str], cwd: Path, columns: int = 80, **environment: str) -> tuple[int, str]:
    """Exit code and everything that a program writes to a terminal."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    given = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=inherited | given | environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written, until = b"", time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                chunk = os.read(ours, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            written += chunk
        elif process.poll() is not None:
            break
    os.close(ours)
    return process.wait(60), written.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> LettersProject:
    """A letters project in a folder with spaces and other letters, and its configuration in a read-only folder."""
    project = LettersProject.build(tmp_path_factory.mktemp("base") / "Größe 大小 d'été (1)")
    shelf = project.folder / "read only"
    shelf.mkdir()
    text = (project.folder / "letters.yaml").read_text().replace("path: texts", "path: ../texts")
    (shelf / "letters.yaml").write_text(text)
    (shelf / "letters.yaml").chmod(stat.S_IRUSR)
    shelf.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return project


def test_a_run_on_odd_paths_writes_below_its_root_alone(far: LettersProject, tmp_path: Path) -> None:
    shelf, root = far.folder / "read only", tmp_path / "résultats 1"
    before = sorted(path.name for path in shelf.iterdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = far.command("run", "all", "--config", str(shelf / "letters.yaml"), "--root", str(root))
    environment = {**os.environ, "PYTHONPATH": str(far.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not ESCAPE.search(done.stdout + done.stderr)
    assert (root / "reports" / "letters" / "report.html").is_file()
    assert f"report: {root / 'reports' / 'letters' / 'report.html'}" in done.stdout
    assert list(elsewhere.iterdir()) == []
    assert sorted(path.name for path in shelf.iterdir()) == before
    again = subprocess.run(
        [*command[:-2], "--root", os.path.relpath(root, elsewhere)],
        cwd=elsewhere,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "everything is up to date" in again.stdout


def test_a_terminal_gets_colours_and_bars_and_none_with_no_color(far: LettersProject, tmp_path: Path) -> None:
    for setting, root in (({}, "plain"), ({"NO_COLOR": "1"}, "none")):
        command = far.command("run", "all", "--config", "read only/letters.yaml", "--root", str(tmp_path / root))
        code, written = on_a_terminal(
            command, far.folder, PYTHONPATH=str(far.folder), LETTERS_SLEEP_S="0.05", **setting
        )
        assert code == 0, written
        assert "2 counts" in written
        assert ("\x1b[?25l" in written) or ("\x1b[2K" in written)  # bars
        assert bool(COLOUR.search(written)) == (not setting)


def test_help_names_every_command() -> None:
    listed = re.findall(r"^│ (\w+)", call("--help", COLUMNS="100").stdout, re.M)
    assert set(listed) >= {"run", "status", "why", "runs", "clean", "config"}


@pytest.mark.parametrize("columns", [24, 40, 200])
def test_help_keeps_every_option_and_line_whole_on_any_terminal(columns: int) -> None:
    done = call("run", "--help", COLUMNS=str(columns))
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= max(columns, 24)
    if columns >= 40:
        for option in ("--config", "--set", "--budget", "--executor", "--dry-run"):
            assert option in done.stdout
    words = re.sub(r"[\s│]+", " ", done.stdout)
    assert "Run the pipeline" in words


@pytest.mark.parametrize("columns", [24, 40])
def test_tables_on_a_narrow_terminal_keep_names_readable(columns: int, finished: LettersProject) -> None:
    for command in (["status", "--config", "letters.yaml"], ["runs"]):
        code, written = on_a_terminal(
            finished.command(*command), finished.folder, columns, PYTHONPATH=str(finished.folder)
        )
        assert code == 0, written
        plain = ESCAPE.sub("", written)
        assert ("ingest" in plain and "classify" in plain) if command[0] == "status" else "letters" in plain


def test_an_error_is_one_line_on_a_narrow_terminal(tmp_path: Path) -> None:
    done = call("config", "validate", "--config", str(tmp_path / "no such file.yaml"), COLUMNS="20")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no such file.yaml" in done.stderr


def test_a_terminal_without_our_letters_gets_others() -> None:
    done = call("run", "--help", PYTHONIOENCODING="ascii:replace", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    failed = call("config", "validate", "--config", "größe.yaml", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr
