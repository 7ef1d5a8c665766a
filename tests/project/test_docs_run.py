"""Every command and script of the documents runs, one after the other, in a folder as the documents have it.

Runs are real and tiny: what a command asks for is made with networks and trainings cut down to seconds. Commands that
need what a test cannot have (a cluster, an account, a package index) are listed with the reason; the other tests of
documents check that these are accepted by the command line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
import pytest
from click.testing import CliRunner
from fixtures import REPOSITORY
from fixtures.documents import DOCUMENTS, FENCE
from fixtures.layouts import SCENES, SHIPS, boxes, pngs, shipsnet
from satpipe import commands
from satpipe.config import gan_presets, load
from satpipe.config.run import RunConfig
from satpipe.config.sources import SimulatedSource
from satpipe.engine import runner
from satpipe.models import probe
from satpipe.stages.gan import features
from satpipe.stages.ingest.simulator.scene import write_scene
from satpipe.stages.synth import scorer
from satpipe.sweep import request
from satpipe.sweep import run as sweep

ORDER = ("README.md", "docs/index.md", "docs/tutorials/demo.md", "docs/tutorials/own-scenes.md")
"""Documents that come first: others go on from what they make."""

TINY = {
    "gan.images": 64,
    "gan.whole_images": 32,
    "synth.screen": False,  # so short a training yields nothing that screening lets through
    "gan.checkpoint_images": 32,
    "gan.base_channels": 8,
    "classify.steps": 4,
    "classify.validate_every": 2,
    "classify.base_channels": 4,
    "split.random_replicates": 0,
    "report.bootstrap": 200,
    "compute.precision": "fp32",
    "compute.memory_format": "contiguous",
}
PROBES = (features, probe, scorer)
"""Modules that train small networks for a fixed number of steps."""
FEW = {"split.replicates": 1, "split.folds": 2}
"""Larger numbers become these."""
SIX = 'RUN, REPLICATES = "mixed", 6'
"""A script's own number of replicates."""
SMALL_SIMULATION = {"scenes": 16, "size_px": 384}

NOT_RUN = {
    r"^make ": "makes environments and runs this very suite",
    r"^\. \.venv/bin/activate$": "the environment is the test's",
    r"^\S*python\S* -m (venv|pip|pytest) ": "installs from a package index, or runs this very suite",
    r"^pip ": "installs from a package index",
    r"--scheduler|--executor dask|^torchrun|^dask |^sbatch|^srun|^ssh ": "needs a cluster",
    r"^python benchmarks/": "takes minutes to hours",
    r"^git ": "needs a remote repository",
    r"=TILES\b": "needs imagery that is not part of satpipe",
}
NEEDS = {
    r"export model (?!.*--no-onnx)": ("onnx", "onnxruntime", "onnxscript"),
    r"--stac\b": ("pystac",),
}
"""Packages of extras that lines need; without them the lines are left out."""
PYTHON_NOT_RUN = {"docs/cluster.md": "needs a Slurm cluster"}
PLACE_OF_PYTHON = {"docs/report.md": "reports/demo"}
"""Where a document's Python runs, if not in the folder that all share."""


def blocks(path: Path) -> Iterator[tuple[str, str | None, str]]:
    """Language, title and text of each code block."""
    for result in FENCE.finditer(path.read_text("utf-8")):
        head = result[0].split("\n", 1)[0]
        title = re.search(r'title="([^"]+)"', head)
        yield result[1], title[1] if title else None, result[2]


def lines(text: str) -> Iterator[str]:
    """Commands of a shell block, continued lines joined, comments cut."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield shlex.join(words)


def in_order() -> list[Path]:
    names = {path.relative_to(REPOSITORY).as_posix(): path for path in DOCUMENTS}
    return [names[name] for name in ORDER] + [path for name, path in sorted(names.items()) if name not in ORDER]


def tiny(load: Any, kept: str | None = None) -> Any:
    """A loader of configurations that cuts down what it loads, but for one key."""

    def smaller(path: Path | None = None, overrides: Sequence[str] = (), name: str | None = None) -> RunConfig:
        config = load(path, overrides, name)
        added = [f"{key}={value}" for key, value in TINY.items() if key != kept]
        for key, most in FEW.items():
            section, field = key.split(".")
            added += [f"{key}={min(most, getattr(getattr(config, section), field))}"]
        if any(isinstance(source, SimulatedSource) for source in config.ingest.sources):
            added += [f"ingest.sources.0.{key}={value}" for key, value in SMALL_SIMULATION.items()]
        added += ["chips.size_px=32"]
        return load(path, [*overrides, *added], name)

    return smaller


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that documents speak of: a checkout's configurations, scenes, and data sets as people have them."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    scenes = folder / "my-scenes" / "scenes"
    scenes.mkdir(parents=True)
    source, result = SimulatedSource(size_px=256, seed=7), []
    for number in range(8):
        made = folder / "made"
        made.mkdir()
        write_scene(source, number, made)
        next(made.glob("*.tif")).rename(scenes / f"port{number}.tif")
        result.append(geopandas.read_file(next(made.glob("*.geojson"))))
        shutil.rmtree(made)
    together = pd.concat([frame.to_crs(result[0].crs) for frame in result])
    together[["geometry"]].to_file(folder / "my-scenes" / "ships.geojson", driver="GeoJSON")
    places = [f"port{number}.tif,{'north' if number % 2 else 'south'}" for number in range(8)]
    (folder / "my-scenes" / "sites.csv").write_text("\n".join(["file,site", *places]))
    shutil.copy(scenes / "port0.tif", folder / "scene.tif")
    shutil.copy(folder / "my-scenes" / "ships.geojson", folder / "labels.geojson")
    (folder / "shipsnet").mkdir()
    shipsnet(folder / "shipsnet")
    pngs(folder / "labelme-data")
    for number in range(SCENES):
        shapes = [{"label": "ship", "points": [[x0, y0], [x1, y0], [x1, y1]]} for x0, y0, x1, y1 in boxes(number)]
        text = {"imagePath": f"port{number}.png", "shapes": shapes}
        (folder / "labelme-data" / f"port{number}.json").write_text(str(text).replace("'", '"'))
    return folder


def test_everything_that_documents_tell_to_run_runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("PYTHONPATH", f"{workspace}{os.pathsep}{REPOSITORY}")
    monkeypatch.syspath_prepend(str(workspace))
    monkeypatch.setattr(request, "load", tiny(load.load, kept="gan.base_channels"))  # what the points differ in
    monkeypatch.setattr(load, "load", tiny(load.load))
    monkeypatch.setattr(gan_presets, "PRESETS", dict(gan_presets.PRESETS))
    # Parts are made in this process: starting others takes longer than what they make here.
    for module in (runner, sweep):
        monkeypatch.setattr(module, "open_executor", lambda compute, workers: nullcontext(Here()))
    for module in PROBES:
        monkeypatch.setattr(module, "STEPS", 8)
    ran = [line for document in in_order() for line in run_document(document, workspace)]
    assert len(ran) > 40


def run_document(document: Path, workspace: Path) -> list[str]:
    """Write the files that a document shows, run its scripts and commands; the commands that were run."""
    ran: list[str] = []
    whole = document.read_text("utf-8")
    name = document.relative_to(REPOSITORY).as_posix()
    for language, title, text in blocks(document):
        if title is not None:
            (workspace / title).write_text(text.replace(SIX, SIX.replace("6", "1")), "utf-8")
        if language == "python" and (title is None or f"python {title}" not in whole):
            run_python(text, workspace / PLACE_OF_PYTHON.get(name, "."), name)
        if language == "sh":
            ran += [line for line in lines(text) if run_line(line, name)]
    return ran


def run_python(text: str, folder: Path, name: str) -> None:
    """A script of a document, in a process of its own; one that cannot be run must be Python at least."""
    compile(text, name, "exec")
    if name in PYTHON_NOT_RUN:
        return
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{name}\n{text}\n{done.stdout}{done.stderr}"


@cache
def run_apart(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own; once, where several documents have the same line."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)


def run_line(line: str, name: str) -> bool:
    """Run one line of a shell block; whether it was run."""
    if any(re.search(pattern, line) for pattern in NOT_RUN):
        return False
    for pattern, packages in NEEDS.items():
        if re.search(pattern, line) and not all(find_spec(package) for package in packages):
            warnings.warn(f"{name}: not run for want of an extra: {line}", stacklevel=1)
            return False
    words = shlex.split(line)
    while "=" in words[0]:
        words.pop(0)  # the environment is the test's
    if words[0] == "python" or words[1] == "doctor":
        # The doctor looks at its own process, and this one has seen a lot.
        command = words[1:] if words[0] == "python" else ["-m", "satpipe", *words[1:]]
        done = run_apart(*command)
        assert done.returncode == 0, f"{name}: {line}\n{done.stdout}{done.stderr}"
        return True
    assert Path(words[0]).name == "satpipe", f"{name}: {line} is neither run nor listed in NOT_RUN"
    if words[1] == "sweep" and words.count("--grid") != 1 and "--dry-run" not in words:
        words.append("--dry-run")  # one sweep that trains is enough
    if words[1] == "init" and "--force" not in words:
        words.append("--force")  # several documents begin with it
    if words[1] in ("generate", "export"):
        shutil.rmtree(words[words.index("--to") + 1], ignore_errors=True)
    result = CliRunner().invoke(commands.cli, words[1:])
    assert result.exit_code == 0, f"{name}: {line}\n{result.output}\n{result.exception!r}"
    return True


def test_the_examples_of_extending_do_what_they_say(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titled = {title: text for path in DOCUMENTS for _, title, text in blocks(path) if title is not None}
    # A label format: every object of every file.
    reader: dict[str, Any] = {}
    exec(titled["labelme.py"], reader)
    rows = [row for path in sorted((workspace / "labelme-data").glob("*.json")) for row in reader["read"](path)]
    assert len(rows) == SCENES * SHIPS
    assert rows[0] == ("port0.png", "ship", *boxes(0)[0])
    # A preset: the named values, everything else as in the one that it was made from.
    monkeypatch.setattr(gan_presets, "PRESETS", dict(gan_presets.PRESETS))
    exec(titled["calm.py"], {})
    calm = gan_presets.as_json(gan_presets.resolve({"preset": "dcgan-calm"}))
    plain = gan_presets.as_json(gan_presets.resolve({"preset": "dcgan-lowdata"}))
    assert {key: calm[key] for key in calm if calm[key] != plain[key]} == {"learning_rate": 1e-4, "r1": 0.2}


@pytest.mark.parametrize("page", ["label-format", "gan-preset", "arm"])
def test_an_extension_touches_two_files_at_most(page: str) -> None:
    titles = {title for _, title, _ in blocks(REPOSITORY / "docs" / "extend" / f"{page}.md") if title is not None}
    assert 1 <= len(titles) <= 2
