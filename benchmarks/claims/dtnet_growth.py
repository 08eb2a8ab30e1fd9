"""What a frame costs with 1, 3, 10 and 20 targets: python -m benchmarks.claims.dtnet_growth.

Proposals are told, so only T-Net is measured: CPU seconds of one thread, all counts in turn, the least of some frames.
"""

from __future__ import annotations

import time
from dataclasses import replace

import click
import torch
from torch import Tensor

from benchmarks.claims.dtnet_association import TrueMasks
from harness import BuildContext
from harness_dtnet.config import SMALL
from harness_dtnet.method import DTNet, build

COUNTS = (1, 3, 10, 20)
GRID = (4, 5)


def tiles(count: int, height: int, width: int) -> Tensor:
    """The first ``count`` of 20 boxes that lie apart: (count, H, W)."""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    tall, wide = height // GRID[0], width // GRID[1]
    for place in range(count):
        top, left = place // GRID[1] * tall + tall // 4, place % GRID[1] * wide + wide // 4
        masks[place, top : top + tall // 2, left : left + wide // 2] = True
    return masks


@click.command()
@click.option("--frames", type=int, default=3, show_default=True, help="After the first.")
@click.option("--lines", type=int, default=240, show_default=True)
def main(frames: int, lines: int) -> None:
    """Print the seconds of the first frame, which begins all models, and of a later one, for each count."""
    torch.set_num_threads(1)
    size = (lines, lines * 16 // 9)
    method = build(BuildContext("instance-zvos", replace(SMALL, imagenet=True), "cpu", "fp32", None, 0))
    noise = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (*size, 3), generator=noise, dtype=torch.uint8) for _ in range(frames + 1)]
    trackers, states = {}, {}
    for count in COUNTS:
        told = TrueMasks([tiles(count, *size)] * (frames + 1), SMALL)
        trackers[count] = DTNet(told, method.view, SMALL, 0, method.categories)
        states[count] = trackers[count].begin(size)
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    with torch.inference_mode():
        for t, image in enumerate(images):
            for count in COUNTS:
                begun = time.process_time()
                trackers[count].step(states[count], image, t)
                seconds[count].append(time.process_time() - begun)
    for count, found in seconds.items():
        click.echo(f"{count} targets: first frame {found[0]:.2f} s, later {min(found[1:]):.3f} s")


if __name__ == "__main__":
    main()
