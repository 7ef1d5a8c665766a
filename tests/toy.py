"""A copy of the ground floor with six toy rooms: the real runner, store and command line, in seconds.

The toy pipeline counts letters. ``ingest`` reads one text file per source name, ``chips`` upper-cases each (one part a
file, through the helper ``shared.loud``), ``gan`` and ``synth`` are one part per replicate, ``classify`` counts (also
through ``shared.loud``) and ``report`` fills a template.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

HEAD = '''"""A toy room."""
from __future__ import annotations
from collections.abc import Sequence
from typing import Any
from ..parts import Job, Part, Plan, PlanContext
'''

ROOMS = {
    "ingest": '''
def plan(context: PlanContext) -> Plan:
    folder = context.config.ingest.sources[0].path
    import pathlib
    names = sorted(pathlib.Path(folder).glob("*.txt"))
    texts = yield [
        Part("ingest", path.stem, "pipeline.ingest.stage:make", files={"text": context.fingerprint(path)})
        for path in names
    ]
    yield [Part("ingest", "tables", "pipeline.ingest.stage:make_tables",
                inputs={"texts": tuple(done.ref for done in texts)})]

def make(job: Job) -> dict[str, Any]:
    """Copy one text."""
    text = job.file("text").read_text()
    (job.out / "text.txt").write_text(text.strip())
    return {"letters": len(text.strip())}

def make_tables(job: Job) -> dict[str, Any]:
    names = [path.name for path in job.folders("texts")]
    return {"scenes": [[name, name] for name in names], "labels": {"ship": len(names)}}
''',
    "chips": """
def plan(context: PlanContext) -> Plan:
    texts = [done for name, done in sorted(context.done["ingest"].items()) if name != "tables"]
    yield [
        Part("chips", f"loud-{done.ref.name}", "pipeline.chips.stage:make", inputs={"text": done.ref},
             config={"size_px": context.config.chips.size_px})
        for done in texts
    ]

def make(job: Job) -> dict[str, Any]:
    from ..shared import loud
    (job.out / "loud.txt").write_text(loud((job.folder("text") / "text.txt").read_text()))
    return {}
""",
    "gan": '''
def plan(context: PlanContext) -> Plan:
    refs = tuple(done.ref for done in context.done["chips"].values())
    yield [
        Part("gan", f"r{replicate}", "pipeline.gan.stage:make", inputs={"chips": refs},
             config={"replicate": replicate, "seed": context.config.seed})
        for replicate in range(context.config.split.replicates)
    ]

def make(job: Job) -> dict[str, Any]:
    """Slow enough to be interrupted, with a checkpoint."""
    import os, time
    from ..shared import quiet
    letters = "".join((folder / "loud.txt").read_text() for folder in job.folders("chips"))
    checkpoint = job.scratch / "step"
    start = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(start, 5):
        time.sleep(float(os.environ.get("TOY_SLEEP_S", "0")))
        checkpoint.with_suffix(".new").write_text(str(step + 1))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        job.progress.update(step + 1, 5, "steps")
    if os.environ.get("TOY_LOG"):
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write(f"{job.part.name} from step {start}\\n")
    (job.out / "model.txt").write_text(f"{quiet(letters)} {job.config['replicate']} {job.config['seed']}")
    return {}
''',
    "synth": """
def plan(context: PlanContext) -> Plan:
    yield [Part("synth", name, "pipeline.synth.stage:make", inputs={"gan": done.ref})
           for name, done in context.done["gan"].items()]

def make(job: Job) -> dict[str, Any]:
    (job.out / "fake.txt").write_text((job.folder("gan") / "model.txt").read_text()[::-1])
    return {"accepted": {"ship": 1}, "candidates": {"ship": 2}}
""",
    "classify": """
def plan(context: PlanContext) -> Plan:
    yield [Part("classify", name, "pipeline.classify.stage:make", inputs={"synth": done.ref})
           for name, done in context.done["synth"].items()]

def make(job: Job) -> dict[str, Any]:
    from ..shared import loud
    (job.out / "count.txt").write_text(str(len(loud((job.folder("synth") / "fake.txt").read_text()))))
    return {}
""",
    "report": """
def plan(context: PlanContext) -> Plan:
    refs = tuple(done.ref for done in context.done["classify"].values())
    yield [Part("report", "page", "pipeline.report.stage:make", inputs={"counts": refs},
                resources=("report/templates",))]

def make(job: Job) -> dict[str, Any]:
    from pathlib import Path
    template = (Path(__file__).parent / "templates" / "page.html").read_text()
    counts = sorted((folder / "count.txt").read_text() for folder in job.folders("counts"))
    (job.out / "report.html").write_text(template.replace("COUNTS", " ".join(counts)))
    return {"verdict": "helps", "sentence": f"{len(counts)} counts"}
""",
}

CHECK = """
def check(config: Any) -> None:
    pass
"""

SHARED = '''"""Helpers that two rooms share."""

from __future__ import annotations


def loud(text: str) -> str:
    """Upper case."""
    return text.upper()


def quiet(text: str) -> str:
    """Lower case."""
    return text.lower()
'''

CONFIG = """
name: toy
ingest:
  sources:
    - type: folders
      path: texts
split:
  replicates: 2
compute:
  workers: 2
"""


@dataclass
class Toy:
    """The toy project in a folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def build(cls, folder: Path) -> Toy:
        """Copy the ground floor to ``folder`` and add the toy rooms, two texts and a configuration."""
        package = folder / "pipeline"
        package.mkdir(parents=True)
        for path in (REPOSITORY / "pipeline").glob("*.py"):
            shutil.copyfile(path, package / path.name)
        for room in ("commands", "sweep"):
            shutil.copytree(REPOSITORY / "pipeline" / room, package / room)
        shutil.copyfile(REPOSITORY / "cli.py", folder / "cli.py")
        for room, text in ROOMS.items():
            (package / room).mkdir()
            (package / room / "__init__.py").write_text("")
            (package / room / "stage.py").write_text(HEAD + text + CHECK)
        (package / "shared.py").write_text(SHARED)
        (package / "report" / "templates").mkdir()
        (package / "report" / "templates" / "page.html").write_text("<p>COUNTS</p>")
        (folder / "texts").mkdir()
        (folder / "texts" / "a.txt").write_text("harbour")
        (folder / "texts" / "b.txt").write_text("sea")
        (folder / "toy.yaml").write_text(CONFIG)
        return cls(folder)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.folder / "cli.py"), *arguments]

    def start(self, *arguments: str, within: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start the command line in the folder; ``within`` is a command that goes before it."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        return subprocess.Popen(
            [*within, *self.command(*arguments)],
            cwd=self.folder,
            env=environment | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509 - the tests start no threads
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in the folder to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *arguments: str) -> list[str]:
        """``satpipe run all`` on the toy configuration, which must succeed; returns the parts that it made."""
        done = self.call("run", "all", "--config", "toy.yaml", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return made(done.stdout)

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace text in a file of the toy, where it must be found."""
        path = self.folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def content(self) -> dict[str, bytes]:
        """What is committed and published, by path: bytes of every file, without what records times."""
        roots = (self.folder / "data" / "parts", self.folder / "reports")
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for root in roots
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "timings.json"
        }

    def folder_of(self, stage: str, name: str) -> Path:
        """Folder of the committed part that the last run used."""
        run = json.loads((self.folder / "data" / "runs" / "toy.json").read_text())
        _, key = run["parts"][f"{stage}/{name}"]
        record = json.loads((self.folder / "data" / "records" / stage / f"{key}.json").read_text())
        return self.folder / "data" / "parts" / stage / str(record["digest"])


def heed_interrupts() -> None:
    """Undo that a shell's background job ignores Ctrl-C, and with it whatever it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def made(output: str) -> list[str]:
    """The parts that a run's plain lines say were made, sorted."""
    return sorted(line.split()[0] for line in output.splitlines() if line.startswith("  ") and " made in " in line)
