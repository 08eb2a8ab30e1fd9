"""What T-Net holds after 10,000 frames: python -m benchmarks.claims.dtnet_memory (preset ``smoke``, two minutes)."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from harness import BuildContext, Video
from harness.datasets.mini import MiniVideo
from harness_dtnet import WEIGHTS
from harness_dtnet.config import PRESETS
from harness_dtnet.method import build

SIDE = 60
"""Frames of the generated crowd, which is played there and back."""


def read_memory_mib() -> float:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@click.command()
@click.option("--frames", type=int, default=10_000, show_default=True)
def main(frames: int) -> None:
    """Print the memory of the process as a crowd of four is segmented."""
    torch.set_num_threads(1)
    sample = MiniVideo("crowd", "crowd", "long", SIDE, 64, 114).sample()
    seen = [torch.from_numpy(sample.read_frame(t)) for t in range(SIDE)]
    order = [*range(SIDE), *range(SIDE - 2, 0, -1)]
    video = Video(name="v", length=frames, height=64, width=114, read=lambda t: seen[order[t % len(order)]])
    method = build(BuildContext("instance-zvos", PRESETS["smoke"], "cpu", "fp32", WEIGHTS[0].path, 0))
    for done, _ in enumerate(method.segment_instances(video), 1):
        if done in (100, 1000) or done % 2500 == 0:
            click.echo(f"{done} frames: {read_memory_mib():.1f} MiB")


if __name__ == "__main__":
    main()
