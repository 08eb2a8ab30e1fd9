"""Who is who: T-Net against linking by overlap alone and by looks alone, with one set of proposals for all.

python -m benchmarks.claims.dtnet_association: generated videos with crossings, returns and crowds; true masks as
proposals, which sets association apart from discovery, or those of D-Net (--proposals WEIGHTS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from harness import BuildContext, Sample, Video
from harness.datasets.mini import MiniVideo
from harness.ops.linking import mask_iou
from harness_dtnet.config import SMALL, Config
from harness_dtnet.discovery.discover import Discoverer, Discovery
from harness_dtnet.discovery.frames import resize_frame
from harness_dtnet.method import DTNet, build
from harness_dtnet.target.bilinear import Bilinear
from harness_dtnet.target.features import describe

STORIES = ("cross", "return", "crowd")
LEAST_OVERLAP = 0.1
LEAST_LIKENESS = 0.3
"""Cosine from which two looks are one object's: half of the threshold of eq. 10, which is of two cosines."""
VARIANTS = {
    "T-Net": SMALL,
    "T-Net, no verification": replace(SMALL, verification=False),
    "T-Net, no update": replace(SMALL, update_every=0),
    "T-Net, overlap .5": replace(SMALL, verified_overlap=0.5),
    "T-Net, all samples": replace(SMALL, memory_adds="all"),
}


class TrueMasks(Discoverer):
    """Proposals that are the truth of each frame; the foreground is their union."""

    def __init__(self, masks: Sequence[Tensor], config: Config) -> None:
        self.masks, self.config, self.t = masks, config, -1

    def discover(self, images: Tensor, before: tuple[Tensor, Tensor] | None) -> Discovery:
        """What is true of the next frame."""
        self.t = 0 if before is None else self.t + 1
        masks = self.masks[self.t]
        return Discovery(masks.any(0).float(), masks, (1.0,) * len(masks))


def link_by(
    alike: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    least: float,
    masks: Sequence[Tensor],
    looks: Sequence[Tensor],
) -> list[Tensor]:
    """Id maps by linking each frame's proposals one to one to the tracks so far, where they are alike enough.

    ``alike`` is given masks and looks of tracks when last seen, then those of the proposals.
    """
    last_masks, last_looks, answers = masks[0][:0], looks[0][:0], []
    for proposals, look in zip(masks, looks, strict=True):
        worth = alike(last_masks, last_looks, proposals, look)  # (N, P)
        worth = torch.where(worth >= least, worth, 0.0)
        rows, columns = linear_sum_assignment(worth.numpy(), maximize=True)
        pairs = {int(p): int(n) for n, p in zip(rows, columns, strict=True) if worth[n, p] > 0}
        ids = torch.zeros(proposals.shape[1:], dtype=torch.uint8)
        for p in range(len(proposals)):
            if p not in pairs:
                pairs[p] = len(last_masks)
                last_masks, last_looks = (
                    torch.cat([last_masks, proposals[p : p + 1]]),
                    torch.cat([last_looks, look[p : p + 1]]),
                )
            n = pairs[p]
            last_masks[n], last_looks[n] = proposals[p], look[p]
            ids[proposals[p]] = n + 1
        answers.append(ids)
    return answers


def by_overlap(masks: Tensor, looks: Tensor, proposals: Tensor, new: Tensor) -> Tensor:
    """IoU with where each track was last seen."""
    return mask_iou(masks, proposals)


def by_looks(masks: Tensor, looks: Tensor, proposals: Tensor, new: Tensor) -> Tensor:
    """Cosine with what each track looked like when last seen."""
    return looks @ new.t()


def score(answers: Sequence[Tensor], truths: Sequence[np.ndarray]) -> tuple[float, int]:
    """Mean J of the objects, each matched to one id for the whole video, and how often an object's id changes.

    An object's id in a frame is the one that overlaps it by more than half; a change counts from the last it had.
    """
    found, true = np.stack([each.numpy() for each in answers]), np.stack(truths)
    names, ids = [k for k in np.unique(true) if 0 < k < 255], [k for k in np.unique(found) if k]
    quality = np.zeros((len(names), max(len(ids), 1)))
    switches = 0
    for row, name in enumerate(names):
        per_frame = np.zeros((len(true), len(ids)))
        for column, k in enumerate(ids):
            a, b = true == name, found == k
            either = (a | b).sum((1, 2))
            each = np.where(either > 0, (a & b).sum((1, 2)) / np.maximum(either, 1), 1.0)
            quality[row, column] = each.mean()
            per_frame[:, column] = np.where(a.any((1, 2)), each, 0.0)
        held = [int(line.argmax()) for line in per_frame if len(ids) and line.max() > 0.5]
        switches += sum(one != other for one, other in pairwise(held))
    rows, columns = linear_sum_assignment(quality, maximize=True)
    return float(quality[rows, columns].sum() / len(names)), switches


def true_proposals(sample: Sample) -> list[Tensor]:
    """The masks of each frame's objects, in an order that says nothing: by area."""
    found = []
    for t in range(sample.length):
        truth = torch.from_numpy(read_truth(sample, t))
        masks = torch.stack([truth == k for k in truth.unique().tolist() if k] or [truth > 255])
        areas = masks.flatten(1).sum(1)
        found.append(masks[areas.argsort(descending=True)])
    return found


def read_truth(sample: Sample, t: int) -> np.ndarray:
    """The ids of a frame of a generated video, which all have them."""
    assert sample.read_truth is not None
    truth = sample.read_truth(t)
    assert truth is not None
    return truth


def measure(sample: Sample, weights: Path | None) -> dict[str, tuple[float, int]]:
    """J and id changes of every variant on one video."""
    frames = [torch.from_numpy(sample.read_frame(t)) for t in range(sample.length)]
    truths = [read_truth(sample, t) for t in range(sample.length)]
    video = Video(name="v", length=len(frames), height=sample.height, width=sample.width, read=frames.__getitem__)
    config = SMALL if weights is not None else replace(SMALL, imagenet=True)
    found: dict[str, tuple[float, int]] = {}
    method = build(BuildContext("instance-zvos", config, "cpu", "fp32", weights, 0))
    proposals = true_proposals(sample) if weights is None else discover(method, video)
    looks = describe_all(method, frames, proposals)
    for name, alike, least in (("overlap alone", by_overlap, LEAST_OVERLAP), ("looks alone", by_looks, LEAST_LIKENESS)):
        found[name] = score(link_by(alike, least, proposals, looks), truths)
    for name, variant in VARIANTS.items():
        discoverer = TrueMasks(proposals, variant) if weights is None else method.discoverer
        tracker = DTNet(discoverer, method.view, variant, 0, method.categories)
        found[name] = score(list(tracker.segment_instances(video)), truths)
    return found


@torch.inference_mode()
def discover(method: DTNet, video: Video) -> list[Tensor]:
    """D-Net's proposals of every frame."""
    before, found = None, []
    for t in range(len(video)):
        image = resize_frame(video[t], video.size)
        discovery = method.discoverer.discover(image, before)
        before = image, discovery.foreground
        found.append(discovery.masks)
    return found


@torch.inference_mode()
def describe_all(method: DTNet, frames: Sequence[Tensor], proposals: Sequence[Tensor]) -> list[Tensor]:
    """What each proposal looks like, as T-Net describes it."""
    looks = []
    for frame, masks in zip(frames, proposals, strict=True):
        features = method.view.look(resize_frame(frame, (frame.shape[0], frame.shape[1])))[0]
        bilinear = Bilinear((features.shape[1], features.shape[2]), (frame.shape[0], frame.shape[1]), features)
        looks.append(describe(features, masks.float(), bilinear))
    return looks


@click.command()
@click.option("--seeds", type=int, default=4, show_default=True, help="Videos a story.")
@click.option("--first", type=int, default=1, show_default=True, help="The first seed; 0 chose the preset's overlap.")
@click.option("--frames", type=int, default=24, show_default=True)
@click.option("--lines", type=int, default=240, show_default=True)
@click.option("--proposals", "weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
def main(seeds: int, first: int, frames: int, lines: int, weights: Path | None) -> None:
    """Print J and id changes of each variant by video, then means and differences with intervals over videos."""
    torch.set_num_threads(1)
    rows: dict[str, list[tuple[float, int]]] = {}
    for story in STORIES:
        for seed in range(first, first + seeds):
            video = MiniVideo(f"{story}-{seed}", story, f"association-{seed}", frames, lines, lines * 16 // 9)
            found = measure(video.sample(), weights)
            click.echo(
                "\t".join([video.name, *(f"{name} {j:.3f}/{switches}" for name, (j, switches) in found.items())])
            )
            for name, value in found.items():
                rows.setdefault(name, []).append(value)
    for name, values in rows.items():
        told = "" if name == "T-Net" else "  T-Net less this: " + interval(np.array(rows["T-Net"]) - np.array(values))
        click.echo(f"{name}: J {np.mean([j for j, _ in values]):.3f}, {sum(s for _, s in values)} id changes{told}")


def interval(differences: np.ndarray) -> str:
    """Mean difference of J and its 95 % interval, videos drawn again 10,000 times; and that of id changes a video."""
    draws = np.random.default_rng(0).integers(0, len(differences), (10_000, len(differences)))
    means = differences[draws].mean(1)
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    j, switches = differences.mean(0)
    return f"J {j:+.3f} [{low[0]:+.3f}, {high[0]:+.3f}], id changes {switches:+.2f} [{low[1]:+.2f}, {high[1]:+.2f}]"


if __name__ == "__main__":
    main()
