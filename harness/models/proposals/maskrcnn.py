"""Proposals by torchvision's Mask R-CNN (He et al. 2017) with weights from a file; torchvision is optional."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from harness.api.errors import DataError
from harness.files import digest_of_bytes
from harness.models.checkpoints import read_state
from harness.models.frame_files import Frame, Place
from harness.models.proposals.proposal import MOST, Proposal, choose

CLASSES = "roi_heads.box_predictor.cls_score.weight"
VARIANTS = {
    "roi_heads.box_head.fc6.weight": "maskrcnn_resnet50_fpn",
    "roi_heads.box_head.0.0.weight": "maskrcnn_resnet50_fpn_v2",
}
"""The tensor by which a file tells which network it is of."""


class MaskRCNN:
    """``maskrcnn:FILE``: a state dict of torchvision's ``maskrcnn_resnet50_fpn`` or its ``_v2``, without categories."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.name = "maskrcnn"
        self.network = load_maskrcnn(path, read_state(path)).to(device)
        self.device = torch.device(device)
        self.digest = digest_of_bytes(path)

    @torch.no_grad()
    def propose(
        self,
        frame: Frame,
        foreground: Shaped[Tensor, "H W"] | None = None,
        place: Place | None = None,
        *,
        most: int = MOST,
    ) -> list[Proposal]:
        image = frame.to(self.device).permute(2, 0, 1).float() / 255  # (3, H, W)
        found = self.network([image])[0]
        masks, scores = found["masks"][:, 0] >= 0.5, found["scores"].tolist()  # (N, H, W)
        return choose(zip(masks.to(frame.device), scores, strict=True), most)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.digest[:16]}"


def load_maskrcnn(path: Path, state: Mapping[str, Tensor]) -> Any:
    """The network that ``state`` is of, in evaluation mode; DataError where it is of none."""
    from torchvision.models import detection

    name = next((variant for tensor, variant in VARIANTS.items() if tensor in state), None)
    if name is None or CLASSES not in state:
        found = f"no Mask R-CNN ({len(state)} other tensors)"
        raise DataError.at(path, found=found, expected=f"{CLASSES} and {' or '.join(VARIANTS)}")
    build = getattr(detection, name)
    network = build(weights=None, weights_backbone=None, num_classes=state[CLASSES].shape[0])
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise DataError.at(path, found=f"other tensors ({error!s:.200})", expected=f"those of {name}") from None
    return network.eval()
