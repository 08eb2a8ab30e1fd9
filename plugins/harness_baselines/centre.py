"""Card ``centre-prior``: where objects are when nothing is known but that somebody filmed them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import BuildContext, Video
from harness_baselines.config import CentreConfig


def build(context: BuildContext) -> CentrePrior:
    """There is nothing to load."""
    return CentrePrior(context.config, context.device)


class CentrePrior:
    """Yields one mask again and again."""

    def __init__(self, config: CentreConfig, device: str = "cpu") -> None:
        self.config, self.device = config, device

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame: 1 the ellipse, 0 the rest."""
        mask = draw_ellipse(video.size, self.config, self.device)
        for _ in range(len(video)):
            yield mask.clone()  # who is handed a mask may keep it


def draw_ellipse(size: tuple[int, int], config: CentreConfig, device: str = "cpu") -> Tensor:
    """The ellipse in the middle of a frame (H, W) uint8: the pixels whose centres lie in it.

    The middle pixel, or all that are nearest the middle, are always in it: no frame is too small for an object.
    """
    rows, columns = (offsets(side, device) for side in size)
    down = (rows / config.half_height).square()[:, None]  # (H, 1)
    across = (columns / config.half_width).square()[None, :]  # (1, W)
    far = down + across
    return (far <= far.amin().clamp(min=1)).byte()


def offsets(side: int, device: str) -> Tensor:
    """How far the centre of each row, or column, is from the middle, as a share of the side."""
    return (torch.arange(side, device=device, dtype=torch.float64) + 0.5) / side - 0.5
