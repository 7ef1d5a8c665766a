"""The harness of the reliability tests: real runs of the whole pipeline, in seconds, with faults at chosen points.

``warm.py`` is a process that has imported everything and forks a run of the command line for each request, so that a
run costs what it computes and not what Python imports. ``shim.c`` counts what runs do to files and makes faults.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
FORMAT = "<QQIIIIqII512s512s512s"
NOTHING, KILL_GROUP, KILL_SELF, FAIL_ONCE, FAIL_FROM, CLOCK_BACK, SIGNAL_LEAD = range(7)
CREATE, WRITE, SYNC, RENAME, UNLINK, MKDIR = 1, 2, 4, 8, 16, 32
GROWING = CREATE | WRITE | SYNC | MKDIR
"""What a full disk refuses."""
EVERYTHING = GROWING | RENAME | UNLINK
"""What a disk that became read-only refuses."""
PATIENCE_S = 400

CONFIG = """
name: small
seed: 3
ingest:
  sources:
    - {type: yolo, path: images, gsd_m: 3}
    - {type: simulated, scenes: 2, size_px: 64, ships_per_scene: 2}
  scenes_per_part: 8
chips: {size_px: 16, gsd_m: null, duplicates: {enabled: true}}
split: {by: scene_id, scheme: holdout, test_fraction: 0.4, replicates: 2, random_replicates: 1}
gan: {images: 64, batch: 16, base_channels: 4, z_dim: 8, checkpoint_images: 32}
synth: {per_class: 8}
classify: {steps: 6, validate_every: 3, base_channels: 4, arms: [classic, classic+gan], orientations: 1}
report: {bootstrap: 200, examples: 2}
compute: {device: cpu, precision: fp32, memory_format: channels_last, workers: 1}
"""


def can_compile() -> bool:
    """Whether there is what the harness needs: Linux and a C compiler."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def compile_shim(folder: Path) -> Path:
    """Compile ``shim.c`` into ``folder``."""
    library = folder / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "shim.c", "-ldl"], check=True)
    return library


def build_project(folder: Path) -> Path:
    """A folder with a configuration and scenes with labels for a run of all six stages in seconds."""
    random = np.random.default_rng(4)
    (folder / "images").mkdir(parents=True)
    for number in range(10):
        pixels = random.normal(90, 9, (64, 64, 3)) + random.normal(0, 9, 3)
        lines = []
        for _ in range(4):
            row, col = random.integers(10, 54, 2)
            pixels[row - 2 : row + 2, col - 6 : col + 6] += 80
            lines.append(f"0 {col / 64} {row / 64} {12 / 64} {4 / 64}\n")
        Image.fromarray(np.clip(pixels, 1, 255).astype(np.uint8)).save(folder / "images" / f"s{number}.png")
        (folder / "images" / f"s{number}.txt").write_text("".join(lines))
    (folder / "small.yaml").write_text(CONFIG)
    return folder


def content(root: Path) -> dict[str, bytes]:
    """Every byte that a run leaves for good: committed parts and the report, without the seconds that it took."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for top in (root / "data" / "parts", root / "reports")
        for path in sorted(top.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }


@dataclass(frozen=True)
class Ran:
    """How a run ended: exit code (negative: the signal that ended it; None: it did not end), and what it said."""

    code: int | None
    out: str
    err: str
    seconds: float
    cpu_s: float

    def one_sentence(self) -> bool:
        """Whether the run's complaint is one line without a traceback, and no talk of a defect."""
        lines = self.err.strip().splitlines()
        return len(lines) == 1 and lines[0].startswith("satpipe: ") and "this is a defect" not in lines[0]


class Harness:
    """Starts runs in a warm process, with faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.log = folder / "log"
        self.arm()
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}:{HERE}",
            "LD_PRELOAD": str(compile_shim(folder)),
            "SHIM_STATE": str(self.state),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            "MPLCONFIGDIR": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "warm.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._ask({"wait": True})["ready"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the warm process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def arm(
        self,
        root: Path | None = None,
        action: int = NOTHING,
        target: int = 0,
        number: int = 0,
        classes: int = EVERYTHING,
        watch: int = 0,
        forbidden: Path | None = None,
        shift_s: int = 0,
    ) -> None:
        """Say what happens to files below ``root`` in the next run, and what is written to the log."""
        texts = [str(text or "").encode() for text in (root, self.log if watch or action else "", forbidden)]
        packed = struct.pack(FORMAT, 0, target, action, number, classes, watch, shift_s, 0, 0, *texts)
        if self.state.exists():
            with self.state.open("rb+") as file:
                file.write(packed)
        else:
            self.state.write_bytes(packed)
        self.log.unlink(missing_ok=True)

    def count(self) -> int:
        """How many operations the last run had."""
        return int(struct.unpack_from("<Q", self.state.read_bytes())[0])

    def fired(self) -> bool:
        """Whether the last run came to its fault."""
        return bool(struct.unpack_from("<I", self.state.read_bytes(), 40)[0])

    def logged(self) -> list[list[str]]:
        """Lines of the log: what, pid, path, and a second path of a rename."""
        if not self.log.exists():
            return []
        return [line.split("\t") for line in self.log.read_text(errors="replace").splitlines()]

    def run(
        self,
        folder: Path,
        *arguments: Any,
        call: str = "",
        memory_gb: float | None = None,
        inline: bool = False,
        patience_s: float = PATIENCE_S,
        environment: dict[str, str] | None = None,
    ) -> Ran:
        """Run the command line in ``folder``.

        Args:
            folder: Working folder.
            *arguments: Of the command line, or of ``call``.
            call: A function to call instead, as ``module:function``.
            memory_gb: Cap on the memory of the run's processes.
            inline: Make parts in the run's own process: a crash of the interpreter shows in the exit code.
            patience_s: Kill it after so many seconds.
            environment: More variables.
        """
        out, err = self.folder / "out", self.folder / "err"
        answer = self._ask(
            {
                "arguments": list(arguments),
                "call": call,
                "folder": str(folder),
                "out": str(out),
                "err": str(err),
                "memory_gb": memory_gb,
                "inline": inline,
                "patience_s": patience_s,
                "environment": environment or {},
            }
        )
        said = out.read_text(errors="replace"), err.read_text(errors="replace")
        return Ran(answer["code"], *said, answer["seconds"], answer["cpu"])

    def run_all(self, folder: Path, *arguments: str, **options: Any) -> Ran:
        """``satpipe run all`` on the small configuration."""
        return self.run(folder, "run", "all", "--config", "small.yaml", *arguments, **options)


def points(count: int, wanted: int) -> Sequence[int]:
    """``wanted`` operations of ``count``, spread evenly; all of them where there are not more."""
    if wanted >= count:
        return range(1, count + 1)
    return sorted({1 + round(step * (count - 1) / (wanted - 1)) for step in range(wanted)})


FIRED = "fired "


@dataclass(frozen=True)
class Fault:
    """A fault that a run came to: the operation that it hit, and how the run ended."""

    action: int
    number: int
    operation: str
    path: str
    ran: Ran


def chain(
    harness: Harness, folder: Path, seed: int, most: int, faults: Sequence[tuple[int, int, int]], steps: int = 250
) -> Iterator[Fault]:
    """Run the small pipeline in ``folder`` to its end, with a fault after some operations of each run but the last.

    Every run goes on where the one before was stopped, so the faults are spread over all stages.

    Args:
        harness: Starts the runs.
        folder: The project.
        seed: Where the faults come.
        most: Faults at most; then the run ends undisturbed.
        faults: Action, error or signal number, and classes of operations; they take turns.
        steps: Operations between two faults, about.
    """
    rng = np.random.default_rng(seed)
    patience, known = 1.0, 0
    for turn in range(most):
        action, number, classes = faults[turn % len(faults)]
        target = int(patience * rng.integers(1, 2 * steps))
        harness.arm(folder, action, target=target, number=number, classes=classes)
        ran = harness.run_all(folder)
        fired = [line for line in harness.logged() if line[0].startswith(FIRED)]
        if not fired:
            yield Fault(NOTHING, 0, "", "", ran)
            return
        yield Fault(action, number, fired[0][0].removeprefix(FIRED), fired[0][2], ran)
        # A part with more operations than lie between two faults would never be made.
        made = len(list(folder.glob("data/records/*/*.json")))
        patience, known = (1.0 if made > known else patience * 1.7), made
    harness.arm()
    yield Fault(NOTHING, 0, "", "", harness.run_all(folder))


def place(path: str, folder: Path) -> str:
    """Where in a project a path is, without what differs from part to part."""
    below = path.removeprefix(str(folder)).removeprefix("/data/")
    below = re.sub(r"\.?[0-9a-f]{32}(\.[^/]*\.[0-9]+)?", "*", below)
    return re.sub(r"\.[0-9]+\.tmp", ".tmp", below)


def signal_name(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "did not end"
    return signal.Signals(-code).name if code < 0 else str(code)
