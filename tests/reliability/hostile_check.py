"""How a run over hostile files has to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faults import Harness, Ran, signal_name
from hostile import Batch

MEMORY_GB = 3.0
"""Cap on the memory of a run over hostile files, in GiB; importing torch and GDAL takes one of them."""
PATIENCE_S = 30.0


@dataclass
class Found:
    """What was found out about the files of a batch.

    Attributes:
        problems: What must not be.
        refused: Hostile files that were refused by name, with the reason.
        used: Hostile files that were used, since their mutation left them sound.
    """

    problems: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)


def check(harness: Harness, batch: Batch, folder: Path, canary: Path, patience_s: float = PATIENCE_S) -> Found:
    """Run a batch and look at how it ended; where it ended badly as a whole, file by file."""
    found = _check_once(harness, batch, folder, canary, patience_s)
    if not found.problems or len(batch.hostile) < 2:
        return found
    alone = Found()
    for name in batch.hostile:
        kept = {one: data for one, data in batch.files.items() if one == name or one not in batch.hostile}
        one = Batch(batch.kind, batch.config, kept, [name], batch.command)
        again = _check_once(harness, one, folder, canary, patience_s)
        alone.problems += again.problems
        alone.refused |= again.refused
        alone.used += again.used
    alone.problems = alone.problems or [f"only together: {problem}" for problem in found.problems]
    return alone


def _check_once(harness: Harness, batch: Batch, folder: Path, canary: Path, patience_s: float) -> Found:
    shutil.rmtree(folder, ignore_errors=True)
    batch.write(folder)
    harness.arm(folder, watch=1, forbidden=canary.parent)
    ran = harness.run(folder, *batch.command, memory_gb=MEMORY_GB, inline=True, patience_s=patience_s)
    found = Found()
    where = f"{batch.kind} {batch.hostile if len(batch.hostile) < 3 else len(batch.hostile)}"
    found.problems += [f"{where}: {problem}" for problem in _ended_badly(ran)]
    for what, _, path, *_ in harness.logged():
        if what in ("forbidden", "connect") or (what == "outside" and not _is_allowed(path, harness)):
            found.problems.append(f"{where}: {what} {path}")
    if batch.command[0] == "config":
        _sort(found, batch, {}, set(), ran)
    else:
        _sort(found, batch, *_ledger(folder), ran)
    return found


def check_call(harness: Harness, kind: str, number: int, folder: Path, canary: Path) -> tuple[list[str], bool]:
    """Have the library open a broken file in a process of its own: problems, and whether the file was refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    harness.arm(folder, watch=1, forbidden=canary.parent)
    ran = harness.run(
        folder, kind, number, str(folder), str(canary), call="calls:main", memory_gb=MEMORY_GB, patience_s=PATIENCE_S
    )
    where = f"{kind} {number}"
    said = (ran.out + ran.err).strip()[-400:]
    problems = [] if ran.code == 0 else [f"{where}: ended with {signal_name(ran.code)}: {said}"]
    for what, _, path, *_ in harness.logged():
        if what in ("forbidden", "connect") or (what == "outside" and not _is_allowed(path, harness)):
            problems.append(f"{where}: {what} {path}")
    return problems, not ran.out.strip().endswith(":")


def _is_allowed(path: str, harness: Harness) -> bool:
    # SQLite sorts the answers of PROJ's own database in a file without a name, in the system's folder for such files.
    sorting = Path(path).name.startswith("etilqs_") and Path(path).parent in (Path("/var/tmp"), Path("/tmp"))
    return path.startswith(str(harness.folder)) or path.endswith(".lock") or sorting


def _ended_badly(ran: Ran) -> Iterator[str]:
    said = (ran.out + ran.err).strip()[-400:]
    if ran.code not in (0, 2):
        yield f"ended with {signal_name(ran.code)}: {said}"
    if "Traceback" in ran.out + ran.err or "this is a defect" in ran.err:
        yield f"traceback or defect: {said}"
    if ran.code == 2 and not ran.one_sentence():
        yield f"not one sentence: {ran.err[-600:]}"
    if len(ran.err) > 1500:
        yield f"a complaint of {len(ran.err)} characters"


def _ledger(folder: Path) -> tuple[dict[str, str], set[str]]:
    """Refused scenes with reasons, and used scenes, of the committed tables."""
    refused: dict[str, str] = {}
    used: set[str] = set()
    for path in folder.glob("data/parts/ingest/*/facts.json"):
        facts = json.loads(path.read_text())
        for name, reason in facts.get("quarantined", []):
            refused[name] = reason
        for name, reason in facts.get("labels_quarantined", []):
            refused.setdefault(name, reason)
        if isinstance(facts.get("scenes"), list):
            used |= {pair[0] for pair in facts["scenes"]}
    return refused, used


def _sort(found: Found, batch: Batch, refused: dict[str, str], used: set[str], ran: Ran) -> None:
    """Tell for each hostile file whether it was refused, by its own name and with a reason, or used."""
    for name in batch.hostile:
        base = Path(name).name
        stem = Path(name).stem
        reasons = [reason for scene, reason in refused.items() if base in scene or base in reason]
        of_scene = [reason for scene, reason in refused.items() if Path(scene.split("#")[0]).stem == stem]
        if reasons or of_scene:
            found.refused[name] = (reasons or of_scene)[0]
            if not all(reason.strip() for reason in reasons + of_scene):
                found.problems.append(f"{batch.kind} {name}: refused without a reason")
        elif ran.code == 2:
            found.refused[name] = ran.err.strip()
            if len(batch.hostile) == 1 and base not in ran.err and batch.command[0] == "config":
                found.problems.append(f"{batch.kind} {name}: the complaint does not name the file: {ran.err.strip()}")
        else:
            found.used.append(name)
