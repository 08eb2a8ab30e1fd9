"""Table 3's question on generated videos: what guidance adds to D-Net's proposals.

python -m benchmarks.claims.dtnet_discovery --weights guided=FILE --weights alone=FILE: class-agnostic AP of every frame
as an image, on generated videos that no training saw (their seeds are not those of ``mini-train``). FILE:truth tells
the network the true foreground of the frame before in place of its own, FILE:nothing none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from benchmarks.claims.dtnet_association import read_truth
from harness import BuildContext, Video
from harness.api.contracts import COCO_CLASS_AGNOSTIC
from harness.api.records import VideoScores
from harness.datasets.mini import MiniVideo
from harness.datasets.mini.stories import STORIES
from harness.metrics.precision.image_ap import ImageAP
from harness_dtnet.config import DISCOVERY_SMALL
from harness_dtnet.discovery.discover import Discoverer, Discovery
from harness_dtnet.discovery.method import build

COLUMNS = ("AP", "AP50", "AR10")


@click.command()
@click.option("--weights", "named", multiple=True, required=True, metavar="NAME=FILE", help="Several, to compare.")
@click.option("--seeds", type=int, default=4, show_default=True, help="Videos a story.")
@click.option("--frames", type=int, default=12, show_default=True)
@click.option("--lines", type=int, default=240, show_default=True)
def main(named: Sequence[str], seeds: int, frames: int, lines: int) -> None:
    """Print AP, AP50 and AR10 over all frames for each file, and how far the first is above it, with an interval."""
    torch.set_num_threads(1)
    videos = [
        MiniVideo(f"{story}-{seed}", story, f"discovery-{seed}", frames, lines, lines * 16 // 9)
        for story in STORIES
        for seed in range(seeds)
    ]
    first: list[VideoScores] = []
    for each in named:
        name, _, place = each.partition("=")
        path, _, told = place.partition(":")
        found = [measure(video, Path(path), told) for video in videos]
        click.echo(f"{name}: " + ", ".join(f"{column} {summarise(found)[column]:.3f}" for column in COLUMNS))
        first = first or found
        if found is not first:
            for column in COLUMNS:
                low, value, high = jackknife(first, found, column)
                click.echo(f"  the first is above it in {column} by {value:+.3f} [{low:+.3f}, {high:+.3f}]")


class Told(Discoverer):
    """A D-Net that is told other foregrounds of the frames before than its own, or nothing."""

    def __init__(self, own: Discoverer, foregrounds: Sequence[Tensor] | None) -> None:
        super().__init__(own.network, own.normalise, own.config)
        self.foregrounds, self.t = foregrounds, -1

    def discover(self, images: Tensor, before: tuple[Tensor, Tensor] | None) -> Discovery:
        """As its own, but for what it is told."""
        self.t = 0 if before is None else self.t + 1
        known = None if before is None or self.foregrounds is None else (before[0], self.foregrounds[self.t - 1])
        return super().discover(images, known)


def measure(video: MiniVideo, weights: Path, told: str) -> VideoScores:
    """The proposals of every frame beside the truth; ``told``: "", "truth" or "nothing" about the frame before."""
    sample = video.sample()
    method = build(BuildContext("vis", DISCOVERY_SMALL, "cpu", "fp32", weights, 0))
    if told:
        truths = [torch.from_numpy(read_truth(sample, t) > 0).float() for t in range(sample.length)]
        method.discoverer = Told(method.discoverer, truths if told == "truth" else None)
    seen = Video(
        name=sample.name,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        read=lambda t: torch.from_numpy(sample.read_frame(t)),
    )
    return ImageAP().measure(sample, method.segment_tracks(seen), COCO_CLASS_AGNOSTIC)


def summarise(found: Sequence[VideoScores]) -> dict[str, float]:
    """The figures over all frames of these videos; generated videos are never without truth."""
    return {
        name: float("nan") if x is None else x for name, x in ImageAP().summarise(found, COCO_CLASS_AGNOSTIC).items()
    }


def jackknife(one: Sequence[VideoScores], other: Sequence[VideoScores], column: str) -> tuple[float, float, float]:
    """Low end, value, high end of how far ``one`` is above ``other``: 95 %, each video left out in turn.

    AP is no mean over videos, so neither a bootstrap of means nor a paired t test fits.
    """
    count = len(one)
    above = [
        summarise([one[k] for k in kept])[column] - summarise([other[k] for k in kept])[column]
        for kept in ([k for k in range(count) if k != left] for left in range(-1, count))
    ]
    value, without = above[0], np.array(above[1:])
    spread = np.sqrt((count - 1) / count * np.square(without - without.mean()).sum())
    reach = float(student.ppf(0.975, count - 1) * spread)
    return value - reach, value, value + reach


if __name__ == "__main__":
    main()
