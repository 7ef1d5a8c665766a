"""The stage as the runner sees it: what it plans, and what the task function leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from fixtures import REPOSITORY
from fixtures.gan_project import context_in, digests, planned, write_store
from PIL import Image
from satpipe.dataset.scaling import Scaling
from satpipe.engine.task import TaskContext
from satpipe.models.device import Profile
from satpipe.models.generator import generate, load
from satpipe.stages.gan import train
from satpipe.stages.gan.inputs import read_inputs
from satpipe.stages.gan.stage import make_generator
from satpipe.stages.gan.step import Networks
from satpipe.stages.gan.training_config import TrainingConfig
from satpipe.sweep.measures import of_generators
from satpipe.utils.errors import ConfigError, TooLittleDataError

MakeContext = Callable[..., TaskContext]


def test_every_split_but_the_random_one_gets_a_generator(tmp_path: Path) -> None:
    write_store(tmp_path)
    assert [task.name for task in planned(tmp_path)] == ["fold0-f100-r0", "final"]


def test_planning_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, satpipe.stages.gan.stage; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_preset_is_named_with_its_nearest(tmp_path: Path) -> None:
    write_store(tmp_path)
    with pytest.raises(ConfigError, match="did you mean dcgan-lowdata"):
        planned(tmp_path, preset="dcgan-lowdat")


def test_values_of_the_configuration_replace_the_presets(tmp_path: Path) -> None:
    write_store(tmp_path)
    task = planned(tmp_path, preset="dcgan", base_channels=7)[0]
    assert task.config["training"]["base_channels"] == 7
    assert task.config["training"]["batch"] == 128


def test_the_task_function_leaves_a_generator_that_samples(context: MakeContext) -> None:
    made = context()
    metadata = make_generator(made)
    assert metadata["images"] == 64
    assert metadata["train"] == {"non-ship": 20, "ship": 20}
    assert {"kid", "copies of ship", "usefulness of ship"} <= set(
        of_generators([metadata], [1.0])
    )  # what a sweep reads
    generator = load(made.out)
    assert generator.classes == ("non-ship", "ship")
    assert generator.card["licences"] == ["CC0-1.0"]
    chips = Scaling.load(made.out / "scaling.json").invert(generate(generator, [0, 1, 1], [1, 2, 3]))
    assert chips.shape == (3, 16, 16, 3)
    assert chips.dtype == np.uint8
    lines = [json.loads(line) for line in (made.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [32, 64]
    assert (made.scratch / "metrics.jsonl").read_text() == (
        made.out / "metrics.jsonl"
    ).read_text()  # seen while it grew
    losses = [json.loads(line) for line in (made.out / "losses.jsonl").read_text().splitlines()]
    names = ("images", "loss_discriminator", "loss_generator")
    assert [line["images"] for line in losses] == list(range(8, 65, 8))
    # The mean over equal parts up to an evaluation is what the evaluation logs.
    for evaluation, parts in zip(lines, (losses[:4], losses[4:]), strict=True):
        assert [fmean(part[name] for part in parts) for name in names[1:]] == pytest.approx(
            [evaluation[name] for name in names[1:]], rel=1e-4
        )
    sheets = sorted((made.out / "sheets").iterdir())
    assert Image.open(sheets[0]).size == (10 * 18 + 2, 4 * 18 + 2)


def test_chips_are_scaled_as_the_configuration_says(context: MakeContext) -> None:
    made = context(chips={"scaling": {"method": "percentiles", "percentiles": [5, 95]}})
    fitted = read_inputs(made).scaling
    low, high = np.percentile(read_inputs(made).train.reshape(-1, 3), [5, 95], axis=0)
    assert fitted.low == pytest.approx(low)
    assert fitted.high == pytest.approx(high)


@pytest.mark.parametrize("preset", ["dcgan", "dcgan-lowdata"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_and_resumed_training_gives_the_same_bytes(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch, preset: str, precision: str
) -> None:
    profile = Profile(precision=precision)
    whole = context("whole", profile, preset=preset)
    metadata = make_generator(whole)

    class Killed(BaseException):
        pass

    killed = context("killed", profile, preset=preset)
    step = train.train_step

    def dies(setting: TrainingConfig, networks: Networks, number: int, device: torch.device) -> torch.Tensor:
        if number == 6:
            raise Killed
        return step(setting, networks, number, device)

    monkeypatch.setattr(train, "train_step", dies)
    with pytest.raises(Killed):
        make_generator(killed)
    monkeypatch.setattr(train, "train_step", step)
    resumed = make_generator(killed)
    assert resumed == metadata
    assert digests(killed.out) == digests(whole.out)


def test_a_damaged_checkpoint_restarts_to_the_same_bytes(context: MakeContext) -> None:
    first, second = context("first"), context("second")
    make_generator(first)
    (second.scratch / train.GOOD).write_bytes(b"half of a file")
    make_generator(second)
    assert digests(first.out) == digests(second.out)


def test_another_replicate_is_another_generator(context: MakeContext, with_config: Callable[..., TaskContext]) -> None:
    first, second = context("first"), with_config(context("second"), seed=[1, 1])
    make_generator(first)
    make_generator(second)
    assert digests(first.out)["generator.safetensors"] != digests(second.out)["generator.safetensors"]


def test_a_class_without_training_chips_is_one_sentence(
    context: MakeContext, with_config: Callable[..., TaskContext]
) -> None:
    made = with_config(context(), classes=["non-ship", "ship", "cloud"])
    with pytest.raises(TooLittleDataError, match="0 training chips of class 'cloud'"):
        make_generator(made)


def test_training_from_shards_gives_the_same_bytes(context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, streamed = context("whole"), context("streamed")
    make_generator(whole)
    monkeypatch.setattr("satpipe.dataset.chip_store.IN_MEMORY_BYTES", 0)
    make_generator(streamed)
    assert digests(streamed.out) == digests(whole.out)


@pytest.mark.parametrize("preset", ["dcgan", "dcgan-lowdata"])
@pytest.mark.parametrize(
    ("size", "bands", "classes"),
    [(16, 1, ("sea", "ship", "cloud")), (48, 4, ("sea", "ship")), (80, 1, ("sea", "ship"))],
)
def test_chips_of_any_size_bands_and_classes_are_learned(
    tmp_path: Path, preset: str, size: int, bands: int, classes: tuple[str, ...]
) -> None:
    store = tmp_path / "parts"
    write_store(store, train=24, validation=15, classes=classes, size=size, bands=bands)
    made = context_in(store, tmp_path / "a", classes=classes, preset=preset, images=16, checkpoint_images=8)
    metadata = make_generator(made)
    assert (
        set(metadata["quality"])
        == set(metadata["usefulness"]["synthetic_to_real"]["average_precision"])
        == set(classes)
    )
    generator = load(made.out)
    assert generator.shape == (size, size, bands)
    chips = Scaling.load(made.out / "scaling.json").invert(
        generate(generator, range(len(classes)), range(len(classes)))
    )
    assert chips.shape == (len(classes), size, size, bands)
    sheet = Image.open(next((made.out / "sheets").iterdir()))
    assert sheet.size == (10 * (size + 2) + 2, 2 * len(classes) * (size + 2) + 2)


def test_a_forced_profile_is_what_the_card_says(context: MakeContext) -> None:
    profile = Profile("cpu", "bf16", "contiguous", 2)
    made = context(profile=profile, images=16, checkpoint_images=8)
    before = torch.get_num_threads()
    try:
        make_generator(made)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert load(made.out).card["profile"] == profile.as_json()


TRAINING = """
import sys
from pathlib import Path
from satpipe.models import probe
from satpipe.stages.gan import features
features.STEPS = probe.STEPS = 3
from fixtures.gan_project import context_in
from satpipe.stages.gan.stage import make_generator
make_generator(context_in(Path(sys.argv[1]), Path(sys.argv[2]), images=int(sys.argv[3]), checkpoint_images=16))
"""


def test_a_killed_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    store = tmp_path / "parts"
    write_store(store)
    inherited = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests"), inherited])}

    def start(folder: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", TRAINING, str(store), str(tmp_path / folder), "320"]
        return subprocess.Popen(command, env=environment)

    killed = start("killed")
    seen = 0
    while killed.poll() is None and seen < 2:  # killed again and again, wherever it is by then
        checkpoint = tmp_path / "killed" / "scratch" / train.GOOD
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while killed.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.001)
        killed.kill()
        killed.wait()
        seen += 1
        killed = start("killed")
    assert killed.wait(300) == 0
    assert seen
    assert start("whole").wait(300) == 0
    assert digests(tmp_path / "killed" / "out") == digests(tmp_path / "whole" / "out")
