"""Proposals as connected parts of a foreground: what a method falls back to without any detector."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Shaped
from scipy import ndimage
from torch import Tensor

from harness.models.frame_files import Frame, Place
from harness.models.proposals.proposal import MOST, Proposal, choose, is_object

LEAST_SHARE = 1 / 4000
"""Of the frame's pixels: smaller parts are specks (100 pixels at 854 x 480)."""
TOUCHING = np.ones((3, 3), bool)


class Components:
    """``components``: the largest part first, with its share of the foreground as score; none without a foreground."""

    name = "components"

    def propose(
        self,
        frame: Frame,
        foreground: Shaped[Tensor, "H W"] | None = None,
        place: Place | None = None,
        *,
        most: int = MOST,
    ) -> list[Proposal]:
        if foreground is None:
            return []
        mask = is_object(foreground).cpu().numpy()
        parts, count = ndimage.label(mask, TOUCHING)
        areas = np.bincount(parts.ravel(), minlength=count + 1)
        kept = [part for part in range(1, count + 1) if areas[part] >= mask.size * LEAST_SHARE]
        kept = sorted(kept, key=lambda part: -areas[part])[:most]
        whole = torch.from_numpy(parts).to(frame.device)
        return choose([(whole == part, areas[part] / areas[1:].sum()) for part in kept], most)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-1"
