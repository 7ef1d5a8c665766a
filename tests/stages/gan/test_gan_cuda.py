"""The GAN on a GPU: the same training as on the CPU, up to the order in which numbers are added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.ranks import BATCH, CASES, LOSSES, Killed, run, setting
from safetensors.torch import load_file
from satpipe.stages.gan.augment import draw, translate
from satpipe.stages.gan.training_config import TrainingConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def ready(folder: Path, **section: Any) -> TrainingConfig:
    """A training of the fixture chips in its own folder."""
    folder.mkdir(exist_ok=True)
    return setting(folder, **section)


def test_chips_move_as_on_the_cpu_and_so_do_gradients() -> None:
    changes = draw(np.random.default_rng(1), 8, (32, 32), 0.5, 0.25)
    assert changes is not None
    chips = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(chips.shape, generator=torch.Generator().manual_seed(1))
    result = []
    for device in ("cpu", "cuda"):
        there = chips.to(device).detach().requires_grad_(True)
        moved = translate(there, changes.shift_px.to(device))
        (moved * weights.to(device)).sum().backward()
        assert there.grad is not None
        result.append((moved.detach().cpu(), there.grad.cpu()))
    torch.testing.assert_close(result[0], result[1], rtol=0, atol=0)


@pytest.mark.parametrize("case", [{"preset": "dcgan"}, CASES["dcgan-r1"], CASES["lowdata"]])
def test_recorded_steps_are_those_of_the_cpu(case: dict[str, Any], tmp_path: Path) -> None:
    # Twelve steps: three of each kind operation by operation, then recorded ones, with and without the penalty.
    section = {"images": 12 * BATCH, "r1_every": 2} | case
    subset, there = (run(ready(tmp_path / device, device=device, **section)) for device in ("cpu", "cuda"))
    for mine, theirs in zip(subset, there, strict=True):
        for name in LOSSES:
            assert theirs[name] == pytest.approx(mine[name], rel=2e-3, abs=2e-3), (name, mine["images"])
    ends = [load_file(tmp_path / device / "end.safetensors") for device in ("cpu", "cuda")]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=0.02, atol=2e-3, msg=name)


def test_a_killed_training_goes_on(tmp_path: Path) -> None:
    section = {"images": 16 * BATCH, "device": "cuda"} | CASES["lowdata"]
    whole = run(ready(tmp_path / "whole", **section))
    with pytest.raises(Killed):
        run(ready(tmp_path / "killed", **section), killed_at=9)
    resumed = run(ready(tmp_path / "killed", **section))
    assert [line["images"] for line in resumed] == [line["images"] for line in whole]
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine["loss_generator"] == pytest.approx(theirs["loss_generator"], rel=0.02, abs=0.02)


def test_bf16_trains(tmp_path: Path) -> None:
    lines = run(ready(tmp_path, device="cuda", **CASES["lowdata-bf16"]))
    assert all(np.isfinite(line[name]) for line in lines for name in LOSSES)
