"""Images per second of a GAN's training: the plain loop of the PyTorch DCGAN tutorial beside ours.

    python benchmarks/gan_train.py [--size 80 | --canvas 96,32] [--threads 1] [--seconds 20] [--docs docs/benchmarks.md]

Both train the same networks (the plain ones get our initial weights, and their outputs are compared before the clock
starts) with the same batch and without augmentation. The plain loop is fp32, contiguous, with a DataLoader, as the
tutorial has it; ours runs in fp32 and in bf16. The contenders take turns, and the median of the turns counts.

As a diagnosis, the convolutions of a step are timed alone, in the precision and memory format of the contender: what
they need is the least a step could need with this machine's library. Where a step goes is counted by torch's profiler.

The memory of a whole training is that of a process of its own, from reading the chips to the last evaluation:

    python benchmarks/gan_train.py --memory [--size 80] [--chips 4000]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from satpipe.config.gan_presets import PRESETS, Preset
from satpipe.dataset.chip_store import ChipStore
from satpipe.dataset.scaling import fit
from satpipe.engine.progress import Progress
from satpipe.models.device import Profile, prepare
from satpipe.models.discriminator import DiscriminatorNetwork
from satpipe.models.networks import GeneratorNetwork
from satpipe.stages.gan import train
from satpipe.stages.gan.batches import Batches
from satpipe.stages.gan.evaluate import prepare_evaluator
from satpipe.stages.gan.inputs import Inputs
from satpipe.stages.gan.step import Networks
from satpipe.stages.gan.training_config import TrainingConfig
from satpipe.stages.gan.utility import of_generator, whole_sampler
from section import processor, write_section
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset

CHIPS = 1024
PLAIN = "plain loop, fp32"
KINDS = {
    "convolutions": ("conv", "mkldnn", "mm", "linear"),
    "normalisation": ("batch_norm",),
    "optimiser and average": ("adam", "lerp", "foreach"),
    "casts and copies": ("copy_", "cat", "clone", "contiguous", "stack", "fill_", "zero_", "pixel_", "empty"),
    "activations": ("relu", "tanh", "sigmoid", "threshold"),
}
"""Operations by what their names have in them; the first kind that fits counts."""
BARE = {"colour": 0.0, "translation": 0.0, "symmetries": False, "r1": 0.0, "ema_images": 0.0}


# The tutorial's networks, with the label where ours have it: layers of torch.nn and nothing else.


class PlainGenerator(nn.Module):
    """Our generator in torch's own layers, with our weights."""

    def __init__(self, ours: GeneratorNetwork) -> None:
        """Copy the weights of ``ours``."""
        super().__init__()
        self.ours, self.layer = [ours.start, ours.by_input, ours.architecture.classes], ours.architecture.layer
        self.entry = nn.Linear(*ours.entry.weight.shape[::-1], bias=False)
        self.entry.weight.data.copy_(ours.entry.weight)
        self.norms = nn.ModuleList()
        self.gains, self.biases, self.layers = nn.ParameterList(), nn.ParameterList(), nn.ModuleList()
        for norm, layer in zip(ours.norms, ours.layers, strict=True):
            inward, outward = layer.weight.shape[:2]
            self.norms.append(nn.BatchNorm2d(inward, affine=ours.by_input))
            if not ours.by_input:
                self.gains.append(nn.Parameter(norm.gain.detach().clone()))
                self.biases.append(nn.Parameter(norm.bias.detach().clone()))
            bias = layer.bias is not None
            if layer.resize:
                plain: nn.Module = nn.Conv2d(inward, outward, 3, 1, 1, bias=bias)
                plain.weight.data.copy_(layer.weight.flip(2, 3).transpose(0, 1))
                self.layers.append(nn.Sequential(nn.Upsample(scale_factor=2), plain))
            else:
                plain = nn.ConvTranspose2d(inward, outward, 4, 2, 1, bias=bias)
                plain.weight.data.copy_(layer.weight)
                self.layers.append(plain)
            if bias:
                plain.bias.data.copy_(layer.bias)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Map latents (N, z_dim) and labels (N,) to chips (N, C, H, W)."""
        start, by_input, classes = self.ours
        if by_input:
            z = torch.cat([z, nn.functional.one_hot(labels, classes).float()], 1)
        x = self.entry(z).unflatten(1, (*start, -1)).permute(0, 3, 1, 2).contiguous()
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            x = norm(x)
            if not by_input:
                x = x * self.gains[number][labels][:, :, None, None] + self.biases[number][labels][:, :, None, None]
            x = layer(torch.relu(x))
        if not self.layer:
            return torch.tanh(x)
        alpha = torch.sigmoid(2 * x[:, -1:])
        return torch.cat([torch.tanh(x[:, :-1]) * alpha, alpha], dim=1)


class PlainDiscriminator(nn.Module):
    """Our discriminator in torch's own layers, with our weights, ending in a probability as in the tutorial."""

    def __init__(self, ours: DiscriminatorNetwork) -> None:
        """Copy the weights of ``ours``."""
        super().__init__()
        self.by_planes, self.classes, self.group, self.layer = ours.by_planes, ours.classes, ours.group, ours.layer
        self.layers = nn.ModuleList()
        for layer, norm in zip(ours.layers, ours.norms, strict=True):
            outward, inward = layer.weight.shape[:2]
            plain = nn.Conv2d(inward, outward, 4, 2, 1, bias=layer.bias is not None)
            plain.weight.data.copy_(layer.weight)
            if layer.bias is not None:
                plain.bias.data.copy_(layer.bias)
            self.layers.append(nn.Sequential(plain, type(norm)(outward), nn.LeakyReLU(0.2, inplace=True)))
        self.exit = nn.Linear(*ours.exit.weight.shape[::-1])
        self.exit.load_state_dict(ours.exit.state_dict())

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Map chips (N, C, H, W) and labels (N,) to probabilities (N,)."""
        if self.layer:
            x = torch.cat([x[:, :-1], 2 * x[:, -1:] - 1], 1)
        if self.by_planes:
            planes = nn.functional.one_hot(labels, self.classes).float()[:, :, None, None]
            x = torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], 1)
        for layer in self.layers:
            x = layer(x)
        if self.group:
            groups = x.reshape(len(x) // self.group, self.group, *x.shape[1:])
            deviation = torch.sqrt(groups.var(1, unbiased=False) + 1e-8).mean((1, 2, 3)).repeat_interleave(self.group)
            x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        out = self.exit(x.flatten(1))
        logit = out[:, 0] if self.by_planes else out[:, 0] + out.gather(1, labels[:, None] + 1)[:, 0]
        return torch.sigmoid(logit)


class ChipDataset(Dataset[tuple[Tensor, int]]):
    """Chips as the tutorial's transforms give them: a float tensor (C, H, W) in [-1, 1], one at a time."""

    def __init__(self, chips: np.ndarray, labels: np.ndarray) -> None:
        """Keep chips (N, H, W, C) uint8, or layers float32, and labels (N,)."""
        self.chips, self.labels = chips, labels

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.chips)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Return one chip and its label."""
        tensor = torch.from_numpy(self.chips[number]).permute(2, 0, 1).contiguous()
        if tensor.is_floating_point():  # layers, in [-1, 1] as they are
            return tensor, int(self.labels[number])
        tensor = tensor.float().div(255)
        return tensor.sub_(0.5).div_(0.5), int(self.labels[number])


def plain_steps(
    preset: Preset, generator: PlainGenerator, discriminator: PlainDiscriminator, data: ChipDataset
) -> Iterator[None]:
    """Run the tutorial's loop; yields after each step."""
    loader = DataLoader(data, batch_size=preset.batch, shuffle=True, drop_last=True)
    criterion = nn.BCELoss()
    betas = (preset.beta1, preset.beta2)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=preset.learning_rate, betas=betas)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=preset.learning_rate, betas=betas)
    while True:
        for real, labels in loader:
            discriminator.zero_grad()
            target = torch.full((len(real),), 1.0)
            error_real = criterion(discriminator(real, labels), target)
            error_real.backward()
            fake = generator(torch.randn(len(real), preset.z_dim), labels)
            error_fake = criterion(discriminator(fake.detach(), labels), target.fill_(0.0))
            error_fake.backward()
            optimizer_d.step()
            generator.zero_grad()
            error_g = criterion(discriminator(fake, labels), target.fill_(1.0))
            error_g.backward()
            optimizer_g.step()
            _ = error_real.item() + error_fake.item(), error_g.item()
            yield


def our_steps(setting: TrainingConfig) -> Iterator[None]:
    """Run our loop; yields after each step."""
    device = prepare(setting.profile)
    networks = train.start(setting, device)
    step = 0
    while True:
        train.train_step(setting, networks, step, device)
        step += 1
        yield


class Recorder(TorchDispatchMode):
    """Notes every convolution and matrix product, forward and backward, with the tensors it is given."""

    WANTED = ("aten::convolution", "aten::convolution_backward", "aten::mm", "aten::addmm")

    def __init__(self) -> None:
        """Begin with nothing noted."""
        super().__init__()
        self.calls: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        """Run the operation, and note it where it is wanted."""
        if func.name() in self.WANTED:
            self.calls.append((func, tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)))
        return func(*args, **(kwargs or {}))


def arithmetic_alone(setting: TrainingConfig, repeats: int = 3) -> float:
    """Return the seconds that the convolutions and matrix products of one step take when nothing else is done."""
    device = prepare(setting.profile)
    networks = train.start(setting, device)
    train.train_step(setting, networks, 0, device)
    recorder = Recorder()
    with recorder:
        train.train_step(setting, networks, 1, device)
    total = 0.0
    for func, args in recorder.calls:
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            func(*args)
            best = min(best, time.perf_counter() - start)
        total += best
    return total


def where_it_goes(setting: TrainingConfig) -> str:
    """Return the shares of the time of some steps by kind of operation, and outside torch's operations."""
    steps = max(2, 256 // setting.preset.batch)
    device = prepare(setting.profile)
    networks = train.start(setting, device)
    train.train_step(setting, networks, 0, device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profiler:
        start = time.perf_counter()
        for step in range(1, steps + 1):
            train.train_step(setting, networks, step, device)
        whole = 1e6 * (time.perf_counter() - start)  # without what the profiler does at the end
    spent = dict.fromkeys([*KINDS, "other operations"], 0.0)
    for event in profiler.key_averages():
        name = event.key.lower().removeprefix("aten::").removeprefix("torch::autograd::")
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other operations")
        spent[kind] += event.self_cpu_time_total
    spent["Python, NumPy and the profiler"] = max(0.0, whole - sum(spent.values()))
    return ", ".join(f"{kind} {share / whole:.0%}" for kind, share in spent.items())


def seconds_per_step(steps: Iterator[None], seconds: float) -> float:
    """Return the mean over the steps that fit into ``seconds``."""
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        next(steps)
        count += 1
    return (time.perf_counter() - start) / count


def check_same(setting: TrainingConfig, plain: tuple[PlainGenerator, PlainDiscriminator], ours: Networks) -> None:
    """Stop where the plain networks do not give what ours give."""
    z = torch.from_numpy(setting.batches.latents(0, setting.preset.z_dim))
    labels = torch.from_numpy(setting.batches.real(0)[1])
    with torch.no_grad():
        chips = ours.generator(z, labels)
        torch.testing.assert_close(plain[0](z, labels), chips, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(
            plain[1](chips, labels), torch.sigmoid(ours.discriminator(chips, labels)), atol=1e-4, rtol=1e-3
        )


def make_setting(preset: Preset, sides: tuple[int, int], layer: bool, profile: Profile, folder: Path) -> TrainingConfig:
    """Make a training configuration for random chips, or for random layers: an ellipse that covers half of each."""
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 256, (CHIPS, *sides, 3), dtype=np.uint8)
    labels = np.arange(CHIPS) % 2
    batches = Batches(chips, labels, fit(chips), preset.batch, (1, 0), preset.balanced, preset.symmetries)
    if layer:
        row, column = (np.linspace(-1, 1, side)[:, None] for side in sides)
        alpha = (row**2 + column.T**2 < 2 / np.pi).astype(np.float32)[None, :, :, None]
        layers = np.concatenate([(chips / 127.5 - 1).astype(np.float32) * alpha, alpha.repeat(CHIPS, 0)], axis=3)
        batches = Batches(layers, labels, None, preset.batch, (1, 0), preset.balanced, symmetries=True)
    return TrainingConfig(preset, batches, (*sides, 3 + layer), 2, profile, 4000, None, 0, folder, layer=layer)


def variants(preset: Preset) -> dict[str, Preset]:
    """Return what is timed of a preset, by what is on top of the bare networks; the same thing only once."""
    named = {
        "": replace(preset, **BARE),
        ", augmented and averaged": replace(preset, r1=0.0),
        ", and with R1 (as trained)": preset,
    }
    return {title: net for title, net in named.items() if net not in [*named.values()][: [*named].index(title)]}


def contest(
    name: str, sides: tuple[int, int], layer: bool, threads: int, seconds: float, turns: int
) -> tuple[list[str], list[str]]:
    """Return the rows of the table for one preset, and what is to be said below it."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = {
            f"ours, {precision}{extra}": make_setting(
                preset, sides, layer, Profile("cpu", precision, "channels_last", threads), folder
            )
            for precision in ("fp32", "bf16")
            for extra, preset in variants(PRESETS[name]).items()
        }
        first = settings["ours, fp32"]
        networks = train.start(first, prepare(first.profile))
        plain = PlainGenerator(networks.generator), PlainDiscriminator(networks.discriminator)
        check_same(first, plain, networks)
        data = ChipDataset(first.batches.chips, first.batches.labels)
        loops = {PLAIN: plain_steps(first.preset, *plain, data)}
        loops |= {title: our_steps(setting) for title, setting in settings.items()}
        timed: dict[str, list[float]] = {title: [] for title in loops}
        for turn in range(turns + 1):
            for title, loop in loops.items():
                torch.use_deterministic_algorithms(title != PLAIN)
                took = seconds_per_step(loop, seconds if turn else seconds / 4)
                if turn:  # the first turn warms up
                    timed[title].append(took)
        alone = {title: arithmetic_alone(settings[title]) for title in ("ours, fp32", "ours, bf16")}
        last = [*settings][-1]
        notes = [f"Where a step of {name}, {last.removeprefix('ours, ')}, goes: {where_it_goes(settings[last])}."]
    steps = {title: statistics.median(times) for title, times in timed.items()}
    rows = []
    for title, step in steps.items():
        share = f"{alone[title] / step:.0%}" if title in alone else ""
        rate, ratio = first.preset.batch / step, steps[PLAIN] / step
        rows.append(f"| {name} | {title} | {rate:.0f} | {1000 * step:.1f} | {ratio:.2f} | {share} |")
    for precision in ("fp32", "bf16"):
        full = f"ours, {precision}, augmented and averaged"
        if full in steps:
            share = 1 - steps[f"ours, {precision}"] / steps[full]
            notes.append(f"Augmentation and bookkeeping of {name} in {precision}: {share:.0%} of a step.")
    return rows, notes


def peak_memory(preset: str, size: int, chips: int) -> str:
    """Return the peak resident memory of one whole training on so many chips, in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, __file__, "--train-in", scratch, "--preset", preset]
        child = subprocess.run(
            [*command, "--size", str(size), "--chips", str(chips)], check=False, capture_output=True, text=True
        )
    if child.returncode:
        sys.exit(child.stderr)
    return child.stdout.strip()


def train_once(preset: str, size: int, count: int, folder: Path) -> None:
    """Run one short training with everything that a whole one has; return this process's peak memory."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count + count // 3, 8, 8, 3), dtype=np.uint8)
    chips = coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    del coarse
    labels = np.arange(len(chips)) % 2
    inputs = Inputs(
        chips[:count],
        labels[:count],
        chips[count:],
        labels[count:],
        fit(chips[:count]),
        ("sea", "ship"),
        ChipStore(pd.DataFrame(), Path()),
    )
    profile = Profile("cpu", "fp32", "channels_last", 1)
    prepare(profile)
    resolved = replace(PRESETS[preset], images=20 * PRESETS[preset].batch)
    batches = Batches(
        inputs.train,
        inputs.train_labels,
        inputs.scaling,
        resolved.batch,
        (1, 0),
        resolved.balanced,
        resolved.symmetries,
    )
    setting = TrainingConfig(resolved, batches, inputs.shape, 2, profile, 10 * resolved.batch, None, 2, folder)
    evaluator = prepare_evaluator(inputs, 1, profile)
    generator, _ = train.train(setting, lambda network: evaluator.evaluate(whole_sampler(network)), Progress(None))
    evaluator.thorough(whole_sampler(generator))
    of_generator(generator, inputs, 1, profile)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"| {preset} | {count:,} | {count // 3:,} | {peak / 2**30:.2f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", nargs="+", default=sorted(PRESETS), help="presets whose networks are trained")
    parser.add_argument("--size", type=int, default=80, help="chip size in pixels")
    parser.add_argument("--canvas", help="HEIGHT,WIDTH: train on layers of that size, with alpha, in place of chips")
    parser.add_argument("--threads", type=int, default=1, help="threads of one training, in every loop")
    parser.add_argument("--seconds", type=float, default=12, help="seconds of a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns that count")
    parser.add_argument("--docs", type=Path, help="Markdown file to put the section into")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--chips", type=int, default=4000, help="training chips, for --memory")
    parser.add_argument("--train-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train_in:
        train_once(options.preset[0], options.size, options.chips, options.train_in)
        return
    if options.memory:
        command = f"`python benchmarks/gan_train.py --memory --size {options.size} --chips {options.chips}`"
        lines = [
            f"{command}, torch {torch.__version__}: chips of {options.size} x {options.size}, three bands.",
            "",
            "| preset | training chips | validation chips | peak memory, GiB |",
            "|---|---|---|---|",
            *(peak_memory(name, options.size, options.chips) for name in options.preset),
        ]
        write_section(f"Memory of a GAN's training, {options.size} px", lines, options.docs)
        return
    sides = (options.size, options.size)
    shown = f"--size {options.size}"
    if options.canvas:
        height, width = map(int, options.canvas.split(","))
        sides, shown = (height, width), f"--canvas {options.canvas}"
    what = f"layers of {sides[0]} x {sides[1]}" if options.canvas else f"{options.size} px"
    for name in options.preset:
        rows, notes = contest(name, sides, bool(options.canvas), options.threads, options.seconds, options.turns)
        command = f"python benchmarks/gan_train.py --preset {name} {shown} --threads {options.threads}"
        command += f" --seconds {options.seconds:g} --turns {options.turns}"
        lines = [
            f"`{command}` on {processor()}, torch {torch.__version__}: median of {options.turns} turns.",
            "",
            "| preset | loop | images/s | ms a step | times as fast | convolutions alone |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *notes,
        ]
        write_section(f"Training a GAN: {name}, {what}, threads: {options.threads}", lines, options.docs)


if __name__ == "__main__":
    main()
