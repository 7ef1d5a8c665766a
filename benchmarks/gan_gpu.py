"""Milliseconds of a GAN's training step on a GPU: captured once as a CUDA graph and replayed, or run eagerly.

    python benchmarks/gan_gpu.py [--size 80] [--steps 200] [--together 1 4 12] [--docs docs/benchmarks.md]

The second table has several trainings at a time in processes of their own, which is how a run uses a GPU; NVIDIA's MPS
changes it, so run it with and without `nvidia-cuda-mps-control -d`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from gan_train import make_setting
from satpipe.config.gan_presets import PRESETS
from satpipe.models.device import FORMATS, PRECISIONS, Profile, prepare
from satpipe.stages.gan.step import train_step
from satpipe.stages.gan.train import start
from section import write_section

WARM = 25
"""Steps before the clock starts: kernels are chosen, the step is captured."""


def step_ms(preset: str, profile: Profile, size: int, steps: int, graph: bool) -> float:
    """Return the mean milliseconds of a step."""
    setting = make_setting(PRESETS[preset], (size, size), False, profile, Path())
    device = prepare(profile)
    networks = start(setting, device)
    if not graph:
        networks.graph = None
    sums = torch.zeros(4, device=device)
    for step in range(WARM + steps):
        if step == WARM:
            torch.cuda.synchronize()
            began = time.perf_counter()
        sums += train_step(setting, networks, step, device)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps * 1e3


def together(number: int, size: int, steps: int) -> list[float]:
    """Return the milliseconds of a step in each of several trainings at a time."""
    command = [sys.executable, __file__, "--alone", "--size", str(size), "--steps", str(steps)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    return [float(process.communicate()[0]) for process in running]


def main() -> None:
    """Time everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=80, help="side of a chip in pixels")
    parser.add_argument("--steps", type=int, default=200, help="steps to time")
    parser.add_argument("--together", type=int, nargs="*", default=[1, 4, 12], help="trainings at a time")
    parser.add_argument("--alone", action="store_true", help="one training of dcgan-lowdata in fp32; print the figure")
    parser.add_argument("--docs", type=Path, help="Markdown file to put the section into")
    options = parser.parse_args()
    plain = Profile("cuda", "fp32", "channels_last", 1)
    if options.alone:
        print(step_ms("dcgan-lowdata", plain, options.size, options.steps, graph=True))
        return
    lines = [
        f"`python benchmarks/gan_gpu.py` on {torch.cuda.get_device_name()}, torch {torch.__version__}, chips of",
        f"{options.size} x {options.size}:",
        "",
        "| preset | precision | memory | eager | CUDA graph | times as fast |",
        "|---|---|---|---|---|---|",
    ]
    for preset in PRESETS:
        for precision in PRECISIONS:
            for layout in FORMATS:
                profile = Profile("cuda", precision, layout, 1)
                slow, fast = (step_ms(preset, profile, options.size, options.steps, kind) for kind in (False, True))
                lines.append(
                    f"| {preset} | {precision} | {layout} | {slow:.1f} ms | {fast:.1f} ms | {slow / fast:.1f} |"
                )
    lines += ["", "| trainings at a time | ms a step, each | steps a second, all |", "|---|---|---|"]
    for number in options.together:
        seconds = together(number, options.size, 5 * options.steps)
        lines.append(f"| {number} | {np.mean(seconds):.1f} | {sum(1e3 / duration for duration in seconds):,.0f} |")
    write_section("GAN training on a GPU", lines, options.docs)


if __name__ == "__main__":
    main()
