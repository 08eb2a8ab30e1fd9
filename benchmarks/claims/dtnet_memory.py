"""What T-Net holds as a video goes on, and where it ends: python -m benchmarks.claims.dtnet_memory.

Of every target at most so many samples are kept, and of targets at most so many: that is the bound. Two videos of the
preset that ships: ``told``, whose proposals are 20 true boxes, each confirmed in every frame, so that the bound is
reached within two hundred frames; and ``found``, a crowd of four whose proposals are D-Net's own. Fits take one step
(``--steps``), since how often w2 moves changes nothing that is kept.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import click
import torch
from torch import Tensor

from benchmarks.claims.dtnet_association import TrueMasks
from benchmarks.claims.dtnet_growth import tiles
from harness import BuildContext
from harness.api.held_memory import read_held_mib
from harness.datasets.mini import MiniVideo
from harness_dtnet import WEIGHTS
from harness_dtnet.config import SMALL, Config
from harness_dtnet.method import DTNet, State, build
from harness_dtnet.target.memory import SampleMemory

SIDE = 60
"""Frames of the generated crowd, which is played there and back."""
SIZE = (32, 57)
FRAMES = (1, 20, 50, 100, 200, 500, 1000, 2500, 5000, 7500, 10_000, 15_000, 20_000)


def mib_of(memory: SampleMemory, slots: int | None = None, targets: int | None = None) -> float:
    """Of its samples as they lie there; or with so many slots and targets."""
    parts = (memory.features, memory.stencils, memory.targets)
    held = sum(part.numel() * part.element_size() for part in parts)
    if slots is not None and targets is not None:
        held = held // (memory.targets.shape[0] * memory.targets.shape[1]) * slots * targets
    return held / 2**20


def follow(method: DTNet, read: Callable[[int], Tensor], frames: int) -> Iterator[tuple[int, State, float]]:
    """Frame by frame: how many are done, what is kept, and MiB that the process holds more than before the first."""
    state = method.begin(SIZE)
    before = read_held_mib() or 0.0
    with torch.inference_mode():
        for t in range(frames):
            method.step(state, read(t), t)
            if t + 1 in FRAMES or t + 1 == frames:
                yield t + 1, state, (read_held_mib() or 0.0) - before


def describe(done: int, state: State, held: float, config: Config, begun: float) -> str:
    """A line of figures."""
    spent = f"{held:.1f} MiB held, {time.process_time() - begun:.0f} CPU s"
    if state.models is None:
        return f"{done:6d} frames: no target yet, {spent}"
    shares, memory = state.models.shares, state.models.memory
    bound = mib_of(memory, config.memory, config.most_tracks)
    samples = sum(len(share.by_slot) for share in shares)
    return (
        f"{done:6d} frames: {len(shares):2d} targets of at most {config.most_tracks}, {samples:4d} samples of at most "
        f"{config.most_tracks * config.memory}, {mib_of(memory):.1f} MiB of at most {bound:.1f}; {spent}"
    )


@click.command()
@click.option("--frames", type=int, default=10_000, show_default=True)
@click.option("--video", "videos", multiple=True, type=click.Choice(["told", "found"]), default=("told", "found"))
@click.option("--steps", type=click.IntRange(1), default=1, show_default=True, help="Of a fit; the preset has 10.")
def main(frames: int, videos: tuple[str, ...], steps: int) -> None:
    """Print what is kept and what the process holds as two videos are segmented."""
    torch.set_num_threads(1)
    for name in videos:
        play(name, frames, replace(SMALL, later_iterations=steps))
        gc.collect()  # or the next video would begin with what this one held


def play(name: str, frames: int, config: Config) -> None:
    """Segment one of the two videos, a line now and then."""
    method = build(BuildContext("instance-zvos", config, "cpu", "fp32", WEIGHTS[0].path, 0))
    if name == "told":
        noise = torch.Generator().manual_seed(0)
        images = [torch.randint(0, 256, (*SIZE, 3), generator=noise, dtype=torch.uint8) for _ in range(SIDE)]
        told = TrueMasks([tiles(20, *SIZE)] * frames, config)
        method = DTNet(told, method.view, config, 0, method.categories)
    else:
        sample = MiniVideo("crowd", "crowd", "long", SIDE, *SIZE).sample()
        images = [torch.from_numpy(sample.read_frame(t)) for t in range(SIDE)]
    order = [*range(SIDE), *range(SIDE - 2, 0, -1)]
    begun = time.process_time()
    click.echo(f"{name}: {SIZE[1]}x{SIZE[0]}, at most {config.most_tracks} targets of {config.memory} samples")
    for done, state, held in follow(method, lambda t: images[order[t % len(order)]], frames):
        click.echo(describe(done, state, held, config, begun))


if __name__ == "__main__":
    main()
