"""D-Net at test time: the foreground of a frame and its proposals, disjoint and scored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from harness_dtnet.config import DiscoveryConfig
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.discovery.grouping import find_centres, number_parts
from harness_dtnet.discovery.network import Answers, DNet
from harness_dtnet.kernels import group_pixels


@dataclass(frozen=True)
class Discovery:
    """What was found in one frame, at the size it is worked on at."""

    foreground: Float[Tensor, "H W"]
    """Probability of any object."""
    masks: Bool[Tensor, "P H W"]
    """Proposals, the best first; no pixel is of two."""
    scores: tuple[float, ...]
    """Of each proposal, 0 to 1: the height of its peak times the mean probability of foreground inside."""
    categories: Float[Tensor, "c H W"] | None = None
    """Probability of each category, where the network tells any apart."""


class Discoverer:
    """A D-Net for test time, frame by frame: each is helped by the one before and its foreground."""

    def __init__(self, network: DNet, normalise: Normalise, config: DiscoveryConfig) -> None:
        self.network, self.normalise, self.config = network, normalise, config

    def discover(
        self, images: Float[Tensor, "1 3 H W"], before: tuple[Tensor, Float[Tensor, "H W"]] | None
    ) -> Discovery:
        """What is in an image 0..255; ``before`` are the image before and its foreground, None in a first frame."""
        images = self.normalise.apply(images)
        if before is None:
            answers = self.network(images)
        else:
            earlier, foreground = before
            answers = self.network(images, self.normalise.apply(earlier), foreground[None, None].to(images.dtype))
        size = (images.shape[-2], images.shape[-1])
        return self.propose(Answers(*(part[0].float() for part in answers)), size)

    def propose(self, answers: Answers, size: tuple[int, int]) -> Discovery:
        """Proposals from answers (C, h, w) at a quarter of ``size``."""
        logits = enlarge(answers.foreground, size)  # (1 + c, H, W)
        categories = None
        if len(logits) == 1:
            foreground = logits[0].sigmoid()
        else:
            shares = logits.softmax(0)
            foreground, categories = 1 - shares[0], shares[1:]
        ids, peaks = self.group(answers, foreground > self.config.foreground_threshold)
        masks, scores = self.score(ids, peaks, foreground)
        return Discovery(foreground, masks, scores, categories)

    def group(self, answers: Answers, is_object: Bool[Tensor, "H W"]) -> tuple[UInt8[Tensor, "H W"], list[float]]:
        """An id for each pixel of the foreground, and how sure the centre of each id is.

        A foreground without centres is taken apart into its connected parts, each as sure as a peak must be at least.
        """
        config, size = self.config, tuple(is_object.shape)
        cells, heights = find_centres(
            answers.heatmap[0],
            threshold=config.centre_threshold,
            window=config.centre_window,
            most=config.most_proposals,
        )
        if not len(cells):
            ids = number_parts(is_object)
            return ids, [config.centre_threshold] * int(ids.max())
        steps = [pixels / cells_there for pixels, cells_there in zip(size, answers.heatmap.shape[1:], strict=True)]
        centres = torch.stack([(cells[:, side] + 0.5) * steps[side] - 0.5 for side in (0, 1)], 1)  # (k, 2) pixels
        ids = group_pixels(is_object, enlarge(answers.offsets, (size[0], size[1])), centres)
        return ids, heights.clamp(0, 1).tolist()

    def score(
        self, ids: UInt8[Tensor, "H W"], peaks: list[float], foreground: Float[Tensor, "H W"]
    ) -> tuple[Bool[Tensor, "P H W"], tuple[float, ...]]:
        """The masks of ids that are large enough, the best first, and their scores."""
        flat = ids.flatten().long()
        areas = torch.bincount(flat, minlength=len(peaks) + 1)[1:].tolist()
        sums = torch.zeros(len(peaks) + 1, device=ids.device).index_add_(0, flat, foreground.flatten())[1:].tolist()
        least = max(1.0, self.config.least_proposal * ids.numel())
        scored = [
            (peaks[k] * sums[k] / areas[k], k + 1) for k in range(len(peaks)) if areas[k] >= least
        ]  # a proposal below that is noise
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
        best = scored[: self.config.most_proposals]
        names = torch.tensor([name for _, name in best], dtype=ids.dtype, device=ids.device)
        return ids == names[:, None, None], tuple(score for score, _ in best)


def enlarge(maps: Float[Tensor, "C h w"], size: tuple[int, int]) -> Float[Tensor, "C H W"]:
    """Bilinearly, pixel centres at .5."""
    return functional.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]
