"""A run under torchrun: the first rank runs the pipeline, the others help it, and a dead one ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fixtures.letters_project import LettersProject
from satpipe.engine import torchrun
from satpipe.engine.torchrun import Watch
from torch.distributed import HashStore

GAN = '''
def check(config: Any) -> None:
    """Nothing to refuse."""

def plan(context: PlanContext) -> Plan:
    refs = tuple(done.ref for done in context.done["chips"].values())
    yield [
        Task("gan", f"r{replicate}", "satpipe.stages.gan.stage:make", inputs={"chips": refs}, ranks=True,
             config={"replicate": replicate, "seed": context.config.seed})
        for replicate in range(context.config.split.replicates)
    ]

def make(context: TaskContext) -> dict[str, Any]:
    """Steps that every rank has a share in; the sum of their shares is the same for any number of them."""
    import os, time
    import torch
    from ...utils.errors import InputError
    from ...models.ranks import training_ranks
    letters = "".join((folder / "loud.txt").read_text() for folder in context.folders("chips"))
    with training_ranks("cpu") as ranks:
        checkpoint = context.scratch / "step"
        start = ranks.agree(int(checkpoint.read_text()) if ranks.first and checkpoint.exists() else 0)
        with open(os.environ["LETTERS_LOG"], "a") as log:
            log.write(f"{context.task.name} rank {ranks.rank} of {ranks.size} from step {start} pid {os.getpid()}\\n")
        if ranks.rank == int(os.environ.get("LETTERS_FAILS", "-1")):
            raise InputError("the drive of this host is gone; mount it")
        for step in range(start, 6):
            time.sleep(float(os.environ.get("LETTERS_SLEEP_S", "0")))
            total = int(ranks.all_reduce(torch.tensor([12 // ranks.size])))
            if ranks.first:
                checkpoint.with_suffix(".new").write_text(str(step + 1))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)
        if not ranks.first:
            return {}
    (context.out / "model.txt").write_text(f"{letters} {total} {context.config['replicate']} {context.config['seed']}")
    return {}
'''


@pytest.fixture
def shared(tmp_path: Path) -> LettersProject:
    """The letters project with a gan stage whose tasks ranks can share."""
    made = LettersProject.build(tmp_path / "letters")
    stage = made.folder / "satpipe" / "stages" / "gan" / "stage.py"
    stage.write_text(stage.read_text().partition("def plan")[0] + GAN)
    made.environment["LETTERS_LOG"] = str(tmp_path / "log.txt")
    return made


def start(project: LettersProject, *arguments: str) -> subprocess.Popen[str]:
    """The project's command line, twice, by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, "-m", "satpipe", "run", *arguments, "--config", "letters.yaml"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder), "PYTHONDONTWRITEBYTECODE": "1"} | project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log(project: LettersProject) -> list[str]:
    path = Path(project.environment["LETTERS_LOG"])
    return path.read_text().splitlines() if path.exists() else []


def wait_for(found: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ranks_share_tasks_and_the_first_runs_the_pipeline(shared: LettersProject, tmp_path: Path) -> None:
    run = start(shared, "all")
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, out + err
    assert out.count("gan/r0 made in") == out.count("2 counts") == 1
    assert sorted(line.rpartition(" pid")[0] for line in log(shared)) == [
        f"r{replicate} rank {rank} of 2 from step 0" for replicate in range(2) for rank in range(2)
    ]
    alone = LettersProject.build(tmp_path / "alone")
    stage = alone.folder / "satpipe" / "stages" / "gan" / "stage.py"
    stage.write_text(stage.read_text().partition("def plan")[0] + GAN)
    alone.environment["LETTERS_LOG"] = str(tmp_path / "other.txt")
    alone.run()
    assert shared.content() == alone.content()


def test_dead_rank_ends_the_job_and_one_process_resumes(
    shared: LettersProject,
) -> None:
    shared.environment["LETTERS_SLEEP_S"] = "0.5"
    run = start(shared, "gan")
    wait_for(lambda: any("rank 1" in line for line in log(shared)) and list(shared.folder.glob("data/work/*/step")))
    pid = next(int(line.rpartition(" ")[2]) for line in log(shared) if "rank 1" in line)
    os.kill(pid, signal.SIGKILL)
    _, err = run.communicate(timeout=60)  # the promise: within a minute
    assert run.returncode != 0
    reported = [line for line in err.splitlines() if line.startswith("satpipe: ")]
    assert any("run the same command again to resume from the latest checkpoint" in line for line in reported), err
    shared.environment["LETTERS_SLEEP_S"] = "0"
    shared.run()
    assert any("r0 rank 0 of 1 from step" in line and "step 0" not in line for line in log(shared))


def test_failure_on_one_host_is_told_with_its_rank(shared: LettersProject) -> None:
    shared.environment["LETTERS_FAILS"] = "1"
    run = start(shared, "gan")
    _, err = run.communicate(timeout=240)
    assert run.returncode != 0
    assert "the drive of this host is gone; mount it" in err
    assert "stage.py" not in err  # no traceback of ours


# ---------------------------------------------------------------------------------------------------- who lives


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchrun, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(torchrun, "SILENCE_S", 1.0)


@pytest.mark.usefixtures("quick")
def test_silent_rank_is_lost_and_a_living_one_is_not() -> None:
    store, lost = HashStore(), {0: [], 1: []}
    store.set_timeout(timedelta(seconds=5))
    watches = [Watch(store, rank, 2, lost[rank].append) for rank in range(2)]
    for watch in watches:
        watch.start()
    time.sleep(2)
    assert lost == {0: [], 1: []}
    watches[1].stop()
    wait_for(lambda: lost[0], 20)
    watches[0].stop()
    assert lost[0][0].startswith("rank 1 has not been heard of for")
    assert lost[1] == []


@pytest.mark.usefixtures("quick")
def test_rank_that_says_why_it_failed_is_quoted() -> None:
    store, lost = HashStore(), list[str]()
    store.set("failed1", "rank 1 on far failed: no such drive")
    watch = Watch(store, 0, 2, lost.append)
    watch.start()
    wait_for(lambda: lost, 20)
    watch.stop()
    assert lost == ["rank 1 on far failed: no such drive"]
