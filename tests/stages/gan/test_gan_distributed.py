"""A GAN trained by two ranks is the GAN that one process trains with the same batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.gan_project import planned, write_store
from fixtures.ranks import BATCH, CASES, LOSSES, Killed, run, setting, together
from safetensors.torch import load_file
from satpipe.engine.progress import Progress
from satpipe.engine.task import TaskContext
from satpipe.models import probe
from satpipe.models.device import Profile
from satpipe.models.discriminator import build
from satpipe.models.generator import load
from satpipe.models.ranks import ALONE, Ranks, session, training_ranks
from satpipe.stages.gan import features
from satpipe.stages.gan.augment import draw
from satpipe.stages.gan.distributed import SharedBatchNorm, rows_of, share_statistics
from satpipe.stages.gan.stage import make_generator
from satpipe.stages.gan.train import train
from satpipe.utils.errors import ConfigError


def every_case(folder: Path) -> None:
    """Each case from its start, one from another's checkpoint, and an artifact; the second rank has no folders."""
    with training_ranks("cpu") as ranks:
        home = folder if ranks.first else folder / "nobody writes here"
        for name, case in [*CASES.items(), ("resumed", CASES["lowdata"])]:
            made = setting(home / name, ranks, **case)
            if ranks.first:
                made.folder.mkdir(exist_ok=True)
                run(made)
            else:
                train(made, lambda _: pytest.fail("the first rank judges"), Progress())
    session.part += 1
    features.STEPS = probe.STEPS = 3
    (task,) = planned(folder / "parts", images=32, base_channels=4, checkpoint_images=16, batch=8)[:1]
    inputs = {name: folder / "parts" / ref.stage / ref.digest for name, ref in task.inputs.items()}
    out, scratch = home / "out", home / "scratch"
    if ranks.first:
        out.mkdir()
        scratch.mkdir()
    metadata = make_generator(TaskContext(task, out, scratch, folder / "parts", inputs, Profile(), Progress()))
    (folder / f"facts{ranks.rank}.json").write_text(json.dumps(metadata))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `one/<case>` and `two/<case>`, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, case in CASES.items():
        made = folder / "one" / name
        made.mkdir(parents=True)
        run(setting(made, **case))
    half = folder / "two" / "resumed"
    half.mkdir(parents=True)
    with pytest.raises(Killed):
        run(setting(half, **CASES["lowdata"]), killed_at=4)
    write_store(folder / "two" / "parts")
    codes = together(2, every_case, folder / "two")
    errors = [path.read_text() for path in sorted((folder / "two").glob("error*.txt"))]
    assert codes == [0, 0], errors
    return folder


def losses(folder: Path) -> list[list[float]]:
    lines = json.loads((folder / "log.json").read_text())["lines"]
    return [[line[name] for name in LOSSES] for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_have_the_loss_curve_of_one_process(trained: Path, case: str) -> None:
    one, two = losses(trained / "one" / case), losses(trained / "two" / case)
    assert len(one) == len(two) == 6
    for mine, others in zip(one, two, strict=True):
        tolerance = {"rel": 2e-2, "abs": 1e-2} if "bf16" in case else {"rel": 1e-3, "abs": 1e-3}
        assert mine == pytest.approx(others, **tolerance)


@pytest.mark.parametrize("case", [case for case in CASES if "bf16" not in case])
def test_two_ranks_end_with_the_weights_of_one_process(trained: Path, case: str) -> None:
    one = load_file(trained / "one" / case / "end.safetensors")
    two = load_file(trained / "two" / case / "end.safetensors")
    assert list(one) == list(two)
    for name, tensor in one.items():
        torch.testing.assert_close(
            two[name], tensor, rtol=2e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_first_rank_alone_writes(trained: Path) -> None:
    assert (trained / "two" / "lowdata" / "best.safetensors").is_file()
    assert not (trained / "two" / "nobody writes here").exists()


def test_an_artifact_of_two_ranks_is_one_and_says_so(trained: Path) -> None:
    first, second = (json.loads((trained / "two" / f"facts{rank}.json").read_text()) for rank in range(2))
    assert first["ranks"] == [2]
    assert first["images"] == 32
    assert second == {}
    assert load(trained / "two" / "out").classes == ("non-ship", "ship")


def test_checkpoint_of_one_process_resumes_on_two(trained: Path) -> None:
    whole, resumed = losses(trained / "one" / "lowdata"), losses(trained / "two" / "resumed")
    assert len(resumed) == 6
    for mine, others in zip(whole, resumed, strict=True):
        assert mine == pytest.approx(others, rel=1e-3, abs=1e-3)
    log = json.loads((trained / "two" / "resumed" / "log.json").read_text())
    assert log["ranks"] == [2]


def test_checkpoint_of_two_ranks_resumes_in_one_process(trained: Path, tmp_path: Path) -> None:
    # What two ranks left after their last step is a whole state: the training ends as it had.
    shutil.copytree(trained / "two" / "lowdata", tmp_path / "later")
    lines = run(setting(tmp_path / "later", **CASES["lowdata"]))
    assert len(lines) == 6
    end = load_file(tmp_path / "later" / "end.safetensors")
    for name, tensor in load_file(trained / "two" / "lowdata" / "end.safetensors").items():
        assert torch.equal(end[name], tensor), name


def test_batch_that_ranks_cannot_share_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a batch of 16 cannot be divided equally among 3 ranks; set gan\.batch"):
        run(setting(tmp_path, Ranks(0, 3), preset="dcgan"))


def test_rows_that_divide_a_deviation_group_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gan\.deviation_group = 4; set gan\.batch to a multiple of 32"):
        run(setting(tmp_path, Ranks(0, 8), preset="dcgan-lowdata"))


def test_ranks_take_all_rows_of_a_batch_and_none_twice() -> None:
    changes = draw(np.random.default_rng(1), BATCH, (16, 16), 0.5, 0.25)
    assert changes is not None
    shares = [rows_of(changes, Ranks(rank, 4).rows(BATCH)) for rank in range(4)]
    assert torch.equal(torch.cat([share.shift_px for share in shares if share]), changes.shift_px)
    assert rows_of(None, slice(0, 4)) is None


def test_one_process_keeps_torchs_own_batch_norm(tmp_path: Path) -> None:
    pair = build(setting(tmp_path, preset="dcgan").preset, (16, 16, 3), 2, 0)
    for network in pair:
        share_statistics(network, ALONE)
        assert not any(isinstance(module, SharedBatchNorm) for module in network.modules())


def test_shared_batch_norm_is_torchs_in_evaluation() -> None:
    norm = torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5)
    norm(x)
    shared = SharedBatchNorm(norm, Ranks(0, 2))
    assert list(shared.state_dict()) == list(norm.state_dict())
    torch.testing.assert_close(shared.eval()(x), norm.eval()(x))
