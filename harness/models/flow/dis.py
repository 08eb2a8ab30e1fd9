"""Optical flow by OpenCV's dense inverse search (Kroeger et al. 2016), at half size: nothing to download, no label."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from harness.models.frame_files import Frame, Place

PRESETS = {"dis": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, "dis:fast": cv2.DISOPTICAL_FLOW_PRESET_FAST}
HALVED_FROM = 128
"""Rows and columns from which a frame is halved; below, halving would leave too little to search in."""
SMALLEST = 32
"""Smaller frames are continued by their border: OpenCV refuses sides below 12, and crashes on flat frames below 32."""


class DIS:
    """``dis`` is the medium preset, ``dis:fast`` the fast one."""

    def __init__(self, name: str = "dis") -> None:
        self.name = name

    def between(self, first: Frame, second: Frame, places: tuple[Place, Place] | None = None) -> Float[Tensor, "2 H W"]:
        height, width = first.shape[:2]
        found = search(shrink(first), shrink(second), PRESETS[self.name])  # (h, w, 2)
        h, w = found.shape[:2]
        if (h, w) != (height, width):
            scale = np.array([width / w, height / h], np.float32)
            found = np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)) * scale
        return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1))).to(first.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-opencv-{cv2.__version__}-half-from-{HALVED_FROM}"


def shrink(frame: Frame) -> UInt8[np.ndarray, "h w"]:
    """The frame in grey, of half its size unless it is small."""
    grey = cv2.cvtColor(np.ascontiguousarray(frame.cpu().numpy()), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if min(height, width) < HALVED_FROM:
        return grey
    return cv2.resize(grey, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)


def search(
    first: UInt8[np.ndarray, "h w"], second: UInt8[np.ndarray, "h w"], preset: int
) -> Float[np.ndarray, "h w 2"]:
    """The flow of grey frames of any size."""
    height, width = first.shape
    below, beside = max(0, SMALLEST - height), max(0, SMALLEST - width)
    pair = [cv2.copyMakeBorder(grey, 0, below, 0, beside, cv2.BORDER_REPLICATE) for grey in (first, second)]
    nowhere = np.zeros((*pair[0].shape, 2), np.float32)
    return np.asarray(cv2.DISOpticalFlow.create(preset).calc(pair[0], pair[1], nowhere))[:height, :width]
