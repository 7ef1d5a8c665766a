"""Completion in a shell: what is offered, and that bash takes the script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from fixtures import REPOSITORY
from satpipe.commands import cli


def offered(*words: str) -> list[str]:
    """What is offered for the last word."""
    complete = ShellComplete(cli, {}, "satpipe", "_SATPIPE_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ru",), {"run", "runs"}),
        (("run", ""), {"ingest", "chips", "gan", "synth", "classify", "report", "all"}),
        (("run", "gan", "s"), {"synth"}),
        (("run", "all", "--exec"), {"--executor"}),
        (("run", "all", "--executor", ""), {"processes", "dask"}),
        (("why", "c"), {"chips", "classify"}),
        (("run", "all", "--set", "gan.im"), {"gan.images="}),
        (("run", "all", "--set", "chips.negatives.te"), {"chips.negatives.textured_share="}),
        (("run", "all", "--set", "ga"), {"gan."}),
        (("run", "all", "--set", "nothing.at.all"), set()),
        (("init", "--type", "y"), {"yolo"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
    ],
)
def test_completion_offers(words: tuple[str, ...], expected: set[str]) -> None:
    assert set(offered(*words)) == expected


def test_completion_offers_the_runs_of_the_root_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "runs").mkdir(parents=True)
    for name in ("demo", "demo-2", "planet"):
        (tmp_path / "data" / "runs" / name).mkdir()
    assert offered("generate", "--root", str(tmp_path), "--run", "demo") == ["demo", "demo-2"]
    assert offered("compare", "--root", str(tmp_path), "pl") == ["planet"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_SATPIPE_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="no bash here")
def test_bash_completes_with_the_printed_script(tmp_path: Path) -> None:
    program = tmp_path / "satpipe"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m satpipe "$@"\n')
    program.chmod(0o755)
    lines = [
        f'export PATH="{tmp_path}:$PATH" PYTHONPATH="{REPOSITORY}"',
        'eval "$(satpipe completion bash)"',
        "COMP_WORDS=(satpipe config va) COMP_CWORD=2",
        "_satpipe_completion satpipe",
        'echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "--norc", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "validate", done.stderr
