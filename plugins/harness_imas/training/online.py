"""An averaged copy of the network makes the targets of each batch (RCF's stage 2.1; paper: none)."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from harness.ops.crf import DenseCRF, refine, unary_of
from harness_imas.network import Segmenter


class Averaged(nn.Module):
    """Weights and statistics that follow the learning network slowly; it never learns by gradients."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.network = copy.deepcopy(segmenter).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, segmenter: Segmenter, momentum: float) -> None:
        """A step towards the network as it is now: each value keeps ``momentum`` of itself."""
        theirs = segmenter.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - momentum)
            else:
                value.copy_(theirs[name])

    @torch.no_grad()
    def make_targets(
        self,
        frames: UInt8[Tensor, "B H W 3"],
        images: Float[Tensor, "B 3 H W"],
        channel: int,
        crf: DenseCRF,
        *,
        divide: float,
    ) -> Float[Tensor, "B h w"]:
        """The object's masks, refined at the frames' size, soft, and brought back to their own."""
        self.network.eval()
        masks = self.network(images).float().softmax(1)[:, channel]
        enlarged = functional.interpolate(masks[:, None], size=frames.shape[1:3], mode="bilinear", align_corners=False)
        refined = refine(frames, unary_of(enlarged[:, 0], divide=divide, stretch=True), crf)[:, 1:]
        return functional.interpolate(refined, size=masks.shape[1:], mode="bilinear", align_corners=False)[:, 0]
