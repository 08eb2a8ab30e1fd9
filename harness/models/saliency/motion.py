"""Saliency as motion: what moves against the camera between a frame and those next to it, by DIS flow; no label."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from harness.models.flow import FlowProvider, flow_provider
from harness.models.flow.camera import motion_map, split_of
from harness.models.frame_files import Around, Frame, Place


class AgainstTheCamera:
    """``motion``: .5 where motion is at the threshold of `harness.models.flow.camera.moving`, 1 from twice that on."""

    name = "motion"
    looks_around = True

    def __init__(self, flow: FlowProvider | None = None) -> None:
        self.flow = flow or flow_provider("dis")

    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        if not around:
            return torch.zeros(frame.shape[:2], device=frame.device)  # a video of one frame: nothing is seen to move
        motion = motion_map(*(self.flow.between(frame, other) for other in around))
        return (motion / (2 * split_of(motion))).clamp(max=1)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-1-{self.flow.fingerprint(video)}"
