"""`satpipe doctor`: whether this machine can run the pipeline, and what to do where it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ._common import console, load, root_option, say

if TYPE_CHECKING:
    from ..config.run import ComputeConfig
    from ..diagnostics.machine.finding import Finding

WORDS = {"good": "ok", "warning": "warning", "bad": "bad"}
STYLES = {"good": "green", "warning": "yellow", "bad": "bold red"}


@click.command("doctor")
@root_option
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Check for this run; default: demo.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, root: Path, config_path: Path | None, as_json: bool) -> None:
    """Check this machine: libraries, torch, GDAL, threads, memory, disk; and say what to do about each.

    The exit code is 0 where a run would work, also with warnings, and 1 where it would fail.
    """
    compute = load(config_path, (), None).compute
    found = []
    for finding in _checks(root, compute):
        found.append(finding)
        if not as_json:
            _print(finding)
    bad = sum(finding.state == "bad" for finding in found)
    warnings = sum(finding.state == "warning" for finding in found)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=1))
    elif bad:
        say(f"\n{bad} to mend before a run can work")
    else:
        say("\nready to run" + (f"; {warnings} that could be better" if warnings else ""))
    context.exit(1 if bad else 0)


def _checks(root: Path, compute: ComputeConfig) -> Iterator[Finding]:
    from ..diagnostics.machine import libraries, machine

    yield from libraries.python()
    yield from libraries.libraries()
    yield from libraries.torch_build()
    yield from libraries.gdal()
    yield from machine.threads(compute)
    yield from machine.profile(compute, root / "data" / "cache" / "profile.json")
    yield from machine.memory(compute)
    yield from machine.folder(root)
    yield from machine.limits()


def _print(finding: Finding) -> None:
    from rich.text import Text

    line = Text(f"{WORDS[finding.state]:<8}", STYLES[finding.state])
    line.append(f"{finding.topic:<13} {finding.says}", "default")
    out = console()
    out.print(line, soft_wrap=True, highlight=False)
    if finding.do:
        out.print(Text(f"{'':<8}{'':<13} -> {finding.do}"), soft_wrap=True, highlight=False)
