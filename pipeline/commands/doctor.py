"""``satpipe doctor``: check whether this machine can run the pipeline, and say what to do where it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..utils.plural import plural
from ._common import console, load, root_option, say

if TYPE_CHECKING:
    from ..config.run import ComputeConfig
    from ..diagnostics.machine.finding import Finding

STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@click.command("doctor")
@root_option
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Check for this run; default: demo.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, root: Path, config_path: Path | None, as_json: bool) -> None:
    """Check this machine: libraries, torch, GDAL, threads, memory, disk; say what to do about each problem.

    The exit code is 1 if a run would fail, else 0, also with warnings.
    """
    compute = load(config_path, (), None).compute
    findings = []
    for finding in _checks(root, compute):
        findings.append(finding)
        if not as_json:
            _print(finding)
    errors, warnings = (sum(finding.state == state for finding in findings) for state in ("error", "warning"))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    elif errors:
        say(f"\nnot ready: fix {plural(errors, 'error')} before a run")
    else:
        say("\nready to run" + (f", with {plural(warnings, 'warning')}" if warnings else ""))
    context.exit(1 if errors else 0)


def _checks(root: Path, compute: ComputeConfig) -> Iterator[Finding]:
    from ..diagnostics.machine import libraries, machine
    from ..models.device import profile_cache

    for check in (
        libraries.python, libraries.libraries, libraries.torch_build, libraries.gdal, libraries.vector_files,
        libraries.proj,
    ):  # fmt: skip
        yield from check()
    yield from machine.threads(compute)
    yield from machine.profile(compute, profile_cache(root / "data" / "cache" / "profile.json"))
    yield from machine.memory(compute)
    yield from machine.folder(root)
    yield from machine.limits()


def _print(finding: Finding) -> None:
    from rich.text import Text

    line = Text.assemble((f"{finding.state:<8}", STYLES[finding.state]), f"{finding.topic:<13} {finding.message}")
    if finding.advice:
        line.append(f"\n{'':<22}-> {finding.advice}")
    console().print(line, soft_wrap=True, highlight=False)
